//! How the database is opened: its options, who holds it, and what keeps it from opening.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};

const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// sled flushes by itself this often, and collects garbage only then.
const FLUSH_EVERY_MS: u64 = 500;

/// The folder of the database in that of the store.
pub(super) const DATABASE: &str = "sled";

pub(super) fn database_file(path: &Path) -> PathBuf {
    path.join(DATABASE).join("db")
}

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
                return Err(failed("open", &error));
            }
            open_once_closed(&config, path)
        }
        opened => opened,
    };
    let db = opened.map_err(|error| failed("open", &error))?;
    let process = std::process::id().to_string();
    let holder = path.join(HOLDER);
    fs::write(&holder, process).map_err(|error| Error::io("write", holder, error))?;
    Ok(db)
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

fn holder(path: &Path) -> String {
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
