//! What operators ask: plain requests and answers, the same in process and over a wire.

mod health;
mod letters;
mod state;

use std::sync::Arc;

use connector::{Changes, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Counts, RunLine, Store};

use crate::backfill::Backfill;
use crate::change::Changed;
use crate::exported::{Exported, SeenLine};
use crate::import::Taken;
use crate::rewind::Rewound;
use crate::service::{Host, Pause};
use crate::why::why;
use crate::{
    AccountState, Engine, Error, LetterFilter, Outcome, Result, Silent, Stop, Timeline, accounts,
};
pub use health::{Failing, FlowHealth, InboxHealth};
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
    /// How every flow and account is.
    Health,
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
        /// Only those that a list shows behind this one: when it was refused, and its id.
        #[serde(default)]
        after: Option<(Timestamp, String)>,
    },
    /// One dead letter.
    DeadLetter {
        /// Its id or the beginning of it.
        id: String,
    },
    /// Puts another message in the place of a dead letter's own.
    Edit {
        /// The dead letter's id.
        id: String,
        /// The message: `{ metadata, data }`, of the same record.
        message: Value,
    },
    /// Drops dead letters for good.
    Drop {
        /// Which ones.
        filter: LetterFilter,
    },
    /// Sends dead letters of one flow again, by the flow as it is now; refused while it runs.
    Replay {
        /// The flow's name.
        flow: String,
        /// Which ones.
        filter: LetterFilter,
        /// Whether those go too that newer messages overtook, or that were sent before.
        force: bool,
    },
    /// What a flow reads, as its state is bound to it.
    Source {
        /// The flow's name.
        flow: String,
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

impl Request {
    /// What it is about in a few words for a log: no key, no message, no secret.
    pub fn words(&self) -> String {
        match self {
            Self::Flows => "flows".to_owned(),
            Self::State { flow } => format!("state of {flow}"),
            Self::History { flow } => format!("history of {flow}"),
            Self::Export { flow, .. } => format!("export of {flow}"),
            Self::Change { flow, change } => format!("{} of {flow}", change.word()),
            Self::Accounts => "accounts".to_owned(),
            Self::Health => "health".to_owned(),
            Self::Resume { account } => format!("resume account {account}"),
            Self::DeadLetters { .. } => "dead letters".to_owned(),
            Self::DeadLetter { id } => format!("dead letter {id}"),
            Self::Edit { id, .. } => format!("edit dead letter {id}"),
            Self::Drop { .. } => "drop dead letters".to_owned(),
            Self::Replay { flow, .. } => format!("replay dead letters of {flow}"),
            Self::Source { flow } => format!("source of {flow}"),
            Self::Why { .. } => "why".to_owned(),
        }
    }
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
        /// Since when it runs only when somebody says so, if it is paused.
        #[serde(default)]
        paused: Option<Pause>,
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
    /// How every flow and account is.
    Health {
        /// The flows that have state, sorted by name.
        flows: Vec<FlowHealth>,
        /// The accounts that are not used as usual, sorted by name.
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
    /// A dead letter's message is another one now.
    Edited,
    /// Dead letters are gone.
    Dropped {
        /// How many.
        dropped: u64,
    },
    /// Dead letters were sent again, or not.
    Replayed {
        /// What became of each, oldest first; those before a failure too.
        outcomes: Vec<Outcome>,
        /// Why it ended early, if it did: what is not among the outcomes is as it was.
        error: Option<String>,
    },
    /// What a flow reads.
    Source {
        /// The fingerprint.
        source: String,
        /// Whether the trigger can be asked for what changed since a moment.
        by_time: bool,
    },
    /// What happened to one record, by flow; empty if nothing is known of it.
    Why {
        /// The flows that know something of it.
        timelines: Vec<Timeline>,
    },
}

/// Answers operators. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    store: Arc<dyn Store>,
    engine: Option<Arc<Engine>>,
    host: Option<Arc<dyn Host>>,
}

impl Handle {
    /// A handle on what a store keeps, which only reads it.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, engine: None, host: None }
    }

    /// A handle on what an engine keeps, which changes it too, never while a flow runs.
    pub fn of(engine: Arc<Engine>) -> Self {
        Self { store: engine.store().clone(), engine: Some(engine), host: None }
    }

    /// The same where flows can be had too: it sends dead letters again.
    #[must_use]
    pub fn with_flows(self, host: Arc<dyn Host>) -> Self {
        Self { host: Some(host), ..self }
    }

    fn engine(&self, flow: &str) -> Result<&Arc<Engine>> {
        let problem = "state is changed by what runs flows, and this only reads it";
        self.engine.as_ref().ok_or_else(|| Error::refused(flow, problem))
    }

    /// The flow of that name, compiled.
    async fn flow(&self, name: &str) -> Result<Arc<flow::Flow>> {
        let problem = "what sends needs the flow, and this only has what it remembers";
        let host = self.host.clone().ok_or_else(|| Error::refused(name, problem))?;
        let of = name.to_owned();
        let found = tokio::task::spawn_blocking(move || host.flow(&of)).await;
        found.unwrap_or_else(|error| Err(Error::refused(name, error.to_string())))
    }

    /// Answers one request.
    pub async fn ask(&self, request: Request) -> Result<Answer> {
        let of = |flow: &str| {
            let flow = flow.to_owned();
            move |error: store::Error| Error::store(&flow, &error)
        };
        let store = &*self.store;
        match request {
            Request::Flows => Ok(Answer::Flows { flows: store.flows().await.map_err(of("*"))? }),
            Request::State { flow } => state::show(store, &flow).await,
            Request::History { flow } => state::history(store, &flow).await,
            Request::Export { flow, at, seen } => state::export(store, &flow, at, seen).await,
            Request::Change { flow, change } => {
                state::change(self.engine(&flow)?, &flow, change).await
            }
            Request::Accounts => {
                let accounts = accounts::states(store).await.map_err(of("*"))?;
                Ok(Answer::Accounts { accounts })
            }
            Request::Health => {
                let flows = health::flows(store).await?;
                let accounts = accounts::states(store).await.map_err(of("*"))?;
                Ok(Answer::Health { flows, accounts })
            }
            Request::Resume { account } => {
                let was = accounts::resume(store, &account).await.map_err(of("*"))?;
                Ok(Answer::Resumed { was })
            }
            Request::DeadLetters { filter, limit, after } => {
                letters::list(store, filter, limit, after).await
            }
            Request::DeadLetter { id } => letters::show(store, &id).await,
            Request::Edit { id, message } => {
                self.engine("*")?.edit_letter(&id, &message).await?;
                Ok(Answer::Edited)
            }
            Request::Drop { filter } => {
                let dropped = self.engine("*")?.drop_letters(&filter).await?;
                Ok(Answer::Dropped { dropped })
            }
            Request::Replay { flow, filter, force } => self.replay(&flow, &filter, force).await,
            Request::Source { flow } => {
                let checked = self.flow(&flow).await?;
                let source = self.engine(&flow)?.source(&checked)?;
                let changes = checked.trigger.trigger.changes();
                let by_time = matches!(changes, Changes::Timestamps | Changes::Both);
                Ok(Answer::Source { source, by_time })
            }
            Request::Why { flow, record, limit } => {
                let timelines = why(store, flow.as_deref(), &record, limit).await?;
                Ok(Answer::Why { timelines })
            }
        }
    }

    async fn replay(&self, flow: &str, filter: &LetterFilter, force: bool) -> Result<Answer> {
        let engine = self.engine(flow)?;
        let checked = self.flow(flow).await?;
        // Whoever asks can go: what was sent by then is committed, and the rest as it was.
        let (_stopper, stop) = Stop::new(std::time::Duration::ZERO);
        let mut outcomes = vec![];
        let mut each = |outcome| outcomes.push(outcome);
        let done = engine.replay(&checked, filter, force, &stop, Arc::new(Silent), &mut each).await;
        match done {
            Err(error) if outcomes.is_empty() => Err(error),
            done => {
                let error = done.err().map(|error| error.to_string());
                Ok(Answer::Replayed { outcomes, error })
            }
        }
    }
}
