//! Sends one batch, in as many calls as it takes.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use connector::{ErasedItem, Error as Call, Outcome, Outcomes, Timestamp, by_call};
use flow::{InDoubt, Retry};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::{Context, StepContext};
use crate::narrowing::{Failed, Narrowing, Part};
use crate::retry::Tries;
use crate::step::Arrival;
use crate::{Error, Event, Place, Result};

/// Why the outcome of a message that a call leaves out is unknown.
const UNSAID: &str = "the system did not say what became of a message";

/// A message that is about to be sent.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) item: ErasedItem,
    pub(crate) arrival: Arrival,
}

/// What became of one message that was sent.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    Done {
        value: Value,
        target_key: Option<String>,
    },
    Parked(HandedOver),
    Rejected {
        code: String,
        reason: String,
    },
    /// Its tries are exhausted, though it was sent alone at last; so many calls of its step had passed
    /// when it failed first.
    Exhausted {
        error: Error,
        since: u64,
    },
    /// It was begun at this time, and nobody knows whether the system took it.
    InDoubt {
        sent: Timestamp,
        reason: String,
    },
}

/// A message that its system finishes later; times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HandedOver {
    pub(crate) token: String,
    pub(crate) since: i64,
    pub(crate) check_at: i64,
    pub(crate) deadline: i64,
}

/// What became of the messages of a batch.
pub(crate) struct Answered {
    /// One a message, in order.
    pub(crate) sent: Vec<Sent>,
    /// A call that left all its messages in doubt: the batch is settled, but the run should not go
    /// on as if nothing was wrong.
    pub(crate) outage: Option<Error>,
}

/// What one call says about one of its messages.
pub(crate) enum Verdict {
    Done {
        value: Value,
        target_key: Option<String>,
    },
    Parked(HandedOver),
    Rejected {
        code: String,
        reason: String,
    },
    /// The system surely did not take it.
    NotTaken {
        reason: String,
        after: Option<Duration>,
    },
    /// Nobody knows whether the system took it.
    Unknown {
        reason: String,
    },
}

/// One call's answer, and when it was begun and answered.
struct CallAnswer {
    answer: Result<Outcomes, Call>,
    begun: Timestamp,
    answered: Timestamp,
}

