//! `eventsPolling`: what people did, by one event's name.

use std::time::Duration;

use connector::prelude::*;

use crate::answer;
use crate::day::{self, Day, Zone};
use crate::export::{self, BatchSize, Cursor, Export};
use crate::query::Query;

/// Devices that were offline tell late what was done on them.
const LATE: Duration = Duration::from_secs(24 * 60 * 60);

/// Emits what people did: each event of one name once, with the person as CleverTap knows them now.
///
/// CleverTap gives events by whole days of the project, whose `timezone` the account names, and
/// without an id: who did what in which second tells one from another, and of two that are alike in
/// all of that one is emitted. Events that devices tell late are found as far back as the trigger's
/// `overlap` goes, which is a day where the flow does not say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "event": "Charged",
    "query": { "event_properties": [{ "name": "Amount", "operator": "exists" }] }
}]))]
pub(crate) struct EventsPolling {
    /// The event's name, as the dashboard shows it. CleverTap gives no events of its notifications.
    event: String,
    /// Which of these events: CleverTap's query language, without `event_name`, `from` and `to`.
    #[serde(default)]
    query: Query,
    /// The first day that is read, such as 20260131 or "2026-01-31"; 30 days ago without it.
    #[serde(default)]
    from: Option<Day>,
    /// How many events one page has, from 1 to 5000, 1012 without it; CleverTap recommends multiples
    /// of 23.
    #[serde(default)]
    batch_size: BatchSize,
}

/// What is read of an event to tell it from others.
#[derive(Deserialize)]
struct Known {
    #[serde(default)]
    profile: Option<Who>,
    #[serde(default)]
    ts: Value,
    #[serde(default)]
    event_props: Value,
    #[serde(default)]
    session_props: Value,
}

#[derive(Deserialize)]
struct Who {
    #[serde(rename = "objectId", default)]
    object_id: Value,
    #[serde(default)]
    identity: Value,
    #[serde(default)]
    email: Value,
}

impl Known {
    /// What CleverTap knows the person by: a device first, which the person keeps when they log in and
    /// get an `identity`; then what somebody without any has, the better known first.
    fn whose(&self) -> impl Iterator<Item = &Value> {
        let who = self.profile.iter();
        let ids = who.flat_map(|Who { object_id, identity, email }| [object_id, identity, email]);
        ids.filter(|it| !answer::plain(it).is_empty())
    }

    /// The key of the event where it is this one's.
    fn key(&self, who: &Value) -> String {
        let mut content = String::new();
        for part in [who, &self.ts, &self.event_props, &self.session_props] {
            write_sorted(part, &mut content);
            content.push('\n');
        }
        blake3::hash(content.as_bytes()).to_hex().chars().take(32).collect()
    }
}

/// What an event looks like, for those who write mappings; only its schema is used.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct RawEvent {
    /// When it happened, as an instant: `ts` in the account's `timezone`. It is added here.
    at: String,
    /// The person as CleverTap knows them now.
    profile: Value,
    /// When it happened, as `yyyyMMddHHmmss` in the project's time zone.
    ts: u64,
    /// The event's properties.
    event_props: Option<Value>,
    /// What is known of the session that it was raised in.
    session_props: Option<Value>,
}

