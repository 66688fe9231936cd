//! What became of each message of a batch.

use std::time::Duration;

use serde_json::Value;

/// What became of one message.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The system took it.
    Done {
        /// The step's result, `$steps.ID` of later steps.
        value: Value,
        /// The record's key in the target system, where it tells one.
        target_key: Option<String>,
    },
    /// The system refuses it and would refuse it again: it becomes a dead letter.
    Rejected {
        /// A short stable code, the vendor's own where it has one.
        code: String,
        /// What the system said.
        reason: String,
    },
    /// The system did not take it this time.
    Retry {
        /// How long the system asks to wait.
        after: Option<Duration>,
        /// Why it was not taken.
        reason: String,
    },
}

impl Outcome {
    /// Done, with a result and no key in the target system.
    pub const fn done(value: Value) -> Self {
        Self::Done { value, target_key: None }
    }

    /// Refused.
    pub fn rejected(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Rejected { code: code.into(), reason: reason.into() }
    }
}

/// The outcomes of a batch, by position; all unset at first. What stays unset is unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcomes(Vec<Option<Outcome>>);

impl Outcomes {
    /// Outcomes of `len` messages, all unset.
    pub fn unset(len: usize) -> Self {
        Self(vec![None; len])
    }

    /// Sets the outcome at `index`; beyond the batch it is ignored, since a vendor's answer may
    /// name a position that was never sent.
    pub fn set(&mut self, index: usize, outcome: Outcome) {
        if let Some(slot) = self.0.get_mut(index) {
            *slot = Some(outcome);
        }
    }

    /// Whether the outcome at `index` is unset.
    pub fn is_unset(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(Option::is_none)
    }

    /// Sets every outcome that is unset.
    pub fn fill(&mut self, outcome: &Outcome) {
        for slot in self.0.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some(outcome.clone());
        }
    }

    /// The outcomes, by position; `None` is unknown.
    pub fn into_vec(self) -> Vec<Option<Outcome>> {
        self.0
    }
}
