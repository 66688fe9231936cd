//! What is told of a batch whose messages go one by one, or part by part.

use connector::prelude::*;

use crate::rejections;

/// The outcomes so far, and whether any of them stands for something that was carried out.
pub(crate) struct Told {
    outcomes: Outcomes,
    carried_out: bool,
}

impl Told {
    pub(crate) const fn new(outcomes: Outcomes) -> Self {
        Self::with(outcomes, false)
    }

    /// Goes on with outcomes of something before.
    pub(crate) const fn with(outcomes: Outcomes, carried_out: bool) -> Self {
        Self { outcomes, carried_out }
    }

    /// Notes a message that nothing was sent of.
    pub(crate) fn refuse(&mut self, index: usize, outcome: Outcome) {
        self.outcomes.set(index, outcome);
    }

    /// Notes what came of a request for one message. What CleverReach refuses is that message's own.
    pub(crate) fn note(&mut self, index: usize, sent: Result<Outcome>) -> Result<()> {
        let outcome = match sent {
            Err(Error::Reject { reason, .. }) => rejections::REFUSED.because(reason),
            sent => sent?,
        };
        self.carried_out |= matches!(outcome, Outcome::Done { .. });
        self.outcomes.set(index, outcome);
        Ok(())
    }

    /// Ends the batch. What was carried out stays told; the rest is sent again on its own, and then
    /// fails as a whole.
    pub(crate) fn end(mut self, sent: Result<()>) -> Result<Outcomes> {
        match sent {
            Ok(()) => Ok(self.outcomes),
            Err(error) if !self.carried_out => Err(error),
            Err(Error::Retry { reason, after } | Error::HeldBack { reason, after }) => {
                self.outcomes.fill(&Outcome::Retry { after, reason });
                Ok(self.outcomes)
            }
            Err(_) => Ok(self.outcomes),
        }
    }
}
