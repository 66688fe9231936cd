//! What the service asks of whoever started it, and what it tells.

use std::sync::Arc;

use connector::Timestamp;
use flow::Flow;

use crate::builtin::Alert;
use crate::{Report, Result};

/// Keeps the flows of a service, and hears what became of their runs.
pub trait Host: Send + Sync + 'static {
    /// Returns a flow whose run is due.
    ///
    /// Called off the reactor's threads, so it may read and compile; the flow is let go of after
    /// the run. An error is the run's error.
    fn flow(&self, name: &str) -> Result<Arc<Flow>>;

    /// Whether there is a flow of that name; cheap, and asked for whoever calls.
    fn has(&self, name: &str) -> bool;

    /// What a flow is told by the runtime, if it is told anything; cheap, and asked whenever the
    /// service is told of the flow.
    fn alert(&self, _flow: &str) -> Option<Alert> {
        None
    }

    /// Hears of a run that begins, or of a look at what systems finish later; must not block.
    fn begins(&self, _flow: &str, _at: Timestamp) {}

    /// Hears of a run that has ended; must not block. Of one that looked for what came, and found
    /// nothing, it does not hear.
    fn ran(&self, ran: &Ran<'_>);
}

/// A run of a service, ended.
#[derive(Debug)]
pub struct Ran<'a> {
    /// The flow's name.
    pub flow: &'a str,
    /// When it was to begin, jitter included.
    pub due: Timestamp,
    /// When it began.
    pub started: Timestamp,
    /// What became of it.
    pub report: &'a Report,
    /// When the flow runs next; `None` if it does not.
    pub next: Option<Timestamp>,
}
