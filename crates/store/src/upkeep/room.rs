//! How much room the disk of a store has, and how much the store needs.

use std::path::Path;

use crate::error::{Error, Result};

/// What stays free on the disk of a store: below that its writes are refused.
///
/// The database grows by half a megabyte at a time, and what fails inside it fails until a restart.
pub const LEAST_FREE: u64 = 4 * 1024 * 1024;

/// Returns how many bytes are free where a folder lies; one that is not there yet is looked for
/// where it would be made.
pub fn free(path: &Path) -> Result<u64> {
    let there = path.ancestors().find(|it| it.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    fs2::available_space(there).map_err(|error| Error::io("ask for the room at", there, error))
}

/// Returns how many bytes the files of a store have on the disk.
pub fn size(path: &Path) -> Result<u64> {
    super::renew::parts_size(path)
}
