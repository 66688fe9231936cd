//! How many calls a system takes at once: declared here, kept by the engine.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, Result};

/// A limit class of a connector: requests that share one limit of the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The class's name, as `Request::class` gives it.
    pub class: &'static str,
    /// Requests under way at once, over all flows with the same credentials.
    pub concurrency: NonZeroUsize,
    /// Requests started in a second, where the vendor counts those.
    pub per_second: Option<NonZeroU32>,
}

/// Keeps requests within the limits; the engine provides it, keyed by the credentials' identity.
#[async_trait]
pub trait Limiter: Send + Sync + 'static {
    /// Waits until a request of this class may start; it counts until the permit is dropped.
    ///
    /// After an error nothing may be sent: [`Error::HeldBack`] while the system is left alone,
    /// [`Error::Unauthorized`] while its credentials are known to be refused.
    async fn acquire(&self, identity: &str, limit: Limit) -> Result<Permit>;
}

/// What a request showed of its system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took the request.
    Taken,
    /// It answered, and refused this one request: it is well.
    Refused,
    /// It has too many requests (429).
    Throttled {
        /// How long it asks to wait.
        after: Option<Duration>,
        /// What it said.
        reason: String,
    },
    /// It is not there, broke off, or failed by itself (5xx).
    Failed {
        /// The status of its answer; `None` if it gave none.
        status: Option<u16>,
        /// How long it asks to wait.
        after: Option<Duration>,
        /// What happened.
        reason: String,
    },
    /// It refuses the credentials, also after one renewal of the token.
    Unauthorized {
        /// What was refused.
        reason: String,
    },
}

impl Answer {
    /// What a request that ended so shows; `status` is its answer's, if there was one.
    pub(crate) fn of<T>(ended: &Result<T>, status: Option<u16>) -> Self {
        match ended {
            Ok(_) => Self::Taken,
            Err(Error::Retry { reason, after }) if status == Some(429) => {
                Self::Throttled { after: *after, reason: reason.clone() }
            }
            Err(Error::Retry { reason, after } | Error::HeldBack { reason, after }) => {
                Self::Failed { status, after: *after, reason: reason.clone() }
            }
            Err(Error::Unknown { reason }) => {
                Self::Failed { status, after: None, reason: reason.clone() }
            }
            Err(Error::Unauthorized { reason }) => Self::Unauthorized { reason: reason.clone() },
            Err(Error::TooLarge { .. } | Error::Reject { .. } | Error::Config { .. }) => {
                Self::Refused
            }
        }
    }
}

/// What learns how a request ended, and gives its place back when dropped.
pub trait Admission: Send {
    /// Takes note of the answer. Without it the request was given up, and shows nothing.
    fn learn(&mut self, answer: &Answer);
}

impl Admission for () {
    fn learn(&mut self, _answer: &Answer) {}
}

/// The right to have one request under way, given back when dropped.
pub struct Permit(Box<dyn Admission>);

impl Permit {
    /// A permit that tells `admission` of the answer.
    pub fn new(admission: impl Admission + 'static) -> Self {
        Self(Box::new(admission))
    }

    /// Tells how the request ended, and gives its place back.
    pub fn answered(mut self, answer: &Answer) {
        self.0.learn(answer);
    }
}

/// A limiter that lets everything pass, for a test of one connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

#[async_trait]
impl Limiter for Unlimited {
    async fn acquire(&self, _identity: &str, _limit: Limit) -> Result<Permit> {
        Ok(Permit::new(()))
    }
}
