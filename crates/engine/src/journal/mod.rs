//! The journal: what steps that must not send twice are about to send, and what became of it.
//!
//! An entry is one call. It is durable before the request leaves, and so is the answer, which is
//! written beside it, before anybody learns of it; the commit that settles its last message forgets
//! both. What is left of an earlier run tells this one
//! which messages were sent already, and which nobody knows about.

mod answer;
mod block;
mod record;
mod unsettled;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connector::Timestamp;
use serde_json::Value;
use store::{Fence, JournalChange, Store};

use self::answer::Answer;
use self::block::{Block, Item, State, hash_of};
use crate::batch::{HandedOver, Outgoing, Verdict};
use crate::context::StepContext;
use crate::step::Traveller;
use crate::{Error, Result};

pub use self::record::{Intent, IntentAnswer};
pub(crate) use self::record::{of_record, unanswered};
pub(crate) use self::unsettled::{How, Left};

/// An entry's id.
pub(crate) type Id = [u8; 16];

/// The journal of one flow, as a run with the right to commit knows it.
pub(crate) struct Journal {
    store: Arc<dyn Store>,
    fence: Fence,
    state: Mutex<Entries>,
}

/// The entries that are not forgotten, as the store has them.
#[derive(Default)]
struct Entries {
    blocks: BTreeMap<Id, Block>,
    /// In which entry a message's step is noted, and at which place.
    places: HashMap<Key, (Id, usize)>,
    /// The entries with messages that others are about too: a crash may leave two that say the same.
    doubled: HashSet<Id>,
    /// Ids were given to so many entries.
    given: u64,
}

/// A message at a step, in a page or on its way again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    resumed: bool,
    id: String,
    step: String,
}

/// What a commit changes about the entries.
#[derive(Default)]
pub(crate) struct Settling {
    /// What the commit has to forget.
    pub(crate) obsolete: Vec<Id>,
    /// What takes the place of some of that.
    instead: Vec<(Id, Block)>,
}

/// What the journal knows of a message at a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Known {
    /// The system took it.
    Done { value: Value, target_key: Option<String> },
    /// The system took it and finishes later.
    Parked(HandedOver),
    /// It was begun at this time, and nobody knows whether the system took it.
    InDoubt { sent: Timestamp, reason: Option<String> },
    /// It was refused, and its dead letter is committed.
    Held,
}

impl Journal {
    /// Reads what earlier runs left.
    pub(crate) async fn open(store: Arc<dyn Store>, fence: Fence) -> Result<Self> {
        let flow = fence.flow();
        let left = store.journaled(flow).await.map_err(|error| Error::store(flow, &error))?;
        let mut entries = Entries::default();
        for entry in left {
            if let Some(block) = Block::read(flow, &entry)? {
                entries.add(entry.id, block);
            }
        }
        Ok(Self { store, fence, state: Mutex::new(entries) })
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, changes: Vec<JournalChange>) -> Result<()> {
        let written = self.store.journal(&self.fence, changes).await;
        written.map_err(|error| Error::store(self.fence.flow(), &error))
    }

    fn put(&self, id: Id, block: &Block) -> Result<JournalChange> {
        let value = block.to_bytes(self.fence.flow())?;
        Ok(JournalChange::Put { id, value })
    }

    /// What is known of a message at a step.
    pub(crate) fn known(&self, step: &str, message: &Traveller) -> Option<Known> {
        let entries = self.entries();
        if entries.blocks.is_empty() {
            return None;
        }
        let key = Key::of(message.origin.is_resumed(), &message.id, step);
        let (block, item) = entries.find(&key)?;
        Some(match &item.state {
            State::Open { reason } => {
                Known::InDoubt { sent: Timestamp::from_millis(block.sent), reason: reason.clone() }
            }
            State::Done { value, target_key } => {
                Known::Done { value: (**value).clone(), target_key: target_key.clone() }
            }
            State::Parked(handed_over) => Known::Parked(handed_over.clone()),
            State::Held => Known::Held,
            State::Refused { .. } => return None,
        })
    }

    /// Why a message was refused with this input at a step, where its system wants it not again: its
    /// code and reason.
    pub(crate) fn refused(
        &self,
        step: &str,
        message: &Traveller,
        input: &Value,
    ) -> Option<(String, String)> {
        let entries = self.entries();
        if entries.blocks.is_empty() {
            return None;
        }
        let key = Key::of(message.origin.is_resumed(), &message.id, step);
        match &entries.find(&key)?.1.state {
            State::Refused { code, reason, input: before } => {
                let same = *before == hash_of(&input.to_string());
                same.then(|| (code.clone(), reason.clone()))
            }
            _ => None,
        }
    }

    /// What `$now()` gave for the messages of pages that were journaled, by id: when they come
    /// again, every step makes the same of them.
    pub(crate) fn moments(&self) -> HashMap<String, i64> {
        let entries = self.entries();
        let pages = entries.blocks.values().filter(|block| block.partition.is_some());
        pages.flat_map(|it| &it.items).map(|item| (item.id.clone(), item.now)).collect()
    }

