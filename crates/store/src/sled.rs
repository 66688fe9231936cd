//! The store in a sled database: the embedded home, held by one process at a time.
//!
//! Its folder holds the database (`sled/`), large values (`blobs/`), how many syncs it has seen
//! (`mark`), who opened it last (`holder`) and what whoever has it open keeps locked (`lock`).

mod opening;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use self::opening::{DATABASE, database_file, failed, open_database};
pub(crate) use self::opening::{Lock, exists, holder};
use crate::blobs::Blobs;
pub use crate::disk::Durability;
use crate::disk::{BlobName, Disk, Ordered};
use crate::error::{Error, Result};
use crate::guard::guarded;
use crate::points::At;
use crate::protocol::{Core, Home};
use crate::seal::Sealer;
use crate::trees::{Entry, Part, Tree, Trees, Wait, Write};
use crate::upkeep::mark::Mark;
use crate::upkeep::swap;
use crate::vault::{KeyFile, MasterKey};
use crate::{files, format, layout};

/// The largest value that goes into the database itself.
///
/// sled keeps up to 16 keys in a leaf, and some more until it splits; a leaf that passes an
/// eighth of a megabyte goes to a heap file that sled never syncs, so a power failure could take
/// an acknowledged commit. Below this size no leaf comes near that.
const INLINE_MAX: usize = 5 * 1024;

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
    /// it keeps as good as everything when values are large and few. These blocks are 20 pages of
    /// 1,000 records, 800 KB.
    const LOOSE_BLOCKS: usize = 160;

    const BYTES_AT_ONCE: usize = 512 * 1024;

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

/// An open database with its own descriptor for syncing.
struct SledDisk {
    folder: PathBuf,
    db: ::sled::Db,
    trees: BTreeMap<Tree, ::sled::Tree>,
    /// sled's flush calls `sync_file_range` on Linux, which does not make data durable.
    file: File,
    file_path: PathBuf,
    blobs: Blobs,
    mark: Mark,
    at: Option<At>,
    /// Let go of last.
    lock: Arc<Lock>,
}

/// What stays free on the disk: the database grows by half a megabyte at a time, and what fails
/// inside it fails until a restart.
const RESERVE: u64 = 4 * 1024 * 1024;

impl SledDisk {
    fn open(path: &Path, lock: Arc<Lock>, at: Option<At>) -> Result<Self> {
        let db = open_database(path)?;
        let open_tree =
            |tree: Tree| db.open_tree(tree.name()).map_err(|error| failed("open a tree", &error));
        let opened = Tree::ALL.into_iter().map(|tree| Ok((tree, open_tree(tree)?)));
        let trees = opened.collect::<Result<BTreeMap<_, _>>>()?;
        let file_path = database_file(path);
        let file = File::options().read(true).write(true).open(&file_path);
        let file = file.map_err(|error| Error::io("open", &file_path, error))?;
        let blobs = Blobs::new(path.join("blobs"));
        let mark = Mark::new(path);
        let folder = path.to_owned();
        let disk = Self { folder, db, trees, file, file_path, blobs, mark, at, lock };
        disk.mark.check(disk.syncs()?)?;
        // The names of files that the database made must be as durable as the data in them.
        files::sync_folder(&path.join(DATABASE))?;
        files::sync_folder(path)?;
        Ok(disk)
    }

    /// Removes what nothing needs now that the store is open.
    fn clear_up(&self) -> Result<()> {
        if self.lock.found == swap::Found::Done {
            swap::forget_old(&self.folder)?;
        }
        self.blobs.sweep(|| self.blobs_named())
    }

    /// How many syncs the database has seen.
    fn syncs(&self) -> Result<u64> {
        let Some(bytes) = self.get(Tree::Meta, format::SYNCS_KEY)? else { return Ok(0) };
        let number = bytes.try_into().map(u64::from_be_bytes);
        number.map_err(|_| Error::corrupt(Tree::Meta, format::SYNCS_KEY, "it is not a number"))
    }

    fn tree(&self, tree: Tree) -> &::sled::Tree {
        // Every tree was opened; the database's own one stands in for none of them.
        self.trees.get(&tree).unwrap_or(&self.db)
    }

