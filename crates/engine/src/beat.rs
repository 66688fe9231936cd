//! Where a flow is on its schedule: pure arithmetic, without a task or a clock of its own.

use std::time::Duration;

use connector::Timestamp;
use flow::{Cron, Schedule};

use crate::Report;

/// Jitter is a tenth of the way to the next tick, and no more than this.
const LONGEST_JITTER: Duration = Duration::from_secs(30);
/// After failures the interval doubles up to this, or stays if it is longer.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(3600);
/// The smallest step of a timestamp.
const INSTANT: Duration = Duration::from_millis(1);

/// A flow's place on its schedule: which tick is due, and when its run begins.
///
/// Missed ticks are skipped, since the next one is asked for only when a run has ended. It is
/// small and owns nothing: whoever runs many flows keeps one for each.
#[derive(Clone, Debug)]
pub struct Beat {
    schedule: Schedule,
    /// The flow's share of the widest jitter, from 0 to 1.
    share: f64,
    failures: u32,
    /// The tick itself, without jitter.
    due: Timestamp,
    at: Timestamp,
    /// When `at` was reckoned.
    reckoned: Timestamp,
}

impl Beat {
    /// The beat of a flow that is started `now`: an interval begins at once, a cron expression at
    /// its next tick.
    pub fn new(flow: &str, schedule: Schedule, now: Timestamp) -> Self {
        let due = schedule.first(now);
        // The first run of an interval is at once; jitter moves the beat of all that follow.
        let at = match schedule {
            Schedule::Every(_) => due,
            Schedule::Cron(_) => due.plus(jitter(flow, &schedule, due)),
        };
        Self { schedule, share: share(flow), failures: 0, due, at, reckoned: now }
    }

    /// The beat of a flow that is taken up `now` and began its last run at `last`, if it ever ran.
    ///
    /// An interval goes on from that run. Where it never ran or its time went by, it begins within
    /// `width`, and within its interval: flows that are taken up together spread over that. A
    /// cron expression waits for its next tick; a tick whose jitter is not over yet counts.
    pub fn resumed(
        flow: &str,
        schedule: Schedule,
        now: Timestamp,
        last: Option<Timestamp>,
        width: Duration,
    ) -> Self {
        let share = share(flow);
        let (due, at) = match &schedule {
            Schedule::Every(every) => {
                let at = last.map(|last| last.plus(*every));
                let ahead = at.filter(|at| *at > now && *at <= now.plus(*every));
                let first = now.plus(width.min(*every).mul_f64(share));
                ahead.map_or((first, first), |at| (at.minus(spread(share, &schedule, at)), at))
            }
            Schedule::Cron(cron) => {
                let with_jitter = |tick: Timestamp| tick.plus(spread(share, &schedule, tick));
                let mut tick = cron.after(now.minus(LONGEST_JITTER));
                while with_jitter(tick) <= now || last.is_some_and(|last| last >= tick) {
                    let later = cron.after(tick);
                    // Where the calendar ends there is no later tick, and a last run that lies
                    // ahead is one of a clock that was set back.
                    if later <= tick || tick > now {
                        break;
                    }
                    tick = later;
                }
                (tick, with_jitter(tick))
            }
        };
        Self { schedule, share, failures: 0, due, at, reckoned: now }
    }

    /// The schedule that it is a place on.
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// When the next run begins.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Reckons, at the end of a run, when the next one begins.
    ///
    /// Failures in a row make the waits longer, and no wait is shorter than a system that failed
    /// has asked for. A run that was held back did not fail: its account is probed by waits of its
    /// own.
    pub fn next(&mut self, now: Timestamp, report: &Report) -> Timestamp {
        if report.errors.is_empty() {
            self.failures = 0;
        } else if !report.is_held_back() {
            self.failures = self.failures.saturating_add(1);
        }
        self.reckon(now, report.asks_to_wait().unwrap_or_default())
    }

    /// Reckons, at the end of a run that failed for a reason which only a change takes away, when
    /// it is tried again all the same: after the longest of the waits.
    pub fn next_without_change(&mut self, now: Timestamp) -> Timestamp {
        self.failures = u32::MAX;
        self.reckon(now, Duration::ZERO)
    }

