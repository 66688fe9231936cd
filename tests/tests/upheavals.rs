//! Runs that die, stop and fail at random, with a memory that is looked up key by key: nothing is
//! lost, and what was committed is not sent again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::prelude::*;
use connector::{Clock, ManualClock};
use engine::Stop;
use flow::Flow;
use store::{MasterKey, MemoryStore, Store};
use towpath_tests::{Board, Dying, Moment, record, sweeping_flow_of};

const PARTITIONS: [&str; 2] = ["a", "b"];
/// Of each partition; so many that a run looks six keys up before it reads the whole table.
const RECORDS: usize = 600;

/// The same numbers at every start with the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

fn named((part, number): (usize, usize)) -> String {
    format!("{part}/{number}")
}

/// What the remote system holds: version and value of each record of each partition.
type Held = BTreeMap<(usize, usize), (i64, i64)>;

struct Upheaval {
    board: Arc<Board>,
    store: Arc<MemoryStore>,
    flow: Arc<Flow>,
    clock: Arc<ManualClock>,
    held: Arc<Mutex<Held>>,
    page: Arc<AtomicU32>,
    /// The poll of a run that fails, counted down.
    fails: Arc<AtomicU32>,
    /// The value of each key that arrived last.
    arrived: BTreeMap<String, i64>,
    numbers: Numbers,
}

impl Upheaval {
    fn of(seed: u64) -> Self {
        let board = Board::new();
        *board.partitions.lock().unwrap() = PARTITIONS.map(str::to_owned).into();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        let keys = (0..2).flat_map(|part| (0..RECORDS).map(move |number| (part, number)));
        let held: Arc<Mutex<Held>> =
            Arc::new(Mutex::new(keys.map(|key| (key, (900_000, 0))).collect()));
        let page = Arc::new(AtomicU32::new(200));
        let fails = Arc::new(AtomicU32::new(0));
        let (list, size, failing) = (held.clone(), page.clone(), fails.clone());
        board.on_poll(move |scan| {
            if failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                == Ok(1)
            {
                return Err(Error::config("out of order"));
            }
            let part = PARTITIONS.iter().position(|it| Some(*it) == scan.partition.as_deref());
            let (part, from) = (part.unwrap(), scan.cursor.unwrap_or(0));
            // Full scans are of larger pages, so that the story stays short.
            let larger = if scan.want == Want::All { 50 } else { 1 };
            let size = size.load(Ordering::SeqCst) as usize * larger;
            let list = list.lock().unwrap();
            let asked = list.range((part, from)..(part, RECORDS)).filter(|(_, (version, _))| {
                match scan.want {
                    Want::All => true,
                    Want::Changed { since } => Timestamp::from_secs(*version) >= since,
                }
            });
            let mut asked = asked.map(|((_, number), held)| (*number, *held));
            // Every page shows the last record of the page before once more.
            let shown: Vec<_> = asked.by_ref().take(size + 1).collect();
            let next = asked.next().and(shown.last().map(|(number, _)| *number));
            let records = shown
                .into_iter()
                .map(|(number, (version, value))| record(&named((part, number)), version, value));
            Ok(Page { records: records.collect(), next })
        });
        let flow = Arc::new(sweeping_flow_of(&board, Duration::from_secs(3_600)));
        Self {
            board,
            store: Arc::new(MemoryStore::new(MasterKey::generate())),
            flow,
            clock,
            held,
            page,
            fails,
            arrived: BTreeMap::new(),
            numbers: Numbers(seed),
        }
    }

    /// Changes a few records; returns those whose timestamp shows it.
    fn change(&mut self) -> BTreeSet<String> {
        let now = self.clock.now().secs();
        let mut shown = BTreeSet::new();
        let mut held = self.held.lock().unwrap();
        for _ in 0..self.numbers.below(6) {
            let key = (self.numbers.below(2), self.numbers.below(RECORDS));
            let (version, value) = held.get_mut(&key).unwrap();
            *value += 1;
            // Now and then without a timestamp that shows it.
            if self.numbers.below(5) > 0 {
                *version = now;
                shown.insert(named(key));
            }
        }
        shown
    }

