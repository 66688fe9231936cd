//! How keys and values are laid out, and how a key is called in an error.
//!
//! Keys begin with the flow's name behind its length, so no flow's prefix is another's.

use serde::{Deserialize, Serialize};

use crate::store::Counts;
use crate::trees::Tree;

/// The number of characters of a dead letter's id.
pub(crate) const ID_LEN: usize = 16;

/// Returns what every key of the flow begins with.
pub(crate) fn flow_prefix(flow: &str) -> Vec<u8> {
    let mut key = (flow.len() as u64).to_be_bytes().to_vec();
    key.extend_from_slice(flow.as_bytes());
    key
}

/// Splits a key into the flow and what follows it.
pub(crate) fn split_flow(key: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = key.split_first_chunk::<8>()?;
    let (flow, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*len)).ok()?)?;
    Some((std::str::from_utf8(flow).ok()?, rest))
}

/// The number of a commit's first segment; the numbers below are those of loose blocks.
pub(crate) const FIRST_SEGMENT: u32 = 1 << 31;

/// Returns the key of a seen block: page, then number within the page.
pub(crate) fn seen_key(flow: &str, sequence: u64, block: u32) -> Vec<u8> {
    let mut key = flow_prefix(flow);
    key.extend_from_slice(&sequence.to_be_bytes());
    key.extend_from_slice(&block.to_be_bytes());
    key
}

/// Reads from a key of a seen block its sequence, and whether it is a segment.
pub(crate) fn seen_place(key: &[u8]) -> Option<(u64, bool)> {
    let (sequence, block) = split_flow(key)?.1.split_first_chunk::<8>()?;
    let block = u32::from_be_bytes(block.try_into().ok()?);
    Some((u64::from_be_bytes(*sequence), block >= FIRST_SEGMENT))
}

/// Returns what the keys of a dead letter's versions begin with.
pub(crate) fn letter_prefix(flow: &str, id: &str) -> Vec<u8> {
    let mut key = flow_prefix(flow);
    key.extend_from_slice(id.as_bytes());
    key
}

/// Returns the key of a dead letter's version. The sequence is in it so that a commit that never
/// came to its head leaves the committed version alone.
pub(crate) fn letter_key(flow: &str, id: &str, sequence: u64) -> Vec<u8> {
    let mut key = letter_prefix(flow, id);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// Splits the key of a dead letter's version into flow, id and sequence.
pub(crate) fn split_letter(key: &[u8]) -> Option<(&str, &str, u64)> {
    let (flow, rest) = split_flow(key)?;
    let (id, sequence) = rest.split_at_checked(ID_LEN)?;
    Some((flow, std::str::from_utf8(id).ok()?, u64::from_be_bytes(sequence.try_into().ok()?)))
}

/// Returns the key of a run's line; byte order is the order of the starts.
pub(crate) fn run_key(flow: &str, started: i64, run: [u8; 8]) -> Vec<u8> {
    let mut key = flow_prefix(flow);
    key.extend_from_slice(&(started.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    key.extend_from_slice(&run);
    key
}

/// What the keys begin with that hold the names of the vault's values. No value's key is as long.
pub(crate) const VAULT_LABEL: &[u8] = b"name/";

/// The length of the key of a value in the vault: a keyed hash.
const VAULT_KEY_LEN: usize = 32;

/// Returns the key that holds the name of a value in the vault.
pub(crate) fn vault_label(key: &[u8]) -> Vec<u8> {
    [VAULT_LABEL, key].concat()
}

/// Returns the key of the value whose name a key holds; `None` if it holds none.
pub(crate) fn labelled_vault_key(label: &[u8]) -> Option<&[u8]> {
    label.strip_prefix(VAULT_LABEL).filter(|key| key.len() == VAULT_KEY_LEN)
}

/// Returns a key that lies behind every key of the flow.
pub(crate) fn behind_flow(flow: &str) -> Vec<u8> {
    let mut key = flow_prefix(flow);
    // No key has this many bytes behind the flow's name.
    key.extend_from_slice(&[u8::MAX; 64]);
    key
}

/// Says in words which entry a key belongs to.
pub(crate) fn place(tree: Tree, key: &[u8]) -> String {
    let named = match tree {
        Tree::Meta => std::str::from_utf8(key).ok().map(|name| format!("entry `{name}`")),
        Tree::Heads | Tree::Runs => split_flow(key).map(|(flow, _)| format!("flow `{flow}`")),
        Tree::Seen => split_flow(key)
            .zip(seen_place(key))
            .map(|((flow, _), (sequence, _))| format!("flow `{flow}`, page {sequence}")),
        Tree::DeadLetters => split_letter(key)
            .map(|(flow, id, sequence)| format!("flow `{flow}`, page {sequence}, id {id}")),
        Tree::Vault => None,
    };
    named.unwrap_or_else(|| format!("key {}", hex(key)))
}

/// Writes bytes as lower-case hexadecimal characters.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

/// A flow's head as it is kept: the commit point, and which entries count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredHead {
    pub(crate) tip: Tip,
    pub(crate) snapshot: Vec<u8>,
}

/// Where a flow's commits stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tip {
    /// The last committed sequence; 0 before the first.
    pub(crate) sequence: u64,
    /// The first sequence whose seen blocks count.
    pub(crate) seen_from: u64,
    /// How many seen entries the blocks that count hold together, so that a lost block shows.
    pub(crate) seen_entries: u64,
    pub(crate) counts: Counts,
}

const TIP_LEN: usize = 9 * 8;

impl StoredHead {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Tip { sequence, seen_from, seen_entries, counts } = self.tip;
        let Counts { records, emitted, unchanged, filtered, delivered, dead_lettered } = counts;
        let mut bytes = Vec::with_capacity(TIP_LEN + self.snapshot.len());
        for number in [
            sequence,
            seen_from,
            seen_entries,
            records,
            emitted,
            unchanged,
            filtered,
            delivered,
            dead_lettered,
        ] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.snapshot);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, snapshot) = bytes.split_first_chunk::<TIP_LEN>()?;
        let mut numbers = numbers.chunks_exact(8).filter_map(|number| number.try_into().ok());
        let mut next = || numbers.next().map(u64::from_be_bytes);
        let tip = Tip {
            sequence: next()?,
            seen_from: next()?,
            seen_entries: next()?,
            counts: Counts {
                records: next()?,
                emitted: next()?,
                unchanged: next()?,
                filtered: next()?,
                delivered: next()?,
                dead_lettered: next()?,
            },
        };
        Some(Self { tip, snapshot: snapshot.to_vec() })
    }
}

/// A dead letter as it is kept, but for its payload, which follows it as it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredLetter {
    pub(crate) message_id: String,
    pub(crate) step: Option<String>,
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) at: i64,
    pub(crate) record_key: String,
}

impl StoredLetter {
    pub(crate) fn encode(&self, payload: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
        let letter = serde_json::to_vec(self)?;
        let mut bytes = (letter.len() as u64).to_be_bytes().to_vec();
        bytes.extend_from_slice(&letter);
        bytes.extend_from_slice(payload);
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (len, rest) = bytes.split_first_chunk::<8>()?;
        let (letter, payload) =
            rest.split_at_checked(usize::try_from(u64::from_be_bytes(*len)).ok()?)?;
        Some((serde_json::from_slice(letter).ok()?, payload))
    }
}
