//! The service: sleeps until a flow is due, starts its run, and owns every run to its end.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use connector::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};

use super::host::{Host, Ran};
use super::timetable::{Due, Planned, Standing, Timetable};
use crate::builtin::{Alerts, Hearing, Teller};
use crate::{Engine, Error, Place, Report, Stop, Watch};

/// How long a wait goes on before it looks at the clock again, which may have been set.
const LOOK: Duration = Duration::from_secs(60);

/// What a service is made of.
pub struct Options {
    /// What runs the flows.
    pub engine: Arc<Engine>,
    /// Where the flows are, and who hears of their runs.
    pub host: Arc<dyn Host>,
    /// What hears of everything within a run.
    pub watch: Arc<dyn Watch>,
    /// How many runs may be under way at once; a run that is due waits for its turn.
    pub most_runs: NonZeroUsize,
}

/// Runs flows on their schedules until a signal.
///
/// A flow never runs twice at once, and ticks that go by meanwhile are skipped. A flow that waits
/// is an entry in a table: there is one timer and no task for it.
pub struct Service {
    options: Options,
    table: Timetable,
    changes: UnboundedReceiver<Change>,
    alerts: Alerts,
    /// What alerts wake flows by.
    handle: Handle,
}

/// Tells a service which flows there are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(UnboundedSender<Change>);

#[derive(Debug)]
enum Change {
    Put(Vec<Planned>),
    Remove(Arc<str>),
    Wake(Arc<str>),
    Pause(Arc<str>),
    Resume(Arc<str>),
    Run(Arc<str>, oneshot::Sender<bool>),
    Look(Vec<Arc<str>>, oneshot::Sender<Vec<Standing>>),
}

impl Handle {
    /// A handle on a service that has ended: nothing runs, and nothing is paused.
    pub fn ended() -> Self {
        Self(unbounded_channel().0)
    }

    /// Takes flows up, or tells that they have changed: the next run of each is of its new
    /// version, and its place on a schedule that is still the same stays.
    pub fn put(&self, planned: Vec<Planned>) {
        self.send(Change::Put(planned));
    }

    /// Lets a flow go; a run under way goes on to its end.
    pub fn remove(&self, flow: Arc<str>) {
        self.send(Change::Remove(flow));
    }

    /// Tells that something came for a flow that is called: it runs, unless its last run failed and
    /// its wait is not over.
    pub fn wake(&self, flow: Arc<str>) {
        self.send(Change::Wake(flow));
    }

    /// Lets a flow run only when somebody says so; a run under way goes on to its end.
    ///
    /// Forgotten with the process: [`pause`](super::pause) keeps it.
    pub fn pause(&self, flow: Arc<str>) {
        self.send(Change::Pause(flow));
    }

    /// Lets a flow run on its schedule again.
    pub fn resume(&self, flow: Arc<str>) {
        self.send(Change::Resume(flow));
    }

    /// Runs a flow as soon as there is room, be it paused or without a schedule; says whether it
    /// will, which it will not where a run of it is under way or the service is stopping.
    pub async fn run_now(&self, flow: Arc<str>) -> bool {
        let (sender, answer) = oneshot::channel();
        self.send(Change::Run(flow, sender));
        answer.await.unwrap_or(false)
    }

    /// Where flows stand, in the order of the names; nothing once the service has ended.
    pub async fn standing(&self, flows: Vec<Arc<str>>) -> Vec<Standing> {
        let (sender, answer) = oneshot::channel();
        self.send(Change::Look(flows, sender));
        answer.await.unwrap_or_default()
    }

    fn send(&self, change: Change) {
        // A service that has ended runs no flow anyway.
        drop(self.0.send(change));
    }
}

/// A run that has ended.
struct Ended {
    due: Due,
    started: Timestamp,
    report: Report,
}

impl Service {
    /// A service with the flows that there are at first, and the way to tell it of others.
    pub fn new(mut options: Options, planned: Vec<Planned>) -> (Self, Handle) {
        let (sender, changes) = unbounded_channel();
        let (handle, alerts) = (Handle(sender), Alerts::default());
        options.watch = Arc::new(Hearing { watch: options.watch, alerts: alerts.clone() });
        let now = options.engine.clock().now();
        let table = Timetable::default();
        let mut service = Self { options, table, changes, alerts, handle: handle.clone() };
        service.put(planned, now);
        (service, handle)
    }

    fn put(&mut self, planned: Vec<Planned>, now: Timestamp) {
        for Planned { flow, called, .. } in &planned {
            self.alerts.put(flow, *called, self.options.host.alert(flow));
        }
        self.table.put(planned, now);
    }

    /// Lets these flows run only when somebody says so.
    #[must_use]
    pub fn with_paused(mut self, flows: impl IntoIterator<Item = Arc<str>>) -> Self {
        flows.into_iter().for_each(|flow| self.table.pause(flow));
        self
    }

    /// The flow that runs next, and when.
    pub fn next(&self) -> Option<(Timestamp, &str)> {
        self.table.next()
    }

