//! What operators ask about a flow's state, and what they change of it.

use connector::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{DeadLetterSummary, LetterState, Store};

use super::Answer;
use crate::change::Hands;
use crate::exported::{self, Imported};
use crate::rewind::RewindTo;
use crate::{Engine, Error, Result, Unfinished, service};

/// A change of a flow's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "change")]
pub enum StateChange {
    /// Goes on from the stored snapshot although the flow reads another source now.
    Keep {
        /// The fingerprint of the new source.
        source: String,
    },
    /// Forgets the snapshot and what was seen: the next run reads and sends everything.
    Reset {
        /// The fingerprint of the source.
        source: String,
    },
    /// Goes back: what was settled since is sent again.
    Rewind {
        /// The fingerprint of the source.
        source: String,
        /// Whether the trigger can be asked for what changed since a moment.
        by_time: bool,
        /// Where to.
        to: RewindTo,
        /// Only says what it would mean.
        dry: bool,
    },
    /// Puts a snapshot that an operator wrote in the place of the stored one.
    Set {
        /// The fingerprint of the source.
        source: String,
        /// The snapshot.
        document: Value,
    },
    /// Takes a state over.
    Import {
        /// The fingerprint of the source.
        source: String,
        /// The state.
        imported: Imported,
    },
    /// Begins a backfill.
    Backfill {
        /// The fingerprint of the source.
        source: String,
        /// Records that changed before are left out.
        from: Timestamp,
        /// Records that changed later are left out.
        until: Option<Timestamp>,
    },
    /// Ends the backfill under way.
    StopBackfill,
}

impl StateChange {
    /// Its name.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Keep { .. } => "keep",
            Self::Reset { .. } => "reset",
            Self::Rewind { dry: true, .. } => "dry rewind",
            Self::Rewind { .. } => "rewind",
            Self::Set { .. } => "set",
            Self::Import { .. } => "import",
            Self::Backfill { .. } => "backfill",
            Self::StopBackfill => "end of the backfill",
        }
    }
}

/// How much of a flow's work waits for something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Messages that a remote system has not finished.
    pub parked: u64,
    /// Dead letters that nobody has replayed or dropped.
    pub dead_letters: u64,
    /// Journal entries: what was about to be sent when the last run ended, or is in doubt.
    pub journal: u64,
    /// Requests of other systems that no run has taken yet.
    #[serde(default)]
    pub inbox: u64,
    /// Records of which it is remembered that they were settled, superseded entries included.
    pub seen: u64,
}

/// A snapshot of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Its number: that of the commit that made it.
    pub entry: u64,
    /// When.
    pub at: Timestamp,
    /// What made it.
    pub cause: String,
    /// The snapshot.
    pub snapshot: Value,
}

pub(super) async fn show(store: &dyn Store, flow: &str) -> Result<Answer> {
    let failed = |error: store::Error| Error::store(flow, &error);
    let head = store.head(flow).await.map_err(failed)?;
    let runs = store.runs(flow).await.map_err(failed)?;
    let mut open = 0;
    let mut each = |letter: DeadLetterSummary| {
        open += u64::from(letter.state == LetterState::Open);
        true
    };
    store.each_dead_letter(Some(flow), &mut each).await.map_err(failed)?;
    let waiting = Waiting {
        parked: Unfinished::read(store, flow).await?.messages,
        dead_letters: open,
        journal: store.journaled(flow).await.map_err(failed)?.len() as u64,
        inbox: store.inbox_state(flow).await.map_err(failed)?.waiting,
        seen: head.as_ref().map_or(0, |head| head.seen_entries),
    };
    let counts = head.as_ref().map(|head| head.counts).unwrap_or_default();
    let commit = head.as_ref().map_or(0, |head| head.sequence);
    let snapshot = head.map(|head| value(flow, &head.snapshot)).transpose()?;
    let paused = service::paused(store, flow).await?;
    Ok(Answer::State { snapshot, commit, counts, waiting, runs, paused })
}

fn value(flow: &str, snapshot: &[u8]) -> Result<Value> {
    serde_json::from_slice(snapshot).map_err(|error| Error::Snapshot {
        flow: flow.to_owned(),
        problem: format!("the stored snapshot is not JSON: {error}"),
    })
}

pub(super) async fn history(store: &dyn Store, flow: &str) -> Result<Answer> {
    let history = store.history(flow).await.map_err(|error| Error::store(flow, &error))?;
    let entry = |it: store::Remembered| {
        Ok(Entry {
            entry: it.sequence,
            at: Timestamp::from_millis(it.at),
            cause: it.cause,
            snapshot: value(flow, &it.snapshot)?,
        })
    };
    Ok(Answer::History { entries: history.into_iter().map(entry).collect::<Result<_>>()? })
}

pub(super) async fn export(
    store: &dyn Store,
    flow: &str,
    at: Timestamp,
    seen: bool,
) -> Result<Answer> {
    let found = exported::export(store, flow, at, seen).await?;
    let (exported, seen) = found.map_or((None, vec![]), |(it, seen)| (Some(Box::new(it)), seen));
    Ok(Answer::Exported { exported, seen })
}

pub(super) async fn change(engine: &Engine, flow: &str, change: StateChange) -> Result<Answer> {
    let hands = Hands { engine, flow };
    match change {
        StateChange::Keep { source } => Ok(Answer::Changed { changed: hands.keep(source).await? }),
        StateChange::Reset { source } => {
            Ok(Answer::Changed { changed: hands.reset(source).await? })
        }
        StateChange::Rewind { source, by_time, to, dry } => {
            let (changed, rewound) = hands.rewind(&source, by_time, to, dry).await?;
            Ok(Answer::Rewound { changed, rewound })
        }
        StateChange::Set { source, document } => {
            Ok(Answer::Changed { changed: hands.set(source, &document).await? })
        }
        StateChange::Import { source, imported } => {
            let (changed, taken) = hands.import(source, &imported).await?;
            Ok(Answer::Imported { changed, taken })
        }
        StateChange::Backfill { source, from, until } => {
            Ok(Answer::Changed { changed: hands.backfill(source, from, until).await? })
        }
        StateChange::StopBackfill => {
            let backfill = hands.stop_backfill().await?.map(Box::new);
            Ok(Answer::Stopped { backfill })
        }
    }
}
