//! The trail: what became of the records of each commit, bounded by age and size.
//!
//! A commit writes its block in loose pieces, small enough for a home to keep them in line, so that
//! no commit waits for a file of its own. Once there are many of them, a commit rolls them and its
//! own block into one large value under its sequence; from its head on every piece of that
//! sequence and of earlier ones is obsolete.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::layout::{self, TrailPart, TrailPlace};
use crate::past::Past;
use crate::protocol::Core;
use crate::store::TrailBlock;
use crate::trees::{Tree, Trees, Write};

/// The plain bytes of a piece, at most: sealed it stays below what a home keeps in line.
const PIECE: usize = 4_800;

/// What is known of the committed trail of a flow.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The bytes of its blocks.
    bytes: u64,
    /// How many loose pieces count.
    loose: usize,
    /// The sequence of the last commit that rolled them; 0 if none did.
    rolled: u64,
}

/// What is known of the trails of all flows, as far as this process has counted them.
#[derive(Default)]
pub(crate) struct Trails(Mutex<HashMap<String, Known>>);

impl Trails {
    fn get(&self, flow: &str) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(flow).copied()
    }

    fn set(&self, flow: &str, known: Known) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(flow.to_owned(), known);
    }

    /// Forgets a count that a failed commit may have made wrong.
    pub(crate) fn forget(&self, flow: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(flow);
    }
}

/// A block and the keys of the entries that hold it, in their order.
type Keyed<'a> = (TrailPlace, Vec<&'a Vec<u8>>);

impl<T: Trees> Core<T> {
    /// Adds a commit's block, and what goes for it behind the commit.
    pub(crate) async fn add_to_trail(
        &self,
        past: &mut Past,
        flow: &str,
        sequence: u64,
        block: &TrailBlock,
    ) -> Result<()> {
        let mut known = match self.trails.get(flow) {
            Some(known) => known,
            None => self.known_trail(flow, sequence.saturating_sub(1)).await?,
        };
        let at = block.at;
        let count = block.bytes.len().div_ceil(PIECE);
        let len = if known.loose + count > T::LOOSE_PIECES {
            let keys = self.trees.keys(Tree::Trail, &layout::flow_prefix(flow)).await?;
            // A clock that was set back makes older ones no older either.
            let (mut rolled, mut youngest) = (Vec::new(), at);
            for (place, keys) in counted(&keys, sequence.saturating_sub(1))? {
                if let TrailPart::Piece(_) = place.part {
                    youngest = youngest.max(place.at);
                    let bytes = self.joined(&place, &keys).await?;
                    bytes
                        .iter()
                        .for_each(|bytes| put(&mut rolled, place.sequence, place.at, bytes));
                    let gone = keys.into_iter().map(|key| Write::Delete(Tree::Trail, key.clone()));
                    past.obsolete.extend(gone);
                    known.bytes = known.bytes.saturating_sub(u64::from(place.len));
                }
            }
            put(&mut rolled, sequence, at, &block.bytes);
            (known.loose, known.rolled) = (0, sequence);
            let (at, len, part) = (youngest, length(&rolled), TrailPart::Rolled);
            let place = TrailPlace { sequence, at, len, part };
            past.added.push(self.sealed_trail(flow, &place, &rolled)?);
            place.len
        } else {
            known.loose += count;
            let len = length(&block.bytes);
            let each = block.bytes.len().div_ceil(count.max(1)).max(1);
            for (number, piece) in (0..).zip(block.bytes.chunks(each)) {
                let place = TrailPlace { sequence, at, len, part: TrailPart::Piece(number) };
                past.added.push(self.sealed_trail(flow, &place, piece)?);
            }
            len
        };
        known.bytes = known.bytes.saturating_add(u64::from(len));
        self.trail_beyond(past, flow, at, &mut known).await?;
        self.trails.set(flow, known);
        Ok(())
    }

    fn sealed_trail(&self, flow: &str, place: &TrailPlace, plain: &[u8]) -> Result<Write> {
        let key = layout::trail_key(flow, place);
        let sealed = self.sealer.seal(Tree::Trail, &key, plain)?;
        Ok(Write::Put(Tree::Trail, key, sealed))
    }

