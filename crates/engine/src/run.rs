//! One run of a flow: partitions one after another, each scanned page by page, in order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use connector::Want;
use store::Fence;

use crate::backfill::Of;
use crate::complete::Next;
use crate::context::Context;
use crate::deletes::DELETES;
use crate::fetch;
use crate::gone::Gone;
use crate::page::{InFlight, Waiting};
use crate::seen::SeenTable;
use crate::settled::Settled;
use crate::snapshot::{ScanState, Snapshot};
use crate::task::Task;
use crate::{Error, Event, Report, Result, Stop};

/// A run under way.
pub(crate) struct Run {
    pub(crate) context: Arc<Context>,
    /// The same for a backfill, whose requests let those of what is live go first.
    pub(crate) behind_live: Arc<Context>,
    pub(crate) fence: Fence,
    /// As committed.
    pub(crate) snapshot: Snapshot,
    /// The sequence of the last commit.
    pub(crate) sequence: u64,
    /// Read from the store when the first record comes; of few records only what is theirs.
    pub(crate) seen: Option<SeenTable>,
    /// How many entries the table had when it was last written as a whole, where a look-up told.
    pub(crate) rewritten: Option<u64>,
    /// How many entries this run's look-ups read.
    pub(crate) looked_through: u64,
    /// How many seen entries lie in the store, those included that are superseded.
    pub(crate) stored: u64,
    /// How many of them this run added since the table was written as a whole.
    pub(crate) appended: u64,
    /// The partitions that were listed last.
    pub(crate) listed: Vec<String>,
    /// What full scans found, where the flow tells what is gone.
    pub(crate) gone: Option<Gone>,
    pub(crate) stop: Stop,
    pub(crate) report: Report,
}

/// A run that ended: the seen table, if it was read as a whole, stands at its last commit.
pub(crate) struct Ended {
    pub(crate) report: Report,
    pub(crate) sequence: u64,
    pub(crate) seen: Option<SeenTable>,
}

/// How a scan ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Stopped,
}

impl Run {
    /// Scans every partition. One that fails does not stop the others, unless what failed would
    /// fail there too.
    pub(crate) async fn all(mut self) -> Ended {
        if self.left_first().await {
            self.live_and_backfill().await;
        }
        self.count_waiting().await;
        self.ended()
    }

    /// Asks after what systems finish later, and scans nothing.
    pub(crate) async fn checks(mut self) -> Ended {
        self.left_first().await;
        self.count_waiting().await;
        self.ended()
    }

    /// Settles what earlier runs left in doubt, and completes what is done elsewhere; says whether
    /// the run can go on.
    pub(crate) async fn left_first(&mut self) -> bool {
        if let Err(error) = self.resolve_journal().await {
            self.failed(error);
            return false;
        }
        let completed = self.complete_parked().await;
        let store_failed = matches!(completed, Err(Error::Store { .. }));
        if let Err(error) = completed {
            self.failed(error);
        }
        !self.report.stopped && !store_failed
    }

    fn ended(self) -> Ended {
        let seen = self.seen.filter(SeenTable::is_whole);
        Ended { report: self.report, sequence: self.sequence, seen }
    }

    pub(crate) fn failed(&mut self, error: Error) {
        self.report.needs_change |= error.needs_change();
        self.context.watch.on(&Event::Failed { error: &error });
        self.report.errors.push(error);
    }

