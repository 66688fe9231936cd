//! What a run does when the store fails, and when there is nothing to commit.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connector::prelude::*;
use connector::{ManualClock, Timestamp};
use engine::{Engine, Report, Silent, Stop};
use flow::Flow;
use store::{MasterKey, MemoryStore, Store};
use towpath_tests::{Board, Dying, Moment, World, flow_of, record, step_to};

struct Failing {
    board: Arc<Board>,
    store: MemoryStore,
    engine: Engine,
    flow: Arc<Flow>,
}

impl Failing {
    fn of(board: Arc<Board>) -> Self {
        let store = MemoryStore::new(MasterKey::generate());
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        let engine = board.engine(Arc::new(store.clone()), clock);
        let flow = Arc::new(flow_of(&board));
        Self { board, store, engine, flow }
    }

    /// Runs the flow in the same process as before; says what was sent.
    async fn run(&self) -> (Report, usize) {
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        let report = self.engine.run(&self.flow, stop, Arc::new(Silent)).await;
        (report, self.board.take_keys().len())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_makes_nothing_unseen() {
    let board = Board::new();
    let more = Arc::new(AtomicBool::new(false));
    let has_more = more.clone();
    board.on_poll(move |scan| {
        let since = match scan.want {
            Want::Changed { since } => since,
            Want::All => Timestamp::from_secs(0),
        };
        let older = (0..3_000).map(|n| record(&format!("a{n}"), 1000, n));
        let newer = (0..3_000).map(|n| record(&format!("b{n}"), 1050, n));
        let last = has_more.load(Ordering::SeqCst).then(|| record("z", 1100, 1));
        let all = older.chain(newer).chain(last);
        let records = all.filter(|it| it.version.is_some_and(|it| it >= since)).collect();
        Ok(Page { records, next: None })
    });
    let failing = Failing::of(board);
    assert_eq!(failing.run().await.1, 6_000);
    // The new record moves the horizon, so that the first half is pruned with its commit.
    more.store(true, Ordering::SeqCst);
    failing.store.crash_after(0);
    let (report, sent) = failing.run().await;
    assert_eq!((report.errors.is_empty(), sent), (false, 1));
    failing.store.crash_after(usize::MAX);
    let (report, sent) = failing.run().await;
    assert_eq!((report.errors.len(), sent), (0, 1), "only what was not committed");
    assert_eq!(failing.run().await.1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_nothing_is_asked_before_anything_is_sent_again() {
    let board = Board::with_pages(vec![(0..10).map(|n| record(&n.to_string(), 100, n)).collect()]);
    let failing = Failing::of(board);
    failing.store.crash_after(0);
    let (report, sent) = failing.run().await;
    assert_eq!((report.errors.is_empty(), sent), (false, 10));
    for _ in 0..3 {
        let (report, sent) = failing.run().await;
        assert_eq!((report.errors.is_empty(), sent), (false, 0));
    }
    failing.store.crash_after(usize::MAX);
    let (report, sent) = failing.run().await;
    assert_eq!((report.errors.len(), sent, report.counts.delivered), (0, 10, 10));
}

/// However many writes the store takes before it takes no more: nothing is lost, nothing counts
/// twice, and the same process goes on once there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_no_more_at_any_write_loses_nothing() {
    for writes in 0.. {
        let pages = (0..3)
            .map(|page| (0..8).map(|n| record(&format!("{page}-{n}"), 100 + page, n)).collect());
        let failing = Failing::of(Board::with_pages(pages.collect()));
        failing.board.on_send(|batch| {
            let mut outcomes = batch.outcomes();
            outcomes.fill(&Outcome::done(Value::Null));
            outcomes.set(0, Outcome::rejected("no", "not this one"));
            Ok(outcomes)
        });
        failing.store.crash_after(writes);
        let (first, _) = failing.run().await;
        failing.store.crash_after(usize::MAX);
        let (second, _) = failing.run().await;
        assert!(second.errors.is_empty(), "{writes}: {:?}", second.errors);
        let counts = failing.store.head("scripted").await.unwrap().unwrap().counts;
        assert_eq!(counts.emitted, 24, "{writes}");
        assert_eq!(counts.delivered + counts.dead_lettered, 24, "{writes}");
        let letters = failing.store.dead_letters(None).await.unwrap();
        assert_eq!(letters.len() as u64, counts.dead_lettered, "{writes}");
        let (third, sent) = failing.run().await;
        assert_eq!((third.errors.len(), sent), (0, 0), "{writes}");
        if first.errors.is_empty() {
            assert!(writes > 10, "{writes} are too few for three pages");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_refused_by_several_steps_counts_once() {
    let board = Board::with_pages(vec![(0..15).map(|n| record(&n.to_string(), 10, n)).collect()]);
    let (left, right) = (Board::new(), Board::new());
    for board in [&left, &right] {
        board.on_send(|batch| {
            let mut outcomes = batch.outcomes();
            outcomes.fill(&Outcome::rejected("no", "not this one"));
            Ok(outcomes)
        });
    }
    let mut failing = Failing::of(board);
    let mut flow = Flow::clone(&failing.flow);
    flow.steps = vec![step_to(&left, "left", vec![]), step_to(&right, "right", vec![])];
    failing.flow = Arc::new(flow);
    let (report, _) = failing.run().await;
    assert_eq!((report.errors.len(), report.counts.dead_lettered), (0, 30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_group_is_committed_once() {
    let world = World::with(0).await;
    let flow = world.flow(include_str!("../../flows/newsletter-to-clevertap.yaml"));
    let mut sequences = vec![];
    for _ in 0..3 {
        assert!(world.run(&flow).await.errors.is_empty());
        sequences.push(world.store.head(&flow.name).await.unwrap().unwrap().sequence);
        world.clock.advance(Duration::from_secs(7200));
    }
    assert_eq!(sequences, [1, 1, 1]);
}

/// Waits on a thread that does not belong to the runtime meanwhile: a task that was woken from here
/// would have to wait for this one, too.
fn wait_until(is_so: impl Fn() -> bool) {
    tokio::task::block_in_place(|| {
        while !is_so() {
            std::thread::yield_now();
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_page_arrives_while_one_is_committed() {
    let board = Board::new();
    let store = Arc::new(Dying::held(Arc::new(MemoryStore::new(MasterKey::generate()))));
    let held = store.clone();
    board.on_poll(move |scan| {
        if scan.cursor.is_some() {
            wait_until(|| held.begun() > 0);
            // The first commit ends only now.
            held.let_through(2);
            return Ok(Page { records: vec![record("b", 100, 1)], next: None });
        }
        Ok(Page { records: vec![record("a", 100, 1)], next: Some(1) })
    });
    let flow = Arc::new(flow_of(&board));
    let report = board.run(store.clone(), &flow).await;
    assert_eq!((report.errors.len(), report.counts.delivered, store.begun()), (0, 2, 2));
}

/// Invariant: one polling run a flow at a time, so nothing of a run goes on behind its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_still_arriving_when_a_commit_fails_ends_with_the_run() {
    let board = Board::new();
    board.hold();
    let memory = Arc::new(MemoryStore::new(MasterKey::generate()));
    let store = Arc::new(Dying::new(memory, 1, Moment::Before));
    let arriving = Arc::new(AtomicBool::new(false));
    let (released, dying, under_way) = (board.clone(), store.clone(), arriving.clone());
    board.on_poll(move |scan| {
        if scan.cursor.is_some() {
            under_way.store(true, Ordering::SeqCst);
            released.release();
            wait_until(|| dying.is_dead());
            // A while longer than a run needs that does not wait for this.
            for _ in 0..10_000 {
                std::thread::yield_now();
            }
            under_way.store(false, Ordering::SeqCst);
        }
        Ok(Page { records: vec![record("a", 100, 1)], next: Some(1) })
    });
    let flow = Arc::new(flow_of(&board));
    let report = board.run(store.clone(), &flow).await;
    assert!(store.is_dead() && !report.errors.is_empty());
    assert!(!arriving.load(Ordering::SeqCst), "the fetch outlived its run");
}
