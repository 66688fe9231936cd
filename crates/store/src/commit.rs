//! What crosses the contract of a store with a commit, and what readers get of it.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::letter::{LetterChange, NewDeadLetter, ParkedChange};

/// What one page changes.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The snapshot from now on.
    pub snapshot: Vec<u8>,
    /// What becomes of the seen entries.
    pub seen: SeenChange,
    /// The messages that were refused.
    pub dead_letters: Vec<NewDeadLetter>,
    /// What becomes of dead letters that are there, at most one change each; one that is gone
    /// meanwhile is passed over.
    pub letters: Vec<LetterChange>,
    /// What begins or ends to wait for remote systems.
    pub parked: Vec<ParkedChange>,
    /// The journal entries that are settled by this commit: forgotten once it holds.
    pub journal: Vec<[u8; 16]>,
    /// Everything in the inbox up to this position is taken by this commit; `None` takes nothing.
    pub taken: Option<u64>,
    /// What becomes of the names behind the seen keys.
    pub names: NamesChange,
    /// What becomes of echoes, of this flow and of others, in this order.
    pub echoes: Vec<EchoChange>,
    /// Why the snapshot is to be remembered in the history; `None` if it is not.
    pub cause: Option<Cause>,
    /// What became of each record.
    pub trail: Option<TrailBlock>,
    /// Added to the totals.
    pub counts: Counts,
}

/// What one flow wrote under a key that another one reads: found there again, it is an echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// A keyed hash of where it came from, and of the key under which it was written.
    pub key: [u8; 16],
    /// A keyed hash of what the reading flow makes of what was written.
    pub content: [u8; 8],
    /// The version of the record that it was made of, as the engine keeps versions.
    pub version: i64,
    /// When it was written, in the engine's own order of what happens.
    pub moment: u64,
    /// When it was written, in milliseconds since the epoch: it goes by age.
    pub at: i64,
}

/// One change of the echoes that a flow looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EchoChange {
    /// Sets an echo, in the place of an earlier one with its key.
    Put {
        /// The flow that reads what was written.
        flow: String,
        /// The echo.
        echo: Echo,
    },
    /// Removes an echo, if it is there.
    Forget {
        /// The flow that reads what was written.
        flow: String,
        /// The echo's key.
        key: [u8; 16],
    },
    /// Removes all of a flow.
    ForgetAll {
        /// The flow that reads what was written.
        flow: String,
    },
}

/// A journal entry: what was about to be sent, or what became of it, in the engine's own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// The engine's own id.
    pub id: [u8; 16],
    /// Sealed at rest.
    pub value: Vec<u8>,
    /// What was written beside it since; sealed at rest.
    pub answer: Option<Vec<u8>>,
}

/// One change of the journal.
#[derive(Debug, Clone)]
pub enum JournalChange {
    /// Sets an entry, whether or not it is there; an answer to it stays.
    Put {
        /// The entry's id.
        id: [u8; 16],
        /// What it says.
        value: Vec<u8>,
    },
    /// Writes an answer beside an entry, in the place of an earlier one: where the entry is large,
    /// it takes less than to write it again.
    Answer {
        /// The entry's id.
        id: [u8; 16],
        /// What became of it.
        answer: Vec<u8>,
    },
    /// Removes an entry and its answer, if it is there.
    Forget([u8; 16]),
}

/// What came from outside, in the engine's own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// When it came, in milliseconds since the epoch.
    pub at: i64,
    /// What its sender knows it by: one that comes again is not kept again; without it every one
    /// is. Kept as a keyed hash.
    pub key: Option<String>,
    /// Sealed at rest.
    pub bytes: Vec<u8>,
}

/// How much an inbox holds at most, and how long it remembers keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many entries wait at most.
    pub entries: u64,
    /// How many bytes they have at most; a single one may be larger.
    pub bytes: u64,
    /// How long a key is known after it came, at most a week.
    pub remember: Duration,
}

/// A delivery that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its number in the flow's inbox, from 1 on.
    pub position: u64,
    /// Whether its key came before: the number is that of the first one.
    pub repeated: bool,
}

