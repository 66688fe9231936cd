//! One atomic commit a page, after its last message is settled. Nobody else moves a snapshot.

use std::collections::HashMap;

use connector::Changes;
use store::{Commit, Counts, NamesChange, ParkedChange, SeenChange};

use crate::backfill::Of;
use crate::horizon::Horizon;
use crate::journal::Settling;
use crate::page::InFlight;
use crate::run::Run;
use crate::seen::is_worth_writing_anew;
use crate::settled::Settled;
use crate::snapshot::Snapshot;
use crate::{Error, Event, history};

impl Run {
    /// Commits a page; gives it back with the error if that fails.
    ///
    /// A page that ends its scan and brings no news writes nothing.
    #[allow(clippy::result_large_err)] // The page goes back to where it was taken from.
    pub(crate) async fn settle(
        &mut self,
        partition: &str,
        listed: &[String],
        page: InFlight,
        mut settled: Settled,
    ) -> Result<(), (Error, InFlight)> {
        let letters = match self.overtaken(&mut settled, &HashMap::new()).await {
            Ok(letters) => letters,
            Err(error) => return Err((error, page)),
        };
        let flow = self.context.flow.clone();
        let counts = Counts {
            records: page.detected.records,
            emitted: page.detected.records - page.detected.unchanged,
            unchanged: page.detected.unchanged,
            filtered: settled.filtered,
            echoed: settled.echoed,
            overruled: settled.overruled,
            delivered: settled.delivered,
            dead_lettered: settled.dead_letters.len() as u64,
        };
        let parked = settled.parked.len() as u64;
        let (echoes, _turn) = match self.context.echoes_of(&mut settled).await {
            Ok(echoes) => echoes,
            Err(error) => return Err((error, page)),
        };
        let (snapshot, backfilled) = match page.of {
            Of::Live => (self.behind(partition, listed, &page), None),
            Of::Backfill => self.behind_backfill(partition, listed, &page, counts),
            Of::Events => (self.beside(partition, &page), None),
        };
        let added = page.detected.seen.len() as u64;
        let is_partial = self.seen.as_ref().is_some_and(|seen| !seen.is_whole());
        let ends_scan = page.scan.cursor.is_none();
        // Where nothing is written anyway, nothing is rewritten either.
        if is_partial
            && ends_scan
            && added > 0
            && self.has_outgrown(self.stored + added)
            && let Err(error) = self.recall_all([&page]).await
        {
            return Err((error, page));
        }
        let (seen, stored, appended) = self.kept(listed, &page, &snapshot);
        let rewritten = matches!(seen, SeenChange::Replace(_)).then_some(stored);
        let nothing_seen = matches!(&seen, SeenChange::Append(entries) if entries.is_empty());
        let names = page.detected.names.clone();
        let context = self.context.clone();
        let settling = match &context.journal {
            None => Settling::default(),
            Some(journal) => match journal.settle(false, &settled.journaled).await {
                Ok(settling) => settling,
                Err(error) => return Err((error, page)),
            },
        };
        let news = !nothing_seen
            || !names.is_empty()
            || !settled.is_empty()
            || page.taken.is_some()
            || !settling.obsolete.is_empty()
            || snapshot != self.snapshot;
        let mut took = None;
        if news {
            let cause = history::cause(&self.snapshot, &snapshot, self.context.clock.now());
            let committed = match snapshot.write(&flow.name) {
                Ok(snapshot) => {
                    let commit = Commit {
                        snapshot,
                        seen,
                        echoes,
                        cause,
                        names: NamesChange::Append(names),
                        counts,
                        trail: settled.trail(self.context.clock.now()),
                        dead_letters: settled.dead_letters,
                        letters,
                        parked: settled.parked.into_iter().map(ParkedChange::Put).collect(),
                        journal: settling.obsolete.clone(),
                        taken: page.taken,
                    };
                    let (store, watch) = (&self.context.store, &self.context.watch);
                    watch.at("engine.commit.next");
                    let began = self.context.clock.now();
                    let done = store.commit(&self.fence, self.sequence + 1, commit).await;
                    watch.at("engine.commit.done");
                    took = Some(self.context.clock.now().since(began));
                    done.map_err(|error| Error::store(&flow.name, &error))
                }
                Err(error) => Err(error),
            };
            if let Err(error) = committed {
                // The table may be pruned for the commit that failed; the store knows what counts.
                self.seen = None;
                return Err((error, page));
            }
            if let Some(journal) = &context.journal {
                journal.settled(settling);
            }
            self.sequence += 1;
            self.snapshot = snapshot;
            self.report.backfill = backfilled.or(self.report.backfill.take());
            self.stored = stored;
            self.appended = appended;
            self.rewritten = rewritten.or(self.rewritten);
        }
        tracing::debug!(
            flow = flow.name,
            partition,
            records = counts.records,
            news,
            "page settled"
        );
        self.report.pages += 1;
        self.report.pages_of_news += u64::from(news || counts.records > 0);
        self.report.add(counts);
        self.report.parked += parked;
        self.context.watch.on(&Event::Committed { flow: &flow.name, counts, took });
        Ok(())
    }

