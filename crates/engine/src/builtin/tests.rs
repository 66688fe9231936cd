//! What is told, when and how often: over a store, by a clock that is turned by hand.

mod outages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use connector::{Clock, ManualClock, Timestamp};
use serde_json::{Value, json};
use store::{Commit, Counts, MasterKey, MemoryStore, NewDeadLetter, RunLine, Store};

use super::alert::Of;
use super::{Alert, Alerts, Teller, connector as builtin, failure, heard, kept};
use crate::service::Handle;
use crate::{Engine, Error, Options, Place, Report};

const MINUTE: u64 = 60;

/// A store and a clock, and the processes between whose lives they stay.
struct Desk {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
}

/// One process: what hears, and what tells.
struct Process {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    alerts: Alerts,
    engine: Arc<Engine>,
    teller: Teller,
}

fn alert(of: Of, minutes: u64) -> Alert {
    Alert { of, length: Duration::from_secs(minutes * MINUTE), names: None, ends: true }
}

fn refused() -> Report {
    let place = Place {
        flow: "shop".to_owned(),
        step: Some("order".to_owned()),
        account: "crm".to_owned(),
    };
    Report::failed(Error::Unauthorized { place, reason: "of ada@example.com".to_owned() })
}

fn line(started: Timestamp, outcome: &str) -> RunLine {
    RunLine {
        run: format!("run-{}", started.millis()),
        started: started.millis(),
        finished: started.millis(),
        outcome: outcome.to_owned(),
        counts: Counts::default(),
        error: None,
    }
}

impl Desk {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_772_366_400)));
        Self { store: Arc::new(MemoryStore::new(MasterKey::generate())), clock }
    }

    fn pass(&self, minutes: u64) {
        self.clock.advance(Duration::from_secs(minutes * MINUTE));
    }

    /// A process with the flows `shop` and `news`, and one that is told.
    fn process(&self, alert: Alert) -> Process {
        let alerts = Alerts::default();
        for flow in ["shop", "news"] {
            alerts.put(&flow.into(), false, None);
        }
        alerts.put(&"ops".into(), true, Some(alert));
        let auth = connector::Auth::None;
        let crm = connector::Connector::new("crm", "https://crm.test", auth)
            .in_an_outage(Duration::from_secs(10 * MINUTE), "ring up its makers");
        let account = crm.account("crm", None, BTreeMap::new()).unwrap();
        let account = crate::Account { account, limits: BTreeMap::new() };
        let options = Options {
            connectors: vec![builtin(), crm],
            accounts: BTreeMap::from([("crm".to_owned(), account)]),
            store: self.store.clone(),
            clock: self.clock.clone(),
        };
        let engine = Arc::new(Engine::new(options));
        let teller = Teller::new(alerts.clone(), engine.clone(), Handle::ended());
        Process { store: self.store.clone(), clock: self.clock.clone(), alerts, engine, teller }
    }

    /// Makes so many dead letters of a flow.
    async fn letters(&self, flow: &str, codes: &[&str]) {
        let lease = self.store.lease(flow).await.unwrap();
        let sequence = lease.head.map_or(0, |head| head.sequence) + 1;
        let letter = |(at, code): (usize, &&str)| NewDeadLetter {
            message_id: format!("{sequence}-{at}"),
            step: Some("order".to_owned()),
            code: (*code).to_owned(),
            reason: "of ada@example.com".to_owned(),
            at: self.clock.now().millis(),
            payload: b"{}".to_vec(),
            record_key: "ada@example.com".to_owned(),
            ..NewDeadLetter::default()
        };
        let dead_letters = codes.iter().enumerate().map(letter).collect();
        let counts = Counts { dead_lettered: codes.len() as u64, ..Counts::default() };
        let commit = Commit { dead_letters, counts, ..Commit::default() };
        self.store.commit(&lease.fence, sequence, commit).await.unwrap();
    }

    /// Pauses an account, as the engine keeps it.
    async fn pause(&self, account: &str) {
        let now = self.clock.now();
        let kept = json!({
            "account": account, "since": now, "next": now.plus(Duration::from_secs(60)),
            "waitSeconds": 60, "reason": "of ada@example.com", "fingerprint": "f",
        });
        let (name, value) = (format!("pause/{account}"), kept.to_string());
        self.store.vault_put(&name, value.as_bytes()).await.unwrap();
    }
}

