//! Values as the database holds them: in the entry, in pieces beside it, or in a file.

use std::ops::Range;

use chacha20poly1305::aead::Generate;

use crate::disk::BlobName;
use crate::error::{Error, Result};
use crate::trees::Tree;

/// The bytes of a piece, at most: leaves of the database stay as small as with entries.
const PIECE: usize = 4 * 1024;

const INLINE: u8 = 0;
/// Until the ninth format: a file that is the value.
const WHOLE_FILE: u8 = 1;
const PIECES: u8 = 2;
const FILE: u8 = 3;

/// A value: itself, what names its pieces, or the name of its file.
pub(super) enum Value<'a> {
    Inline(&'a [u8]),
    Pieces(Pieced),
    Filed(Filed),
}

impl<'a> Value<'a> {
    /// A tag, then the value or what names it.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Inline(value) => [&[INLINE], *value].concat(),
            Self::Pieces(Pieced { name, len }) => {
                [&[PIECES], &name[..], &len.to_be_bytes()].concat()
            }
            Self::Filed(Filed { name, len, turn }) => {
                [&[FILE], &name[..], &len.to_be_bytes(), &turn[..]].concat()
            }
        }
    }

    pub(super) fn decode(tree: Tree, key: &[u8], bytes: &'a [u8]) -> Result<Self> {
        let unknown = || Error::corrupt(tree, key, "the value has no known form");
        match bytes.split_first() {
            Some((&INLINE, value)) => Ok(Self::Inline(value)),
            Some((&WHOLE_FILE, name)) => {
                let name = name.try_into().map_err(|_| unknown())?;
                Ok(Self::Filed(Filed { name, len: u64::MAX, turn: Turn::default() }))
            }
            Some((&FILE, filed)) => {
                let (name, rest) = filed.split_first_chunk().ok_or_else(unknown)?;
                let (len, turn) = rest.split_first_chunk().ok_or_else(unknown)?;
                let turn = turn.try_into().map_err(|_| unknown())?;
                Ok(Self::Filed(Filed { name: *name, len: u64::from_be_bytes(*len), turn }))
            }
            Some((&PIECES, pieced)) => {
                let (name, len) = pieced.split_first_chunk().ok_or_else(unknown)?;
                let len = len.try_into().map_err(|_| unknown())?;
                Ok(Self::Pieces(Pieced { name: *name, len: u32::from_be_bytes(len) }))
            }
            _ => Err(unknown()),
        }
    }
}

/// What tells one value of a file from those that it held before.
type Turn = [u8; 8];

/// What names the file of a value.
pub(super) struct Filed {
    pub(super) name: BlobName,
    /// The bytes of the value: the file's first ones.
    len: u64,
    turn: Turn,
}

impl Filed {
    /// Names the file that a new value was written into, which has so many bytes.
    pub(super) fn new(name: BlobName, len: usize) -> Self {
        Self { name, len: len as u64, turn: Generate::generate() }
    }

    /// The bytes of the file that are a range of the value.
    pub(super) fn part(&self, range: Range<usize>) -> Range<usize> {
        let until = range.end.min(usize::try_from(self.len).unwrap_or(usize::MAX));
        range.start.min(until)..until
    }
}

/// What tells one value's pieces from those of another value of its entry.
type Name = [u8; 8];

/// What names the pieces of a value.
///
/// A piece's key is the name of the entry's tree, a zero byte, the entry's key, the name (8 bytes)
/// and the piece's number from 0 on (4).
pub(super) struct Pieced {
    pub(super) name: Name,
    /// The bytes of the value.
    len: u32,
}

impl Pieced {
    /// Names the pieces of a new value, which has so many bytes.
    pub(super) fn new(len: usize) -> Self {
        Self { name: Generate::generate(), len: u32::try_from(len).unwrap_or(u32::MAX) }
    }

    /// The key of a piece of an entry's value.
    pub(super) fn key(&self, tree: Tree, owner: &[u8], number: u32) -> Vec<u8> {
        [tree.name().as_bytes(), &[0], owner, &self.name, &number.to_be_bytes()].concat()
    }

    /// Reads from a piece's key whose it is, and what names it; `None` if it is no such key.
    pub(super) fn owner(key: &[u8]) -> Option<(Tree, &[u8], Name)> {
        let behind = |tree: Tree| key.strip_prefix(tree.name().as_bytes())?.strip_prefix(&[0]);
        let (tree, rest) = Tree::ALL.into_iter().find_map(|tree| Some((tree, behind(tree)?)))?;
        let (rest, _number) = rest.split_last_chunk::<4>()?;
        let (owner, name) = rest.split_last_chunk()?;
        Some((tree, owner, *name))
    }

    /// The numbers of the pieces.
    pub(super) fn numbers(&self) -> Range<u32> {
        0..self.len.div_ceil(PIECE as u32)
    }

    /// Splits a value into its pieces.
    pub(super) fn split<'a>(&self, value: &'a [u8]) -> impl Iterator<Item = (u32, &'a [u8])> {
        self.numbers().zip(value.chunks(PIECE))
    }

    /// The pieces with bytes of a range, and which bytes of each that are.
    pub(super) fn parts(&self, range: Range<usize>) -> impl Iterator<Item = (u32, Range<usize>)> {
        let until = range.end.min(self.len as usize);
        let range = range.start.min(until)..until;
        self.numbers().filter_map(move |number| {
            let first = number as usize * PIECE;
            let from = range.start.max(first);
            let to = range.end.min(first + PIECE);
            (from < to).then(|| (number, from - first..to - first))
        })
    }
}
