//! The order of what happens in a process, across its flows.

use std::sync::atomic::{AtomicU64, Ordering};

use connector::Clock;

/// The last moment that was given.
static LAST: AtomicU64 = AtomicU64::new(0);

/// So many moments of a millisecond are told apart by the clock alone.
const FRACTION: u32 = 16;

/// A moment later than every one before: the clock's time, and a count within it. Moments of
/// earlier processes are earlier as well, unless the clock was set back.
pub(crate) fn now(clock: &dyn Clock) -> u64 {
    let time = at(clock.now().millis());
    let next = |last: u64| Some(time.max(last.saturating_add(1)));
    let last = LAST.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).unwrap_or_default();
    time.max(last.saturating_add(1))
}

/// The first moment of a time in milliseconds since the epoch.
pub(crate) fn at(millis: i64) -> u64 {
    millis.clamp(0, i64::MAX >> (FRACTION + 1)).unsigned_abs() << FRACTION
}
