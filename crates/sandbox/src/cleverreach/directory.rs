//! Groups and receivers, with the results of the last lists remembered until something changes.

mod leave;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::blacklist::Blacklist;
use super::hooks::Happened;
use super::query::{Field, Query};
use super::receiver::{Entry, GLOBAL_ATTRIBUTES};
use super::seed;
use super::touch::{Touch, What};
use crate::options::GroupSeed;
use crate::random::Random;

/// The attributes that every group defines to begin with.
const GROUP_ATTRIBUTES: [&str; 3] = ["firstname", "name", "customer_number"];
/// How many list results are remembered: a client reads few lists at a time.
const REMEMBERED: usize = 32;

/// A receiver in a list: where it is stored, and the group that shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    slot: u32,
    pub(super) group: u64,
}

/// A group as the API shows it.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) stamp: i64,
}

/// An attribute that is defined.
#[derive(Debug, Clone)]
pub(super) struct Attribute {
    /// Its group; 0 is account-wide.
    pub(super) group: u64,
    pub(super) name: String,
    /// `text`, `number`, `gender` or `date`.
    pub(super) kind: String,
}

/// All data of the account.
#[derive(Debug)]
pub(super) struct Directory {
    seed: u64,
    seeds: Vec<GroupSeed>,
    pub(super) groups: Vec<Group>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) blacklist: Blacklist,
    /// Deleted receivers leave a hole, so that slots stay valid and the order of entry is kept.
    entries: Vec<Option<Entry>>,
    by_id: HashMap<u64, u32>,
    /// Where an address is stored, in small letters: once, or once more for every group that it
    /// joined later, since attributes and times are the group's.
    by_email: HashMap<Box<str>, Vec<u32>>,
    next_id: u64,
    seeded: u64,
    touches: u64,
    /// What happened to receivers, for those who want to know.
    happened: Vec<Happened>,
    /// Invariant: emptied by whatever changes a receiver or a group.
    remembered: HashMap<Query, Arc<[Row]>>,
}

impl Directory {
    pub(super) fn new(seed: u64, groups: Vec<GroupSeed>, now: i64) -> Self {
        let mut directory = Self {
            seed,
            seeds: Vec::new(),
            groups: Vec::new(),
            entries: Vec::new(),
            by_id: HashMap::new(),
            by_email: HashMap::new(),
            attributes: Vec::new(),
            blacklist: Blacklist::default(),
            next_id: seed::FIRST_ID,
            seeded: 0,
            touches: 0,
            happened: Vec::new(),
            remembered: HashMap::new(),
        };
        for name in GLOBAL_ATTRIBUTES {
            directory.define(0, name);
        }
        for group in groups {
            directory.add_group(group, now);
        }
        directory
    }

    /// Adds a group, or renames a known one.
    pub(super) fn add_group(&mut self, group: GroupSeed, now: i64) {
        self.remembered.clear();
        match self.groups.iter_mut().find(|known| known.id == group.id) {
            Some(known) => known.name.clone_from(&group.name),
            None => {
                self.groups.push(Group { id: group.id, name: group.name.clone(), stamp: now });
                for name in GROUP_ATTRIBUTES {
                    self.define(group.id, name);
                }
            }
        }
        self.seeds.retain(|known| known.id != group.id);
        self.seeds.push(group);
    }

    /// Defines an attribute of a group, or account-wide for 0; a known one stays.
    pub(super) fn define(&mut self, group: u64, name: &str) {
        if !self.defines(group, name) {
            let kind = "text".to_owned();
            self.attributes.push(Attribute { group, name: name.to_owned(), kind });
        }
    }

    pub(super) fn defines(&self, group: u64, name: &str) -> bool {
        self.attributes.iter().any(|known| known.group == group && known.name == name)
    }

    /// Adds `count` made-up receivers.
    pub(super) fn seed(&mut self, count: usize, now: i64) {
        self.remembered.clear();
        self.entries.reserve(count);
        self.by_id.reserve(count);
        for _ in 0..count {
            let entry = seed::receiver(self.seed, self.seeded, now, &self.seeds);
            self.seeded += 1;
            self.put(entry);
        }
        self.happened.clear();
    }

