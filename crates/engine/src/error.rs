//! Why a run failed: each variant says what the operator may do.

use std::fmt;
use std::time::Duration;

use connector::Timestamp;

/// The result of a piece of a run.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in a flow something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The flow's name.
    pub flow: String,
    /// The step's id; `None` is the trigger.
    pub step: Option<String>,
    /// The account in use; empty where there is none, or none is known yet.
    pub account: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flow \"{}\", ", self.flow)?;
        match &self.step {
            Some(step) => write!(f, "step \"{step}\"")?,
            None => f.write_str("trigger")?,
        }
        match self.account.as_str() {
            "" => Ok(()),
            account => write!(f, ", account \"{account}\""),
        }
    }
}

/// Why a run failed. Nothing is lost by any of them: the snapshot stays before what is not
/// settled.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A system is not there or makes no sense; the next run goes on from the last commit.
    #[error("{place}: {reason}")]
    Unavailable {
        /// Where.
        place: Place,
        /// What happened, after how many tries.
        reason: String,
        /// How long the system asks to wait.
        after: Option<Duration>,
    },
    /// Nothing was sent, since the account is left alone: its system kept failing or refused its
    /// credentials, as other requests have shown.
    #[error("{place}: {reason}")]
    HeldBack {
        /// Where.
        place: Place,
        /// Why it is left alone.
        reason: String,
        /// How long still.
        after: Option<Duration>,
    },
    /// The account is paused: the run asked and sent nothing.
    #[error("{place}: {}", rests(*since, reason, *after, &place.account))]
    Paused {
        /// Where.
        place: Place,
        /// Since when.
        since: Timestamp,
        /// What was refused.
        reason: Box<str>,
        /// How long until the next probe; `None` where this is not sent again before somebody says
        /// so.
        after: Option<Duration>,
    },
    /// The credentials were refused.
    #[error("{place}: {reason}; check the account's credentials in towpath.yaml")]
    Unauthorized {
        /// Where.
        place: Place,
        /// What was refused.
        reason: String,
    },
    /// A setting of the flow, the account or the system has to change first.
    #[error("{place}: {reason}")]
    Config {
        /// Where.
        place: Place,
        /// What does not fit.
        reason: String,
    },
    /// So much of a page was refused that the mapping or the target must be wrong.
    #[error(
        "{place}: {rejected} of {messages} messages of a page were refused, more than `maxRejects` \
         allows, the first with {code}; nothing of the page is committed. \
         `towpath run {} --dry-run` shows what would be sent", place.flow
    )]
    TooManyRejects {
        /// Where the first was refused.
        place: Place,
        /// Refused messages so far.
        rejected: usize,
        /// The page's messages.
        messages: usize,
        /// The code of the first refusal; its reason may quote the record and is not shown.
        code: String,
    },
    /// So many records are gone at once that the system must be wrong.
    #[error(
        "flow \"{flow}\": {gone} of {known} known records are gone, more than `maxDeletes` allows; \
         nothing of them was sent. If they really are, `towpath run {flow} --allow-deletes` reads \
         everything again and sends that they are gone"
    )]
    TooManyDeletes {
        /// The flow's name.
        flow: String,
        /// Records that were found nowhere.
        gone: u64,
        /// Records that were sent before and were there the last time.
        known: u64,
    },
    /// A step that says `onReject: stop` refused a message.
    #[error(
        "{place}: message {message} was refused with {code}, and `onReject: stop` holds the flow \
         before it; nothing of its page is committed. Correct the mapping or the record, or write \
         `onReject: deadLetter`; `towpath run {} --dry-run` shows what would be sent", place.flow
    )]
    Stopped {
        /// The step.
        place: Place,
        /// The beginning of the message's id, a hash.
        message: String,
        /// The code of the refusal; its reason may quote the record and is not shown.
        code: String,
    },
    /// The flow reads another source than the one that its snapshot is about.
    #[error(
        "flow \"{flow}\" reads another source than its stored state is about: its trigger, fields, \
         account or base URL changed. `towpath state keep {flow}` goes on from that state with \
         the new source, `towpath state reset {flow}` forgets it and reads everything"
    )]
    SourceChanged {
        /// The flow's name.
        flow: String,
    },
    /// The stored snapshot cannot be used.
    #[error("flow \"{flow}\": {problem}")]
    Snapshot {
        /// The flow's name.
        flow: String,
        /// What is wrong, and the way out.
        problem: String,
    },
    /// The stored snapshot was written by a newer version.
    #[error(
        "flow \"{flow}\": the stored snapshot has format {found}, written by a newer towpath; \
         this one knows format {known}. Use that version or a newer one"
    )]
    NewerSnapshot {
        /// The flow's name.
        flow: String,
        /// The format that is stored.
        found: u64,
        /// The format that this version reads and writes.
        known: u32,
    },
    /// There is no such dead letter.
    #[error("no dead letter begins with `{id}`; `towpath dead-letters list` shows those there are")]
    NoSuchLetter {
        /// The id, or the beginning of one, that was asked for.
        id: String,
    },
    /// A dead letter cannot be used as it is, or not be changed like that.
    #[error("flow \"{flow}\", dead letter {id}: {problem}")]
    Letter {
        /// The flow's name.
        flow: String,
        /// The dead letter's id.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// The flow is running already.
    #[error(
        "flow \"{flow}\" is already running; one run at a time keeps its snapshot. Wait until that \
         run has ended, or stop it"
    )]
    AlreadyRunning {
        /// The flow's name.
        flow: String,
    },
    /// What an operator asked for cannot be done as things are. Nothing was changed.
    #[error("flow \"{flow}\": {problem}")]
    Refused {
        /// The flow's name.
        flow: String,
        /// Why, and the way out.
        problem: String,
    },
    /// The store failed.
    #[error("flow \"{flow}\": the store could not be used: {problem}")]
    Store {
        /// The flow's name.
        flow: String,
        /// What the store says.
        problem: String,
    },
    /// The runtime itself broke its own rules.
    #[error("{place}: {problem}; this is a fault of towpath, please report it")]
    Internal {
        /// Where.
        place: Place,
        /// What happened.
        problem: String,
    },
}

