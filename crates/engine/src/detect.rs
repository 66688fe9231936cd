//! What is new: every record of a page against what was settled before.

use std::collections::HashSet;
use std::sync::Arc;

use connector::{Changes, Record, Timestamp, Want};
use serde_json::value::RawValue;
use store::{Name, Seen, Store};

use crate::complete::Wholes;
use crate::forgotten::{Forgotten, is_forgotten};
use crate::identity::{Fingerprint, Identity, version};
use crate::seen::{Entry, Key, SeenTable, UNVERSIONED};

/// A record that has to be sent.
#[derive(Debug)]
pub(crate) struct Emitted {
    pub(crate) id: Arc<str>,
    pub(crate) key: Arc<str>,
    /// The key of its seen entry.
    pub(crate) partition_key: Key,
    pub(crate) data: Box<RawValue>,
    /// Fixes `$random()`: the same message gets the same numbers when it is sent again.
    pub(crate) seed: u64,
    /// As its seen entry has it.
    pub(crate) version: i64,
    /// Whether the record is gone: then there is no data.
    pub(crate) deleted: bool,
}

/// What a page's records turned out to be.
#[derive(Debug, Default)]
pub(crate) struct Detected {
    pub(crate) emitted: Vec<Emitted>,
    /// The entries that the page's commit writes.
    pub(crate) seen: Vec<Seen>,
    /// The names that it writes.
    pub(crate) names: Vec<Name>,
    /// How to take the entries back, in reverse order.
    undo: Vec<(Key, Option<Entry>)>,
    pub(crate) records: u64,
    pub(crate) unchanged: u64,
    pub(crate) newest: Option<Timestamp>,
    /// Whether a key is emitted that a page in flight touched too: that page goes first.
    pub(crate) follows_in_flight: bool,
    /// The page's keys, where nothing is remembered that would tell of pages in flight.
    keys: HashSet<Key>,
}

impl Detected {
    /// Whether pages of which nothing is remembered are about the same record.
    pub(crate) fn shares_a_key(&self, other: &Self) -> bool {
        !self.keys.is_disjoint(&other.keys)
    }

    /// What a page's first record with this key replaced. A later one on the same page replaces
    /// that too: after a crash the system may show it alone, and it is to have the same id.
    fn replaced_before(&self, key: &Key) -> Option<Entry> {
        self.undo.iter().find(|(changed, _)| changed == key)?.1
    }
}

/// Of which of a page's records the names are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    None,
    /// Of those that were not known before.
    New,
    All,
}

/// A page's records with their fingerprints, to be held against the table.
pub(crate) struct Candidates<'a> {
    pub(crate) records: Vec<(Record, Fingerprint)>,
    pub(crate) want: Want,
    /// Records with a later version are left out.
    pub(crate) until: Option<Timestamp>,
    /// The entries that count as absent.
    pub(crate) forgotten: &'a [Forgotten],
    /// How the trigger tells changes.
    pub(crate) changes: Changes,
    pub(crate) names: Names,
    pub(crate) identity: Identity<'a>,
    /// The sequence of the last commit.
    pub(crate) committed: u64,
    /// The sequence that this page's commit will have.
    pub(crate) sequence: u64,
    /// What was asked for of those that may be news, where the trigger completes its records.
    pub(crate) wholes: Option<Wholes>,
    /// Whether a record that is nowhere is told to be gone.
    pub(crate) absent_is_gone: bool,
    /// Records that changed before, and were never settled, are left out.
    pub(crate) begins: Option<Timestamp>,
}

/// Whether a scan leaves a record out, uncounted: what is older than was asked for, or younger, or
/// older than the flow's beginning and never settled.
pub(crate) fn rules_leave_out(
    record: &Record,
    settled: Option<Entry>,
    (want, until, begins): (Want, Option<Timestamp>, Option<Timestamp>),
) -> bool {
    let Some(version) = record.version else { return false };
    want.since().is_some_and(|since| version < since)
        || until.is_some_and(|until| version > until)
        || begins.is_some_and(|begins| version < begins) && settled.is_none()
}

