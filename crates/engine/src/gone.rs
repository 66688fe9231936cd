//! Which keys full scans found: 16 bytes a record while they run.

use std::collections::HashSet;

use crate::seen::Key;

/// One shard a first byte of the key: keys are hashes, so all shards are about as long.
const SHARDS: usize = 256;

/// What the full scans of a run found, for a flow that tells which records are gone.
#[derive(Debug)]
pub(crate) struct Gone {
    found: Vec<Vec<Key>>,
    /// The partitions of which this run read everything, from its beginning to its end.
    whole: HashSet<String>,
    /// Whether the scan under way is such a one.
    pub(crate) fresh: bool,
    /// Whether every partition is read whole, since one of them is due: only together do they tell
    /// what is gone.
    pub(crate) sweep_all: bool,
}

impl Gone {
    pub(crate) fn new() -> Self {
        let (found, whole) = (vec![vec![]; SHARDS], HashSet::new());
        Self { found, whole, fresh: false, sweep_all: false }
    }

    /// Takes note of a key that a full scan found.
    pub(crate) fn find(&mut self, key: Key) {
        let [first, ..] = key;
        if let Some(shard) = self.found.get_mut(usize::from(first)) {
            if shard.len() == shard.capacity() {
                // Doubled, it would take up to twice of what it holds.
                shard.reserve_exact(shard.len() / 16 + 64);
            }
            shard.push(key);
        }
    }

    /// A scan from the beginning to the end of a partition is complete.
    pub(crate) fn complete(&mut self, partition: &str) {
        if self.fresh {
            self.whole.insert(partition.to_owned());
        }
    }

    /// Whether this run read everything of all partitions that are listed.
    pub(crate) fn is_complete(&self, listed: &[String]) -> bool {
        listed.iter().all(|partition| self.whole.contains(partition))
    }

    /// Sorts what was found, so that it can be asked for.
    pub(crate) fn sort(&mut self) {
        for shard in &mut self.found {
            shard.sort_unstable();
        }
    }

    /// Whether a key was found; once sorted.
    pub(crate) fn has(&self, key: &Key) -> bool {
        let [first, ..] = key;
        let shard = self.found.get(usize::from(*first));
        shard.is_some_and(|shard| shard.binary_search(key).is_ok())
    }
}
