//! Runs and replays of flows over a board, each on a process of its own, by one clock and store.

use std::sync::Arc;
use std::time::Duration;

use connector::prelude::*;
use connector::{Clock, ManualClock};
use engine::{Engine, Fate, LetterFilter, Report, Silent, Stop};
use flow::Flow;
use store::{DeadLetter, LetterState, MasterKey, MemoryStore, Store};

use crate::Board;

/// A board with records, the store and the clock between the runs.
pub struct Runs {
    /// The system that is polled.
    pub board: Arc<Board>,
    /// What survives a restart.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<ManualClock>,
}

impl Runs {
    /// Nothing has run yet.
    pub fn of(board: &Arc<Board>) -> Self {
        Self {
            board: board.clone(),
            store: Arc::new(MemoryStore::new(MasterKey::generate())),
            clock: Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000))),
        }
    }

    /// Lets time pass.
    pub fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The engine of one process.
    pub fn engine(&self, store: &Arc<dyn Store>) -> Engine {
        self.board.engine(store.clone(), self.clock.clone())
    }

    /// Runs a flow once.
    pub async fn run(&self, flow: &Flow) -> Report {
        self.run_with(&self.store, flow).await
    }

    /// Runs a flow once over another store.
    pub async fn run_with(&self, store: &Arc<dyn Store>, flow: &Flow) -> Report {
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        self.engine(store).run(&Arc::new(flow.clone()), stop, Arc::new(Silent)).await
    }

    /// Replays the dead letters that are meant: key, step and fate of each, in order.
    pub async fn replay(
        &self,
        flow: &Flow,
        filter: &LetterFilter,
        force: bool,
    ) -> engine::Result<Vec<(String, String, Fate)>> {
        self.replay_with(&self.store, flow, filter, force).await
    }

    /// The same over another store.
    pub async fn replay_with(
        &self,
        store: &Arc<dyn Store>,
        flow: &Flow,
        filter: &LetterFilter,
        force: bool,
    ) -> engine::Result<Vec<(String, String, Fate)>> {
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        let mut fates = vec![];
        let mut each = |it: engine::Outcome| {
            let step = it.step.unwrap_or_else(|| engine::TRIGGER.to_owned());
            fates.push((it.record_key, step, it.fate));
        };
        let (flow, watch) = (Arc::new(flow.clone()), Arc::new(Silent));
        self.engine(store).replay(&flow, filter, force, &stop, watch, &mut each).await?;
        Ok(fates)
    }

    /// The values that a board was sent since the last time, in their order.
    pub fn values(&self, board: &Board) -> Vec<i64> {
        let sent = board.take_delivered().into_iter();
        sent.map(|it| it.input["value"].as_i64().unwrap()).collect()
    }

    /// The dead letters, each with the value of its message, its step and its state; sorted.
    pub async fn letters(&self) -> Vec<(i64, String, LetterState)> {
        let mut letters = vec![];
        for summary in self.store.dead_letters(None).await.unwrap() {
            let letter = self.store.dead_letter(&summary.id).await.unwrap().unwrap();
            let step = letter.step.clone().unwrap_or_else(|| engine::TRIGGER.to_owned());
            letters.push((value_of(&letter), step, letter.state));
        }
        letters.sort();
        letters
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn value_of(letter: &DeadLetter) -> i64 {
    let payload: Value = serde_json::from_slice(&letter.payload).unwrap();
    payload["message"]["data"]["value"].as_i64().unwrap()
}

/// Answers by the value of each message, or by that it is done.
pub fn answering(
    answer: impl Fn(&str, i64) -> Option<Outcome> + Send + Sync + 'static,
) -> impl Fn(&Batch<Value>) -> Result<Outcomes> + Send + Sync + 'static {
    move |batch| {
        let mut outcomes = batch.outcomes();
        for (at, item) in batch.items.iter().enumerate() {
            let outcome = answer(&item.key, item.input["value"].as_i64().unwrap_or_default());
            let done = || Outcome::done(json!(format!("took {}", item.key)));
            outcomes.set(at, outcome.unwrap_or_else(done));
        }
        Ok(outcomes)
    }
}
