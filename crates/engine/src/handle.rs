//! What operators ask: plain requests and answers, the same in process and over a wire.

mod letters;
mod state;

use std::sync::Arc;

use connector::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Counts, RunLine, Store};

use crate::backfill::Backfill;
use crate::change::Changed;
use crate::exported::{Exported, SeenLine};
use crate::import::Taken;
use crate::rewind::Rewound;
use crate::why::why;
use crate::{AccountState, Engine, Error, LetterFilter, Result, Timeline, accounts};
pub use letters::{DeadLetter, DeadLetterLine};
pub use state::{Entry, StateChange, Waiting};

/// What an operator asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "request")]
pub enum Request {
    /// Which flows have state.
    Flows,
    /// What a flow remembers, and its last runs.
    State {
        /// The flow's name.
        flow: String,
    },
    /// The snapshots of a flow that are remembered.
    History {
        /// The flow's name.
        flow: String,
    },
    /// A flow's state as a document.
    Export {
        /// The flow's name.
        flow: String,
        /// When it is asked for.
        at: Timestamp,
        /// Whether all that was settled is to go along.
        seen: bool,
    },
    /// Changes a flow's state; refused while the flow runs.
    Change {
        /// The flow's name.
        flow: String,
        /// What is changed.
        change: StateChange,
    },
    /// The accounts that are paused, and whose circuit breakers are open, as kept last.
    Accounts,
    /// Uses an account again: it is not paused any more, and its circuit breakers close.
    Resume {
        /// The account's name.
        account: String,
    },
    /// Dead letters, newest first.
    DeadLetters {
        /// Which ones.
        filter: LetterFilter,
        /// How many at most; absent is all.
        limit: Option<usize>,
    },
    /// One dead letter.
    DeadLetter {
        /// Its id or the beginning of it.
        id: String,
    },
    /// What happened to one record.
    Why {
        /// The flow's name; absent is all.
        flow: Option<String>,
        /// The record's key, or the id of a message or a dead letter of it.
        record: String,
        /// How much of what happened at most, the newest of it.
        limit: usize,
    },
}

/// What an operator gets.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "answer")]
pub enum Answer {
    /// The names of the flows that have state.
    Flows {
        /// Sorted.
        flows: Vec<String>,
    },
    /// What a flow remembers.
    State {
        /// The snapshot as stored; `None` if it never committed.
        snapshot: Option<Value>,
        /// The number of the last commit.
        commit: u64,
        /// What became of its records so far.
        counts: Counts,
        /// What waits.
        waiting: Waiting,
        /// Its last runs, newest first.
        runs: Vec<RunLine>,
    },
    /// The snapshots that are remembered.
    History {
        /// Newest first.
        entries: Vec<Entry>,
    },
    /// A flow's state; `None` if it never committed.
    Exported {
        /// Without what was settled.
        exported: Option<Box<Exported>>,
        /// What was settled, if that was asked for.
        seen: Vec<SeenLine>,
    },
    /// What a change came to.
    Changed {
        /// Its place in the history.
        changed: Changed,
    },
    /// What a rewind came to.
    Rewound {
        /// Its place in the history.
        changed: Changed,
        /// What it means.
        rewound: Rewound,
    },
    /// What an import came to.
    Imported {
        /// Its place in the history.
        changed: Changed,
        /// What became of what was seen.
        taken: Taken,
    },
    /// The backfill that was ended; `None` if none was under way.
    Stopped {
        /// As far as it came.
        backfill: Option<Box<Backfill>>,
    },
    /// The accounts that are not used as usual.
    Accounts {
        /// Sorted by name.
        accounts: Vec<AccountState>,
    },
    /// Whether an account was paused or its circuit breakers open.
    Resumed {
        /// It was.
        was: bool,
    },
    /// Dead letters without their payloads.
    DeadLetters {
        /// Newest first.
        dead_letters: Vec<DeadLetterLine>,
        /// How many more there are than were asked for.
        more: u64,
        /// How many there are besides that only stand elsewhere than was asked for.
        others: u64,
    },
    /// One dead letter; `None` if there is none.
    DeadLetter {
        /// With its payload.
        dead_letter: Option<DeadLetter>,
    },
    /// What happened to one record, by flow; empty if nothing is known of it.
    Why {
        /// The flows that know something of it.
        timelines: Vec<Timeline>,
    },
}

/// Answers operators. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<dyn Store>, Option<Arc<Engine>>);

impl Handle {
    /// A handle on what a store keeps, which only reads it.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store, None)
    }

    /// A handle on what an engine keeps, which changes it too, never while a flow runs.
    pub fn of(engine: Arc<Engine>) -> Self {
        Self(engine.store().clone(), Some(engine))
    }

    /// Answers one request.
    pub async fn ask(&self, request: Request) -> Result<Answer> {
        let of = |flow: &str| {
            let flow = flow.to_owned();
            move |error: store::Error| Error::store(&flow, &error)
        };
        match request {
            Request::Flows => Ok(Answer::Flows { flows: self.0.flows().await.map_err(of("*"))? }),
            Request::State { flow } => state::show(&*self.0, &flow).await,
            Request::History { flow } => state::history(&*self.0, &flow).await,
            Request::Export { flow, at, seen } => state::export(&*self.0, &flow, at, seen).await,
            Request::Change { flow, change } => match &self.1 {
                Some(engine) => state::change(engine, &flow, change).await,
                None => {
                    let problem = "state is changed by what runs flows, and this only reads it";
                    Err(Error::refused(&flow, problem))
                }
            },
            Request::Accounts => {
                let accounts = accounts::states(&*self.0).await.map_err(of("*"))?;
                Ok(Answer::Accounts { accounts })
            }
            Request::Resume { account } => {
                let was = accounts::resume(&*self.0, &account).await.map_err(of("*"))?;
                Ok(Answer::Resumed { was })
            }
            Request::DeadLetters { filter, limit } => letters::list(&*self.0, filter, limit).await,
            Request::DeadLetter { id } => letters::show(&*self.0, &id).await,
            Request::Why { flow, record, limit } => {
                let timelines = why(&*self.0, flow.as_deref(), &record, limit).await?;
                Ok(Answer::Why { timelines })
            }
        }
    }
}
