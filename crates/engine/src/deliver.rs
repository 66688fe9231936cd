//! Maps a page's messages and takes them through the steps, until each is settled.

use std::collections::HashSet;
use std::sync::Arc;

use flow::message::{self, Scope, Unmappable};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use mapping::Moment;
use serde_json::{Map, Value};
use store::NewDeadLetter;
use tokio::sync::OwnedSemaphorePermit;

use crate::batch::{self, Sent};
use crate::detect::Emitted;
use crate::run::Context;
use crate::{Error, Event, Place, Result};

/// What became of a page's messages.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) delivered: u64,
    pub(crate) filtered: u64,
    pub(crate) dead_letters: Vec<NewDeadLetter>,
}

/// A message on its way through the steps.
#[derive(Clone, Debug)]
struct Traveller {
    id: Arc<str>,
    key: Arc<str>,
    /// JSON text.
    message: Arc<str>,
    results: Arc<Value>,
    seed: u64,
}

/// A page on its way.
struct Page {
    context: Arc<Context>,
    now_ms: i64,
    messages: usize,
    settled: Settled,
}

/// Delivers a page's messages. An error leaves the whole page unsettled. `unmapped` is given back
/// once there are no raw records any more.
pub(crate) async fn page(
    context: Arc<Context>,
    emitted: Vec<Emitted>,
    unmapped: OwnedSemaphorePermit,
) -> Result<Settled> {
    let now_ms = context.clock.now().millis();
    let messages = emitted.len();
    let mut page = Page { context, now_ms, messages, settled: Settled::default() };
    if emitted.is_empty() {
        return Ok(page.settled);
    }
    let travellers = page.map(emitted).await?;
    drop(unmapped);
    for round in rounds(travellers) {
        page.take_steps(round).await?;
    }
    Ok(page.settled)
}

/// Splits messages so that no round holds a key twice, keeping their order within each key.
fn rounds(mut travellers: Vec<Traveller>) -> Vec<Vec<Traveller>> {
    let mut rounds = vec![];
    while !travellers.is_empty() {
        let mut keys = HashSet::new();
        let (round, rest) = travellers.into_iter().partition(|t| keys.insert(t.key.clone()));
        rounds.push(round);
        travellers = rest;
    }
    rounds
}

impl Page {
    /// Makes messages of the raw records; what cannot be mapped becomes a dead letter.
    async fn map(&mut self, emitted: Vec<Emitted>) -> Result<Vec<Traveller>> {
        let (context, now_ms) = (self.context.clone(), self.now_ms);
        let place = self.context.trigger_place.clone();
        let none: Arc<Value> = Arc::new(Value::Object(Map::new()));
        let workers = self.context.workers.clone();
        let mapped = workers
            .run(&place, move || {
                let trigger = &context.flow.trigger;
                let variables = message::variables(&context.flow, &trigger.fields);
                emitted
                    .into_iter()
                    .map(|Emitted { id, key, data, seed }| {
                        let scope =
                            Scope { variables: &variables, moment: Moment { now_ms, seed } };
                        let metadata = message::metadata(&key);
                        let mapped = message::message(trigger, &metadata, data.get(), &scope);
                        let (message, problem) = match mapped {
                            Ok(message) => (message, None),
                            Err(problem) => {
                                (message::unmapped(&metadata, data.get()), Some(problem))
                            }
                        };
                        let (message, results) = (message.into(), none.clone());
                        (Traveller { id, key, message, results, seed }, problem)
                    })
                    .collect::<Vec<_>>()
            })
            .await?;
        let mut travellers = Vec::with_capacity(mapped.len());
        for (traveller, problem) in mapped {
            match problem {
                None => travellers.push(traveller),
                Some(problem) => self.refuse(None, &traveller, problem)?,
            }
        }
        Ok(travellers)
    }

    async fn take_steps(&mut self, mut travellers: Vec<Traveller>) -> Result<()> {
        for step in 0..self.context.steps.len() {
            if travellers.is_empty() {
                return Ok(());
            }
            travellers = self.take_step(step, travellers).await?;
        }
        self.settled.delivered += travellers.len() as u64;
        Ok(())
    }

    /// Takes messages through one step; gives back those that go on.
    async fn take_step(
        &mut self,
        step: usize,
        travellers: Vec<Traveller>,
    ) -> Result<Vec<Traveller>> {
        let ready = self.prepare(step, travellers).await?;
        let context = self.context.clone();
        let Some(taken) = context.steps.get(step) else { return Ok(vec![]) };
        let size = taken.step.batch.get().min(taken.step.action.max_batch());
        let allowed = allowed_rejects(&context.flow.max_rejects, self.messages);
        let concurrency = taken.step.concurrency.map_or(usize::MAX, |limit| limit.get());
        let (travellers, items): (Vec<_>, Vec<_>) = ready.into_iter().unzip();
        let batches =
            items.chunks(size.max(1)).map(|items| batch::send(&context, taken, items, allowed));
        // Started here and not sooner: what is not yet asked for sends nothing.
        let mut answers = stream::iter(batches.collect::<Vec<_>>()).buffered(concurrency.min(64));
        let mut travellers = travellers.into_iter();
        let mut going_on = vec![];
        while let Some(sent) = answers.try_next().await? {
            for sent in sent {
                let Some(mut traveller) = travellers.next() else { break };
                match sent {
                    Sent::Done(value) => {
                        traveller.results = with_result(&traveller.results, &taken.step.id, value);
                        going_on.push(traveller);
                    }
                    Sent::Rejected { code, reason } => {
                        let problem = Unmappable { code, reason };
                        self.refuse(Some(step), &traveller, problem)?;
                    }
                }
            }
        }
        Ok(going_on)
    }