#[async_trait]
impl PollingTrigger for EventsPolling {
    type Cursor = Cursor;
    const CHANGES: Changes = Changes::Timestamps;
    /// The person as they are now, not as they were when it happened; and what `timezone` makes of `ts`.
    const VOLATILE: &'static [&'static str] = &["/profile", "/at"];

    fn validate(&self) -> Result<(), String> {
        let name = self.event.trim();
        if name.is_empty() {
            return Err("`event` is empty: give the event's name".to_owned());
        }
        if name.to_lowercase().starts_with("notification ") {
            return Err(format!("CleverTap does not give events of notifications, such as {name}"));
        }
        let Query { event_name, from, to, .. } = &self.query;
        if event_name.is_some() || from.is_some() || to.is_some() {
            return Err("`query` is without `event_name`, `from` and `to`: `event` names the \
                        event, and the trigger asks for the days itself"
                .to_owned());
        }
        self.named().validate()
    }

    fn overlap(&self) -> Duration {
        LATE
    }

    /// The key of the same event while CleverTap knew less of the person.
    fn earlier_key(&self, record: &Record) -> Option<String> {
        let known: Known = serde_json::from_str(record.data.get()).ok()?;
        let before = known.whose().nth(1)?;
        Some(known.key(before))
    }

    async fn poll(&self, api: &Api, scan: &Scan<Cursor>) -> Result<Page<Cursor>> {
        let zone = Zone::of(api)?;
        let export = Export { api, path: "events.json", size: self.batch_size, with: &[] };
        let from = match scan.want.since() {
            Some(since) => zone.day(since)?,
            None => match self.from {
                Some(from) => from,
                None => zone.days_before(api.now(), day::month())?,
            },
        };
        let today = zone.day(api.now())?;
        // Which days deeds are looked at in must not depend on when it is asked.
        let query = self.named().deeds_within(zone.days_before(api.now(), day::month())?, today);
        let query = query.within(from, today.max(from));
        let exported = export.read(&query, scan.cursor.as_ref()).await?;
        let mut records = Vec::with_capacity(exported.records.len());
        for data in exported.records {
            let record = record(&data, zone);
            let odd =
                || Error::retry("GET /1/events.json answered with an event that is no object");
            records.push(record.ok_or_else(odd)?);
        }
        Ok(Page { records, next: exported.next })
    }
}

impl EventsPolling {
    fn named(&self) -> Query {
        self.query.about(&self.event)
    }
}

/// An event with its key: what it is and whose, since it has no id.
fn record(data: &RawValue, zone: Zone) -> Option<Record> {
    let known: Known = export::object(data)?;
    let at = answer::plain(&known.ts).parse().ok().and_then(|time| zone.moment(time));
    let key = known.key(known.whose().next().unwrap_or(&Value::Null));
    let Some(at) = at else {
        tracing::warn!("an event has no time that can be read; it is taken without one");
        return Some(Record { key, version: None, data: data.to_owned() });
    };
    let rest = data.get().trim_start().strip_prefix('{')?;
    let data = RawValue::from_string(format!("{{\"at\":\"{at}\",{rest}")).ok()?;
    Some(Record { key, version: Some(at), data })
}