    /// Scans every partition; says whether the run may go on with something else.
    pub(crate) async fn live(&mut self) -> bool {
        let listed = tokio::select! {
            biased;
            listed = fetch::partitions(&self.context) => listed,
            () = self.stop.wait() => {
                self.report.stopped = true;
                return false;
            }
        };
        let adopted = match listed {
            Ok(listed) => self.adopt(listed).await,
            Err(error) => Err(error),
        };
        let listed = match adopted {
            Ok(listed) => listed,
            Err(error) => {
                self.report.needs_change |= error.needs_change();
                self.report.errors.push(error);
                return false;
            }
        };
        self.context.watch.at("engine.run.listed");
        if self.context.flow.trigger.hears() {
            match self.said(&listed).await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    self.failed(error);
                    return false;
                }
            }
        }
        let alone = listed.len() == 1;
        let due = |partition: &String| {
            let known = self.snapshot.partitions.get(partition);
            let trigger = &self.context.flow.trigger;
            let now = self.context.clock.now();
            known.is_none_or(|known| known.scan.is_none())
                && self.snapshot.is_sweep_due(partition, trigger, now)
        };
        let sweep_all = listed.iter().any(due);
        if let Some(gone) = &mut self.gone {
            gone.sweep_all = sweep_all;
        }
        for partition in &listed {
            if self.stop.is_set() {
                self.report.stopped = true;
                return false;
            }
            match self.partition(partition, &listed).await {
                Ok(End::Complete) => {}
                Ok(End::Stopped) => {
                    self.report.stopped = true;
                    return false;
                }
                Err(error) => {
                    let ends_run = error.ends_run(alone);
                    self.report.needs_change |= ends_run && error.needs_change();
                    self.context.watch.on(&Event::Failed { error: &error });
                    self.report.errors.push(error);
                    if ends_run {
                        return false;
                    }
                }
            }
        }
        // What is gone cannot come again as it was once it is known anew what is.
        let mut settled = listed.clone();
        match self.delete_gone(&listed).await {
            Ok(true) => settled.push(DELETES.to_owned()),
            Ok(false) if self.report.stopped => return false,
            Ok(false) => {}
            Err(error) => self.failed(error),
        }
        // Pages of a backfill that was stopped may still ask for what the journal has.
        if self.report.errors.is_empty()
            && self.snapshot.backfill.is_none()
            && let Err(error) = self.clear_journal(&settled).await
        {
            self.failed(error);
            return false;
        }
        true
    }

    /// Takes note of what is listed. Partitions that are new where the snapshot says where such
    /// ones begin get their beginning in a commit of its own.
    async fn adopt(&mut self, listed: Vec<String>) -> Result<Vec<String>> {
        let mut snapshot = self.snapshot.clone();
        if snapshot.adopt(&listed) {
            self.commit_snapshot(snapshot).await?;
        }
        self.listed.clone_from(&listed);
        Ok(listed)
    }

    /// Scans one partition; after a scan that an earlier run began, once more for what changed
    /// in between. Where it is time for it, a full scan follows for what no timestamp shows.
    async fn partition(&mut self, partition: &str, listed: &[String]) -> Result<End> {
        let known = self.snapshot.partitions.get(partition);
        let was_read = known.is_some_and(|known| known.last_updated.is_some());
        let mut stuck = None;
        if let Some(scan) = known.and_then(|known| known.scan.clone()) {
            let sweeps = was_read && scan.since.is_none();
            match self.scan(partition, listed, scan, true).await {
                Ok(End::Complete) => {}
                Ok(End::Stopped) => return Ok(End::Stopped),
                // What is stuck in a sweep must not hold up what changed since. The poll takes the
                // sweep's place in the snapshot; it begins afresh.
                Err(error @ (Error::TooManyRejects { .. } | Error::Unavailable { .. }))
                    if sweeps =>
                {
                    // What it left in doubt goes before anything newer of its record.
                    self.resolve_journal().await?;
                    stuck = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if self.stop.is_set() {
            return Ok(End::Stopped);
        }
        let now = self.context.clock.now();
        let fresh = self.snapshot.next_scan(partition, &self.context.flow.trigger, now);
        let was_full = fresh.since.is_none();
        if self.scan(partition, listed, fresh, false).await? == End::Stopped || self.stop.is_set() {
            return Ok(End::Stopped);
        }
        if let Some(error) = stuck {
            return Err(error);
        }
        let now = self.context.clock.now();
        let trigger = &self.context.flow.trigger;
        let together = self.gone.as_ref().is_some_and(|gone| gone.sweep_all);
        if was_full || !(together || self.snapshot.is_sweep_due(partition, trigger, now)) {
            return Ok(End::Complete);
        }
        self.context.watch.at("engine.sweep.next");
        self.scan(partition, listed, ScanState::full(now), false).await
    }

    async fn scan(
        &mut self,
        partition: &str,
        listed: &[String],
        mut ahead: ScanState,
        resumed: bool,
    ) -> Result<End> {
        let context = self.context.clone();
        let flow = &*context.flow.name;
        let want = ahead.want();
        context.watch.on(&Event::Scanning { flow, partition, want, resumed });
        let sweeps = want == Want::All && self.snapshot.was_read_whole(partition);
        if let Some(gone) = &mut self.gone {
            gone.fresh = want == Want::All && !resumed;
        }
        let window = context.flow.window.get();
        let id: Arc<str> = partition.into();
        // On a task of its own, so that a page goes on arriving while another one is committed.
        let fetch = |ahead: &ScanState| {
            let page = fetch::page(context.clone(), id.clone(), want, ahead.cursor.clone());
            Task::of(page, context.trigger_place.clone(), "a fetch")
        };
        let mut pages: VecDeque<InFlight> = VecDeque::new();
        let mut deliveries: VecDeque<Task<Settled>> = VecDeque::new();
        let mut held: Option<Waiting> = None;
        let mut fetching = Some(fetch(&ahead));
        let mut more = true;
        let mut failed = None;
        let (mut stopping, mut over) = (false, false);
        let mut stop = self.stop.clone();
        let mut grace_over: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(std::future::pending());
        let end = loop {
            if let Some(waiting) = held.take_if(|_| deliveries.is_empty()) {
                deliveries.push_back(self.deliver(Of::Live, &id, waiting));
            }
            let room = held.is_none() && pages.len() < window;
            if fetching.is_none() && more && room && !stopping && failed.is_none() {
                fetching = Some(fetch(&ahead));
            }
            if fetching.is_none() && pages.is_empty() {
                break match failed {
                    Some(error) => Err(error),
                    None if more => Ok(End::Stopped),
                    None => {
                        context.watch.at("engine.scan.complete");
                        if let Some(gone) = &mut self.gone {
                            gone.complete(partition);
                        }
                        Ok(End::Complete)
                    }
                };
            }
            tokio::select! {
                biased;
                delivered = Task::next(deliveries.front_mut()) => {
                    deliveries.pop_front();
                    let Some(page) = pages.pop_front() else { break Err(self.lost()) };
                    context.watch.at("engine.page.delivered");
                    let settled = match delivered {
                        Ok(mut settled) => {
                            let outage = settled.outage.take();
                            let committed = self.settle(partition, listed, page, settled).await;
                            committed.map(|()| outage)
                        }
                        Err(error) => Err((error, page)),
                    };
                    match settled {
                        Ok(None) => {}
                        Ok(Some(outage)) => break Err(outage),
                        Err((error, page)) => {
                            pages.push_front(page);
                            break Err(error);
                        }
                    }
                }
                fetched = Task::next(fetching.as_mut()) => {
                    fetching = None;
                    match fetched {
                        Ok(fetched) => {
                            let next = self.whole(Of::Live, &ahead, fetched, &pages).await;
                            let fetched = match next {
                                Ok(Next::Whole(fetched)) => fetched,
                                Ok(Next::Asks(fetched, news)) => {
                                    let place = context.trigger_place.clone();
                                    let asking =
                                        fetched.complete(context.clone(), id.clone(), news);
                                    fetching = Some(Task::of(asking, place, "completing a page"));
                                    continue;
                                }
                                Err(error) => break Err(error),
                            };
                            context.watch.at("engine.page.fetched");
                            if sweeps {
                                context.watch.at("engine.sweep.fetched");
                            }
                            if !fetched.records.is_empty()
                                && context.flow.trigger.trigger.changes().are_remembered()
                                && let Err(error) = self.recall(&fetched, &pages).await
                            {
                                break Err(error);
                            }
                            if let Some(gone) = self.gone.as_mut().filter(|gone| gone.fresh) {
                                for (_, found) in &fetched.records {
                                    gone.find(found.key);
                                    if found.whole != found.key {
                                        gone.find(found.whole);
                                    }
                                }
                            }
                            more = fetched.next.is_some();
                            let sequence = self.sequence + 1 + pages.len() as u64;
                            let (page, waiting) =
                                self.detect(Of::Live, partition, &mut ahead, fetched, sequence);
                            context.watch.at("engine.page.detected");
                            let waits = page.detected.follows_in_flight
                                || pages.iter().any(|it| it.detected.shares_a_key(&page.detected));
                            pages.push_back(page);
                            if waits {
                                held = Some(waiting);
                            } else {
                deliveries.push_back(self.deliver(Of::Live, &id, waiting));
                            }
                        }
                        Err(error) if error.ends_run(listed.len() == 1) => break Err(error),
                        Err(error) => failed = Some(error),
                    }
                }
                () = stop.wait(), if !stopping => {
                    // Fetch no more; what was fetched is delivered and committed.
                    stopping = true;
                    Task::stop(fetching.take()).await;
                    let (clock, grace) = (context.clock.clone(), self.stop.grace);
                    grace_over = Box::pin(async move { clock.sleep(grace).await });
                }
                () = &mut grace_over => {
                    over = true;
                    break Ok(End::Stopped);
                }
            }
        };
        // What was not committed leaves no trace: the next run finds it again. Nothing of it may
        // go on beside that run.
        Task::stop(fetching).await;
        Task::stop(deliveries).await;
        // What was sent is written down first, unless that takes longer than finishing may.
        let patience = async {
            if over {
                return;
            }
            if !stopping {
                stop.wait().await;
                grace_over = Box::pin(context.clock.sleep(self.stop.grace));
            }
            grace_over.await;
        };
        tokio::select! {
            biased;
            () = context.calls.finish() => {}
            () = patience => {}
        }
        for page in pages.into_iter().rev() {
            if let Some(seen) = &mut self.seen {
                seen.undo(page.detected);
            }
        }
        end
    }

    fn lost(&self) -> Error {
        let problem = "a page was delivered that nobody fetched".to_owned();
        Error::Internal { place: self.context.trigger_place.clone(), problem }
    }
}
