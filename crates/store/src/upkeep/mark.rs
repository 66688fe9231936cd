//! The mark: how many syncs the database has seen, kept beside it.
//!
//! The database takes a damaged end of its log for one that a power failure tore off, and goes on
//! from before it without a word. The mark is written behind each sync, so it is never ahead of
//! what was durable: a database that has seen less than its mark has lost something.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::files;

/// The name of the file in the store's folder.
pub(crate) const MARK: &str = "mark";

const CHECK_LEN: usize = 8;

/// The file of the mark; made at the first sync.
pub(crate) struct Mark {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl Mark {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join(MARK), file: Mutex::default() }
    }

    /// Returns the number that is marked; `None` where no file says so, or a damaged one.
    pub(crate) fn read(&self) -> Result<Option<u64>> {
        let Some(bytes) = files::read(&self.path)? else { return Ok(None) };
        let number = decode(&bytes);
        if number.is_none() {
            tracing::warn!(file = %self.path.display(), "the mark of the store is damaged; renewed");
        }
        Ok(number)
    }

    /// Refuses a database that has seen fewer syncs than are marked.
    pub(crate) fn check(&self, seen: u64) -> Result<()> {
        match self.read()? {
            Some(marked) if marked > seen => {
                Err(Error::RolledBack { lost: marked - seen, mark: self.path.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Marks a number. The disk may have it later, never the database later than it.
    pub(crate) fn set(&self, number: u64) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let write = |file: &mut File| {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&encode(number))
        };
        let done = match &mut *file {
            Some(file) => write(file),
            None => files::open_or_new(&self.path).and_then(|mut opened| {
                opened.set_len(encode(number).len() as u64)?;
                write(&mut opened)?;
                *file = Some(opened);
                Ok(())
            }),
        };
        done.map_err(|error| Error::io("write", &self.path, error))
    }
}

fn encode(number: u64) -> [u8; 8 + CHECK_LEN] {
    let number = number.to_be_bytes();
    let check = check(number);
    std::array::from_fn(|at| *number.iter().chain(&check).nth(at).unwrap_or(&0))
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let (number, found) = bytes.split_first_chunk::<8>()?;
    (found == check(*number)).then(|| u64::from_be_bytes(*number))
}

fn check(number: [u8; 8]) -> [u8; CHECK_LEN] {
    let hash = blake3::hash(&number);
    std::array::from_fn(|at| hash.as_bytes().get(at).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_lost_something_is_refused_and_a_damaged_mark_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mark = Mark::new(folder.path());
        assert_eq!(mark.read().unwrap(), None);
        mark.check(0).unwrap();
        for number in [1, 700] {
            mark.set(number).unwrap();
            assert_eq!(Mark::new(folder.path()).read().unwrap(), Some(number));
        }
        mark.check(700).unwrap();
        mark.check(701).unwrap();
        let error = mark.check(690).unwrap_err().to_string();
        assert!(error.contains("10 writes") && error.contains("mark"), "{error}");
        for at in 0..16 {
            let mut bytes = encode(700);
            bytes[at] ^= 1;
            assert_eq!(decode(&bytes), None);
            assert_eq!(decode(&encode(700)[..at]), None);
        }
    }
}
