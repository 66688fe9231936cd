//! A store that dies at a chosen commit, as a process does that is killed there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use store::{
    Accepted, Commit, DeadLetter, DeadLetterSummary, Delivery, Echo, Error, Fence, Found, Head,
    InboxEntry, InboxState, JournalChange, JournalEntry, Lease, Name, Parked, Remembered, Result,
    Room, RunLine, Seen, Store, TrailBlock,
};
use tokio::sync::Semaphore;

/// On which side of a commit the store dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The commit never happens.
    Before,
    /// The commit is durable, but nobody learns of it.
    After,
}

/// A store that dies at its n-th commit and answers nothing from then on.
pub struct Dying {
    store: Arc<dyn Store>,
    moment: Moment,
    left: AtomicUsize,
    tables: AtomicUsize,
    look_ups: AtomicUsize,
    lists: AtomicUsize,
    /// What is counted beside commits: writes to the journal.
    writes: AtomicUsize,
    /// A commit waits for a permit and keeps it.
    commits: Semaphore,
    begun: AtomicUsize,
}

impl Dying {
    /// Dies at the commit number `at`, counted from 1.
    pub fn new(store: Arc<dyn Store>, at: usize, moment: Moment) -> Self {
        let left = AtomicUsize::new(at);
        Self {
            store,
            moment,
            left,
            tables: AtomicUsize::default(),
            look_ups: AtomicUsize::default(),
            lists: AtomicUsize::default(),
            writes: AtomicUsize::new(usize::MAX),
            commits: Semaphore::new(Semaphore::MAX_PERMITS),
            begun: AtomicUsize::default(),
        }
    }

    /// Dies at the write to the journal number `at`, counted from 1.
    pub fn at_journal(store: Arc<dyn Store>, at: usize, moment: Moment) -> Self {
        Self { moment, writes: AtomicUsize::new(at), ..Self::never(store) }
    }

    /// How often the journal was written to, for a store that never dies.
    pub fn journal_writes(&self) -> usize {
        usize::MAX - self.writes.load(Ordering::SeqCst)
    }

    /// Never dies, and counts.
    pub fn never(store: Arc<dyn Store>) -> Self {
        Self::new(store, usize::MAX, Moment::Before)
    }

    /// Never dies, and holds every commit back until it is let through.
    pub fn held(store: Arc<dyn Store>) -> Self {
        Self { commits: Semaphore::new(0), ..Self::never(store) }
    }

    /// How many commits were begun.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// Lets so many more commits through.
    pub fn let_through(&self, commits: usize) {
        self.commits.add_permits(commits);
    }

    /// How often something was committed, for a store that never dies.
    pub fn commits(&self) -> usize {
        usize::MAX - self.left.load(Ordering::SeqCst)
    }

    /// How often a table of what was seen was read as a whole, and how many keys were looked up,
    /// since the last time that this was asked.
    pub fn take_reads(&self) -> (usize, usize) {
        (self.tables.swap(0, Ordering::SeqCst), self.look_ups.swap(0, Ordering::SeqCst))
    }

    /// How often all dead letters of a flow were gone through.
    pub fn lists(&self) -> usize {
        self.lists.load(Ordering::SeqCst)
    }

    /// Whether it died.
    pub fn is_dead(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0 || self.writes.load(Ordering::SeqCst) == 0
    }

    fn alive(&self) -> Result<&dyn Store> {
        if self.is_dead() { Err(Error::Crashed) } else { Ok(&*self.store) }
    }
}

#[async_trait]
impl Store for Dying {
    async fn lease(&self, flow: &str) -> Result<Lease> {
        self.alive()?.lease(flow).await
    }

    async fn commit(&self, fence: &Fence, sequence: u64, commit: Commit) -> Result<()> {
        self.alive()?;
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.commits.acquire().await.map_err(|_| Error::Crashed)?.forget();
        if self.left.fetch_sub(1, Ordering::SeqCst) > 1 {
            return self.store.commit(fence, sequence, commit).await;
        }
        if self.moment == Moment::After {
            self.store.commit(fence, sequence, commit).await?;
        }
        Err(Error::Crashed)
    }

    async fn head(&self, flow: &str) -> Result<Option<Head>> {
        self.alive()?.head(flow).await
    }

