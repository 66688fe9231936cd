//! The contract of a store and the data that crosses it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Result;
pub use crate::commit::*;
pub use crate::letter::*;

/// Keeps what a flow must not forget, one atomic commit a page.
///
/// Calls may run concurrently; commits of one flow are made one after another, in the order of
/// their sequences. A call whose future is dropped may still take effect as a whole, never in
/// part.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Takes the flow over: the returned fence is valid, every older one is stale from now on.
    ///
    /// Waits for a commit of the flow that is under way, so the head is final. Writes nothing.
    async fn lease(&self, flow: &str) -> Result<Lease>;

    /// Commits one page; durable when it returns.
    ///
    /// The first commit of a flow carries sequence 1. Refuses a stale fence
    /// ([`Error::Fenced`](crate::Error::Fenced)) and any sequence but the next
    /// ([`Error::Sequence`](crate::Error::Sequence)); then nothing was written. After any other
    /// error the commit holds wholly or not at all: lease again to learn which.
    async fn commit(&self, fence: &Fence, sequence: u64, commit: Commit) -> Result<()>;

    /// Returns the flow's last commit, without a lease; `None` before the first one.
    async fn head(&self, flow: &str) -> Result<Option<Head>>;

    /// Gives all committed seen entries to `each`, some thousands at a time, in commit order: for
    /// the same key, later ones win.
    ///
    /// Commits of the flow wait meanwhile, so the entries are those of one commit. After an error
    /// what was given is not all.
    async fn seen(
        &self,
        flow: &str,
        each: &mut (dyn for<'a> FnMut(&'a [Seen]) + Send),
    ) -> Result<()>;

    /// Gives what is kept of some keys, without reading much else.
    ///
    /// Commits of the flow wait meanwhile. Meant for as few keys as a poll finds: for many,
    /// [`seen`](Self::seen) is faster.
    async fn look_up(&self, flow: &str, keys: &[[u8; 16]]) -> Result<Found>;

    /// Adds a run's line and keeps the newest 100 of the flow, by start; not synced to disk.
    ///
    /// The same run and start again overwrites its line.
    async fn record_run(&self, flow: &str, run: RunLine) -> Result<()>;

    /// Returns the lines of the flow's runs, newest first.
    async fn runs(&self, flow: &str) -> Result<Vec<RunLine>>;

    /// Returns the line of the flow's last run, without a look at the others.
    async fn last_run(&self, flow: &str) -> Result<Option<RunLine>> {
        Ok(self.runs(flow).await?.into_iter().next())
    }

    /// Gives the dead letters of one flow, or of all flow by flow, to `each`, without their payloads
    /// and in no order that says anything, until that says `false` or there is no more. Some of
    /// them are in memory at once.
    async fn each_dead_letter(
        &self,
        flow: Option<&str>,
        each: &mut (dyn FnMut(DeadLetterSummary) -> bool + Send),
    ) -> Result<()>;

    /// Lists the dead letters of one flow or of all, newest first, without their payloads: as many
    /// as there are.
    async fn dead_letters(&self, flow: Option<&str>) -> Result<Vec<DeadLetterSummary>> {
        let mut letters = Vec::new();
        let mut each = |letter| {
            letters.push(letter);
            true
        };
        self.each_dead_letter(flow, &mut each).await?;
        letters.sort_by(DeadLetterSummary::newest_first);
        Ok(letters)
    }

    /// Finds the open dead letters of a flow's records, by the first halves of the records' keys:
    /// the half and the letter's id. Takes as long as there are `records`, however many letters
    /// there are.
    ///
    /// Some of them may be open no more, or gone: look at the letter itself.
    async fn letters_of(&self, flow: &str, records: &[[u8; 8]]) -> Result<Vec<([u8; 8], String)>>;

    /// Returns a dead letter by its id or a prefix of it that is unique; `None` if there is none.
    ///
    /// An ambiguous prefix is [`Error::AmbiguousId`](crate::Error::AmbiguousId).
    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>>;

    /// Writes journal entries; durable when it returns. A stale fence is refused.
    ///
    /// Entries stay until they are forgotten here or by a commit; after an error, a crash or a
    /// power failure some of the changes may hold, in their order.
    async fn journal(&self, fence: &Fence, changes: Vec<JournalChange>) -> Result<()>;

    /// Returns the flow's journal entries, by id.
    async fn journaled(&self, flow: &str) -> Result<Vec<JournalEntry>>;

    /// Keeps what came for a flow; durable when it returns. Needs no lease.
    ///
    /// Calls at once share a write to the disk. One whose key came before is not kept again: its
    /// answer is that of the first, durable too. A full inbox is
    /// [`Error::InboxFull`](crate::Error::InboxFull); after any other error it may be kept or not.
    async fn accept(&self, flow: &str, delivery: Delivery, room: Room) -> Result<Accepted>;

    /// Returns what waits in a flow's inbox behind a position, and up to another one, by their
    /// numbers: until there are as many `bytes`, but at least one entry if there is any.
    async fn inbox(&self, flow: &str, between: (u64, u64), bytes: usize)
    -> Result<Vec<InboxEntry>>;

    /// Returns where a flow's inbox stands.
    async fn inbox_state(&self, flow: &str) -> Result<InboxState>;

    /// Whether a flow has any echoes to look for.
    async fn has_echoes(&self, flow: &str) -> Result<bool>;

    /// Returns the echoes that a flow looks for and that have one of these keys, in their order.
    ///
    /// Those of a commit may be there before its head is.
    async fn echoes(&self, flow: &str, keys: &[[u8; 16]]) -> Result<Vec<Echo>>;

    /// Gives what the flow's messages wait for at remote systems to `each`, in no order that says
    /// anything, until that says `false` or there is no more. Some of it is in memory at once.
    async fn each_parked(
        &self,
        flow: &str,
        each: &mut (dyn FnMut(Parked) -> bool + Send),
    ) -> Result<()>;

    /// Returns what a message of the flow waits for, by its id.
    async fn parked_one(&self, flow: &str, id: &str) -> Result<Option<Parked>>;

    /// Returns what the flow's messages wait for at remote systems, by the time of the next check:
    /// all of it, with its payloads.
    async fn parked(&self, flow: &str) -> Result<Vec<Parked>> {
        let mut parked = Vec::new();
        let mut each = |it| {
            parked.push(it);
            true
        };
        self.each_parked(flow, &mut each).await?;
        parked.sort_by(|a, b| a.check_at.cmp(&b.check_at).then_with(|| a.id.cmp(&b.id)));
        Ok(parked)
    }

    /// Returns the snapshots that commits with a [`Cause`] remembered, at most the last 50, newest
    /// first.
    async fn history(&self, flow: &str) -> Result<Vec<Remembered>>;

    /// Gives what became of the flow's records to `each`, newest commit first, until that says
    /// `false` or there is no more.
    async fn trail(
        &self,
        flow: &str,
        each: &mut (dyn FnMut(TrailBlock) -> bool + Send),
    ) -> Result<()>;

    /// Gives all committed names of seen keys to `each`, in commit order; a key may come again.
    ///
    /// Commits of the flow wait meanwhile. After an error what was given is not all.
    async fn names(
        &self,
        flow: &str,
        each: &mut (dyn for<'a> FnMut(&'a [Name]) + Send),
    ) -> Result<()>;

    /// Lists the flows that committed, ran, wrote to their journals or were sent something, sorted
    /// by name.
    async fn flows(&self) -> Result<Vec<String>>;

    /// Returns what the vault keeps under a name.
    async fn vault_get(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Seals a value into the vault; durable when it returns.
    async fn vault_put(&self, name: &str, value: &[u8]) -> Result<()>;

    /// Lists the names in the vault that begin with `prefix`, sorted.
    ///
    /// What a store kept before it kept names is listed from its next put on.
    async fn vault_names(&self, prefix: &str) -> Result<Vec<String>>;

    /// Removes what the vault keeps under a name, and says whether there was anything; durable
    /// when it returns.
    ///
    /// The disk may hold the sealed bytes until their place is used again.
    async fn vault_remove(&self, name: &str) -> Result<bool>;

    /// Hashes the parts with a key derived from the master key.
    ///
    /// Parts are length-prefixed, so `["ab", "c"]` and `["a", "bc"]` differ. The same store gives
    /// the same hash for ever; another key gives another.
    fn keyed_hash(&self, domain: &str, parts: &[&[u8]]) -> [u8; 32];
}