/// An entry of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// Its number; later ones have higher numbers.
    pub position: u64,
    /// When it came, in milliseconds since the epoch.
    pub at: i64,
    /// The engine's bytes.
    pub bytes: Vec<u8>,
}

/// Where an inbox stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InboxState {
    /// Everything up to here was taken.
    pub taken: u64,
    /// The number of the newest entry, taken or not; 0 before the first.
    pub last: u64,
    /// How many entries wait.
    pub waiting: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

/// Why a snapshot is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// What made it, in a word.
    pub what: String,
}

/// A snapshot of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The sequence of the commit that made it.
    pub sequence: u64,
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// What made it, in a word.
    pub cause: String,
    /// The snapshot.
    pub snapshot: Vec<u8>,
}

/// What became of the records of one commit, in the engine's own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailBlock {
    /// The commit's sequence; the store sets it.
    pub sequence: u64,
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// Sealed at rest.
    pub bytes: Vec<u8>,
}

/// What a commit does with the seen entries.
#[derive(Debug, Clone)]
pub enum SeenChange {
    /// Adds entries behind the committed ones; an empty list writes nothing.
    Append(Vec<Seen>),
    /// Puts these entries, in the order of the parts, in the place of all committed ones.
    ///
    /// Parts are shared, not copied, and written in pieces, so that a table of any size is
    /// replaced within a few megabytes.
    Replace(Vec<Arc<Vec<Seen>>>),
}

impl Default for SeenChange {
    fn default() -> Self {
        Self::Append(Vec::new())
    }
}

/// What a commit does with the names behind the seen keys.
#[derive(Debug, Clone)]
pub enum NamesChange {
    /// Adds names behind the committed ones; an empty list writes nothing.
    Append(Vec<Name>),
    /// Keeps one name of each of these keys that has one, and forgets all others; the keys ascend
    /// within each part and from part to part.
    Keep(Vec<Arc<Vec<Seen>>>),
}

impl Default for NamesChange {
    fn default() -> Self {
        Self::Append(Vec::new())
    }
}

/// A record's own key behind its seen key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Keyed hash of partition and record key.
    pub key: [u8; 16],
    /// The record's key; sealed at rest.
    pub name: String,
}

/// Which content of which key was already settled: 40 bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Keyed hash of partition and record key.
    pub key: [u8; 16],
    /// Keyed hash of the record's content.
    pub content: [u8; 8],
    /// The record's version.
    pub version: i64,
    /// The sequence of the commit that settled it.
    pub sequence: u64,
}

/// What a look-up found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The newest entry of each key that has one, by ascending key.
    pub entries: Vec<Seen>,
    /// How many entries were kept when they were last [replaced](SeenChange::Replace); 0 if they
    /// never were, or were so few that they lie among later ones.
    pub rewritten: u64,
    /// How many entries were read to find these.
    pub read: u64,
}

/// What became of a flow's records, summed over its commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Records that the trigger found.
    pub records: u64,
    /// Records that became messages.
    pub emitted: u64,
    /// Records whose content was already settled.
    pub unchanged: u64,
    /// Messages that conditions kept from every end of the steps.
    pub filtered: u64,
    /// Messages that came to an end of the steps; a graph may have several.
    pub delivered: u64,
    /// Dead letters: a message has one for each step that refused it.
    pub dead_lettered: u64,
    /// Messages that only gave back what another flow had written.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub echoed: u64,
    /// Messages that lost against a newer change of the other side.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overruled: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Counts {
    /// Returns the sum, or `None` if one of the counts would pass 64 bits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            records: self.records.checked_add(other.records)?,
            emitted: self.emitted.checked_add(other.emitted)?,
            unchanged: self.unchanged.checked_add(other.unchanged)?,
            filtered: self.filtered.checked_add(other.filtered)?,
            delivered: self.delivered.checked_add(other.delivered)?,
            dead_lettered: self.dead_lettered.checked_add(other.dead_lettered)?,
            echoed: self.echoed.checked_add(other.echoed)?,
            overruled: self.overruled.checked_add(other.overruled)?,
        })
    }
}