    /// Stores a receiver under its id, replacing the one that is there.
    pub(super) fn put(&mut self, entry: Entry) -> u64 {
        let id = entry.id;
        match self.by_id.get(&id).copied() {
            Some(slot) => self.replace(slot, entry),
            None => {
                self.next_id = self.next_id.max(id.saturating_add(1));
                if let Some(slot) = self.push(entry) {
                    self.by_id.insert(id, slot);
                }
            }
        }
        id
    }

    /// Stores a receiver behind all others. One that shares its id with another is a member of a
    /// further group.
    pub(super) fn push(&mut self, entry: Entry) -> Option<u32> {
        self.remembered.clear();
        let slot = u32::try_from(self.entries.len()).ok()?;
        self.by_email.entry(address(&entry.email)).or_default().push(slot);
        self.note("created", &entry);
        self.entries.push(Some(entry));
        Some(slot)
    }

    /// Stores a receiver in the place of another.
    pub(super) fn replace(&mut self, slot: u32, entry: Entry) {
        self.remembered.clear();
        let email = address(&entry.email);
        let what = self.stored(slot).map_or("created", |before| change(before, &entry));
        self.note(what, &entry);
        let Some(place) = self.entries.get_mut(slot as usize) else { return };
        let before = place.replace(entry);
        if let Some(before) = before
            && address(&before.email) != email
        {
            if let Some(slots) = self.by_email.get_mut(&address(&before.email)) {
                slots.retain(|known| *known != slot);
            }
            self.by_email.entry(email).or_default().push(slot);
        }
    }

    fn note(&mut self, what: &'static str, entry: &Entry) {
        let receiver = entry.id;
        let groups = entry.groups.iter();
        self.happened.extend(groups.map(|group| Happened { what, receiver, group: *group }));
    }

