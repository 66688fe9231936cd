//! The test of an account: what its credentials may do, found out by questions that change nothing.

use std::pin::Pin;

use serde::Serialize;

use crate::{Api, Error, Result};

/// Asks a system harmless questions, and says what an account may do there.
///
/// An error is one of asking: the system is not there, and nothing is known of the account.
pub type Test = for<'a> fn(&'a Api) -> Pin<Box<dyn Future<Output = Result<Tested>> + Send + 'a>>;

/// What the test of an account found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tested {
    /// In the order of asking.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: `credentials`, `reading groups`.
    pub what: &'static str,
    /// What was found.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum Verdict {
    /// It is as it should be.
    Passed {
        /// What else it showed, such as whose account it is.
        detail: String,
    },
    /// The account cannot be used so.
    Failed {
        /// What the system said.
        reason: String,
        /// The heading of the paragraph about it, under Troubleshooting of the connector's page.
        trouble: &'static str,
    },
    /// There is no question that tells without changing something.
    Untested {
        /// Why not, and how it shows.
        why: String,
    },
}

impl Tested {
    /// Adds a check that passed.
    pub fn passed(&mut self, what: &'static str, detail: impl Into<String>) {
        self.checks.push(Check { what, verdict: Verdict::Passed { detail: detail.into() } });
    }

    /// Adds a check that failed; `trouble` is the heading of its paragraph under Troubleshooting.
    pub fn failed(&mut self, what: &'static str, reason: impl Into<String>, trouble: &'static str) {
        self.checks
            .push(Check { what, verdict: Verdict::Failed { reason: reason.into(), trouble } });
    }

    /// Adds what cannot be tested.
    pub fn untested(&mut self, what: &'static str, why: impl Into<String>) {
        self.checks.push(Check { what, verdict: Verdict::Untested { why: why.into() } });
    }

    /// Adds what an answer tells: a check that passed, or one that failed where the system refuses
    /// (400 to 404, or refused credentials). Gives what was asked for; an outage is an error.
    pub fn told<T>(
        &mut self,
        what: &'static str,
        answer: Result<T>,
        trouble: &'static str,
        detail: impl FnOnce(&T) -> String,
    ) -> Result<Option<T>> {
        match answer {
            Ok(it) => {
                self.passed(what, detail(&it));
                Ok(Some(it))
            }
            Err(
                Error::Unauthorized { reason }
                | Error::Config { reason }
                | Error::Reject { reason, .. },
            ) => {
                self.failed(what, reason, trouble);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether nothing failed.
    pub fn is_good(&self) -> bool {
        self.failures().next().is_none()
    }

    /// What failed: what was looked at, what the system said, and the heading under Troubleshooting.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &str, &'static str)> {
        self.checks.iter().filter_map(|check| match &check.verdict {
            Verdict::Failed { reason, trouble } => Some((check.what, reason.as_str(), *trouble)),
            _ => None,
        })
    }
}
