//! Runs a flow on its schedule: never twice at once, missed ticks skipped.

use std::sync::Arc;
use std::time::Duration;

use connector::Timestamp;
use flow::Flow;

use crate::{Beat, Engine, Report, Stop, Watch};

/// How long a wait goes on before it looks at the clock again, which may have been set.
const LOOK: Duration = Duration::from_secs(60);

/// A flow that runs by itself.
pub struct Schedule {
    engine: Arc<Engine>,
    flow: Arc<Flow>,
    beat: Beat,
    /// When the first of what systems finish later is asked after.
    check: Option<Timestamp>,
}

impl Schedule {
    /// A schedule for a flow, from its place on it.
    pub const fn new(engine: Arc<Engine>, flow: Arc<Flow>, beat: Beat) -> Self {
        Self { engine, flow, beat, check: None }
    }

    /// Runs the flow whenever its beat says so, until told to stop or until `on_run` says so.
    ///
    /// Between two runs it asks after what systems finish later. `on_run` gets every report and the
    /// moment of the next run; false ends the schedule.
    pub async fn run(
        mut self,
        stop: Stop,
        watch: Arc<dyn Watch>,
        mut on_run: impl FnMut(Report, Timestamp) -> bool + Send,
    ) {
        let clock = self.engine.clock().clone();
        while let Some(checks) = self.waits(&stop).await {
            let (report, at) = if checks {
                let report = self.engine.check(&self.flow, stop.clone(), watch.clone()).await;
                (report, self.beat.at())
            } else {
                let report = self.engine.run(&self.flow, stop.clone(), watch.clone()).await;
                let at = self.beat.next(clock.now(), &report);
                (report, at)
            };
            let soonest = clock.now().plus(Duration::from_secs(1));
            self.check = report.unfinished.next.map(|next| next.max(soonest));
            if !on_run(report, at) {
                return;
            }
        }
    }

    /// Waits for the next run, and says whether it only asks after something; `None` if told to
    /// stop first.
    async fn waits(&mut self, stop: &Stop) -> Option<bool> {
        let clock = self.engine.clock().clone();
        let mut stopped = stop.clone();
        while !stop.is_set() {
            let now = clock.now();
            let left = self.beat.look(now).since(now);
            if left.is_zero() {
                return Some(false);
            }
            let check = self.check.map_or(left, |check| check.since(now));
            if check.is_zero() {
                return Some(true);
            }
            let left = left.min(check);
            tokio::select! {
                () = stopped.wait() => {}
                () = clock.sleep(left.min(LOOK)) => {}
            }
        }
        None
    }
}
