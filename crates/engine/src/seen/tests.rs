//! The table against a plain one, what it holds on to, and when it is written anew.

use connector::Timestamp;
use proptest::prelude::*;

use super::*;

fn entry(content: u8, version: i64, sequence: u64) -> Entry {
    Entry { content: [content; 8], version, sequence }
}

/// A key of a few, in three shards.
fn key(number: u8) -> Key {
    let mut key = [0; 16];
    (key[0], key[15]) = (number % 3 * 100, number);
    key
}

fn spread(number: u64) -> Key {
    let mut key = [7; 16];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key
}

fn all(table: &SeenTable) -> HashMap<Key, Entry> {
    let mut all: HashMap<Key, Entry> =
        table.shards.iter().flat_map(|shard| shard.iter()).map(|s| (s.key, (*s).into())).collect();
    for (key, change) in table.changes.iter().flatten() {
        match change {
            Some(entry) => drop(all.insert(*key, *entry)),
            None => drop(all.remove(key)),
        }
    }
    all
}

#[derive(Clone, Debug)]
enum Step {
    /// A page is held against the table; with a content and a version a key.
    Detect(Vec<(u8, u8, i64)>),
    /// The oldest page in flight is committed.
    Commit,
    /// Nothing in flight is committed.
    Undo,
    /// The last page in flight ends its scan: what is older goes.
    Prune(i64),
    /// The last page in flight ends its scan: the table is written anew.
    Compact,
    /// Changes are merged as if there were many.
    Merge,
    /// The process starts again.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let version = prop_oneof![4 => 0_i64..20, 1 => Just(UNVERSIONED)];
    let page = prop::collection::vec((0_u8..30, 0_u8..3, version), 0..12);
    let step = prop_oneof![
        6 => page.prop_map(Step::Detect),
        4 => Just(Step::Commit),
        1 => Just(Step::Undo),
        1 => (0_i64..20).prop_map(Step::Prune),
        1 => Just(Step::Compact),
        2 => Just(Step::Merge),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..60)
}

/// The entries before a page changed them.
type Undo = Vec<(Key, Option<Entry>)>;

/// The table, a plain one, and what a store would hold.
#[derive(Default)]
struct Both {
    table: SeenTable,
    plain: HashMap<Key, Entry>,
    in_flight: Vec<(Undo, Undo, Vec<Seen>)>,
    stored: Vec<Seen>,
    committed: u64,
}

impl Both {
    fn take(&mut self, step: Step) {
        match step {
            Step::Detect(page) => self.detect(&page),
            Step::Commit if !self.in_flight.is_empty() => {
                let (.., seen) = self.in_flight.remove(0);
                self.committed += 1;
                self.stored.extend(seen);
            }
            Step::Commit => {}
            Step::Undo => self.undo(),
            Step::Prune(horizon) => {
                self.finish();
                let before = self.plain.len();
                self.plain.retain(|_, it| it.version == UNVERSIONED || it.version >= horizon);
                let left = self.table.prune(&Horizon::at(Timestamp::from_millis(horizon)));
                assert_eq!(left.is_some(), self.plain.len() < before);
                self.end_of_scan(left);
            }
            Step::Compact => {
                self.finish();
                let shards = self.table.compact();
                self.end_of_scan(Some(shards));
            }
            Step::Merge => self.table.merge(0),
            Step::Restart => {
                self.undo();
                let mut loading = Loading::of(self.stored.len() as u64);
                self.stored.chunks(7).for_each(|entries| loading.add(entries));
                self.table = loading.table();
            }
        }
    }

