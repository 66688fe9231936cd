//! What was: the last snapshots of a flow, and what became of its records. Both are bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::layout::{self, StoredCause};
use crate::protocol::{Core, unencodable};
use crate::store::{Commit, Remembered, TrailBlock};
use crate::trees::{Tree, Trees, Write};

/// How many bytes the trail of each flow has, as far as this process has counted them.
#[derive(Default)]
pub(crate) struct TrailSizes(Mutex<HashMap<String, u64>>);

impl TrailSizes {
    fn get(&self, flow: &str) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(flow).copied()
    }

    fn set(&self, flow: &str, bytes: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(flow.to_owned(), bytes);
    }

    /// Forgets a count that a failed commit may have made wrong.
    pub(crate) fn forget(&self, flow: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(flow);
    }
}

/// What a commit adds to the past, and what goes for it behind the commit.
#[derive(Default)]
pub(crate) struct Past {
    pub(crate) added: Vec<Write>,
    pub(crate) obsolete: Vec<Write>,
}

impl<T: Trees> Core<T> {
    /// Returns what a commit adds to the past of its flow.
    pub(crate) async fn past(&self, flow: &str, sequence: u64, commit: &Commit) -> Result<Past> {
        let mut past = Past::default();
        if let Some(cause) = &commit.cause {
            let key = layout::commit_key(flow, sequence);
            let stored = StoredCause { at: cause.at, what: cause.what.clone() };
            let plain = layout::join(&stored, &commit.snapshot).map_err(unencodable)?;
            let sealed = self.sealer.seal(Tree::History, &key, &plain)?;
            past.added.push(Write::Put(Tree::History, key, sealed));
            let known = self.trees.keys(Tree::History, &layout::flow_prefix(flow)).await?;
            let is_older = |key: &[u8]| layout::split_commit(key).is_some_and(|it| it.0 < sequence);
            let known: Vec<_> = known.into_iter().filter(|key| is_older(key)).collect();
            let too_many = (known.len() + 1).saturating_sub(self.retention().history);
            let oldest = known.into_iter().take(too_many);
            past.obsolete.extend(oldest.map(|key| Write::Delete(Tree::History, key)));
        }
        if let Some(trail) = commit.trail.as_ref().filter(|trail| !trail.bytes.is_empty()) {
            let len = u32::try_from(trail.bytes.len()).unwrap_or(u32::MAX);
            let key = layout::trail_key(flow, sequence, trail.at, len);
            let sealed = self.sealer.seal(Tree::Trail, &key, &trail.bytes)?;
            past.added.push(Write::Put(Tree::Trail, key, sealed));
            past.obsolete.extend(self.trail_beyond(flow, trail.at, u64::from(len)).await?);
        }
        Ok(past)
    }

    /// Returns the deletions of the oldest blocks of a trail, as many as make room for a new one
    /// of `len` bytes, and of those that are too old at `now`.
    async fn trail_beyond(&self, flow: &str, now: i64, len: u64) -> Result<Vec<Write>> {
        let prefix = layout::flow_prefix(flow);
        let mut bytes = match self.trail_sizes.get(flow) {
            Some(bytes) => bytes,
            None => {
                let keys = self.trees.keys(Tree::Trail, &prefix).await?;
                let lengths = keys.iter().map(|key| trail_place(key).map(|(.., len)| len));
                lengths.map(|len| len.map(u64::from)).sum::<Result<u64>>()?
            }
        };
        bytes = bytes.saturating_add(len);
        let kept = self.retention();
        let mut gone = Vec::new();
        let mut from = prefix.clone();
        while let Some(key) = self.trees.next(Tree::Trail, &from).await? {
            if !key.starts_with(&prefix) {
                break;
            }
            let (_, at, len) = trail_place(&key)?;
            // A clock that was set back makes no block too old.
            if bytes <= kept.trail_bytes && now.saturating_sub(at) <= kept.trail_millis() {
                break;
            }
            bytes = bytes.saturating_sub(u64::from(len));
            from = [&key[..], &[0]].concat();
            gone.push(Write::Delete(Tree::Trail, key));
        }
        self.trail_sizes.set(flow, bytes);
        Ok(gone)
    }

    /// Returns the deletions of what crashed commits left of the past.
    pub(crate) async fn leftover_past(&self, flow: &str, committed: u64) -> Result<Vec<Write>> {
        let prefix = layout::flow_prefix(flow);
        let mut gone = Vec::new();
        for tree in [Tree::History, Tree::Trail] {
            let mut from = layout::commit_key(flow, committed.saturating_add(1));
            while let Some(key) = self.trees.next(tree, &from).await? {
                if !key.starts_with(&prefix) {
                    break;
                }
                from = [&key[..], &[0]].concat();
                gone.push(Write::Delete(tree, key));
            }
        }
        Ok(gone)
    }

    pub(crate) async fn history(&self, flow: &str) -> Result<Vec<Remembered>> {
        let committed = self.stored_head(flow).await?.map_or(0, |head| head.tip.sequence);
        let mut found = Vec::new();
        let keys = self.trees.keys(Tree::History, &layout::flow_prefix(flow)).await?;
        for key in keys.iter().rev() {
            let corrupt = |reason| Error::corrupt(Tree::History, key, reason);
            let place = layout::split_commit(key);
            let (sequence, _) = place.ok_or_else(|| corrupt("the key has an impossible length"))?;
            if sequence > committed {
                continue;
            }
            let Some(plain) = self.opened_entry(Tree::History, key).await? else { continue };
            let (StoredCause { at, what }, snapshot) =
                layout::split(&plain).ok_or_else(|| corrupt("the entry does not parse"))?;
            found.push(Remembered { sequence, at, cause: what, snapshot: snapshot.to_vec() });
            if found.len() == self.retention().history {
                break;
            }
        }
        Ok(found)
    }

    pub(crate) async fn trail(
        &self,
        flow: &str,
        each: &mut (dyn FnMut(TrailBlock) -> bool + Send),
    ) -> Result<()> {
        let committed = self.stored_head(flow).await?.map_or(0, |head| head.tip.sequence);
        for key in self.trees.keys(Tree::Trail, &layout::flow_prefix(flow)).await?.iter().rev() {
            let (sequence, at, _) = trail_place(key)?;
            if sequence > committed {
                continue;
            }
            // The oldest ones may be pushed out meanwhile.
            let Some(bytes) = self.opened_entry(Tree::Trail, key).await? else { continue };
            if !each(TrailBlock { sequence, at, bytes }) {
                break;
            }
        }
        Ok(())
    }
}

fn trail_place(key: &[u8]) -> Result<(u64, i64, u32)> {
    layout::split_trail(key)
        .ok_or_else(|| Error::corrupt(Tree::Trail, key, "the key has an impossible length"))
}
