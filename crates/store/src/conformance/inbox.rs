//! What a home does with what comes from outside.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::store::{Accepted, Commit, Delivery, InboxEntry, InboxState, Room, Store};

use super::{commit, noise};

const ROOM: Room =
    Room { entries: 10_000, bytes: 64 << 20, remember: Duration::from_secs(24 * 3600) };

const HOUR: i64 = 3600 * 1000;

fn delivery(at: i64, bytes: &[u8]) -> Delivery {
    Delivery { at, key: None, bytes: bytes.to_vec() }
}

fn keyed(at: i64, key: &str) -> Delivery {
    Delivery { key: Some(key.to_owned()), ..delivery(at, key.as_bytes()) }
}

/// Everything that waits, a little at a time, and where the inbox stands.
pub(super) async fn all(store: &dyn Store, flow: &str) -> Result<(Vec<InboxEntry>, u64, u64)> {
    let mut all: Vec<InboxEntry> = Vec::new();
    loop {
        let after = all.last().map_or(0, |entry| entry.position);
        let more = store.inbox(flow, (after, u64::MAX), 100).await?;
        if more.is_empty() {
            let InboxState { taken, last, waiting, .. } = store.inbox_state(flow).await?;
            assert_eq!(waiting, all.len() as u64, "{flow}");
            return Ok((all, taken, last));
        }
        all.extend(more);
    }
}

async fn positions(store: &dyn Store, flow: &str) -> Result<Vec<u64>> {
    Ok(all(store, flow).await?.0.iter().map(|entry| entry.position).collect())
}

async fn take(store: &dyn Store, flow: &str, taken: u64) -> Result<()> {
    let lease = store.lease(flow).await?;
    let sequence = lease.head.map_or(0, |head| head.sequence) + 1;
    store.commit(&lease.fence, sequence, Commit { taken: Some(taken), ..commit(b"{}") }).await
}

