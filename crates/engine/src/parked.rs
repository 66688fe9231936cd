//! What systems finish later: asked after when it is time, until it is done, refused or too late.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use connector::{Error as Call, Outcome, Timestamp};
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use store::{NewDeadLetter, Parked, ParkedChange};

use crate::beside::Beside;
use crate::deliver;
use crate::resume::{Resume, Resumed};
use crate::run::{Context, Run, StepContext};
use crate::settled::Settled;
use crate::trail::{self, What};
use crate::{Error, Event, Result};

/// So many are asked after, and committed, together.
const TOGETHER: usize = 100;

/// So many questions are under way at once; the accounts' limits are beside that.
const AT_ONCE: usize = 8;

/// How long a question that failed waits at least until it is asked again, and at most.
const WAITS: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(3600)];

/// What a flow's messages wait for at remote systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// How many messages.
    pub messages: u64,
    /// When the first of them is asked after.
    pub next: Option<Timestamp>,
}

impl Unfinished {
    /// What is parked, by the time of the next question.
    pub fn of(parked: &[Parked]) -> Self {
        let next = parked.iter().map(|it| it.check_at).min();
        Self { messages: parked.len() as u64, next: next.map(Timestamp::from_millis) }
    }
}

/// What a system said of a message that it took.
enum Answer {
    Done {
        value: Value,
        target_key: Option<String>,
    },
    Refused {
        code: String,
        reason: String,
    },
    /// It is asked again, by this token.
    Later {
        token: String,
        after: Option<Duration>,
        problem: Option<Call>,
    },
}

impl Run {
    /// Asks after what is due, and takes further what is done. What cannot be asked after stays,
    /// at most until its deadline; an error is one of a step behind it, or of the store.
    pub(crate) async fn complete_parked(&mut self) -> Result<()> {
        let flow = self.context.flow.clone();
        let parked = self.context.store.parked(&flow.name).await;
        let parked = parked.map_err(|error| Error::store(&flow.name, &error))?;
        self.report.unfinished = Unfinished::of(&parked);
        let began = self.context.clock.now().millis();
        let mut all: BTreeMap<String, Parked> =
            parked.into_iter().map(|it| (it.id.clone(), it)).collect();
        let mut failed = Ok(());
        let mut overdue = HashSet::new();
        loop {
            let due = due(&all, began, &mut overdue);
            if due.is_empty() {
                return failed;
            }
            let context = self.context.clone();
            let asked = stream::iter(due)
                .map(|it| {
                    let context = context.clone();
                    async move {
                        let answer = ask(&context, &it).await;
                        (it, answer)
                    }
                })
                .buffered(AT_ONCE)
                .collect::<Vec<_>>();
            let asked = tokio::select! {
                biased;
                asked = asked => asked,
                () = self.stop.wait() => {
                    self.report.stopped = true;
                    return failed;
                }
            };
            let mut done = vec![];
            let mut beside = Beside::default();
            let now = self.context.clock.now();
            for (parked, answer) in asked {
                match answer {
                    Answer::Done { value, target_key } => done.push((parked, value, target_key)),
                    Answer::Refused { code, reason } => {
                        all.remove(&parked.id);
                        self.refuse_parked(&mut beside, parked, code, reason, now);
                    }
                    Answer::Later { problem, .. } if now.millis() >= parked.deadline => {
                        all.remove(&parked.id);
                        let reason = too_late(&parked, problem.as_ref());
                        let code = "deadline".to_owned();
                        self.refuse_parked(&mut beside, parked, code, reason, now);
                    }
                    Answer::Later { token, after, problem } => {
                        self.note(&parked, problem);
                        let mut later = Parked { token, ..parked };
                        later.check_at = again(&later, now, after).min(later.deadline);
                        all.insert(later.id.clone(), later.clone());
                        beside.parked.push(ParkedChange::Put(later));
                    }
                }
            }
            if !beside.parked.is_empty() {
                self.commit_beside(beside).await?;
                self.context.watch.at("engine.check.kept");
            }
            if !done.is_empty()
                && let Err(error) = self.take_further(&mut all, done).await
            {
                let ends = matches!(error, Error::Store { .. } | Error::Internal { .. });
                failed = Err(error);
                if ends {
                    return failed;
                }
            }
        }
    }

    /// Counts what waits at the end of a run.
    pub(crate) async fn count_waiting(&mut self) {
        if self.report.unfinished.messages == 0 && self.report.parked == 0 {
            return;
        }
        match self.context.store.parked(&self.context.flow.name).await {
            Ok(parked) => self.report.unfinished = Unfinished::of(&parked),
            Err(error) => {
                self.report.errors.push(Error::store(&self.context.flow.name, &error));
            }
        }
    }

