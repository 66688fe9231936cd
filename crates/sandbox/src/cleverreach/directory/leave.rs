//! Receivers that leave one of their groups, or all.

use serde_json::Value;

use super::{Directory, address};
use crate::cleverreach::hooks::Happened;
use crate::cleverreach::receiver::Entry;

impl Directory {
    /// Gives where the member of a group with this id or address is stored.
    pub(in crate::cleverreach) fn find_member(&self, who: &str, group: u64) -> Option<u32> {
        let email = match who.parse().ok().and_then(|id| self.get(id)) {
            Some(entry) => entry.email.to_string(),
            None => who.to_owned(),
        };
        self.member(&email, group)
    }

    /// Takes the receiver with this id or address out of the account; false where there is none.
    pub(in crate::cleverreach) fn leave_all(&mut self, who: &str) -> bool {
        let id = match who.parse() {
            Ok(id) => id,
            Err(_) => match self.get_by_email(who) {
                Some(entry) => entry.id,
                None => return false,
            },
        };
        self.remove(id)
    }

    /// Removes a group and takes its receivers out of it; false where there is none.
    pub(in crate::cleverreach) fn drop_group(&mut self, id: &str) -> bool {
        let Some(place) = self.groups.iter().position(|group| group.id.to_string() == id) else {
            return false;
        };
        let group = self.groups.remove(place).id;
        let of_it = |entry: &&Entry| entry.groups.contains(&group);
        let members: Vec<String> =
            self.iter().filter(of_it).map(|it| it.email.to_string()).collect();
        for email in members {
            self.leave(&email, group);
        }
        self.seeds.retain(|seed| seed.id != group);
        self.remembered.clear();
        true
    }

    /// Shows an attribute of the account, empty, on every receiver that has it not.
    pub(in crate::cleverreach) fn fill(&mut self, name: &str) {
        for slot in 0..self.entries.len() {
            let Some(place) = self.entries.get_mut(slot) else { continue };
            let Some(entry) = place.as_mut() else { continue };
            let mut receiver = entry.to_receiver();
            receiver.global_attributes.entry(name).or_insert_with(|| Value::from(""));
            *place = Some(Entry::from_receiver(&receiver, entry.id));
        }
        self.remembered.clear();
    }

    /// Takes the receiver with this id or address out of a group; false where it is not in it.
    pub(in crate::cleverreach) fn leave(&mut self, who: &str, group: u64) -> bool {
        let Some(slot) = self.find_member(who, group) else { return false };
        self.remembered.clear();
        let Some(place) = self.entries.get_mut(slot as usize) else { return false };
        let Some(entry) = place.as_mut() else { return false };
        let gone = Happened { what: "deleted", receiver: entry.id, group };
        if entry.groups.len() > 1 {
            entry.groups = entry.groups.iter().copied().filter(|id| *id != group).collect();
            self.happened.push(gone);
            return true;
        }
        let (id, email) = (entry.id, address(&entry.email));
        *place = None;
        self.happened.push(gone);
        if let Some(slots) = self.by_email.get_mut(&email) {
            slots.retain(|known| *known != slot);
        }
        // In another group it is still there, under the same id.
        let is_same = |entry: &Entry| entry.id == id;
        let other =
            self.slots(&email).iter().copied().find(|it| self.stored(*it).is_some_and(is_same));
        match other {
            Some(other) => drop(self.by_id.insert(id, other)),
            None => drop(self.by_id.remove(&id)),
        }
        true
    }
}
