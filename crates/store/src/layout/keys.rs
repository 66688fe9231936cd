//! How keys are laid out, and how a key is called in an error.
//!
//! Keys begin with the flow's name behind its length, so no flow's prefix is another's.

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
