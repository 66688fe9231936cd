//! What became of a run, as its caller learns it.

use std::time::Duration;

use store::Counts;

use crate::backfill::Backfilled;
use crate::{Error, Unfinished};

/// What became of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// What became of the records, over all committed pages.
    pub counts: Counts,
    /// Pages that were settled.
    pub pages: u64,
    /// Of those, how many had something in them or something to commit.
    pub(crate) pages_of_news: u64,
    /// What it did of a backfill, if one was under way.
    pub backfill: Option<Backfilled>,
    /// Whether the signal to stop ended it early.
    pub stopped: bool,
    /// What failed; empty after a good run.
    pub errors: Vec<Error>,
    /// Whether it failed for a reason that only a change of settings or files takes away.
    pub needs_change: bool,
    /// Messages of records that are gone.
    pub deletes: u64,
    /// Messages that systems took in this run and finish later.
    pub parked: u64,
    /// What waits at remote systems when it ended.
    pub unfinished: Unfinished,
    /// Whether it looked into the inbox alone, and nothing was there.
    pub found_nothing: bool,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    pub(crate) fn failed(error: Error) -> Self {
        Self { needs_change: error.needs_change(), errors: vec![error], ..Self::default() }
    }

    /// Adds what became of a commit's records.
    pub(crate) fn add(&mut self, more: Counts) {
        self.counts = self.counts.checked_add(more).unwrap_or(self.counts);
    }

    /// Whether there is nothing to tell of it.
    pub(crate) fn is_idle(&self) -> bool {
        self.found_nothing && self.errors.is_empty()
    }

    /// How long the systems that failed ask to wait.
    pub(crate) fn asks_to_wait(&self) -> Option<Duration> {
        let asked = self.errors.iter().filter_map(|error| match error {
            Error::Unavailable { after, .. }
            | Error::HeldBack { after, .. }
            | Error::Paused { after, .. } => *after,
            _ => None,
        });
        asked.max()
    }

    /// Whether all that kept it from its end are accounts that are left alone.
    pub fn is_held_back(&self) -> bool {
        !self.errors.is_empty() && self.errors.iter().all(Error::is_held_back)
    }

    /// Whether an account's credentials were refused, now or when it was paused.
    pub fn is_refused(&self) -> bool {
        let refused =
            |error: &Error| matches!(error, Error::Unauthorized { .. } | Error::Paused { .. });
        self.errors.iter().any(refused)
    }

    /// Whether trying again soon is pointless. A store that failed may be well again by itself.
    pub(crate) fn waits_for_change(&self) -> bool {
        let store = |error: &Error| matches!(error, Error::Store { .. });
        self.needs_change && !self.errors.iter().any(store)
    }

    /// The outcome of a run that left nothing to do.
    pub const COMPLETED: &'static str = "completed";

    /// The outcome of a run that the signal to stop ended early.
    pub const STOPPED: &'static str = "stopped";
    const FAILED: &'static str = "failed";
    const PAUSED: &'static str = "paused";

    /// Whether the outcome of a run's line is that of a run that failed.
    pub(crate) fn is_failure(outcome: &str) -> bool {
        [Self::FAILED, Self::PAUSED].contains(&outcome)
    }

    /// One word for the run's line.
    pub fn outcome(&self) -> &'static str {
        match (self.errors.is_empty(), self.stopped) {
            (false, _) if self.is_held_back() => Self::PAUSED,
            (false, _) => Self::FAILED,
            (true, true) => Self::STOPPED,
            (true, false) => Self::COMPLETED,
        }
    }
}
