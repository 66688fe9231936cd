//! What operators ask: plain requests and answers, the same in process and over a wire.

use std::sync::Arc;

use connector::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Commit, Counts, Head, RunLine, SeenChange, Store};

use crate::{Error, Result, Snapshot};

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
    /// Goes on from the stored snapshot although the flow reads another source now.
    Keep {
        /// The flow's name.
        flow: String,
        /// The fingerprint of the new source.
        source: String,
    },
    /// Forgets the snapshot and what was seen: the next run reads and sends everything.
    Reset {
        /// The flow's name.
        flow: String,
        /// The fingerprint of the source.
        source: String,
    },
    /// The dead letters of one flow or of all, newest first.
    DeadLetters {
        /// The flow's name; absent is all.
        flow: Option<String>,
    },
    /// One dead letter.
    DeadLetter {
        /// Its id or the beginning of it.
        id: String,
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
    /// What a flow remembers; `None` if it never committed.
    State {
        /// The snapshot as stored.
        snapshot: Option<Value>,
        /// What became of its records so far.
        counts: Counts,
        /// Its last runs, newest first.
        runs: Vec<RunLine>,
    },
    /// Done.
    Done,
    /// Dead letters without their payloads.
    DeadLetters {
        /// Newest first.
        dead_letters: Vec<DeadLetterLine>,
    },
    /// One dead letter; `None` if there is none.
    DeadLetter {
        /// With its payload.
        dead_letter: Option<DeadLetter>,
    },
}

/// A dead letter in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterLine {
    /// 16 hexadecimal characters.
    pub id: String,
    /// The flow it belongs to.
    pub flow: String,
    /// The step that refused it; `None` if the trigger's mapping did.
    pub step: Option<String>,
    /// The stable code of the refusal.
    pub code: String,
    /// When it was refused.
    pub at: Timestamp,
}

/// A dead letter with everything that was kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// What a list shows of it.
    pub line: DeadLetterLine,
    /// The message's id.
    pub message_id: String,
    /// The record's key in its system.
    pub record_key: String,
    /// Why, in words.
    pub reason: String,
    /// The message and the results so far: `{ message, steps }`.
    pub payload: Value,
}

/// Answers operators. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<dyn Store>);

impl Handle {
    /// A handle on what a store keeps.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// Answers one request.
    pub async fn ask(&self, request: Request) -> Result<Answer> {
        let of = |flow: &str| {
            let flow = flow.to_owned();
            move |error: store::Error| Error::store(&flow, &error)
        };
        match request {
            Request::Flows => Ok(Answer::Flows { flows: self.0.flows().await.map_err(of("*"))? }),
            Request::State { flow } => {
                let head = self.0.head(&flow).await.map_err(of(&flow))?;
                let runs = self.0.runs(&flow).await.map_err(of(&flow))?;
                let counts = head.as_ref().map(|head| head.counts).unwrap_or_default();
                let snapshot = head.map(|head| serde_json::from_slice(&head.snapshot));
                let snapshot = snapshot.transpose().map_err(|error| Error::Snapshot {
                    flow,
                    problem: format!("the stored snapshot is not JSON: {error}"),
                })?;
                Ok(Answer::State { snapshot, counts, runs })
            }
            Request::Keep { flow, source } => {
                self.change(&flow, SeenChange::Append(vec![]), |head| {
                    let mut snapshot = Snapshot::read(&flow, &head.snapshot)?;
                    snapshot.source = source;
                    // A place inside a scan is one of the old source: the scan begins afresh, and
                    // what was seen keeps it from sending again.
                    for partition in snapshot.partitions.values_mut() {
                        partition.scan = None;
                    }
                    Ok(snapshot)
                })
                .await
            }
            Request::Reset { flow, source } => {
                self.change(&flow, SeenChange::Replace(vec![]), |head| {
                    // What cannot be read is what a reset gets rid of; a newer format is not.
                    let mut snapshot = match Snapshot::read(&flow, &head.snapshot) {
                        Ok(snapshot) => snapshot,
                        Err(error @ Error::NewerSnapshot { .. }) => return Err(error),
                        // No generation so far was higher than the commits that made them.
                        Err(_) => Snapshot { generation: head.sequence, ..Snapshot::default() },
                    };
                    snapshot.reset(source);
                    Ok(snapshot)
                })
                .await
            }
            Request::DeadLetters { flow } => {
                let name = flow.clone().unwrap_or_else(|| "*".to_owned());
                let found = self.0.dead_letters(flow.as_deref()).await.map_err(of(&name))?;
                let line = |it: store::DeadLetterSummary| DeadLetterLine {
                    id: it.id,
                    flow: it.flow,
                    step: it.step,
                    code: it.code,
                    at: Timestamp::from_millis(it.at),
                };
                Ok(Answer::DeadLetters { dead_letters: found.into_iter().map(line).collect() })
            }
            Request::DeadLetter { id } => {
                let found = self.0.dead_letter(&id).await.map_err(of("*"))?;
                let whole = |it: store::DeadLetter| DeadLetter {
                    // What is no JSON is shown as the text it is.
                    payload: serde_json::from_slice(&it.payload)
                        .unwrap_or_else(|_| String::from_utf8_lossy(&it.payload).into()),
                    message_id: it.message_id,
                    record_key: it.record_key,
                    reason: it.reason,
                    line: DeadLetterLine {
                        id: it.id,
                        flow: it.flow,
                        step: it.step,
                        code: it.code,
                        at: Timestamp::from_millis(it.at),
                    },
                };
                Ok(Answer::DeadLetter { dead_letter: found.map(whole) })
            }
        }
    }

    async fn change(
        &self,
        flow: &str,
        seen: SeenChange,
        change: impl FnOnce(&Head) -> Result<Snapshot> + Send,
    ) -> Result<Answer> {
        let failed = |error: store::Error| Error::store(flow, &error);
        let lease = self.0.lease(flow).await.map_err(failed)?;
        let Some(head) = lease.head else { return Ok(Answer::Done) };
        let snapshot = change(&head)?.write(flow)?;
        let commit = Commit { snapshot, seen, ..Commit::default() };
        self.0.commit(&lease.fence, head.sequence + 1, commit).await.map_err(failed)?;
        Ok(Answer::Done)
    }
}
