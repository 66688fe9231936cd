//! Accounts that are left alone: circuit breakers and pauses, over all flows and across restarts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::prelude::*;
use connector::{Clock, ManualClock};
use engine::{AccountState, Answer, Engine, Event, Handle, Report, Request, Silent, Stop, Watch};
use flow::Flow;
use sandbox::{Action, Fault, Vendor};
use tokio::sync::{Notify, oneshot};
use towpath_tests::World;

const FLOW: &str = include_str!("../../flows/newsletter-to-clevertap.yaml");
const NAME: &str = "newsletter-to-clevertap";

/// A clock on which time passes only when the test says so: waits end in their order.
struct Stepped {
    shows: ManualClock,
    waits: Mutex<BTreeMap<(Duration, u64), oneshot::Sender<()>>>,
    waiting: Notify,
}

impl Stepped {
    fn new() -> Arc<Self> {
        let shows = ManualClock::new(Timestamp::from_secs(towpath_tests::START));
        Arc::new(Self { shows, waits: Mutex::default(), waiting: Notify::new() })
    }

    /// Lets time pass until the first of the waits ends.
    fn step(&self) {
        let Some(((until, _), ended)) = self.waits.lock().unwrap().pop_first() else { return };
        self.shows.advance(until.saturating_sub(self.shows.elapsed()));
        let _gone = ended.send(()).is_err();
    }

    fn waits(&self) -> usize {
        self.waits.lock().unwrap().values().filter(|ended| !ended.is_closed()).count()
    }
}

#[async_trait]
impl Clock for Stepped {
    fn now(&self) -> Timestamp {
        self.shows.now()
    }

    fn elapsed(&self) -> Duration {
        self.shows.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        let (sender, ended) = oneshot::channel();
        {
            let mut waits = self.waits.lock().unwrap();
            let number = waits.keys().map(|(_, number)| number + 1).max().unwrap_or(0);
            waits.insert((self.elapsed() + duration, number), sender);
        }
        self.waiting.notify_one();
        ended.await.unwrap();
    }
}

/// Notes what becomes of accounts.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Watch for Notes {
    fn on(&self, event: &Event<'_>) {
        if let Event::Account { account, change } = event {
            let change = format!("{change:?}");
            let change = change.split([' ', '{']).next().unwrap_or_default().to_owned();
            self.0.lock().unwrap().push(format!("{account}: {change}"));
        }
    }
}

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn flows(world: &World, count: usize) -> Vec<Arc<Flow>> {
    flows_of(world, (FLOW, NAME), count)
}

fn flows_of(world: &World, (text, name): (&str, &str), count: usize) -> Vec<Arc<Flow>> {
    let named = |at| text.replace(&format!("flow: {name}"), &format!("flow: storm-{at}"));
    (0..count).map(|at| world.flow(&named(at))).collect()
}

async fn run(engine: &Engine, flow: &Arc<Flow>) -> Report {
    let (_stopper, stop) = Stop::new(Duration::from_secs(30));
    engine.run(flow, stop, Arc::new(Silent)).await
}

/// Runs flows at once, and lets time pass whenever all that still run wait.
async fn run_all(engine: &Arc<Engine>, clock: &Arc<Stepped>, flows: &[Arc<Flow>]) -> Vec<Report> {
    let mut runs = tokio::task::JoinSet::new();
    for flow in flows {
        let (engine, flow) = (engine.clone(), flow.clone());
        runs.spawn(async move { run(&engine, &flow).await });
    }
    let mut reports = vec![];
    while reports.len() < flows.len() {
        if clock.waits() == flows.len() - reports.len() {
            clock.step();
        }
        tokio::select! {
            biased;
            Some(ended) = runs.join_next() => reports.push(ended.unwrap()),
            () = clock.waiting.notified() => {}
        }
    }
    reports
}

fn outcomes(reports: &[Report]) -> BTreeMap<&'static str, usize> {
    let mut outcomes = BTreeMap::new();
    for report in reports {
        *outcomes.entry(report.outcome()).or_insert(0) += 1;
    }
    outcomes
}

