//! Sends dead letters again, by the flow as it is now, from the step that refused them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use flow::Flow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{DeadLetter, DeadLetterSummary, LetterChange, LetterMark, LetterState, NewDeadLetter};

use crate::age::{self, Ages, Before};
use crate::beside::Beside;
use crate::deliver;
use crate::letters::{LetterFilter, Payload};
use crate::overtaken::{of, was_overtaken};
use crate::resume::{Resume, Resumed};
use crate::run::Run;
use crate::seen::SeenTable;
use crate::settled::Settled;
use crate::trail::{self, Kind, What};
use crate::{Engine, Error, Result, Stop, Watch};

/// So many dead letters are sent before one commit.
const BATCH: usize = 500;

/// What became of a dead letter that was to be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "fate")]
pub enum Fate {
    /// Its step took it, and so did those behind.
    Delivered,
    /// A condition keeps it from going on now.
    Filtered {
        /// The step whose condition it is.
        #[serde(rename = "at")]
        step: String,
    },
    /// A system finishes it later.
    Parked {
        /// The step.
        #[serde(rename = "at")]
        step: String,
    },
    /// It was refused again; at a later step than its own it is a dead letter of that one now.
    Refused {
        /// The step; `None` is the trigger's mapping.
        #[serde(rename = "at")]
        step: Option<String>,
        /// The stable code of the refusal.
        code: String,
    },
    /// A newer message of the record was settled meanwhile: it was not sent.
    Superseded,
    /// It was sent by an earlier replay: it was not sent again.
    Replayed,
    /// The flow has no such step any more: it was not sent.
    NoStep {
        /// The step that is gone.
        #[serde(rename = "at")]
        step: String,
    },
    /// It is not there any more.
    Gone,
}

/// A dead letter and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The dead letter's id.
    pub id: String,
    /// The step that had refused it; `None` is the trigger's mapping.
    pub step: Option<String>,
    /// The record's key in its system.
    pub record_key: String,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

impl Engine {
    /// Sends the dead letters of a flow again that a filter means, oldest first, from the step
    /// that refused each, with the results that were kept.
    ///
    /// `each` gets what became of them, always after the commit that says so: after an error or a
    /// stop, what it did not get is as it was. One that a newer message of its record overtook,
    /// and one that was sent already, is sent with `force` alone.
    pub async fn replay(
        &self,
        flow: &Arc<Flow>,
        filter: &LetterFilter,
        force: bool,
        stop: &Stop,
        watch: Arc<dyn Watch>,
        each: &mut (dyn FnMut(Outcome) + Send),
    ) -> Result<()> {
        let running = self.enter(&flow.name);
        let _running = running.ok_or_else(|| Error::AlreadyRunning { flow: flow.name.clone() })?;
        let filter = LetterFilter { flow: Some(flow.name.clone()), ..filter.clone() };
        let run = self.start(flow, stop.clone(), watch).await?;
        let mut replay = Replay { run, force };
        let replayed = replay.all(&filter, stop, each).await;
        replay.run.context.calls.finish().await;
        let Run { sequence, seen, .. } = replay.run;
        if let Some(seen) = seen.filter(SeenTable::is_whole) {
            self.tables.keep(&flow.name, sequence, seen);
        }
        replayed
    }
}

/// A replay under way.
struct Replay {
    /// One that polls nothing.
    run: Run,
    force: bool,
}

impl Replay {
    async fn all(
        &mut self,
        filter: &LetterFilter,
        stop: &Stop,
        each: &mut (dyn FnMut(Outcome) + Send),
    ) -> Result<()> {
        let letters = self.letters(filter, each).await?;
        for ids in letters.chunks(BATCH) {
            if stop.is_set() {
                break;
            }
            let ids = ids.iter().map(|letter| letter.id.as_str());
            self.batch(ids, each).await?;
        }
        Ok(())
    }

