//! The archive: entries of a store in one sealed file that any machine can read with the key.
//!
//! It begins with a head in the open: what it is, its version, a random id, and the id of the key
//! that sealed it. Frames follow, each sealed by itself and bound to the head, to its number and
//! to whether it is the last, so that nothing can be changed, moved, left out or cut off without
//! being noticed. The first frame says what the archive holds, the last one how much that is.

mod frames;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::frames::{Frames, HEAD_LEN, Head};
use crate::error::{Error, Result};
use crate::files;
use crate::trees::Tree;
use crate::vault::{KeyId, MasterKey};

/// A frame is sealed when it holds so many bytes; one with a larger entry is as large as that.
const FRAME: usize = 256 * 1024;

/// What an archive says of itself in its first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    /// The store's format.
    pub(crate) format: u32,
    /// When it was made, in milliseconds since the epoch.
    pub(crate) at: i64,
    /// Whether it holds everything, the vault included, or some flows.
    pub(crate) whole: bool,
    /// The keys of the store's hashes.
    pub(crate) hashes: Vec<u8>,
    /// How often the store was opened.
    pub(crate) openings: u64,
}

/// How much an archive holds, as its last frame says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Totals {
    pub(crate) flows: u64,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, item: &Item) {
        self.flows += u64::from(item.tree == Tree::Heads);
        self.entries += 1;
        self.bytes += (item.key.len() + item.plain.len()) as u64;
    }
}

/// An entry on its way into or out of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) tree: Tree,
    pub(crate) key: Vec<u8>,
    /// As it was before it was sealed.
    pub(crate) plain: Vec<u8>,
}

/// An archive that is being written: a file of another name until it is whole.
pub(crate) struct Writer {
    file: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    seal: Frames,
    held: Vec<u8>,
    totals: Totals,
}

impl Writer {
    /// Begins an archive; a file that is there already is left alone and an error.
    pub(crate) fn new(path: &Path, key: &MasterKey, manifest: &Manifest) -> Result<Self> {
        if path.exists() {
            let error = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(Error::io("write the archive", path, error));
        }
        let temporary = files::temporary_beside(path);
        let file = files::new_file(&temporary)
            .map_err(|error| Error::io("write the archive", path, error))?;
        let seal = Frames::new(key, Head::new(key.id()));
        let mut writer = Self {
            file: BufWriter::new(file),
            temporary,
            path: path.to_owned(),
            seal,
            held: Vec::new(),
            totals: Totals::default(),
        };
        let head = writer.seal.head.encode();
        writer.file.write_all(&head).map_err(|error| writer.failed(error))?;
        let manifest = serde_json::to_vec(manifest).map_err(unencodable)?;
        writer.frame(&manifest, false)?;
        Ok(writer)
    }

    /// Adds an entry.
    pub(crate) fn add(&mut self, item: &Item) -> Result<()> {
        self.totals.add(item);
        let name = item.tree.name().as_bytes();
        self.held.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        self.held.extend_from_slice(name);
        for part in [&item.key, &item.plain] {
            self.held.extend_from_slice(&(part.len() as u64).to_be_bytes());
            self.held.extend_from_slice(part);
        }
        if self.held.len() >= FRAME {
            let frame = std::mem::take(&mut self.held);
            self.frame(&frame, false)?;
        }
        Ok(())
    }

    /// Ends the archive, brings it to the disk and gives it its name.
    pub(crate) fn finish(mut self) -> Result<(Totals, u64)> {
        let frame = std::mem::take(&mut self.held);
        if !frame.is_empty() {
            self.frame(&frame, false)?;
        }
        let totals = self.totals;
        let last = serde_json::to_vec(&totals).map_err(unencodable)?;
        self.frame(&last, true)?;
        let done = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        done.map_err(|error| self.failed(error))?;
        let length = self.file.get_ref().metadata().map_err(|error| self.failed(error))?.len();
        // A link, not a rename: a file that came meanwhile stays.
        std::fs::hard_link(&self.temporary, &self.path).map_err(|error| self.failed(error))?;
        files::remove(&self.temporary)?;
        files::sync_folder(files::folder_of(&self.path))?;
        Ok((totals, length))
    }

