//! What CleverTap received: records in order of arrival, and the profiles that they make.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::campaigns::Campaigns;
use super::check::Accepted;
use super::files::Files;
use super::people::{People, Profile};
use super::writing::Ordered;
use crate::options::Switches;

/// A record that an upload delivered and the API accepted.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Its place among all records that arrived, refused ones included; the first is 1.
    pub number: u64,
    /// The number of the upload request that brought it; the first is 1.
    pub upload: u64,
    /// Epoch seconds of its arrival.
    pub at: i64,
    record: Bytes,
}

impl Delivered {
    /// Gives the record as it was sent.
    pub fn raw(&self) -> &[u8] {
        &self.record
    }

    /// Gives the record as a value.
    pub fn record(&self) -> Value {
        parse(&self.record)
    }

    /// Gives the record's `identity`, empty where it has none.
    pub fn identity(&self) -> String {
        match self.record().get("identity") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    }

    /// Gives number, upload, time and record as one value.
    pub(crate) fn show(&self) -> Value {
        json!({
            "number": self.number, "upload": self.upload, "at": self.at, "record": self.record(),
        })
    }
}

/// A record that the API refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The record and its place.
    pub delivered: Delivered,
    /// The code that it was refused with.
    pub code: u16,
}

/// Everything that was received.
#[derive(Debug, Default)]
pub(super) struct Archive {
    arrived: u64,
    uploads: u64,
    delivered: Vec<Delivered>,
    refused: Vec<Refused>,
    pub(super) people: People,
    /// The keys of profiles that were asked to go, and the second at which they do.
    leaving: BTreeMap<String, i64>,
    /// How many profiles were created anew after they went.
    created_anew: u64,
    /// What was ordered beside uploads.
    pub(super) ordered: Vec<Ordered>,
    pub(super) campaigns: Campaigns,
    pub(super) files: Files,
}

impl Archive {
    /// Opens a new upload request.
    pub(super) fn open(&mut self) -> u64 {
        self.uploads += 1;
        self.uploads
    }

    pub(super) fn accept(&mut self, record: Bytes, upload: u64, at: i64, what: Accepted<'_>) {
        match what {
            Accepted::Profile { owner } => self.people.of(owner).say(record.clone()),
            Accepted::Event { owner, name, ts } => {
                self.people.of(owner).raise(name, ts.unwrap_or(at), self.delivered.len());
            }
            Accepted::Token => {}
        }
        let delivered = self.arrive(record, upload, at);
        self.delivered.push(delivered);
    }

    pub(super) fn refuse(&mut self, record: Bytes, upload: u64, at: i64, code: u16) {
        let delivered = self.arrive(record, upload, at);
        self.refused.push(Refused { delivered, code });
    }

    fn arrive(&mut self, record: Bytes, upload: u64, at: i64) -> Delivered {
        self.arrived += 1;
        Delivered { number: self.arrived, upload, at, record }
    }

    /// Takes a device for one of a person's.
    pub(super) fn add_device(&mut self, identity: &str, object_id: &str) {
        let before = self.people.add_device(identity, object_id);
        // Who was to go as a device goes as that person.
        if let Some(at) = before.and_then(|key| self.leaving.remove(&key)) {
            self.leave(identity.to_owned(), at);
        }
    }

    /// Notes that a profile is to go at a second.
    pub(super) fn leave(&mut self, key: String, at: i64) {
        self.leaving.entry(key).or_insert(at);
    }

    /// Carries out what is due by now.
    pub(super) fn pass(&mut self, now: i64, switches: &Switches) {
        let due = self.leaving.iter().filter(|(_, at)| **at <= now);
        let due: Vec<_> = due.map(|(key, at)| (key.clone(), *at)).collect();
        for (key, at) in due {
            self.leaving.remove(&key);
            let Some((gone, devices)) = self.people.remove(&key) else { continue };
            if switches.recreate_deleted {
                self.created_anew += 1;
                let devices = match switches.recreated_keeps_devices {
                    true => devices,
                    false => vec![format!("__new{}", self.created_anew)],
                };
                self.people.insert(&key, Profile::anew(gone.kind(), at), devices);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn delivered(&self, offset: usize, limit: usize) -> Vec<Delivered> {
        self.delivered.iter().skip(offset).take(limit).cloned().collect()
    }

    /// The events of somebody: of each its place among what was delivered, the second of its arrival,
    /// and the record.
    pub(super) fn raised_by(&self, profile: &Profile) -> impl Iterator<Item = (usize, i64, Value)> {
        let found = |place: &usize| {
            let delivered = self.delivered.get(*place)?;
            Some((*place, delivered.at, delivered.record()))
        };
        profile.raised().iter().filter_map(found)
    }

    pub(super) fn delivered_count(&self) -> usize {
        self.delivered.len()
    }

    pub(super) fn refused(&self) -> Vec<Refused> {
        self.refused.clone()
    }

    pub(super) fn profile(&self, key: &str) -> Option<Map<String, Value>> {
        self.people.get(key).map(Profile::merged)
    }

    pub(super) fn profiles(&self) -> BTreeMap<String, Map<String, Value>> {
        self.people.all().map(|(key, profile)| (key.clone(), profile.merged())).collect()
    }
}

fn parse(record: &[u8]) -> Value {
    serde_json::from_slice(record).unwrap_or(Value::Null)
}