    /// The letters to send: of one record, the older message goes first.
    ///
    /// What an earlier replay left without an answer becomes in doubt only now. Nobody who asked
    /// for this replay knew of that, so it is not sent by it.
    async fn letters(
        &mut self,
        filter: &LetterFilter,
        each: &mut (dyn FnMut(Outcome) + Send),
    ) -> Result<Vec<DeadLetterSummary>> {
        let context = self.run.context.clone();
        let is_clear = context.journal.as_ref().is_none_or(|journal| journal.is_empty());
        let mut letters = filter.select(&*context.store).await?;
        if !is_clear {
            let tries = |letters: &[DeadLetterSummary]| -> HashMap<String, usize> {
                letters.iter().map(|it| (it.id.clone(), it.attempts.len())).collect()
            };
            let before = tries(&letters);
            self.run.resolve_journal().await?;
            letters = filter.select(&*context.store).await?;
            let (known, new) = letters.into_iter().partition(|it| {
                before.get(&it.id).is_some_and(|tries| *tries == it.attempts.len())
            });
            letters = known;
            let new: Vec<DeadLetterSummary> = new;
            for DeadLetterSummary { id, .. } in new {
                let letter = context.store.dead_letter(&id).await;
                let Some(letter) = letter.map_err(|error| self.failed(&error))? else { continue };
                let fate = Fate::Refused { step: letter.step.clone(), code: letter.code.clone() };
                each(outcome(&letter, fate));
            }
        }
        let first = |letter: &DeadLetterSummary| letter.attempts.first().copied();
        letters.sort_by_key(|letter| first(letter).unwrap_or(letter.at));
        let mut messages = HashMap::new();
        let mut known = HashSet::new();
        let twice: HashSet<[u8; 16]> =
            letters.iter().map(|it| it.partition_key).filter(|key| !known.insert(*key)).collect();
        for letter in letters.iter().filter(|it| twice.contains(&it.partition_key)) {
            let whole = context.store.dead_letter(&letter.id).await;
            let whole = whole.map_err(|error| self.failed(&error))?;
            messages.extend(whole.map(|whole| (letter.id.clone(), whole.message_id)));
        }
        let message = |letter: &DeadLetterSummary| {
            let id = messages.get(&letter.id).map_or("", |id| &**id);
            Before::of(&letter.partition_key, id, first(letter).unwrap_or(letter.at))
        };
        let ordered = age::in_order(&*context.store, &context.flow.name, letters, message).await;
        ordered.map_err(|error| self.failed(&error))
    }

    async fn batch(
        &mut self,
        ids: impl Iterator<Item = &str>,
        each: &mut (dyn FnMut(Outcome) + Send),
    ) -> Result<()> {
        let mut letters = vec![];
        for id in ids {
            let letter = self.run.context.store.dead_letter(id).await;
            let letter = letter.map_err(|error| self.failed(&error))?;
            let Some(letter) = letter else {
                let (id, record_key) = (id.to_owned(), String::new());
                each(Outcome { id, step: None, record_key, fate: Fate::Gone });
                continue;
            };
            match self.not_sent(&letter) {
                Some(fate) => each(outcome(&letter, fate)),
                None => letters.push(letter),
            }
        }
        if letters.is_empty() {
            return Ok(());
        }
        let resumed = letters.iter().map(resume).collect::<Result<Vec<_>>>()?;
        let context = self.run.context.clone();
        let now_ms = context.clock.now().millis();
        let mut settled = deliver::resume(context.clone(), now_ms, resumed).await?;
        let outage = settled.outage.take();
        let fates: Option<Vec<Fate>> =
            letters.iter().map(|letter| fate(letter, &settled)).collect();
        let fates = fates.ok_or_else(|| Error::Internal {
            place: context.trigger_place.clone(),
            problem: "nothing is known of a message that was replayed".to_owned(),
        })?;
        self.settle(now_ms, &letters, settled).await?;
        for (letter, fate) in letters.iter().zip(fates) {
            each(outcome(letter, fate));
        }
        outage.map_or(Ok(()), Err)
    }

    /// What becomes of a letter that is not sent.
    fn not_sent(&self, letter: &DeadLetter) -> Option<Fate> {
        let steps = &self.run.context.flow.steps;
        let gone = |id: &&String| !steps.iter().any(|step| step.id == **id);
        if let Some(step) = letter.step.as_ref().filter(gone) {
            return Some(Fate::NoStep { step: step.clone() });
        }
        match letter.state {
            LetterState::Superseded if !self.force => Some(Fate::Superseded),
            LetterState::Replayed if !self.force => Some(Fate::Replayed),
            _ => None,
        }
    }

