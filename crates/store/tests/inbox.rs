//! What came from outside and was answered is never lost, wherever the process stops.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::time::Duration;

use towpath_store::{Commit, Delivery, MasterKey, MemoryStore, Result, Room, Store, upkeep};
use towpath_store::{Durability, SledOptions, SledStore};

const FLOW: &str = "f";
const ROOM: Room =
    Room { entries: 1_000, bytes: 1 << 20, remember: Duration::from_secs(24 * 3600) };

fn delivery(key: &str) -> Delivery {
    Delivery { at: 0, key: Some(key.to_owned()), bytes: key.as_bytes().to_vec() }
}

/// What a sender and a taker know: which deliveries were answered, and which were taken.
#[derive(Debug, Default)]
struct Known {
    answered: Vec<String>,
    taken: Vec<String>,
    /// A commit was begun that takes these, and gave no answer.
    in_doubt: Vec<String>,
}

async fn waiting(store: &MemoryStore) -> Vec<String> {
    let entries = store.inbox(FLOW, (0, u64::MAX), usize::MAX).await.unwrap();
    entries.into_iter().map(|entry| String::from_utf8(entry.bytes).unwrap()).collect()
}

async fn story(store: &MemoryStore, known: &mut Known) -> Result<()> {
    for (round, keys) in [vec!["a", "b", "c"], vec!["d"], vec![], vec!["e", "a"]].iter().enumerate()
    {
        for key in keys {
            store.accept(FLOW, delivery(key), ROOM).await?;
            known.answered.push((*key).to_owned());
        }
        let lease = store.lease(FLOW).await?;
        let sequence = lease.head.map_or(0, |head| head.sequence) + 1;
        let last = store.inbox_state(FLOW).await?.last;
        // All but the newest, which the next round takes.
        let entries = store.inbox(FLOW, (0, last.saturating_sub(1)), usize::MAX).await?;
        let taken = entries.last().map(|entry| entry.position);
        let names = entries.iter().map(|it| String::from_utf8(it.bytes.clone()).unwrap());
        known.in_doubt = names.collect();
        let commit = Commit { taken, snapshot: vec![round as u8], ..Commit::default() };
        store.commit(&lease.fence, sequence, commit).await?;
        known.taken.append(&mut known.in_doubt);
    }
    Ok(())
}

#[tokio::test]
async fn wherever_it_stops_what_was_answered_waits_or_was_taken() {
    let mut whole = 0;
    for writes in 0.. {
        let store = MemoryStore::new(MasterKey::generate());
        store.crash_after(writes);
        let mut known = Known::default();
        let done = story(&store, &mut known).await;
        let store = store.reopen().await.unwrap();
        let mut left = waiting(&store).await;
        for key in &known.answered {
            let is_taken = known.taken.contains(key) || known.in_doubt.contains(key);
            assert!(is_taken || left.contains(key), "{writes} writes: {key} is lost, {known:?}");
        }
        for key in &known.taken {
            assert!(!left.contains(key), "{writes} writes: {key} came back, {known:?}");
        }
        // A commit that gave no answer took all or nothing.
        let back = known.in_doubt.iter().filter(|key| left.contains(key)).count();
        assert!(back == 0 || back == known.in_doubt.len(), "{writes} writes: {known:?}, {left:?}");
        // What was sent again because nobody answered is there once.
        for key in &known.answered {
            assert!(store.accept(FLOW, delivery(key), ROOM).await.unwrap().repeated);
        }
        assert_eq!(waiting(&store).await, left, "{writes} writes");
        // It goes on, and leaves nothing of the crash behind.
        let next = store.accept(FLOW, delivery("next"), ROOM).await.unwrap().position;
        left.push("next".to_owned());
        assert_eq!(waiting(&store).await, left);
        let lease = store.lease(FLOW).await.unwrap();
        let sequence = lease.head.map_or(0, |head| head.sequence) + 1;
        let commit = Commit { taken: Some(next), ..Commit::default() };
        store.commit(&lease.fence, sequence, commit).await.unwrap();
        let store = store.reopen().await.unwrap();
        let state = store.inbox_state(FLOW).await.unwrap();
        assert_eq!((state.taken, state.last, state.waiting), (next, next, 0));
        whole += usize::from(done.is_ok());
        if whole == 2 {
            return;
        }
    }
}

#[tokio::test]
async fn backups_compaction_and_a_new_key_bring_the_inbox_along() {
    let folder = tempfile::tempdir().unwrap();
    let (key, new) = (MasterKey::generate(), MasterKey::generate());
    let path = folder.path().join("store");
    let options = |key| SledOptions { path: path.clone(), key, durability: Durability::Full };
    let store = SledStore::open(options(&key)).await.unwrap();
    for name in ["a", "b", "c"] {
        store.accept(FLOW, delivery(name), ROOM).await.unwrap();
    }
    let fence = store.lease(FLOW).await.unwrap().fence;
    store.commit(&fence, 1, Commit { taken: Some(1), ..Commit::default() }).await.unwrap();
    let overview = store.overview().await.unwrap();
    assert_eq!(overview.flows[0].inbox, 2);
    assert_eq!(store.verify().await.unwrap().damage, []);
    drop(store);
    upkeep::compact(options(&key), Some(&new), &|_, _| {}).await.unwrap();
    let store = SledStore::open(options(&new)).await.unwrap();
    let entries = store.inbox(FLOW, (0, u64::MAX), usize::MAX).await.unwrap();
    assert_eq!(entries.iter().map(|it| it.position).collect::<Vec<_>>(), [2, 3]);
    assert!(store.accept(FLOW, delivery("a"), ROOM).await.unwrap().repeated);
    assert_eq!(store.accept(FLOW, delivery("d"), ROOM).await.unwrap().position, 4);
}
