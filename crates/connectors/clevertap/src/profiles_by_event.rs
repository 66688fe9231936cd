//! `profilesByEvent`: the people who did something lately, or did not.

use connector::prelude::*;

use crate::day::Zone;
use crate::export::{self, BatchSize, Cursor, Export};
use crate::query::Query;

/// Emits the profiles of people by what they did in the last days: each that is new among them, and
/// each that changed. CleverTap cannot say what changed, so every poll reads all of them.
///
/// Whoever did it too long ago is not among them any more; with `emitDeletes` that is told like a
/// record that is gone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "event": "Charged",
    "lastDays": 30,
    "query": { "advanced_query": { "did_none": [{ "event_name": "App Uninstalled" }] } }
}]))]
pub(crate) struct ProfilesByEvent {
    /// The event that the people did. Without it `query` says what they did and did not do.
    #[serde(default)]
    event: Option<String>,
    /// How many days back it counts, today besides; `from` and `to` in `query` go before it.
    #[serde(default = "crate::day::month")]
    last_days: u16,
    /// Who: CleverTap's query language.
    #[serde(default)]
    query: Query,
    /// Whether what each person did how often comes along; it changes with everything they do.
    #[serde(default)]
    events: bool,
    /// How many profiles one page has, from 1 to 5000, 1012 without it; CleverTap recommends multiples
    /// of 23.
    #[serde(default)]
    batch_size: BatchSize,
}

/// What tells one profile from another.
#[derive(Deserialize)]
struct Known {
    #[serde(default)]
    identity: Value,
    #[serde(rename = "platformInfo", default)]
    devices: Option<Vec<Device>>,
    #[serde(rename = "objectId", default)]
    object_id: Value,
    #[serde(default)]
    email: Value,
}

#[derive(Deserialize)]
struct Device {
    #[serde(rename = "objectId", default)]
    object_id: Value,
}

/// What a profile looks like, for those who write mappings; only its schema is used.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct RawProfile {
    /// The customer's own id of the person.
    identity: Option<String>,
    /// The name.
    name: Option<String>,
    /// The e-mail address.
    email: Option<String>,
    /// The phone number.
    phone: Option<String>,
    /// The profile's properties.
    #[serde(rename = "profileData")]
    profile_data: Option<Value>,
    /// What the person did how often, where `events` asks for it.
    events: Option<Value>,
    /// The person's devices.
    #[serde(rename = "platformInfo")]
    platform_info: Option<Vec<Value>>,
}

#[async_trait]
impl PollingTrigger for ProfilesByEvent {
    type Cursor = Cursor;
    const CHANGES: Changes = Changes::Content;

    fn validate(&self) -> Result<(), String> {
        if self.event.is_some() && self.query.event_name.is_some() {
            return Err(
                "both `event` and `event_name` in `query` name the event: leave one out".to_owned()
            );
        }
        self.named().validate()
    }

    async fn poll(&self, api: &Api, scan: &Scan<Cursor>) -> Result<Page<Cursor>> {
        let with = [("app", true), ("events", self.events), ("profile", true)];
        let (path, size) = ("profiles.json", self.batch_size);
        let export = Export { api, path, size, with: &with };
        let zone = Zone::of(api)?;
        let from = zone.days_before(api.now(), self.last_days)?;
        let query = self.named().within(from, zone.day(api.now())?);
        let exported = export.read(&query, scan.cursor.as_ref()).await?;
        let mut records = Vec::with_capacity(exported.records.len());
        for data in exported.records {
            let key = key(&data).ok_or_else(|| {
                Error::retry("GET /1/profiles.json answered with a profile that is no object")
            })?;
            records.push(Record { key, version: None, data });
        }
        Ok(Page { records, next: exported.next })
    }
}

impl ProfilesByEvent {
    fn named(&self) -> Query {
        match &self.event {
            Some(event) => self.query.about(event),
            None => self.query.clone(),
        }
    }
}

/// The person's own id; of somebody who has none, that of a device (the first in order, since lists
/// have none), or the address; of nobody at all, what is known.
fn key(data: &RawValue) -> Option<String> {
    let Known { identity, devices, object_id, email } = export::object(data)?;
    let text = |value: Value| match value {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let ids = devices.into_iter().flatten().filter_map(|device| text(device.object_id));
    let own = text(identity).or_else(|| text(object_id)).or_else(|| ids.min());
    let content = || blake3::hash(data.get().as_bytes()).to_hex().chars().take(32).collect();
    Some(own.or_else(|| text(email)).unwrap_or_else(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_without_an_id_is_known_by_a_device_or_an_address() {
        let key = |value: Value| key(&serde_json::value::to_raw_value(&value).unwrap());
        let devices = json!([{ "platform": "iOS" }, { "objectId": "b8" }, { "objectId": "-1a" }]);
        for (profile, expected) in [
            (json!({ "identity": "5", "platformInfo": devices }), Some("5")),
            (json!({ "identity": 5 }), Some("5")),
            (json!({ "platformInfo": devices, "email": "a@b.de" }), Some("-1a")),
            (json!({ "email": "a@b.de", "platformInfo": [] }), Some("a@b.de")),
            (json!({ "email": "a@b.de", "platformInfo": null }), Some("a@b.de")),
            (json!("somebody"), None),
            (json!([]), None),
            (json!(["5", null, null, null]), None),
        ] {
            assert_eq!(key(profile.clone()).as_deref(), expected, "{profile}");
        }
        let nobody = [json!({ "profileData": {} }), json!({ "profileData": { "a": 1 } })].map(key);
        assert!(nobody[0].is_some() && nobody[0] != nobody[1]);
    }

    #[test]
    fn who_is_meant_is_said_once() {
        let problem = |fields: Value| {
            serde_json::from_value::<ProfilesByEvent>(fields).unwrap().validate().unwrap_err()
        };
        assert!(problem(json!({})).contains("names no event"));
        let twice = json!({ "event": "A", "query": { "event_name": "B" } });
        assert!(problem(twice).contains("leave one out"));
    }
}
