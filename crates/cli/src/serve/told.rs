//! What happens within runs, told to everybody who follows them: the API, the metrics, the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::service::Ran;
use engine::{Event, Watch};

use crate::log::TARGET;

/// Follows runs from their beginning to their end, and is told when the service ends.
pub(crate) trait Follow: Watch {
    /// A run has ended; must not block.
    fn ran(&self, ran: &Ran<'_>);

    /// The service has ended: what is still to be sent is sent. May block.
    fn end(&self);
}

/// Follows the runs of a service.
pub(crate) struct Told {
    events: Arc<dyn Watch>,
    traces: Option<Arc<dyn Follow>>,
    /// The ids of the runs under way, by flow.
    runs: Mutex<HashMap<String, String>>,
}

impl Told {
    /// Tells these of everything, too.
    pub(crate) fn new(events: Arc<dyn Watch>, traces: Option<Arc<dyn Follow>>) -> Self {
        Self { events, traces, runs: Mutex::default() }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of a flow's run; empty where none is under way.
    fn run(&self, flow: &str) -> String {
        self.runs().get(flow).cloned().unwrap_or_default()
    }

    /// A run has ended; gives its id.
    pub(crate) fn ran(&self, ran: &Ran<'_>) -> Option<String> {
        if let Some(traces) = &self.traces {
            traces.ran(ran);
        }
        self.runs().remove(ran.flow)
    }

    /// The service has ended.
    pub(crate) async fn end(&self) {
        if let Some(traces) = self.traces.clone() {
            // One that breaks off has said why.
            drop(tokio::task::spawn_blocking(move || traces.end()).await);
        }
    }

    fn log(&self, event: &Event<'_>) {
        match event {
            Event::Began { flow, run } => {
                self.runs().insert((*flow).to_owned(), (*run).to_owned());
                tracing::debug!(target: TARGET, flow, run, "runStarted");
            }
            Event::Committed { flow, counts, took } => {
                let run = self.run(flow);
                tracing::debug!(
                    target: TARGET,
                    flow,
                    run,
                    counts.records = counts.records,
                    counts.delivered = counts.delivered,
                    counts.unchanged = counts.unchanged,
                    counts.filtered = counts.filtered,
                    counts.echoed = counts.echoed,
                    counts.overruled = counts.overruled,
                    counts.deadLettered = counts.dead_lettered,
                    commitSeconds = took.map(|took| took.as_secs_f64()),
                    "committed"
                );
            }
            Event::Called { place, messages, took } => {
                let engine::Place { flow, step, account } = place;
                let (run, step) = (self.run(flow), step.as_deref());
                tracing::debug!(
                    target: TARGET,
                    flow,
                    run,
                    step,
                    account,
                    messages,
                    seconds = took.as_secs_f64(),
                    "called"
                );
            }
            Event::Retrying { place, tries, wait, reason } => {
                let engine::Place { flow, step, account } = place;
                let (run, step) = (self.run(flow), step.as_deref());
                tracing::info!(
                    target: TARGET,
                    flow,
                    run,
                    step,
                    account,
                    tries,
                    waitSeconds = wait.as_secs_f64(),
                    reason,
                    "retrying"
                );
            }
            Event::DeadLetter { place, code } => {
                let engine::Place { flow, step, account } = place;
                let (run, step) = (self.run(flow), step.as_deref());
                tracing::info!(target: TARGET, flow, run, step, account, code, "deadLetter");
            }
            // Accounts have lines of their own, and what fails is in the line of its run.
            Event::Scanning { .. }
            | Event::Backfilling { .. }
            | Event::Account { .. }
            | Event::Failed { .. } => {}
        }
    }
}

impl Watch for Told {
    fn on(&self, event: &Event<'_>) {
        self.events.on(event);
        if let Some(traces) = &self.traces {
            traces.on(event);
        }
        self.log(event);
    }
}