    /// Runs what depends on steps that are done now, and commits that with them.
    async fn take_further(
        &mut self,
        all: &mut BTreeMap<String, Parked>,
        done: Vec<(Parked, Value, Option<String>)>,
    ) -> Result<()> {
        let now = self.context.clock.now();
        let mut resumed = vec![];
        for (parked, value, _) in &done {
            resumed.push(self.resumed(parked, value)?);
        }
        let settled = deliver::resume(self.context.clone(), now.millis(), resumed).await;
        let mut settled = match settled {
            Ok(settled) => settled,
            Err(error) => {
                let later = |parked: Parked| {
                    let check_at = again(&parked, now, None);
                    Parked { check_at, ..parked }
                };
                let later: Vec<_> = done.into_iter().map(|(parked, ..)| later(parked)).collect();
                all.extend(later.iter().map(|it| (it.id.clone(), it.clone())));
                let parked = later.into_iter().map(ParkedChange::Put).collect();
                self.commit_beside(Beside { parked, ..Beside::default() }).await?;
                return Err(error);
            }
        };
        self.context.watch.at("engine.parked.delivered");
        let mut changes = vec![];
        let mut since = HashMap::new();
        for (parked, value, target_key) in done {
            since.insert(trail::tag(&parked.message_id), parked.since);
            let (step, target_key) = (&*parked.step, target_key.as_deref());
            let what = What::Delivered { step, answer: &value, target_key };
            settled.trail.add(&parked.partition_key, &parked.message_id, what);
            all.remove(&parked.id);
            // What waits elsewhere for the same message learns what is done meanwhile.
            let results = settled.results.remove(&*parked.message_id);
            for other in all.values_mut().filter(|it| it.message_id == parked.message_id) {
                if let Some(results) = &results
                    && let Some(payload) = with_results(&other.payload, results)
                {
                    other.payload = payload;
                    changes.push(ParkedChange::Put(other.clone()));
                }
            }
            changes.push(ParkedChange::Done(parked.id));
        }
        self.commit_beside(Beside { settled, parked: changes, since, ..Beside::default() }).await?;
        self.context.watch.at("engine.parked.settled");
        Ok(())
    }

    fn resumed(&self, parked: &Parked, value: &Value) -> Result<Resumed> {
        let payload = Payload::read(&parked.payload).ok_or_else(|| Error::Internal {
            place: self.context.trigger_place.clone(),
            problem: format!("the message that waits as {} cannot be read", parked.id),
        })?;
        let mut results = payload.steps;
        results.insert(parked.step.clone(), value.clone());
        Ok(Resumed {
            id: parked.message_id.as_str().into(),
            key: parked.record_key.as_str().into(),
            partition_key: parked.partition_key,
            message: payload.message.get().into(),
            seed: seed(&parked.message_id),
            results,
            at: Resume::Behind(parked.step.clone()),
        })
    }

    /// Makes what waited a dead letter.
    fn refuse_parked(
        &self,
        beside: &mut Beside,
        parked: Parked,
        code: String,
        reason: String,
        now: Timestamp,
    ) {
        let place = step_of(&self.context, &parked.step).map(|step| &step.place);
        let place = place.unwrap_or(&self.context.trigger_place);
        self.context.watch.on(&Event::DeadLetter { place, code: &code });
        let what = What::Refused { step: Some(&parked.step), code: &code };
        let Settled { trail, dead_letters, .. } = &mut beside.settled;
        trail.add(&parked.partition_key, &parked.message_id, what);
        beside.parked.push(ParkedChange::Done(parked.id));
        dead_letters.push(NewDeadLetter {
            message_id: parked.message_id,
            step: Some(parked.step),
            code,
            reason,
            at: now.millis(),
            payload: parked.payload,
            record_key: parked.record_key,
            partition_key: parked.partition_key,
            ..NewDeadLetter::default()
        });
    }

    /// Tells of a question that failed; what somebody has to change is an error of the run.
    fn note(&mut self, parked: &Parked, problem: Option<Call>) {
        let Some(problem) = problem else { return };
        let step = step_of(&self.context, &parked.step);
        let place = step.map_or(&self.context.trigger_place, |step| &step.place).clone();
        let needs = matches!(problem, Call::Unauthorized { .. } | Call::Config { .. });
        if !needs {
            let (wait, reason) = (Duration::ZERO, problem.to_string());
            let event = Event::Retrying { place: &place, tries: 1, wait, reason: &reason };
            self.context.watch.on(&event);
            return;
        }
        let error = Error::of_call(place, problem, 1);
        let text = error.to_string();
        if self.report.errors.iter().all(|known| known.to_string() != text) {
            self.report.errors.push(error);
        }
    }
}

