//! Messages that are kept by themselves: dead letters, and what waits for remote systems.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::Store;

/// A refused message on its way into the store.
///
/// Its id is made of flow, message id and step, so the same one again overwrites itself: only its
/// attempts add up.
#[derive(Debug, Clone, Default)]
pub struct NewDeadLetter {
    /// The message's id.
    pub message_id: String,
    /// The step that refused it; `None` if it came to no step.
    pub step: Option<String>,
    /// The stable code of the refusal.
    pub code: String,
    /// Why, in words; sealed at rest.
    pub reason: String,
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// JSON of the message and the results so far; sealed at rest.
    pub payload: Vec<u8>,
    /// The record's key; sealed at rest.
    pub record_key: String,
    /// Keyed hash of partition and record key; zero if there is none.
    pub partition_key: [u8; 16],
    /// Where it stands from the beginning: one that the same commit overtakes is not open.
    pub state: LetterState,
}

/// A dead letter as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterSummary {
    /// 16 hexadecimal characters.
    pub id: String,
    /// The flow it belongs to.
    pub flow: String,
    /// The step that refused it.
    pub step: Option<String>,
    /// The stable code of the refusal.
    pub code: String,
    /// When it was refused last, in milliseconds since the epoch.
    pub at: i64,
    /// Where it stands.
    pub state: LetterState,
    /// When it was tried, the first refusal included, in milliseconds since the epoch.
    pub attempts: Vec<i64>,
    /// When somebody changed its payload, in milliseconds since the epoch.
    pub edited: Option<i64>,
    /// Keyed hash of partition and record key; zero if there is none.
    pub partition_key: [u8; 16],
}

impl DeadLetterSummary {
    /// The order of lists: what was refused last comes first.
    #[must_use]
    pub fn newest_first(&self, other: &Self) -> std::cmp::Ordering {
        other.at.cmp(&self.at).then_with(|| self.id.cmp(&other.id))
    }
}

/// A dead letter with everything that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// 16 hexadecimal characters.
    pub id: String,
    /// The flow it belongs to.
    pub flow: String,
    /// The sequence of the commit that kept it.
    pub sequence: u64,
    /// The message's id.
    pub message_id: String,
    /// The step that refused it; `None` if it came to no step.
    pub step: Option<String>,
    /// The stable code of the refusal.
    pub code: String,
    /// Why, in words.
    pub reason: String,
    /// When it was refused last, in milliseconds since the epoch.
    pub at: i64,
    /// JSON of the message and the results so far.
    pub payload: Vec<u8>,
    /// The record's key.
    pub record_key: String,
    /// Keyed hash of partition and record key; zero if there is none.
    pub partition_key: [u8; 16],
    /// Where it stands.
    pub state: LetterState,
    /// When it was tried, the first refusal included, in milliseconds since the epoch.
    pub attempts: Vec<i64>,
    /// When somebody changed its payload, in milliseconds since the epoch.
    pub edited: Option<i64>,
}

/// What becomes of a dead letter.
#[derive(Debug, Clone)]
pub struct LetterChange {
    /// Its whole id.
    pub id: String,
    /// What becomes of it.
    pub change: LetterMark,
}

/// What becomes of a dead letter; times are milliseconds since the epoch.
#[derive(Debug, Clone)]
pub enum LetterMark {
    /// It is gone.
    Dropped,
    /// It is in another state from now on.
    State {
        /// The state.
        state: LetterState,
    },
    /// Somebody changed its payload.
    Edited {
        /// The payload from now on.
        payload: Vec<u8>,
        /// When.
        at: i64,
    },
    /// Steps beside its own are done since: the next replay knows their results.
    Learned {
        /// The payload from now on.
        payload: Vec<u8>,
    },
    /// It was tried again and refused again.
    Failed {
        /// Where it stands now.
        state: LetterState,
        /// The stable code of the refusal.
        code: String,
        /// Why, in words.
        reason: String,
        /// When.
        at: i64,
    },
}

/// Where a dead letter stands.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum LetterState {
    /// Somebody has to decide.
    #[default]
    Open,
    /// It was sent after all.
    Replayed,
    /// A newer message of the same record was settled.
    Superseded,
}

/// A message that a remote system has yet to finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// 16 hexadecimal characters, [`parked_id`] of the rest.
    pub id: String,
    /// The message's id.
    pub message_id: String,
    /// The step that parked it.
    pub step: String,
    /// The record's key.
    pub record_key: String,
    /// Keyed hash of partition and record key; zero if there is none.
    pub partition_key: [u8; 16],
    /// When it was parked, in milliseconds since the epoch.
    pub since: i64,
    /// When the system is asked next, in milliseconds since the epoch.
    pub check_at: i64,
    /// When waiting ends, in milliseconds since the epoch.
    pub deadline: i64,
    /// What the system is asked by.
    pub token: String,
    /// JSON of the message and the results so far.
    pub payload: Vec<u8>,
}

/// Returns the id of what is parked: of the message's id and the step.
#[must_use]
pub fn parked_id(store: &dyn Store, message_id: &str, step: &str) -> String {
    let hash = store.keyed_hash("parked", &[message_id.as_bytes(), step.as_bytes()]);
    crate::layout::hex(hash.first_chunk::<8>().map_or(&[], <[u8; 8]>::as_slice))
}

/// What begins or ends to wait for a remote system.
#[derive(Debug, Clone)]
pub enum ParkedChange {
    /// It waits from now on, or is asked at another time.
    Put(Parked),
    /// The one with this id waits no longer.
    Done(String),
}
