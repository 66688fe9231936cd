//! The store as the engine sees it: every commit is looked at, and may be the last.

use std::sync::Arc;

use async_trait::async_trait;
use store::{
    Accepted, Commit, DeadLetter, DeadLetterSummary, Delivery, Echo, Error, Fence, Found, Head,
    InboxEntry, InboxState, JournalChange, JournalEntry, Lease, MemoryStore, Name, Parked,
    Remembered, Result, Room, RunLine, Seen, Store, TrailBlock,
};

use crate::model::{reconcile, step_of};
use crate::world::{with, world};

/// A store of one process; when that is dead, nothing is answered any more.
pub(crate) struct Witness(pub(crate) Arc<MemoryStore>);

/// Goes on in a process that lives.
pub(crate) async fn alive() {
    if with(|world| world.dead) {
        std::future::pending::<()>().await;
    }
}

impl Witness {
    async fn answer<T>(&self, found: Result<T>) -> Result<T> {
        if let Err(Error::Crashed) = found {
            with(|world| {
                world.note("store fails", 0, 0);
                if world.ends.with_store {
                    world.die();
                }
            });
        }
        alive().await;
        found
    }
}

#[async_trait]
impl Store for Witness {
    async fn lease(&self, flow: &str) -> Result<Lease> {
        alive().await;
        let lease = self.0.lease(flow).await;
        if let Err(what) = reconcile(&*self.0).await {
            with(|world| world.breaks(|| what));
        }
        self.answer(lease).await
    }

    async fn commit(&self, fence: &Fence, sequence: u64, commit: Commit) -> Result<()> {
        alive().await;
        let mut marks = vec![];
        for change in &commit.letters {
            if let Some(letter) = self.0.dead_letter(&change.id).await? {
                let step = letter.step.as_deref().and_then(step_of).unwrap();
                marks.push(((letter.message_id, step), change.change.clone()));
            }
        }
        let yields = with(|world| {
            world.foresee(sequence, &commit, &marks);
            world.numbers.below(3)
        });
        yield_now(yields).await;
        alive().await;
        let done = self.0.commit(fence, sequence, commit).await;
        if done.is_ok() {
            with(|world| {
                world.committed();
                world.point("store.committed");
            });
        }
        let done = self.answer(done).await;
        yield_now(yields).await;
        done
    }

    async fn head(&self, flow: &str) -> Result<Option<Head>> {
        alive().await;
        self.0.head(flow).await
    }

    async fn seen(
        &self,
        flow: &str,
        each: &mut (dyn for<'a> FnMut(&'a [Seen]) + Send),
    ) -> Result<()> {
        alive().await;
        self.0.seen(flow, each).await
    }

    async fn names(
        &self,
        flow: &str,
        each: &mut (dyn for<'a> FnMut(&'a [Name]) + Send),
    ) -> Result<()> {
        alive().await;
        self.0.names(flow, each).await
    }

    async fn has_echoes(&self, flow: &str) -> Result<bool> {
        alive().await;
        self.0.has_echoes(flow).await
    }

    async fn echoes(&self, flow: &str, keys: &[[u8; 16]]) -> Result<Vec<Echo>> {
        alive().await;
        self.0.echoes(flow, keys).await
    }

    async fn look_up(&self, flow: &str, keys: &[[u8; 16]]) -> Result<Found> {
        alive().await;
        self.0.look_up(flow, keys).await
    }

    async fn accept(&self, flow: &str, delivery: Delivery, room: Room) -> Result<Accepted> {
        alive().await;
        let kept = self.0.accept(flow, delivery, room).await;
        self.answer(kept).await
    }

    async fn inbox(
        &self,
        flow: &str,
        between: (u64, u64),
        bytes: usize,
    ) -> Result<Vec<InboxEntry>> {
        alive().await;
        self.0.inbox(flow, between, bytes).await
    }

    async fn inbox_state(&self, flow: &str) -> Result<InboxState> {
        alive().await;
        self.0.inbox_state(flow).await
    }

    async fn record_run(&self, flow: &str, run: RunLine) -> Result<()> {
        alive().await;
        let done = self.0.record_run(flow, run).await;
        self.answer(done).await
    }

    async fn runs(&self, flow: &str) -> Result<Vec<RunLine>> {
        self.0.runs(flow).await
    }

    async fn each_dead_letter(
        &self,
        flow: Option<&str>,
        each: &mut (dyn FnMut(DeadLetterSummary) -> bool + Send),
    ) -> Result<()> {
        self.0.each_dead_letter(flow, each).await
    }

    async fn letters_of(&self, flow: &str, records: &[[u8; 8]]) -> Result<Vec<([u8; 8], String)>> {
        self.0.letters_of(flow, records).await
    }

    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>> {
        self.0.dead_letter(id).await
    }

    async fn journal(&self, fence: &Fence, changes: Vec<JournalChange>) -> Result<()> {
        alive().await;
        let yields = with(|world| {
            world.note("journal", changes.len() as i64, 0);
            world.numbers.below(3)
        });
        yield_now(yields).await;
        alive().await;
        let done = self.0.journal(fence, changes).await;
        if done.is_ok() {
            with(|world| world.point("store.journaled"));
        }
        let done = self.answer(done).await;
        yield_now(yields).await;
        done
    }

    async fn journaled(&self, flow: &str) -> Result<Vec<JournalEntry>> {
        alive().await;
        self.0.journaled(flow).await
    }

    async fn each_parked(
        &self,
        flow: &str,
        each: &mut (dyn FnMut(Parked) -> bool + Send),
    ) -> Result<()> {
        alive().await;
        self.0.each_parked(flow, each).await
    }

    async fn parked_one(&self, flow: &str, id: &str) -> Result<Option<Parked>> {
        alive().await;
        self.0.parked_one(flow, id).await
    }

    async fn history(&self, flow: &str) -> Result<Vec<Remembered>> {
        self.0.history(flow).await
    }

    async fn trail(
        &self,
        flow: &str,
        each: &mut (dyn FnMut(TrailBlock) -> bool + Send),
    ) -> Result<()> {
        self.0.trail(flow, each).await
    }

    async fn flows(&self) -> Result<Vec<String>> {
        self.0.flows().await
    }

    async fn vault_get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        alive().await;
        self.0.vault_get(name).await
    }

    async fn vault_put(&self, name: &str, value: &[u8]) -> Result<()> {
        alive().await;
        let done = self.0.vault_put(name, value).await;
        self.answer(done).await
    }

    async fn vault_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.0.vault_names(prefix).await
    }

    async fn vault_remove(&self, name: &str) -> Result<bool> {
        alive().await;
        let done = self.0.vault_remove(name).await;
        self.answer(done).await
    }

    fn keyed_hash(&self, domain: &str, parts: &[&[u8]]) -> [u8; 32] {
        self.0.keyed_hash(domain, parts)
    }
}

/// Lets others go first.
pub(crate) async fn yield_now(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

/// Tells the world of every point.
pub(crate) struct Points;

impl engine::Watch for Points {
    fn on(&self, event: &engine::Event<'_>) {
        if let engine::Event::Scanning { .. } = event {
            // What the scan before left uncommitted is found again.
            with(|world| world.open.clear());
        }
    }

    fn at(&self, point: &'static str) {
        let world = world();
        crate::world::lock(&world).point(point);
    }
}