impl Process {
    /// A run ends: its line is kept before anybody hears of it.
    async fn ran(&mut self, flow: &str, report: &Report) {
        let started = self.clock.now();
        self.store.record_run(flow, line(started, report.outcome())).await.unwrap();
        self.alerts.ended((flow, false), started, self.clock.elapsed(), report);
        self.teller.round().await;
    }

    /// What is in the inbox of the flow that is told, and was not there before.
    async fn told(&mut self) -> Vec<Value> {
        self.teller.round().await;
        let state = self.store.inbox_state("ops").await.unwrap();
        let entries = self.store.inbox("ops", (state.taken, state.last), 1 << 20).await.unwrap();
        let lease = self.store.lease("ops").await.unwrap();
        let sequence = lease.head.map_or(0, |head| head.sequence) + 1;
        let commit = Commit { taken: Some(state.last), ..Commit::default() };
        self.store.commit(&lease.fence, sequence, commit).await.unwrap();
        let mut told = vec![];
        for entry in entries {
            let entry: Value = serde_json::from_slice(&entry.bytes).unwrap();
            told.extend(entry["records"].as_array().unwrap().iter().map(|it| it["data"].clone()));
        }
        // What another system said may quote a record: nothing of it is passed on.
        assert!(!json!(told).to_string().contains("ada"), "{told:?}");
        told
    }
}

#[tokio::test]
async fn a_flow_that_fails_is_told_once_after_a_while_also_across_restarts() {
    let desk = Desk::new();
    let mut process = desk.process(alert(Of::Failing, 15));
    assert_eq!(process.told().await.len(), 0);
    process.ran("shop", &Report::default()).await;
    let since = desk.clock.now().plus(Duration::from_secs(MINUTE));
    for _ in 0..14 {
        desk.pass(1);
        process.ran("shop", &refused()).await;
    }
    assert_eq!(process.told().await.len(), 0, "13 minutes are not 15");
    // The first process goes before it is told, the second right after.
    let mut process = desk.process(alert(Of::Failing, 15));
    assert_eq!(process.told().await.len(), 0);
    desk.pass(2);
    let told = process.told().await;
    let [told] = &told[..] else { panic!("{told:?}") };
    let seen = json!({
        "flow": "shop", "state": "failing", "since": since, "at": desk.clock.now(),
        "failures": 14, "code": "unauthorized", "step": "order", "account": "crm",
        "message": "the account's credentials were refused", "needsChange": false,
        "command": "towpath state show shop",
    });
    assert_eq!(*told, seen);
    let mut process = desk.process(alert(Of::Failing, 15));
    desk.pass(60);
    process.ran("shop", &refused()).await;
    assert_eq!(process.told().await.len(), 0, "it was told");
    // It is well for one run: told too, and what fails again is another time.
    process.ran("shop", &Report::default()).await;
    let told = process.told().await;
    assert_eq!((told.len(), &told[0]["state"]), (1, &json!("recovered")), "{told:?}");
    assert_eq!(told[0]["since"], json!(since));
    desk.pass(1);
    process.ran("shop", &refused()).await;
    desk.pass(15);
    let told = process.told().await;
    assert_eq!((told.len(), &told[0]["failures"]), (1, &json!(1)), "{told:?}");
}

#[tokio::test]
async fn a_restart_learns_by_the_lines_of_runs_what_nobody_watched() {
    let desk = Desk::new();
    let at = |minutes: u64| desk.clock.now().minus(Duration::from_secs(minutes * MINUTE));
    for (minutes, outcome) in [(50, "failed"), (40, "completed"), (30, "paused"), (20, "stopped")] {
        desk.store.record_run("shop", line(at(minutes), outcome)).await.unwrap();
    }
    for (minutes, outcome) in [(50, "failed"), (40, "completed")] {
        desk.store.record_run("news", line(at(minutes), outcome)).await.unwrap();
    }
    let told = desk.process(alert(Of::Failing, 15)).told().await;
    let [told] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&told["since"], &told["code"]), (&json!(at(30)), &json!("failed")));
    // Run by hand while no service was there, it is well again.
    desk.store.record_run("shop", line(at(0), "completed")).await.unwrap();
    let told = desk.process(alert(Of::Failing, 15)).told().await;
    assert_eq!((told.len(), &told[0]["state"]), (1, &json!("recovered")), "{told:?}");
}

