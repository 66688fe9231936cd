//! Trying again: how often, how long to wait in between, and for how long altogether.

use std::time::Duration;

use connector::{Clock, Error};
use flow::Retry;

use crate::{Event, Place, Watch};

/// A system that asks for a longer wait than this gets it from the schedule, not from a run that
/// holds its pages in memory.
const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// The shortest wait where a call was held back without a word for how long.
const HELD_BACK: Duration = Duration::from_secs(1);

/// The tries of one call.
pub(crate) struct Tries<'a> {
    place: &'a Place,
    clock: &'a dyn Clock,
    watch: &'a dyn Watch,
    retry: Retry,
    /// What chance is made of: other calls get other waits.
    salt: &'a str,
    began: Duration,
    /// How often the call was made.
    pub(crate) made: usize,
}

impl<'a> Tries<'a> {
    /// The tries of a call that begins now; `salt` tells it from others at the same place.
    pub(crate) fn new(
        retry: Retry,
        place: &'a Place,
        salt: &'a str,
        clock: &'a dyn Clock,
        watch: &'a dyn Watch,
    ) -> Self {
        Self { place, clock, watch, retry, salt, began: clock.elapsed(), made: 0 }
    }

    /// Waits before the next try; gives the error back if there is none.
    ///
    /// What was held back was not sent: it waits like any other, and is no try.
    pub(crate) async fn again(&mut self, error: Error) -> Result<(), Error> {
        let (reason, asked) = match &error {
            Error::Retry { reason, after } => (reason, after.unwrap_or_default()),
            Error::Unknown { reason } => (reason, Duration::ZERO),
            Error::HeldBack { reason, after } => (reason, after.unwrap_or_default().max(HELD_BACK)),
            _ => {
                self.made += 1;
                return Err(error);
            }
        };
        let held_back = matches!(error, Error::HeldBack { .. });
        if !held_back {
            self.made += 1;
        }
        let wait = if held_back { asked } else { self.wait().max(asked) };
        let passed = self.clock.elapsed().saturating_sub(self.began);
        let over = passed.saturating_add(wait) > self.retry.time;
        if self.made >= self.retry.attempts.get() || asked > LONGEST_ASKED || over {
            return Err(error);
        }
        self.watch.on(&Event::Retrying { place: self.place, tries: self.made, wait, reason });
        self.clock.sleep(wait).await;
        Ok(())
    }

    /// The wait after the last try: doubled from the base, longer by chance, at most the cap.
    ///
    /// Where doubling has come to the cap there must be room for chance below it, or callers who
    /// failed together would meet there for ever.
    fn wait(&self) -> Duration {
        let Retry { base, cap, jitter, .. } = self.retry;
        let jitter = jitter.clamp(0.0, 1.0);
        let doublings = u32::try_from(self.made.saturating_sub(1)).unwrap_or(u32::MAX);
        let highest = cap.div_f64(1.0 + jitter).max(base);
        let wait = base.saturating_mul(2_u32.saturating_pow(doublings)).min(highest);
        wait.mul_f64(1.0 + jitter * self.chance()).min(cap.max(base))
    }

