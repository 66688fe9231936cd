//! Values that are too large for the database, as files with random names beside it.

use std::collections::HashSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::Generate;

use crate::disk::{BlobName, Durability};
use crate::error::{Error, Result};
use crate::{files, layout};

/// The folder of such files; made with the first one.
pub(crate) struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes each value that is given into a new file. Where durability is asked for they are on
    /// disk when this returns, so that an entry that names one never outlives it.
    ///
    /// A file that was cut off needs no name of its own: nothing names it, so it is swept up.
    pub(crate) fn write<'a>(
        &self,
        values: impl Iterator<Item = Option<&'a [u8]>>,
        durability: Durability,
    ) -> Result<Vec<Option<BlobName>>> {
        let mut files = Vec::new();
        let mut write = |value| {
            files::create_folder(&self.folder)?;
            let name: BlobName = Generate::generate();
            let path = self.path(&name);
            files.push((files::write_unsynced(&path, value)?, path));
            Ok(name)
        };
        let names = values.map(|value| value.map(&mut write).transpose());
        let names: Vec<Option<BlobName>> = names.collect::<Result<_>>()?;
        if durability == Durability::Full && !files.is_empty() {
            // All are written by now: most of what one sync waits for the others find done.
            for (file, path) in files {
                file.sync_all().map_err(|error| Error::io("sync", &path, error))?;
            }
            files::sync_folder(&self.folder)?;
        }
        Ok(names)
    }

    /// Reads the bytes of a value that lie in a range; `None` if its file is gone.
    pub(crate) fn read(&self, name: &BlobName, range: Range<usize>) -> Result<Option<Vec<u8>>> {
        files::read_part(&self.path(name), range)
    }

    /// Removes a file that no entry names. One that stays behind is swept up at the next opening.
    pub(crate) fn remove(&self, name: &BlobName) {
        if let Err(error) = files::remove(&self.path(name)) {
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