    /// Writes down what is about to be sent; durable when it returns.
    ///
    /// Earlier notes about the same messages at this step go.
    pub(crate) async fn intend(
        &self,
        step: &StepContext,
        now: Timestamp,
        going: &[Outgoing],
    ) -> Result<Id> {
        let block = Block::of(step, now.millis(), going)?;
        let id = self.entries().new_id(&*self.store, self.fence.flow(), &block);
        let mut changes = vec![self.put(id, &block)?];
        // The new entry first: after a crash in between there are two, which say the same. So what
        // is left of an earlier one gets another id too, and an answer to that one does not count
        // for it.
        let earlier: Vec<_> = {
            let mut entries = self.entries();
            let earlier = entries.without(&block).into_iter();
            let named = |(id, rest): (Id, Option<Block>)| {
                let rest =
                    rest.map(|rest| (entries.new_id(&*self.store, self.fence.flow(), &rest), rest));
                (id, rest)
            };
            earlier.map(named).collect()
        };
        for (_, rest) in &earlier {
            changes.extend(rest.as_ref().map(|(id, rest)| self.put(*id, rest)).transpose()?);
        }
        changes.extend(earlier.iter().map(|(id, _)| JournalChange::Forget(*id)));
        self.write(changes).await?;
        let mut entries = self.entries();
        for (id, rest) in earlier {
            entries.remove(&id);
            if let Some((id, rest)) = rest {
                entries.add(id, rest);
            }
        }
        entries.add(id, block);
        Ok(id)
    }

    /// Writes down what became of the messages of an entry that has just been written, in its
    /// order; durable when it returns.
    ///
    /// What the system surely did not take is not noted any more.
    pub(crate) async fn answered(
        &self,
        id: Id,
        verdicts: &[Verdict],
        keeps_refusals: bool,
    ) -> Result<()> {
        let change = {
            let mut entries = self.entries();
            let Some(block) = entries.remove(&id) else { return Ok(()) };
            let of_page = keeps_refusals && block.partition.is_some();
            let states = verdicts.iter().zip(&block.items).map(|(verdict, item)| match verdict {
                Verdict::Rejected { code, reason } if of_page => item.refused(code, reason),
                verdict => verdict.state(),
            });
            let answer = Answer::of(states);
            match block.answered(&answer) {
                None => JournalChange::Forget(id),
                Some(block) => {
                    entries.add(id, block);
                    JournalChange::Answer { id, answer: answer.to_bytes(self.fence.flow())? }
                }
            }
        };
        self.write(vec![change]).await
    }

    /// Whether there is anything about messages with these ids, of pages or on their way again.
    pub(crate) fn noted(&self, resumed: bool, ids: &[Arc<str>]) -> Vec<Arc<str>> {
        let entries = self.entries();
        if entries.blocks.is_empty() {
            return vec![];
        }
        let blocks = entries.blocks.values().filter(|it| it.partition.is_none() == resumed);
        let noted: HashSet<&str> =
            blocks.flat_map(|block| &block.items).map(|item| &*item.id).collect();
        ids.iter().filter(|id| noted.contains(&***id)).cloned().collect()
    }

    /// Prepares for a commit that settles messages of pages, or some that were on their way again.
    ///
    /// The commit forgets the entries that are about them. What is left of one that is about others
    /// too is written down anew before: until the commit holds, both say the same.
    pub(crate) async fn settle(&self, resumed: bool, ids: &[Arc<str>]) -> Result<Settling> {
        let mut settling = Settling::default();
        let mut changes = vec![];
        {
            let ids: HashSet<&str> = ids.iter().map(|id| &**id).collect();
            let mut entries = self.entries();
            let mut touched = vec![];
            for (id, block) in &entries.blocks {
                let about = |item: &Item| ids.contains(&*item.id);
                if block.partition.is_none() == resumed && block.items.iter().any(about) {
                    let items = block.items.iter().enumerate();
                    let settled = items.filter(|(_, item)| about(item)).map(|(at, _)| at).collect();
                    touched.push((*id, block.without(&settled)));
                }
            }
            for (obsolete, rest) in touched {
                settling.obsolete.push(obsolete);
                let Some(rest) = rest else { continue };
                let id = entries.new_id(&*self.store, self.fence.flow(), &rest);
                changes.push(self.put(id, &rest)?);
                settling.instead.push((id, rest));
            }
        }
        if !changes.is_empty() {
            self.write(changes).await?;
        }
        Ok(settling)
    }

    /// The commit that was prepared for holds.
    pub(crate) fn settled(&self, settling: Settling) {
        let mut entries = self.entries();
        for id in settling.obsolete {
            entries.remove(&id);
        }
        for (id, block) in settling.instead {
            entries.add(id, block);
        }
    }

