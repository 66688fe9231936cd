//! What every part of a run shares, and its steps with their access to their systems.

use std::sync::Arc;

use connector::{Api, Clock};
use flow::{Flow, Step};
use store::Store;

use crate::accounts::{Accounts, Use};
use crate::calls::Calls;
use crate::detect::Emitted;
use crate::echo::Ways;
use crate::exhausted::Exhausted;
use crate::journal::Journal;
use crate::limits::Turn;
use crate::workers::{Unmapped, Workers};
use crate::{Error, Place, Watch};

/// What every part of a run shares.
pub(crate) struct Context {
    pub(crate) flow: Arc<Flow>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) trigger_api: Api,
    pub(crate) trigger_place: Place,
    pub(crate) steps: Vec<StepContext>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) watch: Arc<dyn Watch>,
    pub(crate) workers: Workers,
    pub(crate) unmapped: Unmapped,
    /// Of a run with the right to commit; without it nothing is sent that must not be repeated.
    pub(crate) journal: Option<Arc<Journal>>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) ways: Arc<Ways>,
    pub(crate) exhausted: Arc<Exhausted>,
    /// Whether somebody waits for what the steps give.
    pub(crate) keeps_results: bool,
}

/// A step with its access to its system.
pub(crate) struct StepContext {
    pub(crate) step: Step,
    pub(crate) api: Api,
    pub(crate) place: Place,
}

impl StepContext {
    /// Whether what it sends must not be sent twice, and so is written down.
    pub(crate) fn is_journaled(&self) -> bool {
        !self.step.action.idempotent()
    }

    /// How it uses its account.
    pub(crate) fn usage(&self) -> Use<'_> {
        Use { place: &self.place, held: self.step.action.held_once_refused() }
    }
}

impl Context {
    /// Where a step is.
    pub(crate) fn place(&self, step: usize) -> Place {
        let place = self.steps.get(step).map(|step| &step.place);
        place.unwrap_or(&self.trigger_place).clone()
    }

    /// The error where a step is asked for that there is not, or that nothing may be sent by.
    pub(crate) fn no_step(&self) -> Error {
        let problem = "a step was begun that this run cannot take".to_owned();
        Error::Internal { place: self.trigger_place.clone(), problem }
    }

    /// The ids of a page's messages, if any of them may be in the journal.
    pub(crate) fn journaled_ids(&self, emitted: &[Emitted]) -> Vec<Arc<str>> {
        let known = self.journal.as_ref().is_some_and(|journal| !journal.is_empty());
        if !known && !self.steps.iter().any(StepContext::is_journaled) {
            return vec![];
        }
        emitted.iter().map(|emitted| emitted.id.clone()).collect()
    }

    /// The same with requests that let all others go first.
    pub(crate) fn behind_live(&self) -> Self {
        let behind =
            |of: Use<'_>| self.accounts.limiter_of(&of.place.account, Turn::Behind, of.held);
        let steps = self.steps.iter().map(|it| StepContext {
            step: it.step.clone(),
            api: it.api.limited_by(behind(it.usage())),
            place: it.place.clone(),
        });
        let trigger = Use { place: &self.trigger_place, held: false };
        Self {
            flow: self.flow.clone(),
            accounts: self.accounts.clone(),
            trigger_api: self.trigger_api.limited_by(behind(trigger)),
            trigger_place: self.trigger_place.clone(),
            steps: steps.collect(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            watch: self.watch.clone(),
            workers: self.workers.clone(),
            unmapped: self.workers.unmapped(),
            journal: self.journal.clone(),
            calls: self.calls.clone(),
            ways: self.ways.clone(),
            exhausted: self.exhausted.clone(),
            keeps_results: self.keeps_results,
        }
    }
}
