//! A flow held for changes outside of its runs: no run goes on meanwhile, here or elsewhere.

use store::{Commit, Fence, Head};

use crate::engine::Running;
use crate::{Engine, Error, Result};

/// The right to commit to a flow that does not run.
pub(crate) struct Held<'a> {
    engine: &'a Engine,
    _running: Running<'a>,
    fence: Fence,
    /// The last commit.
    pub(crate) head: Head,
}

impl Engine {
    /// Takes a flow over; `None` if it never committed.
    pub(crate) async fn hold(&self, flow: &str) -> Result<Option<Held<'_>>> {
        let running = self.enter(flow);
        let running = running.ok_or_else(|| Error::AlreadyRunning { flow: flow.to_owned() })?;
        let lease = self.store().lease(flow).await;
        let lease = lease.map_err(|error| Error::store(flow, &error))?;
        let held = |head| Held { engine: self, _running: running, fence: lease.fence, head };
        Ok(lease.head.map(held))
    }
}

impl Held<'_> {
    /// Commits a change that leaves the snapshot and what was seen as they are.
    pub(crate) async fn commit(&mut self, commit: Commit) -> Result<()> {
        let flow = self.fence.flow();
        let sequence = self.head.sequence + 1;
        let seen = self.engine.tables.take(flow, self.head.sequence);
        let commit = Commit { snapshot: self.head.snapshot.clone(), ..commit };
        let done = self.engine.store().commit(&self.fence, sequence, commit).await;
        done.map_err(|error| Error::store(flow, &error))?;
        self.head.sequence = sequence;
        if let Some(seen) = seen {
            self.engine.tables.keep(flow, sequence, seen);
        }
        Ok(())
    }
}
