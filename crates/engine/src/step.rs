//! Takes messages through one step: condition, mapping, batches.

use std::sync::Arc;

use connector::ErasedItem;
use flow::InDoubt;
use flow::message::{self, Scope, Unmappable};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use mapping::Moment;
use serde_json::Value;

use crate::batch::{self, Answered, HandedOver, Outgoing, Sent};
use crate::context::{Context, StepContext};
use crate::echo::{self, Carried, Done, Met, Verdict};
use crate::exhausted;
use crate::journal::Known;
use crate::settled::in_doubt;
use crate::{Error, Result};

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
    pub(crate) origin: Origin,
    /// The version of its record, as the seen entry has it.
    pub(crate) version: i64,
    /// Whether it is of a record that is gone.
    pub(crate) deleted: bool,
}

/// Where a message comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A page of a partition: it may come again as long as that is not committed.
    Page {
        /// The partition.
        partition: Arc<str>,
        /// When the system was asked for it, among the moments of the process.
        asked: u64,
    },
    /// It was on its way before. Where it begins at a step, somebody asked that it be sent there.
    Resumed { begins: Option<usize> },
}

impl Origin {
    pub(crate) const fn is_resumed(&self) -> bool {
        matches!(self, Self::Resumed { .. })
    }

    fn begins_at(&self, step: usize) -> bool {
        matches!(self, Self::Resumed { begins } if *begins == Some(step))
    }
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
    /// What other flows will read back.
    pub(crate) carried: Vec<Carried>,
    /// What other flows had written of its records.
    pub(crate) met: Vec<Met>,
    /// A call that left all its messages in doubt.
    pub(crate) outage: Option<Error>,
}

/// What a step made of one message.
pub(crate) enum Fate {
    Done {
        value: Value,
        target_key: Option<String>,
    },
    Filtered,
    /// Another flow wrote it: the system has it.
    Echoed,
    /// The system has a newer change of the same record.
    Overruled,
    Parked(HandedOver),
    Refused(Unmappable),
    /// It was refused, and its dead letter is committed already.
    RefusedBefore,
}

/// Takes messages through one step; after more than `allowed` refusals of the system the rest
/// counts as refused too.
///
/// What the journal knows of a message is its fate: nothing is mapped or sent of it. What another
/// flow wrote is not sent back.
pub(crate) async fn take(
    context: Arc<Context>,
    allowed: usize,
    step: usize,
    arrivals: Vec<Arrival>,
) -> Result<Taken> {
    let Some(taken) = context.steps.get(step) else { return Err(context.no_step()) };
    let fate = |arrival: &Arrival| known(&context, step, taken, &arrival.traveller);
    let mut fates: Vec<Option<Fate>> = arrivals.iter().map(fate).collect();
    let ids: Vec<Arc<str>> = arrivals.iter().map(|it| it.traveller.id.clone()).collect();
    let unknown = arrivals.into_iter().zip(&fates).enumerate();
    let unknown = unknown.filter(|(_, (_, fate))| fate.is_none());
    let (places, arrivals): (Vec<_>, Vec<_>) =
        unknown.map(|(at, (arrival, _))| (at, arrival)).unzip();
    let mut set = |at: usize, fate: Fate| {
        if let Some(slot) = fates.get_mut(at) {
            *slot = Some(fate);
        }
    };
    let mut ready = vec![];
    for (prepared, at) in prepare(&context, step, arrivals).await?.into_iter().zip(places) {
        match prepared {
            Prepared::Item(item) => match refused_before(&context, taken, &item) {
                Some(problem) => set(at, Fate::Refused(problem)),
                None => ready.push((at, *item)),
            },
            Prepared::Filtered => set(at, Fate::Filtered),
            Prepared::Refused(problem) => set(at, Fate::Refused(problem)),
        }
    }
    context.watch.at("engine.step.mapped");
    let mut met = vec![];
    let mut sending = vec![];
    let meetings = echo::meet(&context, step, &ready).await?;
    for (going, own) in ready.into_iter().zip(meetings) {
        match own.map(|met| met.verdict) {
            Some(Verdict::Echo) => set(going.0, Fate::Echoed),
            Some(Verdict::Loses) => set(going.0, Fate::Overruled),
            Some(Verdict::Later | Verdict::Wins) | None => sending.push(going),
        }
        met.extend(own);
    }
    let size = taken.step.batch.get().min(taken.step.action.max_batch());
    let concurrency = taken.step.concurrency.map_or(usize::MAX, |limit| limit.get());
    let (places, going): (Vec<_>, Vec<_>) = sending.into_iter().unzip();
    let batches =
        going.chunks(size.max(1)).map(|going| batch::send(&context, step, going, allowed));
    // Started here and not sooner: what is not yet asked for sends nothing.
    let mut answers = stream::iter(batches.collect::<Vec<_>>()).buffered(concurrency.min(64));
    let mut places = places.into_iter().zip(&going);
    let is_read_back =
        !going.is_empty() && !context.ways.back(&context.flow, step).await.is_empty();
    let mut done = vec![];
    let mut first_outage = None;
    let mut exhausted: Vec<(usize, Error, u64)> = vec![];
    let mut passes = 0;
    while let Some(Answered { sent, outage }) = answers.try_next().await? {
        first_outage = first_outage.or(outage);
        for (sent, (at, going)) in sent.into_iter().zip(places.by_ref()) {
            let fate = match sent {
                Sent::Done { value, target_key } => {
                    if let Some(target_key) = target_key.as_ref().filter(|_| is_read_back) {
                        done.push(Done {
                            traveller: going.arrival.traveller.clone(),
                            input: going.item.input.clone(),
                            value: value.clone(),
                            target_key: target_key.clone(),
                        });
                    }
                    Fate::Done { value, target_key }
                }
                Sent::Parked(handed_over) => Fate::Parked(handed_over),
                Sent::Rejected { code, reason } => Fate::Refused(Unmappable::new(code, reason)),
                Sent::Exhausted { error, since } => {
                    // Two with nothing between them that passed: it is the system that is sick.
                    let passed = context.exhausted.passes(step);
                    if let Some((_, first, _)) = exhausted.first()
                        && passed == passes
                    {
                        return Err(first.clone());
                    }
                    passes = passed;
                    exhausted.push((at, error, since));
                    continue;
                }
                Sent::InDoubt { sent, reason } => {
                    Fate::Refused(in_doubt(Some(taken), sent, Some(&reason)))
                }
            };
            set(at, fate);
        }
    }
    let mut first_error = None;
    for (at, error, since) in exhausted {
        let message = ids.get(at).map(|id| &**id).unwrap_or_default();
        let proven = context.exhausted.passes(step) > since;
        if proven && context.is_exhausted(taken, message).await? {
            let reason =
                format!("its tries are exhausted, run after run, while others pass: {error}");
            set(at, Fate::Refused(Unmappable::new(exhausted::CODE, reason)));
        } else {
            first_error.get_or_insert(error);
        }
    }
    if let Some(error) = first_error {
        return Err(error);
    }
    let fates: Option<Vec<Fate>> = fates.into_iter().collect();
    let fates = fates.ok_or_else(|| Error::Internal {
        place: taken.place.clone(),
        problem: "a message was left without a fate".to_owned(),
    })?;
    let carried = echo::carried(&context, step, done).await?;
    Ok(Taken { step, fates, carried, met, outage: first_outage })
}

