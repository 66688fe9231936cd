//! What was: the last snapshots of a flow, bounded, and what a commit adds to them and the trail.

use crate::error::{Error, Result};
use crate::layout::{self, StoredCause};
use crate::protocol::{Core, unencodable};
use crate::store::{Commit, Remembered};
use crate::trees::{Tree, Trees, Write};

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
            self.add_to_trail(&mut past, flow, sequence, trail).await?;
        }
        Ok(past)
    }

    /// Returns the deletions of what crashed commits left of the past.
    pub(crate) async fn leftover_past(&self, flow: &str, committed: u64) -> Result<Vec<Write>> {
        let prefix = layout::flow_prefix(flow);
        let mut gone = Vec::new();
        let mut from = layout::commit_key(flow, committed.saturating_add(1));
        while let Some(key) = self.trees.next(Tree::History, &from).await? {
            if !key.starts_with(&prefix) {
                break;
            }
            from = [&key[..], &[0]].concat();
            gone.push(Write::Delete(Tree::History, key));
        }
        let trail = self.leftover_trail(flow, committed).await?;
        gone.extend(trail.into_iter().map(|key| Write::Delete(Tree::Trail, key)));
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
}
