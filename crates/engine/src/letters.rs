//! Dead letters in the operator's hands: which are meant, and what is changed about them.

use std::collections::HashMap;

use connector::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use store::{
    Commit, DeadLetter, DeadLetterSummary, LetterChange, LetterMark, LetterState, Store, TrailBlock,
};

use crate::trail::{Trail, What};
use crate::{Engine, Error, Result, Snapshot};

/// A commit marks so many dead letters at most.
const MARKED_AT_ONCE: usize = 1_000;

/// What stands for the trigger where a step is named.
pub const TRIGGER: &str = "trigger";

/// Which dead letters are meant: those that fit everything that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LetterFilter {
    /// Ids, or beginnings of them; none is any.
    pub ids: Vec<String>,
    /// The flow's name.
    pub flow: Option<String>,
    /// The step that refused it; [`TRIGGER`] is the trigger's mapping.
    pub step: Option<String>,
    /// The stable code of the refusal.
    pub code: Option<String>,
    /// Refused then or later.
    pub since: Option<Timestamp>,
    /// Refused before that.
    pub until: Option<Timestamp>,
    /// The record's key in its system.
    pub key: Option<String>,
    /// Where it stands.
    pub state: Option<LetterState>,
}

impl LetterFilter {
    fn fits(&self, letter: &DeadLetterSummary) -> bool {
        let step = letter.step.as_deref().unwrap_or(TRIGGER);
        let at = Timestamp::from_millis(letter.at);
        self.flow.as_ref().is_none_or(|flow| *flow == letter.flow)
            && self.step.as_ref().is_none_or(|wanted| wanted == step)
            && self.code.as_ref().is_none_or(|code| *code == letter.code)
            && self.since.is_none_or(|since| since <= at)
            && self.until.is_none_or(|until| at < until)
            && self.state.is_none_or(|state| state == letter.state)
    }

    /// The dead letters that are meant, newest first: as many as there are.
    pub(crate) async fn select(&self, store: &dyn Store) -> Result<Vec<DeadLetterSummary>> {
        let mut found = vec![];
        self.visit(store, &mut |letter| found.push(letter)).await?;
        found.sort_by(DeadLetterSummary::newest_first);
        Ok(found)
    }

    /// Gives the dead letters that are meant, in no order that says anything; they are not all in
    /// memory at once.
    pub(crate) async fn visit(
        &self,
        store: &dyn Store,
        each: &mut (dyn FnMut(DeadLetterSummary) + Send),
    ) -> Result<()> {
        let flow = self.flow.as_deref();
        let failed = |error: store::Error| Error::store(flow.unwrap_or("*"), &error);
        let keys = self.keys(store).await?;
        let is_of_record = |letter: &DeadLetterSummary| {
            let of_flow = keys.as_ref().map(|keys| keys.get(&letter.flow));
            of_flow.is_none_or(|keys| keys.is_some_and(|it| it.contains(&letter.partition_key)))
        };
        // Letters of an older version do not have their record's key beside them.
        let mut unsure = vec![];
        let mut one = |letter: DeadLetterSummary| {
            if !self.fits(&letter) {
            } else if keys.is_some() && letter.partition_key == [0; 16] {
                unsure.push(letter);
            } else if is_of_record(&letter) {
                each(letter);
            }
            true
        };
        if self.ids.is_empty() {
            store.each_dead_letter(flow, &mut one).await.map_err(failed)?;
        }
        for id in &self.ids {
            let letter = store.dead_letter(id).await.map_err(failed)?;
            one(summary(letter.ok_or_else(|| Error::NoSuchLetter { id: id.clone() })?));
        }
        for letter in unsure {
            if is_about(store, &letter, &[], self.key.as_deref().unwrap_or_default()).await? {
                each(letter);
            }
        }
        Ok(())
    }

    /// The keys in the seen table of the record that is asked for, by flow.
    async fn keys(&self, store: &dyn Store) -> Result<Option<HashMap<String, Vec<[u8; 16]>>>> {
        let Some(key) = &self.key else { return Ok(None) };
        let flows = match &self.flow {
            Some(flow) => vec![flow.clone()],
            None => store.flows().await.map_err(|error| Error::store("*", &error))?,
        };
        let mut keys = HashMap::new();
        for flow in flows {
            let of_flow = record_keys(store, &flow, key).await?.into_values().collect();
            keys.insert(flow, of_flow);
        }
        Ok(Some(keys))
    }
}

/// Whether a dead letter is about a record whose keys in the seen table these are.
pub(crate) async fn is_about(
    store: &dyn Store,
    letter: &DeadLetterSummary,
    keys: &[[u8; 16]],
    record: &str,
) -> Result<bool> {
    if letter.partition_key != [0; 16] {
        return Ok(keys.contains(&letter.partition_key));
    }
    // Kept by a version that did not keep the key beside it.
    let whole = store.dead_letter(&letter.id).await;
    let whole = whole.map_err(|error| Error::store(&letter.flow, &error))?;
    Ok(whole.is_some_and(|whole| whole.record_key == record))
}

/// The keys in the seen table that a record would have, by partition.
pub(crate) async fn record_keys(
    store: &dyn Store,
    flow: &str,
    record: &str,
) -> Result<std::collections::BTreeMap<String, [u8; 16]>> {
    let head = store.head(flow).await.map_err(|error| Error::store(flow, &error))?;
    let mut partitions = vec![String::new()];
    if let Some(head) = head {
        partitions.extend(Snapshot::read(flow, &head.snapshot)?.partitions.into_keys());
    }
    let key = |partition: String| {
        let key = crate::identity::record_key(store, &partition, record);
        (partition, key)
    };
    Ok(partitions.into_iter().map(key).collect())
}

