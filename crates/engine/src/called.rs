//! What a system said by itself, before its flow polls: the records are asked for, and settled as if
//! a scan had found them.

use std::sync::Arc;

use crate::Result;
use crate::backfill::Of;
use crate::complete::Next;
use crate::inbox;
use crate::run::Run;
use crate::snapshot::ScanState;
use crate::task::Task;

impl Run {
    /// Takes what waits in the inbox, page by page; says whether the run may go on. What is told is
    /// of the first partition: a trigger that hears has one.
    ///
    /// A page's commit takes it out of the inbox. The snapshot stays as it is: what was not said is
    /// found by the polls and sweeps that follow.
    pub(crate) async fn said(&mut self, listed: &[String]) -> Result<bool> {
        let context = self.context.clone();
        let partition: Arc<str> = listed.first().map_or("", String::as_str).into();
        let mut cursor = None;
        loop {
            if self.stop.is_set() {
                self.report.stopped = true;
                return Ok(false);
            }
            let fetched = inbox::page(context.clone(), partition.clone(), cursor.take()).await?;
            if fetched.records.is_empty() && fetched.taken.is_none() {
                return Ok(true);
            }
            let mut ahead = ScanState::full(context.clock.now());
            let mut stop = self.stop.clone();
            let fetched = match self.whole(Of::Events, &ahead, fetched, []).await? {
                Next::Whole(fetched) => fetched,
                Next::Asks(fetched, news) => tokio::select! {
                    biased;
                    completed = fetched.complete(context.clone(), partition.clone(), news) => completed?,
                    () = stop.wait() => continue,
                },
            };
            self.recall(&fetched, []).await?;
            let sequence = self.sequence + 1;
            let (page, waiting) =
                self.detect(Of::Events, &partition, &mut ahead, fetched, sequence);
            context.watch.at("engine.page.detected");
            let next = page.scan.cursor.clone();
            let mut delivering: Task<_> = self.deliver(Of::Events, &partition, waiting);
            let delivered = delivering.within_grace(&self.stop, &*context.clock).await;
            context.watch.at("engine.page.delivered");
            let (ended, page) = match delivered {
                Some(Ok(mut settled)) => {
                    let outage = settled.outage.take();
                    match self.settle(&partition, listed, page, settled).await {
                        Ok(()) => {
                            if let Some(outage) = outage {
                                return Err(outage);
                            }
                            match next {
                                None => return Ok(true),
                                Some(next) => cursor = Some(next),
                            }
                            continue;
                        }
                        Err((error, page)) => (Err(error), page),
                    }
                }
                Some(Err(error)) => (Err(error), page),
                None => {
                    Task::stop([delivering]).await;
                    self.report.stopped = true;
                    (Ok(false), page)
                }
            };
            // What was sent is written down, also if something else failed.
            context.calls.finish().await;
            if let Some(seen) = &mut self.seen {
                seen.undo(page.detected);
            }
            return ended;
        }
    }
}
