//! How the database is opened: its options, who holds it, and what keeps it from opening.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::files;
use crate::upkeep::{mark, swap};

const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// sled flushes by itself this often, and collects garbage only then.
const FLUSH_EVERY_MS: u64 = 100;

/// The folder of the database in that of the store.
pub(super) const DATABASE: &str = "sled";

pub(super) fn database_file(path: &Path) -> PathBuf {
    path.join(DATABASE).join("db")
}

/// Says whether there is a store in a folder: also one whose moving was cut off, and one that lost
/// its database.
pub(crate) fn exists(path: &Path) -> bool {
    database_file(path).exists() || swap::is_decided(path) || path.join(mark::MARK).exists()
}

/// The right to a store's folder, across everything that takes the database's place.
///
/// It ends when it is dropped, and with the process.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    /// What was found of a compaction or a restore.
    pub(crate) found: swap::Found,
}

impl Lock {
    /// Takes the folder, and ends or undoes what was cut off there.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        files::create_folder(path)?;
        let name = path.join(LOCK);
        let file = files::open_or_new(&name).map_err(|error| Error::disk("open", &name, error))?;
        let own = format!("process {}", std::process::id());
        let mut tries = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // A store that this process has just closed lets go in a moment.
                Err(TryLockError::WouldBlock) if tries < 200 && holder(path) == own => {
                    tries += 1;
                    thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Locked { path: path.to_owned(), holder: holder(path) });
                }
                // Where files cannot be locked the database's own lock has to do.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    break;
                }
                Err(TryLockError::Error(error)) => return Err(Error::disk("lock", name, error)),
            }
        }
        let process = std::process::id().to_string();
        let holder = path.join(HOLDER);
        // Who has the lock has the store: on a full disk it is only not told who that is.
        if let Err(error) = fs::write(&holder, process)
            && !is_for_want_of_room(&error)
        {
            return Err(Error::disk("write", holder, error));
        }
        let found = swap::finish(path)?;
        match found {
            swap::Found::Nothing => {}
            swap::Found::Undone => tracing::warn!(
                store = %path.display(),
                "a compaction or restore that was cut off was undone; the store is as it was"
            ),
            swap::Found::Done => tracing::warn!(
                store = %path.display(),
                "a compaction or restore that was cut off was ended; the new store is in its place"
            ),
        }
        Ok(Self { _file: file, found })
    }
}

fn is_for_want_of_room(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), FileTooLarge | QuotaExceeded | StorageFull)
}

const LOCK: &str = "lock";

pub(super) fn open_database(path: &Path) -> Result<::sled::Db> {
    let database = path.join(DATABASE);
    let config = ::sled::Config::new()
        .path(&database)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    let opened = match open_once_closed(&config, path) {
        Err(error) if is_lock(&error) => {
            return Err(Error::Locked { path: path.to_owned(), holder: holder(path) });
        }
        Err(error) => {
            if !set_snapshots_aside(&database)? {
                return Err(not_opened(path, &error));
            }
            open_once_closed(&config, path)
        }
        opened => opened,
    };
    opened.map_err(|error| not_opened(path, &error))
}

/// Why the database did not open: it writes then, so it may be for want of room.
fn not_opened(path: &Path, error: &::sled::Error) -> Error {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    match error {
        ::sled::Error::Io(error) if matches!(error.kind(), QuotaExceeded | StorageFull) => {
            let left = fs2::available_space(path).unwrap_or(0);
            Error::Full { path: path.to_owned(), left }
        }
        error => failed("open", error),
    }
}

/// sled lets go of a database a moment after its last handle is dropped, on threads of its own: what
/// this process has just closed is asked for again, for a second at most.
fn open_once_closed(config: &::sled::Config, path: &Path) -> ::sled::Result<::sled::Db> {
    let own = format!("process {}", std::process::id());
    for _ in 0..200 {
        match config.open() {
            Err(error) if is_lock(&error) && holder(path) == own => {
                thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
    config.open()
}

const HOLDER: &str = "holder";

pub(crate) fn holder(path: &Path) -> String {
    let process = fs::read_to_string(path.join(HOLDER)).ok();
    let process = process.and_then(|process| process.trim().parse::<u32>().ok());
    process.map_or_else(|| "another process".to_owned(), |process| format!("process {process}"))
}

fn is_lock(error: &::sled::Error) -> bool {
    matches!(error, ::sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Renames snapshots whose writing was cut off, which keep sled from opening; it then recovers
/// from its log, which holds everything. Says whether there were any.
fn set_snapshots_aside(database: &Path) -> Result<bool> {
    let failed = |error| Error::io("list the folder", database, error);
    let mut any = false;
    for entry in fs::read_dir(database).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            let (from, to) = (database.join(&name), database.join(format!("aside.{name}")));
            fs::rename(&from, &to).map_err(|error| Error::io("set aside", &from, error))?;
            tracing::warn!(file = %to.display(), "set a half-written snapshot aside");
            any = true;
        }
    }
    Ok(any)
}

pub(super) fn failed(doing: &'static str, error: &::sled::Error) -> Error {
    match error {
        ::sled::Error::Corruption { at, .. } => Error::Corrupt {
            tree: "sled",
            place: at.map_or_else(|| "an unknown place".to_owned(), |at| format!("{at:?}")),
            reason: "a checksum does not fit".to_owned(),
        },
        error => Error::Database { doing, reason: error.to_string() },
    }
}