fn summary(letter: DeadLetter) -> DeadLetterSummary {
    DeadLetterSummary {
        id: letter.id,
        flow: letter.flow,
        step: letter.step,
        code: letter.code,
        at: letter.at,
        state: letter.state,
        attempts: letter.attempts,
        edited: letter.edited,
        partition_key: letter.partition_key,
    }
}

/// What a dead letter's payload holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Payload<'a> {
    /// The message, or for what the trigger's mapping refused the raw record.
    #[serde(borrow)]
    pub(crate) message: &'a RawValue,
    /// The results so far, by step.
    #[serde(borrow)]
    pub(crate) steps: &'a RawValue,
}

impl<'a> Payload<'a> {
    /// Reads the payload of a dead letter.
    pub(crate) fn read(flow: &str, id: &str, payload: &'a [u8]) -> Result<Self> {
        serde_json::from_slice(payload).map_err(|error| Error::Letter {
            flow: flow.to_owned(),
            id: id.to_owned(),
            problem: format!(
                "what was kept of its message cannot be read, at column {}",
                error.column()
            ),
        })
    }
}

impl Engine {
    /// Puts another message in the place of a dead letter's own: the next replay sends that.
    ///
    /// The message's id stays, and so must its record's key. `message` is `{ metadata, data }`.
    pub async fn edit_letter(&self, id: &str, message: &Value) -> Result<()> {
        let failed = |error: store::Error| Error::store("*", &error);
        let letter = self.store().dead_letter(id).await.map_err(failed)?;
        let letter = letter.ok_or_else(|| Error::NoSuchLetter { id: id.to_owned() })?;
        let DeadLetter { id, flow, step, message_id, partition_key, .. } = &letter;
        let refused =
            |problem: String| Error::Letter { flow: flow.clone(), id: id.clone(), problem };
        check(message, &letter.record_key).map_err(refused)?;
        let mut held = self.hold(flow).await?;
        let Some(held) = &mut held else { return Err(Error::NoSuchLetter { id: id.clone() }) };
        let steps = Payload::read(flow, id, &letter.payload)?.steps;
        let payload = format!(r#"{{"message":{message},"steps":{steps}}}"#).into_bytes();
        let at = self.clock().now().millis();
        let mut trail = Trail::default();
        trail.add(partition_key, message_id, What::Edited { step: step.as_deref(), letter: id });
        let change = LetterMark::Edited { payload, at };
        let letters = vec![LetterChange { id: id.clone(), change }];
        held.commit(Commit { letters, trail: block(&trail, at), ..Commit::default() }).await
    }

    /// Drops dead letters for good; how many there were. Some may be gone after an error.
    pub async fn drop_letters(&self, filter: &LetterFilter) -> Result<u64> {
        let mut found = filter.select(&**self.store()).await?;
        found.sort_by(|a, b| a.flow.cmp(&b.flow));
        let mut dropped = 0;
        for of_flow in found.chunk_by(|a, b| a.flow == b.flow) {
            let Some(flow) = of_flow.first().map(|letter| letter.flow.clone()) else { continue };
            let Some(mut held) = self.hold(&flow).await? else { continue };
            for letters in of_flow.chunks(MARKED_AT_ONCE) {
                let at = self.clock().now().millis();
                let mut trail = Trail::default();
                let mut changes = vec![];
                for DeadLetterSummary { id, step, .. } in letters {
                    let letter = self.store().dead_letter(id).await;
                    let letter = letter.map_err(|error| Error::store(&flow, &error))?;
                    let Some(letter) = letter else { continue };
                    let what = What::Dropped { step: step.as_deref(), letter: id };
                    trail.add(&letter.partition_key, &letter.message_id, what);
                    changes.push(LetterChange { id: id.clone(), change: LetterMark::Dropped });
                }
                dropped += changes.len() as u64;
                let trail = block(&trail, at);
                held.commit(Commit { letters: changes, trail, ..Commit::default() }).await?;
            }
        }
        Ok(dropped)
    }
}

/// The block of a trail for a commit at a time; the store fills the sequence in.
pub(crate) fn block(trail: &Trail, at: i64) -> Option<TrailBlock> {
    trail.to_bytes().map(|bytes| TrailBlock { sequence: 0, at, bytes })
}

/// Says what is wrong with a message that is to take a dead letter's place.
fn check(message: &Value, record_key: &str) -> Result<(), String> {
    let shape = "the message is to be an object with `metadata` and `data`, and nothing else";
    let object = message.as_object().ok_or(shape)?;
    if object.len() != 2 || !object.contains_key("data") {
        return Err(shape.to_owned());
    }
    let metadata = object.get("metadata").and_then(Value::as_object).ok_or(shape)?;
    match metadata.get("recordUid").and_then(Value::as_str) {
        Some(key) if key == record_key => Ok(()),
        // The key itself is the record's, and not shown.
        _ => Err("`metadata.recordUid` is not the record's key any more: leave it as it was, a \
                  message of another record is another message"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_edited_message_is_one_of_the_same_record() {
        let good = json!({ "metadata": { "recordUid": "279", "deleted": true }, "data": {} });
        assert_eq!(check(&good, "279"), Ok(()));
        assert!(check(&good, "280").unwrap_err().contains("recordUid"));
        for wrong in [
            json!([]),
            json!({ "data": {} }),
            json!({ "metadata": { "recordUid": "279" } }),
            json!({ "metadata": { "recordUid": "279" }, "data": {}, "more": 1 }),
            json!({ "metadata": "279", "data": {} }),
        ] {
            assert!(check(&wrong, "279").unwrap_err().contains("`metadata` and `data`"), "{wrong}");
        }
    }
}
