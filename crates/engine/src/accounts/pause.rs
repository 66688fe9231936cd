//! A paused account: its credentials were refused, so nobody asks or sends with them, but for a
//! probe now and then; and what no probe lets go on. Pure arithmetic.

use std::time::Duration;

use connector::Timestamp;

/// How long it is paused before the first probe.
pub(crate) const FIRST: Duration = Duration::from_secs(60);
/// How long it is paused at most before the next probe.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long others wait while a probe is under way.
const PROBED: Duration = Duration::from_secs(5);

/// Why an account is paused, and until when.
#[derive(Clone, Debug)]
pub(crate) struct Pause {
    /// When its credentials were refused first, by our clock.
    pub(crate) since: Timestamp,
    /// What was refused.
    pub(crate) reason: String,
    /// Which credentials it is about.
    pub(crate) fingerprint: String,
    /// From one probe to the next.
    pub(crate) wait: Duration,
    /// When the next probe may begin, by what has elapsed: nobody sets that.
    until: Duration,
    probing: bool,
}

/// What must not be sent again with an account, since it was refused: until somebody says so, or with
/// other credentials.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    /// When it was refused first, by our clock.
    pub(crate) since: Timestamp,
    /// What was refused.
    pub(crate) reason: String,
    /// Which credentials it is about.
    pub(crate) fingerprint: String,
}

/// Why a request may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Until the next probe.
    For(Duration),
    /// A probe is under way, which may change it in a moment.
    Probed(Duration),
}

impl Pause {
    /// A pause that begins.
    pub(crate) fn new(
        since: Timestamp,
        now: Duration,
        reason: String,
        fingerprint: String,
    ) -> Self {
        let until = now.saturating_add(FIRST);
        Self { since, reason, fingerprint, wait: FIRST, until, probing: false }
    }

    /// A pause that the process before began, with what is left of its wait. A clock that was set
    /// meanwhile makes no wait longer than it was.
    pub(crate) fn resumed(
        since: Timestamp,
        now: Duration,
        (reason, fingerprint): (String, String),
        (wait, left): (Duration, Duration),
    ) -> Self {
        let wait = wait.clamp(FIRST, LONGEST);
        let until = now.saturating_add(left.min(wait));
        Self { since, reason, fingerprint, wait, until, probing: false }
    }

    /// How long it lasts until the next probe.
    pub(crate) fn left(&self, now: Duration) -> Duration {
        self.until.saturating_sub(now)
    }

    /// Whether a request may start `now`, as the one probe.
    pub(crate) fn probe(&mut self, now: Duration) -> Result<(), Closed> {
        if self.probing {
            return Err(Closed::Probed(PROBED));
        }
        if now < self.until {
            return Err(Closed::For(self.until - now));
        }
        self.probing = true;
        Ok(())
    }

    /// The probe was refused: the wait doubles.
    pub(crate) fn refused(&mut self, now: Duration) {
        self.wait = self.wait.saturating_mul(2).min(LONGEST);
        self.until = now.saturating_add(self.wait);
        self.probing = false;
    }

    /// The probe told nothing about the credentials: the same wait again.
    pub(crate) fn unanswered(&mut self, now: Duration) {
        self.until = now.saturating_add(self.wait);
        self.probing = false;
    }

    /// The probe was given up: the next request is one.
    pub(crate) const fn given_up(&mut self) {
        self.probing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_probe_at_a_time_after_waits_that_double_to_an_hour() {
        let mut pause = Pause::new(Timestamp::default(), at(100), String::new(), String::new());
        assert_eq!(pause.probe(at(159)), Err(Closed::For(at(1))));
        let mut now = at(160);
        for wait in [120, 240, 480, 960, 1920, 3600, 3600] {
            assert_eq!(pause.probe(now), Ok(()));
            assert_eq!(pause.probe(now), Err(Closed::Probed(PROBED)));
            pause.refused(now);
            assert_eq!(pause.left(now), at(wait));
            now += at(wait);
        }
        assert_eq!(pause.probe(now), Ok(()));
        pause.given_up();
        assert_eq!(pause.probe(now), Ok(()));
        pause.unanswered(now);
        assert_eq!(pause.left(now), at(3600));
    }

    #[test]
    fn a_clock_that_was_set_between_two_processes_makes_no_wait_longer() {
        for (left, expected) in [(0, 0), (30, 30), (90, 60), (1_000_000_000, 60)] {
            let names = (String::new(), String::new());
            let pause = Pause::resumed(Timestamp::default(), at(5), names, (FIRST, at(left)));
            assert_eq!(pause.left(at(5)), at(expected), "{left}");
        }
    }
}
