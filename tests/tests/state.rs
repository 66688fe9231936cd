//! State in the operator's hands: what is taken back, sent again, filled in, and carried over.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::prelude::*;
use connector::{ManualClock, Want};
use engine::{
    Answer, Changed, Engine, Handle, Imported, Report, Request, RewindTo, Rewound, Silent,
    StateChange, Stop, Taken,
};
use flow::Flow;
use store::{MasterKey, MemoryStore, Store};
use towpath_tests::{Board, flow_of, record, sweeping_flow_of};

/// The clock's seconds.
const NOW: i64 = 1_000_000;
/// A poll gives so many records a page.
const PAGE: usize = 10;

/// A system of records in pages, a flow that reads it, and what is kept of that.
struct Story {
    board: Arc<Board>,
    flow: Arc<Flow>,
    records: Arc<Mutex<Vec<Record>>>,
    store: MemoryStore,
}

impl Story {
    /// So many records `k000`, `k001` …, changed at 1,000 s, 1,001 s …, all of them moved once.
    async fn of(count: usize, flow: impl Fn(&Board) -> Flow) -> Self {
        let board = Board::new();
        let records: Vec<_> = (0..count).map(|n| record(&key(n), 1_000 + n as i64, 10)).collect();
        let records = Arc::new(Mutex::new(records));
        let listed = records.clone();
        board.on_poll(move |scan| {
            let since = match scan.want {
                Want::Changed { since } => Some(since),
                Want::All => None,
            };
            let listed = listed.lock().unwrap();
            let found: Vec<_> = listed.iter().filter(|it| it.version >= since).collect();
            let at = scan.cursor.unwrap_or(0);
            let records = found.iter().skip(at * PAGE).take(PAGE).map(|it| (*it).clone()).collect();
            Ok(Page { records, next: Some(at + 1).filter(|next| next * PAGE < found.len()) })
        });
        let flow = Arc::new(flow(&board));
        let story = Self { board, flow, records, store: MemoryStore::new(MasterKey::generate()) };
        assert_eq!(story.run().await.len(), count);
        story
    }

    fn engine_on(&self, store: &MemoryStore) -> Arc<Engine> {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
        Arc::new(self.board.engine(Arc::new(store.clone()), clock))
    }

    /// Runs the flow, on a process of its own; gives the keys that were sent, sorted.
    async fn run(&self) -> Vec<String> {
        let (report, keys) = self.run_on(&self.store).await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        keys
    }

    async fn run_on(&self, store: &MemoryStore) -> (Report, Vec<String>) {
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        let report = self.engine_on(store).run(&self.flow, stop, Arc::new(Silent)).await;
        (report, self.board.take_keys())
    }

    async fn ask_on(&self, store: &MemoryStore, change: Change) -> engine::Result<Answer> {
        let engine = self.engine_on(store);
        let change = change(engine.source(&self.flow).unwrap());
        let flow = self.flow.name.clone();
        Handle::of(engine).ask(Request::Change { flow, change }).await
    }

    async fn ask(&self, change: Change) -> Answer {
        self.ask_on(&self.store, change).await.unwrap()
    }

    async fn rewind(&self, to: RewindTo) -> (Changed, Rewound) {
        let by_time = true;
        let rewind =
            Box::new(move |source| StateChange::Rewind { source, by_time, to, dry: false });
        match self.ask(rewind).await {
            Answer::Rewound { changed, rewound } => (changed, rewound),
            other => panic!("{other:?}"),
        }
    }

    async fn backfill(&self, from: i64) {
        let from = Timestamp::from_secs(from);
        self.ask(Box::new(move |source| StateChange::Backfill { source, from, until: None })).await;
    }

    fn change(&self, n: usize, seconds: i64, value: i64) {
        let mut records = self.records.lock().unwrap();
        *records.iter_mut().find(|it| it.key == key(n)).unwrap() = record(&key(n), seconds, value);
    }

    /// The causes of the remembered snapshots, newest first.
    async fn causes(&self) -> Vec<String> {
        let history = self.store.history(&self.flow.name).await.unwrap();
        history.into_iter().map(|it| it.cause).collect()
    }
}

/// A change of the state, given the source's fingerprint.
type Change = Box<dyn FnOnce(String) -> StateChange + Send>;

fn key(n: usize) -> String {
    format!("k{n:03}")
}

fn keys(from: usize, to: usize) -> Vec<String> {
    (from..to).map(key).collect()
}