impl Candidates<'_> {
    /// Whether an entry belongs to a page in flight.
    pub(crate) fn is_in_flight(&self, old: Entry) -> bool {
        (self.committed + 1..self.sequence).contains(&old.settled_by())
    }

    /// Keeps a record's name, where that is wanted; `old` is what is known of it.
    pub(crate) fn name(&self, detected: &mut Detected, key: Key, name: &str, old: Option<Entry>) {
        if self.names == Names::All || (self.names == Names::New && old.is_none()) {
            detected.names.push(Name { key, name: name.to_owned() });
        }
    }

    /// What a message's id says of the entry that it replaces; 0 if it replaces none.
    ///
    /// One that may be pruned any time says nothing: the id would be another after a restart.
    fn replaced(&self, old: Option<Entry>) -> u64 {
        let prunes = self.changes == Changes::Timestamps;
        let since = self.want.since().filter(|_| prunes).map_or(i64::MIN, Timestamp::millis);
        let counts = |old: &Entry| {
            !is_forgotten(self.forgotten, old)
                && (old.version == UNVERSIONED || old.version >= since)
        };
        old.filter(counts).map_or(0, |old| old.settled_by())
    }
}

impl SeenTable {
    /// Splits a page into what has to be sent and what is known, and overlays the table with it.
    pub(crate) fn detect(&mut self, store: &dyn Store, mut page: Candidates<'_>) -> Detected {
        let mut detected = Detected::default();
        for (record, found) in std::mem::take(&mut page.records) {
            let bounds = (page.want, page.until, page.begins);
            if rules_leave_out(&record, self.get(&found.key), bounds) {
                continue;
            }
            detected.records += 1;
            detected.newest = detected.newest.max(record.version);
            if page.wholes.is_some() {
                self.take_part(store, &mut page, &mut detected, (record, found));
            } else {
                self.take(store, &page, &mut detected, (record, found));
            }
        }
        detected
    }

    /// Settles a record as known, or as one to be sent.
    pub(crate) fn take(
        &mut self,
        store: &dyn Store,
        page: &Candidates<'_>,
        detected: &mut Detected,
        (record, found): (Record, Fingerprint),
    ) {
        let compares = page.changes.are_remembered();
        let entry =
            Entry { content: found.content, version: version(&record), sequence: page.sequence };
        if !compares {
            detected.keys.insert(found.key);
        }
        let old = self.get(&found.key).filter(|_| compares);
        let old = old.filter(|old| !is_forgotten(page.forgotten, old));
        let was = found.was.filter(|_| compares && old.is_none()).and_then(|key| self.get(&key));
        let was = was.filter(|was| !is_forgotten(page.forgotten, was));
        let old = old.or(was.filter(|was| was.content == entry.content));
        page.name(detected, found.key, &record.key, old);
        let changed = old.is_none_or(|old| old.content != entry.content);
        // What was missed is there after all, which is to be kept too.
        let differs = |old: Entry| old.version != entry.version || old.is_missed();
        let is_renamed = was.is_some() && !changed;
        if compares && (changed || is_renamed || old.is_some_and(differs)) {
            self.put(detected, found.key, entry);
        }
        if !changed {
            detected.unchanged += 1;
            return;
        }
        detected.follows_in_flight |= old.is_some_and(|old| page.is_in_flight(old));
        let again = old.is_some_and(|old| old.settled_by() == page.sequence);
        let replaces = if again { detected.replaced_before(&found.key) } else { old };
        let replaced = page.replaced(replaces);
        let (mut id, mut seed) = page.identity.message(store, &record, found, replaced);
        if again && detected.emitted.iter().any(|earlier| earlier.id == id) {
            // There and back within a second and a page.
            (id, seed) = page.identity.message(store, &record, found, page.sequence);
        }
        let key = record.key.into();
        let (partition_key, data, version) = (found.key, record.data, entry.version);
        let emitted = Emitted { id, key, partition_key, data, seed, version, deleted: false };
        detected.emitted.push(emitted);
    }

    /// Gives a key an entry that the page's commit writes.
    pub(crate) fn put(&mut self, detected: &mut Detected, key: Key, entry: Entry) {
        detected.undo.push((key, self.set(key, Some(entry))));
        detected.seen.push(entry.seen(key));
    }