    fn frame(&mut self, plain: &[u8], last: bool) -> Result<()> {
        let sealed = self.seal.seal(plain, last)?;
        let written = self
            .file
            .write_all(&[u8::from(last)])
            .and_then(|()| self.file.write_all(&(sealed.len() as u64).to_be_bytes()))
            .and_then(|()| self.file.write_all(&sealed));
        written.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io("write the archive", &self.path, error)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What is not whole is of no use; after the end there is nothing of this name.
        if let Err(error) = files::remove(&self.temporary) {
            tracing::warn!(%error, "a half-written archive was not removed");
        }
    }
}

/// An archive that is being read.
pub(crate) struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    /// The bytes behind those that were read.
    left: u64,
    length: u64,
    open: Frames,
    pub(crate) manifest: Manifest,
    found: Totals,
}

impl Reader {
    /// Returns which key sealed an archive.
    pub(crate) fn sealed_by(path: &Path) -> Result<KeyId> {
        let file = File::open(path).map_err(|error| Error::io("read", path, error))?;
        Ok(Head::read(&mut BufReader::new(file), path)?.key)
    }

    /// Opens an archive with the key that sealed it.
    pub(crate) fn open(path: &Path, key: &MasterKey) -> Result<Self> {
        let failed = |error| Error::io("read", path, error);
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut file = BufReader::new(file);
        let head = Head::read(&mut file, path)?;
        if head.key != key.id() {
            return Err(Error::ArchiveKey {
                path: path.to_owned(),
                wants: head.key,
                given: key.id(),
            });
        }
        let mut reader = Self {
            file,
            path: path.to_owned(),
            left: length.saturating_sub(HEAD_LEN as u64),
            length,
            open: Frames::new(key, head),
            manifest: Manifest { format: 0, at: 0, whole: false, hashes: Vec::new(), openings: 0 },
            found: Totals::default(),
        };
        let (manifest, last) = reader.frame()?;
        reader.manifest = serde_json::from_slice(&manifest)
            .ok()
            .filter(|_| !last)
            .ok_or_else(|| reader.damaged("its first part says nothing of it"))?;
        Ok(reader)
    }

    /// Returns the length of the file, and how many bytes of it were read.
    pub(crate) fn place(&self) -> (u64, u64) {
        (self.length, self.length - self.left)
    }

    /// Returns the entries of the next frame; none at the end, where everything has to be there.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<Item>>> {
        let (plain, last) = self.frame()?;
        if !last {
            let items = items(&plain).ok_or_else(|| self.damaged("a part of it does not parse"))?;
            items.iter().for_each(|item| self.found.add(item));
            return Ok(Some(items));
        }
        let totals: Totals = serde_json::from_slice(&plain)
            .map_err(|_| self.damaged("its last part does not parse"))?;
        if totals != self.found {
            return Err(self.damaged("it does not hold what it says"));
        }
        if self.left != 0 {
            return Err(self.damaged("there is something behind its end"));
        }
        Ok(None)
    }

    fn frame(&mut self) -> Result<(Vec<u8>, bool)> {
        let last = match self.take(1)?.first() {
            Some(0) => false,
            Some(1) => true,
            _ => return Err(self.damaged("a part begins with an unknown mark")),
        };
        let len = self.take(8)?.try_into().map(u64::from_be_bytes).unwrap_or(u64::MAX);
        let sealed = self.take(len)?;
        let plain = self.open.open(&sealed, last);
        let plain = plain.ok_or_else(|| self.damaged("a part is not the one that was written"))?;
        Ok((plain, last))
    }

    /// Reads exactly so many bytes, which have to be there.
    fn take(&mut self, len: u64) -> Result<Vec<u8>> {
        if len > self.left {
            return Err(self.damaged("it is cut off"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
        let read = self.file.by_ref().take(len).read_to_end(&mut bytes);
        read.map_err(|error| Error::io("read", &self.path, error))?;
        if (bytes.len() as u64) < len {
            return Err(self.damaged("it became shorter while it was read"));
        }
        self.left -= len;
        Ok(bytes)
    }

    fn damaged(&self, reason: &str) -> Error {
        Error::Archive {
            path: self.path.clone(),
            at: self.length - self.left,
            reason: reason.to_owned(),
        }
    }
}

fn items(mut plain: &[u8]) -> Option<Vec<Item>> {
    let mut found = Vec::new();
    while let Some((len, rest)) = plain.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(*len))?;
        let tree = Tree::ALL.into_iter().find(|tree| tree.name().as_bytes() == name)?;
        let (key, rest) = part(rest)?;
        let (value, rest) = part(rest)?;
        found.push(Item { tree, key: key.to_vec(), plain: value.to_vec() });
        plain = rest;
    }
    Some(found)
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_be_bytes(*len)).ok()?)
}

