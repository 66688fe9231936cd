//! Seen entries as blocks: 40 bytes an entry, and a check a block.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::indexed::{self, Index};
use crate::layout;
use crate::seal::Sealer;
use crate::store::Seen;
use crate::trees::{Tree, Write};

pub(crate) const ENTRY_LEN: usize = 40;
pub(crate) const CHECK_LEN: usize = 16;
const FORMAT: u8 = 1;

/// How entries are laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// In blocks of 125 entries, 5,017 bytes: below what a home keeps in line.
    Loose,
    /// In blocks of so many entries.
    Segment(usize),
}

impl Form {
    /// How many entries a block has at most.
    pub(crate) const fn entries(self) -> usize {
        match self {
            Self::Loose => 125,
            Self::Segment(entries) => entries,
        }
    }

    /// How many blocks so many entries make.
    pub(crate) const fn blocks(self, entries: usize) -> usize {
        entries.div_ceil(self.entries())
    }
}

/// Which blocks count: those of the committed sequences, but no loose ones that were rolled.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) sequences: RangeInclusive<u64>,
    /// The sequence of the last segments; loose blocks up to it are in segments. 0 if there are
    /// none.
    pub(crate) rolled: u64,
    /// How many loose blocks count.
    pub(crate) loose: usize,
}

impl Kept {
    /// Says whether the block with a key counts.
    pub(crate) fn counts(&self, key: &[u8]) -> Result<bool> {
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

/// The blocks that hold the entries of one commit, each made when it is asked for.
pub(crate) struct Blocks<'a> {
    sealer: &'a Sealer,
    flow: &'a str,
    sequence: u64,
    parts: &'a [Arc<Vec<Seen>>],
    form: Form,
    /// How many entries of the first part are in blocks already.
    at: usize,
    /// The number of the next block.
    block: u32,
    /// The entries of the last block, packed: room for those of the next.
    packed: Vec<u8>,
}

impl<'a> Blocks<'a> {
    pub(crate) fn of(
        sealer: &'a Sealer,
        flow: &'a str,
        sequence: u64,
        parts: &'a [Arc<Vec<Seen>>],
        form: Form,
    ) -> Self {
        let block = match form {
            Form::Loose => 0,
            Form::Segment(_) => layout::FIRST_SEGMENT,
        };
        Self { sealer, flow, sequence, parts, form, at: 0, block, packed: Vec::new() }
    }

