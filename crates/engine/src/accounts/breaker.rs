//! A circuit breaker: leaves a system alone that keeps failing, and probes it. Pure arithmetic.
//!
//! It opens when, of at least [`LEAST`] requests of the last minute, three quarters failed: no
//! answer, 429 or 5xx. One message that a system cannot digest does not get there, since the
//! others pass while its batch is halved.

use std::time::Duration;

/// A slot of the window.
const SLOT: Duration = Duration::from_secs(10);
/// The window, in slots.
const SLOTS: usize = 6;
/// Of fewer requests nothing is concluded.
const LEAST: u32 = 20;
/// It opens when so many of a hundred failed.
const FAILING: u32 = 75;
/// How long it is open at first.
const FIRST: Duration = Duration::from_secs(10);
/// How long it is open at most, unless the system asks for more.
const LONGEST: Duration = Duration::from_secs(300);
/// How long others wait while a probe is under way.
const PROBED: Duration = Duration::from_secs(5);

/// The requests of one class with one system's credentials, as far as they fail.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    slots: [Slot; SLOTS],
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Which one it is, counted from the beginning of time.
    number: u64,
    passed: u32,
    failed: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    /// Nothing passes until then; after that, one request.
    Open { until: Duration, wait: Duration },
    /// One request is under way, and nothing else passes.
    HalfOpen { wait: Duration },
}

/// What a request may count as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Ordinary,
    /// The one that tells whether the system is well again.
    Probe,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Opened, also after a probe that failed: for so long.
    Opened(Duration),
    Closed,
}

impl Breaker {
    /// A breaker that was open when the process before ended: one request may probe at once.
    pub(crate) fn reopened(wait: Duration) -> Self {
        let state = State::Open { until: Duration::ZERO, wait: wait.clamp(FIRST, LONGEST) };
        Self { state, ..Self::default() }
    }

    /// Whether a request may start `now`; how long it should wait otherwise.
    pub(crate) fn pass(&mut self, now: Duration) -> Result<Pass, Duration> {
        match self.state {
            State::Closed => Ok(Pass::Ordinary),
            State::Open { until, .. } if now < until => Err(until - now),
            State::Open { wait, .. } => {
                self.state = State::HalfOpen { wait };
                Ok(Pass::Probe)
            }
            State::HalfOpen { .. } => Err(PROBED),
        }
    }

    /// Whether nothing but a probe passes.
    pub(crate) fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// How long it stays open still; zero if the next request is a probe.
    pub(crate) fn open_for(&self, now: Duration) -> Duration {
        match self.state {
            State::Open { until, .. } => until.saturating_sub(now),
            State::Closed | State::HalfOpen { .. } => Duration::ZERO,
        }
    }

    /// How long it was opened for last.
    pub(crate) fn wait(&self) -> Duration {
        match self.state {
            State::Closed => Duration::ZERO,
            State::Open { wait, .. } | State::HalfOpen { wait } => wait,
        }
    }

    /// The system answered a request: it is there.
    pub(crate) fn passed(&mut self, now: Duration, pass: Pass) -> Option<Change> {
        match (pass, self.state) {
            (Pass::Probe, State::HalfOpen { .. }) => {
                *self = Self::default();
                Some(Change::Closed)
            }
            (Pass::Ordinary, State::Closed) => {
                self.count(now, false);
                None
            }
            // Of a request that began before it opened nothing is concluded.
            _ => None,
        }
    }

    /// A request failed; the system may have asked to wait.
    pub(crate) fn failed(&mut self, now: Duration, pass: Pass, asked: Duration) -> Option<Change> {
        let wait = match (pass, self.state) {
            (Pass::Probe, State::HalfOpen { wait }) => wait.saturating_mul(2).min(LONGEST),
            (Pass::Ordinary, State::Closed) => {
                self.count(now, true);
                if !self.is_sick(now) {
                    return None;
                }
                FIRST
            }
            _ => return None,
        };
        let wait = wait.max(asked);
        self.slots = Default::default();
        self.state = State::Open { until: now.saturating_add(wait), wait };
        Some(Change::Opened(wait))
    }

