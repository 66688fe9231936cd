//! When a flow runs: every so often, with jitter, never twice at once, missed ticks skipped.

use std::sync::Arc;
use std::time::Duration;

use connector::Timestamp;
use flow::Flow;

use crate::{Engine, Report, Stop, Watch};

/// Jitter is a tenth of the interval, and no more than this.
const LONGEST_JITTER: Duration = Duration::from_secs(30);
/// After failures the interval doubles up to this, or stays if it is longer.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(3600);

/// A flow that runs by itself.
pub struct Schedule {
    engine: Arc<Engine>,
    flow: Arc<Flow>,
    every: Duration,
}

impl Schedule {
    /// A schedule for a flow, `every` from the start of one run to the start of the next.
    pub const fn new(engine: Arc<Engine>, flow: Arc<Flow>, every: Duration) -> Self {
        Self { engine, flow, every }
    }

    /// Runs the flow at once and then on schedule, until told to stop or until `on_run` says so.
    ///
    /// `on_run` gets every report and the moment of the next run; false ends the schedule.
    pub async fn run(
        &self,
        stop: Stop,
        watch: Arc<dyn Watch>,
        mut on_run: impl FnMut(Report, Timestamp) -> bool + Send,
    ) {
        let clock = self.engine.clock().clone();
        let jitter = jitter(&self.flow.name, self.every);
        let mut due = clock.now();
        let mut failures = 0;
        while !stop.is_set() {
            let report = self.engine.run(&self.flow, stop.clone(), watch.clone()).await;
            failures = if report.errors.is_empty() { 0 } else { failures + 1 };
            let every = back_off(self.every, failures);
            // The first run is at once; jitter moves the beat of all that follow.
            let asked = report.asks_to_wait().unwrap_or_default();
            due = next_tick(due, clock.now(), every);
            let at = due.plus(jitter).max(clock.now().plus(asked));
            if !on_run(report, at) {
                return;
            }
            let mut stopped = stop.clone();
            tokio::select! {
                () = stopped.wait() => return,
                () = clock.sleep(at.since(clock.now())) => {}
            }
        }
    }
}

/// The first tick after `now` on the beat that `due` was on; the ticks in between are skipped.
/// After a clock that was set back, a new beat begins.
pub fn next_tick(due: Timestamp, now: Timestamp, every: Duration) -> Timestamp {
    let every = every.max(Duration::from_millis(1));
    let due = if due > now.plus(every) { now } else { due };
    let missed = now.since(due).as_millis() / every.as_millis();
    let missed = u32::try_from(missed).unwrap_or(u32::MAX);
    due.plus(every.saturating_mul(missed.saturating_add(1)))
}

/// The interval after so many failures in a row.
fn back_off(every: Duration, failures: u32) -> Duration {
    let longest = LONGEST_BACK_OFF.max(every);
    every.saturating_mul(2_u32.saturating_pow(failures)).min(longest)
}

/// Spreads flows with the same interval over time; the same flow always gets the same place.
fn jitter(flow: &str, every: Duration) -> Duration {
    let widest = (every / 10).min(LONGEST_JITTER);
    let [a, b, c, d, ..] = *blake3::hash(flow.as_bytes()).as_bytes();
    widest.mul_f64(f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn the_beat_stays_and_missed_ticks_are_skipped() {
        let every = Duration::from_secs(300);
        for (due, now, expected) in [
            (0, 0, 300),
            (0, 10, 300),
            (0, 299, 300),
            (0, 300, 600),
            (0, 1000, 1200),
            (300, 5, 600),
            // The clock was set back.
            (600, 5, 305),
        ] {
            assert_eq!(next_tick(at(due), at(now), every), at(expected), "{due} {now}");
        }
    }

    #[test]
    fn failures_back_off_to_an_hour_and_no_further() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let waits: Vec<_> = (0..6).map(|n| back_off(minutes(5), n)).collect();
        assert_eq!(waits, [5, 10, 20, 40, 60, 60].map(minutes));
        assert_eq!(back_off(minutes(300), 9), minutes(300));
    }

    #[test]
    fn jitter_is_steady_and_small() {
        let every = Duration::from_secs(60);
        assert_eq!(jitter("a", every), jitter("a", every));
        assert!(jitter("a", every) <= Duration::from_secs(6));
        assert_ne!(jitter("a", every), jitter("b", every));
    }
}