    /// Packs the next entries; small parts share a block.
    fn pack(&mut self) {
        let behind: usize = self.parts.iter().map(|part| part.len()).sum();
        let mut room = self.form.entries().min(behind - self.at);
        self.packed.clear();
        self.packed.reserve_exact(room * ENTRY_LEN);
        while let Some((part, behind)) = self.parts.split_first() {
            let left = part.get(self.at..).unwrap_or_default();
            let (taken, left) = left.split_at(left.len().min(room));
            pack(taken, &mut self.packed);
            self.at += taken.len();
            room -= taken.len();
            if !left.is_empty() {
                break;
            }
            (self.parts, self.at) = (behind, 0);
        }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Write;

    fn next(&mut self) -> Option<Write> {
        self.pack();
        let packed = &*self.packed;
        if packed.is_empty() {
            return None;
        }
        let key = layout::seen_key(self.flow, self.sequence, self.block);
        self.block += 1;
        let is_segment = matches!(self.form, Form::Segment(_));
        let value = if is_segment && indexed::is_ascending(packed) {
            indexed::segment(self.sealer, &key, packed)
        } else {
            checked(self.sealer, &key, packed)
        };
        Some(Write::Put(Tree::Seen, key, value))
    }
}

fn pack(entries: &[Seen], packed: &mut Vec<u8>) {
    for entry in entries {
        packed.extend_from_slice(&entry.key);
        packed.extend_from_slice(&entry.content);
        packed.extend_from_slice(&entry.version.to_be_bytes());
        packed.extend_from_slice(&entry.sequence.to_be_bytes());
    }
}

fn checked(sealer: &Sealer, key: &[u8], packed: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + CHECK_LEN + packed.len());
    value.push(FORMAT);
    value.extend_from_slice(&check(sealer, key, packed));
    value.extend_from_slice(packed);
    value
}

/// Adds the entries of a block to `entries`, after checking that the block is what was written.
pub(crate) fn unpack(
    sealer: &Sealer,
    key: &[u8],
    value: &[u8],
    entries: &mut Vec<Seen>,
) -> Result<()> {
    let (format, rest) =
        value.split_first().ok_or_else(|| Error::corrupt(Tree::Seen, key, "the block is empty"))?;
    if *format == indexed::FORMAT {
        entries.extend(self::entries(Index::all(sealer, key, value)?));
        return Ok(());
    }
    if *format > indexed::FORMAT {
        let (found, known) = (u32::from(*format), u32::from(indexed::FORMAT));
        return Err(Error::NewerFormat { found, known });
    }
    let (found, packed) = rest
        .split_first_chunk::<CHECK_LEN>()
        .filter(|(_, packed)| packed.len().is_multiple_of(ENTRY_LEN))
        .ok_or_else(|| Error::corrupt(Tree::Seen, key, "the block has an impossible length"))?;
    if *found != check(sealer, key, packed) {
        return Err(Error::corrupt(Tree::Seen, key, "the block is not the one that was written"));
    }
    entries.extend(self::entries(packed));
    Ok(())
}

/// The entries that are packed.
pub(crate) fn entries(packed: &[u8]) -> impl Iterator<Item = Seen> {
    packed.chunks_exact(ENTRY_LEN).filter_map(entry)
}

fn entry(bytes: &[u8]) -> Option<Seen> {
    let (key, rest) = bytes.split_first_chunk()?;
    let (content, rest) = rest.split_first_chunk()?;
    let (version, sequence) = rest.split_first_chunk()?;
    Some(Seen {
        key: *key,
        content: *content,
        version: i64::from_be_bytes(*version),
        sequence: u64::from_be_bytes(sequence.try_into().ok()?),
    })
}

fn check(sealer: &Sealer, key: &[u8], packed: &[u8]) -> [u8; CHECK_LEN] {
    sealer.check(&[key, packed])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vault::MasterKey;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(
            raw in prop::collection::vec((any::<[u8; 16]>(), any::<[u8; 8]>(), any::<i64>(), any::<u64>()), 0..300)
        ) {
            let sealer = Sealer::new(&MasterKey::generate());
            let entries: Vec<Seen> = raw
                .into_iter()
                .map(|(key, content, version, sequence)| Seen { key, content, version, sequence })
                .collect();
            // Parts that end within blocks, and an empty one.
            let (few, more) = entries.split_at(entries.len() / 3);
            let parts = [few, &[], more].map(|part| Arc::new(part.to_vec()));
            let mut read = Vec::new();
            for write in Blocks::of(&sealer, "f", 7, &parts, Form::Loose) {
                let Write::Put(_, key, value) = write else { panic!("blocks only put") };
                unpack(&sealer, &key, &value, &mut read).unwrap();
            }
            let blocks = Blocks::of(&sealer, "f", 7, &parts, Form::Loose).count();
            prop_assert_eq!(blocks, Form::Loose.blocks(entries.len()));
            prop_assert_eq!(read, entries);
        }
    }

    #[test]
    fn a_damaged_or_moved_block_is_refused() {
        let sealer = Sealer::new(&MasterKey::generate());
        let entry = Seen { key: [1; 16], content: [2; 8], version: -3, sequence: 4 };
        let key = layout::seen_key("letters", 12, 0);
        let mut packed = Vec::new();
        pack(&[entry], &mut packed);
        let elsewhere = layout::seen_key("letters", 13, 0);
        for good in [checked(&sealer, &key, &packed), indexed::segment(&sealer, &key, &packed)] {
            let flipped = (1..good.len()).map(|at| {
                let mut flipped = good.clone();
                flipped[at] ^= 1;
                (&key, flipped)
            });
            let short = (0..good.len()).map(|len| (&key, good[..len].to_vec()));
            for (key, value) in flipped.chain(short).chain([(&elsewhere, good.clone())]) {
                let error = unpack(&sealer, key, &value, &mut Vec::new()).unwrap_err().to_string();
                assert!(error.contains("damaged at seen, flow `letters`, page 1"), "{error}");
            }
        }
        let newer = unpack(&sealer, &key, &[9], &mut Vec::new()).unwrap_err();
        assert!(matches!(newer, Error::NewerFormat { found: 9, known: 2 }), "{newer}");
    }
}
