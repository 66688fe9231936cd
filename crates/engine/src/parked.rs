//! What systems finish later: asked after when it is time, until it is done, refused or too late.

use std::sync::Arc;
use std::time::Duration;

use connector::{Error as Call, Outcome, Timestamp};
use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use store::{NewDeadLetter, Parked, ParkedChange, Store};

use crate::age::{self, Before};
use crate::beside::Beside;
use crate::context::{Context, StepContext};
use crate::deliver;
use crate::due::{AllDue, Due, Noted, again, is_due};
use crate::identity::seed;
use crate::learned::Payload;
use crate::resume::{Resume, Resumed};
use crate::run::Run;
use crate::settled::Settled;
use crate::trail::What;
use crate::{Error, Event, Result};

/// So many questions are under way at once; the accounts' limits are beside that.
const AT_ONCE: usize = 8;

/// What a flow's messages wait for at remote systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// How many messages.
    pub messages: u64,
    /// When the first of them is asked after.
    pub next: Option<Timestamp>,
}

impl Unfinished {
    /// Counts what the messages of a flow wait for.
    pub async fn read(store: &dyn Store, flow: &str) -> Result<Self> {
        let mut unfinished = Self::default();
        let mut each = |it: Parked| {
            unfinished.count(&it);
            true
        };
        let read = store.each_parked(flow, &mut each).await;
        read.map_err(|error| Error::store(flow, &error))?;
        Ok(unfinished)
    }