    /// A request was given up, and nobody knows how it would have ended.
    pub(crate) fn given_up(&mut self, now: Duration, pass: Pass) {
        if let (Pass::Probe, State::HalfOpen { wait }) = (pass, self.state) {
            self.state = State::Open { until: now, wait };
        }
    }

    fn count(&mut self, now: Duration, failed: bool) {
        let number = number(now);
        // Slots take turns: what one held before is older than the window.
        let at = usize::try_from(number % SLOTS as u64).unwrap_or(0);
        let Some(slot) = self.slots.get_mut(at) else { return };
        if slot.number != number {
            *slot = Slot { number, ..Slot::default() };
        }
        if failed {
            slot.failed += 1;
        } else {
            slot.passed += 1;
        }
    }

    fn is_sick(&self, now: Duration) -> bool {
        let oldest = (number(now) + 1).saturating_sub(SLOTS as u64);
        let recent = self.slots.iter().filter(|slot| slot.number >= oldest);
        let (passed, failed) = recent
            .fold((0, 0), |(passed, failed), slot| (passed + slot.passed, failed + slot.failed));
        passed + failed >= LEAST && failed * 100 >= (passed + failed) * FAILING
    }
}

fn number(now: Duration) -> u64 {
    now.as_secs() / SLOT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Lets so many ordinary requests fail.
    fn fail(breaker: &mut Breaker, now: Duration, times: u32) -> Option<Change> {
        (0..times).fold(None, |change, _| {
            let failed = breaker.failed(now, Pass::Ordinary, Duration::ZERO);
            change.or(failed)
        })
    }

    #[test]
    fn it_opens_when_most_of_at_least_twenty_recent_requests_failed() {
        let mut few = Breaker::default();
        assert_eq!(fail(&mut few, at(1), LEAST - 1), None);
        let mut old = Breaker::default();
        assert_eq!(fail(&mut old, at(0), LEAST - 1), None);
        assert_eq!(fail(&mut old, at(60), 1), None);
        let mut half = Breaker::default();
        for _ in 0..50 {
            assert_eq!(half.passed(at(1), Pass::Ordinary), None);
        }
        assert_eq!(fail(&mut half, at(1), 50), None);
        let mut sick = Breaker::default();
        for _ in 0..5 {
            sick.passed(at(1), Pass::Ordinary);
        }
        assert_eq!(fail(&mut sick, at(2), 15), Some(Change::Opened(at(10))));
        assert_eq!(sick.pass(at(11)), Err(at(1)));
    }

    #[test]
    fn a_probe_at_a_time_tells_whether_it_closes_and_waits_double() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, at(0), LEAST);
        let mut now = at(0);
        for wait in [20, 40, 80, 160, 300, 300] {
            now += breaker.open_for(now);
            assert_eq!(breaker.pass(now), Ok(Pass::Probe));
            assert_eq!(breaker.pass(now), Err(PROBED));
            // One that began before it opened says nothing.
            assert_eq!(breaker.passed(now, Pass::Ordinary), None);
            let failed = breaker.failed(now, Pass::Probe, Duration::ZERO);
            assert_eq!(failed, Some(Change::Opened(at(wait))));
        }
        now += breaker.open_for(now);
        assert_eq!(breaker.pass(now), Ok(Pass::Probe));
        breaker.given_up(now, Pass::Probe);
        assert_eq!(breaker.pass(now), Ok(Pass::Probe));
        assert_eq!(breaker.passed(now, Pass::Probe), Some(Change::Closed));
        assert_eq!(breaker.pass(now), Ok(Pass::Ordinary));
        assert_eq!(fail(&mut breaker, now, LEAST - 1), None);
    }

    #[test]
    fn what_the_system_asks_for_goes_before_a_shorter_wait() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, at(0), LEAST - 1);
        let opened = breaker.failed(at(0), Pass::Ordinary, at(3600));
        assert_eq!(opened, Some(Change::Opened(at(3600))));
        assert_eq!(breaker.pass(at(3599)), Err(at(1)));
        // The next wait goes on from the longest of its own.
        assert_eq!(breaker.pass(at(3600)), Ok(Pass::Probe));
        let failed = breaker.failed(at(3600), Pass::Probe, Duration::ZERO);
        assert_eq!(failed, Some(Change::Opened(at(300))));
    }
}