/// Sends the messages of one batch: a call for those that may share one, one after another, so that
/// a kill leaves in doubt what was under way and nothing behind it.
///
/// What the system did not take is sent again on its own; so is what nobody knows about, where
/// that does no harm or the step asks for it. A batch that is too large, or refused as a whole, is
/// halved until the messages that are at fault stand alone; after more than `allowed` of them the
/// rest counts as refused too, since the page stops uncommitted anyway. One that exhausts its tries
/// is halved as well, where it may be repeated and parts of it pass.
pub(crate) async fn send(
    context: &Arc<Context>,
    step: usize,
    going: &[Outgoing],
    allowed: usize,
) -> Result<Answered> {
    let Some(taken) = context.steps.get(step) else { return Err(context.no_step()) };
    let holds = taken.is_journaled() && taken.step.in_doubt == InDoubt::Hold;
    let mut sent: Vec<Option<Sent>> = vec![None; going.len()];
    let mut outage = None;
    let shared = going.iter().map(|it| taken.step.action.shares(&it.item));
    let mut parts = Narrowing::new(by_call(shared));
    let mut first_failure: Option<(Error, u64)> = None;
    let mut alone = 0;
    while let Some(Part { places: mut open, once }) = parts.next() {
        let first = open.first().and_then(|index| going.get(*index));
        let salt = first.map_or_else(|| "".into(), |going| going.item.id.clone());
        let (clock, watch) = (&*context.clock, &*context.watch);
        let attempts = if once { NonZeroUsize::MIN } else { taken.step.retry.attempts };
        let retry = Retry { attempts, ..taken.step.retry };
        let mut tries = Tries::new(retry, &taken.place, &salt, clock, watch);
        while !open.is_empty() {
            let batch = open.iter().filter_map(|index| going.get(*index));
            let CallAnswer { answer, begun, answered } = if taken.is_journaled() {
                journaled(context, step, batch.cloned().collect()).await?
            } else {
                plain(context, taken, batch.map(|going| going.item.clone()).collect()).await
            };
            let messages = open.len();
            let took = answered.since(begun);
            watch.on(&Event::Called { place: &taken.place, messages, took });
            let failed = match answer {
                Ok(outcomes) => {
                    if let Some(reason) = outcomes.why_unanswered().filter(|_| holds) {
                        let error = unanswered(&taken.place, reason.to_owned());
                        ends(&mut outage, error, parts.is_empty())?;
                    }
                    let unknown = holds.then_some(begun);
                    let verdicts = verdicts_of(outcomes, answered);
                    let (left, failed) = sort_out(verdicts, &open, unknown, &mut sent);
                    open = left;
                    failed
                }
                Err(Call::Unknown { reason }) if holds => {
                    let error = unanswered(&taken.place, reason.clone());
                    ends(&mut outage, error, parts.is_empty())?;
                    set(&mut sent, &mut open, &Sent::InDoubt { sent: begun, reason });
                    None
                }
                Err(Call::TooLarge { .. } | Call::Reject { .. }) if open.len() > 1 => {
                    let second = open.split_off(open.len() / 2);
                    parts.first(second, once);
                    parts.first(std::mem::take(&mut open), once);
                    None
                }
                Err(Call::TooLarge { reason }) => {
                    let code = "tooLarge".to_owned();
                    set(&mut sent, &mut open, &Sent::Rejected { code, reason });
                    None
                }
                Err(Call::Reject { code, reason }) => {
                    alone += 1;
                    if alone > allowed {
                        open.extend(parts.drain());
                    }
                    set(&mut sent, &mut open, &Sent::Rejected { code, reason });
                    None
                }
                Err(error) => Some(error),
            };
            if open.len() < messages {
                parts.passed();
                context.exhausted.passed(step);
            }
            let Some(error) = failed else { continue };
            let Err(error) = tries.again(error).await else { continue };
            let narrows = !taken.is_journaled() && may_be_a_message(&error);
            let error = Error::of_call(taken.place.clone(), error, tries.made);
            if !narrows {
                return Err(error);
            }
            let failure = (error, context.exhausted.passes(step));
            let (error, since) = first_failure.get_or_insert(failure).clone();
            match parts.failed(std::mem::take(&mut open), once) {
                Failed::Narrowed => {}
                Failed::Sick => return Err(error),
                Failed::Alone(place) => {
                    set(&mut sent, &mut vec![place], &Sent::Exhausted { error, since });
                }
            }
        }
    }
    let whole: Option<Vec<Sent>> = sent.into_iter().collect();
    let sent = whole.ok_or_else(|| Error::Internal {
        place: taken.place.clone(),
        problem: "a message of a batch was left without an outcome".to_owned(),
    })?;
    Ok(Answered { sent, outage })
}

/// Whether a call may have failed because of one of its messages: where the system asks for a long
/// wait, or nothing was sent, it did not.
fn may_be_a_message(error: &Call) -> bool {
    match error {
        Call::Retry { after, .. } => after.is_none(),
        Call::Unknown { .. } => true,
        _ => false,
    }
}

/// One call of an action that may be repeated.
async fn plain(context: &Context, step: &StepContext, batch: Vec<ErasedItem>) -> CallAnswer {
    let begun = context.clock.now();
    context.watch.at("engine.batch.next");
    let mut answer = step.step.action.run(&step.api, &batch).await;
    if let Err(Call::Unauthorized { reason }) = &answer
        && step.step.action.held_once_refused()
        // Before the journal learns that nothing was taken: then it may be sent again.
        && !context.accounts.hold(step.api.account(), reason).await
    {
        let reason = format!("{reason}; the store did not take that it is held");
        answer = Err(Call::Unknown { reason });
    }
    context.watch.at("engine.batch.answered");
    CallAnswer { answer, begun, answered: context.clock.now() }
}

/// One call of an action that must not be repeated: it is written down before the request leaves,
/// and its answer before anybody learns of it. It is not broken off with its page.
async fn journaled(
    context: &Arc<Context>,
    step: usize,
    batch: Vec<Outgoing>,
) -> Result<CallAnswer> {
    let (own, place) = (context.clone(), context.place(step));
    let call = async move {
        let (Some(step), Some(journal)) = (own.steps.get(step), &own.journal) else {
            return Err(own.no_step());
        };
        own.watch.at("engine.intent.next");
        let id = journal.intend(step, own.clock.now(), &batch).await?;
        own.watch.at("engine.intent.kept");
        let items: Vec<ErasedItem> = batch.iter().map(|going| going.item.clone()).collect();
        let messages = items.len();
        let called = plain(&own, step, items).await;
        own.watch.at("engine.outcome.next");
        let keeps_refusals = step.step.action.held_once_refused();
        journal.answered(id, &verdicts(&called, messages), keeps_refusals).await?;
        own.watch.at("engine.outcome.kept");
        Ok(called)
    };
    context.calls.run(&place, call).await
}

