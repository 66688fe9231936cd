//! What the journal says of one record, for who asks what became of it.

use std::collections::BTreeMap;

use connector::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Store;

use super::block::{Block, State};
use crate::{Error, Result};

/// A message of a record that was given to a system which must not get it twice, while no commit
/// has settled that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The step.
    pub step: String,
    /// When the call was begun.
    pub sent: Timestamp,
    /// The first half of the message's id.
    pub message: String,
    /// What is known of it.
    #[serde(flatten)]
    pub answer: IntentAnswer,
}

/// What is known of a message in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "answer")]
pub enum IntentAnswer {
    /// No answer is written down: it is in doubt, unless a run is waiting for it right now.
    None {
        /// What came in place of an answer, if something did.
        reason: Option<String>,
    },
    /// The system took it.
    Done,
    /// The system took it and finishes later.
    Parked,
}

/// Gives what the journal has about a record, oldest first, with the record's key. The record is
/// known by its keys in the seen table, or by its own key.
pub(crate) async fn of_record(
    store: &dyn Store,
    flow: &str,
    keys: &[[u8; 16]],
    record: Option<&str>,
) -> Result<Vec<(String, Intent)>> {
    let entries = store.journaled(flow).await.map_err(|error| Error::store(flow, &error))?;
    // After a crash two entries may say the same: what is still to be settled counts.
    let mut found: BTreeMap<(String, String), (u8, String, Intent)> = BTreeMap::new();
    for entry in entries {
        let Some(block) = Block::read(flow, &entry)? else { continue };
        for item in block.items {
            if !keys.contains(&item.partition_key) && record != Some(&*item.key) {
                continue;
            }
            let weight = item.state.weight();
            let answer = match item.state {
                State::Open { reason } => IntentAnswer::None { reason },
                State::Done { .. } => IntentAnswer::Done,
                State::Parked(_) => IntentAnswer::Parked,
                // Its dead letter tells of it, or will.
                State::Held | State::Refused { .. } => continue,
            };
            let message = item.id.chars().take(16).collect();
            let sent = Timestamp::from_millis(block.sent);
            let intent = Intent { step: block.step.clone(), sent, message, answer };
            let place = (item.id, block.step.clone());
            if found.get(&place).is_none_or(|(known, ..)| *known < weight) {
                found.insert(place, (weight, item.key, intent));
            }
        }
    }
    let mut found: Vec<_> = found.into_values().map(|(_, key, intent)| (key, intent)).collect();
    found.sort_by_key(|(_, intent)| intent.sent);
    Ok(found)
}

/// Counts the messages without an answer, and says when the first of them was sent.
pub(crate) async fn unanswered(store: &dyn Store, flow: &str) -> Result<(u64, Option<Timestamp>)> {
    let entries = store.journaled(flow).await.map_err(|error| Error::store(flow, &error))?;
    let (mut count, mut first) = (0, None);
    for entry in entries {
        let Some(block) = Block::read(flow, &entry)? else { continue };
        let open = block.items.iter().filter(|item| item.state.is_open()).count() as u64;
        if open > 0 {
            let sent = Timestamp::from_millis(block.sent);
            count += open;
            first = Some(first.map_or(sent, |first: Timestamp| first.min(sent)));
        }
    }
    Ok((count, first))
}
