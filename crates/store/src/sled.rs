//! The store in a sled database: the embedded home, held by one process at a time.
//!
//! Its folder holds the database (`sled/`), large values (`blobs/`), how many syncs it has seen
//! (`mark`), who opened it last (`holder`) and what whoever has it open keeps locked (`lock`).

mod disk;
mod opening;
mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use self::disk::SledDisk;
use self::opening::failed;
pub(crate) use self::opening::{Lock, exists, holder};
pub use crate::disk::Durability;
use crate::disk::{Disk as _, Ordered};
use crate::error::{Error, Result};
use crate::format;
use crate::guard::guarded;
use crate::points::At;
use crate::protocol::{Core, Home};
use crate::seal::Sealer;
use crate::trees::{Entry, Part, Tree, Trees, Wait, Write};
use crate::vault::{KeyFile, MasterKey};

/// How a sled store is opened.
#[derive(Debug)]
pub struct SledOptions<'a> {
    /// The folder of the store; made if it is not there.
    pub path: PathBuf,
    /// The key that the store was made with, or is to be made with.
    pub key: &'a MasterKey,
    /// Whether commits wait for the disk.
    pub durability: Durability,
}

/// A store in a folder of its own, held by one process at a time.
///
/// Clones share it; the last one that goes lets go of the folder.
#[derive(Clone)]
pub struct SledStore {
    core: Arc<Core<SledTrees>>,
}

impl SledStore {
    /// Opens the store, or makes it where there is none.
    ///
    /// [`Error::Locked`] says who holds it, [`Error::WrongKey`] which key it wants,
    /// [`Error::NewerFormat`] that a newer program wrote it.
    pub async fn open(options: SledOptions<'_>) -> Result<Self> {
        Self::open_watched(options, None).await
    }

    /// The same; it tells of every one of [`POINTS`](crate::POINTS) that the store comes to.
    pub async fn open_watched(options: SledOptions<'_>, at: Option<At>) -> Result<Self> {
        let SledOptions { path, key, durability } = options;
        let sealer = Sealer::new(key);
        let trees = SledTrees::open(path, durability, at).await?;
        Self::of(trees, sealer).await
    }

    /// Takes trees that are open: checks format and key, and clears up.
    pub(crate) async fn of(trees: SledTrees, sealer: Sealer) -> Result<Self> {
        let core = Core::open(trees, sealer).await?;
        // Only now: a newer format may name its files otherwise.
        let ordered = Arc::clone(&core.trees.0);
        blocking("clear up", move || ordered.disk.clear_up()).await?;
        Ok(Self { core: Arc::new(core) })
    }

    /// A store over what was opened by somebody who answers for what is done with it.
    pub(crate) fn opened(core: Core<SledTrees>) -> Self {
        Self { core: Arc::new(core) }
    }

    /// The folder of the store.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.core.trees.folder()
    }

    /// Says whether there is a store in the folder.
    #[must_use]
    pub fn exists(path: &Path) -> bool {
        exists(path)
    }

    /// Returns the key from its file for the store in a folder; makes the file only if there is
    /// no store yet.
    ///
    /// A store whose key file is gone is [`Error::WrongKey`], which says what key it wants.
    pub async fn key_file(path: &Path, key_file: &Path) -> Result<KeyFile> {
        match MasterKey::load(key_file) {
            Err(Error::NoKey { .. }) if Self::exists(path) => {
                let trees = SledTrees::open(path.to_owned(), Durability::Full, None).await?;
                match format::wanted_key(&trees).await? {
                    Some(wants) => Err(Error::WrongKey { wants, given: None }),
                    None => MasterKey::load_or_create(key_file),
                }
            }
            Err(Error::NoKey { .. }) => MasterKey::load_or_create(key_file),
            loaded => loaded.map(|key| KeyFile { key, created: false }),
        }
    }
}

impl Home for SledStore {
    type Trees = SledTrees;

    fn core(&self) -> &Arc<Core<SledTrees>> {
        &self.core
    }
}

/// The trees of a sled database.
pub(crate) struct SledTrees(Arc<Ordered<SledDisk>>);

impl SledTrees {
    async fn open(path: PathBuf, durability: Durability, at: Option<At>) -> Result<Self> {
        let disk = move || SledDisk::open(&path, Arc::new(Lock::take(&path)?), at);
        let disk = blocking("open", disk).await?;
        let syncs = disk.syncs()?;
        Ok(Self(Arc::new(Ordered::new(disk, durability, syncs))))
    }

