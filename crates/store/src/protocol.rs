//! The commit protocol, once for every home: leases, sequences, writes in order, recovery.
//!
//! A commit writes seen blocks, dead letters, parked work, a snapshot of the history, a block of the
//! trail and a note of what the journal forgets under its own sequence, then what becomes of echoes,
//! which are true whether or not the commit comes to its head, then the head, then it deletes what
//! the head made obsolete. Invariant: whatever prefix of these writes survives a crash,
//! readers see the last commit whose head is there, and nothing else. So nothing depends on how many
//! of the writes a home is handed at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::format;
use crate::inbox::Inboxes;
use crate::journal;
use crate::layout::{self, StoredHead, Tip};
use crate::pieces::Pieces;
use crate::seal::Sealer;
use crate::seen::{Blocks, Change, Kept};
use crate::store::{
    Accepted, Commit, DeadLetter, DeadLetterSummary, Delivery, Echo, Epoch, Fence, Found, Head,
    InboxEntry, InboxState, JournalChange, JournalEntry, Lease, Name, Parked, Remembered, Room,
    RunLine, Seen, Store, TrailBlock,
};
use crate::trail::Trails;
use crate::trees::{Tree, Trees, Wait, Write};
use crate::upkeep::Retention;

/// A home of the store, as a caller holds it.
pub(crate) trait Home: Send + Sync + 'static {
    type Trees: Trees;
    fn core(&self) -> &Arc<Core<Self::Trees>>;
}

/// What all homes share: the protocol over their trees.
pub(crate) struct Core<T> {
    pub(crate) trees: T,
    pub(crate) sealer: Sealer,
    pub(crate) trails: Trails,
    pub(crate) inboxes: Inboxes,
    opening: u64,
    retention: Mutex<Retention>,
    flows: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Committer>>>>,
}

/// Where the commits of one flow stand in this process; its lock keeps them in turn.
#[derive(Default)]
pub(crate) struct Committer {
    /// The number of the lease that may commit; 0 before the first.
    lease: u64,
    /// The tip, if the trees are known to hold nothing beyond it; `None` after a lease and after
    /// a failure, when the next commit looks and cleans up first.
    tip: Option<(Tip, Kept)>,
    /// Whether no crashed commit of an earlier lease left anything in the journal.
    pub(crate) journal_is_clear: bool,
}

impl<T: Trees> Core<T> {
    /// Opens the trees: checks format and key, or sets a new store up.
    pub(crate) async fn open(trees: T, sealer: Sealer) -> Result<Self> {
        trees.at("store.opened");
        let (opening, sealer) = format::open(&trees, sealer).await?;
        trees.at("store.counted");
        let core = Self::opened(trees, sealer, opening);
        if !format::has_catalogue(&core.trees).await? {
            core.make_catalogue().await?;
        }
        Ok(core)
    }

    /// Takes trees whose format and key were checked.
    pub(crate) fn opened(trees: T, sealer: Sealer, opening: u64) -> Self {
        Self {
            trees,
            sealer,
            trails: Trails::default(),
            inboxes: Inboxes::default(),
            opening,
            retention: Mutex::default(),
            flows: Mutex::default(),
        }
    }

