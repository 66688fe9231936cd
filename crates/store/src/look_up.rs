//! Reads what is kept of a few keys: of sorted segments only the chunks that can hold them.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::indexed::{self, Index};
use crate::layout;
use crate::protocol::Core;
use crate::seen::{self, ENTRY_LEN};
use crate::store::{Found, Seen};
use crate::trees::{Tree, Trees};

/// So many chunks are in memory at once.
const CHUNKS_AT_ONCE: usize = 16;

/// The blocks of a flow, each with what is known of the keys that are looked up.
struct Blocks {
    /// The block's key and sequence, and what was found in it.
    blocks: Vec<(Vec<u8>, u64, Vec<Seen>)>,
    /// How many entries all blocks hold together.
    entries: u64,
    /// How many of them lie in blocks of the sequence from which blocks count.
    rewritten: u64,
    /// How many were read.
    read: u64,
}

impl<T: Trees> Core<T> {
    /// Gives what is kept of some keys; the caller keeps commits away meanwhile.
    pub(crate) async fn look_up(&self, flow: &str, keys: &[[u8; 16]]) -> Result<Found> {
        let committer = self.committer(flow);
        // A commit that replaces the entries would take blocks away under the reading.
        let _commits_wait = committer.lock().await;
        let Some(head) = self.stored_head(flow).await? else { return Ok(Found::default()) };
        let tip = head.tip;
        let mut wanted = keys.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let blocks = self.look_through(flow, tip.seen_from..=tip.sequence, &wanted).await?;
        if blocks.entries != tip.seen_entries {
            let key = layout::seen_key(flow, tip.sequence, 0);
            let reason = format!("{} of {} entries are there", blocks.entries, tip.seen_entries);
            return Err(Error::corrupt(Tree::Seen, &key, reason));
        }
        // Blocks come in commit order, so that the last entry of a key is the newest.
        let found = blocks.blocks.into_iter().flat_map(|(_, _, found)| found);
        let newest: BTreeMap<_, _> = found.map(|seen| (seen.key, seen)).collect();
        let entries = newest.into_values().collect();
        Ok(Found { entries, rewritten: blocks.rewritten, read: blocks.read })
    }

    async fn look_through(
        &self,
        flow: &str,
        sequences: std::ops::RangeInclusive<u64>,
        wanted: &[[u8; 16]],
    ) -> Result<Blocks> {
        let seen_from = *sequences.start();
        let (kept, _) = self.kept(flow, sequences).await?;
        let keys = self.trees.keys(Tree::Seen, &layout::flow_prefix(flow)).await?;
        let mut found = Blocks { blocks: Vec::new(), entries: 0, rewritten: 0, read: 0 };
        let mut beginnings = Vec::new();
        for key in keys {
            let Some((sequence, segment)) = layout::seen_place(&key) else { continue };
            if kept.counts(&key)? {
                let beginning = indexed::index_len(T::SEGMENT_ENTRIES);
                beginnings.push((key.clone(), 0..if segment { beginning } else { usize::MAX }));
                found.blocks.push((key, sequence, Vec::new()));
            }
        }
        let beginnings = self.trees.parts(Tree::Seen, beginnings).await?;
        let mut chunks = Vec::new();
        let mut indexes = BTreeMap::new();
        for (at, (beginning, block)) in beginnings.into_iter().zip(&mut found.blocks).enumerate() {
            let (key, sequence, among) = block;
            let entries = match self.index(key, beginning).await? {
                Block::Indexed(index) => {
                    let mut of_block: Vec<_> =
                        wanted.iter().filter_map(|key| index.chunk_of(key)).collect();
                    of_block.dedup();
                    chunks.extend(of_block.into_iter().map(|chunk| (at, chunk)));
                    let entries = index.entries;
                    indexes.insert(at, index);
                    entries
                }
                Block::Whole(entries) => {
                    among.extend(entries.iter().filter(|seen| is_wanted(wanted, seen)));
                    found.read += entries.len() as u64;
                    entries.len()
                }
            };
            found.entries += entries as u64;
            found.rewritten += if *sequence == seen_from { entries as u64 } else { 0 };
        }
        for chunks in chunks.chunks(CHUNKS_AT_ONCE) {
            self.add_chunks(chunks, &indexes, &mut found, wanted).await?;
        }
        Ok(found)
    }

    /// Reads chunks of indexed blocks; each is named by the place of its block and its number.
    async fn add_chunks(
        &self,
        chunks: &[(usize, usize)],
        indexes: &BTreeMap<usize, Index>,
        found: &mut Blocks,
        wanted: &[[u8; 16]],
    ) -> Result<()> {
        let places = chunks.iter().filter_map(|(at, chunk)| {
            let (key, _, _) = found.blocks.get(*at)?;
            Some((key.clone(), indexes.get(at)?.bytes_of(*chunk)))
        });
        let read = self.trees.parts(Tree::Seen, places.collect()).await?;
        for ((at, chunk), packed) in chunks.iter().zip(read) {
            let (Some((key, _, among)), Some(index)) = (found.blocks.get_mut(*at), indexes.get(at))
            else {
                continue;
            };
            let packed = packed.unwrap_or_default();
            index.check(&self.sealer, key, *chunk, &packed)?;
            found.read += (packed.len() / ENTRY_LEN) as u64;
            among.extend(seen::entries(&packed).filter(|seen| is_wanted(wanted, seen)));
        }
        Ok(())
    }

    /// Reads the index of a block from its beginning, or all of a block that has none.
    async fn index(&self, key: &[u8], beginning: Option<Vec<u8>>) -> Result<Block> {
        let gone = || Error::corrupt(Tree::Seen, key, "the block is gone");
        let mut value = beginning.ok_or_else(gone)?;
        if value.first() == Some(&indexed::FORMAT) {
            let len = indexed::index_len(Index::entries(key, &value)?);
            if len > value.len() {
                let read = self.trees.parts(Tree::Seen, vec![(key.to_vec(), 0..len)]).await?;
                value = read.into_iter().next().flatten().ok_or_else(gone)?;
            }
            return Index::read(&self.sealer, key, &value).map(Block::Indexed);
        }
        if layout::seen_place(key).is_some_and(|(_, segment)| segment) {
            value = self.trees.get(Tree::Seen, key).await?.ok_or_else(gone)?;
        }
        let mut entries = Vec::new();
        seen::unpack(&self.sealer, key, &value, &mut entries)?;
        Ok(Block::Whole(entries))
    }
}

/// A block as it was found.
enum Block {
    Indexed(Index),
    Whole(Vec<Seen>),
}

fn is_wanted(wanted: &[[u8; 16]], seen: &Seen) -> bool {
    wanted.binary_search(&seen.key).is_ok()
}