/// What became of a message at a step before, if that settles it.
fn known(context: &Context, step: usize, taken: &StepContext, message: &Traveller) -> Option<Fate> {
    let journal = context.journal.as_ref().filter(|_| taken.is_journaled())?;
    match journal.known(&taken.step.id, message)? {
        Known::Done { value, target_key } => Some(Fate::Done { value, target_key }),
        Known::Parked(handed_over) => Some(Fate::Parked(handed_over)),
        Known::InDoubt { .. } if taken.step.in_doubt == InDoubt::Resend => None,
        Known::InDoubt { sent, reason } => {
            Some(Fate::Refused(in_doubt(Some(taken), sent, reason.as_deref())))
        }
        // Whoever replays it knows that it may arrive twice.
        Known::Held if message.origin.begins_at(step) => None,
        Known::Held => Some(Fate::RefusedBefore),
    }
}

/// Why a message was refused as it is, by a system that wants nothing again that it refused: its page
/// failed for another one since.
fn refused_before(context: &Context, taken: &StepContext, going: &Outgoing) -> Option<Unmappable> {
    let journal = context.journal.as_ref().filter(|_| taken.step.action.held_once_refused())?;
    let input = taken.step.action.show(&going.item.input).ok()?;
    let (code, reason) = journal.refused(&taken.step.id, &going.arrival.traveller, &input)?;
    Some(Unmappable::new(code, reason))
}

/// What a step's condition and mapping made of a message.
enum Prepared {
    Item(Box<Outgoing>),
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
        return Err(context.no_step());
    };
    let (workers, context) = (context.workers.clone(), context.clone());
    let mapped = workers.run(&place, move || {
        let Some(taken) = context.steps.get(step) else { return vec![] };
        let common = message::variables(&context.flow, &taken.step.fields);
        let prepare = |arrival: Arrival| {
            let traveller = &arrival.traveller;
            if !taken.step.takes.takes(traveller.deleted) {
                return Prepared::Filtered;
            }
            let variables = common
                .clone()
                .with_text("trigger", traveller.message.clone())
                .with("steps", arrival.results.clone());
            let scope = Scope { variables: &variables, moment: traveller.moment };
            match message::input(&taken.step, &traveller.message, &scope) {
                Ok(Some(input)) => {
                    let (id, key) = (traveller.id.clone(), traveller.key.clone());
                    let item = ErasedItem { id, key, input };
                    Prepared::Item(Box::new(Outgoing { item, arrival }))
                }
                Ok(None) => Prepared::Filtered,
                Err(problem) => Prepared::Refused(problem),
            }
        };
        arrivals.into_iter().map(prepare).collect()
    });
    mapped.await
}
