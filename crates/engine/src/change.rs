//! What operators change of a flow's state: each in one commit, under the flow's lease, and
//! remembered, so that it can be taken back.

use connector::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Cause, Commit, EchoChange, Head, SeenChange};

use crate::backfill::Backfill;
use crate::forgotten::Forgotten;
use crate::snapshot::Snapshot;
use crate::{Engine, Error, Result};

/// What a change came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// The change's number in the history; absent if there was nothing to change.
    pub entry: Option<u64>,
    /// The number to rewind to in order to take it back.
    pub before: Option<u64>,
}

/// A snapshot to be committed in the place of another.
pub(crate) struct Change {
    pub(crate) snapshot: Snapshot,
    pub(crate) seen: SeenChange,
    pub(crate) cause: &'static str,
}

/// A flow's state in the hands of an operator: nobody else runs or changes the flow meanwhile.
pub(crate) struct Hands<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) flow: &'a str,
}

impl Hands<'_> {
    /// Changes what a flow remembers. `make` gets the last commit and the number that the change's
    /// own will have, and gives nothing if there is nothing to change.
    pub(crate) async fn change(
        &self,
        make: impl AsyncFnOnce(Option<&Head>, u64) -> Result<Option<Change>>,
    ) -> Result<Changed> {
        let (store, flow) = (self.engine.store(), self.flow);
        let _entered = self.engine.enter_or_refuse(flow)?;
        let failed = |error: store::Error| Error::store(flow, &error);
        let lease = store.lease(flow).await.map_err(failed)?;
        let head = lease.head.as_ref();
        let committed = head.map_or(0, |head| head.sequence);
        let now = self.engine.clock().now().millis();
        // The state as it is goes into the history first, if it is not there: what cannot be
        // taken back would be lost.
        let readable = head.filter(|head| Snapshot::read(flow, &head.snapshot).is_ok());
        let before = match readable {
            Some(head) => self.remembered(head).await?,
            None => None,
        };
        let keep = readable.filter(|_| before.is_none());
        let sequence = committed + 1 + u64::from(keep.is_some());
        let Some(Change { snapshot, seen, cause }) = make(head, sequence).await? else {
            return Ok(Changed::default());
        };
        // A reset sends everything again anyway.
        if let (Some(head), false) = (readable, cause == "reset")
            && Snapshot::read(flow, &head.snapshot)?.generation != snapshot.generation
        {
            self.is_settled().await?;
        }
        let snapshot = snapshot.write(flow)?;
        if let Some(head) = keep {
            let cause = Some(Cause { at: now, what: "scan".to_owned() });
            let commit = Commit { snapshot: head.snapshot.clone(), cause, ..Commit::default() };
            store.commit(&lease.fence, committed + 1, commit).await.map_err(failed)?;
        }
        // Who has records sent again wants them sent, whoever wrote them.
        let sends_again = cause != "keep";
        let all = EchoChange::ForgetAll { flow: flow.to_owned() };
        let echoes = if sends_again { vec![all] } else { vec![] };
        let cause = Some(Cause { at: now, what: cause.to_owned() });
        let commit = Commit { snapshot, seen, cause, echoes, ..Commit::default() };
        store.commit(&lease.fence, sequence, commit).await.map_err(failed)?;
        let before = before.or(keep.map(|_| committed + 1));
        Ok(Changed { entry: Some(sequence), before })
    }

    /// Refuses to give every message another name while some were sent and are not settled: under
    /// another name they would be sent a second time, which nobody asked for.
    async fn is_settled(&self) -> Result<()> {
        let open = self.engine.store().journaled(self.flow).await;
        match open.map_err(|error| Error::store(self.flow, &error))?.len() {
            0 => Ok(()),
            open => Err(Error::refused(
                self.flow,
                format!(
                    "its last run ended early, and {open} of its calls must not be sent twice: run \
                     the flow once, which settles them, then change its state"
                ),
            )),
        }
    }

    /// The number in the history of the snapshot as it is, if it is there.
    async fn remembered(&self, head: &Head) -> Result<Option<u64>> {
        let history = self.engine.store().history(self.flow).await;
        let history = history.map_err(|error| Error::store(self.flow, &error))?;
        let last = history.first().filter(|last| last.snapshot == head.snapshot);
        Ok(last.map(|last| last.sequence))
    }

    /// Goes on from the stored snapshot with another source.
    pub(crate) async fn keep(&self, source: String) -> Result<Changed> {
        self.change(async |head, _| {
            let Some(head) = head else { return Ok(None) };
            let mut snapshot = Snapshot::read(self.flow, &head.snapshot)?;
            snapshot.source = source;
            // A place inside a scan is one of the old source: the scan begins afresh, and what
            // was seen keeps it from sending again.
            for partition in snapshot.partitions.values_mut() {
                partition.give_up_scan();
            }
            if let Some(backfill) = &mut snapshot.backfill {
                backfill.restart_partition();
            }
            Ok(Some(Change { snapshot, seen: SeenChange::default(), cause: "keep" }))
        })
        .await
    }

    /// Forgets all progress: the next run reads everything, and what was seen counts as unseen.
    pub(crate) async fn reset(&self, source: String) -> Result<Changed> {
        self.change(async |head, sequence| {
            let Some(head) = head else { return Ok(None) };
            // What cannot be read is what a reset gets rid of; a newer format is not.
            let old = match Snapshot::read(self.flow, &head.snapshot) {
                Ok(snapshot) => snapshot,
                Err(error @ Error::NewerSnapshot { .. }) => return Err(error),
                // No generation so far was higher than the commits that made them.
                Err(_) => Snapshot { generation: head.sequence, ..Snapshot::default() },
            };
            let readable = self.engine.store().seen(self.flow, &mut |_| {}).await.is_ok();
            let mut snapshot = Snapshot { generation: old.generation + 1, ..Snapshot::new(source) };
            // Entries of the same source stay where they are, so that the reset can be taken back.
            let seen = if readable && old.source == snapshot.source {
                let all = Forgotten { after: 0, up_to: sequence, since: None };
                all.add(&mut snapshot.forgotten);
                SeenChange::default()
            } else {
                SeenChange::Replace(vec![])
            };
            Ok(Some(Change { snapshot, seen, cause: "reset" }))
        })
        .await
    }

    /// Begins a backfill of what changed since a moment.
    pub(crate) async fn backfill(
        &self,
        source: String,
        from: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<Changed> {
        let now = self.engine.clock().now();
        self.change(async |head, sequence| {
            let mut snapshot = Snapshot::of_head(self.flow, head.cloned(), source)?;
            if let Some(other) = &snapshot.backfill {
                let problem = format!(
                    "a backfill from {} is under way; the next run goes on with it, or \
                     `towpath run {} --stop-backfill` ends it",
                    other.from, self.flow
                );
                return Err(Error::refused(self.flow, problem));
            }
            snapshot.backfill = Some(Backfill::new(from, until, now, sequence));
            Ok(Some(Change { snapshot, seen: SeenChange::default(), cause: "backfill" }))
        })
        .await
    }

    /// Ends the backfill under way, if there is one, and gives it.
    pub(crate) async fn stop_backfill(&self) -> Result<Option<Backfill>> {
        let mut stopped = None;
        self.change(async |head, _| {
            let Some(head) = head else { return Ok(None) };
            let mut snapshot = Snapshot::read(self.flow, &head.snapshot)?;
            stopped = snapshot.backfill.take();
            let change = Change { snapshot, seen: SeenChange::default(), cause: "backfill" };
            Ok(stopped.is_some().then_some(change))
        })
        .await?;
        Ok(stopped)
    }
}
