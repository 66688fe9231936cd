//! Taking a store's place: a fresh database beside the old one, and one file that decides.
//!
//! A compaction or a restore builds the store anew in `fresh/`. When that is whole and on the disk,
//! the file `fresh/whole` is written: before it the old store is the one, behind it the fresh one.
//! What then moves is moved again by whoever opens the store next, however far it came. The old
//! store lies in `old/` until the new one was opened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;

/// The folder of a store that is being built.
const FRESH: &str = "fresh";
/// The folder of the store whose place was taken.
const OLD: &str = "old";
/// The file that says that the fresh store is whole.
const WHOLE: &str = "whole";
/// What a store is made of, in the order in which it moves.
const PARTS: [&str; 3] = ["blobs", super::mark::MARK, "sled"];

/// Where the fresh store of a folder is built.
pub(crate) fn fresh(folder: &Path) -> PathBuf {
    folder.join(FRESH)
}

/// Makes the empty folder of a fresh store; what another attempt left is removed.
pub(crate) fn begin(folder: &Path) -> Result<PathBuf> {
    let fresh = fresh(folder);
    remove(&fresh)?;
    remove(&folder.join(OLD))?;
    files::create_folder(&fresh)?;
    Ok(fresh)
}

/// Gives up what was begun.
pub(crate) fn abandon(folder: &Path) -> Result<()> {
    remove(&fresh(folder))
}

/// Decides for the fresh store, which has to be whole and closed; then it is moved by
/// [`finish`].
pub(crate) fn decide(folder: &Path) -> Result<()> {
    let fresh = fresh(folder);
    // Every part has to be there, or one of the old store would stay in its place.
    files::create_folder(&fresh.join("blobs"))?;
    if let Some(missing) = PARTS.iter().find(|part| !fresh.join(part).exists()) {
        let error = io::Error::from(io::ErrorKind::NotFound);
        return Err(Error::io("find the new store's part", fresh.join(missing), error));
    }
    sync_all(&fresh)?;
    files::write_new(&fresh.join(WHOLE), b"")?;
    files::sync_folder(&fresh)?;
    files::sync_folder(folder)
}

/// Says whether a fresh store is whole and on its way to its place.
pub(crate) fn is_decided(folder: &Path) -> bool {
    fresh(folder).join(WHOLE).exists()
}

/// What an opening found of a compaction or a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// One that was cut off before it was decided: it was removed.
    Undone,
    /// One that was decided: the fresh store is in its place.
    Done,
}

/// Undoes what was not decided and ends what was. Nobody else may have the store open.
pub(crate) fn finish(folder: &Path) -> Result<Found> {
    let fresh = fresh(folder);
    if !fresh.exists() {
        let taken = folder.join(OLD).exists();
        return Ok(if taken { Found::Done } else { Found::Nothing });
    }
    if !fresh.join(WHOLE).exists() {
        remove(&fresh)?;
        // What lies aside was moved there behind the decision: only the last clearing was cut off.
        let taken = folder.join(OLD).exists();
        return Ok(if taken { Found::Done } else { Found::Undone });
    }
    let old = folder.join(OLD);
    files::create_folder(&old)?;
    for part in PARTS {
        let (from, to, aside) = (fresh.join(part), folder.join(part), old.join(part));
        if from.exists() {
            if to.exists() {
                rename(&to, &aside)?;
            }
            rename(&from, &to)?;
        }
    }
    files::sync_folder(folder)?;
    files::sync_folder(&old)?;
    remove(&fresh)?;
    Ok(Found::Done)
}

/// Removes the store whose place was taken: the new one is open.
pub(crate) fn forget_old(folder: &Path) -> Result<()> {
    remove(&folder.join(OLD))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| Error::io("move", from, error))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", folder, error))
        }
        _ => Ok(()),
    }
}

/// Brings every file of a folder and the folder itself to the disk.
fn sync_all(folder: &Path) -> Result<()> {
    let failed = |error| Error::io("sync", folder, error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            sync_all(&path)?;
        } else {
            let sync = fs::File::open(&path).and_then(|file| file.sync_all());
            sync.map_err(|error| Error::io("sync", &path, error))?;
        }
    }
    files::sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in the parts of the store in a folder.
    fn parts(folder: &Path) -> Vec<Option<String>> {
        let text = |part: &str| {
            let path = folder.join(part);
            fs::read_to_string(if path.is_dir() { path.join("in") } else { path }).ok()
        };
        PARTS.map(text).to_vec()
    }

    fn make(folder: &Path, text: &str) {
        for part in ["blobs", "sled"] {
            fs::create_dir_all(folder.join(part)).unwrap();
            fs::write(folder.join(part).join("in"), text).unwrap();
        }
        fs::write(folder.join("mark"), text).unwrap();
    }

    fn all(text: &str) -> Vec<Option<String>> {
        vec![Some(text.to_owned()); PARTS.len()]
    }

    #[test]
    fn what_is_cut_off_before_the_decision_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), "old");
        make(&begin(folder.path()).unwrap(), "new");
        assert_eq!(finish(folder.path()).unwrap(), Found::Undone);
        assert_eq!(parts(folder.path()), all("old"));
        assert_eq!(finish(folder.path()).unwrap(), Found::Nothing);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), PARTS.len());
    }

    /// Every move that a crash can leave undone is found and done by the next start.
    #[test]
    fn what_is_decided_is_ended_however_far_it_came() {
        // Two moves a part: the old one aside, the new one into its place.
        for moves in 0..=PARTS.len() * 2 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path();
            make(path, "old");
            make(&begin(path).unwrap(), "new");
            decide(path).unwrap();
            fs::create_dir_all(path.join(OLD)).unwrap();
            for one in 0..moves {
                let part = PARTS[one / 2];
                let (from, to) = if one % 2 == 0 {
                    (path.join(part), path.join(OLD).join(part))
                } else {
                    (fresh(path).join(part), path.join(part))
                };
                fs::rename(from, to).unwrap();
            }
            assert_eq!(finish(path).unwrap(), Found::Done, "{moves} moves");
            assert_eq!(parts(path), all("new"), "{moves} moves");
            assert_eq!(parts(&path.join(OLD)), all("old"), "{moves} moves");
            assert_eq!(finish(path).unwrap(), Found::Done);
            forget_old(path).unwrap();
            assert_eq!(finish(path).unwrap(), Found::Nothing);
        }
    }

    #[test]
    fn a_restore_into_an_empty_place_has_nothing_to_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        make(&begin(folder.path()).unwrap(), "new");
        decide(folder.path()).unwrap();
        assert_eq!(finish(folder.path()).unwrap(), Found::Done);
        assert_eq!(parts(folder.path()), all("new"));
    }
}
