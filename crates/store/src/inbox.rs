//! The inbox: what came from outside, durable before it is answered, until a commit takes it.
//!
//! Entries are numbered one after another. A commit takes all up to a position at one stroke with
//! its head: before that lies a note of its sequence and that position, which counts once the head
//! is there, whether or not the entries are deleted. The last such note stays: it is what the next
//! number is reckoned from when nothing waits.
//!
//! Those that come at once share one write to the disk: whoever finds nobody writing begins, and
//! takes along what gathers meanwhile.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::layout::{self, InboxKey};
use crate::protocol::Core;
use crate::store::{Accepted, Delivery, InboxEntry, InboxState, Room};
use crate::trees::{Tree, Trees, Wait, Write};

/// So many are written together at most.
const TOGETHER: usize = 1_000;

/// The same in bytes, but for one that is larger by itself.
const TOGETHER_BYTES: usize = 4 << 20;

/// Keys are remembered by so many milliseconds, six hours: what is over goes as a whole.
const SPAN: i64 = 6 * 3600 * 1000;

/// No key is remembered for longer: a week, so that few spans are looked at.
const LONGEST: i64 = 28 * SPAN;

/// What all inboxes of a store share.
#[derive(Default)]
pub(crate) struct Inboxes {
    queue: Mutex<Queue>,
    stands: Mutex<HashMap<String, Shared>>,
}

type Shared = Arc<tokio::sync::Mutex<Option<Stand>>>;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether somebody writes, and will look again.
    led: bool,
}

/// A delivery that is not written yet.
struct Waiting {
    flow: String,
    delivery: Delivery,
    room: Room,
    answer: oneshot::Sender<Result<Accepted>>,
}

/// Where a flow's inbox stands; unknown until it is looked at, and after a failure.
#[derive(Debug, Default)]
struct Stand {
    /// Everything up to here was taken by commits.
    taken: u64,
    /// The commit whose note says so.
    note: Option<u64>,
    /// The number of the newest entry, or of the last one taken.
    last: u64,
    /// Position and size of what waits.
    sizes: VecDeque<(u64, usize)>,
    bytes: u64,
}

impl Stand {
    fn take_up_to(&mut self, position: u64) {
        self.taken = self.taken.max(position);
        while let Some((_, size)) = self.sizes.front().copied().filter(|(at, _)| *at <= position) {
            self.bytes = self.bytes.saturating_sub(size as u64);
            self.sizes.pop_front();
        }
    }

    fn state(&self) -> InboxState {
        let (taken, last) = (self.taken, self.last);
        InboxState { taken, last, waiting: self.sizes.len() as u64, bytes: self.bytes }
    }
}

/// What a commit takes out of an inbox.
pub(crate) struct Taking {
    position: u64,
    /// Comes before the head.
    pub(crate) note: Write,
    /// Comes behind it.
    pub(crate) obsolete: Vec<Write>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the next one lead also where this one broke off; who waits is told so.
struct Lead<'a> {
    queue: &'a Mutex<Queue>,
    broke_off: bool,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if self.broke_off {
            let mut queue = lock(self.queue);
            queue.led = false;
            queue.waiting.clear();
        }
    }
}