    /// Opens a database whose folder this process has locked.
    pub(crate) async fn open_locked(path: PathBuf, lock: Arc<Lock>) -> Result<Self> {
        let disk = blocking("open", move || SledDisk::open(&path, lock, None)).await?;
        let syncs = disk.syncs()?;
        Ok(Self(Arc::new(Ordered::new(disk, Durability::Full, syncs))))
    }

    /// The folder of the store.
    pub(crate) fn folder(&self) -> &Path {
        &self.0.disk.folder
    }
}

#[async_trait]
impl Trees for SledTrees {
    /// Half a megabyte a file.
    const SEGMENT_ENTRIES: usize = 12_800;

    /// sled looks at what its cache holds only when 64 pages of one of its 256 parts were used, so
    /// it keeps as good as everything when values are large and few. These blocks are five pages of
    /// 1,000 records, 200 KB: with 20 pages a larger scan took megabytes more than a small one.
    const LOOSE_BLOCKS: usize = 40;

    /// Eight pages of 1,000 records.
    const LOOSE_PIECES: usize = 42;

    /// Less than a segment of the loose blocks above: a commit that rolls them holds them once.
    const BYTES_AT_ONCE: usize = 192 * 1000;

    async fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if tree != Tree::Seen
            && let Some(value) = guarded("read", || self.0.disk.get_inline(tree, key))?
        {
            return Ok(value);
        }
        let (ordered, key) = (Arc::clone(&self.0), key.to_vec());
        blocking("read", move || ordered.disk.get(tree, &key)).await
    }

    async fn parts(&self, tree: Tree, wanted: Vec<Part>) -> Result<Vec<Option<Vec<u8>>>> {
        let ordered = Arc::clone(&self.0);
        let part = move |(key, range): Part| ordered.disk.part(tree, &key, range);
        blocking("read", move || wanted.into_iter().map(part).collect()).await
    }

    async fn keys(&self, tree: Tree, prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
        let (ordered, prefix) = (Arc::clone(&self.0), prefix.to_vec());
        let keys = move || {
            let keys = ordered.disk.tree(tree).scan_prefix(prefix).keys();
            keys.map(|key| key.map(|key| key.to_vec()).map_err(|error| failed("read", &error)))
                .collect()
        };
        blocking("read", keys).await
    }

    async fn entries(
        &self,
        tree: Tree,
        from: &[u8],
        until: &[u8],
        bytes: usize,
    ) -> Result<Vec<Entry>> {
        let (ordered, range) = (Arc::clone(&self.0), from.to_vec()..until.to_vec());
        blocking("read", move || ordered.disk.entries(tree, range, bytes)).await
    }

    async fn next(&self, tree: Tree, from: &[u8]) -> Result<Option<Vec<u8>>> {
        let next = || self.0.disk.tree(tree).range(from..).keys().next().transpose();
        let next = guarded("read", || next().map_err(|error| failed("read", &error)))?;
        Ok(next.map(|key| key.to_vec()))
    }

    async fn previous(&self, tree: Tree, before: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        let tree = self.0.disk.tree(tree);
        let previous = || match before {
            Some(before) => tree.range(..before).keys().next_back().transpose(),
            None => tree.iter().keys().next_back().transpose(),
        };
        let previous = guarded("read", || previous().map_err(|error| failed("read", &error)))?;
        Ok(previous.map(|key| key.to_vec()))
    }

    async fn last(&self, tree: Tree, prefix: &[u8]) -> Result<Option<Vec<u8>>> {
        let last = || self.0.disk.tree(tree).scan_prefix(prefix).keys().next_back().transpose();
        let last = guarded("read", || last().map_err(|error| failed("read", &error)))?;
        Ok(last.map(|key| key.to_vec()))
    }

    async fn apply(&self, writes: Vec<Write>, wait: Wait) -> Result<()> {
        let ordered = Arc::clone(&self.0);
        blocking("write", move || ordered.apply(&writes, wait)).await
    }

    fn at(&self, point: &'static str) {
        self.0.disk.at(point);
    }
}

/// Runs what may wait for the disk off the reactor's threads, to its end.
pub(crate) async fn blocking<R: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<R> {
    let work = move || guarded(doing, work);
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Error::Database { doing, reason: "it was stopped".to_owned() }))
}

#[cfg(test)]
mod tests;
