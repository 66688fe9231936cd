//! What was settled, key by key: sorted shards of 40 bytes an entry, and this run's changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use store::Seen;

use crate::horizon::Horizon;

/// The version of a record whose system tells none.
pub(crate) const UNVERSIONED: i64 = i64::MIN;

/// A record's key, hashed.
pub(crate) type Key = [u8; 16];

/// One shard a first byte of the key: keys are hashes, so all shards are about as long.
const SHARDS: usize = 256;

/// The changes lie in so many tables, each above its own shards, and each is merged into them as a
/// whole: of a million entries a megabyte is copied at once, where all of them would hold the caller
/// up and leave as much freed memory behind. A table that is emptied in part grows instead.
const PARTS: usize = 32;

/// With so many changes a part is merged: a hash table of 512 places holds 448.
const CHANGES: usize = 446;

/// From so many entries on twice as many changes are let come together, since merging them copies
/// more.
const MANY: usize = 250_000;

/// What lies on disk may be this many entries more than twice what counts.
pub(crate) const SLACK: u64 = 4_096;

/// The bit of a sequence that says of an entry that the last complete full scans did not find its
/// record. No sequence comes near it.
const MISSED: u64 = 1 << 63;

/// Room is made beforehand for so many entries at most.
const ROOM_AT_MOST: usize = 16 * 1024 * 1024;

/// What is remembered of a settled record; with its key 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) content: [u8; 8],
    pub(crate) version: i64,
    /// The sequence of the commit that settled it, and whether it was missed.
    pub(crate) sequence: u64,
}

/// What was settled: the committed entries, overlaid with those of the pages in flight.
///
/// A million entries take 40 MB and some: the shards are sorted vectors without room to grow,
/// and only the changes of the last pages lie in a hash table above them.
#[derive(Debug)]
pub(crate) struct SeenTable {
    shards: Vec<Shard>,
    /// What differs from the shards; `None` is a key that is in its shard and was taken back.
    changes: [Changes; PARTS],
    len: usize,
    /// The keys that were looked up, where the table is not whole: nothing is known of others.
    looked_up: Option<HashSet<Key>>,
}

/// What differs, by key.
type Changes = HashMap<Key, Option<Entry>>;

/// Entries with ascending keys, shared with a commit that writes them.
type Shard = Arc<Vec<Seen>>;

impl Default for SeenTable {
    fn default() -> Self {
        Self::new(vec![Shard::default(); SHARDS])
    }
}

impl SeenTable {
    fn new(shards: Vec<Shard>) -> Self {
        let len = shards.iter().map(|shard| shard.len()).sum();
        Self { shards, changes: Default::default(), len, looked_up: None }
    }

    /// A table of a few keys, none of which was looked up yet.
    pub(crate) fn partial() -> Self {
        Self { looked_up: Some(HashSet::new()), ..Self::default() }
    }

    /// Whether the table has every entry that there is.
    pub(crate) fn is_whole(&self) -> bool {
        self.looked_up.is_none()
    }

    /// How many keys were looked up.
    pub(crate) fn looked_up(&self) -> usize {
        self.looked_up.as_ref().map_or(0, HashSet::len)
    }

    /// Those of the keys, each once, of which the table does not know whether they have an entry.
    pub(crate) fn unknown(&self, keys: impl Iterator<Item = Key>) -> Vec<Key> {
        let Some(known) = &self.looked_up else { return vec![] };
        let unknown: HashSet<Key> = keys.filter(|key| !known.contains(key)).collect();
        unknown.into_iter().collect()
    }

    /// Adds keys that were looked up, and the entries that they have.
    pub(crate) fn learn(&mut self, keys: Vec<Key>, entries: &[Seen]) {
        for seen in entries {
            self.set(seen.key, Some((*seen).into()));
        }
        self.looked_up.get_or_insert_default().extend(keys);
    }