pub(super) async fn in_order(store: &dyn Store) -> Result<()> {
    let flow = "inbox";
    assert_eq!(store.inbox_state(flow).await?, InboxState::default());
    assert_eq!(store.inbox(flow, (0, u64::MAX), 1_000).await?, []);
    let large = noise(1, 100_000);
    for (position, bytes) in [(1, &b"one"[..]), (2, b""), (3, &large), (4, b"four")] {
        let kept = store.accept(flow, delivery(-5, bytes), ROOM).await?;
        assert_eq!(kept, Accepted { position, repeated: false });
    }
    let (found, taken, last) = all(store, flow).await?;
    assert_eq!((taken, last), (0, 4));
    assert_eq!(found.iter().map(|it| it.at).collect::<Vec<_>>(), [-5; 4]);
    let lengths: Vec<_> = found.iter().map(|it| (it.position, it.bytes.len())).collect();
    assert_eq!(lengths, [(1, 3), (2, 0), (3, 100_000), (4, 4)]);
    let between = store.inbox(flow, (1, 3), usize::MAX).await?;
    assert_eq!(between.iter().map(|it| it.position).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(store.inbox(flow, (1, 3), 1).await?.len(), 1, "one at least");
    assert!(store.flows().await?.contains(&flow.to_owned()));
    Ok(())
}

pub(super) async fn taken_by_commits(store: &dyn Store) -> Result<()> {
    let flow = "inbox that is emptied";
    for at in 0..5 {
        store.accept(flow, delivery(at, b"x"), ROOM).await?;
    }
    take(store, flow, 2).await?;
    assert_eq!(positions(store, flow).await?, [3, 4, 5]);
    let fence = store.lease(flow).await?.fence;
    store.commit(&fence, 2, commit(b"{}")).await?;
    assert_eq!(positions(store, flow).await?, [3, 4, 5], "a commit that takes nothing");
    take(store, flow, 1).await?;
    assert_eq!(positions(store, flow).await?, [3, 4, 5], "what is taken stays so");
    let stale = store.lease(flow).await?.fence;
    store.lease(flow).await?;
    let refused = store.commit(&stale, 4, Commit { taken: Some(4), ..commit(b"{}") }).await;
    assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
    assert_eq!(positions(store, flow).await?, [3, 4, 5], "a stale fence takes nothing");
    take(store, flow, u64::MAX).await?;
    let InboxState { taken, last, waiting, bytes } = store.inbox_state(flow).await?;
    assert_eq!((taken, last, waiting, bytes), (5, 5, 0, 0), "no more than there is");
    assert_eq!(store.accept(flow, delivery(9, b"x"), ROOM).await?.position, 6);
    assert_eq!(positions(store, "inbox that is").await?, [0; 0], "another flow");
    Ok(())
}

pub(super) async fn keys(store: &dyn Store) -> Result<()> {
    let flow = "inbox with keys";
    let accept = async |at, key: &str| {
        let kept = store.accept(flow, keyed(at, key), ROOM).await?;
        Ok::<_, Error>((kept.position, kept.repeated))
    };
    assert_eq!(accept(0, "a").await?, (1, false));
    assert_eq!(accept(HOUR, "b").await?, (2, false));
    assert_eq!(accept(23 * HOUR, "a").await?, (1, true), "the answer of the first");
    take(store, flow, 2).await?;
    assert_eq!(accept(24 * HOUR, "a").await?, (1, true), "also of one that was taken");
    assert_eq!(accept(24 * HOUR + 1, "a").await?, (3, false), "not for ever");
    assert_eq!(accept(48 * HOUR, "a").await?, (3, true), "the newer one counts");
    let other = store.accept("inbox with keys of another", keyed(HOUR, "b"), ROOM).await?;
    assert!(!other.repeated, "keys are those of a flow");
    let unkeyed = store.accept(flow, delivery(0, b"a"), ROOM).await?;
    assert!(!unkeyed.repeated, "without a key every one is kept");
    Ok(())
}

pub(super) async fn bounded(store: &dyn Store) -> Result<()> {
    let flow = "inbox that is full";
    let room = |entries, bytes| Room { entries, bytes, ..ROOM };
    store.accept(flow, delivery(0, &[1; 500]), room(2, 100)).await?;
    let refused = store.accept(flow, delivery(0, b"x"), room(2, 100)).await;
    assert!(matches!(refused, Err(Error::InboxFull { waiting: 1, .. })), "{refused:?}");
    store.accept(flow, keyed(0, "a"), room(2, 1_000)).await?;
    let refused = store.accept(flow, delivery(0, b"x"), room(2, 1_000)).await;
    assert!(matches!(refused, Err(Error::InboxFull { waiting: 2, .. })), "{refused:?}");
    let repeated = store.accept(flow, keyed(0, "a"), room(2, 1_000)).await?;
    assert!(repeated.repeated, "what is there already needs no room");
    take(store, flow, 1).await?;
    assert_eq!(store.accept(flow, delivery(0, b"x"), room(2, 1_000)).await?.position, 3);
    Ok(())
}

/// Many at once, of several flows, while commits take: each gets a number of its own, and one of
/// those with the same key is the first.
pub(super) async fn many_at_once(store: &Arc<dyn Store>) -> Result<()> {
    let mut tasks = Vec::new();
    for number in 0..200 {
        let store = Arc::clone(store);
        let flow = format!("inbox of many {}", number % 2);
        tasks.push(tokio::spawn(async move {
            let kept = store.accept(&flow, keyed(0, &format!("{}", number / 4)), ROOM).await?;
            if number % 50 == 0 {
                take(&*store, &flow, kept.position).await.or_else(|error| match error {
                    // Another one took the flow over meanwhile.
                    Error::Fenced | Error::Sequence { .. } => Ok(()),
                    error => Err(error),
                })?;
            }
            Ok::<_, Error>((flow, kept))
        }));
    }
    let mut first = Vec::new();
    let mut repeated = 0;
    for task in tasks {
        let (flow, kept) = task.await.map_err(|_| Error::Interrupted)??;
        if kept.repeated { repeated += 1 } else { first.push((flow, kept.position)) }
    }
    first.sort();
    let numbered = |flow: &str| (1..=50).map(|at| (flow.to_owned(), at)).collect::<Vec<_>>();
    let expected = [numbered("inbox of many 0"), numbered("inbox of many 1")].concat();
    assert_eq!((first, repeated), (expected, 100));
    for flow in ["inbox of many 0", "inbox of many 1"] {
        let InboxState { taken, last, waiting, .. } = store.inbox_state(flow).await?;
        assert_eq!((last, taken + waiting), (50, 50), "{flow}");
        assert_eq!(positions(&**store, flow).await?, (taken + 1..=50).collect::<Vec<_>>());
    }
    Ok(())
}

pub(super) async fn go_on_after_restart(store: &dyn Store) -> Result<()> {
    let flow = "inbox that was emptied";
    assert_eq!(store.accept(flow, delivery(0, b"x"), ROOM).await?.position, 1);
    let flow = "inbox that is emptied";
    assert_eq!(store.accept(flow, delivery(0, b"x"), ROOM).await?.position, 7);
    let again = store.accept("inbox with keys", keyed(48 * HOUR, "a"), ROOM).await?;
    assert_eq!((again.position, again.repeated), (3, true), "keys survive a restart");
    Ok(())
}
