//! How keys and values are laid out, and how a key is called in an error.
//!
//! Keys begin with the flow's name behind its length, so no flow's prefix is another's.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::{Counts, LetterState};
use crate::trees::Tree;

/// The number of characters of the id of a dead letter or of parked work.
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

/// Returns what the keys of an item's versions begin with.
pub(crate) fn item_prefix(flow: &str, id: &str) -> Vec<u8> {
    let mut key = flow_prefix(flow);
    key.extend_from_slice(id.as_bytes());
    key
}

/// Returns the key of an item's version. The sequence is in it so that a commit that never came
/// to its head leaves the committed version alone.
pub(crate) fn item_key(flow: &str, id: &str, sequence: u64) -> Vec<u8> {
    let mut key = item_prefix(flow, id);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// Returns the key that says that an item is gone from a commit on.
pub(crate) fn gone_key(flow: &str, id: &str, sequence: u64) -> Vec<u8> {
    let mut key = item_key(flow, id, sequence);
    key.push(u8::MAX);
    key
}

/// One version of a dead letter or of parked work, as its key tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    pub(crate) flow: &'a str,
    pub(crate) id: &'a str,
    pub(crate) sequence: u64,
    /// Whether the item is gone from this version on.
    pub(crate) is_gone: bool,
}

/// Reads the key of an item's version.
pub(crate) fn version(key: &[u8]) -> Option<Version<'_>> {
    let (flow, rest) = split_flow(key)?;
    let (id, rest) = rest.split_at_checked(ID_LEN)?;
    let (sequence, mark) = rest.split_first_chunk::<8>()?;
    let is_gone = match mark {
        [] => false,
        [u8::MAX] => true,
        _ => return None,
    };
    let id = std::str::from_utf8(id).ok()?;
    Some(Version { flow, id, sequence: u64::from_be_bytes(*sequence), is_gone })
}

/// Returns the key of an echo: the flow that looks for it, then the echo's own key.
pub(crate) fn echo_key(flow: &str, key: [u8; 16]) -> Vec<u8> {
    let mut place = flow_prefix(flow);
    place.extend_from_slice(&key);
    place
}

/// Reads an echo's own key.
pub(crate) fn split_echo(key: &[u8]) -> Option<[u8; 16]> {
    split_flow(key)?.1.try_into().ok()
}

/// What follows the flow in the keys of the catalogue: the list of a commit's items, or a letter.
const COMMIT_ITEMS: u8 = 0;
const LETTER: u8 = 1;

/// Returns the key of the list of the items that a commit writes.
pub(crate) fn commit_items_key(flow: &str) -> Vec<u8> {
    let mut key = flow_prefix(flow);
    key.push(COMMIT_ITEMS);
    key
}

/// Returns what the keys of all letters of a flow in the catalogue begin with.
pub(crate) fn catalogued_letters(flow: &str) -> Vec<u8> {
    let mut key = flow_prefix(flow);
    key.push(LETTER);
    key
}

/// Returns the key of a letter in the catalogue: behind the keyed hash of its record.
pub(crate) fn catalogued_letter_key(flow: &str, record: [u8; 16], id: &str) -> Vec<u8> {
    let mut key = catalogued_letters(flow);
    key.extend_from_slice(&record);
    key.extend_from_slice(id.as_bytes());
    key
}

/// A letter of the catalogue, as its key tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CataloguedLetter<'a> {
    pub(crate) flow: &'a str,
    pub(crate) id: &'a str,
}

/// Reads the key of a letter in the catalogue; `None` for other keys.
pub(crate) fn catalogued_letter(key: &[u8]) -> Option<CataloguedLetter<'_>> {
    let (flow, rest) = split_flow(key)?;
    let (_, id) = rest.strip_prefix(&[LETTER])?.split_at_checked(16)?;
    let id = std::str::from_utf8(id).ok().filter(|id| id.len() == ID_LEN)?;
    Some(CataloguedLetter { flow, id })
}

/// What follows the flow in the keys of the inbox: an entry, a note, or the key of a delivery.
const INBOX_ENTRY: u8 = 0;
const INBOX_NOTE: u8 = 1;
const INBOX_KEY: u8 = 2;

fn inbox_part(flow: &str, part: u8) -> Vec<u8> {
    let mut key = flow_prefix(flow);
    key.push(part);
    key
}

/// Returns the key of an entry of the inbox.
pub(crate) fn inbox_entry(flow: &str, position: u64) -> Vec<u8> {
    let mut key = inbox_part(flow, INBOX_ENTRY);
    key.extend_from_slice(&position.to_be_bytes());
    key
}