    /// Takes back what a page that was not committed put over the table. Pages are taken back
    /// in reverse order.
    pub(crate) fn undo(&mut self, page: Detected) {
        for (key, old) in page.undo.into_iter().rev() {
            self.set(key, old);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::horizon::Horizon;
    use crate::identity::record_key;

    fn page(
        store: &dyn Store,
        records: &[(&str, i64, i64)],
        since: i64,
        sequence: u64,
    ) -> Candidates<'static> {
        let records = records.iter().map(|(key, seconds, value)| {
            let version = Some(Timestamp::from_secs(*seconds));
            let record = Record::new(*key, version, &json!({ "v": value })).unwrap();
            let found = Fingerprint::of(store, "", None, &record, &[], &mut vec![]);
            (record, found)
        });
        Candidates {
            records: records.collect(),
            want: Want::Changed { since: Timestamp::from_secs(since) },
            until: None,
            forgotten: &[],
            changes: Changes::Timestamps,
            names: Names::New,
            identity: Identity { flow: "f", trigger: "t", partition: "", generation: 0 },
            committed: 0,
            sequence,
            wholes: None,
            absent_is_gone: false,
            begins: None,
        }
    }

    fn emitted(detected: &Detected) -> Vec<&str> {
        detected.emitted.iter().map(|message| &*message.key).collect()
    }

    #[test]
    fn only_what_differs_is_emitted_and_pages_in_flight_count() {
        let store = store::MemoryStore::new(store::MasterKey::generate());
        let mut table = SeenTable::default();
        let first = table.detect(&store, page(&store, &[("a", 10, 1), ("b", 10, 1)], 0, 1));
        assert_eq!(emitted(&first), ["a", "b"]);
        let second =
            table.detect(&store, page(&store, &[("a", 10, 1), ("b", 10, 2), ("c", 9, 1)], 10, 2));
        assert_eq!((emitted(&second), second.records, second.unchanged), (vec!["b"], 2, 1));
        assert!(second.follows_in_flight);
        assert_ne!(first.emitted.last().unwrap().id, second.emitted.first().unwrap().id);
        // Both pages are taken back: everything is new again, with the same ids.
        let ids = |page: &Detected| page.emitted.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
        let before = ids(&first);
        table.undo(second);
        table.undo(first);
        let again = table.detect(&store, page(&store, &[("a", 10, 1), ("b", 10, 1)], 0, 1));
        assert_eq!(ids(&again), before);
    }

    #[test]
    fn what_was_settled_under_an_earlier_key_is_no_news_and_known_by_both() {
        let store = store::MemoryStore::new(store::MasterKey::generate());
        let renamed = |shown: &[(&str, i64, i64)], sequence| {
            let mut page = page(&store, shown, 0, sequence);
            for (_, found) in &mut page.records {
                found.was = Some(record_key(&store, "", "old"));
            }
            page
        };
        let mut table = SeenTable::default();
        assert_eq!(emitted(&table.detect(&store, page(&store, &[("old", 10, 1)], 0, 1))), ["old"]);
        // Of another content, it is another record.
        assert_eq!(emitted(&table.detect(&store, renamed(&[("else", 10, 2)], 2))), ["else"]);
        let found = table.detect(&store, renamed(&[("new", 10, 1)], 3));
        assert_eq!((emitted(&found), found.unchanged, found.seen.len()), (vec![], 1, 1));
        let again = table.detect(&store, page(&store, &[("new", 10, 1)], 0, 4));
        assert_eq!((emitted(&again), again.unchanged, again.seen.len()), (vec![], 1, 0));
        // Taken back, it is as before.
        table.undo(found);
        let alone = table.detect(&store, page(&store, &[("new", 10, 1)], 0, 3));
        assert_eq!(emitted(&alone), ["new"]);
    }

    #[test]
    fn a_record_twice_on_a_page_has_the_id_that_it_has_alone() {
        let store = store::MemoryStore::new(store::MasterKey::generate());
        let found = |shown: &[(&str, i64, i64)]| {
            let mut table = SeenTable::default();
            table.detect(&store, page(&store, &[("a", 9, 0)], 0, 6));
            let detected = table.detect(&store, page(&store, shown, 0, 7));
            detected.emitted.iter().map(|message| message.id.clone()).collect::<Vec<_>>()
        };
        let twice = found(&[("a", 10, 1), ("b", 10, 1), ("a", 10, 2)]);
        assert_eq!(twice.last(), found(&[("a", 10, 2)]).first());
        // There and back are three messages all the same.
        let back = found(&[("a", 10, 1), ("a", 10, 2), ("a", 10, 1)]);
        assert_eq!(back.iter().collect::<std::collections::HashSet<_>>().len(), 3);
    }

    #[test]
    fn a_message_has_the_same_id_whether_or_not_what_it_replaces_was_pruned() {
        let store = store::MemoryStore::new(store::MasterKey::generate());
        let mut table = SeenTable::default();
        table.detect(&store, page(&store, &[("a", 10, 1)], 0, 1));
        let changed = [("a", 90, 2)];
        let before = table.detect(&store, page(&store, &changed, 50, 2));
        let first = before.emitted.first().unwrap().id.clone();
        table.undo(before);
        assert!(table.prune(&Horizon::at(Timestamp::from_secs(50))).is_some());
        let again = table.detect(&store, page(&store, &changed, 50, 3));
        assert_eq!(again.emitted.first().unwrap().id, first);
    }

    #[test]
    fn a_change_there_and_back_has_three_ids() {
        let store = store::MemoryStore::new(store::MasterKey::generate());
        let mut table = SeenTable::default();
        let ids: Vec<_> = [(1, 1), (2, 2), (1, 3)]
            .iter()
            .map(|(value, sequence)| {
                let found = table.detect(&store, page(&store, &[("a", 10, *value)], 0, *sequence));
                found.emitted.first().unwrap().id.clone()
            })
            .collect();
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 3);
    }

