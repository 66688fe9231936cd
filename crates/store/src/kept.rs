//! Which seen entries a flow keeps: loose blocks of the last commits, and segments before them.
//!
//! Loose blocks are small, so that a commit needs one sync. Once there are many of them, a commit
//! rolls them into segments, together with its own entries: large values, which a home keeps where
//! nothing but the reading of them takes memory.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layout;
use crate::protocol::Core;
use crate::seen::{self, Form};
use crate::store::{Seen, SeenChange};
use crate::trees::{Tree, Trees, Write};

/// So many bytes of blocks are in memory at once while they are read, and the block that comes
/// to it.
const BYTES_READ_AT_ONCE: usize = 256 * 1024;

/// Which blocks count: those of the committed sequences, but no loose ones that were rolled.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    sequences: RangeInclusive<u64>,
    /// The sequence of the last segments; loose blocks up to it are in segments. 0 if there are
    /// none.
    rolled: u64,
    /// How many loose blocks count.
    loose: usize,
}

impl Kept {
    fn counts(&self, key: &[u8]) -> Result<bool> {
        let (sequence, segment) = layout::seen_place(key)
            .ok_or_else(|| Error::corrupt(Tree::Seen, key, "the key has an impossible length"))?;
        Ok(self.sequences.contains(&sequence) && (segment || sequence > self.rolled))
    }
}

/// What a commit makes of the seen entries.
pub(crate) struct Change {
    /// The entries that it writes.
    pub(crate) parts: Vec<Arc<Vec<Seen>>>,
    pub(crate) form: Form,
    /// Deletions of what is obsolete behind the commit.
    pub(crate) obsolete: Vec<Write>,
    /// The first sequence whose blocks count from then on.
    pub(crate) seen_from: u64,
    /// How many entries are kept from then on.
    pub(crate) seen_entries: u64,
    /// Which blocks count from then on.
    pub(crate) kept: Kept,
}

impl<T: Trees> Core<T> {
    /// Looks which blocks count, of commits from `seen_from` to the tip, and which are left over.
    pub(crate) async fn kept(
        &self,
        flow: &str,
        sequences: RangeInclusive<u64>,
    ) -> Result<(Kept, Vec<Vec<u8>>)> {
        let keys = self.trees.keys(Tree::Seen, &layout::flow_prefix(flow)).await?;
        let mut kept = Kept { sequences, rolled: 0, loose: 0 };
        for (sequence, segment) in keys.iter().filter_map(|key| layout::seen_place(key)) {
            if segment && kept.sequences.contains(&sequence) {
                kept.rolled = kept.rolled.max(sequence);
            }
        }
        let mut left_over = Vec::new();
        for key in keys {
            if !kept.counts(&key)? {
                left_over.push(key);
            } else if layout::seen_place(&key).is_some_and(|(_, segment)| !segment) {
                kept.loose += 1;
            }
        }
        Ok((kept, left_over))
    }

    /// Works out what a commit with this sequence writes and makes obsolete.
    pub(crate) async fn change(
        &self,
        flow: &str,
        (kept, entries): (&Kept, u64),
        sequence: u64,
        change: SeenChange,
    ) -> Result<Change> {
        let appended = |parts: &[Arc<Vec<Seen>>]| parts.iter().map(|part| part.len()).sum();
        match change {
            SeenChange::Append(new) => {
                let seen_from = *kept.sequences.start();
                let seen_entries = entries + new.len() as u64;
                let mut parts = vec![Arc::new(new)];
                let loose = kept.loose + Form::Loose.blocks(appended(&parts));
                let rolls = loose > T::LOOSE_BLOCKS;
                let mut obsolete = Vec::new();
                if rolls {
                    let mut old = Vec::new();
                    let mut each = |entries: &[Seen]| old.extend_from_slice(entries);
                    obsolete = self.read(flow, kept, kept.rolled + 1, &mut each).await?;
                    parts.insert(0, Arc::new(old));
                }
                let kept = Kept {
                    sequences: seen_from..=sequence,
                    rolled: if rolls { sequence } else { kept.rolled },
                    loose: if rolls { 0 } else { loose },
                };
                let form = if rolls { Form::Segment(T::SEGMENT_ENTRIES) } else { Form::Loose };
                let obsolete = obsolete.into_iter().map(|key| Write::Delete(Tree::Seen, key));
                let obsolete = obsolete.collect();
                Ok(Change { parts, form, obsolete, seen_from, seen_entries, kept })
            }
            SeenChange::Replace(parts) => {
                let loose = Form::Loose.blocks(appended(&parts));
                let segments = loose > 1;
                let form = if segments { Form::Segment(T::SEGMENT_ENTRIES) } else { Form::Loose };
                let mut obsolete = Vec::new();
                if entries > 0 {
                    for key in self.trees.keys(Tree::Seen, &layout::flow_prefix(flow)).await? {
                        if kept.counts(&key)? {
                            obsolete.push(Write::Delete(Tree::Seen, key));
                        }
                    }
                }
                let seen_entries = appended(&parts) as u64;
                let kept = Kept {
                    sequences: sequence..=sequence,
                    rolled: if segments { sequence } else { 0 },
                    loose: if segments { 0 } else { loose },
                };
                Ok(Change { parts, form, obsolete, seen_from: sequence, seen_entries, kept })
            }
        }
    }

    /// Gives all entries that count; the caller keeps commits away meanwhile.
    pub(crate) async fn seen(
        &self,
        flow: &str,
        each: &mut (dyn for<'a> FnMut(&'a [Seen]) + Send),
    ) -> Result<()> {
        let committer = self.committer(flow);
        // A commit that replaces the entries would take blocks away under the reading.
        let _commits_wait = committer.lock().await;
        let Some(head) = self.stored_head(flow).await? else { return Ok(()) };
        let tip = head.tip;
        let (kept, _) = self.kept(flow, tip.seen_from..=tip.sequence).await?;
        let mut found = 0;
        let mut counted = |entries: &[Seen]| {
            found += entries.len() as u64;
            each(entries);
        };
        self.read(flow, &kept, tip.seen_from, &mut counted).await?;
        if found != tip.seen_entries {
            let reason = format!("{found} of {} entries are there", tip.seen_entries);
            let key = layout::seen_key(flow, tip.sequence, 0);
            return Err(Error::corrupt(Tree::Seen, &key, reason));
        }
        Ok(())
    }

    /// Gives the entries that count, of the sequences from `first` on, and returns the keys of
    /// their blocks.
    async fn read(
        &self,
        flow: &str,
        kept: &Kept,
        first: u64,
        each: &mut (dyn for<'a> FnMut(&'a [Seen]) + Send),
    ) -> Result<Vec<Vec<u8>>> {
        let mut from = layout::seen_key(flow, first, 0);
        let until = layout::behind_flow(flow);
        let mut keys = Vec::new();
        let mut entries = Vec::new();
        loop {
            let blocks = self.trees.entries(Tree::Seen, &from, &until, BYTES_READ_AT_ONCE).await?;
            let Some((last, _)) = blocks.last() else { return Ok(keys) };
            from.clone_from(last);
            // The first key behind the last one.
            from.push(0);
            for (key, block) in blocks {
                if kept.counts(&key)? {
                    seen::unpack(&self.sealer, &key, &block, &mut entries)?;
                    keys.push(key);
                }
            }
            each(&entries);
            entries.clear();
        }
    }
}
