//! Takes messages through one step: condition, mapping, batches.

use std::sync::Arc;

use connector::ErasedItem;
use flow::message::{self, Scope, Unmappable};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use mapping::Moment;
use serde_json::Value;

use crate::Result;
use crate::batch::{self, HandedOver, Sent};
use crate::run::Context;

/// A message on its way through the steps.
#[derive(Clone, Debug)]
pub(crate) struct Traveller {
    pub(crate) id: Arc<str>,
    pub(crate) key: Arc<str>,
    /// The key of the record's seen entry.
    pub(crate) partition_key: [u8; 16],
    /// JSON text.
    pub(crate) message: Arc<str>,
    /// What `$now()` and `$random()` give.
    pub(crate) moment: Moment,
}

impl Traveller {
    /// What is kept of a message that goes no further by itself, with the results so far.
    pub(crate) fn payload(&self, results: &Value) -> Vec<u8> {
        format!(r#"{{"message":{},"steps":{results}}}"#, self.message).into_bytes()
    }
}

/// A message before a step, with the results of the steps before that.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) traveller: Arc<Traveller>,
    pub(crate) results: Arc<Value>,
}

/// What a step made of the messages that came to it; each by its place among them.
pub(crate) struct Taken {
    pub(crate) step: usize,
    pub(crate) fates: Vec<Fate>,
}

/// What a step made of one message.
pub(crate) enum Fate {
    Done { value: Value, target_key: Option<String> },
    Filtered,
    Parked(HandedOver),
    Refused(Unmappable),
}

/// Takes messages through one step; after more than `allowed` refusals of the system the rest
/// counts as refused too.
pub(crate) async fn take(
    context: Arc<Context>,
    allowed: usize,
    step: usize,
    arrivals: Vec<Arrival>,
) -> Result<Taken> {
    let mut fates = vec![];
    let mut ready = vec![];
    for (at, prepared) in prepare(&context, step, arrivals).await?.into_iter().enumerate() {
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
                Sent::Done { value, target_key } => Fate::Done { value, target_key },
                Sent::Parked(handed_over) => Fate::Parked(handed_over),
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
    Item(ErasedItem),
    Filtered,
    Refused(Unmappable),
}

/// Filters and maps messages for a step.
async fn prepare(
    context: &Arc<Context>,
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
            let scope = Scope { variables: &variables, moment: traveller.moment };
            match message::input(&taken.step, &traveller.message, &scope) {
                Ok(Some(input)) => {
                    let (id, key) = (traveller.id.clone(), traveller.key.clone());
                    Prepared::Item(ErasedItem { id, key, input })
                }
                Ok(None) => Prepared::Filtered,
                Err(problem) => Prepared::Refused(problem),
            }
        };
        arrivals.into_iter().map(prepare).collect()
    });
    mapped.await
}
