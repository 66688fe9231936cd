//! How a call fails: each variant says what the caller may do.

use std::time::Duration;

/// The result of a call to a system.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call to a system failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Worth trying again, and surely not carried out: no connection, 429, 503 with a time to come
    /// again; of a question also what stays without an answer or makes no sense.
    #[error("{reason}")]
    Retry {
        /// What happened.
        reason: String,
        /// How long the system asks to wait (`Retry-After`).
        after: Option<Duration>,
    },
    /// Not sent: the account is left alone for a while, because its system kept failing. Worth
    /// trying again then, and no try of its own.
    #[error("{reason}")]
    HeldBack {
        /// Why it is left alone.
        reason: String,
        /// How long still.
        after: Option<Duration>,
    },
    /// The credentials were refused, also after one renewal of the token.
    #[error("{reason}")]
    Unauthorized {
        /// What was refused.
        reason: String,
    },
    /// The batch is too large; a smaller one may pass.
    #[error("{reason}")]
    TooLarge {
        /// What the system said.
        reason: String,
    },
    /// Sent, but no answer that tells whether it was carried out: none at all, another 5xx, one that
    /// makes no sense. Where carrying it out twice does no harm it is sent again.
    #[error("{reason}")]
    Unknown {
        /// What happened instead of an answer.
        reason: String,
    },
    /// The system refuses this content and would refuse it again.
    #[error("{reason}")]
    Reject {
        /// A short stable code, the vendor's own where it has one.
        code: String,
        /// What the system said.
        reason: String,
    },
    /// Somebody has to change a setting first: the flow's, the account's or the system's.
    #[error("{reason}")]
    Config {
        /// What does not fit, and the way out.
        reason: String,
    },
}

impl Error {
    /// Worth trying again, as soon as the back-off says.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into(), after: None }
    }

    /// A setting does not fit.
    pub fn config(reason: impl Into<String>) -> Self {
        Self::Config { reason: reason.into() }
    }
}
