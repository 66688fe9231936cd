//! The promises of the runtime, a test each: what every other test, too, may rely on.
//!
//! `simulation` holds most of them in thousands of made-up worlds; here each one can be read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sources;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use connector::ManualClock;
use connector::prelude::*;
use engine::{Silent, Snapshot, Stop};
use sandbox::{Action, Fault, Vendor};
use store::{Durability, MasterKey, MemoryStore, SledOptions, SledStore, Store};
use towpath_tests::{Board, Dying, Moment, World, flow_of, record, step_once};

const FLOW: &str = include_str!("../../../flows/newsletter-to-clevertap.yaml");

fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(MasterKey::generate()))
}

/// Three pages of two records each.
fn three_pages() -> Arc<Board> {
    let page = |page: i64| (0..2).map(|at| record(&format!("{page}{at}"), 100, page)).collect();
    Board::with_pages((0..3).map(page).collect())
}

async fn snapshot(store: &dyn Store) -> Option<Snapshot> {
    let head = store.head("scripted").await.unwrap()?;
    Some(Snapshot::read("scripted", &head.snapshot).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_01_a_snapshot_never_passes_a_record_that_is_not_settled() {
    let board = three_pages();
    // The second page is refused as a whole, the third one is long delivered by then.
    board.on_send(|batch| {
        if batch.items.iter().any(|item| &*item.key == "10") {
            return Err(Error::config("out of order"));
        }
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::done(Value::Null));
        Ok(outcomes)
    });
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    assert!(!board.run(store.clone(), &flow).await.errors.is_empty());
    let left = snapshot(&*store).await.unwrap();
    let part = left.partitions.get("").unwrap();
    assert_eq!((left.last_updated, part.last_updated), (None, None));
    assert_eq!(
        part.scan.as_ref().unwrap().cursor,
        Some(json!(1)),
        "only the first page is settled"
    );

    board.on_send(|batch| {
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::done(Value::Null));
        Ok(outcomes)
    });
    board.take_keys();
    assert!(board.run(store.clone(), &flow).await.errors.is_empty());
    assert_eq!(board.take_keys(), ["10", "11", "20", "21"]);
    assert_eq!(snapshot(&*store).await.unwrap().last_updated, Some(Timestamp::from_secs(100)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_01_killed_at_any_commit_a_restart_loses_nothing() {
    for (at, moment) in (1..=3).flat_map(|at| [(at, Moment::Before), (at, Moment::After)]) {
        let (board, store) = (three_pages(), memory());
        let flow = Arc::new(flow_of(&board));
        board.run(Arc::new(Dying::new(store.clone(), at, moment)), &flow).await;
        assert!(board.run(store.clone(), &flow).await.errors.is_empty());
        let mut keys = board.take_keys();
        keys.dedup();
        assert_eq!(keys, ["00", "01", "10", "11", "20", "21"], "{at}, {moment:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_02_nothing_is_swallowed() {
    let failure = r#"{"error":{"code":500,"message":"Database away"}}"#;
    for (vendor, path, action) in [
        // An outage is no empty page, and a 200 with a failure inside is a failure.
        (Vendor::CleverReach, "/receivers", Action::status(500)),
        (Vendor::CleverReach, "/receivers", Action::body(failure)),
        (Vendor::CleverTap, "/1/upload", Action::body(r#"{"status":"fail","error":"no"}"#)),
    ] {
        let world = World::with(3).await;
        let flow = world.flow(FLOW);
        world.sandbox.fault(Fault::new(vendor, path, action.clone()).forever());
        assert!(!world.run(&flow).await.errors.is_empty(), "{action:?}");
        assert!(world.snapshot(&flow.name).await.is_none(), "{action:?}");
        assert_eq!(world.uploaded(), 0, "{action:?}");
    }
    // A mapping that fails is a dead letter with its reason, never the record as it was.
    let world = World::with(3).await;
    let fails = "    groupName: Newsletter\n    customMapping: $error(\"no\")";
    let flow = world.flow(&FLOW.replace("    groupName: Newsletter", fails));
    assert_eq!(world.run(&flow).await.counts.dead_lettered, 3);
    assert_eq!(world.uploaded(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_03_what_is_not_idempotent_is_journaled_and_never_sent_twice_unasked() {
    // Before and after every commit, and with an answer that is lost: `journal.rs` has every write.
    for (at, moment) in (1..=3).flat_map(|at| [(at, Moment::Before), (at, Moment::After)]) {
        let (board, store) = (three_pages(), memory());
        let mut flow = flow_of(&board);
        flow.steps = vec![step_once(&board, "collect", vec![])];
        // One page after another: what is under way when it dies would be in doubt by rights.
        flow.window = NonZeroUsize::MIN;
        let flow = Arc::new(flow);
        // It arrives, and nobody learns of it.
        board.on_send(|batch| {
            if batch.items.iter().any(|item| &*item.key == "10") {
                return Err(Error::Unknown { reason: "the answer broke off".to_owned() });
            }
            let mut outcomes = batch.outcomes();
            outcomes.fill(&Outcome::done(Value::Null));
            Ok(outcomes)
        });
        board.run(Arc::new(Dying::new(store.clone(), at, moment)), &flow).await;
        // The run that loses an answer says so; the ones behind it go on.
        for _ in 0..3 {
            board.run(store.clone(), &flow).await;
        }
        let errors = board.run(store.clone(), &flow).await.errors;
        assert!(errors.is_empty(), "{at}, {moment:?}: {errors:?}");
        let keys = board.take_keys();
        assert_eq!(keys, ["00", "01", "10", "11", "20", "21"], "each once: {at}, {moment:?}");
        let letters = store.dead_letters(Some("scripted")).await.unwrap();
        let codes: Vec<_> = letters.iter().map(|it| &*it.code).collect();
        assert_eq!(codes, ["inDoubt", "inDoubt"], "{at}, {moment:?}");
        assert!(store.journaled("scripted").await.unwrap().is_empty(), "{at}, {moment:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_04_one_run_of_a_flow_at_a_time_and_a_stale_one_commits_nothing() {
    let (board, store) = (Board::new(), memory());
    let (asks, mut asked) = tokio::sync::watch::channel(false);
    board.on_poll(move |_| {
        asks.send_replace(true);
        Ok(Page { records: vec![record("a", 100, 1)], next: None })
    });
    board.hold();
    let flow = Arc::new(flow_of(&board));
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
    let engine = Arc::new(board.engine(store.clone(), clock));
    let (_stopper, stop) = Stop::new(Duration::from_secs(30));
    let (running, its_flow, its_stop) = (engine.clone(), flow.clone(), stop.clone());
    let first =
        tokio::spawn(async move { running.run(&its_flow, its_stop, Arc::new(Silent)).await });
    asked.wait_for(|asked| *asked).await.unwrap();
    let second = engine.run(&flow, stop, Arc::new(Silent)).await;
    assert!(matches!(second.errors.first(), Some(engine::Error::AlreadyRunning { .. })));
    // Another process takes the flow over; the first one may send, and commits nothing.
    let lease = store.lease("scripted").await.unwrap();
    assert!(lease.head.is_none());
    board.release();
    let report = first.await.unwrap();
    assert!(matches!(report.errors.first(), Some(engine::Error::Store { .. })), "{report:?}");
    assert!(store.head("scripted").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_05_changes_of_a_record_arrive_in_their_order() {
    let pages = (0..4).map(|value| vec![record("same", 100 + value, value)]).collect();
    let board = Board::with_pages(pages);
    // What comes first takes longest: without order, the others would overtake it.
    assert!(board.run(memory(), &Arc::new(flow_of(&board))).await.errors.is_empty());
    let values: Vec<_> =
        board.take_delivered().iter().map(|it| it.input["value"].clone()).collect();
    assert_eq!(values, [0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_07_no_more_than_the_window_is_held_however_slow_the_other_side_is() {
    let board = Board::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let (polls, slow) = (asked.clone(), board.clone());
    board.on_poll(move |scan| {
        let at = scan.cursor.unwrap_or(0);
        if polls.fetch_add(1, Ordering::SeqCst) + 1 == 4 {
            // The whole window is under way: only now does anything get through.
            slow.release();
        }
        let records = vec![record(&at.to_string(), 100, 1)];
        Ok(Page { records, next: Some(at + 1).filter(|next| *next < 20) })
    });
    board.hold();
    let most = Arc::new(AtomicUsize::new(0));
    let (answered, highest, polls) = (Arc::new(AtomicUsize::new(0)), most.clone(), asked.clone());
    board.on_send(move |batch| {
        let under_way = polls.load(Ordering::SeqCst) - answered.fetch_add(1, Ordering::SeqCst);
        highest.fetch_max(under_way, Ordering::SeqCst);
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::done(Value::Null));
        Ok(outcomes)
    });
    let report = board.run(memory(), &Arc::new(flow_of(&board))).await;
    assert_eq!((report.errors.len(), report.counts.delivered), (0, 20));
    // The window's pages, and none beyond.
    assert!(most.load(Ordering::SeqCst) <= 4, "{most:?} pages were held");
    assert_eq!(size_of::<store::Seen>(), 40, "what is remembered of a record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_08_secrets_stay_secret_and_what_people_wrote_is_sealed() {
    let world = World::with(20).await;
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let options =
        SledOptions { path: folder.path().join("store"), key: &key, durability: Durability::Full };
    let flow = world.flow(FLOW);
    let store: Arc<dyn Store> = Arc::new(SledStore::open(options).await.unwrap());
    // Some are refused, so that dead letters are kept, and the answers repeat the secrets.
    let spoken = format!(
        r#"{{"status":"fail","error":"{} {}","code":512}}"#,
        world.passcode, world.client_secret
    );
    let refused = Action::Body { status: 400, body: spoken };
    world.sandbox.fault(Fault::new(Vendor::CleverTap, "/1/upload", refused).times(2));
    let report = world.run_with(store.clone(), &flow).await;
    let mut said = format!("{:?}", report.errors);
    for letter in store.dead_letters(None).await.unwrap() {
        said += &format!("{letter:?}");
    }
    said += &format!("{:?}", store.runs(&flow.name).await.unwrap());
    drop(store);
    let secrets = [&*world.passcode, &*world.client_secret];
    for secret in secrets {
        assert!(!said.contains(secret), "{said}");
    }
    let receivers = world.sandbox.receivers();
    let addresses = receivers.iter().map(|it| it.email.as_str());
    let hidden: Vec<&str> = secrets.into_iter().chain(addresses).collect();
    let mut files = vec![folder.path().to_owned()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for text in &hidden {
            let found = bytes.windows(text.len()).any(|part| part == text.as_bytes());
            assert!(!found, "{text} lies open in {}", path.display());
        }
    }
}