    /// Returns the value unless a file holds it; the outer `None` then.
    fn get_inline(&self, tree: Tree, key: &[u8]) -> Result<Option<Option<Vec<u8>>>> {
        let value = self.tree(tree).get(key).map_err(|error| failed("read", &error))?;
        let Some(value) = value else { return Ok(Some(None)) };
        match Value::decode(tree, key, &value)? {
            Value::Inline(value) => Ok(Some(Some(value.to_vec()))),
            Value::Blob(_) => Ok(None),
        }
    }

    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.part(tree, key, 0..usize::MAX)
    }

    /// Returns the bytes of a value that lie in a range.
    fn part(&self, tree: Tree, key: &[u8], range: Range<usize>) -> Result<Option<Vec<u8>>> {
        let mut gone = None;
        loop {
            let value = self.tree(tree).get(key).map_err(|error| failed("read", &error))?;
            let Some(value) = value else { return Ok(None) };
            let name = match Value::decode(tree, key, &value)? {
                Value::Inline(value) => {
                    let until = range.end.min(value.len());
                    let part = value.get(range.start.min(until)..until).unwrap_or_default();
                    return Ok(Some(part.to_vec()));
                }
                Value::Blob(name) => name,
            };
            if let Some(part) = self.blobs.read(&name, range.clone())? {
                return Ok(Some(part));
            }
            // A newer value took this one's place meanwhile, unless the entry still names it.
            if gone.replace(name) == Some(name) {
                let reason = format!("its file blobs/{} is gone", layout::hex(&name));
                return Err(Error::corrupt(tree, key, reason));
            }
        }
    }

    fn entries(&self, tree: Tree, range: Range<Vec<u8>>, bytes: usize) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut held = 0;
        for entry in self.tree(tree).range(range) {
            let (key, value) = entry.map_err(|error| failed("read", &error))?;
            let value = match Value::decode(tree, &key, &value)? {
                Value::Inline(value) => Some(value.to_vec()),
                Value::Blob(_) => self.get(tree, &key)?,
            };
            held += value.as_ref().map_or(0, Vec::len);
            entries.extend(value.map(|value| (key.to_vec(), value)));
            if held >= bytes {
                break;
            }
        }
        Ok(entries)
    }

    /// Tells of a point between two writes. What was written before is brought to the log first,
    /// where the database may bring it at any time.
    fn at_on_disk(&self, point: &'static str) -> Result<()> {
        let Some(at) = self.at else { return Ok(()) };
        self.flush()?;
        at(point);
        Ok(())
    }

    /// Returns the files that entries name.
    fn blobs_named(&self) -> Result<HashSet<BlobName>> {
        let mut named = HashSet::new();
        for tree in Tree::ALL {
            for entry in self.tree(tree) {
                let (key, value) = entry.map_err(|error| failed("read", &error))?;
                if let Value::Blob(name) = Value::decode(tree, &key, &value)? {
                    named.insert(name);
                }
            }
        }
        Ok(named)
    }
}

impl Disk for SledDisk {
    fn write(&self, writes: &[Write]) -> Result<Vec<BlobName>> {
        // Files come first: the database may bring an entry to the disk whenever it likes.
        let large = writes.iter().map(|write| match write {
            Write::Put(_, _, value) if value.len() > INLINE_MAX => Some(&value[..]),
            _ => None,
        });
        let files = self.blobs.write(large)?;
        if files.iter().any(Option::is_some) {
            self.at("store.file.written");
        }
        let mut orphans = Vec::new();
        for (write, file) in writes.iter().zip(files) {
            if matches!(write, Write::Put(Tree::Heads, ..)) {
                self.at_on_disk("store.head.next")?;
            }
            let (tree, key, old) = match write {
                Write::Put(tree, key, value) => {
                    let value = file.map_or(Value::Inline(value), Value::Blob).encode();
                    (*tree, key, self.tree(*tree).insert(key, value))
                }
                Write::Delete(tree, key) => (*tree, key, self.tree(*tree).remove(key)),
            };
            if let Some(old) = old.map_err(|error| failed("write", &error))?
                && let Value::Blob(name) = Value::decode(tree, key, &old)?
            {
                orphans.push(name);
            }
            match write {
                Write::Put(Tree::Heads, ..) => self.at_on_disk("store.head.written")?,
                Write::Delete(Tree::Seen, _) => self.at_on_disk("store.obsolete.deleted")?,
                _ => {}
            }
        }
        Ok(orphans)
    }

    fn room(&self, bytes: usize) -> Result<()> {
        // Where nobody can tell how much is free, the database's own error has to do.
        let Ok(left) = fs2::available_space(&self.folder) else { return Ok(()) };
        if left < RESERVE.saturating_add(bytes as u64 * 2) {
            return Err(Error::Full { path: self.folder.clone(), left });
        }
        Ok(())
    }

    fn count(&self, sync: u64) -> Result<()> {
        let value = Value::Inline(&sync.to_be_bytes()).encode();
        let counted = self.tree(Tree::Meta).insert(format::SYNCS_KEY, value);
        counted.map(drop).map_err(|error| failed("write", &error))
    }

    fn mark(&self, sync: u64) {
        // A mark that stays behind misses less; it is never wrong.
        if let Err(error) = self.mark.set(sync) {
            tracing::warn!(%error, "the mark of the store was not renewed");
        }
    }

    fn flush(&self) -> Result<()> {
        self.db.flush().map(drop).map_err(|error| failed("flush", &error))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| Error::io("sync", &self.file_path, error))
    }

    fn at(&self, point: &'static str) {
        if let Some(at) = self.at {
            at(point);
        }
    }

    fn discard(&self, files: Vec<BlobName>) {
        files.iter().for_each(|name| self.blobs.remove(name));
    }
}

/// A value as the database holds it: itself, or the name of its file.
enum Value<'a> {
    Inline(&'a [u8]),
    Blob(BlobName),
}

impl<'a> Value<'a> {
    fn encode(&self) -> Vec<u8> {
        let (tag, bytes): (u8, &[u8]) = match self {
            Self::Inline(value) => (0, value),
            Self::Blob(name) => (1, name),
        };
        let mut encoded = Vec::with_capacity(1 + bytes.len());
        encoded.push(tag);
        encoded.extend_from_slice(bytes);
        encoded
    }

    fn decode(tree: Tree, key: &[u8], bytes: &'a [u8]) -> Result<Self> {
        match bytes.split_first() {
            Some((0, value)) => Ok(Self::Inline(value)),
            Some((1, name)) if name.len() == size_of::<BlobName>() => {
                Ok(Self::Blob(std::array::from_fn(|at| name[at])))
            }
            _ => Err(Error::corrupt(tree, key, "the value has no known form")),
        }
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
