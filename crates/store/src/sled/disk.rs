//! The disk behind a sled store: the database, the files of its large values, and its mark.
//!
//! A small value lies in its entry, a large one in a file. One in between lies beside its entry in
//! pieces if it goes soon: they cost no sync of their own, being in the database's log, before the
//! entry that names them.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::opening::{DATABASE, Lock, database_file, failed, open_database};
use super::value::{Filed, Pieced, Value};
use crate::blobs::Blobs;
use crate::disk::{BlobName, Disk, Durability};
use crate::error::{Error, Result};
use crate::guard::guarded;
use crate::points::At;
use crate::trees::{Entry, Tree, Write};
use crate::upkeep::mark::Mark;
use crate::upkeep::{LEAST_FREE, swap};
use crate::{files, format, layout};

/// The largest value that goes into its entry.
///
/// sled keeps up to 16 keys in a leaf, and some more until it splits; a leaf that passes an
/// eighth of a megabyte goes to a heap file that sled never syncs, so a power failure could take
/// an acknowledged commit. Below this size no leaf comes near that.
const INLINE_MAX: usize = 5 * 1024;

/// The largest value that goes into the database in pieces: a larger one is worth a file, which the
/// database need not move about.
const PIECES_MAX: usize = 64 * 1024;

/// Whether a commit or two later an entry has another value or is gone. What stays has a file: an
/// opening looks at all pieces, and what was looked at stays in the database's memory.
const fn is_soon_gone(tree: Tree) -> bool {
    matches!(tree, Tree::Journal | Tree::Heads)
}

/// Whether a value has a file of its own.
const fn has_a_file(tree: Tree, value: &[u8]) -> bool {
    let in_line = if is_soon_gone(tree) { PIECES_MAX } else { INLINE_MAX };
    value.len() > in_line
}

/// The tree of the pieces.
const PIECES: &str = "pieces";

/// An open database with its own descriptor for syncing.
pub(super) struct SledDisk {
    pub(super) folder: PathBuf,
    db: ::sled::Db,
    trees: BTreeMap<Tree, ::sled::Tree>,
    pub(super) pieces: ::sled::Tree,
    /// sled's flush calls `sync_file_range` on Linux, which does not make data durable.
    file: File,
    file_path: PathBuf,
    blobs: Blobs,
    mark: Mark,
    at: Option<At>,
    /// How many more steps are let through before the disk is full, if it is to be.
    #[cfg(test)]
    pub(super) left: std::sync::Mutex<Option<usize>>,
    /// Let go of last.
    lock: Arc<Lock>,
}

impl SledDisk {
    pub(super) fn open(path: &Path, lock: Arc<Lock>, at: Option<At>) -> Result<Self> {
        let db = open_database(path)?;
        let open_tree =
            |name: &str| db.open_tree(name).map_err(|error| failed("open a tree", &error));
        let opened = Tree::ALL.into_iter().map(|tree| Ok((tree, open_tree(tree.name())?)));
        let trees = opened.collect::<Result<BTreeMap<_, _>>>()?;
        let pieces = open_tree(PIECES)?;
        let file_path = database_file(path);
        let file = File::options().read(true).write(true).open(&file_path);
        let file = file.map_err(|error| Error::io("open", &file_path, error))?;
        let blobs = Blobs::new(path.join("blobs"));
        let mark = Mark::new(path);
        let folder = path.to_owned();
        let disk = Self {
            folder,
            db,
            trees,
            pieces,
            file,
            file_path,
            blobs,
            mark,
            at,
            #[cfg(test)]
            left: std::sync::Mutex::default(),
            lock,
        };
        disk.mark.check(disk.syncs()?)?;
        // The names of files that the database made must be as durable as the data in them.
        files::sync_folder(&path.join(DATABASE))?;
        files::sync_folder(path)?;
        Ok(disk)
    }

    /// Removes what nothing needs now that the store is open.
    pub(super) fn clear_up(&self) -> Result<()> {
        if self.lock.found == swap::Found::Done {
            swap::forget_old(&self.folder)?;
        }
        // Pieces that cannot be read belong to entries that cannot; what can is read nevertheless.
        if let Err(error) = guarded("look at the pieces of values", || self.sweep_pieces()) {
            tracing::warn!(%error, "pieces of values that no entry names were not looked for");
        }
        self.blobs.sweep(|| self.blobs_named())
    }

