//! Ways of one message that stopped apart: each learns what the others are done with meanwhile, so
//! that the last one goes on where they meet.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use store::{LetterChange, LetterMark, ParkedChange};

use crate::age::Before;
use crate::run::Run;
use crate::settled::Settled;
use crate::{Error, Result};

impl Run {
    /// Adds to the changes of a commit that dead letters and waiting work of messages that went on
    /// keep the results that those have now. What changes anyway is left alone.
    pub(crate) async fn tell_others(
        &self,
        settled: &Settled,
        before: &HashMap<[u8; 8], Before>,
        parked: &mut Vec<ParkedChange>,
        letters: &mut Vec<LetterChange>,
    ) -> Result<()> {
        let flow = &self.context.flow;
        let meets = flow.steps.iter().any(|step| step.after.len() > 1);
        if settled.results.is_empty() || !meets {
            return Ok(());
        }
        let store = &self.context.store;
        let failed = |error: store::Error| Error::store(&flow.name, &error);
        let known = |change: &ParkedChange| match change {
            ParkedChange::Put(it) => it.id.clone(),
            ParkedChange::Done(id) => id.clone(),
        };
        let new = settled.parked.iter().map(|it| it.id.clone());
        let known: HashSet<String> = parked.iter().map(known).chain(new).collect();
        for (message, results) in &settled.results {
            for step in &flow.steps {
                let id = store::parked_id(&**store, message, &step.id);
                if known.contains(&id) {
                    continue;
                }
                let other = store.parked_one(&flow.name, &id).await.map_err(failed)?;
                let Some(mut other) = other else { continue };
                if let Some(payload) = with_results(&other.payload, results) {
                    other.payload = payload;
                    parked.push(ParkedChange::Put(other));
                }
            }
        }
        let keys: HashSet<[u8; 8]> = before.values().map(|it| it.key).collect();
        let keys: Vec<[u8; 8]> = keys.into_iter().collect();
        for (_, id) in store.letters_of(&flow.name, &keys).await.map_err(failed)? {
            if letters.iter().any(|own| own.id == id) {
                continue;
            }
            let letter = store.dead_letter(&id).await.map_err(failed)?;
            let Some(letter) = letter else { continue };
            let mut new = settled.dead_letters.iter();
            let is_new = new.any(|it| it.message_id == letter.message_id && it.step == letter.step);
            let results = settled.results.get(&*letter.message_id);
            let learned = results.and_then(|results| with_results(&letter.payload, results));
            if let Some(payload) = learned.filter(|_| !is_new) {
                letters.push(LetterChange { id, change: LetterMark::Learned { payload } });
            }
        }
        Ok(())
    }
}

/// What is kept of a message that goes no further by itself.
#[derive(Deserialize)]
pub(crate) struct Payload {
    pub(crate) message: Box<RawValue>,
    pub(crate) steps: BTreeMap<String, Value>,
}

impl Payload {
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The same with more results; `None` if it cannot be read.
fn with_results(payload: &[u8], results: &BTreeMap<String, Value>) -> Option<Vec<u8>> {
    let Payload { message, mut steps } = Payload::read(payload)?;
    steps.extend(results.iter().map(|(step, value)| (step.clone(), value.clone())));
    let steps = serde_json::to_string(&steps).ok()?;
    Some(format!(r#"{{"message":{},"steps":{steps}}}"#, message.get()).into_bytes())
}
