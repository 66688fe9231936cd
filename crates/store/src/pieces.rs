//! Writes on their way to a home, handed on in pieces of bounded size.

use crate::error::Result;
use crate::trees::{Trees, Wait, Write};

/// Takes the writes of one commit in order and hands them on whenever a piece is full.
///
/// Only the last piece is waited for until it is durable, which all before it are by then too.
pub(crate) struct Pieces<'a, T> {
    trees: &'a T,
    held: Vec<Write>,
    bytes: usize,
}

impl<'a, T: Trees> Pieces<'a, T> {
    pub(crate) fn to(trees: &'a T) -> Self {
        Self { trees, held: Vec::new(), bytes: 0 }
    }

    /// Adds writes behind the ones so far; they are made one by one, as there is room.
    pub(crate) async fn add(&mut self, writes: impl IntoIterator<Item = Write>) -> Result<()> {
        for write in writes {
            if self.bytes >= T::BYTES_AT_ONCE {
                let piece = std::mem::take(&mut self.held);
                self.trees.apply(piece, Wait::Visible).await?;
                self.trees.at("store.piece.written");
                self.bytes = 0;
            }
            self.bytes += write.size();
            self.held.push(write);
        }
        Ok(())
    }

    /// Hands on what is left, and returns when everything survives a power failure.
    pub(crate) async fn finish(self) -> Result<()> {
        self.trees.apply(self.held, Wait::Durable).await
    }
}