    #[test]
    fn what_is_forgotten_is_sent_once_more_under_another_id() {
        let store = store::MemoryStore::new(store::MasterKey::generate());
        let mut table = SeenTable::default();
        let records = [("a", 10, 1), ("b", 20, 1), ("c", 30, 1)];
        let first = table.detect(&store, page(&store, &records, 0, 1));
        let rules = [Forgotten { after: 0, up_to: 1, since: Some(Timestamp::from_secs(20)) }];
        let again = |table: &mut SeenTable, sequence| {
            let mut page = page(&store, &records, 0, sequence);
            page.identity.generation = 1;
            page.until = Some(Timestamp::from_secs(20));
            table.detect(&store, Candidates { forgotten: &rules, ..page })
        };
        let second = again(&mut table, 2);
        assert_eq!((emitted(&second), second.records), (vec!["b"], 2));
        assert!(first.emitted.iter().all(|it| it.id != second.emitted.first().unwrap().id));
        assert!(again(&mut table, 3).emitted.is_empty());
    }

    #[test]
    fn pruning_keeps_what_the_next_poll_will_show_again() {
        let store = store::MemoryStore::new(store::MasterKey::generate());
        let mut table = SeenTable::default();
        let records = [("old", 10, 1), ("edge", 40, 1), ("new", 100, 1), ("future", 9000, 1)];
        let found = table.detect(&store, page(&store, &records, 0, 1));
        assert_eq!(found.newest, Some(Timestamp::from_secs(9000)));
        let left = table.prune(&Horizon::at(Timestamp::from_secs(40))).unwrap();
        assert_eq!(left.iter().map(|shard| shard.len()).sum::<usize>(), 3);
        assert_eq!(table.prune(&Horizon::at(Timestamp::from_secs(40))), None);
        let again = table.detect(&store, page(&store, &records, 40, 2));
        assert!(again.emitted.is_empty() && again.seen.is_empty());
    }

    #[test]
    fn a_record_without_a_version_is_remembered_for_good() {
        let store = store::MemoryStore::new(store::MasterKey::generate());
        let unversioned = || {
            let mut page = page(&store, &[("a", 10, 1)], 0, 1);
            page.records.iter_mut().for_each(|(record, _)| record.version = None);
            page
        };
        let mut table = SeenTable::default();
        assert_eq!(emitted(&table.detect(&store, unversioned())), ["a"]);
        assert_eq!(table.prune(&Horizon::at(Timestamp::from_secs(1_000))), None);
        assert!(table.detect(&store, unversioned()).emitted.is_empty());
    }
}