    /// Every entry, once.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Seen> {
        let unchanged = |seen: &&Seen| !self.changes_of(&seen.key).contains_key(&seen.key);
        let lying = self.shards.iter().flat_map(|shard| shard.iter()).filter(unchanged).copied();
        let changes = self.changes.iter().flatten();
        lying.chain(changes.filter_map(|(key, entry)| Some(entry.as_ref()?.seen(*key))))
    }

    /// How many keys have an entry.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: &Key) -> Option<Entry> {
        match self.changes_of(key).get(key) {
            Some(change) => *change,
            None => self.in_shard(key),
        }
    }

    /// Gives a key an entry, or takes it away; returns what was there before.
    ///
    /// Doing the same with what was returned takes the change back; of several changes the last
    /// one first.
    pub(crate) fn set(&mut self, key: Key, entry: Option<Entry>) -> Option<Entry> {
        let old = self.get(&key);
        self.len = self.len + usize::from(entry.is_some()) - usize::from(old.is_some());
        let part = part_of(&key);
        let is_lying = self.in_shard(&key).is_some();
        let changes = &mut self.changes[part];
        if entry.is_some() || is_lying {
            changes.insert(key, entry);
        } else {
            changes.remove(&key);
        }
        if changes.len() >= if self.len < MANY { CHANGES } else { 2 * CHANGES } {
            self.merge(part);
        }
        old
    }

    /// Removes the entries that `horizon` does not keep; gives what is left if anything went.
    ///
    /// Versions are compared, never a clock.
    pub(crate) fn prune(&mut self, horizon: &Horizon) -> Option<Vec<Shard>> {
        let stays = |seen: &Seen| horizon.keeps(seen.version);
        let before = self.len;
        self.merge_all();
        for shard in &mut self.shards {
            let staying = shard.iter().filter(|seen| stays(seen)).count();
            if staying < shard.len() {
                let mut left = Vec::with_capacity(staying);
                left.extend(shard.iter().filter(|seen| stays(seen)));
                *shard = Arc::new(left);
            }
        }
        self.len = self.shards.iter().map(|shard| shard.len()).sum();
        (self.len < before).then(|| self.shards.clone())
    }

    /// Gives every entry once: what a commit can put in the place of all that it has on disk.
    ///
    /// Those of pages in flight are among them, so none may be but the one that is committed.
    pub(crate) fn compact(&mut self) -> Vec<Shard> {
        self.merge_all();
        self.shards.clone()
    }

    /// Merges all changes into their shards, and gives back the room that they took.
    pub(crate) fn settle(&mut self) {
        self.merge_all();
        self.changes = Default::default();
    }

    fn changes_of(&self, key: &Key) -> &Changes {
        &self.changes[part_of(key)]
    }

    fn in_shard(&self, key: &Key) -> Option<Entry> {
        let shard = self.shards.get(shard_of(key))?;
        let at = shard.binary_search_by(|seen| seen.key.cmp(key)).ok()?;
        shard.get(at).copied().map(Entry::from)
    }

    fn merge_all(&mut self) {
        (0..PARTS).for_each(|part| self.merge(part));
    }

    /// Merges the changes of a part into its shards. What is in flight goes along: what takes it
    /// back is a change of its own.
    fn merge(&mut self, part: usize) {
        let mut changes: Vec<(Key, Option<Entry>)> = self.changes[part].drain().collect();
        changes.sort_unstable_by_key(|(key, _)| *key);
        for changes in changes.chunk_by(|(one, _), (other, _)| shard_of(one) == shard_of(other)) {
            let shard = changes.first().and_then(|(key, _)| self.shards.get_mut(shard_of(key)));
            if let Some(shard) = shard {
                *shard = Arc::new(merged(shard, changes));
            }
        }
    }

    /// The bytes that the table holds on to.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let shards: usize = self.shards.iter().map(|shard| shard.capacity()).sum();
        // A hash table keeps an eighth of its places free, and a byte a place.
        let places = |changes: &Changes| (changes.capacity() * 8 / 7).next_power_of_two();
        let places: usize = self.changes.iter().map(places).sum();
        shards * size_of::<Seen>() + places * (size_of::<(Key, Option<Entry>)>() + 1)
    }
}

/// Merges changes with ascending keys into a shard. What room is left does not grow from merge to
/// merge: it is as much as there are changes of entries that were there.
fn merged(shard: &[Seen], changes: &[(Key, Option<Entry>)]) -> Vec<Seen> {
    let mut merged = Vec::with_capacity(shard.len() + changes.len());
    let mut rest = shard;
    for (key, change) in changes {
        let (before, behind) = rest.split_at(rest.partition_point(|seen| seen.key < *key));
        merged.extend_from_slice(before);
        merged.extend(change.map(|entry| entry.seen(*key)));
        rest = match behind.split_first() {
            Some((same, behind)) if same.key == *key => behind,
            _ => behind,
        };
    }
    merged.extend_from_slice(rest);
    merged
}

fn shard_of(key: &Key) -> usize {
    let [first, ..] = key;
    usize::from(*first)
}