/// A flow taken over: the right to commit, and where to go on from.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The right to commit until the next lease of the flow.
    pub fence: Fence,
    /// The last commit, if there was one.
    pub head: Option<Head>,
}

/// The right to commit to one flow, until somebody else leases it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    pub(crate) flow: String,
    pub(crate) epoch: Epoch,
}

impl Fence {
    /// Returns the flow that this fence is for.
    #[must_use]
    pub fn flow(&self) -> &str {
        &self.flow
    }
}

/// Which opening of the store gave a lease, and its number within that.
///
/// The pair grows from lease to lease without a write: only the openings are counted on disk,
/// since one process at a time holds an embedded store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) opening: u64,
    pub(crate) lease: u64,
}

/// A flow's last commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The sequence of the last commit; the next one carries one more.
    pub sequence: u64,
    /// The engine's snapshot: JSON that the store does not read.
    pub snapshot: Vec<u8>,
    /// The totals of all commits.
    pub counts: Counts,
    /// How many seen entries are kept, those included that later ones supersede.
    pub seen_entries: u64,
}

/// One run of a flow, in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLine {
    /// The run's id.
    pub run: String,
    /// When it began, in milliseconds since the epoch.
    pub started: i64,
    /// When it ended, in milliseconds since the epoch.
    pub finished: i64,
    /// How it ended, in the engine's words.
    pub outcome: String,
    /// What it moved.
    pub counts: Counts,
    /// What went wrong, if something did.
    pub error: Option<String>,
}