    /// The keys whose value has not arrived.
    fn missing(&self) -> BTreeSet<String> {
        let held = self.held.lock().unwrap();
        let keys = held.iter().map(|(key, (_, value))| (named(*key), value));
        keys.filter(|(key, value)| self.arrived.get(key) != Some(value)).map(|it| it.0).collect()
    }

    /// Takes note of what arrived; of each key the values go up.
    fn arrive(&mut self) -> Vec<String> {
        let delivered = self.board.take_delivered();
        for it in &delivered {
            let value = it.input["value"].as_i64().unwrap();
            let before = self.arrived.insert(it.key.clone(), value);
            assert!(before.is_none_or(|before| before <= value), "{} went back", it.key);
        }
        delivered.into_iter().map(|it| it.key).collect()
    }

    async fn trouble(&mut self) {
        let (stopper, stop) = Stop::new(Duration::from_secs(1));
        let at = 1 + self.numbers.below(5);
        let store: Arc<dyn Store> = match self.numbers.below(5) {
            0 => Arc::new(Dying::new(self.store.clone(), at, Moment::Before)),
            1 => Arc::new(Dying::new(self.store.clone(), at, Moment::After)),
            2 => {
                self.fails.store(u32::try_from(at).unwrap(), Ordering::SeqCst);
                self.store.clone()
            }
            3 => {
                // Every write of a commit is a place to die at.
                self.store.crash_after(self.numbers.below(12));
                self.store.clone()
            }
            _ => {
                let left = AtomicUsize::new(at);
                self.board.on_send(move |batch| {
                    if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                        stopper.stop();
                    }
                    let mut outcomes = batch.outcomes();
                    outcomes.fill(&Outcome::done(Value::Null));
                    Ok(outcomes)
                });
                self.store.clone()
            }
        };
        drop(self.board.run_by(store, &self.flow, stop, self.clock.clone()).await);
        self.board.on_send(|batch| {
            let mut outcomes = batch.outcomes();
            outcomes.fill(&Outcome::done(Value::Null));
            Ok(outcomes)
        });
        self.fails.store(0, Ordering::SeqCst);
        self.store = Arc::new(self.store.reopen().await.unwrap());
        self.arrive();
    }

    /// Runs undisturbed; returns the keys that arrived.
    async fn calm(&mut self) -> Vec<String> {
        let (_stopper, stop) = Stop::new(Duration::from_secs(1));
        let run = self.board.run_by(self.store.clone(), &self.flow, stop, self.clock.clone());
        let report = run.await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        self.arrive()
    }

    async fn story(&mut self) {
        for _ in 0..12 {
            let sweeps = self.numbers.below(8) == 0;
            let pass = if sweeps { 7_200 } else { 10 + self.numbers.below(100) };
            self.clock.advance(Duration::from_secs(pass as u64));
            let page = [1, 2, 3, 7, 200][self.numbers.below(5)];
            self.page.store(page, Ordering::SeqCst);
            self.change();
            for _ in 0..self.numbers.below(3) {
                self.trouble().await;
                self.change();
            }
            // The first one may send again what was not committed, the second one nothing.
            self.calm().await;
            let shown = self.change();
            self.clock.advance(Duration::from_secs(if sweeps { 7_200 } else { 10 }));
            let missing = self.missing();
            let mut arrived = self.calm().await;
            arrived.sort();
            let once: BTreeSet<String> = arrived.iter().cloned().collect();
            assert_eq!(once.len(), arrived.len(), "sent twice");
            assert!(once.is_subset(&missing), "sent although it had arrived");
            assert!(once.is_superset(if sweeps { &missing } else { &shown }), "lost");
        }
        self.clock.advance(Duration::from_secs(7_200));
        self.calm().await;
        assert_eq!(self.missing(), BTreeSet::new());
        self.clock.advance(Duration::from_secs(7_200));
        assert_eq!(self.calm().await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_committed_is_sent_again() {
    for seed in 0..2 {
        Upheaval::of(seed).story().await;
    }
}