/// The part of the changes that a key is in: neighbouring shards have theirs together.
fn part_of(key: &Key) -> usize {
    shard_of(key) / (SHARDS / PARTS)
}

/// Whether the table is written as a whole: if most of the `stored` entries are superseded, or if
/// one run `appended` most of those that count. Pages come in their own order, and sorting them
/// is most of the work of reading them; written as a whole they are sorted.
///
/// So a start reads about twice what counts at most, and as many entries were added since the
/// last time as are written now: in the long run every entry is written twice.
pub(crate) fn is_worth_writing_anew(stored: u64, appended: u64, live: u64) -> bool {
    let superseded = stored > live.saturating_mul(2).saturating_add(SLACK);
    let unsorted = live > SLACK && appended > live / 2;
    superseded || unsorted
}

/// A table while it is read from the store.
///
/// Each shard is a sorted beginning and an end as it came, which is sorted in as soon as it is a
/// sixteenth of the whole: superseded entries go early, and memory stays near what the table takes.
#[derive(Debug)]
pub(crate) struct Loading(Vec<Filling>);

#[derive(Debug)]
struct Filling {
    entries: Vec<Seen>,
    /// How many of the entries are sorted, with one entry a key.
    sorted: usize,
}

impl Loading {
    /// Begins with room for so many `stored` entries, spread evenly and some more.
    ///
    /// Room that is not used costs no memory, but shards that grow side by side leave holes.
    pub(crate) fn of(stored: u64) -> Self {
        let shard = usize::try_from(stored).unwrap_or(usize::MAX).min(ROOM_AT_MOST) / SHARDS;
        let room = shard + shard / 16 + 16;
        let filling = || Filling { entries: Vec::with_capacity(room), sorted: 0 };
        Self(std::iter::repeat_with(filling).take(SHARDS).collect())
    }

    /// Adds entries in commit order: for the same key, later ones win.
    pub(crate) fn add(&mut self, entries: &[Seen]) {
        for seen in entries {
            if let Some(shard) = self.0.get_mut(shard_of(&seen.key)) {
                shard.add(*seen);
            }
        }
    }

    /// Returns the table of what was added.
    pub(crate) fn table(self) -> SeenTable {
        let shards = self.0.into_iter().map(|mut shard| {
            shard.sort();
            shard.entries.shrink_to_fit();
            Arc::new(shard.entries)
        });
        SeenTable::new(shards.collect())
    }
}

impl Filling {
    fn add(&mut self, seen: Seen) {
        let entries = &mut self.entries;
        // The store gives a table that was written whole in order, so most often this is all.
        let in_order =
            self.sorted == entries.len() && entries.last().is_none_or(|last| last.key < seen.key);
        if entries.len() == entries.capacity() {
            entries.reserve_exact(entries.len() / 16 + 16);
        }
        entries.push(seen);
        if in_order {
            self.sorted = entries.len();
        } else if entries.len() - self.sorted > self.sorted / 16 + 32 {
            self.sort();
        }
    }

    fn sort(&mut self) {
        if self.sorted == self.entries.len() {
            return;
        }
        // Stable, so that of the entries of one key the last is the newest.
        self.entries.sort_by_key(|seen| seen.key);
        self.entries.dedup_by(|later, kept| {
            let same = later.key == kept.key;
            if same {
                *kept = *later;
            }
            same
        });
        self.sorted = self.entries.len();
    }
}

/// The sequence of the commit that settled an entry.
pub(crate) const fn settled_by(seen: &Seen) -> u64 {
    seen.sequence & !MISSED
}

impl Entry {
    /// The sequence of the commit that settled it.
    pub(crate) const fn settled_by(&self) -> u64 {
        self.sequence & !MISSED
    }

    /// Whether complete full scans did not find the record, and nothing has found it since.
    pub(crate) const fn is_missed(&self) -> bool {
        self.sequence & MISSED != 0
    }

    /// The same, missed.
    pub(crate) const fn missed(self) -> Self {
        Self { sequence: self.sequence | MISSED, ..self }
    }

    pub(crate) const fn seen(self, key: Key) -> Seen {
        Seen { key, content: self.content, version: self.version, sequence: self.sequence }
    }
}

impl From<Seen> for Entry {
    fn from(seen: Seen) -> Self {
        Self { content: seen.content, version: seen.version, sequence: seen.sequence }
    }
}

#[cfg(test)]
mod tests;