    async fn known_trail(&self, flow: &str, committed: u64) -> Result<Known> {
        let keys = self.trees.keys(Tree::Trail, &layout::flow_prefix(flow)).await?;
        let mut known = Known::default();
        for (place, keys) in counted(&keys, committed)? {
            known.bytes = known.bytes.saturating_add(u64::from(place.len));
            match place.part {
                TrailPart::Piece(_) => known.loose += keys.len(),
                TrailPart::Rolled => known.rolled = known.rolled.max(place.sequence),
                TrailPart::Whole => {}
            }
        }
        Ok(known)
    }

    /// Deletes the oldest blocks of a trail, as many as make room for what was added, and those
    /// that are too old at `now`.
    async fn trail_beyond(
        &self,
        past: &mut Past,
        flow: &str,
        now: i64,
        known: &mut Known,
    ) -> Result<()> {
        let prefix = layout::flow_prefix(flow);
        let kept = self.retention();
        let mut from = prefix.clone();
        let mut going = None;
        while let Some(key) = self.trees.next(Tree::Trail, &from).await? {
            if !key.starts_with(&prefix) {
                break;
            }
            let place = trail_place(&key)?;
            let is_piece = matches!(place.part, TrailPart::Piece(_));
            from = [&key[..], &[0]].concat();
            if is_piece && place.sequence <= known.rolled {
                continue;
            }
            if going != Some(place.sequence) {
                // A clock that was set back makes no block too old.
                if known.bytes <= kept.trail_bytes
                    && now.saturating_sub(place.at) <= kept.trail_millis()
                {
                    break;
                }
                known.bytes = known.bytes.saturating_sub(u64::from(place.len));
                going = Some(place.sequence);
            }
            known.loose = known.loose.saturating_sub(usize::from(is_piece));
            past.obsolete.push(Write::Delete(Tree::Trail, key));
        }
        Ok(())
    }

    /// Returns the blocks that are too old or too much, oldest first: the keys of the entries that
    /// hold them, and how many blocks that are.
    pub(crate) async fn overdue_trail(
        &self,
        flow: &str,
        committed: u64,
        now: i64,
    ) -> Result<(Vec<Vec<u8>>, u64)> {
        let kept = self.retention();
        let keys = self.trees.keys(Tree::Trail, &layout::flow_prefix(flow)).await?;
        let blocks = counted(&keys, committed)?;
        let mut bytes: u64 = blocks.iter().map(|(place, _)| u64::from(place.len)).sum();
        let (mut gone, mut count) = (Vec::new(), 0);
        for (place, keys) in blocks {
            let too_old = now.saturating_sub(place.at) > kept.trail_millis();
            if !too_old && bytes <= kept.trail_bytes {
                break;
            }
            bytes = bytes.saturating_sub(u64::from(place.len));
            gone.extend(keys.into_iter().cloned());
            count += 1;
        }
        Ok((gone, count))
    }

    /// Returns the keys of what crashed commits left of a trail.
    pub(crate) async fn leftover_trail(&self, flow: &str, committed: u64) -> Result<Vec<Vec<u8>>> {
        let keys = self.trees.keys(Tree::Trail, &layout::flow_prefix(flow)).await?;
        let rolled = last_rolled(&keys, committed)?;
        let mut gone = Vec::new();
        for key in keys {
            let place = trail_place(&key)?;
            if place.sequence > committed || is_obsolete(&place, rolled) {
                gone.push(key);
            }
        }
        Ok(gone)
    }