    /// The entries that earlier runs left of pages of these partitions: each was scanned to its
    /// end since, so what was not committed then cannot come again as it was.
    ///
    /// What was on its way again stays as long as `waits` says so of its record's key.
    pub(crate) fn obsolete(
        &self,
        partitions: &[String],
        waits: impl Fn(&[u8; 16]) -> bool,
    ) -> Vec<Id> {
        let entries = self.entries();
        let obsolete = entries.blocks.iter().filter(|(_, block)| match &block.partition {
            Some(partition) => partitions.contains(partition),
            None => !block.items.iter().any(|item| waits(&item.partition_key)),
        });
        obsolete.map(|(id, _)| *id).collect()
    }

    /// Forgets entries; durable when it returns.
    pub(crate) async fn forget(&self, ids: &[Id]) -> Result<()> {
        self.write(ids.iter().map(|id| JournalChange::Forget(*id)).collect()).await?;
        self.forgotten(ids);
        Ok(())
    }

    /// A commit that forgets these entries holds.
    pub(crate) fn forgotten(&self, ids: &[Id]) {
        let mut entries = self.entries();
        for id in ids {
            entries.remove(id);
        }
    }

    /// Whether nothing is noted.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries().blocks.is_empty()
    }
}

impl Key {
    fn of(resumed: bool, id: &str, step: &str) -> Self {
        Self { resumed, id: id.to_owned(), step: step.to_owned() }
    }

    fn in_block(block: &Block, item: &Item) -> Self {
        Self::of(block.partition.is_none(), &item.id, &block.step)
    }
}

impl Entries {
    fn find(&self, key: &Key) -> Option<(&Block, &Item)> {
        let (id, at) = self.places.get(key)?;
        let block = self.blocks.get(id)?;
        Some((block, block.items.get(*at)?))
    }

    fn add(&mut self, id: Id, block: Block) {
        for (at, item) in block.items.iter().enumerate() {
            let key = Key::in_block(&block, item);
            let before = self.find(&key).map(|(_, item)| item.state.weight());
            if let Some((other, _)) = self.places.get(&key) {
                self.doubled.extend([id, *other]);
            }
            if before.is_none_or(|before| before <= item.state.weight()) {
                self.places.insert(key, (id, at));
            }
        }
        self.blocks.insert(id, block);
    }

    fn remove(&mut self, id: &Id) -> Option<Block> {
        let block = self.blocks.remove(id)?;
        self.doubled.remove(id);
        for item in &block.items {
            let key = Key::in_block(&block, item);
            if self.places.get(&key).is_some_and(|(noted, _)| noted == id) {
                self.places.remove(&key);
            }
        }
        Some(block)
    }

    /// What is left of the entries without the messages of a new one.
    fn without(&self, new: &Block) -> Vec<(Id, Option<Block>)> {
        let mut touched: BTreeMap<Id, HashSet<usize>> = BTreeMap::new();
        let keys: HashSet<Key> = new.items.iter().map(|item| Key::in_block(new, item)).collect();
        for (id, at) in keys.iter().filter_map(|key| self.places.get(key)) {
            touched.entry(*id).or_default().insert(*at);
        }
        for (id, block) in self.doubled.iter().filter_map(|id| self.blocks.get_key_value(id)) {
            let items = block.items.iter().enumerate();
            let again = items.filter(|(_, item)| keys.contains(&Key::in_block(block, item)));
            let again: Vec<usize> = again.map(|(at, _)| at).collect();
            if !again.is_empty() {
                touched.entry(*id).or_default().extend(again);
            }
        }
        let rest = |(id, gone): (Id, HashSet<usize>)| {
            let rest = self.blocks.get(&id).and_then(|block| block.without(&gone));
            (id, rest)
        };
        touched.into_iter().map(rest).collect()
    }

    /// An id that no entry has.
    fn new_id(&mut self, store: &dyn Store, flow: &str, block: &Block) -> Id {
        loop {
            self.given += 1;
            let numbers = [block.sent.to_le_bytes(), self.given.to_le_bytes()];
            let mut parts: Vec<&[u8]> = vec![flow.as_bytes(), block.step.as_bytes()];
            parts.extend(numbers.iter().map(<[u8; 8]>::as_slice));
            parts.extend(block.items.iter().map(|item| item.id.as_bytes()));
            let hash = store.keyed_hash("journal", &parts);
            let id = std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default());
            if !self.blocks.contains_key(&id) {
                return id;
            }
        }
    }
}

impl Verdict {
    /// What is noted; nothing where the message may simply be sent again.
    fn state(&self) -> Option<State> {
        match self {
            Self::Done { value, target_key } => {
                Some(State::Done { value: Box::new(value.clone()), target_key: target_key.clone() })
            }
            Self::Parked(handed_over) => Some(State::Parked(handed_over.clone())),
            Self::Unknown { reason } => Some(State::Open { reason: Some(reason.clone()) }),
            // Its page makes a dead letter of it, or sends it again.
            Self::Rejected { .. } | Self::NotTaken { .. } => None,
        }
    }
}
