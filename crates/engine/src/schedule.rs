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
}

impl Schedule {
    /// A schedule for a flow, from its place on it.
    pub const fn new(engine: Arc<Engine>, flow: Arc<Flow>, beat: Beat) -> Self {
        Self { engine, flow, beat }
    }

    /// Runs the flow whenever its beat says so, until told to stop or until `on_run` says so.
    ///
    /// `on_run` gets every report and the moment of the next run; false ends the schedule.
    pub async fn run(
        mut self,
        stop: Stop,
        watch: Arc<dyn Watch>,
        mut on_run: impl FnMut(Report, Timestamp) -> bool + Send,
    ) {
        let clock = self.engine.clock().clone();
        while self.waits(&stop).await {
            let report = self.engine.run(&self.flow, stop.clone(), watch.clone()).await;
            let at = self.beat.next(clock.now(), &report);
            if !on_run(report, at) {
                return;
            }
        }
    }

    /// Waits for the next run; false if told to stop first.
    async fn waits(&mut self, stop: &Stop) -> bool {
        let clock = self.engine.clock().clone();
        let mut stopped = stop.clone();
        while !stop.is_set() {
            let now = clock.now();
            let left = self.beat.look(now).since(now);
            if left.is_zero() {
                return true;
            }
            tokio::select! {
                () = stopped.wait() => {}
                () = clock.sleep(left.min(LOOK)) => {}
            }
        }
        false
    }
}
