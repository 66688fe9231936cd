//! The store in memory: for tests and dry runs, and able to stop at any single write.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::format;
use crate::protocol::{Core, Home};
use crate::seal::Sealer;
use crate::trees::{Entry, Part, Tree, Trees, Wait, Write};
use crate::vault::MasterKey;

/// A store that lasts as long as its process.
///
/// Clones share one store. It applies a commit write by write and can be told to stop between
/// any two of them ([`crash_after`](Self::crash_after)), which shows that the protocol needs no
/// atomic batches.
#[derive(Clone)]
pub struct MemoryStore {
    core: Arc<Core<MemoryTrees>>,
    key: MasterKey,
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new(key: impl Borrow<MasterKey>) -> Self {
        let key = key.borrow().clone();
        let (trees, sealer) = (MemoryTrees::default(), Sealer::new(&key));
        // Sealing fails only for entries of 256 GiB; without its format the store would not reopen.
        for write in format::first_writes(&sealer).unwrap_or_default() {
            trees.lock().apply(write);
        }
        let core = Core::opened(trees, sealer, 1);
        Self { core: Arc::new(core), key }
    }

    /// Lets `writes` more single writes through; every one after them is
    /// [`Error::Crashed`](crate::Error::Crashed).
    pub fn crash_after(&self, writes: usize) {
        self.core.trees.lock().left = Some(writes);
    }

    /// Opens what survives of this store as a new one, which does not crash; this one keeps its
    /// own entries.
    pub async fn reopen(&self) -> Result<Self> {
        self.reopen_with(&self.key).await
    }

    /// Opens what survives with a key, which must be the one that the store was made with.
    pub async fn reopen_with(&self, key: &MasterKey) -> Result<Self> {
        let entries = self.core.trees.lock().entries.clone();
        let trees = MemoryTrees(Mutex::new(Entries { entries, left: None }));
        let core = Core::open(trees, Sealer::new(key)).await?;
        Ok(Self { core: Arc::new(core), key: key.clone() })
    }
}

impl Home for MemoryStore {
    type Trees = MemoryTrees;

    fn core(&self) -> &Arc<Core<MemoryTrees>> {
        &self.core
    }
}

/// Trees in one map.
#[derive(Default)]
pub(crate) struct MemoryTrees(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    entries: BTreeMap<(Tree, Vec<u8>), Vec<u8>>,
    /// How many writes are let through before the crash, if one was asked for.
    left: Option<usize>,
}

impl MemoryTrees {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn apply(&mut self, write: Write) {
        match write {
            Write::Put(tree, key, value) => self.entries.insert((tree, key), value),
            Write::Delete(tree, key) => self.entries.remove(&(tree, key)),
        };
    }
}

#[async_trait]
impl Trees for MemoryTrees {
    // Small, so that what comes in blocks and pieces is a common thing in tests.
    const SEGMENT_ENTRIES: usize = 100;
    const LOOSE_BLOCKS: usize = 4;
    const LOOSE_PIECES: usize = 3;
    const BYTES_AT_ONCE: usize = 8 * 1024;

    async fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.lock().entries.get(&(tree, key.to_vec())).cloned())
    }

    async fn parts(&self, tree: Tree, wanted: Vec<Part>) -> Result<Vec<Option<Vec<u8>>>> {
        let entries = self.lock();
        let part = |(key, range): Part| {
            let value = entries.entries.get(&(tree, key))?;
            let until = range.end.min(value.len());
            Some(value.get(range.start.min(until)..until).unwrap_or_default().to_vec())
        };
        Ok(wanted.into_iter().map(part).collect())
    }

    async fn keys(&self, tree: Tree, prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
        let entries = self.lock();
        let from = entries.entries.range((tree, prefix.to_vec())..);
        let keys = from.map(|(key, _)| key);
        let keys = keys.take_while(|(found, key)| *found == tree && key.starts_with(prefix));
        Ok(keys.map(|(_, key)| key.clone()).collect())
    }

    async fn entries(
        &self,
        tree: Tree,
        from: &[u8],
        until: &[u8],
        bytes: usize,
    ) -> Result<Vec<Entry>> {
        let entries = self.lock();
        let range = entries.entries.range((tree, from.to_vec())..(tree, until.to_vec()));
        let mut found = Vec::new();
        let mut held = 0;
        for ((_, key), value) in range {
            found.push((key.clone(), value.clone()));
            held += value.len();
            if held >= bytes {
                break;
            }
        }
        Ok(found)
    }

    async fn next(&self, tree: Tree, from: &[u8]) -> Result<Option<Vec<u8>>> {
        let entries = self.lock();
        let range = (Bound::Included((tree, from.to_vec())), Bound::Unbounded);
        let next = entries.entries.range(range).next().map(|(key, _)| key);
        Ok(next.filter(|(found, _)| *found == tree).map(|(_, key)| key.clone()))
    }

    async fn previous(&self, tree: Tree, before: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        let keys = self.keys(tree, &[]).await?;
        Ok(keys.into_iter().rfind(|key| before.is_none_or(|before| &key[..] < before)))
    }

    async fn last(&self, tree: Tree, prefix: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.keys(tree, prefix).await?.pop())
    }

    async fn apply(&self, writes: Vec<Write>, _wait: Wait) -> Result<()> {
        for write in writes {
            let mut entries = self.lock();
            if let Some(left) = &mut entries.left {
                *left = left.checked_sub(1).ok_or(Error::Crashed)?;
            }
            entries.apply(write);
        }
        Ok(())
    }
}