impl<T: Trees> Core<T> {
    /// Keeps what came; durable when it returns.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        flow: &str,
        delivery: Delivery,
        room: Room,
    ) -> Result<Accepted> {
        let (answer, answered) = oneshot::channel();
        let leads = {
            let mut queue = lock(&self.inboxes.queue);
            queue.waiting.push_back(Waiting { flow: flow.to_owned(), delivery, room, answer });
            !std::mem::replace(&mut queue.led, true)
        };
        if leads {
            let core = Arc::clone(self);
            // On a task of its own: whoever came first may stop waiting.
            drop(tokio::spawn(async move { core.lead().await }));
        }
        answered.await.map_err(|_| Error::Interrupted)?
    }

    /// Writes whatever gathers until nothing is left.
    async fn lead(&self) {
        let mut lead = Lead { queue: &self.inboxes.queue, broke_off: true };
        loop {
            let group = {
                let mut queue = lock(&self.inboxes.queue);
                let mut bytes = 0;
                let mut group = Vec::new();
                while let Some(next) = queue.waiting.front() {
                    bytes += next.delivery.bytes.len();
                    if !group.is_empty() && (bytes > TOGETHER_BYTES || group.len() == TOGETHER) {
                        break;
                    }
                    group.extend(queue.waiting.pop_front());
                }
                if group.is_empty() {
                    queue.led = false;
                }
                group
            };
            if group.is_empty() {
                lead.broke_off = false;
                return;
            }
            self.take_in(group).await;
        }
    }

    async fn take_in(&self, group: Vec<Waiting>) {
        let mut stands: BTreeMap<String, _> = BTreeMap::new();
        for waiting in &group {
            if !stands.contains_key(&waiting.flow) {
                // Nobody else holds more than one at once.
                let stand = self.stand(&waiting.flow).lock_owned().await;
                stands.insert(waiting.flow.clone(), stand);
            }
        }
        let mut writes = Vec::new();
        let mut accepted = Vec::new();
        let mut fresh: HashMap<Vec<u8>, u64> = HashMap::new();
        let mut keyed: BTreeMap<String, (i64, usize)> = BTreeMap::new();
        for Waiting { flow, delivery, room, answer } in group {
            let Some(stand) = stands.get_mut(&flow) else { continue };
            let at = delivery.at;
            let numbered = self.number(&flow, delivery, room, stand, &mut fresh).await;
            match numbered {
                Ok((done, added)) => {
                    if added.len() > 1 {
                        let oldest = at.saturating_sub(remembered(room));
                        let known = keyed.entry(flow).or_insert((oldest, 0));
                        *known = (known.0.min(oldest), known.1 + 1);
                    }
                    writes.extend(added);
                    accepted.push((answer, done));
                }
                // Whoever asked may have gone.
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        if accepted.is_empty() {
            return;
        }
        self.trees.at("store.inbox.next");
        let written = async {
            for (flow, (oldest, count)) in keyed {
                writes.extend(self.forgotten_keys(&flow, oldest, count).await?);
            }
            // Of one that came before nobody knows whether it is durable: it is once this is.
            self.trees.apply(writes, Wait::Durable).await
        };
        match written.await {
            Ok(()) => {
                self.trees.at("store.inbox.kept");
                drop(stands);
                for (answer, done) in accepted {
                    drop(answer.send(Ok(done)));
                }
            }
            Err(error) => {
                // Any of the writes may have been made.
                stands.values_mut().for_each(|stand| **stand = None);
                let reason = error.to_string();
                for (answer, _) in accepted {
                    drop(answer.send(Err(Error::NotKept { reason: reason.clone() })));
                }
            }
        }
    }

    /// Gives a delivery its number, and the writes that keep it; none if its key came before.
    async fn number(
        &self,
        flow: &str,
        delivery: Delivery,
        room: Room,
        stand: &mut Option<Stand>,
        fresh: &mut HashMap<Vec<u8>, u64>,
    ) -> Result<(Accepted, Vec<Write>)> {
        let Delivery { at, key, bytes } = delivery;
        let stand = match stand {
            Some(stand) => stand,
            None => stand.insert(self.look_at_inbox(flow).await?),
        };
        let key = key.map(|key| self.keyed_hash("inbox", &[flow.as_bytes(), key.as_bytes()]));
        let key: Option<[u8; 16]> = key.map(|hash| std::array::from_fn(|at| hash[at]));
        let now = at.div_euclid(SPAN);
        if let Some(key) = key {
            let oldest = at.saturating_sub(remembered(room)).div_euclid(SPAN);
            for span in (oldest..=now).rev() {
                let place = layout::inbox_key(flow, span, key);
                let known = match fresh.get(&place) {
                    Some(position) => Some(*position),
                    None => self.remembered_key(&place, at, room).await?,
                };
                if let Some(position) = known {
                    return Ok((Accepted { position, repeated: true }, Vec::new()));
                }
            }
        }
        let state = stand.state();
        let full = state.waiting >= room.entries
            || (state.waiting > 0 && state.bytes.saturating_add(bytes.len() as u64) > room.bytes);
        if full {
            let InboxState { waiting, bytes, .. } = state;
            return Err(Error::InboxFull { flow: flow.to_owned(), waiting, bytes });
        }
        let position = stand.last + 1;
        let place = layout::inbox_entry(flow, position);
        let mut plain = at.to_be_bytes().to_vec();
        plain.extend_from_slice(&bytes);
        let mut writes = vec![Write::Put(
            Tree::Inbox,
            place.clone(),
            self.sealer.seal(Tree::Inbox, &place, &plain)?,
        )];
        if let Some(key) = key {
            // Behind its entry: a key whose entry is lost would have a repetition thrown away.
            let place = layout::inbox_key(flow, now, key);
            let value = [position.to_be_bytes(), at.to_be_bytes()].concat();
            let sealed = self.sealer.seal(Tree::Inbox, &place, &value)?;
            fresh.insert(place.clone(), position);
            writes.push(Write::Put(Tree::Inbox, place, sealed));
        }
        stand.last = position;
        stand.bytes += bytes.len() as u64;
        stand.sizes.push_back((position, bytes.len()));
        Ok((Accepted { position, repeated: false }, writes))
    }

    /// The position of the entry with a key, if that is still to be remembered.
    async fn remembered_key(&self, place: &[u8], now: i64, room: Room) -> Result<Option<u64>> {
        let Some(value) = self.opened_entry(Tree::Inbox, place).await? else { return Ok(None) };
        let (numbers, rest) = value.as_chunks::<8>();
        let ([position, at], []) = (numbers, rest) else {
            return Err(Error::corrupt(Tree::Inbox, place, "the entry does not parse"));
        };
        let age = now.saturating_sub(i64::from_be_bytes(*at));
        Ok((age <= remembered(room)).then_some(u64::from_be_bytes(*position)))
    }

    /// Returns the deletions of some keys that are over: more than are added, so that they do not
    /// pile up.
    async fn forgotten_keys(&self, flow: &str, oldest: i64, added: usize) -> Result<Vec<Write>> {
        let mut gone = Vec::new();
        let all = layout::inbox_keys(flow);
        let mut from = all.clone();
        while gone.len() < added * 2 + 8 {
            let Some(key) = self.trees.next(Tree::Inbox, &from).await? else { break };
            match layout::split_inbox(&key) {
                Some(InboxKey::Key { span })
                    if key.starts_with(&all) && span < oldest.div_euclid(SPAN) => {}
                _ => break,
            }
            from = [&key[..], &[0]].concat();
            gone.push(Write::Delete(Tree::Inbox, key));
        }
        Ok(gone)
    }

    fn stand(&self, flow: &str) -> Shared {
        let mut stands = lock(&self.inboxes.stands);
        Arc::clone(stands.entry(flow.to_owned()).or_default())
    }

    /// Finds out where an inbox stands.
    async fn look_at_inbox(&self, flow: &str) -> Result<Stand> {
        let (taken, note) = self.taken(flow).await?;
        let mut stand = Stand { taken, note, last: taken, ..Stand::default() };
        let (mut from, until) =
            (layout::inbox_entry(flow, taken.saturating_add(1)), layout::inbox_entries_end(flow));
        loop {
            let entries =
                self.trees.entries(Tree::Inbox, &from, &until, 2 * T::BYTES_AT_ONCE).await?;
            let Some((last, _)) = entries.last() else { return Ok(stand) };
            from = [&last[..], &[0]].concat();
            for (key, value) in &entries {
                let Some(InboxKey::Entry { position }) = layout::split_inbox(key) else {
                    return Err(Error::corrupt(Tree::Inbox, key, "the key has an impossible form"));
                };
                let size = value.len();
                stand.last = position;
                stand.bytes += size as u64;
                stand.sizes.push_back((position, size));
            }
        }
    }

    /// Up to where commits took, and the sequence of the one that says so.
    async fn taken(&self, flow: &str) -> Result<(u64, Option<u64>)> {
        let committed = self.stored_head(flow).await?.map_or(0, |head| head.tip.sequence);
        let notes = self.trees.keys(Tree::Inbox, &layout::inbox_notes(flow)).await?;
        for key in notes.iter().rev() {
            let Some(InboxKey::Note { sequence }) = layout::split_inbox(key) else { continue };
            if sequence > committed {
                continue;
            }
            // A newer one may have taken its place meanwhile; then that says more.
            let Some(value) = self.opened_entry(Tree::Inbox, key).await? else { continue };
            let position = value.try_into().map(u64::from_be_bytes);
            let broken = |_| Error::corrupt(Tree::Inbox, key, "the entry does not parse");
            return Ok((position.map_err(broken)?, Some(sequence)));
        }
        Ok((0, None))
    }

    /// Returns what a commit writes to take everything up to a position; `None` if that is taken.
    pub(crate) async fn taking(
        &self,
        flow: &str,
        sequence: u64,
        position: Option<u64>,
    ) -> Result<Option<Taking>> {
        let Some(position) = position else { return Ok(None) };
        let stand = self.stand(flow);
        let mut stand = stand.lock().await;
        let known = match &mut *stand {
            Some(known) => known,
            none => none.insert(self.look_at_inbox(flow).await?),
        };
        let position = position.min(known.last);
        if position <= known.taken {
            return Ok(None);
        }
        let key = layout::inbox_note(flow, sequence);
        let sealed = self.sealer.seal(Tree::Inbox, &key, &position.to_be_bytes())?;
        let gone = known.sizes.iter().map(|(at, _)| *at).take_while(|at| *at <= position);
        let mut obsolete: Vec<_> =
            gone.map(|at| Write::Delete(Tree::Inbox, layout::inbox_entry(flow, at))).collect();
        let before = known.note.map(|sequence| layout::inbox_note(flow, sequence));
        // Last: the new note says all that it said.
        obsolete.extend(before.map(|key| Write::Delete(Tree::Inbox, key)));
        let note = Write::Put(Tree::Inbox, key, sealed);
        Ok(Some(Taking { position, note, obsolete }))
    }

    /// Takes note of what a commit came to.
    pub(crate) async fn took(&self, flow: &str, taking: Option<(u64, u64)>, committed: bool) {
        let Some((sequence, position)) = taking else { return };
        let stand = self.stand(flow);
        let mut stand = stand.lock().await;
        match (&mut *stand, committed) {
            (Some(known), true) => {
                known.take_up_to(position);
                known.note = Some(sequence);
            }
            // What holds is found out anew.
            (stand, _) => *stand = None,
        }
    }

    /// Returns the deletions of what crashed commits left: entries that the last commit took, and
    /// notes that say nothing.
    pub(crate) async fn leftover_inbox(&self, flow: &str, committed: u64) -> Result<Vec<Write>> {
        let notes = self.trees.keys(Tree::Inbox, &layout::inbox_notes(flow)).await?;
        let mut gone = Vec::new();
        let mut counts = None;
        let mut others = Vec::new();
        for key in notes.into_iter().rev() {
            let Some(InboxKey::Note { sequence }) = layout::split_inbox(&key) else { continue };
            if sequence <= committed && counts.is_none() {
                counts = Some(key);
            } else {
                others.push(Write::Delete(Tree::Inbox, key));
            }
        }
        if let Some(key) = counts
            && let Some(value) = self.opened_entry(Tree::Inbox, &key).await?
            && let Ok(position) = value.try_into().map(u64::from_be_bytes)
        {
            let mut from = layout::inbox_entry(flow, 0);
            let end = layout::inbox_entry(flow, position);
            while let Some(key) = self.trees.next(Tree::Inbox, &from).await? {
                if key > end {
                    break;
                }
                from = [&key[..], &[0]].concat();
                gone.push(Write::Delete(Tree::Inbox, key));
            }
        }
        gone.extend(others);
        Ok(gone)
    }

    /// Reads what waits behind a position and up to another one, oldest first: as many `bytes`, but
    /// at least one entry if there is any.
    pub(crate) async fn inbox(
        &self,
        flow: &str,
        (after, until): (u64, u64),
        bytes: usize,
    ) -> Result<Vec<InboxEntry>> {
        let after = after.max(self.taken(flow).await?.0);
        if until <= after {
            return Ok(Vec::new());
        }
        let from = layout::inbox_entry(flow, after.saturating_add(1));
        let end = match until.checked_add(1) {
            Some(end) => layout::inbox_entry(flow, end),
            None => layout::inbox_entries_end(flow),
        };
        let mut entries = Vec::new();
        for (key, value) in self.trees.entries(Tree::Inbox, &from, &end, bytes.max(1)).await? {
            let plain = self.sealer.open(Tree::Inbox, &key, &value)?;
            let broken = || Error::corrupt(Tree::Inbox, &key, "the entry does not parse");
            let Some(InboxKey::Entry { position }) = layout::split_inbox(&key) else {
                return Err(broken());
            };
            let (at, bytes) = plain.split_first_chunk::<8>().ok_or_else(broken)?;
            let at = i64::from_be_bytes(*at);
            entries.push(InboxEntry { position, at, bytes: bytes.to_vec() });
        }
        Ok(entries)
    }

    pub(crate) async fn inbox_state(&self, flow: &str) -> Result<InboxState> {
        let stand = self.stand(flow);
        let mut stand = stand.lock().await;
        let known = match &mut *stand {
            Some(known) => known,
            none => none.insert(self.look_at_inbox(flow).await?),
        };
        Ok(known.state())
    }
}

impl Taking {
    /// The commit's sequence and the position, as [`Core::took`] takes them.
    pub(crate) const fn at(&self, sequence: u64) -> (u64, u64) {
        (sequence, self.position)
    }
}

fn remembered(room: Room) -> i64 {
    i64::try_from(room.remember.as_millis()).unwrap_or(i64::MAX).min(LONGEST)
}
