//! Files that are there wholly or not at all, readable by their owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::Generate;

use crate::error::{Error, Result};
use crate::layout;

/// Makes a folder and its parents for their owner alone; one that is there stays as it is.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path).map_err(|error| Error::io("create the folder", path, error))
}

/// Makes a new file; one that is there is an error.
pub(crate) fn new_file(path: &Path) -> io::Result<File> {
    for_owner(OpenOptions::new().write(true).create_new(true)).open(path)
}

/// Opens a file, or makes it.
pub(crate) fn open_or_new(path: &Path) -> io::Result<File> {
    for_owner(OpenOptions::new().write(true).create(true).truncate(false)).open(path)
}

/// What is made is readable by its owner alone.
fn for_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A name beside a file that nothing has.
pub(crate) fn temporary_beside(path: &Path) -> PathBuf {
    let random: [u8; 8] = Generate::generate();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", layout::hex(&random)));
    name.into()
}

/// Writes a new file and syncs it; the caller syncs the folder.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = write_unsynced(path, bytes)?;
    file.sync_all().map_err(|error| Error::io("sync", path, error))
}

/// Writes a new file; the caller syncs it and its folder.
pub(crate) fn write_unsynced(path: &Path, bytes: &[u8]) -> Result<File> {
    let write = |mut file: File| file.write_all(bytes).map(|()| file);
    new_file(path).and_then(write).map_err(|error| Error::io("write", path, error))
}

/// Syncs a folder, so that names made or removed in it survive a power failure.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    // Elsewhere a folder cannot be opened, and its names are written through.
    if cfg!(unix) {
        let sync = File::open(path).and_then(|folder| folder.sync_all());
        sync.map_err(|error| Error::io("sync the folder", path, error))?;
    }
    Ok(())
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Reads a file; `None` if it is not there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    read_part(path, 0..usize::MAX)
}

/// Reads the bytes of a file that lie in a range; `None` if it is not there.
pub(crate) fn read_part(path: &Path, range: Range<usize>) -> Result<Option<Vec<u8>>> {
    let read = |mut file: File| {
        let wanted = range.end.saturating_sub(range.start) as u64;
        // Room for all of it at once: growing step by step copies and leaves holes.
        let there = file.metadata()?.len().saturating_sub(range.start as u64).min(wanted);
        let mut bytes = Vec::with_capacity(usize::try_from(there).unwrap_or_default());
        if range.start > 0 {
            file.seek(SeekFrom::Start(range.start as u64))?;
        }
        file.take(wanted).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    match File::open(path).and_then(read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map_err(|error| Error::io("read", path, error)),
    }
}