/// Returns a key that lies behind all entries of the inbox.
pub(crate) fn inbox_entries_end(flow: &str) -> Vec<u8> {
    inbox_notes(flow)
}

/// Returns what the keys of the notes of what commits took begin with.
pub(crate) fn inbox_notes(flow: &str) -> Vec<u8> {
    inbox_part(flow, INBOX_NOTE)
}

/// Returns the key of a commit's note of what it took.
pub(crate) fn inbox_note(flow: &str, sequence: u64) -> Vec<u8> {
    let mut key = inbox_notes(flow);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// Returns what the keys of the deliveries' own keys begin with.
pub(crate) fn inbox_keys(flow: &str) -> Vec<u8> {
    inbox_part(flow, INBOX_KEY)
}

/// Returns the key of a delivery's own key: behind the span of time in which it came.
pub(crate) fn inbox_key(flow: &str, span: i64, key: [u8; 16]) -> Vec<u8> {
    let mut place = inbox_keys(flow);
    place.extend_from_slice(&(span.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    place.extend_from_slice(&key);
    place
}

/// What a key of the inbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InboxKey {
    Entry { position: u64 },
    Note { sequence: u64 },
    Key { span: i64 },
}

/// Reads a key of the inbox.
pub(crate) fn split_inbox(key: &[u8]) -> Option<InboxKey> {
    let (part, rest) = split_flow(key)?.1.split_first()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let number = u64::from_be_bytes(*number);
    match (*part, rest.len()) {
        (INBOX_ENTRY, 0) => Some(InboxKey::Entry { position: number }),
        (INBOX_NOTE, 0) => Some(InboxKey::Note { sequence: number }),
        (INBOX_KEY, 16) => Some(InboxKey::Key { span: (number ^ (1 << 63)).cast_signed() }),
        _ => None,
    }
}

/// Returns the key of a journal entry.
pub(crate) fn journal_key(flow: &str, id: [u8; 16]) -> Vec<u8> {
    let mut key = flow_prefix(flow);
    key.extend_from_slice(&id);
    key
}

/// Reads the id of a journal entry from its key.
pub(crate) fn journal_id(key: &[u8]) -> Option<[u8; 16]> {
    split_flow(key)?.1.try_into().ok()
}

/// Returns the key of the answer to a journal entry, right behind the entry's.
pub(crate) fn answer_key(flow: &str, id: [u8; 16]) -> Vec<u8> {
    let mut key = journal_key(flow, id);
    key.push(ANSWER);
    key
}

/// Reads from the key of an answer which journal entry it answers.
pub(crate) fn answered_id(key: &[u8]) -> Option<[u8; 16]> {
    match split_flow(key)?.1.split_last() {
        Some((&ANSWER, id)) => id.try_into().ok(),
        _ => None,
    }
}

const ANSWER: u8 = 1;

/// Returns what the key of a commit's only entry in a tree begins with: its sequence.
pub(crate) fn commit_key(flow: &str, sequence: u64) -> Vec<u8> {
    let mut key = flow_prefix(flow);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// Reads the sequence of a commit's only entry in a tree, and what follows it in the key.
pub(crate) fn split_commit(key: &[u8]) -> Option<(u64, &[u8])> {
    let (sequence, rest) = split_flow(key)?.1.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*sequence), rest))
}

/// Where a block of a trail lies, or a part of one; time and length are in the key, so that what is
/// too old or too much is found without a look at the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrailPlace {
    /// The commit's.
    pub(crate) sequence: u64,
    /// In milliseconds since the epoch; of several blocks that of the newest one.
    pub(crate) at: i64,
    /// The bytes of the block, of all of its pieces together.
    pub(crate) len: u32,
    pub(crate) part: TrailPart,
}

/// What of a trail an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrailPart {
    /// A block as a whole, as formats before the fifth have it.
    Whole,
    /// A piece of a block, and its number from 0 on.
    Piece(u32),
    /// The blocks of several commits.
    Rolled,
}

/// The number that stands for what is rolled, behind every piece's.
const ROLLED: u32 = u32::MAX;

/// Returns the key of an entry of a trail; byte order is the order of the blocks, and of the
/// pieces of one.
pub(crate) fn trail_key(flow: &str, place: &TrailPlace) -> Vec<u8> {
    let mut key = commit_key(flow, place.sequence);
    key.extend_from_slice(&place.at.to_be_bytes());
    key.extend_from_slice(&place.len.to_be_bytes());
    match place.part {
        TrailPart::Whole => {}
        TrailPart::Piece(number) => key.extend_from_slice(&number.to_be_bytes()),
        TrailPart::Rolled => key.extend_from_slice(&ROLLED.to_be_bytes()),
    }
    key
}

