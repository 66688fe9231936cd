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
use crate::seen::{self, Change, Form, Kept};
use crate::store::{Seen, SeenChange};
use crate::trees::{Tree, Trees, Write};

/// So many bytes of blocks are in memory at once while they are read, and the block that comes
/// to it.
const BYTES_READ_AT_ONCE: usize = 256 * 1024;

impl<T: Trees> Core<T> {
    /// Looks which blocks of the committed sequences count, and which blocks are left over.
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

    /// Works out what a commit with this sequence writes and makes obsolete, where so many
    /// `entries` are kept.
    pub(crate) async fn change(
        &self,
        flow: &str,
        (kept, entries): (&Kept, u64),
        sequence: u64,
        change: SeenChange,
    ) -> Result<Change> {
        match change {
            SeenChange::Append(new) => self.append(flow, kept, entries, sequence, new).await,
            SeenChange::Replace(parts) => self.replace(flow, kept, sequence, parts).await,
        }
    }

    /// Adds loose blocks, or rolls all that there are into segments if they became too many.
    async fn append(
        &self,
        flow: &str,
        kept: &Kept,
        entries: u64,
        sequence: u64,
        new: Vec<Seen>,
    ) -> Result<Change> {
        let seen_from = *kept.sequences.start();
        let seen_entries = entries + new.len() as u64;
        let loose = kept.loose + Form::Loose.blocks(new.len());
        let mut change = Change {
            parts: vec![Arc::new(new)],
            form: Form::Loose,
            obsolete: Vec::new(),
            seen_from,
            seen_entries,
            kept: Kept { sequences: seen_from..=sequence, rolled: kept.rolled, loose },
        };
        if loose > T::LOOSE_BLOCKS {
            let mut old = Vec::with_capacity(kept.loose * Form::Loose.entries());
            let mut each = |entries: &[Seen]| old.extend_from_slice(entries);
            let keys = self.read(flow, kept, kept.rolled + 1, &mut each).await?;
            change.parts.insert(0, Arc::new(old));
            change.form = Form::Segment(T::SEGMENT_ENTRIES);
            change.obsolete = keys.into_iter().map(|key| Write::Delete(Tree::Seen, key)).collect();
            change.kept = Kept { sequences: seen_from..=sequence, rolled: sequence, loose: 0 };
            self.trees.at("store.blocks.rolled");
        }
        Ok(change)
    }

    /// Puts segments, or one loose block, in the place of everything.
    async fn replace(
        &self,
        flow: &str,
        kept: &Kept,
        sequence: u64,
        parts: Vec<Arc<Vec<Seen>>>,
    ) -> Result<Change> {
        let mut obsolete = Vec::new();
        for key in self.trees.keys(Tree::Seen, &layout::flow_prefix(flow)).await? {
            if kept.counts(&key)? {
                obsolete.push(Write::Delete(Tree::Seen, key));
            }
        }
        let entries = parts.iter().map(|part| part.len()).sum();
        let (form, rolled, loose) = match Form::Loose.blocks(entries) {
            loose @ 0..=1 => (Form::Loose, 0, loose),
            _ => (Form::Segment(T::SEGMENT_ENTRIES), sequence, 0),
        };
        let kept = Kept { sequences: sequence..=sequence, rolled, loose };
        let seen_entries = entries as u64;
        self.trees.at("store.seen.replaced");
        Ok(Change { parts, form, obsolete, seen_from: sequence, seen_entries, kept })
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