    /// How long things are kept that nothing depends on.
    pub(crate) fn retention(&self) -> Retention {
        *self.retention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_retention(&self, retention: Retention) {
        *self.retention.lock().unwrap_or_else(PoisonError::into_inner) = retention;
    }

    pub(crate) fn committer(&self, flow: &str) -> Arc<tokio::sync::Mutex<Committer>> {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(flows.entry(flow.to_owned()).or_default())
    }

    async fn lease(&self, flow: &str) -> Result<Lease> {
        let committer = self.committer(flow);
        let mut committer = committer.lock().await;
        let head = self.stored_head(flow).await?;
        committer.lease += 1;
        committer.tip = None;
        committer.journal_is_clear = false;
        let epoch = Epoch { opening: self.opening, lease: committer.lease };
        let fence = Fence { flow: flow.to_owned(), epoch };
        Ok(Lease { fence, head: head.map(Head::from) })
    }

    /// Refuses a fence that somebody else's lease made stale.
    pub(crate) fn is_current(&self, fence: &Fence, committer: &Committer) -> Result<()> {
        let current = Epoch { opening: self.opening, lease: committer.lease };
        if fence.epoch == current { Ok(()) } else { Err(Error::Fenced) }
    }

    async fn commit(&self, fence: &Fence, sequence: u64, commit: Commit) -> Result<()> {
        let flow = fence.flow.as_str();
        let committer = self.committer(flow);
        let mut committer = committer.lock().await;
        self.is_current(fence, &committer)?;
        let (tip, known) = match committer.tip.clone() {
            Some((tip, kept)) => (tip, Some(kept)),
            None => (self.stored_head(flow).await?.map(|head| head.tip).unwrap_or_default(), None),
        };
        if tip.sequence.checked_add(1) != Some(sequence) {
            let expected = tip.sequence.saturating_add(1);
            return Err(Error::Sequence { expected, got: sequence });
        }
        let counts = tip.counts.checked_add(commit.counts).ok_or(Error::CountOverflow)?;

        let (kept, leftovers) = match known {
            Some(kept) => (kept, Vec::new()),
            None => self.leftovers(flow, tip).await?,
        };
        if !leftovers.is_empty() {
            self.trees.at("store.leftovers.found");
        }
        let items = self.item_writes(flow, sequence, &commit).await?;
        let obsolete_items = self.obsolete_items(flow, sequence, &items.items).await?;
        let catalogue = self.catalogue_writes(flow, &items)?;
        let note = self.journal_note(flow, sequence, &commit.journal)?;
        let note_gone =
            note.as_ref().map(|_| Write::Delete(Tree::Journal, layout::commit_key(flow, sequence)));
        let forgotten = journal::forgotten(flow, &commit.journal);
        let past = self.past(flow, sequence, &commit).await?;
        let taking = self.taking(flow, sequence, commit.taken).await?;
        let took = taking.as_ref().map(|taking| taking.at(sequence));
        let (taken, taken_gone) = taking.map(|it| (it.note, it.obsolete)).unzip();
        let echoes = self.echo_writes(&commit.echoes).await?;
        let names = self.name_blocks(flow, sequence, &commit.names)?;
        let seen = self.change(flow, (&kept, tip.seen_entries), sequence, commit.seen).await?;
        let Change { seen_from, seen_entries, .. } = seen;
        let next = Tip { sequence, seen_from, seen_entries, counts };
        let key = layout::flow_prefix(flow);
        let head = StoredHead { tip: next, snapshot: commit.snapshot }.encode();
        let head = self.sealer.seal(Tree::Heads, &key, &head)?;

        // Until the writes are known to be applied, the trees may hold any prefix of them.
        committer.tip = None;
        let written = async {
            let mut pieces = Pieces::to(&self.trees);
            pieces.add(leftovers).await?;
            pieces.add(Blocks::of(&self.sealer, flow, sequence, &seen.parts, seen.form)).await?;
            pieces.add(catalogue.before).await?;
            pieces.add(items.items).await?;
            pieces.add(past.added).await?;
            pieces.add(names).await?;
            pieces.add(note).await?;
            pieces.add(taken).await?;
            // Before the head: an echo that is forgotten too soon is carried once more, one that
            // stays too long would keep a change from being carried.
            pieces.add(echoes).await?;
            let kept = (tip.sequence, sequence);
            let old_names = self.keep_names(&mut pieces, flow, kept, &commit.names).await?;
            pieces.add([Write::Put(Tree::Heads, key, head)]).await?;
            pieces.add(obsolete_items).await?;
            pieces.add(forgotten).await?;
            pieces.add(note_gone).await?;
            pieces.add(taken_gone.unwrap_or_default()).await?;
            pieces.add(past.obsolete).await?;
            pieces.add(old_names).await?;
            pieces.add(seen.obsolete).await?;
            pieces.add(catalogue.behind).await?;
            pieces.finish().await
        };
        let written: Result<()> = written.await;
        if written.is_err() {
            self.trails.forget(flow);
        }
        self.took(flow, took, written.is_ok()).await;
        written?;
        committer.tip = Some((next, seen.kept));
        Ok(())
    }

    /// Returns the deletions of what crashed commits left: entries above the tip, and entries
    /// that the tip made obsolete but did not come to delete.
    pub(crate) async fn leftovers(&self, flow: &str, tip: Tip) -> Result<(Kept, Vec<Write>)> {
        let (kept, blocks) = self.kept(flow, tip.seen_from..=tip.sequence).await?;
        let blocks = blocks.into_iter().map(|key| Write::Delete(Tree::Seen, key));
        let mut gone: Vec<Write> = blocks.collect();
        gone.extend(self.leftover_items(flow, tip.sequence).await?);
        gone.extend(self.leftover_past(flow, tip.sequence).await?);
        gone.extend(self.leftover_journal(flow, tip.sequence).await?);
        gone.extend(self.leftover_inbox(flow, tip.sequence).await?);
        let names = self.counted_names(flow, tip.sequence).await?.left_over;
        gone.extend(names.into_iter().map(|key| Write::Delete(Tree::Names, key)));
        Ok((kept, gone))
    }

    async fn record_run(&self, flow: &str, run: &RunLine) -> Result<()> {
        let hash = self.keyed_hash("run", &[run.run.as_bytes()]);
        let key = layout::run_key(flow, run.started, std::array::from_fn(|at| hash[at]));
        let plain = serde_json::to_vec(run).map_err(unencodable)?;
        let line = self.sealer.seal(Tree::Runs, &key, &plain)?;
        let mut keys = self.trees.keys(Tree::Runs, &layout::flow_prefix(flow)).await?;
        if let Err(at) = keys.binary_search(&key) {
            keys.insert(at, key.clone());
        }
        keys.truncate(keys.len().saturating_sub(self.retention().runs));
        let mut writes = vec![Write::Put(Tree::Runs, key, line)];
        writes.extend(keys.into_iter().map(|key| Write::Delete(Tree::Runs, key)));
        self.trees.apply(writes, Wait::Visible).await?;
        self.trees.at("store.run.written");
        Ok(())
    }

    async fn vault_put(&self, name: &str, value: &[u8]) -> Result<()> {
        let key = self.vault_key(name);
        let sealed = self.sealer.seal(Tree::Vault, &key, value)?;
        let label = layout::vault_label(&key);
        let sealed_name = self.sealer.seal(Tree::Vault, &label, name.as_bytes())?;
        self.trees.at("store.token.next");
        // The name first and, in a removal, last: a value never lacks its name.
        let writes =
            vec![Write::Put(Tree::Vault, label, sealed_name), Write::Put(Tree::Vault, key, sealed)];
        self.trees.apply(writes, Wait::Durable).await?;
        self.trees.at("store.token.kept");
        Ok(())
    }

    async fn vault_remove(&self, name: &str) -> Result<bool> {
        let key = self.vault_key(name);
        let known = self.trees.get(Tree::Vault, &key).await?.is_some();
        let label = layout::vault_label(&key);
        let writes = vec![Write::Delete(Tree::Vault, key), Write::Delete(Tree::Vault, label)];
        self.trees.apply(writes, Wait::Durable).await?;
        Ok(known)
    }

    pub(crate) fn vault_key(&self, name: &str) -> Vec<u8> {
        self.keyed_hash("vault", &[name.as_bytes()]).to_vec()
    }

    /// Hashes for the store's own keys, apart from every domain of a caller.
    pub(crate) fn keyed_hash(&self, domain: &str, parts: &[&[u8]]) -> [u8; 32] {
        self.sealer.keyed_hash(&format!("store: {domain}"), parts)
    }
}

pub(crate) fn unencodable(error: serde_json::Error) -> Error {
    Error::Database { doing: "encode an entry", reason: error.to_string() }
}

/// Lets work run to its end even if the caller stops waiting: a commit that is dropped halfway
/// would let go of the flow's lock while its writes are still under way.
async fn to_the_end<R: Send + 'static>(
    work: impl Future<Output = Result<R>> + Send + 'static,
) -> Result<R> {
    tokio::spawn(work).await.map_err(|_| Error::Interrupted)?
}