/// Those that are due, at most one a message: what one gives may be what the other waits for. What
/// was handed over in the future is too, once a run: a clock that was wrong must not keep it waiting.
fn due(all: &BTreeMap<String, Parked>, began: i64, overdue: &mut HashSet<String>) -> Vec<Parked> {
    let mut messages = HashSet::new();
    let due = all.values().filter(|it| {
        let is_overdue = it.since > began && !overdue.contains(&it.id);
        it.check_at.min(it.deadline) <= began || is_overdue
    });
    let due = due.filter(|it| messages.insert(&*it.message_id)).take(TOGETHER);
    let due: Vec<Parked> = due.cloned().collect();
    overdue.extend(due.iter().filter(|it| it.since > began).map(|it| it.id.clone()));
    due
}

async fn ask(context: &Arc<Context>, parked: &Parked) -> Answer {
    let later = |problem: Call| {
        let after = if let Call::Retry { after, .. } = &problem { *after } else { None };
        Answer::Later { token: parked.token.clone(), after, problem: Some(problem) }
    };
    let Some(step) = step_of(context, &parked.step) else {
        let reason = format!(
            "messages wait for the step \"{}\", which the flow has no more; bring it back, or \
             they become dead letters at their deadlines",
            parked.step
        );
        return later(Call::config(reason));
    };
    context.watch.at("engine.check.next");
    let answer = step.step.action.check(&step.api, &parked.token).await;
    context.watch.at("engine.check.answered");
    match answer {
        Ok(Outcome::Done { value, target_key }) => Answer::Done { value, target_key },
        Ok(Outcome::Rejected { code, reason }) | Err(Call::Reject { code, reason }) => {
            Answer::Refused { code, reason }
        }
        Ok(Outcome::Parked { token, check_after, .. }) => {
            Answer::Later { token, after: Some(check_after), problem: None }
        }
        Ok(Outcome::Retry { after, reason }) => later(Call::Retry { after, reason }),
        Err(problem) => later(problem),
    }
}

fn step_of<'a>(context: &'a Context, id: &str) -> Option<&'a StepContext> {
    context.steps.iter().find(|step| step.step.id == id)
}

/// When it is asked again. Without a time of the system's own the waits grow with the time that it
/// has been waiting already, which doubles them.
fn again(parked: &Parked, now: Timestamp, after: Option<Duration>) -> i64 {
    let [shortest, longest] = WAITS;
    let own = now.since(Timestamp::from_millis(parked.since)).clamp(shortest, longest);
    let wait = after.unwrap_or(own).max(Duration::from_secs(1));
    now.plus(wait).millis()
}

fn too_late(parked: &Parked, problem: Option<&Call>) -> String {
    let [since, deadline] = [parked.since, parked.deadline].map(Timestamp::from_millis);
    let last = match problem {
        None => "the system says that it is not done yet".to_owned(),
        Some(problem) => format!("the last question after it failed: {problem}"),
    };
    format!("handed over at {since} and not finished by {deadline}; {last}")
}

/// The seed of a message, which is part of its id.
fn seed(id: &str) -> u64 {
    let digits = id.get(4..20).unwrap_or_default();
    u64::from_str_radix(digits, 16).map_or(0, u64::swap_bytes)
}

/// What is kept of a message that goes no further by itself.
#[derive(Deserialize)]
struct Payload {
    message: Box<RawValue>,
    steps: BTreeMap<String, Value>,
}

impl Payload {
    fn read(bytes: &[u8]) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_messages_seed_is_read_from_its_id() {
        assert_eq!(seed("aabb0102030405060708ccddeeff0011"), 0x0807_0605_0403_0201);
        assert_eq!(seed("short"), 0);
    }

    #[test]
    fn waits_double_up_to_an_hour_and_follow_what_the_system_says() {
        let parked = Parked {
            id: String::new(),
            message_id: String::new(),
            step: String::new(),
            record_key: String::new(),
            partition_key: [0; 16],
            since: 0,
            check_at: 0,
            deadline: 0,
            token: String::new(),
            payload: vec![],
        };
        let wait = |now: i64, after: Option<u64>| {
            let now = Timestamp::from_secs(now);
            again(&parked, now, after.map(Duration::from_secs)) / 1000 - now.millis() / 1000
        };
        assert_eq!([3, 10, 60, 9000].map(|now| wait(now, None)), [10, 10, 60, 3600]);
        assert_eq!([0, 30].map(|after| wait(60, Some(after))), [1, 30]);
    }
}