    /// Filters and maps messages for a step.
    async fn prepare(
        &mut self,
        step: usize,
        travellers: Vec<Traveller>,
    ) -> Result<Vec<(Traveller, connector::ErasedItem)>> {
        let (context, now_ms) = (self.context.clone(), self.now_ms);
        let place = self.place(Some(step));
        let workers = self.context.workers.clone();
        let mapped = workers
            .run(&place, move || {
                let Some(taken) = context.steps.get(step) else { return vec![] };
                let common = message::variables(&context.flow, &taken.step.fields);
                travellers
                    .into_iter()
                    .map(|traveller| {
                        let variables = common
                            .clone()
                            .with_text("trigger", traveller.message.clone())
                            .with("steps", traveller.results.clone());
                        let moment = Moment { now_ms, seed: traveller.seed };
                        let scope = Scope { variables: &variables, moment };
                        let input = message::input(&taken.step, &traveller.message, &scope);
                        (traveller, input)
                    })
                    .collect::<Vec<_>>()
            })
            .await?;
        let mut ready = Vec::with_capacity(mapped.len());
        for (traveller, input) in mapped {
            match input {
                Ok(Some(input)) => {
                    let (id, key) = (traveller.id.clone(), traveller.key.clone());
                    ready.push((traveller, connector::ErasedItem { id, key, input }));
                }
                Ok(None) => self.settled.filtered += 1,
                Err(problem) => self.refuse(Some(step), &traveller, problem)?,
            }
        }
        Ok(ready)
    }

    fn place(&self, step: Option<usize>) -> Place {
        let of_step = step.and_then(|step| self.context.steps.get(step));
        of_step.map_or_else(|| self.context.trigger_place.clone(), |step| step.place.clone())
    }

    /// Makes a message a dead letter, unless so many are refused that something else is wrong.
    fn refuse(&mut self, step: Option<usize>, message: &Traveller, why: Unmappable) -> Result<()> {
        let place = self.place(step);
        self.context.watch.on(&Event::DeadLetter { place: &place, code: &why.code });
        let payload = format!(r#"{{"message":{},"steps":{}}}"#, message.message, message.results);
        self.settled.dead_letters.push(NewDeadLetter {
            message_id: message.id.to_string(),
            step: place.step,
            code: why.code,
            reason: why.reason,
            at: self.now_ms,
            payload: payload.into_bytes(),
            record_key: message.key.to_string(),
        });
        let rejected = self.settled.dead_letters.len();
        if rejected > allowed_rejects(&self.context.flow.max_rejects, self.messages) {
            let first = self.settled.dead_letters.first();
            let code = first.map(|letter| letter.code.clone()).unwrap_or_default();
            let steps = || self.context.steps.iter().map(|step| &step.place);
            let first = first.and_then(|letter| steps().find(|place| place.step == letter.step));
            let place = first.unwrap_or(&self.context.trigger_place).clone();
            let messages = self.messages;
            return Err(Error::TooManyRejects { place, rejected, messages, code });
        }
        Ok(())
    }
}

/// How many messages of a page may be refused.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn allowed_rejects(limit: &flow::MaxRejects, messages: usize) -> usize {
    // A page's messages count in thousands: a float holds them exactly.
    let share = (limit.share.clamp(0.0, 1.0) * messages as f64).floor() as usize;
    share.max(limit.at_least)
}

fn with_result(results: &Value, step: &str, value: Value) -> Arc<Value> {
    let mut results = results.as_object().cloned().unwrap_or_default();
    results.insert(step.to_owned(), value);
    Arc::new(Value::Object(results))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_holds_each_key_once_and_keeps_their_order() {
        let traveller = |(index, key): (usize, &&str)| Traveller {
            id: index.to_string().into(),
            key: (*key).into(),
            message: "{}".into(),
            results: Arc::default(),
            seed: 0,
        };
        let keys = ["a", "b", "a", "c", "a"];
        let rounds = rounds(keys.iter().enumerate().map(traveller).collect());
        let ids = |round: &Vec<Traveller>| round.iter().map(|t| &*t.id).collect::<String>();
        assert_eq!(rounds.iter().map(ids).collect::<Vec<_>>(), ["013", "2", "4"]);
    }

    #[test]
    fn a_fifth_of_a_page_and_at_least_twenty_may_be_refused() {
        let limit = flow::MaxRejects::default();
        assert_eq!([10, 100, 1000].map(|n| allowed_rejects(&limit, n)), [20, 20, 200]);
    }
}
