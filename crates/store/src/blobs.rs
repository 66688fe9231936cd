//! Values that are too large for the database, as files with random names beside it.
//!
//! A file whose value is gone holds another one later: writing over what a file has costs the disk a
//! fraction of making one and removing one.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chacha20poly1305::aead::Generate;

use crate::disk::{BlobName, Durability};
use crate::error::{Error, Result};
use crate::{files, layout};

/// So many files without a value are kept.
const SPARES: usize = 8;
/// No file above this size is.
const LARGEST_SPARE: u64 = 1024 * 1024;

/// The folder of such files; made with the first one.
pub(crate) struct Blobs {
    folder: PathBuf,
    spares: Mutex<Vec<Spare>>,
}

/// A file whose value no durable entry names any longer.
struct Spare {
    name: BlobName,
    len: u64,
}

/// A file that was written and may not be on disk yet.
struct Written {
    file: File,
    path: PathBuf,
    /// Whether its folder has to be synced too.
    new: bool,
}

impl Blobs {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, spares: Mutex::default() }
    }

    /// Writes each value that is given into a file, of which it is the first bytes. Where durability
    /// is asked for they are on disk when this returns, so that an entry that names one never
    /// outlives it.
    ///
    /// A file that was cut off needs no name of its own: nothing names it, so it is swept up.
    pub(crate) fn write<'a>(
        &self,
        values: impl Iterator<Item = Option<&'a [u8]>>,
        durability: Durability,
    ) -> Result<Vec<Option<BlobName>>> {
        let mut files = Vec::new();
        let mut write = |value: &[u8]| {
            let (name, written) = match self.write_over(value)? {
                Some(written) => written,
                None => self.write_new(value)?,
            };
            files.push(written);
            Ok(name)
        };
        let names = values.map(|value| value.map(&mut write).transpose());
        let names: Vec<Option<BlobName>> = names.collect::<Result<_>>()?;
        if durability == Durability::Full && !files.is_empty() {
            // All are written by now: most of what one sync waits for the others find done.
            for Written { file, path, new } in &files {
                let synced = if *new { file.sync_all() } else { file.sync_data() };
                synced.map_err(|error| Error::io("sync", path, error))?;
            }
            if files.iter().any(|written| written.new) {
                files::sync_folder(&self.folder)?;
            }
        }
        Ok(names)
    }

    fn write_new(&self, value: &[u8]) -> Result<(BlobName, Written)> {
        files::create_folder(&self.folder)?;
        let name: BlobName = Generate::generate();
        let path = self.path(&name);
        Ok((name, Written { file: files::write_unsynced(&path, value)?, path, new: true }))
    }

    /// Writes a value into a file that is kept for one, if any suits it.
    fn write_over(&self, value: &[u8]) -> Result<Option<(BlobName, Written)>> {
        let Some(name) = self.spare(value.len() as u64) else { return Ok(None) };
        let path = self.path(&name);
        let write = |mut file: File| file.write_all(value).map(|()| file);
        match File::options().write(true).open(&path).and_then(write) {
            Ok(file) => Ok(Some((name, Written { file, path, new: false }))),
            // Somebody took it away; no value is lost with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("write", &path, error)),
        }
    }

    /// Takes a file for a value of so many bytes: one that it fills at least by half, and makes no
    /// longer if there is such a one.
    fn spare(&self, len: u64) -> Option<BlobName> {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting =
            spares.iter().enumerate().filter(|(_, it)| it.len / 2 <= len && len / 2 <= it.len);
        let (at, _) = fitting.min_by_key(|(_, it)| (it.len < len, it.len.abs_diff(len)))?;
        Some(spares.swap_remove(at).name)
    }

    /// Reads the bytes of a value that lie in a range; `None` if its file is gone.
    pub(crate) fn read(&self, name: &BlobName, range: Range<usize>) -> Result<Option<Vec<u8>>> {
        files::read_part(&self.path(name), range)
    }

    /// Takes back a file that no durable entry names: it is kept for another value, or removed. One
    /// that stays behind is swept up at the next opening.
    pub(crate) fn release(&self, name: BlobName) {
        let path = self.path(&name);
        let len = fs::metadata(&path).map(|it| it.len()).ok();
        if let Some(len) = len.filter(|len| *len <= LARGEST_SPARE) {
            let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
            if spares.len() < SPARES {
                spares.push(Spare { name, len });
                return;
            }
        }
        if let Err(error) = files::remove(&path) {
            tracing::warn!(%error, "a file of the store was not removed");
        }
    }

    /// Removes the files of writes that never came to their entry or lost it.
    pub(crate) fn sweep(&self, named: impl FnOnce() -> Result<HashSet<BlobName>>) -> Result<()> {
        let files = self.files()?;
        if files.is_empty() {
            return Ok(());
        }
        let named = match named() {
            Ok(named) => named,
            // What cannot be read may name any of them; what can is read nevertheless.
            Err(error) => {
                tracing::warn!(%error, "files that no entry names were not looked for");
                return Ok(());
            }
        };
        let named: HashSet<PathBuf> = named.iter().map(|name| self.path(name)).collect();
        for file in files.iter().filter(|file| !named.contains(*file)) {
            files::remove(file)?;
        }
        Ok(())
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let failed = |error| Error::io("list the folder", &self.folder, error);
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(&self.folder).map_err(failed)?;
        entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
    }

    fn path(&self, name: &BlobName) -> PathBuf {
        self.folder.join(Path::new(&layout::hex(name)))
    }
}
