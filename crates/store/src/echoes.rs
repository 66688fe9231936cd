//! Echoes: what flows wrote that others read back, an entry a key.
//!
//! An entry a key, and not a block a commit: each is written by one flow and taken away by another,
//! at its own time. Only flows that go both ways have any.

use crate::error::{Error, Result};
use crate::layout;
use crate::protocol::Core;
use crate::store::{Echo, EchoChange};
use crate::trees::{Tree, Trees, Write};

/// Content, version, moment and time.
const LEN: usize = 4 * 8;

impl<T: Trees> Core<T> {
    pub(crate) async fn has_echoes(&self, flow: &str) -> Result<bool> {
        let prefix = layout::flow_prefix(flow);
        let first = self.trees.next(Tree::Echoes, &prefix).await?;
        Ok(first.is_some_and(|first| first.starts_with(&prefix)))
    }

    pub(crate) async fn echoes(&self, flow: &str, keys: &[[u8; 16]]) -> Result<Vec<Echo>> {
        let places: Vec<Vec<u8>> = keys.iter().map(|key| layout::echo_key(flow, *key)).collect();
        let wanted = places.iter().map(|place| (place.clone(), 0..usize::MAX)).collect();
        let values = self.trees.parts(Tree::Echoes, wanted).await?;
        let mut found = Vec::new();
        for (place, sealed) in places.iter().zip(values) {
            let Some(sealed) = sealed else { continue };
            let plain = self.sealer.open(Tree::Echoes, place, &sealed)?;
            found.push(read(place, &plain).ok_or_else(|| {
                Error::corrupt(Tree::Echoes, place, "the entry has an impossible length")
            })?);
        }
        Ok(found)
    }

    /// What changes of echoes are in writes.
    pub(crate) async fn echo_writes(&self, changes: &[EchoChange]) -> Result<Vec<Write>> {
        let mut writes = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                EchoChange::Put { flow, echo } => {
                    let place = layout::echo_key(flow, echo.key);
                    let sealed = self.sealer.seal(Tree::Echoes, &place, &written(echo))?;
                    writes.push(Write::Put(Tree::Echoes, place, sealed));
                }
                EchoChange::Forget { flow, key } => {
                    writes.push(Write::Delete(Tree::Echoes, layout::echo_key(flow, *key)));
                }
                EchoChange::ForgetAll { flow } => {
                    let keys = self.trees.keys(Tree::Echoes, &layout::flow_prefix(flow)).await?;
                    writes.extend(keys.into_iter().map(|key| Write::Delete(Tree::Echoes, key)));
                }
            }
        }
        Ok(writes)
    }

    /// Returns the keys of a flow's echoes that were written before a time: nobody came for them.
    pub(crate) async fn overdue_echoes(&self, flow: &str, before: i64) -> Result<Vec<Vec<u8>>> {
        let mut overdue = Vec::new();
        for place in self.trees.keys(Tree::Echoes, &layout::flow_prefix(flow)).await? {
            let Some(plain) = self.opened_entry(Tree::Echoes, &place).await? else { continue };
            if read(&place, &plain).is_none_or(|echo| echo.at < before) {
                overdue.push(place);
            }
        }
        Ok(overdue)
    }
}

fn written(echo: &Echo) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let parts = [
        echo.content,
        echo.version.to_be_bytes(),
        echo.moment.to_be_bytes(),
        echo.at.to_be_bytes(),
    ];
    for (slot, part) in bytes.chunks_exact_mut(8).zip(parts) {
        slot.copy_from_slice(&part);
    }
    bytes
}

fn read(place: &[u8], plain: &[u8]) -> Option<Echo> {
    let (content, rest) = plain.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (moment, rest) = rest.split_first_chunk()?;
    Some(Echo {
        key: layout::split_echo(place)?,
        content: *content,
        version: i64::from_be_bytes(*version),
        moment: u64::from_be_bytes(*moment),
        at: i64::from_be_bytes(rest.try_into().ok()?),
    })
}