    pub(crate) async fn trail(
        &self,
        flow: &str,
        each: &mut (dyn FnMut(TrailBlock) -> bool + Send),
    ) -> Result<()> {
        let committed = self.stored_head(flow).await?.map_or(0, |head| head.tip.sequence);
        let keys = self.trees.keys(Tree::Trail, &layout::flow_prefix(flow)).await?;
        for (place, keys) in counted(&keys, committed)?.into_iter().rev() {
            // The oldest ones may be pushed out meanwhile.
            let Some(bytes) = self.joined(&place, &keys).await? else { continue };
            let TrailPlace { sequence, at, .. } = place;
            let blocks = match place.part {
                TrailPart::Rolled => {
                    let reason = "the entry does not parse";
                    let corrupt = || Error::corrupt(Tree::Trail, keys[0], reason);
                    taken_apart(&bytes).ok_or_else(corrupt)?
                }
                _ => vec![TrailBlock { sequence, at, bytes }],
            };
            if !blocks.into_iter().rev().all(&mut *each) {
                break;
            }
        }
        Ok(())
    }

    /// Returns the bytes of a block; `None` if it, or the beginning of it, is gone.
    async fn joined(&self, place: &TrailPlace, keys: &[&Vec<u8>]) -> Result<Option<Vec<u8>>> {
        let mut joined = Vec::new();
        for (number, key) in (0..).zip(keys) {
            let is_next = match trail_place(key)?.part {
                TrailPart::Piece(piece) => piece == number,
                TrailPart::Whole | TrailPart::Rolled => true,
            };
            let piece = if is_next { self.opened_entry(Tree::Trail, key).await? } else { None };
            let Some(piece) = piece else { return Ok(None) };
            joined.extend_from_slice(&piece);
        }
        if joined.len() as u64 != u64::from(place.len) {
            let (reason, key) = ("a part of the block is gone", keys[0]);
            return Err(Error::corrupt(Tree::Trail, key, reason));
        }
        Ok(Some(joined))
    }
}

/// The committed blocks that count, oldest first.
fn counted(keys: &[Vec<u8>], committed: u64) -> Result<Vec<Keyed<'_>>> {
    let rolled = last_rolled(keys, committed)?;
    let mut blocks: Vec<Keyed<'_>> = Vec::new();
    for key in keys {
        let place = trail_place(key)?;
        if place.sequence > committed || is_obsolete(&place, rolled) {
            continue;
        }
        match blocks.last_mut() {
            Some((block, keys)) if block.sequence == place.sequence => keys.push(key),
            _ => blocks.push((place, vec![key])),
        }
    }
    Ok(blocks)
}

fn last_rolled(keys: &[Vec<u8>], committed: u64) -> Result<u64> {
    let mut last = 0;
    for key in keys {
        let place = trail_place(key)?;
        if place.part == TrailPart::Rolled && place.sequence <= committed {
            last = place.sequence;
        }
    }
    Ok(last)
}

/// Whether a later commit has rolled it.
fn is_obsolete(place: &TrailPlace, rolled: u64) -> bool {
    matches!(place.part, TrailPart::Piece(_)) && place.sequence <= rolled
}

fn trail_place(key: &[u8]) -> Result<TrailPlace> {
    layout::split_trail(key)
        .ok_or_else(|| Error::corrupt(Tree::Trail, key, "the key has an impossible length"))
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Adds a block to those that are rolled: sequence, time, length, and its bytes.
fn put(rolled: &mut Vec<u8>, sequence: u64, at: i64, bytes: &[u8]) {
    rolled.extend_from_slice(&sequence.to_be_bytes());
    rolled.extend_from_slice(&at.to_be_bytes());
    rolled.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    rolled.extend_from_slice(bytes);
}

fn taken_apart(rolled: &[u8]) -> Option<Vec<TrailBlock>> {
    let mut rest = rolled;
    let number = |rest: &mut &[u8]| {
        let (number, behind) = rest.split_first_chunk::<8>()?;
        *rest = behind;
        Some(u64::from_be_bytes(*number))
    };
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let (sequence, at) = (number(&mut rest)?, number(&mut rest)?.cast_signed());
        let len = usize::try_from(number(&mut rest)?).ok()?;
        let (bytes, behind) = rest.split_at_checked(len)?;
        blocks.push(TrailBlock { sequence, at, bytes: bytes.to_vec() });
        rest = behind;
    }
    Some(blocks)
}