/// Writes a value with the keys of objects in order: the order in which they came means nothing.
fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (name, value) in members {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_sorted(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_sorted(item, text);
                text.push(',');
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vendor's own sample.
    const SAMPLE: &str = r#"{"profile":{"objectId":"a8ffcbc9-a747-4ee3-a791-c5e58ad03097","platform":"Web",
        "email":"peter@foo.com","profileData":{"favoriteColor":"blue"},"identity":"5555555555","id":33},
        "ts":20151023140416,"event_props":{"value":"pizza"},
        "session_props":{"utm_source":"Foo","utm_medium":"Bar","utm_campaign":"FooBar","session_source":"Direct"}}"#;

    fn of(text: &str) -> Record {
        let zone = Zone::named("Asia/Kolkata").unwrap();
        record(&RawValue::from_string(text.to_owned()).unwrap(), zone).unwrap()
    }

    #[test]
    fn the_key_is_who_did_what_and_when() {
        let sample = of(SAMPLE);
        assert_eq!(sample.version, Timestamp::parse("2015-10-23T08:34:16Z"));
        let data: Value = serde_json::from_str(sample.data.get()).unwrap();
        assert_eq!(
            (&data["at"], &data["ts"]),
            (&json!("2015-10-23T08:34:16Z"), &json!(20_151_023_140_416_u64))
        );
        // One without a time that can be read is taken as it is.
        for odd in ["\"soon\"", "null", "20151323140416"] {
            let odd = of(&SAMPLE.replace("20151023140416", odd));
            assert!(odd.version.is_none() && !odd.data.get().contains("\"at\""));
        }
        let nobody = of(r#"{"profile":null,"ts":"20151023140416"}"#);
        assert_eq!(nobody.version, sample.version);
        // What is known of the person now is none of it, nor is the order of properties.
        for same in [("blue", "green"), ("peter@foo.com", "p@foo.com"), ("\"id\":33", "\"id\":34")]
        {
            assert_eq!(of(&SAMPLE.replace(same.0, same.1)).key, sample.key, "{same:?}");
        }
        for other in
            [("pizza", "pasta"), ("140416", "140417"), ("a8ffcbc9", "b8ffcbc9"), ("FooBar", "Bar")]
        {
            assert_ne!(of(&SAMPLE.replace(other.0, other.1)).key, sample.key, "{other:?}");
        }
        let [one, two] = [r#"{"a":1,"b":[{"c":2,"d":3}]}"#, r#"{"b":[{"d":3,"c":2}],"a":1}"#]
            .map(|props| of(&SAMPLE.replace(r#"{"value":"pizza"}"#, props)).key);
        assert_eq!(one, two);
    }

    #[test]
    fn what_is_no_object_is_no_event() {
        let zone = Zone::named("Asia/Kolkata").unwrap();
        for odd in
            ["[]", "[null]", r#"[{"objectId":"o"},20151023140416,{},{}]"#, "7", "\"\"", "null"]
        {
            let odd = RawValue::from_string(odd.to_owned()).unwrap();
            assert!(record(&odd, zone).is_none(), "{odd}");
        }
    }

    #[test]
    fn an_empty_id_is_nobodys() {
        let [empty, none] = [r#""objectId":"","#, ""].map(|device| {
            let text =
                format!(r#"{{"profile":{{{device}"email":"a@example.com"}},"ts":20151023140416}}"#);
            of(&text).key
        });
        assert_eq!(empty, none);
    }

    #[test]
    fn who_gets_a_first_device_or_identity_is_known_by_what_they_had() {
        let trigger: EventsPolling = serde_json::from_value(json!({ "event": "A" })).unwrap();
        let person =
            |ids: Value| of(&json!({ "profile": ids, "ts": 20_151_023_140_416_u64 }).to_string());
        let [device, identity, email] = [("objectId", "o"), ("identity", "7"), ("email", "a@b.c")]
            .map(|(name, id)| (name.to_owned(), json!(id)));
        let having = |ids: &[&(String, Value)]| {
            person(Value::Object(ids.iter().map(|it| (*it).clone()).collect()))
        };
        for (before, now) in [
            (having(&[&identity]), having(&[&device, &identity])),
            (having(&[&identity, &email]), having(&[&device, &identity, &email])),
            (having(&[&email]), having(&[&device, &email])),
            (having(&[&email]), having(&[&identity, &email])),
        ] {
            assert_ne!(before.key, now.key);
            assert_eq!(trigger.earlier_key(&now), Some(before.key));
        }
        // Somebody with a device keeps the key.
        assert_eq!(having(&[&device]).key, having(&[&device, &identity, &email]).key);
        for alone in [having(&[&device]), having(&[&email]), having(&[])] {
            assert_eq!(trigger.earlier_key(&alone), None);
        }
    }

    #[test]
    fn fields_that_cannot_be_meant_are_refused() {
        for (fields, problem) in [
            (json!({ "event": " " }), "`event` is empty"),
            (json!({ "event": "Notification Viewed" }), "notifications"),
            (json!({ "event": "A", "query": { "from": 20_260_131 } }), "the trigger asks"),
            (
                json!({ "event": "A", "query": { "event_properties": [{ "name": "B" }] } }),
                "`value`",
            ),
        ] {
            let read: EventsPolling = serde_json::from_value(fields).unwrap();
            assert!(read.validate().unwrap_err().contains(problem), "{problem}");
        }
        let sized =
            serde_json::from_value::<EventsPolling>(json!({ "event": "A", "batchSize": 0 }));
        assert!(sized.unwrap_err().to_string().contains("1 to 5000"));
    }
}
