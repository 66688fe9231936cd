//! The one clock behind every stamp and every `Date` header.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;

const RUNNING: i64 = i64::MIN;

/// Runs with the system's time until it is set; then stands still until it is set or advanced.
#[derive(Debug)]
pub(crate) struct Clock(AtomicI64);

impl Clock {
    /// Starts at `now` in epoch seconds and stands still, or runs where there is none.
    pub(crate) fn new(now: Option<i64>) -> Self {
        Self(AtomicI64::new(now.unwrap_or(RUNNING)))
    }

    /// Gives the time in epoch seconds.
    pub(crate) fn now(&self) -> i64 {
        match self.0.load(Ordering::SeqCst) {
            RUNNING => system_now(),
            set => set,
        }
    }

    /// Sets the time in epoch seconds.
    pub(crate) fn set(&self, now: i64) {
        self.0.store(now, Ordering::SeqCst);
    }

    /// Moves the time by `seconds` and gives the new one; a running clock stands still from here.
    pub(crate) fn advance(&self, seconds: i64) -> i64 {
        let now = self.now().saturating_add(seconds);
        self.set(now);
        now
    }

    /// Gives the time as the HTTP header `Date` writes it.
    pub(crate) fn date_header(&self) -> String {
        DateTime::from_timestamp(self.now(), 0)
            .unwrap_or_default()
            .format("%a, %d %b %Y %H:%M:%S GMT")
            .to_string()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
fn system_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_once_set() {
        let clock = Clock::new(Some(784_111_777));
        assert_eq!(clock.date_header(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(clock.advance(3), 784_111_780);
        assert_eq!(clock.now(), 784_111_780);
    }
}