    /// Takes what happened since this was asked last.
    pub(super) fn happened(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.happened)
    }

    /// Gives where an address is stored.
    pub(super) fn slots(&self, email: &str) -> &[u32] {
        self.by_email.get(&address(email)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Gives where a member of a group is stored.
    pub(super) fn member(&self, email: &str, group: u64) -> Option<u32> {
        let is_member = |slot: &&u32| {
            self.stored(**slot).is_some_and(|entry: &Entry| entry.groups.contains(&group))
        };
        self.slots(email).iter().find(is_member).copied()
    }

    pub(super) fn stored(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize)?.as_ref()
    }

    /// Gives the next free id.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Removes a receiver from all its groups.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        self.remembered.clear();
        let Some(slot) = self.by_id.remove(&id) else { return false };
        let email = self.stored(slot).map(|entry| address(&entry.email)).unwrap_or_default();
        let slots = self.by_email.remove(&email).unwrap_or_default();
        let (gone, kept): (Vec<u32>, Vec<u32>) = slots
            .into_iter()
            .partition(|slot| self.stored(*slot).is_none_or(|entry| entry.id == id));
        for slot in gone {
            if let Some(gone) = self.entries.get_mut(slot as usize).and_then(Option::take) {
                self.note("deleted", &gone);
            }
        }
        if !kept.is_empty() {
            self.by_email.insert(email, kept);
        }
        true
    }

    pub(super) fn get(&self, id: u64) -> Option<&Entry> {
        self.stored(*self.by_id.get(&id)?)
    }

    pub(super) fn get_by_email(&self, email: &str) -> Option<&Entry> {
        self.stored(*self.slots(email).first()?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn at(&self, row: Row) -> Option<&Entry> {
        self.stored(row.slot)
    }

    /// Changes receivers as told and gives their ids.
    pub(super) fn touch(&mut self, touch: &Touch, now: i64) -> Vec<String> {
        let chosen: Vec<u64> = if touch.ids.is_empty() {
            self.spread(touch.count)
        } else {
            touch.ids.iter().filter_map(|id| id.parse().ok()).collect()
        };
        self.touches += 1;
        let mut random = Random::new(self.seed, u64::MAX - self.touches);
        let mut touched = Vec::with_capacity(chosen.len());
        for id in chosen {
            let Some(entry) = self.get(id) else { continue };
            let mut receiver = entry.to_receiver();
            touch.change(&mut receiver, &mut random);
            let mut stamps = entry.stamps;
            if touch.what == What::Stamp {
                stamps.set(touch.field, touch.at.unwrap_or(now));
            }
            receiver.registered = stamps.registered;
            receiver.activated = stamps.activated;
            receiver.deactivated = stamps.deactivated;
            receiver.bounced = stamps.bounced;
            self.put(Entry::from_receiver(&receiver, id));
            touched.push(receiver.id);
        }
        touched
    }

    /// Chooses `count` ids at even distances; each call begins elsewhere.
    fn spread(&self, count: usize) -> Vec<u64> {
        let ids: Vec<u64> = self.iter().map(|entry| entry.id).collect();
        let count = count.min(ids.len());
        let shift = usize::try_from(self.touches.wrapping_mul(7)).unwrap_or(0);
        (0..count)
            .filter_map(|nth| ids.get((nth * ids.len() / count + shift) % ids.len()).copied())
            .collect()
    }

    /// Gives the whole result of a list, from memory where nothing changed since.
    pub(super) fn rows(&mut self, query: &Query) -> Arc<[Row]> {
        if let Some(rows) = self.remembered.get(query) {
            return Arc::clone(rows);
        }
        let mut rows = Vec::new();
        for slot in self.candidates(query) {
            let Some(entry) = self.stored(slot).filter(|entry| query.admits(entry)) else {
                continue;
            };
            let shown = entry.groups.iter();
            let shown = shown.filter(|id| query.groups.is_empty() || query.groups.contains(id));
            rows.extend(shown.map(|group| Row { slot, group: *group }));
        }
        if query.per_receiver {
            let mut known = HashSet::new();
            let first = |row: Row| {
                let id = self.at(row)?.id;
                let slot = *self.by_id.get(&id)?;
                let group = *self.stored(slot)?.groups.first()?;
                known.insert(id).then_some(Row { slot, group })
            };
            rows = rows.into_iter().filter_map(first).collect();
        }
        self.sort(&mut rows, query);
        let rows: Arc<[Row]> = rows.into();
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.insert(query.clone(), Arc::clone(&rows));
        rows
    }

    /// Gives the places that a list has to look at: all, or those of the addresses it names.
    fn candidates(&self, query: &Query) -> Vec<u32> {
        match &query.emails {
            Some(emails) => {
                let mut named: Vec<u32> =
                    emails.iter().flat_map(|email| self.slots(email)).copied().collect();
                named.sort_unstable();
                named.dedup();
                named
            }
            None => (0_u32..).take(self.entries.len()).collect(),
        }
    }

    /// Sorts rows; ties stay in the order of their ids whichever the direction.
    fn sort(&self, rows: &mut [Row], query: &Query) {
        let order = &query.order;
        let id = |row: &Row| self.at(*row).map_or(0, |entry| entry.id);
        match &order.field {
            Field::Email | Field::Source | Field::Tags | Field::Attribute(_) => {
                let text = |row: &Row| {
                    self.at(*row).map(|entry| match order.field {
                        Field::Source => entry.to_receiver().source,
                        _ => entry.email.to_string(),
                    })
                };
                rows.sort_by_cached_key(|row| (text(row), id(row)));
                if order.descending {
                    rows.reverse();
                }
            }
            field => rows.sort_by_cached_key(|row| {
                let number = self.at(*row).and_then(|entry| field.number(entry)).unwrap_or(0);
                (if order.descending { number.saturating_neg() } else { number }, id(row))
            }),
        }
    }
}

/// What a change of a receiver is called.
fn change(before: &Entry, now: &Entry) -> &'static str {
    match (before.stamps.is_active(), now.stamps.is_active()) {
        (true, false) if now.stamps.deactivated > 0 => "unsubscribed",
        (false, true) => "subscribed",
        _ => "updated",
    }
}

/// An address as it is looked up: the vendor does not tell letters by their case.
fn address(email: &str) -> Box<str> {
    email.to_ascii_lowercase().into_boxed_str()
}
