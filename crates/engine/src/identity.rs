//! What records and messages are known by: keyed hashes, the same across restarts.

use std::sync::Arc;

use connector::{Record, Timestamp};
use store::Store;

use crate::canonical;
use crate::seen::{Entry, Key, UNVERSIONED};

/// The content of what is gone, which no record has.
pub(crate) const TOMBSTONE: [u8; 8] = [0; 8];

/// Which key and content a record has, as keyed hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) key: [u8; 16],
    pub(crate) content: [u8; 8],
    /// The key of the whole record, of which this may be a part; its own if it is whole.
    pub(crate) whole: [u8; 16],
    /// The key that it may have been settled under before.
    pub(crate) was: Option<[u8; 16]>,
}

impl Fingerprint {
    /// The fingerprint of a record, or of a part of one; `volatile` are JSON Pointers that do not
    /// count.
    pub(crate) fn of(
        store: &dyn Store,
        partition: &str,
        part: Option<&str>,
        record: &Record,
        volatile: &[&str],
        scratch: &mut Vec<u8>,
    ) -> Self {
        scratch.clear();
        let skipped: Vec<Vec<&str>> =
            volatile.iter().map(|pointer| pointer.split('/').skip(1).collect()).collect();
        let skipped: Vec<&[&str]> = skipped.iter().map(Vec::as_slice).collect();
        canonical::write(record.data.get(), &skipped, scratch);
        let content = first(&store.keyed_hash("seen.content", &[scratch]));
        let content = if content == TOMBSTONE { [u8::MAX; 8] } else { content };
        let whole = record_key(store, partition, &record.key);
        let key = part.map_or(whole, |part| {
            let parts = [partition, &record.key, part].map(str::as_bytes);
            first(&store.keyed_hash("seen.part", &parts))
        });
        Self { key, content, whole, was: None }
    }

    /// The same of a record that its place tells from all others: the cursor of its page, and its
    /// number on that.
    pub(crate) fn placed(self, store: &dyn Store, cursor: Option<&str>, index: usize) -> Self {
        let cursor = cursor.unwrap_or_default().as_bytes();
        let index = (index as u64).to_be_bytes();
        let hash = store.keyed_hash("appended", &[cursor, &index, &self.content]);
        Self { content: first(&hash), ..self }
    }
}

/// The key of a record in the seen table, and in all that is kept about it.
pub(crate) fn record_key(store: &dyn Store, partition: &str, key: &str) -> [u8; 16] {
    first(&store.keyed_hash("seen.key", &[partition.as_bytes(), key.as_bytes()]))
}

/// What makes the ids of a scan's messages.
pub(crate) struct Identity<'a> {
    pub(crate) flow: &'a str,
    pub(crate) trigger: &'a str,
    pub(crate) partition: &'a str,
    pub(crate) generation: u64,
}

impl Identity<'_> {
    /// The same across retries and restarts, different for every change, there and back too.
    pub(crate) fn message(
        &self,
        store: &dyn Store,
        record: &Record,
        found: Fingerprint,
        replaced: u64,
    ) -> (Arc<str>, u64) {
        let hash = store.keyed_hash(
            "message",
            &[
                self.flow.as_bytes(),
                self.trigger.as_bytes(),
                self.partition.as_bytes(),
                record.key.as_bytes(),
                &version(record).to_le_bytes(),
                &found.content,
                &replaced.to_le_bytes(),
                &self.generation.to_le_bytes(),
            ],
        );
        id_and_seed(&hash)
    }

    /// The same of a record that is gone; its entry is what it replaces.
    pub(crate) fn delete(
        &self,
        store: &dyn Store,
        key: &Key,
        name: &str,
        entry: Entry,
    ) -> (Arc<str>, u64) {
        let hash = store.keyed_hash(
            "message",
            &[
                self.flow.as_bytes(),
                self.trigger.as_bytes(),
                key,
                name.as_bytes(),
                &entry.version.to_le_bytes(),
                &TOMBSTONE,
                &entry.settled_by().to_le_bytes(),
                &self.generation.to_le_bytes(),
            ],
        );
        id_and_seed(&hash)
    }
}

fn id_and_seed(hash: &[u8; 32]) -> (Arc<str>, u64) {
    let id = uuid_like(&first::<16>(hash));
    let [_, _, seed @ ..] = first::<10>(hash);
    (id.into(), u64::from_le_bytes(seed))
}

/// What fixes `$random()` for the message with this id; 0 for an id of another make.
pub(crate) fn seed(message_id: &str) -> u64 {
    let digits = message_id.get(4..20);
    let seed = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    seed.unwrap_or_default().swap_bytes()
}

/// A record's version as its seen entry has it.
pub(crate) fn version(record: &Record) -> i64 {
    record.version.map_or(UNVERSIONED, Timestamp::millis)
}

fn uuid_like(bytes: &[u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn first<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    std::array::from_fn(|index| hash.get(index).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_of_a_message_is_read_from_its_id() {
        assert_eq!(seed("aabb0102030405060708ccddeeff0011"), 0x0807_0605_0403_0201);
        assert_eq!(seed("short"), 0);
        let (id, drawn) = id_and_seed(&std::array::from_fn(|at| at as u8));
        assert_eq!((seed(&id), id.len()), (drawn, 32));
    }
}
