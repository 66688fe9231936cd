//! Panics of the database, caught where they would leave it: damaged files make it give up so.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

use crate::error::{Error, Result};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside the database, whose panics are caught and become errors.
///
/// A program's panic hook should say nothing while this is true.
#[must_use]
pub fn catches_panics() -> bool {
    CATCHING.get()
}

/// Runs `work` on the database; a panic is a damaged store.
pub(crate) fn guarded<R>(doing: &'static str, work: impl FnOnce() -> Result<R>) -> Result<R> {
    let before = CATCHING.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(before);
    // The panic's own words could quote an entry.
    done.unwrap_or_else(|_| {
        Err(Error::Corrupt {
            tree: "sled",
            place: "an unknown place".to_owned(),
            reason: format!("the database gave up when it was to {doing}"),
        })
    })
}
