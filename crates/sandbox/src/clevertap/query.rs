//! CleverTap's query language, as far as the sandbox's data can answer it.

use serde_json::Value;

use super::archive::Archive;
use super::reading::ReadingSwitches;
use crate::answer::Answer;

/// A query: the event, its days and properties, what was done and not done besides.
pub(super) struct Query {
    pub(super) deed: Option<Deed>,
    from: u64,
    to: u64,
    did_all: Vec<Deed>,
    did_none: Vec<Deed>,
    did_any: Vec<Deed>,
    profile: Vec<Condition>,
    /// The whole body.
    pub(super) rest: Value,
}

/// An event of a name on some days, with properties.
pub(super) struct Deed {
    name: String,
    from: u64,
    to: u64,
    properties: Vec<Condition>,
}

struct Condition {
    name: String,
    operator: String,
    value: Value,
}

/// An event that was raised.
pub(super) struct Raised {
    /// The key of whose it is.
    pub(super) key: String,
    /// What was named: the kind of identifier and its value.
    pub(super) object_id: Option<String>,
    pub(super) name: String,
    /// Its time in the project, as 14 digits.
    pub(super) time: u64,
    pub(super) properties: Value,
}

impl Query {
    /// Reads a query, or says why it is none.
    pub(super) fn read(body: &[u8]) -> Result<Self, Answer> {
        let Ok(rest) = serde_json::from_slice::<Value>(body) else {
            return Err(Answer::fail(400, "Malformed request"));
        };
        let days = (day(rest.get("from")), day(rest.get("to")));
        let advanced = rest.get("advanced_query");
        let deeds = |place: &str| {
            let listed = advanced.and_then(|it| it.pointer(place)).and_then(Value::as_array);
            listed.into_iter().flatten().filter_map(|it| Deed::read(it, days)).collect::<Vec<_>>()
        };
        let (did_all, did_none) = (deeds("/did_all"), deeds("/did_none"));
        let did_any = deeds("/did_any/any_events");
        let deed = Deed::read(&rest, days);
        let none = did_all.is_empty() && did_none.is_empty() && did_any.is_empty();
        let (Some(from), Some(to)) = days else {
            return Err(Answer::fail_with(400, 3, "Incorrect Usage"));
        };
        if from > to || (deed.is_none() && none) {
            return Err(Answer::fail_with(400, 3, "Incorrect Usage"));
        }
        let profile = conditions(rest.pointer("/common_profile_properties/profile_fields"));
        Ok(Self { deed, from, to, did_all, did_none, did_any, profile, rest })
    }

    /// Whether it asks for an event that must not be exported.
    pub(super) fn is_of_notifications(&self) -> bool {
        self.deed.as_ref().is_some_and(|deed| folded(&deed.name).starts_with("notification"))
    }

    /// The events that it is about, in the order in which they were raised.
    pub(super) fn events(&self, archive: &Archive, switches: &ReadingSwitches) -> Vec<Raised> {
        let all = raised(archive, switches);
        let people = self.people(&all, archive);
        let is_meant = |it: &Raised| match &self.deed {
            Some(deed) => deed.is(it),
            None => (self.from..=self.to).contains(&(it.time / 1_000_000)),
        };
        let meant: Vec<bool> =
            all.iter().map(|it| is_meant(it) && people.contains(&it.key)).collect();
        all.into_iter().zip(meant).filter(|(_, meant)| *meant).map(|(it, _)| it).collect()
    }

    /// The keys of the people that it is about.
    pub(super) fn keys(&self, archive: &Archive, switches: &ReadingSwitches) -> Vec<String> {
        self.people(&raised(archive, switches), archive)
    }

    fn people(&self, all: &[Raised], archive: &Archive) -> Vec<String> {
        let did = |key: &str, deed: &Deed| all.iter().any(|it| it.key == key && deed.is(it));
        let meant = |key: &String| {
            self.deed.as_ref().is_none_or(|deed| did(key, deed))
                && self.did_all.iter().all(|deed| did(key, deed))
                && !self.did_none.iter().any(|deed| did(key, deed))
                && (self.did_any.is_empty() || self.did_any.iter().any(|deed| did(key, deed)))
                && archive.profile(key).is_some_and(|data| {
                    let data = Value::Object(data);
                    self.profile.iter().all(|condition| condition.holds(&data))
                })
        };
        archive.profiles().into_keys().filter(meant).collect()
    }
}

