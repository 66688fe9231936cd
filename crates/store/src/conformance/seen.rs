//! The part of the suite about seen entries: order, replacement in pieces, reading in pieces.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{commit, entries};
use crate::error::Result;
use crate::store::{Seen, SeenChange, Store};

/// The most entries that a home may give at once: 40 bytes each, 640 KB.
const AT_ONCE: usize = 16_000;

/// Returns all committed seen entries of a flow; for tests, whose tables are small.
///
/// # Panics
///
/// If the home gives more entries at once than bounded memory allows.
pub async fn seen_of(store: &dyn Store, flow: &str) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    let mut largest = 0;
    let mut each = |entries: &[Seen]| {
        largest = largest.max(entries.len());
        all.extend_from_slice(entries);
    };
    store.seen(flow, &mut each).await?;
    assert!(largest <= AT_ONCE, "{largest} entries came at once");
    looked_up(store, flow, &all).await?;
    Ok(all)
}

/// Looks up every seventh key, and one that nobody has.
async fn looked_up(store: &dyn Store, flow: &str, all: &[Seen]) -> Result<()> {
    let newest: BTreeMap<_, _> = all.iter().map(|seen| (seen.key, *seen)).collect();
    let expected: Vec<Seen> = newest.into_values().step_by(7).collect();
    let keys: Vec<_> = expected.iter().map(|seen| seen.key).chain([[0xff; 16]]).rev().collect();
    let found = store.look_up(flow, &keys).await?;
    assert!(found.entries == expected, "{} found of {}", found.entries.len(), expected.len());
    Ok(())
}

pub(super) async fn in_order(store: &dyn Store) -> Result<()> {
    let flow = "seen";
    let fence = store.lease(flow).await?.fence;
    let mut expected = Vec::new();
    // Sizes around whole blocks, around what a file takes, and none at all.
    for (sequence, size) in (1..).zip([1_u64, 0, 100, 26, 1_000]) {
        let entries = entries(sequence, size);
        expected.extend_from_slice(&entries);
        store.commit(&fence, sequence, commit(b"{}").seen(SeenChange::Append(entries))).await?;
        assert_eq!(seen_of(store, flow).await?, expected);
        assert_eq!(kept(store, flow).await?, expected.len() as u64);
    }
    let kept = vec![entries(3, 300), Vec::new(), entries(4, 7)];
    store.commit(&fence, 6, commit(b"{}").seen(replace(&kept))).await?;
    assert_eq!(seen_of(store, flow).await?, kept.concat(), "what is replaced is gone");
    let more = entries(7, 2);
    store.commit(&fence, 7, commit(b"{}").seen(SeenChange::Append(more.clone()))).await?;
    assert_eq!(seen_of(store, flow).await?, [kept.concat(), more].concat());
    store.commit(&fence, 8, commit(b"{}").seen(SeenChange::Replace(Vec::new()))).await?;
    assert_eq!(seen_of(store, flow).await?, []);
    let last = entries(9, 200);
    store.commit(&fence, 9, commit(b"{}").seen(SeenChange::Append(last.clone()))).await?;
    assert_eq!(seen_of(store, flow).await?, last);
    Ok(())
}

/// A table that no home takes or gives in one piece, put in the place of another one.
pub(super) async fn in_pieces(store: &dyn Store) -> Result<()> {
    let flow = "seen, many";
    let fence = store.lease(flow).await?.fence;
    let tables = [vec![entries(1, 21_000)], (2..42).map(|part| entries(part, 510)).collect()];
    for (sequence, table) in (1..).zip(tables) {
        store.commit(&fence, sequence, commit(b"{}").seen(replace(&table))).await?;
        assert!(seen_of(store, flow).await? == table.concat(), "the table number {sequence}");
        assert_eq!(kept(store, flow).await?, table.concat().len() as u64);
        assert_eq!(store.look_up(flow, &[]).await?.rewritten, table.concat().len() as u64);
    }
    let more = entries(42, 1_000);
    store.commit(&fence, 3, commit(b"{}").seen(SeenChange::Append(more.clone()))).await?;
    assert_eq!(kept(store, flow).await?, 21_400);
    assert!(seen_of(store, flow).await?.ends_with(&more), "what is added lies behind");
    let last = entries(43, 5);
    store.commit(&fence, 4, commit(b"{}").seen(SeenChange::Append(last.clone()))).await?;
    assert!(seen_of(store, flow).await?.ends_with(&[more, last].concat()));
    store.commit(&fence, 5, commit(b"{}").seen(replace(&[entries(4, 3)]))).await?;
    assert_eq!(seen_of(store, flow).await?, entries(4, 3));
    Ok(())
}

async fn kept(store: &dyn Store, flow: &str) -> Result<u64> {
    Ok(store.head(flow).await?.map_or(0, |head| head.seen_entries))
}

fn replace(parts: &[Vec<Seen>]) -> SeenChange {
    SeenChange::Replace(parts.iter().cloned().map(Arc::new).collect())
}
