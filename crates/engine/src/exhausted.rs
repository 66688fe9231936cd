//! Messages that exhaust their tries run after run, while others pass: one must not stop a flow
//! for ever.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use connector::Timestamp;
use serde::{Deserialize, Serialize};
use store::Store;
use tokio::sync::Mutex;

use crate::context::{Context, StepContext};
use crate::{Error, Result};

/// What its dead letter says.
pub(crate) const CODE: &str = "exhausted";
/// A message that exhausted its tries in so many runs becomes a dead letter.
const RUNS: u32 = 3;
/// So many messages of a flow are remembered; of more, the oldest are counted from the beginning.
const REMEMBERED: usize = 100;
/// A message that did not come again for so long was settled otherwise.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The messages of a flow that exhausted their tries, and what passed in this run.
pub(crate) struct Exhausted {
    store: Arc<dyn Store>,
    flow: String,
    /// By step, how many calls passed with a message at least.
    passed: Vec<AtomicU64>,
    run: Mutex<ThisRun>,
}

#[derive(Default)]
struct ThisRun {
    /// Read when the first message is exhausted: most runs never do.
    kept: Option<Kept>,
    counted: HashSet<String>,
}

/// By step and message, in how many runs it was exhausted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kept(BTreeMap<String, Times>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Times {
    runs: u32,
    last: Timestamp,
}

impl Exhausted {
    pub(crate) fn new(store: Arc<dyn Store>, flow: &str, steps: usize) -> Self {
        let passed = (0..steps).map(|_| AtomicU64::new(0)).collect();
        Self { store, flow: flow.to_owned(), passed, run: Mutex::default() }
    }

    /// A call of a step passed: the system took at least one message, or refused it by itself.
    pub(crate) fn passed(&self, step: usize) {
        if let Some(passed) = self.passed.get(step) {
            passed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many calls of a step passed so far in this run.
    pub(crate) fn passes(&self, step: usize) -> u64 {
        self.passed.get(step).map_or(0, |passed| passed.load(Ordering::Relaxed))
    }

    /// Counts that a message exhausted its tries alone while others of its step passed, once a run.
    /// Says whether it did so in enough runs to become a dead letter. What was counted survives a
    /// restart.
    pub(crate) async fn count(
        &self,
        step: &str,
        message: &str,
        now: Timestamp,
    ) -> store::Result<bool> {
        let mut run = self.run.lock().await;
        let vault = format!("exhausted/{}", self.flow);
        let key = format!("{step}/{message}");
        let first = run.counted.insert(key.clone());
        let kept = match run.kept.take() {
            Some(kept) => kept,
            // What cannot be read is counted from the beginning.
            None => {
                let bytes = self.store.vault_get(&vault).await?;
                bytes.and_then(|it| serde_json::from_slice(&it).ok()).unwrap_or_default()
            }
        };
        let kept = run.kept.insert(kept);
        if !first {
            return Ok(kept.runs(&key) >= RUNS);
        }
        let runs = kept.count(key, now);
        let written = serde_json::to_vec(kept).unwrap_or_default();
        self.store.vault_put(&vault, &written).await?;
        Ok(runs >= RUNS)
    }
}

impl Context {
    /// Counts that a message exhausted its tries at a step while others passed, and says whether it
    /// did so in enough runs to become a dead letter.
    pub(crate) async fn is_exhausted(&self, step: &StepContext, message: &str) -> Result<bool> {
        let counted = self.exhausted.count(&step.step.id, message, self.clock.now()).await;
        counted.map_err(|error| Error::store(&self.flow.name, &error))
    }
}

impl Kept {
    fn runs(&self, key: &str) -> u32 {
        self.0.get(key).map_or(0, |times| times.runs)
    }

    /// Counts a message, and forgets what is too old or too much.
    fn count(&mut self, key: String, now: Timestamp) -> u32 {
        // A clock that was set back makes nothing older: what lies ahead is as new as can be.
        self.0.retain(|_, times| now.since(times.last) < FORGOTTEN);
        let runs = self.runs(&key).saturating_add(1);
        self.0.insert(key, Times { runs, last: now });
        while self.0.len() > REMEMBERED {
            let oldest = self.0.iter().min_by_key(|(_, times)| times.last.min(now));
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            self.0.remove(&oldest);
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use store::{MasterKey, MemoryStore};

    use super::*;

    #[tokio::test]
    async fn three_runs_are_counted_across_restarts_and_each_once() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MasterKey::generate()));
        let now = Timestamp::from_secs(1_000_000);
        for enough in [false, false, true] {
            let run = Exhausted::new(store.clone(), "f", 1);
            for _ in 0..2 {
                assert_eq!(run.count("step", "poison", now).await.unwrap(), enough);
            }
            assert!(!run.count("other", "poison", now).await.unwrap() || enough);
        }
        let other = Exhausted::new(store, "g", 1);
        assert!(!other.count("step", "poison", now).await.unwrap());
    }

    #[test]
    fn no_more_is_remembered_than_a_hundred_of_a_month() {
        let mut kept = Kept::default();
        for at in 0..150 {
            kept.count(format!("step/{at:03}"), Timestamp::from_secs(at));
        }
        assert_eq!(kept.0.len(), REMEMBERED);
        assert_eq!((kept.runs("step/049"), kept.runs("step/050")), (0, 1));
        let later = Timestamp::from_secs(31 * 86_400);
        assert_eq!(kept.count("step/149".to_owned(), later), 1);
        assert_eq!(kept.0.len(), 1);
        // The clock is set back: it goes on counting.
        assert_eq!(kept.count("step/149".to_owned(), Timestamp::from_secs(5)), 2);
    }
}
