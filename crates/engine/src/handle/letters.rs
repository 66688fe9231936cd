//! Dead letters as operators get them.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use connector::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{DeadLetterSummary, LetterState, Store};

use super::Answer;
use crate::{Error, LetterFilter, Result};

/// A dead letter in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// When it was refused last.
    pub at: Timestamp,
    /// Where it stands.
    pub state: LetterState,
    /// How often it was refused.
    pub tries: usize,
    /// When somebody edited its message.
    pub edited: Option<Timestamp>,
}

/// A dead letter with everything that was kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// When it was refused, each time; of very many the first one and the last.
    pub attempts: Vec<Timestamp>,
    /// The message and the results so far: `{ message, steps }`.
    pub payload: Value,
}

impl From<DeadLetterSummary> for DeadLetterLine {
    fn from(it: DeadLetterSummary) -> Self {
        Self {
            id: it.id,
            flow: it.flow,
            step: it.step,
            code: it.code,
            at: Timestamp::from_millis(it.at),
            state: it.state,
            tries: it.attempts.len(),
            edited: it.edited.map(Timestamp::from_millis),
        }
    }
}

impl From<store::DeadLetter> for DeadLetter {
    fn from(it: store::DeadLetter) -> Self {
        Self {
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
                state: it.state,
                tries: it.attempts.len(),
                edited: it.edited.map(Timestamp::from_millis),
            },
            attempts: it.attempts.into_iter().map(Timestamp::from_millis).collect(),
        }
    }
}

pub(super) async fn list(
    store: &dyn Store,
    filter: LetterFilter,
    limit: Option<usize>,
    after: Option<(Timestamp, String)>,
) -> Result<Answer> {
    let is_behind = |letter: &DeadLetterSummary| {
        after.as_ref().is_none_or(|(at, id)| {
            at.millis().cmp(&letter.at).then_with(|| letter.id.cmp(id)).is_gt()
        })
    };
    let (state, limit) = (filter.state, limit.unwrap_or(usize::MAX));
    let (mut listed, mut more, mut others) = (BinaryHeap::new(), 0, 0);
    let mut each = |letter: DeadLetterSummary| {
        if state.is_some_and(|state| letter.state != state) {
            others += 1;
            return;
        }
        if !is_behind(&letter) {
            return;
        }
        listed.push(Newest(letter));
        if listed.len() > limit {
            // The oldest of them.
            drop(listed.pop());
            more += 1;
        }
    };
    LetterFilter { state: None, ..filter }.visit(store, &mut each).await?;
    let dead_letters = listed.into_sorted_vec().into_iter().map(|it| it.0.into()).collect();
    Ok(Answer::DeadLetters { dead_letters, more, others })
}

/// A dead letter in the order of a list.
struct Newest(DeadLetterSummary);

impl Ord for Newest {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.newest_first(&other.0)
    }
}

impl PartialOrd for Newest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Newest {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Newest {}

pub(super) async fn show(store: &dyn Store, id: &str) -> Result<Answer> {
    let found = store.dead_letter(id).await.map_err(|error| Error::store("*", &error))?;
    Ok(Answer::DeadLetter { dead_letter: found.map(DeadLetter::from) })
}
