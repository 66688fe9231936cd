//! The journal: entries that are durable by themselves, between commits.
//!
//! A commit forgets entries at one stroke with its head: before that lies a note of its sequence and
//! of what it forgets, which counts once the head is there, whether or not the entries are deleted.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::layout;
use crate::protocol::Core;
use crate::store::{Fence, JournalChange, JournalEntry};
use crate::trees::{Tree, Trees, Wait, Write};

impl<T: Trees> Core<T> {
    pub(crate) async fn journal(&self, fence: &Fence, changes: Vec<JournalChange>) -> Result<()> {
        let flow = fence.flow.as_str();
        // Looked at and let go again, so that several calls reach the disk together.
        self.may_journal(fence).await?;
        let put = |key: Vec<u8>, value: &[u8]| {
            let sealed = self.sealer.seal(Tree::Journal, &key, value)?;
            Ok(Write::Put(Tree::Journal, key, sealed))
        };
        let mut writes = Vec::new();
        for change in changes {
            match change {
                JournalChange::Put { id, value } => {
                    writes.push(put(layout::journal_key(flow, id), &value)?);
                }
                JournalChange::Answer { id, answer } => {
                    writes.push(put(layout::answer_key(flow, id), &answer)?);
                }
                JournalChange::Forget(id) => writes.extend(forgotten(flow, &[id])),
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        self.trees.apply(writes, Wait::Durable).await
    }

    /// Refuses a fence that somebody else's lease made stale. What a crashed commit left to forget
    /// goes first, so that an entry with the id of a forgotten one is not taken for it.
    async fn may_journal(&self, fence: &Fence) -> Result<()> {
        let flow = fence.flow.as_str();
        let committer = self.committer(flow);
        let mut committer = committer.lock().await;
        self.is_current(fence, &committer)?;
        if !committer.journal_is_clear {
            let committed = self.stored_head(flow).await?.map_or(0, |head| head.tip.sequence);
            let left = self.leftover_journal(flow, committed).await?;
            if !left.is_empty() {
                self.trees.apply(left, Wait::Visible).await?;
            }
            committer.journal_is_clear = true;
        }
        Ok(())
    }

    /// Returns the deletions of what crashes left: entries that the last commit forgot, then the
    /// notes of that, and answers to entries that are gone.
    pub(crate) async fn leftover_journal(&self, flow: &str, committed: u64) -> Result<Vec<Write>> {
        let mut gone = Vec::new();
        let mut last = None;
        for key in self.trees.keys(Tree::Journal, &layout::flow_prefix(flow)).await? {
            // An answer follows its entry.
            if layout::answered_id(&key).is_some_and(|id| last != Some(id)) {
                gone.push(Write::Delete(Tree::Journal, key));
                continue;
            }
            last = layout::journal_id(&key);
            let Some((sequence, [])) = layout::split_commit(&key) else { continue };
            if sequence <= committed {
                let ids = self.noted(&key).await?;
                gone.extend(forgotten(flow, &ids));
            }
            gone.push(Write::Delete(Tree::Journal, key));
        }
        Ok(gone)
    }

    /// Returns what a note says is forgotten.
    async fn noted(&self, key: &[u8]) -> Result<Vec<[u8; 16]>> {
        let note = self.opened_entry(Tree::Journal, key).await?.unwrap_or_default();
        let (ids, rest) = note.as_chunks::<16>();
        if !rest.is_empty() {
            return Err(Error::corrupt(Tree::Journal, key, "the entry does not parse"));
        }
        Ok(ids.to_vec())
    }

    /// Returns the note of what a commit forgets; none if that is nothing.
    pub(crate) fn journal_note(
        &self,
        flow: &str,
        sequence: u64,
        settled: &[[u8; 16]],
    ) -> Result<Option<Write>> {
        if settled.is_empty() {
            return Ok(None);
        }
        let key = layout::commit_key(flow, sequence);
        let note = self.sealer.seal(Tree::Journal, &key, settled.as_flattened())?;
        Ok(Some(Write::Put(Tree::Journal, key, note)))
    }

    pub(crate) async fn journaled(&self, flow: &str) -> Result<Vec<JournalEntry>> {
        let keys = self.trees.keys(Tree::Journal, &layout::flow_prefix(flow)).await?;
        let mut gone = HashSet::new();
        if !keys.is_empty() {
            let committed = self.stored_head(flow).await?.map_or(0, |head| head.tip.sequence);
            let left = self.leftover_journal(flow, committed).await?;
            gone.extend(left.iter().map(|write| {
                let (Write::Put(_, key, _) | Write::Delete(_, key)) = write;
                key.clone()
            }));
        }
        let mut entries: Vec<JournalEntry> = Vec::new();
        for key in keys.into_iter().filter(|key| !gone.contains(key)) {
            let opened = self.opened_entry(Tree::Journal, &key).await?;
            if let Some(answered) = layout::answered_id(&key) {
                // The entry comes before; it may be forgotten meanwhile.
                let entry = entries.last_mut().filter(|entry| entry.id == answered);
                entry.into_iter().for_each(|entry| entry.answer.clone_from(&opened));
                continue;
            }
            let id = layout::journal_id(&key).ok_or_else(|| {
                Error::corrupt(Tree::Journal, &key, "the key has an impossible length")
            })?;
            entries.extend(opened.map(|value| JournalEntry { id, value, answer: None }));
        }
        Ok(entries)
    }
}

/// Returns the deletions of entries that a commit settles, and of their answers: those go last, since
/// an entry without its answer would be in doubt.
pub(crate) fn forgotten(flow: &str, settled: &[[u8; 16]]) -> Vec<Write> {
    let keys = |id: &[u8; 16]| [layout::journal_key(flow, *id), layout::answer_key(flow, *id)];
    let keys = settled.iter().flat_map(keys);
    keys.map(|key| Write::Delete(Tree::Journal, key)).collect()
}