fn unencodable(error: serde_json::Error) -> Error {
    Error::Database { doing: "encode an archive", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest { format: 3, at: 5, whole: true, hashes: vec![7; 64], openings: 2 }
    }

    fn item(tree: Tree, key: &[u8], plain: &[u8]) -> Item {
        Item { tree, key: key.to_vec(), plain: plain.to_vec() }
    }

    fn read(path: &Path, key: &MasterKey) -> Result<(Manifest, Vec<Item>)> {
        let mut reader = Reader::open(path, key)?;
        let mut items = Vec::new();
        while let Some(more) = reader.next()? {
            items.extend(more);
        }
        Ok((reader.manifest, items))
    }

    fn written(folder: &Path, key: &MasterKey) -> (PathBuf, Vec<Item>) {
        let path = folder.join("archive");
        let items = vec![
            item(Tree::Heads, b"a", b"snapshot"),
            item(Tree::Seen, b"b", &vec![1; FRAME + 1]),
            item(Tree::Vault, b"c", b""),
        ];
        let mut writer = Writer::new(&path, key, &manifest()).unwrap();
        items.iter().for_each(|item| writer.add(item).unwrap());
        let (totals, length) = writer.finish().unwrap();
        assert_eq!((totals.flows, totals.entries), (1, 3));
        assert_eq!(length, std::fs::metadata(&path).unwrap().len());
        (path, items)
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let key = MasterKey::generate();
        let (path, items) = written(folder.path(), &key);
        assert_eq!(read(&path, &key).unwrap(), (manifest(), items));
        assert_eq!(Reader::sealed_by(&path).unwrap(), key.id());
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(8).any(|part| part == b"snapshot"));
        // A second one of the name does not take its place, and nothing is left of the attempt.
        assert!(Writer::new(&path, &key, &manifest()).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let other = read(&path, &MasterKey::generate()).unwrap_err().to_string();
        assert!(other.contains(&key.id().to_string()), "{other}");
    }

    #[test]
    fn any_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let key = MasterKey::generate();
        let (path, _) = written(folder.path(), &key);
        let good = std::fs::read(&path).unwrap();
        let edges = || (0..90).chain((90..good.len()).step_by(19_973)).chain([good.len() - 1]);
        let flipped = edges().map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 4;
            bytes
        });
        let cut = edges().map(|len| good[..len].to_vec());
        for bytes in flipped.chain(cut).chain([[&good[..], b"x"].concat()]) {
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path, &key).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Archive { .. } | Error::ArchiveKey { .. } | Error::NewerFormat { .. }
                ),
                "{error}"
            );
        }
    }

    #[test]
    fn an_archive_that_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive");
        let mut writer = Writer::new(&path, &MasterKey::generate(), &manifest()).unwrap();
        writer.add(&item(Tree::Heads, b"a", &[0; 1_000])).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
