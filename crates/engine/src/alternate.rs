//! What is live goes first; a backfill gets a page in between.

use std::sync::Arc;

use connector::Changes;
use store::{Commit, Counts};

use crate::backfill::{Backfilled, Of};
use crate::complete::Next;
use crate::fetch;
use crate::page::InFlight;
use crate::run::Run;
use crate::snapshot::Snapshot;
use crate::task::Task;
use crate::{Error, Event, Result, history};

/// How far a backfill's turn came.
enum Turn {
    More,
    Over,
    Stopped,
}

impl Run {
    /// Scans what is live; while a backfill is under way, alternates with its pages until that is
    /// over.
    ///
    /// What changes meanwhile waits for one page of the backfill at most. Where each scan reads
    /// everything, the backfill gets as many pages as that took, since nothing comes sooner by
    /// scanning more often.
    pub(crate) async fn live_and_backfill(&mut self) {
        loop {
            let (pages, errors) = (self.report.pages, self.report.errors.len());
            let goes_on = self.live().await;
            if !goes_on || self.report.stopped || self.snapshot.backfill.is_none() {
                return;
            }
            // What a page that failed left in doubt goes before anything newer of its record.
            if self.report.errors.len() > errors
                && let Err(error) = self.resolve_journal().await
            {
                self.failed(error);
                return;
            }
            let live = self.report.pages - pages;
            let turns = if self.asks_by_time() { 1 } else { live.max(1) };
            for _ in 0..turns {
                match self.backfill_page().await {
                    Ok(Turn::More) => {}
                    Ok(Turn::Over) => return,
                    Ok(Turn::Stopped) => {
                        self.report.stopped = true;
                        return;
                    }
                    Err(error) => {
                        self.failed(error);
                        return;
                    }
                }
            }
            // Where something fails, the schedule decides when it is tried again; the backfill
            // has moved by a page nevertheless.
            if self.report.errors.len() > errors || !self.left_first().await {
                return;
            }
        }
    }

    fn asks_by_time(&self) -> bool {
        let changes = self.context.flow.trigger.trigger.changes();
        matches!(changes, Changes::Timestamps | Changes::Both)
    }

    /// Takes one page of the backfill from its fetch to its commit.
    async fn backfill_page(&mut self) -> Result<Turn> {
        let (by_time, listed) = (self.asks_by_time(), self.listed.clone());
        let Some(backfill) = self.snapshot.backfill.clone() else { return Ok(Turn::Over) };
        let context = self.context_of(Of::Backfill).clone();
        let place = &context.trigger_place;
        let Some((partition, mut ahead)) = backfill.next(&listed, by_time, context.clock.now())
        else {
            // What was left is gone.
            let snapshot = Snapshot { backfill: None, ..self.snapshot.clone() };
            self.commit_snapshot(snapshot).await?;
            self.report.backfill = Some(Backfilled { backfill, is_complete: true, by_time });
            return Ok(Turn::Over);
        };
        let resumed = self.report.backfill.is_none() && backfill.counts.records > 0;
        context.watch.on(&Event::Backfilling {
            flow: &context.flow.name,
            partition: &partition,
            want: ahead.want(),
            records: backfill.counts.records,
            done: backfill.done.len(),
            partitions: listed.len(),
            resumed,
        });
        let id: Arc<str> = partition.as_str().into();
        let fetch = fetch::page(context.clone(), id.clone(), ahead.want(), ahead.cursor.clone());
        let mut fetching = Task::of(fetch, place.clone(), "a fetch");
        let mut stop = self.stop.clone();
        let fetched = tokio::select! {
            biased;
            fetched = &mut fetching => fetched?,
            () = stop.wait() => {
                Task::stop([fetching]).await;
                return Ok(Turn::Stopped);
            }
        };
        context.watch.at("engine.page.fetched");
        let fetched = match self.whole(Of::Backfill, &ahead, fetched, []).await? {
            Next::Whole(fetched) => fetched,
            Next::Asks(fetched, news) => tokio::select! {
                biased;
                completed = fetched.complete(context.clone(), id.clone(), news) => completed?,
                () = stop.wait() => return Ok(Turn::Stopped),
            },
        };
        self.recall(&fetched, []).await?;
        let sequence = self.sequence + 1;
        let (page, waiting) = self.detect(Of::Backfill, &partition, &mut ahead, fetched, sequence);
        context.watch.at("engine.page.detected");
        let mut delivering = self.deliver(Of::Backfill, &id, waiting);
        let delivered = delivering.within_grace(&self.stop, &*context.clock).await;
        context.watch.at("engine.page.delivered");
        let (ended, page) = match delivered {
            Some(Ok(settled)) => match self.settle(&partition, &listed, page, settled).await {
                Ok(()) if self.snapshot.backfill.is_none() => return Ok(Turn::Over),
                Ok(()) if self.stop.is_set() => return Ok(Turn::Stopped),
                Ok(()) => return Ok(Turn::More),
                Err((error, page)) => (Err(error), page),
            },
            Some(Err(error)) => (Err(error), page),
            None => {
                Task::stop([delivering]).await;
                (Ok(Turn::Stopped), page)
            }
        };
        if let Some(seen) = &mut self.seen {
            seen.undo(page.detected);
        }
        ended
    }
}

impl Run {
    /// The snapshot as it is behind a page of the backfill, and how far that came.
    pub(crate) fn behind_backfill(
        &self,
        partition: &str,
        listed: &[String],
        page: &InFlight,
        counts: Counts,
    ) -> (Snapshot, Option<Backfilled>) {
        let mut snapshot = self.beside(partition, page);
        let Some(mut backfill) = snapshot.backfill.take() else { return (snapshot, None) };
        backfill.pass(partition, &page.scan, counts);
        let is_complete = backfill.is_complete(listed);
        snapshot.backfill = Some(backfill.clone()).filter(|_| !is_complete);
        let by_time = self.asks_by_time();
        (snapshot, Some(Backfilled { backfill, is_complete, by_time }))
    }

    /// Commits a change of the snapshot alone.
    pub(crate) async fn commit_snapshot(&mut self, snapshot: Snapshot) -> Result<()> {
        let flow = &self.context.flow.name;
        let cause = history::cause(&self.snapshot, &snapshot, self.context.clock.now());
        let commit = Commit { snapshot: snapshot.write(flow)?, cause, ..Commit::default() };
        let done = self.context.store.commit(&self.fence, self.sequence + 1, commit).await;
        done.map_err(|error| Error::store(flow, &error))?;
        self.sequence += 1;
        self.snapshot = snapshot;
        Ok(())
    }
}
