//! Maps a page's messages and takes them through the steps, until each is settled.

use std::collections::HashSet;
use std::sync::Arc;

use flow::message::{self, Scope, Unmappable};
use futures_util::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};
use mapping::Moment;
use serde_json::{Map, Value};
use store::NewDeadLetter;
use tokio::sync::OwnedSemaphorePermit;

use crate::batch::{self, Sent};
use crate::detect::Emitted;
use crate::run::Context;
use crate::way::{Ends, Way};
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
    seed: u64,
}

/// A message before a step, with the results of the steps before that.
struct Arrival {
    traveller: Arc<Traveller>,
    results: Arc<Value>,
}

/// What a step made of the messages that came to it; each by its place among them.
struct Taken {
    step: usize,
    fates: Vec<Fate>,
}

/// What a step made of one message.
enum Fate {
    Done(Value),
    Filtered,
    Refused(Unmappable),
}

/// A page on its way.
struct Page {
    context: Arc<Context>,
    now_ms: i64,
    messages: usize,
    settled: Settled,
    /// The messages that were refused somewhere, each once.
    refused: HashSet<Arc<str>>,
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
    let mut page =
        Page { context, now_ms, messages, settled: Settled::default(), refused: HashSet::new() };
    if emitted.is_empty() {
        return Ok(page.settled);
    }
    let travellers = page.map(emitted).await?;
    page.context.watch.at("engine.page.mapped");
    drop(unmapped);
    for round in rounds(travellers) {
        page.take_steps(round).await?;
    }
    Ok(page.settled)
}

