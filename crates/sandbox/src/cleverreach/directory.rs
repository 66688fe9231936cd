//! Groups and receivers, with the results of the last lists remembered until something changes.

use std::collections::HashMap;
use std::sync::Arc;

use super::query::{Field, Query};
use super::receiver::{Entry, Receiver, Touch};
use super::seed;
use crate::options::GroupSeed;
use crate::random::Random;

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

/// All data of the account.
#[derive(Debug)]
pub(super) struct Directory {
    seed: u64,
    seeds: Vec<GroupSeed>,
    pub(super) groups: Vec<Group>,
    /// Deleted receivers leave a hole, so that slots stay valid and the order of entry is kept.
    entries: Vec<Option<Entry>>,
    by_id: HashMap<u64, u32>,
    next_id: u64,
    seeded: u64,
    touches: u64,
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
            next_id: seed::FIRST_ID,
            seeded: 0,
            touches: 0,
            remembered: HashMap::new(),
        };
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
            None => self.groups.push(Group { id: group.id, name: group.name.clone(), stamp: now }),
        }
        self.seeds.retain(|known| known.id != group.id);
        self.seeds.push(group);
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
    }

    /// Stores a receiver under its id, replacing the one that is there.
    pub(super) fn put(&mut self, entry: Entry) -> u64 {
        self.remembered.clear();
        let id = entry.id;
        self.next_id = self.next_id.max(id.saturating_add(1));
        let slot = self.by_id.get(&id).copied();
        match slot.and_then(|slot| self.entries.get_mut(slot as usize)) {
            Some(place) => *place = Some(entry),
            None => {
                if let Ok(slot) = u32::try_from(self.entries.len()) {
                    self.by_id.insert(id, slot);
                    self.entries.push(Some(entry));
                }
            }
        }
        id
    }

    /// Gives the next free id.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    pub(super) fn remove(&mut self, id: u64) -> bool {
        self.remembered.clear();
        let slot = self.by_id.remove(&id);
        slot.and_then(|slot| self.entries.get_mut(slot as usize)).and_then(Option::take).is_some()
    }

    pub(super) fn get(&self, id: u64) -> Option<&Entry> {
        self.entries.get(*self.by_id.get(&id)? as usize)?.as_ref()
    }

    pub(super) fn get_by_email(&self, email: &str) -> Option<&Entry> {
        self.iter().find(|entry| entry.email.eq_ignore_ascii_case(email))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn at(&self, row: Row) -> Option<&Entry> {
        self.entries.get(row.slot as usize)?.as_ref()
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
            change(&mut receiver, touch, &mut random);
            let mut stamps = entry.stamps;
            stamps.set(touch.field, touch.at.unwrap_or(now));
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
        for (entry, slot) in self.entries.iter().zip(0_u32..) {
            let Some(entry) = entry.as_ref().filter(|entry| query.admits(entry)) else {
                continue;
            };
            let shown = entry.groups.iter();
            let shown = shown.filter(|id| query.groups.is_empty() || query.groups.contains(id));
            rows.extend(shown.map(|group| Row { slot, group: *group }));
        }
        self.sort(&mut rows, query);
        let rows: Arc<[Row]> = rows.into();
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.insert(query.clone(), Arc::clone(&rows));
        rows
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

/// Sets the attributes that a touch names, or else gives the receiver another last name.
fn change(receiver: &mut Receiver, touch: &Touch, random: &mut Random) {
    for (name, value) in &touch.attributes {
        receiver.attributes.insert(name.clone(), value.clone());
        receiver.global_attributes.insert(name.clone(), value.clone());
    }
    if touch.attributes.is_empty() {
        let current = receiver.global_attributes.get("lastname").and_then(|name| name.as_str());
        let name = seed::other_last_name(random, current.unwrap_or_default());
        receiver.attributes.insert("name".to_owned(), name.into());
        receiver.global_attributes.insert("lastname".to_owned(), name.into());
    }
}
