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
    /// The system took it and finishes later: [`Action::check`](crate::Action::check) asks then.
    ///
    /// The message is settled for its page, and what depends on the step runs on completion. As an
    /// answer of `check` it means that the system is not done yet.
    Parked {
        /// What `check` needs to ask after it, kept sealed in the store: none of the account's secrets,
        /// at most an address that lets somebody in for a while.
        token: String,
        /// How long to wait before it is asked after, from now. Of an answer of `check`, none at all has
        /// it asked once the token is kept, by [`Action::first_check`](crate::Action::first_check).
        check_after: Duration,
        /// When it counts as refused, from now. Of an answer of `check` that is not looked at: the
        /// deadline stays the first one.
        deadline: Duration,
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

/// A way in which an action refuses a message: its stable code, for dead letters and the page.
///
/// A number in angle brackets stands for any: `http<status>` is `http400`, `http422` and so on,
/// `<number>` a code of the system's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The code that the dead letter carries.
    pub code: &'static str,
    /// What it says about the message.
    pub meaning: &'static str,
    /// What somebody can do about it.
    pub way_out: &'static str,
}

impl Rejection {
    /// A refusal with this code.
    pub const fn new(code: &'static str, meaning: &'static str, way_out: &'static str) -> Self {
        Self { code, meaning, way_out }
    }

    /// The outcome of one message that is refused so, and why it is.
    pub fn because(&self, reason: impl Into<String>) -> Outcome {
        Outcome::rejected(self.code, reason)
    }

    /// Whether a dead letter with this code is one of these.
    pub fn covers(&self, code: &str) -> bool {
        let Some((before, _)) = self.code.split_once('<') else { return self.code == code };
        let number = code.strip_prefix(before).unwrap_or("");
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    }
}

/// The outcomes of a batch, by position; all unset at first. What stays unset is unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcomes {
    all: Vec<Option<Outcome>>,
    unanswered: Option<String>,
}

impl Outcomes {
    /// Outcomes of `len` messages, all unset.
    pub fn unset(len: usize) -> Self {
        Self { all: vec![None; len], unanswered: None }
    }

    /// Sets the outcome at `index`; beyond the batch it is ignored, since a vendor's answer may
    /// name a position that was never sent.
    pub fn set(&mut self, index: usize, outcome: Outcome) {
        if let Some(slot) = self.all.get_mut(index) {
            *slot = Some(outcome);
        }
    }

    /// How many messages there are.
    #[expect(clippy::len_without_is_empty, reason = "a batch has messages")]
    pub const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether the outcome at `index` is unset.
    pub fn is_unset(&self, index: usize) -> bool {
        self.all.get(index).is_some_and(Option::is_none)
    }

    /// Sets every outcome that is unset.
    pub fn fill(&mut self, outcome: &Outcome) {
        for slot in self.all.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some(outcome.clone());
        }
    }

    /// Says that what is unset was sent and got no answer, and why: as [`Error::Unknown`] does of a whole
    /// batch, for one of which something was refused before it was sent.
    ///
    /// [`Error::Unknown`]: crate::Error::Unknown
    pub fn unanswered(&mut self, reason: impl Into<String>) {
        self.unanswered = Some(reason.into());
    }

    /// Why what is unset got no answer, if that is so.
    pub fn why_unanswered(&self) -> Option<&str> {
        self.unanswered.as_deref().filter(|_| self.all.iter().any(Option::is_none))
    }

    /// The outcomes, by position; `None` is unknown.
    pub fn into_vec(self) -> Vec<Option<Outcome>> {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_brackets_is_any_number() {
        let http = Rejection::new("http<status>", "", "");
        assert!(http.covers("http422") && !http.covers("http") && !http.covers("httpx"));
        let own = Rejection::new("<number>", "", "");
        assert!(own.covers("515") && !own.covers("noEmail"));
        let plain = Rejection::new("noEmail", "", "");
        assert!(plain.covers("noEmail") && !plain.covers("noEmail2"));
    }
}
