//! What CleverTap received: records in order of arrival, and the profiles that they make.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::campaigns::Campaigns;
use super::check::{Accepted, Owner};
use super::files::Files;
use super::writing::Ordered;
use crate::options::Switches;

/// How many uploads of one profile are kept before they are merged into one.
const MERGE_AFTER: usize = 16;

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
    profiles: HashMap<String, Profile>,
    /// The keys of profiles that were asked to go, and the second at which they do.
    leaving: BTreeMap<String, i64>,
    /// How many profiles were created anew after they went.
    created_anew: u64,
    /// What was ordered beside uploads.
    pub(super) ordered: Vec<Ordered>,
    pub(super) campaigns: Campaigns,
    pub(super) files: Files,
}

#[derive(Debug, Default)]
struct Profile {
    /// The kind of identifier that its key is.
    kind: &'static str,
    /// Merged earlier uploads, then those that still wait as they were sent.
    base: Map<String, Value>,
    waiting: Vec<Bytes>,
    /// Count, first and last second of each event.
    events: BTreeMap<String, (u64, i64, i64)>,
    /// The ids of the person's devices.
    devices: Vec<String>,
}

impl Profile {
    fn merged(&self) -> Map<String, Value> {
        let mut merged = self.base.clone();
        for record in &self.waiting {
            if let Value::Object(mut record) = parse(record)
                && let Some(Value::Object(data)) = record.remove("profileData")
            {
                merged.extend(data.into_iter().filter(|(_, value)| !value.is_null()));
            }
        }
        merged
    }
}

impl Archive {
    /// Opens a new upload request.
    pub(super) fn open(&mut self) -> u64 {
        self.uploads += 1;
        self.uploads
    }

    pub(super) fn accept(&mut self, record: Bytes, upload: u64, at: i64, what: Accepted<'_>) {
        match what {
            Accepted::Profile { owner } => {
                let profile = self.profile_of(owner);
                profile.waiting.push(record.clone());
                if profile.waiting.len() > MERGE_AFTER {
                    profile.base = profile.merged();
                    profile.waiting.clear();
                }
            }
            Accepted::Event { owner, name } => {
                let events = &mut self.profile_of(owner).events;
                let seen = events.entry(name).or_insert((0, at, at));
                *seen = (seen.0 + 1, seen.1, at);
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

    fn profile_of(&mut self, owner: Owner<'_>) -> &mut Profile {
        let key = match owner.kind {
            "identity" => owner.value.into_owned(),
            kind => format!("{kind}:{}", owner.value),
        };
        let profile = self.profiles.entry(key).or_default();
        profile.kind = owner.kind;
        profile
    }

    /// Takes a device for one of a person's.
    pub(super) fn add_device(&mut self, identity: &str, object_id: &str) {
        let owner = Owner { kind: "identity", value: identity.into() };
        self.profile_of(owner).devices.push(object_id.to_owned());
    }

    /// The key of the profile that a device belongs to; one that none has belongs to itself.
    pub(super) fn key_of_object(&self, id: &str) -> String {
        let of = |(_, profile): &(&String, &Profile)| profile.devices.iter().any(|it| it == id);
        let found = self.profiles.iter().find(of).map(|(key, _)| key.clone());
        found.unwrap_or_else(|| format!("objectId:{id}"))
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
            let Some(gone) = self.profiles.remove(&key) else { continue };
            if switches.recreate_deleted {
                self.created_anew += 1;
                let devices = match switches.recreated_keeps_devices {
                    true => gone.devices,
                    false => vec![format!("__new{}", self.created_anew)],
                };
                let events = BTreeMap::from([("App Launched".to_owned(), (1, at, at))]);
                let anew = Profile { kind: gone.kind, devices, events, ..Profile::default() };
                self.profiles.insert(key, anew);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn delivered(&self, offset: usize, limit: usize) -> Vec<Delivered> {
        self.delivered.iter().skip(offset).take(limit).cloned().collect()
    }

    /// The records that were accepted, each with the second of its arrival.
    pub(super) fn records(&self) -> impl Iterator<Item = (i64, Value)> {
        self.delivered.iter().map(|it| (it.at, it.record()))
    }

    pub(super) fn delivered_count(&self) -> usize {
        self.delivered.len()
    }

    pub(super) fn refused(&self) -> Vec<Refused> {
        self.refused.clone()
    }

    pub(super) fn profile(&self, key: &str) -> Option<Map<String, Value>> {
        self.profiles.get(key).map(Profile::merged)
    }

    pub(super) fn profiles(&self) -> BTreeMap<String, Map<String, Value>> {
        self.profiles.iter().map(|(key, profile)| (key.clone(), profile.merged())).collect()
    }

    pub(super) fn profile_count(&self) -> usize {
        self.profiles.len()
    }

    /// Gives a profile as `profile.json` shows it, found by its key or its e-mail address.
    pub(super) fn show(&self, key: Option<&str>, email: Option<&str>) -> Option<Value> {
        let (key, profile) = match (key, email) {
            (Some(key), _) => self.profiles.get_key_value(key)?,
            (None, Some(email)) => self.profiles.iter().find(|(_, profile)| {
                let merged = profile.merged();
                merged.get("Email").and_then(Value::as_str) == Some(email)
            })?,
            (None, None) => return None,
        };
        let mut data = profile.merged();
        let mut record = Map::new();
        if profile.kind == "identity" {
            record.insert("identity".to_owned(), Value::String(key.clone()));
        }
        for (shown, property) in [("name", "Name"), ("email", "Email"), ("phone", "Phone")] {
            if let Some(value) = data.remove(property) {
                record.insert(shown.to_owned(), value);
            }
        }
        let events = profile.events.iter().map(|(name, (count, first, last))| {
            let seen = json!({ "count": count, "first_seen": first, "last_seen": last });
            (name.clone(), seen)
        });
        record.insert("profileData".to_owned(), Value::Object(data));
        record.insert("events".to_owned(), Value::Object(events.collect()));
        let own = key.strip_prefix("objectId:").map(str::to_owned);
        let devices = own.iter().chain(&profile.devices);
        let devices = devices.map(|id| json!({ "platform": "Web", "objectId": id }));
        record.insert("platformInfo".to_owned(), Value::Array(devices.collect()));
        Some(Value::Object(record))
    }
}

fn parse(record: &[u8]) -> Value {
    serde_json::from_slice(record).unwrap_or(Value::Null)
}