    /// A number from 0 to 1 that is another one for every call and try, and the same again for the
    /// same call at the same time.
    fn chance(&self) -> f64 {
        let mut hasher = blake3::Hasher::new();
        let step = self.place.step.as_deref().unwrap_or_default();
        for part in [&self.place.flow, step, self.salt] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(&self.clock.elapsed().as_nanos().to_le_bytes());
        hasher.update(&self.made.to_le_bytes());
        let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
        f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use connector::{ManualClock, Timestamp};

    use super::*;
    use crate::Silent;

    fn place() -> Place {
        Place { flow: "f".to_owned(), step: None, account: "a".to_owned() }
    }

    fn start() -> ManualClock {
        ManualClock::new(Timestamp::default())
    }

    fn tries<'a>(retry: Retry, place: &'a Place, clock: &'a ManualClock) -> Tries<'a> {
        Tries::new(retry, place, "", clock, &Silent)
    }

    #[tokio::test]
    async fn five_tries_with_growing_waits_and_then_the_error() {
        let (place, clock) = (place(), start());
        let mut tries = tries(Retry::default(), &place, &clock);
        for _ in 0..4 {
            tries.again(Error::retry("down")).await.unwrap();
        }
        assert_eq!(tries.again(Error::retry("down")).await, Err(Error::retry("down")));
        assert_eq!(tries.made, 5);
        // 1 + 2 + 4 + 8 s, each at most doubled by chance.
        let waited = clock.now().since(Timestamp::default());
        assert!((15..=30).contains(&waited.as_secs()), "{waited:?}");
    }

    #[tokio::test]
    async fn waits_differ_from_call_to_call_and_stay_below_the_cap() {
        let place = place();
        let (base, cap) = (Duration::from_secs(100), Duration::from_secs(600));
        let time = Duration::from_secs(3600);
        for (jitter, differ) in [(1.0, true), (0.5, true), (0.0, false)] {
            let retry = Retry { base, cap, time, jitter, ..Retry::default() };
            let mut last_waits = std::collections::HashSet::new();
            for salt in ["a", "b", "c", "d"] {
                let clock = start();
                let mut tries = Tries::new(retry, &place, salt, &clock, &Silent);
                let mut wait = Duration::ZERO;
                for _ in 0..4 {
                    let before = clock.now();
                    tries.again(Error::retry("down")).await.unwrap();
                    wait = clock.now().since(before);
                    assert!((100..=600).contains(&wait.as_secs()), "{wait:?}");
                }
                last_waits.insert(wait);
            }
            // By then the waits are at their longest, where callers must not meet either.
            assert_eq!(last_waits.len() > 1, differ, "{jitter} {last_waits:?}");
        }
    }

    #[tokio::test]
    async fn retry_after_is_honoured_up_to_five_minutes() {
        let (place, clock) = (place(), start());
        let mut tries = tries(Retry::default(), &place, &clock);
        let asked = |seconds| Error::Retry {
            reason: "busy".to_owned(),
            after: Some(Duration::from_secs(seconds)),
        };
        tries.again(asked(120)).await.unwrap();
        assert_eq!(clock.now(), Timestamp::from_secs(120));
        assert!(tries.again(asked(301)).await.is_err());
    }

    #[tokio::test]
    async fn no_try_begins_after_the_time_is_over_whatever_the_clock_is_set_to() {
        let place = place();
        for jump in [0, 7200, -7200, 40 * 365 * 86_400] {
            let clock = start();
            let retry = Retry { time: Duration::from_secs(10), ..Retry::default() };
            let mut tries = tries(Retry { jitter: 0.0, ..retry }, &place, &clock);
            clock.set(Timestamp::from_secs(jump));
            for wait in [1, 2, 4] {
                let before = clock.elapsed();
                tries.again(Error::retry("down")).await.unwrap();
                assert_eq!(clock.elapsed() - before, Duration::from_secs(wait), "{jump}");
            }
            assert!(tries.again(Error::retry("down")).await.is_err(), "{jump}");
        }
    }

    #[tokio::test]
    async fn what_was_held_back_is_no_try() {
        let (place, clock) = (place(), start());
        let mut tries = tries(Retry::default(), &place, &clock);
        let held_back = |seconds| Error::HeldBack {
            reason: "the circuit breaker is open".to_owned(),
            after: Some(Duration::from_secs(seconds)),
        };
        for _ in 0..9 {
            tries.again(held_back(60)).await.unwrap();
        }
        assert_eq!((tries.made, clock.now()), (0, Timestamp::from_secs(540)));
        // But it does not go on for ever.
        assert!(tries.again(held_back(61)).await.is_err());
    }

    #[tokio::test]
    async fn what_would_fail_again_is_not_tried_again() {
        let (place, clock) = (place(), start());
        let mut tries = tries(Retry::default(), &place, &clock);
        assert!(tries.again(Error::config("no such group")).await.is_err());
        assert_eq!(clock.now(), Timestamp::default());
    }
}