/// Why an account is not used, or not for this, and when it is again.
fn rests(since: Timestamp, reason: &str, after: Option<Duration>, account: &str) -> String {
    match after {
        Some(after) => format!(
            "the account is paused since {since}, because its credentials were refused ({reason}); \
             it is probed again in {} s. Correct its credentials; `towpath account resume {account}` \
             probes at once",
            after.as_secs()
        ),
        None => format!(
            "held since {since}, because the account was refused ({reason}); it is not sent again by \
             itself. Once that is corrected, `towpath account resume {account}` lets it go on; so do \
             other settings of the account"
        ),
    }
}

impl Error {
    pub(crate) fn refused(flow: &str, problem: impl Into<String>) -> Self {
        Self::Refused { flow: flow.to_owned(), problem: problem.into() }
    }

    pub(crate) fn store(flow: &str, error: &store::Error) -> Self {
        Self::Store { flow: flow.to_owned(), problem: error.to_string() }
    }

    /// Whether trying again without a change is pointless.
    pub const fn needs_change(&self) -> bool {
        matches!(
            self,
            Self::Config { .. }
                | Self::Stopped { .. }
                | Self::SourceChanged { .. }
                | Self::Refused { .. }
                | Self::Snapshot { .. }
                | Self::NewerSnapshot { .. }
                | Self::Store { .. }
        )
    }

    /// Whether nothing was asked or sent, because the account is left alone.
    pub const fn is_held_back(&self) -> bool {
        matches!(self, Self::HeldBack { .. } | Self::Paused { .. })
    }

    /// Whether the rest of the run is pointless too, in other partitions: a target that is down
    /// is down for all of them. `alone` is whether there is one partition.
    pub(crate) const fn ends_run(&self, alone: bool) -> bool {
        match self {
            Self::TooManyRejects { .. } => false,
            Self::Unavailable { place, .. } | Self::HeldBack { place, .. } => place.step.is_some(),
            // What was listed a moment ago may be gone: nobody configured it.
            Self::Config { place, .. } => alone || place.step.is_some(),
            _ => true,
        }
    }

    /// What a system's final error means to the run.
    pub(crate) fn of_call(place: Place, error: connector::Error, tries: usize) -> Self {
        use connector::Error as Call;
        match error {
            Call::HeldBack { reason, after } => Self::HeldBack { place, reason, after },
            Call::Retry { .. } | Call::Unknown { .. } => {
                let (reason, after) = match error {
                    Call::Retry { reason, after } => (reason, after),
                    other => (other.to_string(), None),
                };
                let reason = match tries {
                    0 | 1 => reason,
                    _ => format!("{reason} (tried {tries} times)"),
                };
                Self::Unavailable { place, reason, after }
            }
            Call::Unauthorized { reason } => Self::Unauthorized { place, reason },
            Call::Config { reason } | Call::Reject { reason, .. } | Call::TooLarge { reason } => {
                Self::Config { place, reason }
            }
        }
    }
}
