//! What the service sees that may have to be told: noted at once, in memory, and told by another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector::Timestamp;
use tokio::sync::Notify;

use super::alert::{Alert, Of};
use super::failure::Failure;
use super::kept::KeptStreak;
use crate::{Error, Event, Report, Watch};

/// Takes note of what may have to be told. Cheap to clone, and never waited for.
#[derive(Clone, Default)]
pub(crate) struct Alerts(Arc<Shared>);

#[derive(Default)]
struct Shared {
    heard: Mutex<Heard>,
    changed: Notify,
}

/// What was noted and is not told yet: bounded by the flows that there are.
#[derive(Default)]
pub(super) struct Heard {
    /// The flows that may be told of, and whether they are called.
    pub(super) flows: HashMap<Arc<str>, bool>,
    /// The flows that are told. Invariant: none of them is told of.
    pub(super) alerts: BTreeMap<Arc<str>, Alert>,
    /// The flows that fail; looked after as long as some flow is told of such.
    pub(super) streaks: HashMap<Arc<str>, Streak>,
    /// Flows of which only the store knows whether they fail.
    pub(super) unsure: HashMap<Arc<str>, Unsure>,
    /// Flows of whose failing the store does not know yet as it is.
    pub(super) unkept: BTreeSet<Arc<str>>,
    /// Flows that may have new dead letters.
    pub(super) letters: BTreeSet<Arc<str>>,
}

/// A flow that fails.
#[derive(Clone, Debug)]
pub(super) struct Streak {
    pub(super) kept: KeptStreak,
    /// When it was noticed, by what has elapsed: a clock that is set back makes it no younger.
    pub(super) noticed: Duration,
    /// Whether only checks failed, so that a check that goes well ends it.
    by_check: bool,
}

/// A flow of which only the store knows whether it fails.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsure {
    /// How many runs failed since that was asked: what was read before the last one is old.
    pub(super) runs: u64,
    /// How the last one of them failed.
    pub(super) failure: Option<Failure>,
}

impl Streak {
    pub(super) const fn new(kept: KeptStreak, noticed: Duration) -> Self {
        Self { kept, noticed, by_check: false }
    }

    /// How long it lasts.
    pub(super) fn lasted(&self, now: Timestamp, elapsed: Duration) -> Duration {
        now.since(self.kept.since).max(elapsed.saturating_sub(self.noticed))
    }
}

impl Heard {
    /// Whether any flow is told of such things.
    pub(super) fn tells(&self, of: Of) -> bool {
        self.alerts.values().any(|alert| alert.of == of)
    }

    fn forget(&mut self, flow: &str) {
        self.flows.remove(flow);
        self.streaks.remove(flow);
        self.unsure.remove(flow);
        self.unkept.remove(flow);
        self.letters.remove(flow);
    }
}

impl Alerts {
    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something was noted since the last time.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Takes note of a flow, or of a new version of it.
    pub(crate) fn put(&self, flow: &Arc<str>, called: bool, alert: Option<Alert>) {
        let mut heard = self.heard();
        if let Some(alert) = alert {
            heard.forget(flow);
            if alert.of == Of::Failing && !heard.tells(Of::Failing) {
                // Nobody looks after them as long as nobody is told.
                heard.streaks.clear();
                heard.unkept.clear();
                let flows: Vec<_> = heard.flows.keys().cloned().collect();
                heard.unsure.extend(flows.into_iter().map(|flow| (flow, Unsure::default())));
            }
            heard.alerts.insert(flow.clone(), alert);
        } else {
            heard.alerts.remove(flow);
            if heard.flows.insert(flow.clone(), called).is_some() {
                return;
            }
            if heard.tells(Of::Failing) {
                heard.unsure.insert(flow.clone(), Unsure::default());
            }
            if heard.tells(Of::Letters) {
                heard.letters.insert(flow.clone());
            }
        }
        if !heard.alerts.is_empty() {
            self.0.changed.notify_one();
        }
    }

    /// Takes note that a flow is not run any more. What was told of it, and to it, is kept: it may
    /// come again.
    pub(crate) fn remove(&self, flow: &str) {
        let mut heard = self.heard();
        heard.forget(flow);
        if heard.alerts.remove(flow).is_some() {
            self.0.changed.notify_one();
        }
    }

    /// Takes note of a run that has ended, or of a check of what systems finish later.
    pub(crate) fn ended(
        &self,
        (flow, checks): (&str, bool),
        started: Timestamp,
        elapsed: Duration,
        report: &Report,
    ) {
        if report.counts.dead_lettered > 0 {
            self.has_letters(flow);
        }
        let mut heard = self.heard();
        let Some((flow, _)) = heard.flows.get_key_value(flow) else { return };
        let flow = flow.clone();
        let failure = Failure::of(report);
        let failed = failure.is_some();
        let news = if heard.tells(Of::Failing) {
            match failure {
                _ if matches!(report.errors[..], [Error::AlreadyRunning { .. }]) => false,
                Some(failure) => heard.failed(flow, checks, started, elapsed, failure),
                None => !report.stopped && heard.went_well(&flow, checks),
            }
        } else {
            false
        };
        if news || (failed && heard.tells(Of::Paused)) {
            self.0.changed.notify_one();
        }
    }

    /// Takes note that a flow may have new dead letters.
    fn has_letters(&self, flow: &str) {
        let mut heard = self.heard();
        if heard.tells(Of::Letters)
            && let Some((flow, _)) = heard.flows.get_key_value(flow)
        {
            let flow = flow.clone();
            heard.letters.insert(flow);
            self.0.changed.notify_one();
        }
    }
}

impl Heard {
    /// Says whether that is news.
    fn failed(
        &mut self,
        flow: Arc<str>,
        checks: bool,
        since: Timestamp,
        noticed: Duration,
        failure: Failure,
    ) -> bool {
        if let Some(unsure) = self.unsure.get_mut(&flow) {
            // The run's line is in the store already, and says since when.
            unsure.runs += 1;
            unsure.failure = Some(failure);
            return true;
        }
        if let Some(streak) = self.streaks.get_mut(&flow) {
            streak.by_check &= checks;
            if streak.kept.failure == failure {
                return false;
            }
            streak.kept.failure = failure;
        } else {
            let kept = KeptStreak { since, failure };
            self.streaks.insert(flow.clone(), Streak { kept, noticed, by_check: checks });
        }
        self.unkept.insert(flow);
        true
    }

    fn went_well(&mut self, flow: &Arc<str>, checks: bool) -> bool {
        let ends = |streak: &Streak| !checks || streak.by_check;
        let unsure = !checks && self.unsure.remove(flow).is_some();
        let failed = self.streaks.get(flow).is_some_and(ends);
        if failed {
            self.streaks.remove(flow);
        }
        if unsure || failed {
            self.unkept.insert(flow.clone());
        }
        unsure || failed
    }
}

/// Hears of commits with dead letters while a run is under way, and passes everything on.
pub(crate) struct Hearing {
    pub(crate) watch: Arc<dyn Watch>,
    pub(crate) alerts: Alerts,
}

impl Watch for Hearing {
    fn on(&self, event: &Event<'_>) {
        self.watch.on(event);
        if let Event::Committed { flow, counts, .. } = event
            && counts.dead_lettered > 0
        {
            self.alerts.has_letters(flow);
        }
    }

    fn at(&self, point: &'static str) {
        self.watch.at(point);
    }
}
