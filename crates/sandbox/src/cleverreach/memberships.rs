//! The groups of a receiver: `GET /receivers/{id}/groups`, and how each of them has it.

use serde_json::{Map, Value};

use super::api::show_group;
use super::directory::Directory;
use super::receiver::{Entry, Receiver};
use crate::answer::Answer;
use crate::options::Switches;

/// Answers with the groups that a receiver is in.
pub(super) fn answer(directory: &Directory, receiver: &str, switches: &Switches) -> Answer {
    let places = directory.places(receiver);
    if places.is_empty() {
        return Answer::error(404, "Not Found");
    }
    let is_in = |id: u64| places.iter().any(|entry| entry.groups.contains(&id));
    let groups = directory.groups.iter().filter(|group| is_in(group.id));
    let shown = groups.map(|group| {
        let group = show_group(group, switches);
        if switches.memberships_as_ids { group["id"].clone() } else { group }
    });
    Answer::json(200, &shown.collect::<Vec<Value>>())
}

impl Directory {
    /// Gives all places of a receiver, by its id or address.
    pub(super) fn places(&self, id: &str) -> Vec<&Entry> {
        let first = match id.parse() {
            Ok(id) => self.get(id),
            Err(_) => self.get_by_email(id),
        };
        let Some(first) = first else { return vec![] };
        let places = self.slots(&first.email).iter().filter_map(|slot| self.stored(*slot));
        places.filter(|entry| entry.id == first.id).collect()
    }

    /// Gives a receiver as a group has it, by its id or address.
    pub(super) fn place(&self, group: &str, id: &str) -> Option<(&Entry, u64)> {
        let group: u64 = group.parse().ok()?;
        let mut places = self.places(id).into_iter();
        places.find(|entry| entry.groups.contains(&group)).map(|entry| (entry, group))
    }

    /// Puts a receiver into a group with attributes of the group's own, or changes those that it has
    /// there; no time of its other groups moves. False where there is no such receiver.
    pub(super) fn join(
        &mut self,
        id: u64,
        group: u64,
        attributes: &Map<String, Value>,
        now: i64,
    ) -> bool {
        let Some(first) = self.get(id) else { return false };
        let (email, first) = (first.email.to_string(), first.to_receiver());
        let known = self.member(&email, group);
        let mut receiver = match known.and_then(|slot| self.stored(slot)) {
            Some(entry) => entry.to_receiver(),
            None => Receiver {
                registered: now,
                activated: now,
                groups: vec![group.to_string()],
                attributes: Map::new(),
                ..first
            },
        };
        receiver.attributes.extend(attributes.clone());
        let entry = Entry::from_receiver(&receiver, id);
        match known {
            Some(slot) => self.replace(slot, entry),
            None => return self.push(entry).is_some(),
        }
        true
    }
}
