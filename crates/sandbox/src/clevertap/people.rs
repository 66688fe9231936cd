//! The people that CleverTap knows: what is said of them, what they did, and which devices are theirs.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::check::Owner;
use super::merge;

/// How many uploads of one profile are kept before they are merged into one.
const MERGE_AFTER: usize = 16;

/// Everybody, each by one key: an identity as it is, any other identifier after its kind.
#[derive(Debug, Default)]
pub(super) struct People {
    profiles: BTreeMap<String, Profile>,
    /// The keys of those whose a device is; one that is nobody's is a person of its own.
    owners: HashMap<String, String>,
}

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Profile {
    /// The kind of identifier that its key is.
    kind: &'static str,
    /// Merged earlier uploads, then those that still wait as they were sent.
    base: Map<String, Value>,
    waiting: Vec<Bytes>,
    /// Count, first and last second of each event, by the events' own times.
    events: BTreeMap<String, (u64, i64, i64)>,
    /// The places of these events among all that was delivered. They go with the person.
    raised: Vec<usize>,
    /// The ids of the person's devices.
    devices: Vec<String>,
}

impl Profile {
    /// One that is created by a device that goes on sending.
    pub(super) fn anew(kind: &'static str, at: i64) -> Self {
        let events = BTreeMap::from([("App Launched".to_owned(), (1, at, at))]);
        Self { kind, events, ..Self::default() }
    }

    pub(super) const fn kind(&self) -> &'static str {
        self.kind
    }

    /// Takes an upload of properties.
    pub(super) fn say(&mut self, record: Bytes) {
        self.waiting.push(record);
        if self.waiting.len() > MERGE_AFTER {
            self.base = self.merged();
            self.waiting.clear();
        }
    }

    /// Takes an event, which stands at a place among what was delivered.
    pub(super) fn raise(&mut self, name: String, second: i64, place: usize) {
        let (count, first, last) = self.events.entry(name).or_insert((0, second, second));
        (*count, *first, *last) = (*count + 1, second.min(*first), second.max(*last));
        self.raised.push(place);
    }

    /// The places of the events among all that was delivered.
    pub(super) fn raised(&self) -> &[usize] {
        &self.raised
    }

    /// The properties as all uploads together make them.
    pub(super) fn merged(&self) -> Map<String, Value> {
        let mut merged = self.base.clone();
        for record in &self.waiting {
            if let Ok(Value::Object(mut record)) = serde_json::from_slice(record)
                && let Some(Value::Object(data)) = record.remove("profileData")
            {
                merge::upload(&mut merged, data);
            }
        }
        merged
    }

    /// Takes over what is known of somebody who turns out to be the same.
    fn absorb(&mut self, other: Self) {
        let mut base = other.merged();
        base.extend(self.merged());
        self.base = base;
        self.waiting.clear();
        for (name, (count, first, last)) in other.events {
            let seen = self.events.entry(name).or_insert((0, first, last));
            *seen = (seen.0 + count, seen.1.min(first), seen.2.max(last));
        }
        self.raised.extend(other.raised);
    }
}

impl People {
    /// Finds somebody, or creates them.
    pub(super) fn of(&mut self, owner: Owner<'_>) -> &mut Profile {
        let key = match owner.kind {
            "identity" => owner.value.into_owned(),
            "objectId" => self.key_of_object(&owner.value),
            kind => format!("{kind}:{}", owner.value),
        };
        let new = || Profile { kind: owner.kind, ..Profile::default() };
        self.profiles.entry(key).or_insert_with(new)
    }

    /// The key of whose a device is; one that is nobody's is somebody by itself.
    pub(super) fn key_of_object(&self, id: &str) -> String {
        self.owners.get(id).cloned().unwrap_or_else(|| format!("objectId:{id}"))
    }

    /// Takes a device for one of a person's, with all that it did before. Gives the key that it had
    /// until then, where it was somebody by itself.
    pub(super) fn add_device(&mut self, identity: &str, object_id: &str) -> Option<String> {
        let before = self.key_of_object(object_id);
        if before == identity {
            return None;
        }
        if let Some(owner) = self.profiles.get_mut(&before) {
            owner.devices.retain(|id| id != object_id);
        }
        let is_own = !self.owners.contains_key(object_id);
        let own = is_own.then(|| self.profiles.remove(&before)).flatten();
        self.owners.insert(object_id.to_owned(), identity.to_owned());
        let person = self.of(Owner { kind: "identity", value: identity.into() });
        person.devices.push(object_id.to_owned());
        if let Some(own) = own {
            person.absorb(own);
        }
        is_own.then_some(before)
    }

    /// Takes somebody out, whose devices are nobody's then; gives these too.
    pub(super) fn remove(&mut self, key: &str) -> Option<(Profile, Vec<String>)> {
        let mut gone = self.profiles.remove(key)?;
        let devices = std::mem::take(&mut gone.devices);
        for id in &devices {
            self.owners.remove(id);
        }
        Some((gone, devices))
    }

    /// Puts somebody in.
    pub(super) fn insert(&mut self, key: &str, mut profile: Profile, devices: Vec<String>) {
        for id in &devices {
            self.owners.insert(id.clone(), key.to_owned());
        }
        profile.devices = devices;
        self.profiles.insert(key.to_owned(), profile);
    }

    pub(super) fn get(&self, key: &str) -> Option<&Profile> {
        self.profiles.get(key)
    }

    pub(super) fn len(&self) -> usize {
        self.profiles.len()
    }

    /// Everybody in the order of the keys.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Profile)> {
        self.profiles.iter()
    }

    /// Gives somebody as `profile.json` shows them, found by their key, or by their e-mail address:
    /// of several with the same one the first.
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
