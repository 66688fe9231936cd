//! Requests whose sender waits: taken through the steps at once, with nothing kept.

use std::sync::Arc;
use std::time::Duration;

use connector::{Answers, Record, Timestamp};
use flow::Flow;
use serde_json::Value;

use super::door::{Called, Entrance, Turned};
use super::minutes::Became;
use crate::deliver;
use crate::detect::Emitted;
use crate::identity::{record_key, seed};
use crate::seen::UNVERSIONED;
use crate::step::Origin;
use crate::{Engine, Result};

impl Entrance {
    /// Takes a request through the steps, and answers with the last result or the fallback.
    ///
    /// Where the sender goes, or the time is over, what is under way is broken off: every step may
    /// be repeated, and nothing is kept that would have to be settled.
    pub(super) async fn answer(
        &self,
        records: Vec<Record>,
        answers: Answers,
    ) -> std::result::Result<Called, Turned> {
        let mut records = records.into_iter();
        let (Some(record), None) = (records.next(), records.next()) else {
            return Err(Turned::bad_request("a request that is answered has one record"));
        };
        let engine = &self.door.engine;
        let clock = engine.clock();
        let begun = clock.elapsed();
        let value = tokio::select! {
            biased;
            made = engine.made_of(&self.flow, record) => made,
            () = clock.sleep(answers.deadline) => Ok(Made::Late),
        };
        engine.keep_accounts().await;
        let took = clock.elapsed().saturating_sub(begun);
        let (became, value) = match value {
            Ok(Made::Value(value)) => (Became::Answered, Some(value)),
            Ok(Made::Filtered) => (Became::Filtered, None),
            Ok(Made::Refused { code }) => (Became::Failed(format!("refused with {code}")), None),
            Ok(Made::Late) => (Became::Failed("it took longer than it may".to_owned()), None),
            Err(error) => (Became::Failed(error.to_string()), None),
        };
        self.door.minutes.note(&self.flow.name, clock.now(), took, became).await;
        Ok(Called::Value(value.unwrap_or(answers.fallback)))
    }
}

/// What the steps made of a request.
enum Made {
    Value(Value),
    Filtered,
    Refused { code: String },
    Late,
}

impl Engine {
    async fn made_of(&self, flow: &Arc<Flow>, record: Record) -> Result<Made> {
        let context = Arc::new(self.answering(flow).await?);
        let store = &*context.store;
        let now = context.clock.now();
        // Nothing is remembered that another one would have to be told from.
        let nonce = (Arc::as_ptr(&context) as usize, context.clock.elapsed());
        let parts = [&record.key, &now.to_string(), &format!("{nonce:?}"), record.data.get()];
        let hash = store.keyed_hash("answered", &parts.map(str::as_bytes));
        let id: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let key = if record.key.is_empty() { id.clone() } else { record.key };
        let partition_key = record_key(store, "", &key);
        let (seed, deleted) = (seed(&id), false);
        let (id, key, data) = (id.into(), key.into(), record.data);
        let version = record.version.map_or(UNVERSIONED, Timestamp::millis);
        let emitted = Emitted { id, key, partition_key, data, seed, version, deleted };
        let unmapped = context.unmapped.page(&context.trigger_place).await?;
        let origin = Origin::Page { partition: "".into(), asked: 0 };
        let settled = deliver::page(context, origin, vec![emitted], unmapped).await?;
        if let Some(letter) = settled.dead_letters.into_iter().next() {
            return Ok(Made::Refused { code: letter.code });
        }
        if let Some(parked) = settled.parked.first() {
            let code = format!("{}.parked", parked.step);
            return Ok(Made::Refused { code });
        }
        // Of a graph's ends the one that stands last in the flow file.
        let mut results = settled.results.into_values().next().unwrap_or_default();
        let last = flow.steps.iter().rev().find_map(|step| results.remove(&step.id));
        Ok(last.map_or(Made::Filtered, Made::Value))
    }
}

/// How long it took, in whole milliseconds.
pub(super) fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