    /// Removes the pieces of writes that never came to their entry or lost it.
    fn sweep_pieces(&self) -> Result<()> {
        for key in self.pieces.iter().keys() {
            let key = key.map_err(|error| failed("read", &error))?;
            let named = match Pieced::owner(&key) {
                None => false,
                Some((tree, owner, name)) => {
                    let value =
                        self.tree(tree).get(owner).map_err(|error| failed("read", &error))?;
                    // What cannot be read may name them.
                    value.is_some_and(|value| match Value::decode(tree, owner, &value) {
                        Ok(Value::Pieces(pieced)) => pieced.name == name,
                        Ok(_) => false,
                        Err(_) => true,
                    })
                }
            };
            if !named {
                self.pieces.remove(key).map_err(|error| failed("write", &error))?;
            }
        }
        Ok(())
    }

    /// How many syncs the database has seen.
    pub(super) fn syncs(&self) -> Result<u64> {
        let Some(bytes) = self.get(Tree::Meta, format::SYNCS_KEY)? else { return Ok(0) };
        let number = bytes.try_into().map(u64::from_be_bytes);
        number.map_err(|_| Error::corrupt(Tree::Meta, format::SYNCS_KEY, "it is not a number"))
    }

    pub(super) fn tree(&self, tree: Tree) -> &::sled::Tree {
        // Every tree was opened; the database's own one stands in for none of them.
        self.trees.get(&tree).unwrap_or(&self.db)
    }