async fn states(world: &World) -> Vec<AccountState> {
    match Handle::new(world.store.clone()).ask(Request::Accounts).await.unwrap() {
        Answer::Accounts { accounts } => accounts,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_500_against_twenty_flows_is_met_by_a_breaker_and_probes() {
    let world = World::with(5).await;
    let clock = Stepped::new();
    let engine = Arc::new(world.engine_by(world.store.clone(), clock.clone()));
    let notes = Arc::new(Notes::default());
    engine.tell_of_accounts(notes.clone());
    let flows = flows(&world, 20);
    world.sandbox.fault(Fault::new(Vendor::CleverReach, "", Action::status(500)).forever());

    let reports = run_all(&engine, &clock, &flows).await;
    assert!(!outcomes(&reports).contains_key("completed"), "{:?}", outcomes(&reports));
    // Twenty open it, as many as may be under way besides were on their way, and then one at a
    // time: after 10, 20, 40, 80, 160 and 300 s, until the runs end after ten minutes.
    let requests = world.sandbox.stats().cleverreach.total_requests();
    assert!((20..=20 + 3 + 6).contains(&requests), "{requests}");
    let opened = notes.take();
    assert!(opened.iter().all(|it| it == "newsletter: BreakerOpened"), "{opened:?}");
    let [state] = &states(&world).await[..] else { panic!() };
    let [open] = &state.open[..] else { panic!("{state:?}") };
    assert_eq!((&*state.account, &*open.class), ("newsletter", "default"));
    assert!(open.rest.reason.contains("500"), "{open:?}");

    // The next process probes at once; meanwhile all others wait.
    let engine = Arc::new(world.engine_by(world.store.clone(), clock.clone()));
    engine.tell_of_accounts(notes.clone());
    let before = world.sandbox.stats().cleverreach.total_requests();
    let again = run_all(&engine, &clock, &flows).await;
    assert!(!outcomes(&again).contains_key("completed"), "{:?}", outcomes(&again));
    let probes = world.sandbox.stats().cleverreach.total_requests() - before;
    assert!(probes <= 7, "{probes}");

    world.sandbox.clear_faults();
    clock.shows.advance(Duration::from_secs(300));
    let reports = run_all(&engine, &clock, &flows).await;
    assert_eq!(outcomes(&reports), [("completed", 20)].into());
    assert_eq!(notes.take().last().unwrap(), "newsletter: BreakerClosed");
    assert!(states(&world).await.is_empty());
}

/// A call that leaves its messages in doubt is settled, and all the same a failure of its system:
/// the breaker counts it, and what it holds back was surely not sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_leave_events_in_doubt_open_the_breaker_too() {
    const EVENTS: &str = include_str!("../../flows/newsletter-events.yaml");
    const FLOWS: usize = 80;
    let world = World::with(2).await;
    let clock = Stepped::new();
    let engine = Arc::new(world.engine_by(world.store.clone(), clock.clone()));
    let notes = Arc::new(Notes::default());
    engine.tell_of_accounts(notes.clone());
    let flows = flows_of(&world, (EVENTS, "newsletter-events"), FLOWS);
    world.sandbox.fault(Fault::new(Vendor::CleverTap, "", Action::status(500)).forever());
    let reports = run_all(&engine, &clock, &flows).await;
    assert!(!outcomes(&reports).contains_key("completed"), "{:?}", outcomes(&reports));
    // Twenty open it, as many as may be under way besides were on their way, and then one at a
    // time probes it.
    let requests = world.sandbox.stats().clevertap.total_requests();
    assert!((20..=20 + 15 + 6).contains(&requests), "{requests}");
    assert!(notes.take().contains(&"engagement: BreakerOpened".to_owned()));
    let letters = world.store.dead_letters(None).await.unwrap();
    assert!(letters.iter().all(|it| it.code == "inDoubt"), "{letters:?}");
    assert_eq!(letters.len() as u64, 2 * requests, "those that were sent, and no other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_whose_credentials_are_refused_is_paused_and_probes_itself() {
    let world = World::with(5).await;
    let engine = world.engine(world.store.clone());
    let notes = Arc::new(Notes::default());
    engine.tell_of_accounts(notes.clone());
    let flows = flows(&world, 5);
    let refuse = || Fault::new(Vendor::CleverReach, "", Action::status(401)).forever();
    world.sandbox.fault(refuse());
    let requests = || world.sandbox.stats().cleverreach.total_requests();

    assert_eq!(run(&engine, &flows[0]).await.outcome(), "failed");
    assert_eq!(notes.take(), ["newsletter: Paused"]);
    let sent = requests();
    for flow in &flows {
        let report = run(&engine, flow).await;
        assert_eq!(report.outcome(), "paused");
        let error = report.errors[0].to_string();
        assert!(error.contains("paused since 2026-03-01T12:00:00Z"), "{error}");
        assert!(error.contains("towpath account resume newsletter"), "{error}");
    }
    assert_eq!(requests(), sent, "a paused account is not asked");

    // Whatever the clock is set to, the first probe comes after a minute, the next after two.
    world.clock.advance(Duration::from_secs(59));
    world.clock.set(Timestamp::from_secs(towpath_tests::START + 86_400 * 365));
    assert_eq!(run(&engine, &flows[1]).await.outcome(), "paused");
    world.clock.set(Timestamp::from_secs(towpath_tests::START - 86_400 * 365));
    assert_eq!(run(&engine, &flows[1]).await.outcome(), "paused");
    assert_eq!(requests(), sent);
    world.clock.set(Timestamp::from_secs(towpath_tests::START + 59));
    world.clock.advance(Duration::from_secs(1));
    run(&engine, &flows[1]).await;
    assert_eq!(requests(), sent + 1, "one probe");
    world.clock.advance(Duration::from_secs(119));
    assert_eq!(run(&engine, &flows[1]).await.outcome(), "paused");

    // It holds across a restart, and ends when a probe passes.
    let engine = world.engine(world.store.clone());
    engine.tell_of_accounts(notes.clone());
    assert_eq!(run(&engine, &flows[2]).await.outcome(), "paused");
    assert_eq!(requests(), sent + 1);
    world.sandbox.clear_faults();
    world.clock.advance(Duration::from_secs(120));
    assert_eq!(run(&engine, &flows[2]).await.outcome(), "completed");
    assert_eq!(notes.take(), ["newsletter: Resumed"]);
    assert_eq!(run(&engine, &flows[3]).await.outcome(), "completed");
    assert!(states(&world).await.is_empty());
}

/// Some regions of CleverTap answer bad credentials as they answer a body that they cannot read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_are_refused_like_a_bad_body_make_no_dead_letters() {
    let world = World::with(2).await;
    let engine = world.engine(world.store.clone());
    let flow = world.flow(FLOW);
    let body = r#"{"status":"fail","error":"Failed to process request","code":400}"#.to_owned();
    let refuse = Action::Body { status: 400, body };
    world.sandbox.fault(Fault::new(Vendor::CleverTap, "", refuse).forever());
    assert_eq!(run(&engine, &flow).await.outcome(), "failed");
    for minutes in [1, 2, 4] {
        world.clock.advance(Duration::from_secs(60 * minutes));
        let report = run(&engine, &flow).await;
        assert!(matches!(report.outcome(), "failed" | "paused"), "{report:?}");
        assert_eq!(report.counts.dead_lettered, 0, "{report:?}");
    }
    assert!(world.store.dead_letters(None).await.unwrap().is_empty());
    world.sandbox.clear_faults();
    world.clock.advance(Duration::from_secs(3_600));
    assert_eq!(run(&engine, &flow).await.outcome(), "completed");
    assert_eq!(world.sandbox.delivered_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_secret_or_a_command_ends_a_pause() {
    let mut world = World::with(5).await;
    let right = std::mem::replace(&mut world.passcode, "NOT-THE-PASS".to_owned());
    let flow = world.flow(FLOW);
    assert_eq!(world.run(&flow).await.outcome(), "failed");
    assert_eq!(world.run(&flow).await.outcome(), "paused");
    let [state] = &states(&world).await[..] else { panic!() };
    let paused = state.paused.as_ref().unwrap();
    assert!(!paused.reason.contains("NOT-THE-PASS"), "{paused:?}");
    let sent = world.sandbox.stats().clevertap.total_requests();

    // The same wrong one again: the command lets one request probe.
    let handle = Handle::new(world.store.clone());
    let resume = || Request::Resume { account: "engagement".to_owned() };
    let resumed = handle.ask(resume()).await.unwrap();
    assert!(matches!(resumed, Answer::Resumed { was: true }));
    assert_eq!(world.run(&flow).await.outcome(), "failed");
    assert_eq!(world.sandbox.stats().clevertap.total_requests(), sent + 1);
    assert_eq!(world.run(&flow).await.outcome(), "paused");

    world.passcode = right;
    assert_eq!(world.run(&flow).await.counts.delivered, 5);
    assert!(states(&world).await.is_empty());
    assert!(matches!(handle.ask(resume()).await.unwrap(), Answer::Resumed { was: false }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_resumed_under_a_running_engine() {
    let world = World::with(5).await;
    let engine = world.engine(world.store.clone());
    let flow = world.flow(FLOW);
    world.sandbox.fault(Fault::new(Vendor::CleverReach, "", Action::status(401)).forever());
    assert_eq!(run(&engine, &flow).await.outcome(), "failed");
    assert_eq!(run(&engine, &flow).await.outcome(), "paused");
    world.sandbox.clear_faults();
    let request = Request::Resume { account: "newsletter".to_owned() };
    Handle::new(world.store.clone()).ask(request).await.unwrap();
    assert_eq!(run(&engine, &flow).await.outcome(), "completed");
}