/// A call of a step that holds what is in doubt, and got no answer.
fn unanswered(place: &Place, reason: String) -> Error {
    Error::of_call(place.clone(), Call::Unknown { reason }, 1)
}

/// Ends the page of a call without an answer: with what is sent by now, or where more was to come,
/// at once. The call is in the journal, and what is left of the batch waits for another run, lest one
/// call after another has no answer.
fn ends(outage: &mut Option<Error>, error: Error, is_last: bool) -> Result<()> {
    if !is_last {
        return Err(error);
    }
    outage.get_or_insert(error);
    Ok(())
}

/// What a call says about each of its messages.
fn verdicts(call: &CallAnswer, messages: usize) -> Vec<Verdict> {
    match &call.answer {
        Ok(outcomes) => verdicts_of(outcomes.clone(), call.answered),
        Err(Call::Unknown { reason }) => {
            (0..messages).map(|_| Verdict::Unknown { reason: reason.clone() }).collect()
        }
        Err(error) => {
            let not_taken = |_| Verdict::NotTaken { reason: error.to_string(), after: None };
            (0..messages).map(not_taken).collect()
        }
    }
}

fn verdicts_of(outcomes: Outcomes, answered: Timestamp) -> Vec<Verdict> {
    let unsaid = outcomes.why_unanswered().unwrap_or(UNSAID).to_owned();
    let outcomes = outcomes.into_vec().into_iter();
    outcomes.map(|outcome| verdict(outcome, &unsaid, answered)).collect()
}

fn verdict(outcome: Option<Outcome>, unsaid: &str, answered: Timestamp) -> Verdict {
    match outcome {
        Some(Outcome::Done { value, target_key }) => Verdict::Done { value, target_key },
        Some(Outcome::Rejected { code, reason }) => Verdict::Rejected { code, reason },
        Some(Outcome::Parked { token, check_after, deadline }) => Verdict::Parked(HandedOver {
            token,
            since: answered.millis(),
            check_at: answered.plus(check_after).millis(),
            deadline: answered.plus(deadline).millis(),
        }),
        Some(Outcome::Retry { reason, after }) => Verdict::NotTaken { reason, after },
        None => Verdict::Unknown { reason: unsaid.to_owned() },
    }
}

fn set(sent: &mut [Option<Sent>], open: &mut Vec<usize>, outcome: &Sent) {
    for index in open.drain(..) {
        if let Some(slot) = sent.get_mut(index) {
            *slot = Some(outcome.clone());
        }
    }
}

/// Takes over what is final; gives the positions to be sent again, and why. What nobody knows
/// about is final if it was begun at a time `in_doubt`.
fn sort_out(
    verdicts: Vec<Verdict>,
    open: &[usize],
    in_doubt: Option<Timestamp>,
    sent: &mut [Option<Sent>],
) -> (Vec<usize>, Option<Call>) {
    let mut left = vec![];
    let mut failed = None;
    let mut verdicts = verdicts.into_iter();
    for index in open {
        let unsaid = || Verdict::Unknown { reason: "the answer leaves it out".to_owned() };
        let outcome = match (verdicts.next().unwrap_or_else(unsaid), in_doubt) {
            (Verdict::Done { value, target_key }, _) => Sent::Done { value, target_key },
            (Verdict::Parked(handed_over), _) => Sent::Parked(handed_over),
            (Verdict::Rejected { code, reason }, _) => Sent::Rejected { code, reason },
            (Verdict::NotTaken { reason, after }, _) => {
                left.push(*index);
                let longest = match failed {
                    Some(Call::Retry { after: before, .. }) => after.max(before),
                    _ => after,
                };
                failed = Some(Call::Retry { reason, after: longest });
                continue;
            }
            (Verdict::Unknown { reason }, Some(sent)) => Sent::InDoubt { sent, reason },
            (Verdict::Unknown { reason }, None) => {
                left.push(*index);
                failed.get_or_insert(Call::Unknown { reason });
                continue;
            }
        };
        if let Some(slot) = sent.get_mut(*index) {
            *slot = Some(outcome);
        }
    }
    (left, failed)
}