#[tokio::test]
async fn since_when_a_flow_fails_outlives_the_lines_of_its_runs() {
    let desk = Desk::new();
    let mut process = desk.process(alert(Of::Failing, 24 * 60));
    process.ran("shop", &Report::default()).await;
    let since = desk.clock.now();
    for _ in 0..120 {
        process.ran("shop", &refused()).await;
        desk.pass(10);
    }
    // Of 100 lines none is as old; a day after the first it is told all the same.
    let mut process = desk.process(alert(Of::Failing, 24 * 60));
    assert_eq!(process.told().await.len(), 0);
    desk.pass(4 * 60);
    let told = process.told().await;
    assert_eq!((told.len(), &told[0]["since"]), (1, &json!(since)), "{told:?}");
}

#[tokio::test]
async fn flows_that_are_told_others_and_paused_ones_are_not_told_of() {
    let desk = Desk::new();
    let names = Some(BTreeSet::from(["shop".to_owned(), "ops".to_owned(), "other-ops".to_owned()]));
    let mut process = desk.process(Alert { names, ..alert(Of::Failing, 0) });
    process.alerts.put(&"other-ops".into(), true, Some(alert(Of::Letters, 0)));
    for flow in ["ops", "other-ops", "news"] {
        desk.letters(flow, &["T1"]).await;
        process.ran(flow, &refused()).await;
    }
    assert_eq!(process.told().await, [json!(null); 0]);
    // Somebody paused it: told once it is to run again and fails still.
    let pause = crate::service::Pause {
        flow: "shop".to_owned(),
        since: desk.clock.now(),
        by: "ada".to_owned(),
        reason: None,
    };
    crate::service::pause(&*desk.store, pause).await.unwrap();
    process.ran("shop", &refused()).await;
    assert_eq!(process.told().await.len(), 0);
    crate::service::resume(&*desk.store, "shop").await.unwrap();
    assert_eq!(process.told().await.len(), 1);
    // What is not run any more is not well for that.
    process.alerts.remove("shop");
    assert_eq!(process.told().await.len(), 0);
}

#[tokio::test]
async fn a_burst_of_dead_letters_is_told_at_once_and_then_together() {
    let desk = Desk::new();
    desk.letters("shop", &["old"; 3]).await;
    let mut process = desk.process(alert(Of::Letters, 5));
    assert_eq!(process.told().await.len(), 0, "what was there before is not told");
    desk.pass(1);
    let mut report = Report::default();
    report.counts.dead_lettered = 1;
    for minute in 0..5 {
        desk.letters("shop", &["T1", "T2", "T1"]).await;
        process.ran("shop", &report).await;
        let told = process.told().await;
        let [first] = &told[..] else {
            assert!(minute > 0 && told.is_empty(), "{told:?}");
            desk.pass(1);
            continue;
        };
        let seen = json!({
            "flow": "shop", "count": 3, "total": 6, "at": desk.clock.now(),
            "codes": [
                { "code": "T1", "step": "order", "count": 2 },
                { "code": "T2", "step": "order", "count": 1 },
            ],
            "command": "towpath dead-letters list shop",
        });
        assert_eq!(*first, seen);
        desk.pass(1);
    }
    // Those that came meanwhile, though the process is another one.
    let since = desk.clock.now().minus(Duration::from_secs(5 * MINUTE));
    let mut process = desk.process(alert(Of::Letters, 5));
    let told = process.told().await;
    let [told] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&told["count"], &told["since"]), (&json!(12), &json!(since)));
    assert_eq!(process.told().await.len(), 0);
    // One of another flow, made by hand while no service was there.
    desk.letters("news", &["T3"]).await;
    let told = desk.process(alert(Of::Letters, 5)).told().await;
    assert_eq!((told.len(), &told[0]["flow"]), (1, &json!("news")), "{told:?}");
}

