//! What is looked up is what was committed last, whatever commits and crashes came before it.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use towpath_store::conformance::seen_of;
use towpath_store::{
    Commit, Durability, Error, MasterKey, MemoryStore, Result, Seen, SeenChange, SledOptions,
    SledStore, Store,
};

const FLOW: &str = "f";

/// What is done to a store next.
#[derive(Debug, Clone)]
enum Step {
    /// A page adds the entries of some keys, in their order or not.
    Append { keys: Vec<u16>, sorted: bool },
    /// The table is written anew: what counts of it, or nothing.
    Compact { all: bool },
    /// The next commits come to so many writes.
    Crash { writes: usize },
    /// Another process takes over.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..1_500_u16;
    prop_oneof![
        6 => (prop::collection::vec(key.clone(), 0..40), any::<bool>())
            .prop_map(|(keys, sorted)| Step::Append { keys, sorted }),
        2 => (prop::collection::vec(key, 100..3_000), any::<bool>())
            .prop_map(|(keys, sorted)| Step::Append { keys, sorted }),
        2 => (0..8).prop_map(|no| Step::Compact { all: no > 0 }),
        2 => (0..30_usize).prop_map(|writes| Step::Crash { writes }),
        1 => Just(Step::Reopen),
    ]
}

fn key(number: u16) -> [u8; 16] {
    let mut key = [0; 16];
    // Spread like the hashes that keys are.
    key[..8].copy_from_slice(&u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key
}

/// What was committed: every entry in commit order.
#[derive(Debug, Clone, Default)]
struct Model {
    sequence: u64,
    entries: Vec<Seen>,
}

impl Model {
    fn newest(&self) -> BTreeMap<[u8; 16], Seen> {
        self.entries.iter().map(|seen| (seen.key, *seen)).collect()
    }

    /// The commit that a step makes, and what is there behind it.
    fn commit(&self, step: &Step, number: usize) -> Option<(Commit, Self)> {
        let sequence = self.sequence + 1;
        let (seen, entries) = match step {
            Step::Append { keys, sorted } => {
                let content = (number as u64).to_be_bytes();
                let entry = |it: &u16| Seen { key: key(*it), content, version: -1, sequence };
                let mut new: Vec<Seen> = keys.iter().map(entry).collect();
                if *sorted {
                    new.sort_by_key(|seen| seen.key);
                    new.dedup_by_key(|seen| seen.key);
                }
                let entries = [&self.entries[..], &new].concat();
                (SeenChange::Append(new), entries)
            }
            Step::Compact { all } => {
                let live: Vec<Seen> = self.newest().into_values().filter(|_| *all).collect();
                let parts = live.chunks(70).map(|part| Arc::new(part.to_vec())).collect();
                (SeenChange::Replace(parts), live)
            }
            Step::Crash { .. } | Step::Reopen => return None,
        };
        let commit = Commit { snapshot: b"{}".to_vec(), seen, ..Commit::default() };
        Some((commit, Self { sequence, entries }))
    }

    /// Holds a store against the model.
    async fn check(&self, store: &dyn Store) {
        assert!(seen_of(store, FLOW).await.unwrap() == self.entries);
        let newest = self.newest();
        for stride in [1, 13, 400] {
            let keys: Vec<_> = (0..1_600).step_by(stride).map(key).collect();
            let found = store.look_up(FLOW, &keys).await.unwrap();
            let mut expected: Vec<Seen> =
                keys.iter().filter_map(|key| newest.get(key).copied()).collect();
            expected.sort_by_key(|seen| seen.key);
            assert!(found.entries == expected, "{} of {}", found.entries.len(), expected.len());
            assert!(found.rewritten <= self.entries.len() as u64);
        }
        for key in newest.keys().step_by(50) {
            let found = store.look_up(FLOW, &[*key, *key]).await.unwrap();
            assert_eq!(found.entries, [newest[key]]);
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Looks whether a crashed commit is there; it is wholly, or not at all.
async fn after_crash(store: &dyn Store, before: Model, after: Model) -> Model {
    let sequence = store.head(FLOW).await.unwrap().map_or(0, |head| head.sequence);
    if sequence == after.sequence { after } else { before }
}

async fn in_memory(steps: &[Step]) {
    let mut store = MemoryStore::new(MasterKey::generate());
    let mut fence = store.lease(FLOW).await.unwrap().fence;
    let mut model = Model::default();
    for (number, step) in steps.iter().enumerate() {
        let Some((commit, next)) = model.commit(step, number) else {
            match step {
                Step::Crash { writes } => store.crash_after(*writes),
                _ => {
                    store = store.reopen().await.unwrap();
                    fence = store.lease(FLOW).await.unwrap().fence;
                }
            }
            continue;
        };
        match store.commit(&fence, next.sequence, commit).await {
            Ok(()) => model = next,
            Err(Error::Crashed) => {
                let found = after_crash(&store, model, next).await;
                found.check(&store).await;
                store = store.reopen().await.unwrap();
                let stale = std::mem::replace(&mut fence, store.lease(FLOW).await.unwrap().fence);
                model = found;
                let page = Step::Append { keys: vec![1], sorted: false };
                let (commit, next) = model.commit(&page, number).unwrap();
                let refused = store.commit(&stale, next.sequence, commit).await;
                assert!(matches!(refused, Err(Error::Fenced)));
            }
            Err(error) => panic!("{error}"),
        }
        model.check(&store).await;
    }
}

async fn on_disk(steps: &[Step]) {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let open = || async {
        let options =
            SledOptions { path: folder.path().to_owned(), key: &key, durability: Durability::None };
        SledStore::open(options).await.unwrap()
    };
    let mut store = open().await;
    let mut fence = store.lease(FLOW).await.unwrap().fence;
    let mut model = Model::default();
    for (number, step) in steps.iter().enumerate() {
        match model.commit(step, number) {
            Some((commit, next)) => {
                let done: Result<()> = store.commit(&fence, next.sequence, commit).await;
                done.unwrap();
                model = next;
            }
            None => {
                drop(store);
                store = open().await;
                fence = store.lease(FLOW).await.unwrap().fence;
            }
        }
        model.check(&store).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn of_a_store_that_crashes(steps in prop::collection::vec(step(), 1..40)) {
        block_on(in_memory(&steps));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]

    #[test]
    fn of_a_store_on_disk(steps in prop::collection::vec(step(), 1..60)) {
        block_on(on_disk(&steps));
    }
}
