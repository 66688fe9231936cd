//! Panics of an engine, caught where they would leave it.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside an engine whose panics are caught and become errors.
///
/// A panic is announced by the program's panic hook before it can be caught, with words that may
/// quote a record. A library sets no hooks; a program should set one that says nothing while this
/// is true.
#[must_use]
pub fn catches_panics() -> bool {
    CATCHING.get()
}

/// Runs `work`; `None` if it panicked. What it has touched must not be used after that.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = CATCHING.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(before);
    done.ok()
}