#[tokio::test]
async fn a_rewind_sends_what_changed_since_and_can_be_taken_back() {
    let story = Story::of(100, flow_of).await;
    assert_eq!(story.run().await, [""; 0]);
    let (changed, rewound) = story.rewind(RewindTo::Time(Timestamp::from_secs(1_060))).await;
    assert_eq!((rewound.from, rewound.to), (at(1_099), at(1_060)));
    assert!(rewound.resends && rewound.remembered == 40, "{rewound:?}");
    // Taken back before a run: nothing is sent again.
    story.rewind(RewindTo::Entry(changed.before.unwrap())).await;
    assert_eq!(story.run().await, [""; 0]);
    // Done for good: everything since then, once, and nothing of the overlap before.
    story.rewind(RewindTo::By(39_000)).await;
    assert_eq!(story.run().await, keys(60, 100));
    assert_eq!(story.run().await, [""; 0]);
    assert_eq!(story.causes().await, ["scan", "rewind", "rewind", "rewind", "scan"]);
    // Back to the first entry, before which everything was settled: nothing since then is new.
    let history = story.store.history(&story.flow.name).await.unwrap();
    let first = history.last().unwrap().sequence;
    story.change(5, 2_000, 11);
    assert_eq!(story.run().await, [key(5)]);
    story.rewind(RewindTo::Entry(first)).await;
    assert!(story.run().await.contains(&key(5)));
    assert_eq!(story.run().await, [""; 0]);
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp::from_secs(seconds))
}

#[tokio::test]
async fn a_reset_that_is_taken_back_sends_nothing_again() {
    let story = Story::of(30, flow_of).await;
    let reset = || -> Change { Box::new(|source| StateChange::Reset { source }) };
    let Answer::Changed { changed } = story.ask(reset()).await else { panic!() };
    story.rewind(RewindTo::Entry(changed.before.unwrap())).await;
    assert_eq!(story.run().await, [""; 0]);
    story.ask(reset()).await;
    assert_eq!(story.run().await.len(), 30);
}

#[tokio::test]
async fn a_sweep_after_a_rewind_sends_only_what_changed_since() {
    let story = Story::of(50, |board| sweeping_flow_of(board, Duration::from_secs(3600))).await;
    story.rewind(RewindTo::Time(Timestamp::from_secs(1_040))).await;
    assert_eq!(story.run().await, keys(40, 50));
    let day = Timestamp::from_secs(NOW + 86_400);
    let engine = story.board.engine(Arc::new(story.store.clone()), Arc::new(ManualClock::new(day)));
    let (_stopper, stop) = Stop::new(Duration::from_secs(30));
    let swept = engine.run(&story.flow, stop, Arc::new(Silent)).await;
    assert_eq!((swept.counts.unchanged >= 50, swept.counts.emitted), (true, 0));
}

#[tokio::test]
async fn live_changes_arrive_within_a_page_of_a_backfill_and_are_not_sent_twice() {
    let story = Story::of(100, flow_of).await;
    story.backfill(1_050).await;
    // With the first page of the backfill, two records change: one that it has still to come to,
    // and one that it has sent.
    let records = story.records.clone();
    story.board.on_send(move |batch| {
        let mut records = records.lock().unwrap();
        for n in [50, 99] {
            let it = records.iter_mut().find(|it| it.key == key(n)).unwrap();
            *it = record(&key(n), 2_000, 11);
        }
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::done(Value::Null));
        Ok(outcomes)
    });
    let (_stopper, stop) = Stop::new(Duration::from_secs(30));
    let engine = story.engine_on(&story.store);
    let report = engine.run(&story.flow, stop, Arc::new(Silent)).await;
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let sent: Vec<_> = story.board.take_delivered().into_iter().map(|it| it.key).collect();
    let expected = [keys(50, 60), vec![key(50), key(99)], keys(60, 99)].concat();
    assert_eq!(sent, expected);
    let covered = report.backfill.unwrap();
    assert!(covered.is_complete && covered.by_time);
    let counts = covered.backfill.counts;
    assert_eq!((counts.records, counts.emitted, counts.unchanged), (50, 49, 1));
    assert_eq!(story.run().await, [""; 0]);
    assert_eq!(story.causes().await.first().map(String::as_str), Some("backfill"));
}

#[tokio::test]
async fn a_backfill_that_is_killed_anywhere_goes_on_and_repeats_a_page_at_most() {
    let story = Story::of(60, flow_of).await;
    story.backfill(1_010).await;
    let mut killed = 0;
    for writes in 0.. {
        let store = story.store.reopen().await.unwrap();
        store.crash_after(writes);
        let (report, mut sent) = story.run_on(&store).await;
        let died = !report.errors.is_empty();
        let store = store.reopen().await.unwrap();
        let (report, rest) = story.run_on(&store).await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        sent.extend(rest);
        let all = sent.len();
        sent.sort();
        sent.dedup();
        assert_eq!(sent, keys(10, 60), "killed after {writes} writes");
        assert!(all <= 50 + PAGE, "killed after {writes} writes: {all} sent");
        let (_, again) = story.run_on(&store).await;
        assert_eq!(again, [""; 0]);
        if !died {
            break;
        }
        killed += 1;
    }
    assert!(killed > 10, "{killed}");
}

#[tokio::test]
async fn a_backfill_is_one_at_a_time_and_can_be_ended() {
    let story = Story::of(30, flow_of).await;
    story.backfill(1_000).await;
    let from = Timestamp::from_secs(1_010);
    let other = move |source| StateChange::Backfill { source, from, until: None };
    let refused = story.ask_on(&story.store, Box::new(other)).await.unwrap_err().to_string();
    assert!(refused.contains("--stop-backfill"), "{refused}");
    let stop = || -> Change { Box::new(|_| StateChange::StopBackfill) };
    assert!(matches!(story.ask(stop()).await, Answer::Stopped { backfill: Some(_) }));
    assert!(matches!(story.ask(stop()).await, Answer::Stopped { backfill: None }));
    assert_eq!(story.run().await, [""; 0]);
    // With an end: what changed later is left out.
    let until = at(1_019);
    story.ask(Box::new(move |source| StateChange::Backfill { source, from, until })).await;
    assert_eq!(story.run().await, keys(10, 20));
}