impl Deed {
    fn read(value: &Value, days: (Option<u64>, Option<u64>)) -> Option<Self> {
        let name = value.get("event_name")?.as_str()?.to_owned();
        let from = day(value.get("from")).or(days.0)?;
        let to = day(value.get("to")).or(days.1)?;
        Some(Self { name, from, to, properties: conditions(value.get("event_properties")) })
    }

    /// Names are the same without case and spaces.
    fn is(&self, raised: &Raised) -> bool {
        folded(&self.name) == folded(&raised.name)
            && (self.from..=self.to).contains(&(raised.time / 1_000_000))
            && self.properties.iter().all(|condition| condition.holds(&raised.properties))
    }
}

impl Condition {
    fn holds(&self, of: &Value) -> bool {
        let found = of.get(&self.name).filter(|it| !it.is_null());
        let equals = |found: &Value| match &self.value {
            Value::Array(values) => values.iter().any(|value| same(value, found)),
            value => same(value, found),
        };
        let contains = |found: &Value| text(found).contains(&text(&self.value));
        let number = |value: &Value| text(value).parse::<f64>().ok();
        let compared = found.and_then(number).zip(number(&self.value));
        match self.operator.as_str() {
            "equals" => found.is_some_and(equals),
            "not_equals" => !found.is_some_and(equals),
            "contains" => found.is_some_and(contains),
            "does_not_contain" => !found.is_some_and(contains),
            "exists" => found.is_some(),
            "does_not_exist" => found.is_none(),
            "greater_than" => compared.is_some_and(|(found, than)| found > than),
            "greater_than_equals" => compared.is_some_and(|(found, than)| found >= than),
            "less_than" => compared.is_some_and(|(found, than)| found < than),
            "less_than_equals" => compared.is_some_and(|(found, than)| found <= than),
            "between" => {
                let ends = |at| self.value.get(at).and_then(number);
                let found = found.and_then(number);
                found
                    .zip(ends(0))
                    .zip(ends(1))
                    .is_some_and(|((it, low), high)| (low..=high).contains(&it))
            }
            _ => false,
        }
    }
}

fn conditions(listed: Option<&Value>) -> Vec<Condition> {
    let listed = listed.and_then(Value::as_array).into_iter().flatten();
    let read = listed.filter_map(|it| {
        Some(Condition {
            name: it.get("name")?.as_str()?.to_owned(),
            operator: it.get("operator").and_then(Value::as_str).unwrap_or("equals").to_owned(),
            value: it.get("value").cloned().unwrap_or_default(),
        })
    });
    read.collect()
}

fn day(value: Option<&Value>) -> Option<u64> {
    value?.as_u64().filter(|day| (19_000_101..=99_991_231).contains(day))
}

fn same(one: &Value, other: &Value) -> bool {
    one == other || text(one) == text(other)
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn folded(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

/// Every event that was raised, in order of arrival.
fn raised(archive: &Archive, switches: &ReadingSwitches) -> Vec<Raised> {
    let events = archive.records().filter_map(|(at, record)| {
        let name = record.get("evtName")?.as_str()?.trim().to_owned();
        let of = |kind: &str| record.get(kind).filter(|it| !it.is_null()).map(text);
        let object_id = of("objectId");
        let key = match (of("identity"), &object_id) {
            (Some(identity), _) => identity,
            (None, Some(id)) => archive.key_of_object(id),
            (None, None) => match of("FBID") {
                Some(id) => format!("FBID:{id}"),
                None => format!("GPID:{}", of("GPID")?),
            },
        };
        let second = record.get("ts").and_then(Value::as_i64).unwrap_or(at);
        let local = second + i64::from(switches.offset_minutes) * 60;
        let time = chrono::DateTime::from_timestamp(local, 0)?;
        let time = time.format("%Y%m%d%H%M%S").to_string().parse().ok()?;
        let properties = record.get("evtData").cloned().unwrap_or_else(|| serde_json::json!({}));
        Some(Raised { key, object_id, name, time, properties })
    });
    events.collect()
}