#[async_trait]
impl<H: Home> Store for H {
    async fn lease(&self, flow: &str) -> Result<Lease> {
        self.core().lease(flow).await
    }

    async fn commit(&self, fence: &Fence, sequence: u64, commit: Commit) -> Result<()> {
        let (core, fence) = (Arc::clone(self.core()), fence.clone());
        to_the_end(async move { core.commit(&fence, sequence, commit).await }).await
    }

    async fn head(&self, flow: &str) -> Result<Option<Head>> {
        Ok(self.core().stored_head(flow).await?.map(Head::from))
    }

    async fn seen(
        &self,
        flow: &str,
        each: &mut (dyn for<'a> FnMut(&'a [Seen]) + Send),
    ) -> Result<()> {
        self.core().seen(flow, each).await
    }

    async fn look_up(&self, flow: &str, keys: &[[u8; 16]]) -> Result<Found> {
        self.core().look_up(flow, keys).await
    }

    async fn record_run(&self, flow: &str, run: RunLine) -> Result<()> {
        let (core, flow) = (Arc::clone(self.core()), flow.to_owned());
        to_the_end(async move { core.record_run(&flow, &run).await }).await
    }

    async fn runs(&self, flow: &str) -> Result<Vec<RunLine>> {
        self.core().runs(flow).await
    }

    async fn last_run(&self, flow: &str) -> Result<Option<RunLine>> {
        self.core().last_run(flow).await
    }

    async fn each_dead_letter(
        &self,
        flow: Option<&str>,
        each: &mut (dyn FnMut(DeadLetterSummary) -> bool + Send),
    ) -> Result<()> {
        self.core().each_dead_letter(flow, each).await
    }

    async fn letters_of(&self, flow: &str, records: &[[u8; 8]]) -> Result<Vec<([u8; 8], String)>> {
        self.core().letters_of(flow, records).await
    }

    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>> {
        self.core().dead_letter(id).await
    }

    async fn journal(&self, fence: &Fence, changes: Vec<JournalChange>) -> Result<()> {
        let (core, fence) = (Arc::clone(self.core()), fence.clone());
        to_the_end(async move { core.journal(&fence, changes).await }).await
    }

    async fn journaled(&self, flow: &str) -> Result<Vec<JournalEntry>> {
        self.core().journaled(flow).await
    }

    async fn accept(&self, flow: &str, delivery: Delivery, room: Room) -> Result<Accepted> {
        self.core().accept(flow, delivery, room).await
    }

    async fn inbox(
        &self,
        flow: &str,
        between: (u64, u64),
        bytes: usize,
    ) -> Result<Vec<InboxEntry>> {
        self.core().inbox(flow, between, bytes).await
    }

    async fn inbox_state(&self, flow: &str) -> Result<InboxState> {
        self.core().inbox_state(flow).await
    }

    async fn has_echoes(&self, flow: &str) -> Result<bool> {
        self.core().has_echoes(flow).await
    }

    async fn echoes(&self, flow: &str, keys: &[[u8; 16]]) -> Result<Vec<Echo>> {
        self.core().echoes(flow, keys).await
    }

    async fn each_parked(
        &self,
        flow: &str,
        each: &mut (dyn FnMut(Parked) -> bool + Send),
    ) -> Result<()> {
        self.core().each_parked(flow, each).await
    }

    async fn parked_one(&self, flow: &str, id: &str) -> Result<Option<Parked>> {
        self.core().parked_one(flow, id).await
    }

    async fn history(&self, flow: &str) -> Result<Vec<Remembered>> {
        self.core().history(flow).await
    }

    async fn trail(
        &self,
        flow: &str,
        each: &mut (dyn FnMut(TrailBlock) -> bool + Send),
    ) -> Result<()> {
        self.core().trail(flow, each).await
    }

    async fn names(
        &self,
        flow: &str,
        each: &mut (dyn for<'a> FnMut(&'a [Name]) + Send),
    ) -> Result<()> {
        self.core().names(flow, each).await
    }

    async fn flows(&self) -> Result<Vec<String>> {
        self.core().flows().await
    }

    async fn vault_get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.core().vault_get(name).await
    }

    async fn vault_put(&self, name: &str, value: &[u8]) -> Result<()> {
        let (core, name, value) = (Arc::clone(self.core()), name.to_owned(), value.to_vec());
        to_the_end(async move { core.vault_put(&name, &value).await }).await
    }

    async fn vault_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.core().vault_names(prefix).await
    }

    async fn vault_remove(&self, name: &str) -> Result<bool> {
        let (core, name) = (Arc::clone(self.core()), name.to_owned());
        to_the_end(async move { core.vault_remove(&name).await }).await
    }

    fn keyed_hash(&self, domain: &str, parts: &[&[u8]]) -> [u8; 32] {
        self.core().sealer.keyed_hash(&format!("caller: {domain}"), parts)
    }
}