    /// The snapshot as it is behind a page that no scan came to. What it settled lies ahead of the
    /// partition's own scans.
    pub(crate) fn beside(&self, partition: &str, page: &InFlight) -> Snapshot {
        let mut snapshot = self.snapshot.clone();
        if let Some(part) = snapshot.partitions.get_mut(partition) {
            part.settled(page.scan.newest);
        }
        snapshot
    }

    /// The snapshot as it is behind a page.
    fn behind(&self, partition: &str, listed: &[String], page: &InFlight) -> Snapshot {
        let mut snapshot = self.snapshot.clone();
        let part = snapshot.partitions.entry(partition.to_owned()).or_default();
        // Keys that come while nobody keeps their names have none.
        part.named &= self.gone.is_some();
        if page.scan.cursor.is_some() {
            part.scan = Some(page.scan.clone());
        } else {
            part.scan = None;
            part.last_updated = page.scan.result(part.last_updated);
            part.position = page.position.clone().or(part.position.take());
            part.named |= self.gone.as_ref().is_some_and(|gone| gone.fresh);
            part.settled(page.scan.newest);
            // A partition without records is read whole at every poll anyway.
            let sweeps = self.context.flow.trigger.trigger.changes() == Changes::Both;
            if sweeps && part.last_updated.is_some() {
                part.last_sweep = page.scan.began.or(part.last_sweep);
            }
            if sweeps && self.context.flow.trigger.trigger.begins().is_some() {
                // What is older than the flow's beginning is not read by its first run.
                part.last_sweep = part.last_sweep.or_else(|| Some(self.context.clock.now()));
            }
            snapshot.settle_top(listed);
        }
        snapshot
    }

    /// What becomes of the seen entries behind a page; how many the store holds then, and how many
    /// of them this run added.
    ///
    /// At the end of a scan the table, if it is whole, is written anew if entries were pruned, or
    /// if that pays.
    fn kept(
        &mut self,
        listed: &[String],
        page: &InFlight,
        snapshot: &Snapshot,
    ) -> (SeenChange, u64, u64) {
        let added = page.detected.seen.len() as u64;
        let (stored, appended) = (self.stored + added, self.appended + added);
        let complete = page.scan.cursor.is_none();
        let horizon = self.prunable(listed, page, snapshot);
        let unchanged =
            |page: &InFlight| (SeenChange::Append(page.detected.seen.clone()), stored, appended);
        let outgrown = self.has_outgrown(stored);
        let Some(seen) = self.seen.as_mut().filter(|seen| seen.is_whole()) else {
            return unchanged(page);
        };
        let rewritten = horizon.and_then(|horizon| seen.prune(&horizon)).or_else(|| {
            let live = seen.len() as u64;
            let anew = outgrown || is_worth_writing_anew(stored, appended, live);
            (complete && anew).then(|| seen.compact())
        });
        match rewritten {
            Some(table) => (SeenChange::Replace(table), seen.len() as u64, 0),
            None => unchanged(page),
        }
    }

    /// Which seen entries may go, at the end of a scan by timestamps.
    fn prunable(&self, listed: &[String], page: &InFlight, snapshot: &Snapshot) -> Option<Horizon> {
        let trigger = &self.context.flow.trigger;
        let by_time = trigger.trigger.changes() == Changes::Timestamps;
        let complete = page.scan.cursor.is_none();
        // A backfill will come to what is older: what was settled since it began still counts.
        (by_time && complete && snapshot.backfill.is_none())
            .then(|| Horizon::of(snapshot, listed, trigger.overlap))
            .flatten()
    }
}
