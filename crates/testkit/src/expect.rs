//! What came of a story, as its file says it: records page by page, or an outcome a message.

use connector::{Outcome, Page, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::story::Kind;

/// What came of a story.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Expect {
    /// The call failed.
    Error(Kind),
    /// Scans, a partition each; a trigger without partitions has one, called "".
    Scans(Vec<ScanFound>),
    /// What became of each message.
    Outcomes(Vec<Became>),
}

/// The pages of one partition.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScanFound {
    pub(crate) partition: String,
    pub(crate) pages: Vec<Vec<Found>>,
}

/// A record that was found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Found {
    pub(crate) key: String,
    pub(crate) version: Option<Timestamp>,
}

impl Found {
    pub(crate) fn all(page: &Page<Value>) -> Vec<Self> {
        let found =
            |record: &connector::Record| Self { key: record.key.clone(), version: record.version };
        page.records.iter().map(found).collect()
    }
}

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Became {
    Done {
        value: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target_key: Option<String>,
    },
    Rejected {
        code: String,
        reason: String,
    },
    Retry,
    Unknown,
    /// Times in seconds from then on.
    Parked {
        token: String,
        check_after: u64,
        deadline: u64,
    },
}

impl Became {
    pub(crate) fn of(outcome: Option<&Outcome>) -> Self {
        match outcome {
            None => Self::Unknown,
            Some(Outcome::Done { value, target_key }) => {
                Self::Done { value: value.clone(), target_key: target_key.clone() }
            }
            Some(Outcome::Rejected { code, reason }) => {
                Self::Rejected { code: code.clone(), reason: reason.clone() }
            }
            Some(Outcome::Retry { .. }) => Self::Retry,
            Some(Outcome::Parked { token, check_after, deadline }) => Self::Parked {
                token: token.clone(),
                check_after: check_after.as_secs(),
                deadline: deadline.as_secs(),
            },
        }
    }

    /// Whether the system finishes it later.
    pub(crate) const fn is_parked(&self) -> bool {
        matches!(self, Self::Parked { .. })
    }

    /// Whether nothing is left to be sent again or found out from this answer.
    pub(crate) const fn is_settled(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Rejected { .. } | Self::Parked { .. })
    }
}
