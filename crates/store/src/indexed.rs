//! Segments whose keys ascend: chunks of entries behind an index, so that a look-up reads little.
//!
//! The index is the number of entries, the last key, then of each chunk its first key and a check.
//! It is itself checked, so a chunk that fits its check is the one that was written.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::seal::Sealer;
use crate::seen::{CHECK_LEN, ENTRY_LEN};
use crate::trees::Tree;

/// The first byte of such a segment.
pub(crate) const FORMAT: u8 = 2;

/// How many entries a chunk has: 16,000 bytes, which are hashed as fast as larger ones.
const CHUNK: usize = 400;

const KEY_LEN: usize = 16;
const COUNT_LEN: usize = 4;
/// Format, check, number of entries, last key.
const BEFORE_PLACES: usize = 1 + CHECK_LEN + COUNT_LEN + KEY_LEN;
const PLACE_LEN: usize = KEY_LEN + CHECK_LEN;

/// The bytes of a segment with so many entries that are its index.
pub(crate) const fn index_len(entries: usize) -> usize {
    BEFORE_PLACES + entries.div_ceil(CHUNK) * PLACE_LEN
}

/// Says whether packed entries can have an index: if each key is above the one before.
pub(crate) fn is_ascending(packed: &[u8]) -> bool {
    packed.chunks_exact(ENTRY_LEN).is_sorted_by(|one, next| key_of(one) < key_of(next))
}

fn key_of(entry: &[u8]) -> &[u8] {
    entry.get(..KEY_LEN).unwrap_or_default()
}

/// Makes a segment of packed entries with ascending keys.
pub(crate) fn segment(sealer: &Sealer, key: &[u8], packed: &[u8]) -> Vec<u8> {
    let entries = packed.len() / ENTRY_LEN;
    let mut value = Vec::with_capacity(index_len(entries) + packed.len());
    value.push(FORMAT);
    value.extend_from_slice(&[0; CHECK_LEN]);
    value.extend_from_slice(&u32::try_from(entries).unwrap_or(u32::MAX).to_be_bytes());
    let last = packed.chunks_exact(ENTRY_LEN).next_back();
    value.extend_from_slice(last.map_or(&[0; KEY_LEN][..], key_of));
    for (number, chunk) in packed.chunks(CHUNK * ENTRY_LEN).enumerate() {
        value.extend_from_slice(key_of(chunk));
        value.extend_from_slice(&chunk_check(sealer, key, number, chunk));
    }
    let (head, places) = value.split_at_mut(1 + CHECK_LEN);
    if let Some(check) = head.get_mut(1..) {
        check.copy_from_slice(&index_check(sealer, key, places));
    }
    value.extend_from_slice(packed);
    value
}

fn index_check(sealer: &Sealer, key: &[u8], places: &[u8]) -> [u8; CHECK_LEN] {
    sealer.check(&[key, b"index", places])
}

fn chunk_check(sealer: &Sealer, key: &[u8], number: usize, packed: &[u8]) -> [u8; CHECK_LEN] {
    sealer.check(&[key, b"chunk", &(number as u64).to_be_bytes(), packed])
}

/// The index of a segment.
pub(crate) struct Index {
    /// How many entries the segment has.
    pub(crate) entries: usize,
    last: [u8; KEY_LEN],
    /// Of each chunk its first key and its check.
    places: Vec<([u8; KEY_LEN], [u8; CHECK_LEN])>,
}

impl Index {
    /// Reads the number of entries from the beginning of a segment, unchecked: it says how much
    /// of it the index is.
    pub(crate) fn entries(key: &[u8], value: &[u8]) -> Result<usize> {
        let count = value.get(1 + CHECK_LEN..).and_then(|rest| rest.first_chunk::<COUNT_LEN>());
        let count = count.and_then(|count| usize::try_from(u32::from_be_bytes(*count)).ok());
        count.ok_or_else(|| Error::corrupt(Tree::Seen, key, "the segment is cut off"))
    }

    /// Reads the index from the beginning of a segment, which may be all of it.
    pub(crate) fn read(sealer: &Sealer, key: &[u8], value: &[u8]) -> Result<Self> {
        let entries = Self::entries(key, value)?;
        let corrupt = |reason| Error::corrupt(Tree::Seen, key, reason);
        let index = value.get(1..index_len(entries));
        let index = index.ok_or_else(|| corrupt("the segment is cut off"))?;
        let (found, index) = index
            .split_first_chunk::<CHECK_LEN>()
            .ok_or_else(|| corrupt("the segment is cut off"))?;
        if *found != index_check(sealer, key, index) {
            return Err(corrupt("the index is not the one that was written"));
        }
        let behind_count = index.get(COUNT_LEN..).unwrap_or_default();
        let (last, places) = behind_count
            .split_first_chunk::<KEY_LEN>()
            .ok_or_else(|| corrupt("the segment is cut off"))?;
        let places = places.chunks_exact(PLACE_LEN);
        let places = places.filter_map(|place| {
            let (first, check) = place.split_first_chunk()?;
            Some((*first, check.try_into().ok()?))
        });
        Ok(Self { entries, last: *last, places: places.collect() })
    }

    /// The chunk that holds a key if any does.
    pub(crate) fn chunk_of(&self, key: &[u8; KEY_LEN]) -> Option<usize> {
        if *key > self.last {
            return None;
        }
        self.places.partition_point(|(first, _)| first <= key).checked_sub(1)
    }

    /// Where the bytes of a chunk are in the segment.
    pub(crate) fn bytes_of(&self, chunk: usize) -> Range<usize> {
        let (from, until) = (chunk * CHUNK, ((chunk + 1) * CHUNK).min(self.entries));
        let begin = index_len(self.entries);
        begin + from * ENTRY_LEN..begin + until * ENTRY_LEN
    }

    /// Checks that the packed entries are those of a chunk.
    pub(crate) fn check(
        &self,
        sealer: &Sealer,
        key: &[u8],
        chunk: usize,
        packed: &[u8],
    ) -> Result<()> {
        let place = self.places.get(chunk);
        let bytes = self.bytes_of(chunk);
        match place {
            Some((_, check))
                if packed.len() == bytes.len()
                    && *check == chunk_check(sealer, key, chunk, packed) =>
            {
                Ok(())
            }
            _ => {
                let reason = "a part of the segment is not the one that was written";
                Err(Error::corrupt(Tree::Seen, key, reason))
            }
        }
    }

    /// Gives the packed entries of a whole segment, all checked.
    pub(crate) fn all<'a>(sealer: &Sealer, key: &[u8], value: &'a [u8]) -> Result<&'a [u8]> {
        let index = Self::read(sealer, key, value)?;
        let packed = value.get(index_len(index.entries)..).unwrap_or_default();
        if packed.len() != index.entries * ENTRY_LEN {
            return Err(Error::corrupt(Tree::Seen, key, "the segment has an impossible length"));
        }
        for (number, chunk) in packed.chunks(CHUNK * ENTRY_LEN).enumerate() {
            index.check(sealer, key, number, chunk)?;
        }
        Ok(packed)
    }
}