    /// Returns the value unless a file holds it; the outer `None` then.
    pub(super) fn get_inline(&self, tree: Tree, key: &[u8]) -> Result<Option<Option<Vec<u8>>>> {
        let value = self.tree(tree).get(key).map_err(|error| failed("read", &error))?;
        let Some(value) = value else { return Ok(Some(None)) };
        match Value::decode(tree, key, &value)? {
            Value::Inline(value) => Ok(Some(Some(value.to_vec()))),
            Value::Pieces(_) | Value::Filed(_) => Ok(None),
        }
    }

    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.part(tree, key, 0..usize::MAX)
    }

    /// Returns the bytes of a value that lie in a range.
    pub(super) fn part(
        &self,
        tree: Tree,
        key: &[u8],
        range: Range<usize>,
    ) -> Result<Option<Vec<u8>>> {
        let mut gone = None;
        loop {
            let value = self.tree(tree).get(key).map_err(|error| failed("read", &error))?;
            let Some(value) = value else { return Ok(None) };
            let part = match Value::decode(tree, key, &value)? {
                Value::Inline(value) => {
                    let until = range.end.min(value.len());
                    Some(value.get(range.start.min(until)..until).unwrap_or_default().to_vec())
                }
                Value::Pieces(pieced) => self.joined(tree, key, &pieced, range.clone())?,
                Value::Filed(filed) => {
                    let part = self.blobs.read(&filed.name, filed.part(range.clone()))?;
                    // The file may hold another entry's value by now: then it is not this one's
                    // any more.
                    if part.is_some() && !self.has(tree, key, &value)? {
                        continue;
                    }
                    part
                }
            };
            if part.is_some() {
                return Ok(part);
            }
            // A newer value took this one's place meanwhile, unless the entry still names it.
            if gone.as_ref() == Some(&value) {
                let reason = match Value::decode(tree, key, &value)? {
                    Value::Filed(filed) => {
                        format!("its file blobs/{} is gone", layout::hex(&filed.name))
                    }
                    _ => "a piece of it is gone".to_owned(),
                };
                return Err(Error::corrupt(tree, key, reason));
            }
            gone = Some(value);
        }
    }

    /// Whether an entry is still as it was read.
    fn has(&self, tree: Tree, key: &[u8], value: &[u8]) -> Result<bool> {
        let now = self.tree(tree).get(key).map_err(|error| failed("read", &error))?;
        Ok(now.is_some_and(|now| now == value))
    }

    /// Reads the bytes of a value in pieces that lie in a range; `None` if one of them is gone.
    fn joined(
        &self,
        tree: Tree,
        key: &[u8],
        pieced: &Pieced,
        range: Range<usize>,
    ) -> Result<Option<Vec<u8>>> {
        let mut joined = Vec::new();
        for (number, within) in pieced.parts(range) {
            let piece = self.pieces.get(pieced.key(tree, key, number));
            let Some(piece) = piece.map_err(|error| failed("read", &error))? else {
                return Ok(None);
            };
            let Some(part) = piece.get(within) else {
                return Err(Error::corrupt(tree, key, "a piece of it is cut off"));
            };
            joined.extend_from_slice(part);
        }
        Ok(Some(joined))
    }

    /// Puts a value beside its entry, in pieces.
    fn put_pieces(&self, tree: Tree, key: &[u8], value: &[u8]) -> Result<Pieced> {
        let pieced = Pieced::new(value.len());
        for (number, piece) in pieced.split(value) {
            self.step()?;
            let put = self.pieces.insert(pieced.key(tree, key, number), piece);
            put.map_err(|error| failed("write", &error))?;
        }
        Ok(pieced)
    }

    fn remove_pieces(&self, tree: Tree, key: &[u8], pieced: &Pieced) -> Result<()> {
        for number in pieced.numbers() {
            let removed = self.pieces.remove(pieced.key(tree, key, number));
            removed.map_err(|error| failed("write", &error))?;
        }
        Ok(())
    }

    pub(super) fn entries(
        &self,
        tree: Tree,
        range: Range<Vec<u8>>,
        bytes: usize,
    ) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut held = 0;
        for entry in self.tree(tree).range(range) {
            let (key, value) = entry.map_err(|error| failed("read", &error))?;
            let value = match Value::decode(tree, &key, &value)? {
                Value::Inline(value) => Some(value.to_vec()),
                Value::Pieces(_) | Value::Filed(_) => self.get(tree, &key)?,
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

    /// Comes to a step of a write; a test may have the disk full there, and from there on.
    #[cfg(test)]
    fn step(&self) -> Result<()> {
        let mut left = self.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &mut *left {
            None => Ok(()),
            Some(0) => {
                let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
                Err(Error::io("write", &self.file_path, full))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)] // As a test has it.
    const fn step(&self) -> Result<()> {
        Ok(())
    }

    /// Returns the files that entries name.
    fn blobs_named(&self) -> Result<HashSet<BlobName>> {
        let mut named = HashSet::new();
        for tree in Tree::ALL {
            for entry in self.tree(tree) {
                let (key, value) = entry.map_err(|error| failed("read", &error))?;
                if let Value::Filed(filed) = Value::decode(tree, &key, &value)? {
                    named.insert(filed.name);
                }
            }
        }
        Ok(named)
    }
}

impl Disk for SledDisk {
    fn write(&self, writes: &[Write], durability: Durability) -> Result<Vec<BlobName>> {
        // Files come first: the database may bring an entry to the disk whenever it likes.
        let large = writes.iter().map(|write| match write {
            Write::Put(tree, _, value) if has_a_file(*tree, value) => Some(&value[..]),
            _ => None,
        });
        self.step()?;
        let files = self.blobs.write(large, durability)?;
        if files.iter().any(Option::is_some) {
            self.at("store.file.written");
        }
        let mut orphans = Vec::new();
        for (write, file) in writes.iter().zip(files) {
            if matches!(write, Write::Put(Tree::Heads, ..)) {
                self.at_on_disk("store.head.next")?;
            }
            self.step()?;
            let (tree, key, old) = match write {
                Write::Put(tree, key, value) => {
                    let value = match file {
                        Some(name) => Value::Filed(Filed::new(name, value.len())),
                        None if value.len() <= INLINE_MAX => Value::Inline(value),
                        None => Value::Pieces(self.put_pieces(*tree, key, value)?),
                    };
                    (*tree, key, self.tree(*tree).insert(key, value.encode()))
                }
                Write::Delete(tree, key) => (*tree, key, self.tree(*tree).remove(key)),
            };
            if let Some(old) = old.map_err(|error| failed("write", &error))? {
                match Value::decode(tree, key, &old)? {
                    Value::Inline(_) => {}
                    Value::Pieces(pieced) => self.remove_pieces(tree, key, &pieced)?,
                    Value::Filed(filed) => orphans.push(filed.name),
                }
            }
            match write {
                Write::Put(Tree::Heads, ..) => self.at_on_disk("store.head.written")?,
                Write::Delete(Tree::Seen, _) => self.at_on_disk("store.obsolete.deleted")?,
                _ => {}
            }
        }
        free();
        Ok(orphans)
    }

    fn room(&self, bytes: usize) -> Result<()> {
        // Where nobody can tell how much is free, the database's own error has to do.
        let Ok(left) = fs2::available_space(&self.folder) else { return Ok(()) };
        if left < LEAST_FREE.saturating_add(bytes as u64 * 2) {
            return Err(Error::Full { path: self.folder.clone(), left });
        }
        Ok(())
    }

    fn count(&self, sync: u64) -> Result<()> {
        self.step()?;
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
        self.step()?;
        let flushed = self.db.flush().map(drop).map_err(|error| failed("flush", &error));
        free();
        flushed
    }

    fn sync(&self) -> Result<()> {
        self.step()?;
        self.file.sync_data().map_err(|error| Error::io("sync", &self.file_path, error))
    }

    fn at(&self, point: &'static str) {
        if let Some(at) = self.at {
            at(point);
        }
    }

    fn discard(&self, files: Vec<BlobName>) {
        files.into_iter().for_each(|name| self.blobs.release(name));
    }
}

/// Frees what sled let go of and nobody reads any more. Each thread would keep 64 such things first,
/// buffers of half a megabyte among them, and there are as many threads as ever wrote at once.
fn free() {
    crossbeam_epoch::pin().flush();
}