/// Splits messages so that no round holds a key twice, keeping their order within each key.
fn rounds(mut travellers: Vec<Arc<Traveller>>) -> Vec<Vec<Arc<Traveller>>> {
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
    async fn map(&mut self, emitted: Vec<Emitted>) -> Result<Vec<Arc<Traveller>>> {
        let (context, now_ms) = (self.context.clone(), self.now_ms);
        let place = self.context.trigger_place.clone();
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
                        let message = message.into();
                        (Arc::new(Traveller { id, key, message, seed }), problem)
                    })
                    .collect::<Vec<_>>()
            })
            .await?;
        let mut travellers = Vec::with_capacity(mapped.len());
        for (traveller, problem) in mapped {
            match problem {
                None => travellers.push(traveller),
                Some(problem) => self.refuse(None, &traveller, &no_results(), problem)?,
            }
        }
        Ok(travellers)
    }

    /// Takes messages through all steps: each as soon as those that it waits for are done.
    async fn take_steps(&mut self, travellers: Vec<Arc<Traveller>>) -> Result<()> {
        let mut way = Way::new(self.context.flow.clone(), travellers.len());
        let allowed = allowed_rejects(&self.context.flow.max_rejects, self.messages);
        let mut running = FuturesUnordered::new();
        loop {
            while let Some(step) = way.next_step() {
                let arrived = way.arrive(step);
                let arrivals = arrived.iter().filter_map(|(at, results)| {
                    let traveller = travellers.get(*at)?.clone();
                    Some(Arrival { traveller, results: results.clone() })
                });
                let arrivals: Vec<_> = arrivals.collect();
                let (context, now_ms) = (self.context.clone(), self.now_ms);
                running.push(async move {
                    let taken = take_step(context, now_ms, allowed, step, arrivals).await;
                    taken.map(|taken| (taken, arrived))
                });
            }
            let Some((taken, arrived)) = running.try_next().await? else { break };
            for (fate, (at, results)) in taken.fates.into_iter().zip(arrived) {
                match fate {
                    Fate::Done(value) => way.done(taken.step, at, value),
                    Fate::Filtered => way.filtered(at),
                    Fate::Refused(problem) => {
                        way.refused(at);
                        let Some(traveller) = travellers.get(at) else { continue };
                        self.refuse(Some(taken.step), traveller, &results, problem)?;
                    }
                }
            }
            way.finished(taken.step);
            self.context.watch.at("engine.step.done");
        }
        let Ends { delivered, filtered, refused } = way.ends();
        if delivered + filtered + refused != travellers.len() as u64 {
            let problem = "a message was lost between two steps".to_owned();
            return Err(Error::Internal { place: self.place(None), problem });
        }
        self.settled.delivered += delivered;
        self.settled.filtered += filtered;
        Ok(())
    }

    fn place(&self, step: Option<usize>) -> Place {
        let of_step = step.and_then(|step| self.context.steps.get(step));
        of_step.map_or_else(|| self.context.trigger_place.clone(), |step| step.place.clone())
    }

    /// Makes a message a dead letter, unless so many are refused that something else is wrong.
    fn refuse(
        &mut self,
        step: Option<usize>,
        message: &Traveller,
        results: &Value,
        why: Unmappable,
    ) -> Result<()> {
        let place = self.place(step);
        self.context.watch.on(&Event::DeadLetter { place: &place, code: &why.code });
        let payload = format!(r#"{{"message":{},"steps":{}}}"#, message.message, results);
        self.settled.dead_letters.push(NewDeadLetter {
            message_id: message.id.to_string(),
            step: place.step,
            code: why.code,
            reason: why.reason,
            at: self.now_ms,
            payload: payload.into_bytes(),
            record_key: message.key.to_string(),
            ..NewDeadLetter::default()
        });
        self.refused.insert(message.id.clone());
        let rejected = self.refused.len();
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
fn allowed_rejects(limit: &flow::MaxRejects, messages: usize) -> usize {
    // A page's messages count in thousands: a float holds them exactly.
    let share = (limit.share.clamp(0.0, 1.0) * messages as f64).floor() as usize;
    share.max(limit.at_least)
}

fn no_results() -> Arc<Value> {
    Arc::new(Value::Object(Map::new()))
}

/// Takes messages through one step.
async fn take_step(
    context: Arc<Context>,
    now_ms: i64,
    allowed: usize,
    step: usize,
    arrivals: Vec<Arrival>,
) -> Result<Taken> {
    let mut fates = vec![];
    let mut ready = vec![];
    for (at, prepared) in prepare(&context, now_ms, step, arrivals).await?.into_iter().enumerate() {
        match prepared {
            Prepared::Item(item) => {
                ready.push((at, item));
                fates.push(Fate::Filtered);
            }
            Prepared::Filtered => fates.push(Fate::Filtered),
            Prepared::Refused(problem) => fates.push(Fate::Refused(problem)),
        }
    }
    context.watch.at("engine.step.mapped");
    let Some(taken) = context.steps.get(step) else { return Ok(Taken { step, fates }) };
    let size = taken.step.batch.get().min(taken.step.action.max_batch());
    let concurrency = taken.step.concurrency.map_or(usize::MAX, |limit| limit.get());
    let (places, items): (Vec<_>, Vec<_>) = ready.into_iter().unzip();
    let batches =
        items.chunks(size.max(1)).map(|items| batch::send(&context, taken, items, allowed));
    // Started here and not sooner: what is not yet asked for sends nothing.
    let mut answers = stream::iter(batches.collect::<Vec<_>>()).buffered(concurrency.min(64));
    let mut places = places.into_iter();
    while let Some(sent) = answers.try_next().await? {
        for (sent, at) in sent.into_iter().zip(places.by_ref()) {
            let fate = match sent {
                Sent::Done(value) => Fate::Done(value),
                Sent::Rejected { code, reason } => Fate::Refused(Unmappable::new(code, reason)),
            };
            if let Some(slot) = fates.get_mut(at) {
                *slot = fate;
            }
        }
    }
    Ok(Taken { step, fates })
}

/// What a step's condition and mapping made of a message.
enum Prepared {
    Item(connector::ErasedItem),
    Filtered,
    Refused(Unmappable),
}

/// Filters and maps messages for a step.
async fn prepare(
    context: &Arc<Context>,
    now_ms: i64,
    step: usize,
    arrivals: Vec<Arrival>,
) -> Result<Vec<Prepared>> {
    let Some(place) = context.steps.get(step).map(|step| step.place.clone()) else {
        return Ok(vec![]);
    };
    let (workers, context) = (context.workers.clone(), context.clone());
    let mapped = workers.run(&place, move || {
        let Some(taken) = context.steps.get(step) else { return vec![] };
        let common = message::variables(&context.flow, &taken.step.fields);
        let prepare = |Arrival { traveller, results }: Arrival| {
            let variables = common
                .clone()
                .with_text("trigger", traveller.message.clone())
                .with("steps", results);
            let moment = Moment { now_ms, seed: traveller.seed };
            let scope = Scope { variables: &variables, moment };
            match message::input(&taken.step, &traveller.message, &scope) {
                Ok(Some(input)) => {
                    let (id, key) = (traveller.id.clone(), traveller.key.clone());
                    Prepared::Item(connector::ErasedItem { id, key, input })
                }
                Ok(None) => Prepared::Filtered,
                Err(problem) => Prepared::Refused(problem),
            }
        };
        arrivals.into_iter().map(prepare).collect()
    });
    mapped.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_holds_each_key_once_and_keeps_their_order() {
        let traveller = |(index, key): (usize, &&str)| {
            let (id, key) = (index.to_string().into(), (*key).into());
            Arc::new(Traveller { id, key, message: "{}".into(), seed: 0 })
        };
        let keys = ["a", "b", "a", "c", "a"];
        let rounds = rounds(keys.iter().enumerate().map(traveller).collect());
        let ids = |round: &Vec<Arc<Traveller>>| round.iter().map(|t| &*t.id).collect::<String>();
        assert_eq!(rounds.iter().map(ids).collect::<Vec<_>>(), ["013", "2", "4"]);
    }

    #[test]
    fn a_fifth_of_a_page_and_at_least_twenty_may_be_refused() {
        let limit = flow::MaxRejects::default();
        assert_eq!([10, 100, 1000].map(|n| allowed_rejects(&limit, n)), [20, 20, 200]);
    }
}