    /// Runs the flows until told to stop; returns when the last run has ended.
    pub async fn run(self, stop: Stop) {
        let (engine, handle) = (self.options.engine.clone(), self.handle.clone());
        let teller = Teller::new(self.alerts.clone(), engine, handle);
        // On a task of its own: what is read for it must not hold up the timer.
        let telling = tokio::spawn(teller.tell(stop.clone()));
        self.runs(stop).await;
        if let Err(error) = telling.await {
            tracing::warn!(%error, "alerts were not told any more");
        }
    }

    async fn runs(mut self, stop: Stop) {
        let clock = self.options.engine.clock().clone();
        let mut stopped = stop.clone();
        let mut runs = JoinSet::new();
        let mut under_way = HashMap::new();
        let mut open = true;
        loop {
            // Looked at once: a signal that comes between two looks would be waited for by nobody.
            let stopping = stop.is_set();
            let now = clock.now();
            self.table.look(now);
            while !stopping && runs.len() < self.options.most_runs.get() {
                let Some(due) = self.table.take(now) else { break };
                self.options.host.begins(&due.flow, now);
                let started = runs.spawn(run(&self.options, due.clone(), stop.clone()));
                under_way.insert(started.id(), due);
            }
            if stopping && runs.is_empty() {
                return;
            }
            let next = self.table.next().map(|(at, _)| at.since(now));
            let wait = next.unwrap_or(LOOK).min(LOOK);
            let room = runs.len() < self.options.most_runs.get();
            tokio::select! {
                biased;
                () = stopped.wait(), if !stopping => {}
                Some(ended) = runs.join_next_with_id() => {
                    if let Some(ended) = self.known(ended, &mut under_way).await {
                        self.ended(ended, &stop);
                    }
                }
                change = self.changes.recv(), if open => match change {
                    Some(change) => self.change(change, clock.now(), stop.is_set()),
                    None => open = false,
                },
                () = clock.sleep(wait), if room && !stopping => {}
            }
        }
    }

    fn change(&mut self, change: Change, now: Timestamp, stopping: bool) {
        match change {
            Change::Put(planned) => self.put(planned, now),
            Change::Remove(flow) => {
                self.alerts.remove(&flow);
                self.table.remove(&flow);
            }
            Change::Wake(flow) => self.table.wake(&flow, now),
            Change::Pause(flow) => self.table.pause(flow),
            Change::Resume(flow) => self.table.resume(&flow, now),
            // Who asked and has gone since learns it from the run itself.
            Change::Run(flow, answer) => drop(answer.send(!stopping && self.table.ask(flow))),
            Change::Look(flows, answer) => {
                let standing = flows.iter().map(|flow| self.table.standing(flow)).collect();
                drop(answer.send(standing));
            }
        }
    }

    /// The end of a run, also of one that broke off.
    async fn known(
        &self,
        ended: Result<(Id, Ended), JoinError>,
        under_way: &mut HashMap<Id, Due>,
    ) -> Option<Ended> {
        match ended {
            Ok((id, ended)) => {
                under_way.remove(&id);
                Some(ended)
            }
            Err(error) => {
                let due = under_way.remove(&error.id())?;
                let engine = &self.options.engine;
                let started = engine.clock().now();
                let report = lost(engine, &due, &error).await;
                Some(Ended { due, started, report })
            }
        }
    }

    fn ended(&mut self, ended: Ended, stop: &Stop) {
        let Ended { due, started, report } = ended;
        let clock = self.options.engine.clock();
        self.alerts.ended((&due.flow, due.checks), started, clock.elapsed(), &report);
        let next = self.table.ended(&due.flow, clock.now(), &report);
        let next = next.filter(|_| !stop.is_set());
        if report.is_idle() {
            return;
        }
        let ran = Ran { flow: &due.flow, due: due.at, started, report: &report, next };
        self.options.host.ran(&ran);
    }
}

/// One run: gets the flow, which may have to be compiled, and runs it.
fn run(options: &Options, due: Due, stop: Stop) -> impl Future<Output = Ended> + Send + 'static {
    let (engine, host) = (options.engine.clone(), options.host.clone());
    let watch = options.watch.clone();
    async move {
        let name = due.flow.clone();
        let found = tokio::task::spawn_blocking(move || host.flow(&name)).await;
        let started = engine.clock().now();
        let report = match found {
            Ok(Ok(_)) if stop.is_set() => Report { stopped: true, ..Report::default() },
            Ok(Ok(flow)) if due.checks => Box::pin(engine.check(&flow, stop, watch)).await,
            Ok(Ok(flow)) => Box::pin(engine.run(&flow, stop, watch)).await,
            Ok(Err(error)) => engine.refused(&due.flow, error).await,
            Err(error) => lost(&engine, &due, &error).await,
        };
        Ended { due, started, report }
    }
}

/// Keeps the line of a run that broke off, and gives its report.
async fn lost(engine: &Engine, due: &Due, error: &JoinError) -> Report {
    let place = Place { flow: due.flow.to_string(), step: None, account: String::new() };
    let problem = format!("the run broke off: {error}");
    engine.refused(&due.flow, Error::Internal { place, problem }).await
}
