//! How a run failed, as it may be told to anybody.

use serde::{Deserialize, Serialize};

use crate::{Error, Report};

/// How a run failed: a code and where, and not a word that a system said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    pub(super) code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    #[serde(default)]
    pub(super) needs_change: bool,
}

impl Failure {
    /// How a run failed; `None` if it did not.
    pub(super) fn of(report: &Report) -> Option<Self> {
        let error = report.errors.first()?;
        let place = error.place();
        Some(Self {
            code: error.code().to_owned(),
            step: place.and_then(|place| place.step.clone()),
            account: place.map(|place| place.account.clone()).filter(|name| !name.is_empty()),
            needs_change: report.needs_change,
        })
    }

    /// One of which nothing is known but that it was.
    pub(super) fn unknown() -> Self {
        Self { code: "failed".to_owned(), step: None, account: None, needs_change: false }
    }

    /// Whether a system is away.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self.code.as_str(), "unavailable" | "heldBack")
    }

    /// The code in words.
    pub(super) fn words(&self) -> &'static str {
        match self.code.as_str() {
            "unavailable" => "a system is not there, or its answers make no sense",
            "heldBack" => "an account is left alone, since its system kept failing",
            "paused" => "an account is paused, since its credentials were refused",
            "unauthorized" => "the account's credentials were refused",
            "config" => "a setting of the flow, the account or the system has to change",
            "tooManyRejects" => "more messages of a page were refused than `maxRejects` allows",
            "tooManyDeletes" => "more records are gone than `maxDeletes` allows",
            "stopped" => "a message was refused, and `onReject: stop` holds the flow before it",
            "sourceChanged" => "the flow reads another source than its state is about",
            "snapshot" => "the stored snapshot cannot be used",
            "newerSnapshot" => "the stored snapshot was written by a newer version",
            "store" => "the store could not be used",
            "internal" => "the runtime broke its own rules",
            _ => "its last run failed",
        }
    }
}

impl Error {
    /// A word for the kind of error, which stays the same.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::HeldBack { .. } => "heldBack",
            Self::Paused { .. } => "paused",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Config { .. } => "config",
            Self::TooManyRejects { .. } => "tooManyRejects",
            Self::TooManyDeletes { .. } => "tooManyDeletes",
            Self::Stopped { .. } => "stopped",
            Self::SourceChanged { .. } => "sourceChanged",
            Self::Snapshot { .. } => "snapshot",
            Self::NewerSnapshot { .. } => "newerSnapshot",
            Self::Store { .. } => "store",
            Self::NoSuchLetter { .. }
            | Self::Letter { .. }
            | Self::AlreadyRunning { .. }
            | Self::Refused { .. } => "refused",
            Self::Internal { .. } => "internal",
        }
    }

    /// Where it happened, if that is known.
    const fn place(&self) -> Option<&crate::Place> {
        match self {
            Self::Unavailable { place, .. }
            | Self::HeldBack { place, .. }
            | Self::Paused { place, .. }
            | Self::Unauthorized { place, .. }
            | Self::Config { place, .. }
            | Self::TooManyRejects { place, .. }
            | Self::Stopped { place, .. }
            | Self::Internal { place, .. } => Some(place),
            _ => None,
        }
    }
}