    /// Looks at the clock during a wait: if it was set back, the wait is not longer for it.
    ///
    /// Only an interval waits in real time alone. Ticks of a cron expression are times of the
    /// clock: they stay where they are, unless it was set back by more than a tick.
    pub fn look(&mut self, now: Timestamp) -> Timestamp {
        let back = self.reckoned.since(now);
        if back.is_zero() {
            return self.at;
        }
        let same_wait = self.due.minus(back);
        match &self.schedule {
            Schedule::Every(_) => {
                self.due = same_wait;
                self.at = self.at.minus(back);
            }
            Schedule::Cron(cron) => {
                if back > cron.after(self.due).since(self.due) {
                    self.due = first_from(cron, same_wait);
                    self.at = self.due.plus(spread(self.share, &self.schedule, self.due));
                }
            }
        }
        self.reckoned = now;
        self.at
    }

    /// Lets the next run begin no earlier than `moment`, because a system has asked for that.
    pub(crate) fn hold_until(&mut self, moment: Timestamp) {
        if self.at >= moment {
            return;
        }
        // An interval begins then; a cron expression never leaves its hours.
        if let Schedule::Cron(cron) = &self.schedule {
            self.due = first_from(cron, moment);
        }
        let jitter = spread(self.share, &self.schedule, self.due);
        self.at = self.due.plus(jitter).max(moment);
    }

    fn reckon(&mut self, now: Timestamp, asked: Duration) -> Timestamp {
        self.due = next_due(&self.schedule, self.due, now, self.failures, asked);
        let jitter = spread(self.share, &self.schedule, self.due);
        self.at = self.due.plus(jitter).max(now.plus(asked));
        self.reckoned = now;
        self.at
    }
}

/// How long after the tick `tick` a flow's run begins, so that flows with the same schedule
/// spread over time; the same flow always gets the same place.
pub fn jitter(flow: &str, schedule: &Schedule, tick: Timestamp) -> Duration {
    spread(share(flow), schedule, tick)
}