/// Reads from a key of a trail's entry where it lies.
pub(crate) fn split_trail(key: &[u8]) -> Option<TrailPlace> {
    let (sequence, rest) = split_commit(key)?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let part = match rest {
        [] => TrailPart::Whole,
        _ => match u32::from_be_bytes(rest.try_into().ok()?) {
            ROLLED => TrailPart::Rolled,
            number => TrailPart::Piece(number),
        },
    };
    let (at, len) = (i64::from_be_bytes(*at), u32::from_be_bytes(*len));
    Some(TrailPlace { sequence, at, len, part })
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
        Tree::Seen | Tree::Names => split_flow(key)
            .zip(seen_place(key))
            .map(|((flow, _), (sequence, _))| format!("flow `{flow}`, page {sequence}")),
        Tree::DeadLetters | Tree::Parked => {
            version(key).map(|Version { flow, id, sequence, .. }| {
                format!("flow `{flow}`, page {sequence}, id {id}")
            })
        }
        Tree::Journal | Tree::Echoes => split_flow(key).map(|(flow, _)| format!("flow `{flow}`")),
        Tree::Inbox => split_flow(key).map(|(flow, _)| match split_inbox(key) {
            Some(InboxKey::Entry { position }) => format!("flow `{flow}`, entry {position}"),
            _ => format!("flow `{flow}`"),
        }),
        Tree::History | Tree::Trail => split_flow(key)
            .zip(split_commit(key))
            .map(|((flow, _), (sequence, _))| format!("flow `{flow}`, page {sequence}")),
        Tree::Catalogue => catalogued_letter(key)
            .map(|CataloguedLetter { flow, id }| format!("flow `{flow}`, id {id}"))
            .or_else(|| split_flow(key).map(|(flow, _)| format!("flow `{flow}`"))),
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

/// Ends a head that counts echoes. No snapshot ends so: it is text.
const ECHO_COUNTS: &[u8; 8] = b"\0echoes\0";

fn split_echo_counts(rest: &[u8]) -> (&[u8], [u64; 2]) {
    let counted = rest.strip_suffix(ECHO_COUNTS).and_then(|rest| {
        let (rest, overruled) = rest.split_last_chunk::<8>()?;
        let (snapshot, echoed) = rest.split_last_chunk::<8>()?;
        Some((snapshot, [u64::from_be_bytes(*echoed), u64::from_be_bytes(*overruled)]))
    });
    counted.unwrap_or((rest, [0, 0]))
}

impl StoredHead {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Tip { sequence, seen_from, seen_entries, counts } = self.tip;
        let Counts { records, emitted, unchanged, filtered, delivered, dead_lettered, .. } = counts;
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
        // Behind the snapshot, and only where there are any: heads of earlier formats have none.
        if counts.echoed > 0 || counts.overruled > 0 {
            for number in [counts.echoed, counts.overruled] {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            bytes.extend_from_slice(ECHO_COUNTS);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.split_first_chunk::<TIP_LEN>()?;
        let (snapshot, [echoed, overruled]) = split_echo_counts(rest);
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
                echoed,
                overruled,
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
    // What follows is not in letters of the first format.
    #[serde(default)]
    pub(crate) partition_key: [u8; 16],
    #[serde(default)]
    pub(crate) state: LetterState,
    /// Empty: the one at `at` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attempts: Vec<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) edited: Option<i64>,
}

/// Parked work as it is kept, but for its payload, which follows it as it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredParked {
    pub(crate) message_id: String,
    pub(crate) step: String,
    pub(crate) record_key: String,
    pub(crate) partition_key: [u8; 16],
    pub(crate) since: i64,
    pub(crate) check_at: i64,
    pub(crate) deadline: i64,
    pub(crate) token: String,
}

/// A snapshot of the history as it is kept, but for its bytes, which follow it as they are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredCause {
    pub(crate) at: i64,
    pub(crate) what: String,
}

/// Puts bytes as they are behind what is said of them.
pub(crate) fn join<H: Serialize>(head: &H, bytes: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let head = serde_json::to_vec(head)?;
    let mut joined = (head.len() as u64).to_be_bytes().to_vec();
    joined.extend_from_slice(&head);
    joined.extend_from_slice(bytes);
    Ok(joined)
}

/// Reads what [`join`] wrote.
pub(crate) fn split<H: DeserializeOwned>(joined: &[u8]) -> Option<(H, &[u8])> {
    let (len, rest) = joined.split_first_chunk::<8>()?;
    let (head, bytes) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*len)).ok()?)?;
    Some((serde_json::from_slice(head).ok()?, bytes))
}