    fn detect(&mut self, page: &[(u8, u8, i64)]) {
        let sequence = self.committed + 1 + self.in_flight.len() as u64;
        let (mut undo, mut plain, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for (number, content, version) in page {
            let (key, new) = (key(*number), entry(*content, *version, sequence));
            assert_eq!(self.table.get(&key), self.plain.get(&key).copied());
            undo.push((key, self.table.set(key, Some(new))));
            plain.push((key, self.plain.insert(key, new)));
            seen.push(new.seen(key));
        }
        self.in_flight.push((undo, plain, seen));
    }

    fn undo(&mut self) {
        for (undo, plain, _) in self.in_flight.drain(..).rev() {
            for (key, old) in undo.into_iter().rev() {
                self.table.set(key, old);
            }
            for (key, old) in plain.into_iter().rev() {
                match old {
                    Some(entry) => drop(self.plain.insert(key, entry)),
                    None => drop(self.plain.remove(&key)),
                }
            }
        }
    }

    /// Commits all pages in flight but the last one.
    fn finish(&mut self) {
        while self.in_flight.len() > 1 {
            self.take(Step::Commit);
        }
    }

    /// Commits the last page with what is left, or takes it back, turn and turn about.
    fn end_of_scan(&mut self, left: Option<Vec<Shard>>) {
        let Some(left) = left else { return self.take(Step::Commit) };
        if self.committed.is_multiple_of(2) && !self.in_flight.is_empty() {
            // What was pruned stays away in both.
            return self.undo();
        }
        self.in_flight.clear();
        self.committed += 1;
        self.stored = left.iter().flat_map(|shard| shard.iter().copied()).collect();
        assert!(self.stored.is_sorted_by(|one, other| one.key < other.key));
    }
}

proptest! {
    #[test]
    fn the_table_is_a_table(steps in steps()) {
        let mut both = Both::default();
        for step in steps {
            if let Step::Restart = step {
                // A restart brings back what was pruned but not committed.
                both.undo();
                both.plain = both.stored.iter().map(|seen| (seen.key, (*seen).into())).collect();
            }
            both.take(step);
            prop_assert_eq!(&all(&both.table), &both.plain);
            prop_assert_eq!(both.table.len(), both.plain.len());
        }
    }
}

/// 40 bytes an entry, what the changes take, and less than 15 % altogether for a million.
#[test]
fn a_large_table_takes_little_more_than_its_entries() {
    const COUNT: u64 = 200_000;
    const CHANGED: usize = PARTS * (CHANGES * size_of::<Seen>() + 512 * 49);
    const { assert!(CHANGED < 40_000_000 * 15 / 100) };
    let fits = |table: &SeenTable, entries: usize| {
        assert_eq!(table.len(), entries);
        let bytes = table.bytes();
        assert!(bytes <= entries * 40 + CHANGED, "{entries} entries take {bytes} bytes");
    };
    let mut table = SeenTable::default();
    for number in 0..COUNT {
        table.set(spread(number), Some(entry(1, 1, number / 1_000)));
    }
    fits(&table, 200_000);
    // Superseded once, twice, and not all of them.
    let mut loading = Loading::of(COUNT);
    for number in (0..COUNT).chain(0..COUNT).chain(0..50_000) {
        loading.add(&[entry(2, 1, number).seen(spread(number))]);
    }
    let held: usize = loading.0.iter().map(|shard| shard.entries.capacity() * 40).sum();
    assert!(held <= 200_000 * 40 * 5 / 4, "while it is read, the table takes {held} bytes");
    let mut table = loading.table();
    fits(&table, 200_000);
    assert!(table.prune(&Horizon::at(Timestamp::from_millis(2))).is_some());
    fits(&table, 0);
}

#[test]
fn a_table_is_written_anew_when_most_of_it_is_superseded_or_new() {
    for (stored, appended, live, worth) in [
        (0, 0, 0, false),
        (4_096, 0, 0, false),
        (4_097, 0, 0, true),
        (1_000_000, 0, 1_000_000, false),
        (2_004_096, 0, 1_000_000, false),
        (2_004_097, 0, 1_000_000, true),
        (u64::MAX, 0, u64::MAX, false),
        // A first scan.
        (4_096, 4_096, 4_096, false),
        (1_000_000, 500_000, 1_000_000, false),
        (1_000_000, 500_001, 1_000_000, true),
    ] {
        let found = is_worth_writing_anew(stored, appended, live);
        assert_eq!(found, worth, "{stored} stored, {appended} appended, {live} live");
    }
}