    fn count(&mut self, parked: &Parked) {
        let at = Timestamp::from_millis(parked.check_at);
        self.messages += 1;
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
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
    /// It is asked again, by this token; at once where there is something noted.
    Later {
        token: String,
        after: Option<Duration>,
        problem: Option<Call>,
        noted: Option<Noted>,
    },
}

impl Run {
    /// Asks after what is due, and takes further what is done. What cannot be asked after stays,
    /// at most until its deadline; an error is one of a step behind it, or of the store.
    pub(crate) async fn complete_parked(&mut self) -> Result<()> {
        let flow = self.context.flow.clone();
        let store = self.context.store.clone();
        let store_failed = |error: store::Error| Error::store(&flow.name, &error);
        let began = self.context.clock.now().millis();
        let mut unfinished = Unfinished::default();
        let mut all_due = AllDue::default();
        let mut each = |it: Parked| {
            unfinished.count(&it);
            if is_due(&it, began) {
                all_due.add(it);
            }
            true
        };
        store.each_parked(&flow.name, &mut each).await.map_err(store_failed)?;
        self.report.unfinished = unfinished;
        let mut failed = Ok(());
        loop {
            let due = all_due.next(&*store, &flow.name).await?;
            if due.is_empty() && all_due.is_empty() {
                return failed;
            }
            let context = self.context.clone();
            let asked = stream::iter(due)
                .map(|(it, noted)| {
                    let context = context.clone();
                    async move {
                        let answer = ask(&context, &it, noted).await;
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
            let (mut done, mut at_once) = (vec![], vec![]);
            let mut beside = Beside::default();
            let now = self.context.clock.now();
            for (parked, answer) in asked {
                match answer {
                    Answer::Done { value, target_key } => done.push((parked, value, target_key)),
                    Answer::Refused { code, reason } => {
                        self.refuse_parked(&mut beside, parked, code, reason, now);
                    }
                    Answer::Later { problem, .. } if now.millis() >= parked.deadline => {
                        let reason = too_late(&parked, problem.as_ref());
                        let code = "deadline".to_owned();
                        self.refuse_parked(&mut beside, parked, code, reason, now);
                    }
                    Answer::Later { token, after, problem, noted } => {
                        self.note(&parked, problem);
                        let mut later = Parked { token, ..parked };
                        later.check_at = again(&later, now, after).min(later.deadline);
                        at_once.extend(noted.map(|noted| Due::at_once(&later, noted)));
                        beside.parked.push(ParkedChange::Put(later));
                    }
                }
            }
            if !beside.parked.is_empty() {
                self.commit_beside(beside).await?;
                self.context.watch.at("engine.check.kept");
            }
            all_due.go_on(at_once);
            if !done.is_empty()
                && let Err(error) = self.take_further(done).await
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
        match Unfinished::read(&*self.context.store, &self.context.flow.name).await {
            Ok(unfinished) => self.report.unfinished = unfinished,
            Err(error) => self.report.errors.push(error),
        }
    }

    /// Runs what depends on steps that are done now, and commits that with them.
    async fn take_further(&mut self, done: Vec<(Parked, Value, Option<String>)>) -> Result<()> {
        let now = self.context.clock.now();
        let (store, flow) = (&*self.context.store, &*self.context.flow.name);
        // Of one record, the older message goes first.
        let done = age::in_order(store, flow, done, |(parked, ..)| before(parked)).await;
        let done = done.map_err(|error| Error::store(flow, &error))?;
        let mut resumed = vec![];
        for (parked, value, _) in &done {
            resumed.push(self.resumed(parked, value)?);
        }
        let settled = deliver::resume(self.context.clone(), now.millis(), resumed).await;
        let mut settled = match settled {
            Ok(settled) => settled,
            Err(error) => {
                let later = |parked: Parked| {
                    // What is done needs no deadline. Past it every run asks, which a clock that was
                    // wrong for a while must not put off either.
                    let is_late = now.millis() >= parked.deadline;
                    let waits = again(&parked, now, None).min(parked.deadline);
                    let check_at = if is_late { parked.check_at } else { waits };
                    Parked { check_at, ..parked }
                };
                let later = done.into_iter().map(|(parked, ..)| later(parked));
                let parked = later.map(ParkedChange::Put).collect();
                self.commit_beside(Beside { parked, ..Beside::default() }).await?;
                return Err(error);
            }
        };
        self.context.watch.at("engine.parked.delivered");
        let mut changes = vec![];
        let mut beside = Beside::default();
        for (parked, value, target_key) in done {
            beside.was_before(before(&parked));
            let (step, target_key) = (&*parked.step, target_key.as_deref());
            let what = What::Delivered { step, answer: &value, target_key };
            settled.trail.add(&parked.partition_key, &parked.message_id, what);
            changes.push(ParkedChange::Done(parked.id));
        }
        self.commit_beside(Beside { settled, parked: changes, ..beside }).await?;
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
        beside.was_before(before(&parked));
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

async fn ask(context: &Arc<Context>, parked: &Parked, noted: Option<Noted>) -> Answer {
    let later = |problem: Call| {
        let after = if let Call::Retry { after, .. } = &problem { *after } else { None };
        // Unless the request may have been carried out, it is as it was before it was noted.
        let before = noted.as_ref().filter(|_| !matches!(problem, Call::Unknown { .. }));
        let token = before.map_or(&parked.token, |noted| &noted.before).clone();
        Answer::Later { token, after, problem: Some(problem), noted: None }
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
    let (action, api, token) = (&step.step.action, &step.api, &parked.token);
    let answer = match &noted {
        Some(_) => action.first_check(api, token).await,
        None => action.check(api, token).await,
    };
    context.watch.at("engine.check.answered");
    match answer {
        Ok(Outcome::Done { value, target_key }) => Answer::Done { value, target_key },
        Ok(Outcome::Rejected { code, reason }) | Err(Call::Reject { code, reason }) => {
            Answer::Refused { code, reason }
        }
        Ok(Outcome::Parked { token, check_after, .. }) => {
            let at_once = check_after.is_zero();
            let before = parked.token.clone();
            let noted = at_once.then(|| Noted::behind(before, noted.as_ref())).flatten();
            Answer::Later { token, after: Some(check_after), problem: None, noted }
        }
        Ok(Outcome::Retry { after, reason }) => later(Call::Retry { after, reason }),
        Err(problem) => later(problem),
    }
}

/// The message that waits.
fn before(parked: &Parked) -> Before {
    Before::of(&parked.partition_key, &parked.message_id, parked.since)
}

fn step_of<'a>(context: &'a Context, id: &str) -> Option<&'a StepContext> {
    context.steps.iter().find(|step| step.step.id == id)
}

fn too_late(parked: &Parked, problem: Option<&Call>) -> String {
    let [since, deadline] = [parked.since, parked.deadline].map(Timestamp::from_millis);
    let last = match problem {
        None => "the system says that it is not done yet".to_owned(),
        Some(problem) => format!("the last question after it failed: {problem}"),
    };
    format!("handed over at {since} and not finished by {deadline}; {last}")
}