fn share(flow: &str) -> f64 {
    let [a, b, c, d, ..] = *blake3::hash(flow.as_bytes()).as_bytes();
    f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

fn spread(share: f64, schedule: &Schedule, tick: Timestamp) -> Duration {
    let widest = (schedule.after(tick).since(tick) / 10).min(LONGEST_JITTER);
    widest.mul_f64(share)
}

/// The tick after the run of the tick `due` that ended `now`, after so many failures in a row,
/// where the systems ask to wait.
fn next_due(
    schedule: &Schedule,
    due: Timestamp,
    now: Timestamp,
    failures: u32,
    asked: Duration,
) -> Timestamp {
    match schedule {
        Schedule::Every(every) => next_tick(due, now, back_off(*every, failures)),
        Schedule::Cron(cron) => {
            let mut next = cron.after(due);
            let mut from = due;
            // The clock was set back by more than a tick: a new beat begins.
            if due > now.plus(next.since(due)) {
                (from, next) = (now, cron.after(now));
            }
            let wait = back_off(next.since(from), failures);
            // The first tick at or after the end of the waits, and after now.
            let earliest = from.plus(wait).max(now.plus(asked));
            first_from(cron, earliest.max(now.plus(INSTANT)))
        }
    }
}

/// The first tick at or after a moment.
fn first_from(cron: &Cron, moment: Timestamp) -> Timestamp {
    cron.after(moment.minus(INSTANT))
}

/// The first tick after `now` on the beat that `due` was on; the ticks in between are skipped.
/// After a clock that was set back, a new beat begins.
fn next_tick(due: Timestamp, now: Timestamp, every: Duration) -> Timestamp {
    let every = every.max(INSTANT);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn cron(expression: &str) -> Schedule {
        Schedule::Cron(Cron::parse(expression, "UTC").unwrap())
    }

    /// Seconds of a day as a moment: 2026-01-01 at `hour:minute`.
    fn clock(hour: i64, minute: i64) -> Timestamp {
        at(1_767_225_600 + 3600 * hour + 60 * minute)
    }

    fn failed(after: Option<Duration>) -> Report {
        let place = crate::Place { flow: "a".to_owned(), step: None, account: String::new() };
        Report::failed(Error::Unavailable { place, after, reason: "down".to_owned() })
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
    fn ticks_of_the_clock_are_skipped_while_missed_backed_off_or_asked_to() {
        let often = "*/5 * * * *";
        for (expression, due, now, failures, asked, expected) in [
            (often, (9, 0), (9, 1), 0, 0, (9, 5)),
            // Missed, also at the very moment of a tick.
            (often, (9, 0), (9, 12), 0, 0, (9, 15)),
            (often, (9, 0), (9, 15), 0, 0, (9, 20)),
            // Backed off: ten minutes, twenty, at most an hour.
            (often, (9, 0), (9, 1), 1, 0, (9, 10)),
            (often, (9, 0), (9, 1), 2, 0, (9, 20)),
            (often, (9, 0), (9, 1), 40, 0, (10, 0)),
            (often, (9, 0), (9, 33), 2, 0, (9, 35)),
            ("0 9 * * *", (9, 0), (9, 1), 5, 0, (33, 0)),
            // Never outside of the hours that are named.
            ("*/5 9-17 * * *", (17, 50), (17, 51), 2, 0, (33, 0)),
            // Asked to wait.
            (often, (9, 0), (9, 1), 0, 8 * 60, (9, 10)),
            (often, (9, 0), (9, 1), 0, 9 * 60, (9, 10)),
            // The clock was set back: by a little, and by more than a tick.
            (often, (9, 0), (8, 58), 0, 0, (9, 5)),
            ("0 9 * * *", (9, 0), (7, 0), 0, 0, (33, 0)),
            (often, (9, 0), (7, 1), 0, 0, (7, 5)),
            (often, (9, 0), (7, 1), 1, 0, (7, 10)),
        ] {
            let (due, now, expected) =
                (clock(due.0, due.1), clock(now.0, now.1), clock(expected.0, expected.1));
            let next = next_due(&cron(expression), due, now, failures, Duration::from_secs(asked));
            assert_eq!(next, expected, "{expression} {due} {now} {failures} {asked}");
        }
    }

    #[test]
    fn jitter_is_steady_and_small() {
        let often = Schedule::Every(Duration::from_secs(60));
        assert_eq!(jitter("a", &often, at(0)), jitter("a", &often, at(60)));
        assert!(jitter("a", &often, at(0)) <= Duration::from_secs(6));
        assert_ne!(jitter("a", &often, at(0)), jitter("b", &often, at(0)));
        let seldom = cron("*/5 9 * * *");
        assert!(jitter("a", &seldom, clock(9, 55)) <= LONGEST_JITTER);
        assert_eq!(jitter("a", &seldom, clock(9, 0)), jitter("a", &cron("*/5 * * * *"), at(0)));
    }

    #[test]
    fn intervals_begin_at_once_and_clock_times_at_their_tick() {
        let start = clock(9, 1);
        let every = Schedule::Every(Duration::from_secs(300));
        let mut beat = Beat::new("a", every.clone(), start);
        assert_eq!(beat.at(), start);
        let jitter = super::jitter("a", &every, start);
        assert_eq!(beat.next(clock(9, 2), &Report::default()), clock(9, 6).plus(jitter));
        // A failure doubles the interval; what a system asks for is kept to.
        assert_eq!(beat.next(clock(9, 7), &failed(None)), clock(9, 16).plus(jitter));
        let asked = beat.next(clock(9, 17), &failed(Some(Duration::from_secs(7200))));
        assert_eq!(asked, clock(11, 17));

        let often = cron("*/5 * * * *");
        let jitter = super::jitter("a", &often, clock(9, 0));
        let mut beat = Beat::new("a", often, start);
        assert_eq!(beat.at(), clock(9, 5).plus(jitter));
        assert_eq!(beat.next(clock(9, 6), &Report::default()), clock(9, 10).plus(jitter));
        assert_eq!(beat.next(clock(9, 11), &failed(None)), clock(9, 20).plus(jitter));
        assert_eq!(beat.next(clock(9, 21), &Report::default()), clock(9, 25).plus(jitter));
    }

    #[test]
    fn a_clock_set_back_makes_no_wait_longer() {
        let every = Schedule::Every(Duration::from_secs(300));
        let mut beat = Beat::new("a", every, clock(9, 0));
        let next = beat.next(clock(9, 1), &Report::default());
        assert_eq!(beat.look(clock(9, 2)), next);
        assert_eq!(beat.look(clock(8, 1)), next.minus(Duration::from_secs(3600)));

        let mut beat = Beat::new("a", cron("*/5 * * * *"), clock(9, 1));
        let next = beat.next(clock(9, 6), &failed(None));
        // By a second: a back-off goes on. By an hour: it goes on from there.
        assert_eq!(beat.look(clock(9, 6).minus(Duration::from_secs(1))), next);
        assert_eq!(
            beat.look(clock(8, 6).minus(Duration::from_secs(1))),
            next.minus(Duration::from_secs(3600))
        );
        // What has run today is not run again.
        let mut beat = Beat::new("a", cron("0 9 * * *"), clock(8, 0));
        let next = beat.next(clock(9, 1), &Report::default());
        assert_eq!(beat.look(clock(8, 1)), next);
    }
}