#[tokio::test]
async fn what_happens_while_nobody_is_told_is_known_when_somebody_is_again() {
    let desk = Desk::new();
    for of in [Of::Failing, Of::Letters] {
        let mut process = desk.process(alert(of, 0));
        process.ran("news", &Report::default()).await;
        process.ran("shop", &refused()).await;
        desk.letters("news", &["T1"]).await;
        let mut lettered = Report::default();
        lettered.counts.dead_lettered = 1;
        process.ran("news", &lettered).await;
        assert_eq!(process.told().await.len(), 1, "{of:?}");
        // The file of the flow that is told is away for a while.
        process.alerts.remove("ops");
        process.teller.round().await;
        desk.pass(1);
        process.ran("shop", &Report::default()).await;
        process.ran("news", &refused()).await;
        desk.letters("news", &["T1", "T1"]).await;
        process.alerts.put(&"ops".into(), true, Some(alert(of, 0)));
        let told = process.told().await;
        let told: Vec<_> =
            told.iter().map(|it| (&it["flow"], &it["state"], &it["count"])).collect();
        let (shop, news, none) = (&json!("shop"), &json!("news"), &Value::Null);
        match of {
            Of::Failing => assert_eq!(
                told,
                [(shop, &json!("recovered"), none), (news, &json!("failing"), none)]
            ),
            _ => assert_eq!(told, [(news, none, &json!(2))]),
        }
        process.ran("news", &Report::default()).await;
        process.told().await;
        desk.store.vault_remove("told to flow/ops").await.unwrap();
    }
}

#[tokio::test]
async fn an_account_is_told_of_when_it_is_paused_and_used_again() {
    let desk = Desk::new();
    desk.pause("crm").await;
    let since = desk.clock.now();
    let told = desk.process(alert(Of::Paused, 0)).told().await;
    let seen = json!({
        "account": "crm", "state": "paused", "since": since, "at": since,
        "nextProbe": since.plus(Duration::from_secs(60)),
        "message": "its credentials were refused: nothing is asked or sent with it",
        "command": "towpath account test crm",
    });
    assert_eq!(told, [seen]);
    let mut process = desk.process(alert(Of::Paused, 0));
    assert_eq!(process.told().await.len(), 0, "it was told");
    desk.store.vault_remove("pause/crm").await.unwrap();
    let told = process.told().await;
    assert_eq!((told.len(), &told[0]["state"]), (1, &json!("resumed")), "{told:?}");
    desk.pass(1);
    desk.pause("crm").await;
    assert_eq!(process.told().await.len(), 1, "another pause");
}

#[tokio::test]
async fn what_was_on_its_way_at_the_end_of_a_process_comes_once() {
    let desk = Desk::new();
    let (process, since) = (desk.process(alert(Of::Paused, 0)), desk.clock.now());
    drop(process);
    // Killed between the write that keeps what is told and the inbox, or right behind the inbox.
    let mut told = kept::Told::new(Of::Paused);
    let record = serde_json::value::to_raw_value(&json!({ "account": "crm" })).unwrap();
    let key = format!("paused/crm/{}", since.millis());
    told.waiting.push(kept::Waiting { key, about: "crm".to_owned(), record });
    let mark = kept::Mark { at: since, ..kept::Mark::default() };
    told.marks.insert("crm".to_owned(), mark);
    desk.pause("crm").await;
    for expected in [1, 0] {
        kept::keep_told(&*desk.store, "ops", &told).await.unwrap();
        let mut process = desk.process(alert(Of::Paused, 0));
        assert_eq!(process.told().await.len(), expected);
    }
}

#[test]
fn a_clock_that_is_set_back_makes_nobody_wait_for_what_it_showed() {
    let failure = failure::Failure::unknown();
    let kept = kept::KeptStreak { since: Timestamp::from_secs(1_000_000), failure };
    let streak = heard::Streak::new(kept, Duration::from_secs(50));
    let lasted = |now, elapsed| {
        streak.lasted(Timestamp::from_secs(now), Duration::from_secs(elapsed)).as_secs()
    };
    assert_eq!((lasted(1_000_100, 60), lasted(1_000, 60)), (100, 10));
}
