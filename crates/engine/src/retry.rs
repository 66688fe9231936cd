//! Trying again: how often, and how long to wait in between.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use connector::{Clock, Error};
use flow::Retry;

use crate::{Event, Place, Watch};

/// A system that asks for a longer wait than this gets it from the schedule, not from a run that
/// holds its pages in memory.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// The tries of one call.
pub(crate) struct Tries<'a> {
    place: &'a Place,
    clock: &'a dyn Clock,
    watch: &'a dyn Watch,
    waits: backon::ExponentialBackoff,
    longest: Duration,
    /// How often the call was made.
    pub(crate) made: usize,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(
        retry: Retry,
        place: &'a Place,
        clock: &'a dyn Clock,
        watch: &'a dyn Watch,
    ) -> Self {
        // Jitter up to doubles a wait: half of the longest leaves room for it, so that callers do
        // not meet again at the cap.
        let waits = ExponentialBuilder::default()
            .with_min_delay(retry.first)
            .with_max_delay((retry.longest / 2).max(retry.first))
            .with_max_times(retry.attempts.get() - 1)
            .with_jitter()
            .build();
        Self { place, clock, watch, waits, longest: retry.longest, made: 0 }
    }

    /// Waits before the next try; gives the error back if there is none.
    pub(crate) async fn again(&mut self, error: Error) -> Result<(), Error> {
        self.made += 1;
        let (reason, after) = match &error {
            Error::Retry { reason, after } => (reason, *after),
            Error::Unknown { reason } => (reason, None),
            _ => return Err(error),
        };
        let Some(wait) = self.waits.next() else { return Err(error) };
        let asked = after.unwrap_or_default();
        if asked > LONGEST_ASKED {
            return Err(error);
        }
        let wait = wait.min(self.longest).max(asked);
        self.watch.on(&Event::Retrying { place: self.place, tries: self.made, wait, reason });
        self.clock.sleep(wait).await;
        Ok(())
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

    #[tokio::test]
    async fn five_tries_with_growing_waits_and_then_the_error() {
        let (place, clock) = (place(), ManualClock::new(Timestamp::default()));
        let mut tries = Tries::new(Retry::default(), &place, &clock, &Silent);
        for _ in 0..4 {
            tries.again(Error::retry("down")).await.unwrap();
        }
        assert_eq!(tries.again(Error::retry("down")).await, Err(Error::retry("down")));
        assert_eq!(tries.made, 5);
        // 1 + 2 + 4 + 8 s, each at most doubled by jitter.
        let waited = clock.now().since(Timestamp::default());
        assert!((15..=30).contains(&waited.as_secs()), "{waited:?}");
    }

    #[tokio::test]
    async fn waits_differ_from_call_to_call_and_stay_below_the_longest() {
        let place = place();
        let retry = Retry {
            first: Duration::from_secs(100),
            longest: Duration::from_secs(600),
            ..Retry::default()
        };
        let mut last_waits = std::collections::HashSet::new();
        for _ in 0..4 {
            let clock = ManualClock::new(Timestamp::default());
            let mut tries = Tries::new(retry, &place, &clock, &Silent);
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
        assert!(last_waits.len() > 1, "{last_waits:?}");
    }

    #[tokio::test]
    async fn retry_after_is_honoured_up_to_five_minutes() {
        let (place, clock) = (place(), ManualClock::new(Timestamp::default()));
        let mut tries = Tries::new(Retry::default(), &place, &clock, &Silent);
        let asked = |seconds| Error::Retry {
            reason: "busy".to_owned(),
            after: Some(Duration::from_secs(seconds)),
        };
        tries.again(asked(120)).await.unwrap();
        assert_eq!(clock.now(), Timestamp::from_secs(120));
        assert!(tries.again(asked(301)).await.is_err());
    }

    #[tokio::test]
    async fn what_would_fail_again_is_not_tried_again() {
        let (place, clock) = (place(), ManualClock::new(Timestamp::default()));
        let mut tries = Tries::new(Retry::default(), &place, &clock, &Silent);
        assert!(tries.again(Error::config("no such group")).await.is_err());
        assert_eq!(clock.now(), Timestamp::default());
    }
}
