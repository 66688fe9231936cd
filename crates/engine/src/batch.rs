//! Sends one batch, in as many calls as it takes.

use connector::{ErasedItem, Error as Call, Outcome, Timestamp};
use serde_json::Value;

use crate::retry::Tries;
use crate::run::{Context, StepContext};
use crate::{Error, Result};

/// What became of one message that was sent.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    Done { value: Value, target_key: Option<String> },
    Parked(HandedOver),
    Rejected { code: String, reason: String },
}

/// A message that its system finishes later; times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandedOver {
    pub(crate) token: String,
    pub(crate) since: i64,
    pub(crate) check_at: i64,
    pub(crate) deadline: i64,
}

/// Sends the messages of one batch; one answer a message, in order.
///
/// What the system did not take is sent again on its own. A batch that is too large, or refused
/// as a whole, is halved until the messages that are at fault stand alone; after more than
/// `allowed` of them the rest counts as refused too, since the page stops uncommitted anyway.
pub(crate) async fn send(
    context: &Context,
    step: &StepContext,
    items: &[ErasedItem],
    allowed: usize,
) -> Result<Vec<Sent>> {
    let mut sent: Vec<Option<Sent>> = vec![None; items.len()];
    // The positions still to be sent, in order; the last part is sent next.
    let mut parts: Vec<Vec<usize>> = vec![(0..items.len()).collect()];
    let mut alone = 0;
    while let Some(part) = parts.pop() {
        let mut open = part;
        let mut tries = Tries::new(step.step.retry, &step.place, &*context.clock, &*context.watch);
        while !open.is_empty() {
            let batch: Vec<ErasedItem> =
                open.iter().filter_map(|index| items.get(*index).cloned()).collect();
            context.watch.at("engine.batch.next");
            let answer = step.step.action.run(&step.api, &batch).await;
            context.watch.at("engine.batch.answered");
            let failed = match answer {
                Ok(outcomes) => {
                    let (left, failed) =
                        sort_out(outcomes.into_vec(), &open, context.clock.now(), &mut sent);
                    open = left;
                    failed
                }
                Err(Call::TooLarge { .. } | Call::Reject { .. }) if open.len() > 1 => {
                    let second = open.split_off(open.len() / 2);
                    parts.push(second);
                    parts.push(std::mem::take(&mut open));
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
                        open.extend(parts.drain(..).flatten());
                    }
                    set(&mut sent, &mut open, &Sent::Rejected { code, reason });
                    None
                }
                Err(error) => Some(error),
            };
            if let Some(error) = failed
                && let Err(error) = tries.again(error).await
            {
                return Err(Error::of_call(step.place.clone(), error, tries.made));
            }
        }
    }
    let whole: Option<Vec<Sent>> = sent.into_iter().collect();
    whole.ok_or_else(|| Error::Internal {
        place: step.place.clone(),
        problem: "a message of a batch was left without an outcome".to_owned(),
    })
}

fn set(sent: &mut [Option<Sent>], open: &mut Vec<usize>, outcome: &Sent) {
    for index in open.drain(..) {
        if let Some(slot) = sent.get_mut(index) {
            *slot = Some(outcome.clone());
        }
    }
}

/// Takes over the outcomes that are final; gives the positions to be sent again, and why.
///
/// Only idempotent actions get here, so an unknown outcome may be sent again.
fn sort_out(
    outcomes: Vec<Option<Outcome>>,
    open: &[usize],
    now: Timestamp,
    sent: &mut [Option<Sent>],
) -> (Vec<usize>, Option<Call>) {
    let mut left = vec![];
    let mut failed = None;
    let mut outcomes = outcomes.into_iter();
    for index in open {
        let outcome = match outcomes.next().flatten() {
            Some(Outcome::Done { value, target_key }) => Sent::Done { value, target_key },
            Some(Outcome::Rejected { code, reason }) => Sent::Rejected { code, reason },
            Some(Outcome::Retry { after, reason }) => {
                left.push(*index);
                let longest = match failed {
                    Some(Call::Retry { after: before, .. }) => after.max(before),
                    _ => after,
                };
                failed = Some(Call::Retry { reason, after: longest });
                continue;
            }
            Some(Outcome::Parked { token, check_after, deadline }) => Sent::Parked(HandedOver {
                token,
                since: now.millis(),
                check_at: now.plus(check_after).millis(),
                deadline: now.plus(deadline).millis(),
            }),
            None => {
                left.push(*index);
                let reason = "the system did not say what became of a message".to_owned();
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
