//! An entry of the inbox as the engine writes it: the records of one request.

use connector::Record;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::Store;

use crate::identity::{Fingerprint, record_key};

/// The records of one request.
#[derive(Serialize, Deserialize)]
struct Entry {
    records: Vec<Kept>,
}

/// A record as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Empty where the request told none.
    key: String,
    data: Box<RawValue>,
}

/// The bytes of an entry with these records.
pub(super) fn write(records: Vec<Record>) -> serde_json::Result<Vec<u8>> {
    let records = records.into_iter().map(|Record { key, data, .. }| Kept { key, data });
    serde_json::to_vec(&Entry { records: records.collect() })
}

/// The id of a flow's entry at a position: its sender gets it, and what has no key is called so.
pub(super) fn id(store: &dyn Store, flow: &str, position: u64) -> String {
    let hash = store.keyed_hash("inbox.id", &[flow.as_bytes(), &position.to_be_bytes()]);
    hash.iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

/// Reads an entry's records, each with its fingerprint.
///
/// Every record that came is news, also one whose content came before: what tells it from all
/// others is its place in the inbox.
pub(super) fn read(
    store: &dyn Store,
    (flow, partition): (&str, &str),
    position: u64,
    bytes: &[u8],
) -> serde_json::Result<Vec<(Record, Fingerprint)>> {
    let Entry { records } = serde_json::from_slice(bytes)?;
    let mut id_of_entry = None;
    let mut read = Vec::with_capacity(records.len());
    for (index, Kept { mut key, data }) in records.into_iter().enumerate() {
        if key.is_empty() {
            let id = id_of_entry.get_or_insert_with(|| id(store, flow, position));
            key = if index == 0 { id.clone() } else { format!("{id}-{index}") };
        }
        let index = (index as u64).to_be_bytes();
        let hash = store.keyed_hash("inbox.record", &[&position.to_be_bytes(), &index]);
        let content = std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default());
        let whole = record_key(store, partition, &key);
        let found = Fingerprint { key: whole, content, whole, was: None };
        read.push((Record { key, version: None, data }, found));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_record_of_every_entry_is_told_from_all_others() {
        let store = store::MemoryStore::new(store::MasterKey::generate());
        let record = |key| Record::new(key, None, &json!({ "v": 1 })).unwrap();
        let bytes = write(vec![record("a"), record("a"), record(""), record("")]).unwrap();
        let (first, second) =
            (read(&store, ("f", ""), 1, &bytes), read(&store, ("f", ""), 2, &bytes));
        let (first, second) = (first.unwrap(), second.unwrap());
        let contents: std::collections::HashSet<_> =
            first.iter().chain(&second).map(|(_, found)| found.content).collect();
        assert_eq!(contents.len(), 8);
        let keys: Vec<_> = first.iter().map(|(record, _)| record.key.clone()).collect();
        let id = id(&store, "f", 1);
        assert_eq!(keys, ["a".to_owned(), "a".to_owned(), format!("{id}-2"), format!("{id}-3")]);
        assert_eq!(first[0].1.key, second[0].1.key, "the same record");
        assert_ne!(first[2].1.key, second[2].1.key);
    }
}