    /// Marks the letters that were sent and keeps what became of their messages, in one commit.
    async fn settle(
        &mut self,
        at: i64,
        letters: &[DeadLetter],
        mut settled: Settled,
    ) -> Result<()> {
        let (store, flow) = (&*self.run.context.store, &*self.run.context.flow);
        // What was sent before is not watched any more: was it overtaken since?
        let sent = letters.iter().filter(|letter| letter.state == LetterState::Replayed);
        let keys = sent.map(|letter| trail::key_tag(&letter.partition_key)).collect();
        let ages = Ages::read(store, &flow.name, &keys).await;
        let ages = ages.map_err(|error| Error::store(&flow.name, &error))?;
        let still = |letter: &DeadLetter| match letter.state {
            LetterState::Replayed if was_overtaken(flow, &ages, of(letter), &letter.step) => {
                LetterState::Superseded
            }
            LetterState::Superseded => LetterState::Superseded,
            LetterState::Open | LetterState::Replayed => LetterState::Open,
        };
        let mut changes: Vec<LetterChange> = vec![];
        settled.dead_letters.retain(|refused| {
            let is_own = |letter: &&DeadLetter| {
                letter.message_id == refused.message_id && letter.step == refused.step
            };
            let own = letters.iter().find(is_own);
            changes.extend(own.map(|letter| {
                let (code, reason) = (refused.code.clone(), refused.reason.clone());
                let state = still(letter);
                let change = LetterMark::Failed { code, reason, at, state };
                LetterChange { id: letter.id.clone(), change }
            }));
            own.is_none()
        });
        let refused: HashSet<String> = changes.iter().map(|change| change.id.clone()).collect();
        let mut beside = Beside::default();
        for letter in letters {
            beside.was_before(of(letter));
            if refused.contains(&letter.id) {
                continue;
            }
            let (step, id) = (letter.step.as_deref(), &letter.id);
            let what = What::Replayed { step, letter: id };
            settled.trail.add(&letter.partition_key, &letter.message_id, what);
            let change = LetterMark::State { state: LetterState::Replayed };
            changes.push(LetterChange { id: id.clone(), change });
        }
        self.run.commit_beside(Beside { settled, letters: changes, ..beside }).await
    }

    fn failed(&self, error: &store::Error) -> Error {
        Error::store(&self.run.context.flow.name, error)
    }
}

fn outcome(letter: &DeadLetter, fate: Fate) -> Outcome {
    let DeadLetter { id, step, record_key, .. } = letter;
    Outcome { id: id.clone(), step: step.clone(), record_key: record_key.clone(), fate }
}

/// The message of a letter as it goes on its way again.
fn resume(letter: &DeadLetter) -> Result<Resumed> {
    let Payload { message, steps } = Payload::read(&letter.flow, &letter.id, &letter.payload)?;
    let results = serde_json::from_str(steps.get()).map_err(|error| Error::Letter {
        flow: letter.flow.clone(),
        id: letter.id.clone(),
        problem: format!("the kept results cannot be read, at column {}", error.column()),
    })?;
    Ok(Resumed {
        id: letter.message_id.as_str().into(),
        key: letter.record_key.as_str().into(),
        partition_key: letter.partition_key,
        message: message.get().into(),
        seed: crate::identity::seed(&letter.message_id),
        results,
        at: letter.step.clone().map_or(Resume::FromTrigger, Resume::FromStep),
    })
}

/// What became of a letter's message: what is worse first. `None` if nothing did.
fn fate(letter: &DeadLetter, settled: &Settled) -> Option<Fate> {
    let is_of = |new: &&NewDeadLetter| new.message_id == letter.message_id;
    let refused =
        |new: &NewDeadLetter| Fate::Refused { step: new.step.clone(), code: new.code.clone() };
    let own = settled.dead_letters.iter().filter(is_of).find(|new| new.step == letter.step);
    if let Some(new) = own {
        return Some(refused(new));
    }
    if let Some(new) = settled.dead_letters.iter().find(is_of) {
        return Some(refused(new));
    }
    let tag = trail::tag(&letter.message_id);
    let mut found: Option<(u8, Fate)> = None;
    settled.trail.walk(&mut |it| {
        if it.message != tag {
            return;
        }
        let step = it.step.unwrap_or_default().to_owned();
        let told = match it.kind {
            Kind::Parked => (2, Fate::Parked { step }),
            Kind::Delivered => (1, Fate::Delivered),
            Kind::Filtered => (0, Fate::Filtered { step }),
            _ => return,
        };
        if found.as_ref().is_none_or(|(rank, _)| *rank < told.0) {
            found = Some(told);
        }
    });
    found.map(|(_, fate)| fate)
}