    async fn seen(
        &self,
        flow: &str,
        each: &mut (dyn for<'a> FnMut(&'a [Seen]) + Send),
    ) -> Result<()> {
        self.tables.fetch_add(1, Ordering::SeqCst);
        self.alive()?.seen(flow, each).await
    }

    async fn has_echoes(&self, flow: &str) -> Result<bool> {
        self.alive()?.has_echoes(flow).await
    }

    async fn echoes(&self, flow: &str, keys: &[[u8; 16]]) -> Result<Vec<Echo>> {
        self.alive()?.echoes(flow, keys).await
    }

    async fn look_up(&self, flow: &str, keys: &[[u8; 16]]) -> Result<Found> {
        self.look_ups.fetch_add(keys.len(), Ordering::SeqCst);
        self.alive()?.look_up(flow, keys).await
    }

    async fn record_run(&self, flow: &str, run: RunLine) -> Result<()> {
        self.alive()?.record_run(flow, run).await
    }

    async fn runs(&self, flow: &str) -> Result<Vec<RunLine>> {
        self.alive()?.runs(flow).await
    }

    async fn each_dead_letter(
        &self,
        flow: Option<&str>,
        each: &mut (dyn FnMut(DeadLetterSummary) -> bool + Send),
    ) -> Result<()> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.alive()?.each_dead_letter(flow, each).await
    }

    async fn letters_of(&self, flow: &str, records: &[[u8; 8]]) -> Result<Vec<([u8; 8], String)>> {
        self.alive()?.letters_of(flow, records).await
    }

    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>> {
        self.alive()?.dead_letter(id).await
    }

    async fn journal(&self, fence: &Fence, changes: Vec<JournalChange>) -> Result<()> {
        self.alive()?;
        if self.writes.fetch_sub(1, Ordering::SeqCst) > 1 {
            return self.store.journal(fence, changes).await;
        }
        if self.moment == Moment::After {
            self.store.journal(fence, changes).await?;
        }
        Err(Error::Crashed)
    }

    async fn accept(&self, flow: &str, delivery: Delivery, room: Room) -> Result<Accepted> {
        self.alive()?.accept(flow, delivery, room).await
    }

    async fn inbox(
        &self,
        flow: &str,
        between: (u64, u64),
        bytes: usize,
    ) -> Result<Vec<InboxEntry>> {
        self.alive()?.inbox(flow, between, bytes).await
    }

    async fn inbox_state(&self, flow: &str) -> Result<InboxState> {
        self.alive()?.inbox_state(flow).await
    }

    async fn journaled(&self, flow: &str) -> Result<Vec<JournalEntry>> {
        self.alive()?.journaled(flow).await
    }

    async fn each_parked(
        &self,
        flow: &str,
        each: &mut (dyn FnMut(Parked) -> bool + Send),
    ) -> Result<()> {
        self.alive()?.each_parked(flow, each).await
    }

    async fn parked_one(&self, flow: &str, id: &str) -> Result<Option<Parked>> {
        self.alive()?.parked_one(flow, id).await
    }

    async fn history(&self, flow: &str) -> Result<Vec<Remembered>> {
        self.alive()?.history(flow).await
    }

    async fn trail(
        &self,
        flow: &str,
        each: &mut (dyn FnMut(TrailBlock) -> bool + Send),
    ) -> Result<()> {
        self.alive()?.trail(flow, each).await
    }

    async fn names(
        &self,
        flow: &str,
        each: &mut (dyn for<'a> FnMut(&'a [Name]) + Send),
    ) -> Result<()> {
        self.alive()?.names(flow, each).await
    }

    async fn flows(&self) -> Result<Vec<String>> {
        self.alive()?.flows().await
    }

    async fn vault_get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.alive()?.vault_get(name).await
    }

    async fn vault_put(&self, name: &str, value: &[u8]) -> Result<()> {
        self.alive()?.vault_put(name, value).await
    }

    async fn vault_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.alive()?.vault_names(prefix).await
    }

    async fn vault_remove(&self, name: &str) -> Result<bool> {
        self.alive()?.vault_remove(name).await
    }

    fn keyed_hash(&self, domain: &str, parts: &[&[u8]]) -> [u8; 32] {
        self.store.keyed_hash(domain, parts)
    }
}