#[tokio::test]
async fn an_exported_state_goes_on_in_another_store_without_sending_again() {
    let master = MasterKey::generate();
    let mut story = Story::of(30, |board| sweeping_flow_of(board, Duration::from_secs(3600))).await;
    story.store = MemoryStore::new(&master);
    assert_eq!(story.run().await.len(), 30);
    let exported = |seen| {
        let request =
            Request::Export { flow: story.flow.name.clone(), at: Timestamp::from_secs(NOW), seen };
        let handle = Handle::new(Arc::new(story.store.clone()));
        async move {
            let Answer::Exported { exported, seen } = handle.ask(request).await.unwrap() else {
                panic!()
            };
            let mut text = vec![serde_json::to_string(&exported).unwrap()];
            text.extend(seen.iter().map(|line| serde_json::to_string(line).unwrap()));
            Imported::read(&text.join("\n")).unwrap()
        }
    };
    let (with, without) = (exported(true).await, exported(false).await);
    let import = |imported: &Imported| -> Change {
        let imported = imported.clone();
        Box::new(move |source| StateChange::Import { source, imported })
    };
    let taken = async |store: &MemoryStore, imported: &Imported| match story
        .ask_on(store, import(imported))
        .await
        .unwrap()
    {
        Answer::Imported { taken, .. } => taken,
        other => panic!("{other:?}"),
    };
    let moved = MemoryStore::new(&master);
    assert_eq!(taken(&moved, &with).await, Taken::Seen(30));
    story.change(3, 2_000, 11);
    assert_eq!(story.run_on(&moved).await.1, [key(3)]);
    // Under another key, what is within the overlap is sent once more.
    let other = MemoryStore::new(MasterKey::generate());
    assert_eq!(taken(&other, &with).await, Taken::OtherKey(30));
    assert_eq!(story.run_on(&other).await.1.len(), 30);
    let empty = MemoryStore::new(&master);
    assert_eq!(taken(&empty, &without).await, Taken::Nothing);
}

#[tokio::test]
async fn what_open_integration_hub_remembers_is_where_a_flow_begins() {
    let mut story = Story::of(100, flow_of).await;
    story.store = MemoryStore::new(MasterKey::generate());
    *story.board.partitions.lock().unwrap() = vec!["a".to_owned(), "b".to_owned()];
    let imported = Imported::read(r#"{ "lastUpdated": 1085 }"#).unwrap();
    story.ask(Box::new(move |source| StateChange::Import { source, imported })).await;
    // Less the overlap of a minute, from each partition.
    assert_eq!(story.run().await.len(), 2 * 75);
    // A partition that comes later is read whole.
    story.board.partitions.lock().unwrap().push("c".to_owned());
    assert_eq!(story.run().await.len(), 100);
}

#[tokio::test]
async fn a_snapshot_is_set_only_if_all_of_it_fits() {
    let story = Story::of(100, flow_of).await;
    let set = |document: Value| -> Change {
        Box::new(move |source| StateChange::Set { source, document })
    };
    let wrong = json!({ "lastUpdated": "soon", "partition": {}, "generation": 7 });
    let refused = story.ask_on(&story.store, set(wrong)).await.unwrap_err().to_string();
    for place in ["lastUpdated: \"soon\"", "partition: there is no", "generation: the stored"] {
        assert!(refused.contains(place), "{refused}");
    }
    assert_eq!(story.causes().await, ["scan"]);
    // Earlier, what is remembered as settled still counts.
    story.ask(set(json!({ "lastUpdated": 1_090 }))).await;
    assert_eq!(story.causes().await, ["set", "scan"]);
    story.change(7, 1_200, 11);
    assert!(story.run().await.contains(&key(7)));
}

#[tokio::test]
async fn state_is_not_changed_while_the_flow_runs() {
    let story = Story::of(10, flow_of).await;
    story.change(1, 2_000, 11);
    story.board.hold();
    let engine = story.engine_on(&story.store);
    let (_stopper, stop) = Stop::new(Duration::from_secs(30));
    let running = {
        let (engine, flow) = (engine.clone(), story.flow.clone());
        tokio::spawn(async move { engine.run(&flow, stop, Arc::new(Silent)).await })
    };
    tokio::task::yield_now().await;
    let change = StateChange::Reset { source: engine.source(&story.flow).unwrap() };
    let flow = story.flow.name.clone();
    let refused = Handle::of(engine).ask(Request::Change { flow, change }).await.unwrap_err();
    assert!(refused.to_string().contains("already running"), "{refused}");
    story.board.release();
    assert!(running.await.unwrap().errors.is_empty());
}
