//! CleverTap's query language. Of devices, apps, ways to reach people and places the sandbox knows
//! nothing: there nobody has what is asked for. What is no query is refused.

use serde_json::{Map, Value};

use super::archive::Archive;
use super::attribution::SESSION;
use super::condition::Condition;
use super::people::Profile;
use super::reading::ReadingSwitches;
use crate::answer::Answer;

/// What is known of everybody.
const COMMON: [&str; 7] = [
    "app_fields",
    "profile_fields",
    "demographics",
    "technographics",
    "reachability",
    "geo_fields",
    "geo_radius",
];

/// What a query may hold.
const MEMBERS: [&str; 7] = [
    "event_name",
    "from",
    "to",
    "event_properties",
    "session_properties",
    "common_profile_properties",
    "advanced_query",
];

/// A query: the event, its days and properties, what was done and not done besides.
pub(super) struct Query {
    pub(super) deed: Option<Deed>,
    from: u64,
    to: u64,
    did_all: Vec<Deed>,
    did_none: Vec<Deed>,
    did_any: Any,
    session: Vec<Condition>,
    /// Of the profile's own properties, and of what is known of everybody.
    profile: Vec<Condition>,
    /// Of what the sandbox knows nothing about.
    unknown: Vec<Condition>,
    /// Whether it asks for people of a place.
    places: bool,
    /// The whole body.
    pub(super) rest: Value,
}

/// An event of a name on some days, with properties.
pub(super) struct Deed {
    name: String,
    from: u64,
    to: u64,
    properties: Vec<Condition>,
    /// How often it was raised; at least once without it.
    times: Option<Condition>,
}

/// Some of several events, so often together; at least once without a number.
#[derive(Default)]
struct Any {
    deeds: Vec<Deed>,
    times: Option<Condition>,
}

/// An event that was raised.
pub(super) struct Raised {
    /// Where it stands among all that was delivered.
    place: usize,
    /// The key of whose it is.
    pub(super) key: String,
    /// The device, where it is known.
    pub(super) object_id: Option<String>,
    pub(super) name: String,
    /// Its time in the project, as 14 digits.
    pub(super) time: u64,
    pub(super) properties: Value,
    /// What was told of the session that it was raised in.
    session: Map<String, Value>,
}

impl Query {
    /// Reads a query, or says why it is none.
    ///
    /// Some endpoints take more than a query: what is named besides is theirs.
    pub(super) fn read(body: &[u8], besides: &[&str]) -> Result<Self, Answer> {
        let Ok(rest) = serde_json::from_slice::<Value>(body) else {
            return Err(Answer::fail(400, "Malformed request"));
        };
        Self::of(rest, besides).ok_or_else(Self::refused)
    }

    /// What is no query is answered so.
    pub(super) fn refused() -> Answer {
        Answer::fail_with(400, 3, "Incorrect Usage")
    }

    /// Reads a query; `None` if it is none.
    pub(super) fn of(rest: Value, besides: &[&str]) -> Option<Self> {
        let mut keys = rest.as_object()?.keys().map(String::as_str);
        if !keys.all(|key| MEMBERS.contains(&key) || besides.contains(&key)) {
            return None;
        }
        let days = (day(rest.get("from")), day(rest.get("to")));
        let advanced = within(&rest, "advanced_query", &["did_all", "did_none", "did_any"])?;
        let deeds = |listed: Option<&Value>| match listed {
            Some(listed) => listed.as_array()?.iter().map(|it| Deed::read(it, days)).collect(),
            None => Some(vec![]),
        };
        let (did_all, did_none) =
            (deeds(advanced.get("did_all"))?, deeds(advanced.get("did_none"))?);
        let any = within(&advanced, "did_any", &["any_events", "operator", "value"])?;
        let did_any =
            Any { deeds: deeds(any.get("any_events"))?, times: Condition::of_times(&any)? };
        let deed = match rest.get("event_name") {
            Some(_) => Some(Deed::of_query(&rest, days)?),
            None => None,
        };
        let none = did_all.is_empty() && did_none.is_empty() && did_any.deeds.is_empty();
        let (from, to) = (days.0?, days.1?);
        if from > to || (deed.is_none() && none) {
            return None;
        }
        let common = within(&rest, "common_profile_properties", &COMMON)?;
        let of = |name: &str| Condition::all(common.get(name));
        let mut profile = of("profile_fields")?;
        profile.extend(of("demographics")?.into_iter().map(Condition::stored));
        let mut unknown = of("app_fields")?;
        unknown.extend(of("technographics")?);
        unknown.extend(of("reachability")?);
        let is_listed = |name: &str| match common.get(name) {
            Some(listed) => listed.as_array().map(|listed| !listed.is_empty()),
            None => Some(false),
        };
        let places = is_listed("geo_fields")? | is_listed("geo_radius")?;
        let session = Condition::all(rest.get("session_properties"))?;
        Some(Self {
            deed,
            from,
            to,
            did_all,
            did_none,
            did_any,
            session,
            profile,
            unknown,
            places,
            rest,
        })
    }

    /// Whether it asks for an event that must not be exported.
    pub(super) fn is_of_notifications(&self) -> bool {
        self.deed.as_ref().is_some_and(|deed| folded(&deed.name).starts_with("notification"))
    }

    /// The events that it is about, in the order in which they arrived.
    pub(super) fn events(&self, archive: &Archive, switches: &ReadingSwitches) -> Vec<Raised> {
        let is_meant = |it: &Raised| match &self.deed {
            Some(deed) => deed.is(it) && self.is_in_session(it),
            None => (self.from..=self.to).contains(&(it.time / 1_000_000)),
        };
        let people = self.people(archive, switches).flat_map(|(_, raised)| raised);
        let mut meant: Vec<_> = people.filter(is_meant).collect();
        meant.sort_unstable_by_key(|it| it.place);
        meant
    }

    /// The keys of the people that it is about.
    pub(super) fn keys(&self, archive: &Archive, switches: &ReadingSwitches) -> Vec<String> {
        self.people(archive, switches).map(|(key, _)| key.clone()).collect()
    }

    fn is_in_session(&self, raised: &Raised) -> bool {
        let session = Value::Object(raised.session());
        self.session.iter().all(|condition| condition.holds(&session))
    }

    /// The people that it is about, with all that they did.
    fn people<'a>(
        &'a self,
        archive: &'a Archive,
        switches: &'a ReadingSwitches,
    ) -> impl Iterator<Item = (&'a String, Vec<Raised>)> {
        archive.people.all().filter_map(move |(key, profile)| {
            let raised = archive.raised_by(profile);
            let raised =
                raised.filter_map(|it| Raised::read(key, it, switches)).collect::<Vec<_>>();
            self.is_about(profile, &raised).then_some((key, raised))
        })
    }

    fn is_about(&self, profile: &Profile, raised: &[Raised]) -> bool {
        let times = |deed: &Deed| raised.iter().filter(|it| deed.is(it)).count();
        let enough = |times: usize, wanted: &Option<Condition>| {
            wanted.as_ref().map_or(times > 0, |wanted| wanted.counts(times))
        };
        let did = |deed: &Deed| enough(times(deed), &deed.times);
        let asked = |deed: &Deed| raised.iter().any(|it| deed.is(it) && self.is_in_session(it));
        let nothing = Value::Object(Map::new());
        let any: usize = self.did_any.deeds.iter().map(times).sum();
        self.deed.as_ref().is_none_or(asked)
            && self.did_all.iter().all(did)
            && !self.did_none.iter().any(did)
            && (self.did_any.deeds.is_empty() || enough(any, &self.did_any.times))
            && !self.places
            && self.unknown.iter().all(|condition| condition.holds(&nothing))
            && (self.profile.is_empty() || {
                let data = Value::Object(profile.merged());
                self.profile.iter().all(|condition| condition.holds(&data))
            })
    }
}

impl Raised {
    /// Reads the record of an event of somebody, with its place and the second of its arrival.
    fn read(
        key: &str,
        (place, at, record): (usize, i64, Value),
        switches: &ReadingSwitches,
    ) -> Option<Self> {
        let name = record.get("evtName")?.as_str()?.trim().to_owned();
        let object_id = record.get("objectId").filter(|it| !it.is_null()).map(text);
        let second = record.get("ts").and_then(Value::as_i64).unwrap_or(at);
        let time = switches.timezone.written(second)?;
        let properties = record.get("evtData").cloned();
        let properties = properties.unwrap_or_else(|| Value::Object(Map::new()));
        let session = record.get(SESSION).and_then(Value::as_object).cloned().unwrap_or_default();
        Some(Self { place, key: key.to_owned(), object_id, name, time, properties, session })
    }

    /// What is known of the session that it was raised in.
    pub(super) fn session(&self) -> Map<String, Value> {
        let mut session = self.session.clone();
        session.insert("session_source".to_owned(), "Direct".into());
        session
    }
}

impl Deed {
    /// One of several.
    fn read(value: &Value, days: (Option<u64>, Option<u64>)) -> Option<Self> {
        let known = ["event_name", "from", "to", "event_properties", "operator", "value"];
        let mut keys = value.as_object()?.keys();
        if !keys.all(|key| known.contains(&key.as_str())) {
            return None;
        }
        Some(Self { times: Condition::of_times(value)?, ..Self::of_query(value, days)? })
    }

    /// That of the query itself.
    fn of_query(value: &Value, days: (Option<u64>, Option<u64>)) -> Option<Self> {
        let name = value.get("event_name")?.as_str()?.to_owned();
        let from = day(value.get("from")).or(days.0)?;
        let to = day(value.get("to")).or(days.1)?;
        let properties = Condition::all(value.get("event_properties"))?;
        Some(Self { name, from, to, properties, times: None })
    }

    /// Names are the same without case and spaces.
    fn is(&self, raised: &Raised) -> bool {
        folded(&self.name) == folded(&raised.name)
            && (self.from..=self.to).contains(&(raised.time / 1_000_000))
            && self.properties.iter().all(|condition| condition.holds(&raised.properties))
    }
}

/// The object under a name, empty without one; `None` if it is none, or has other members.
fn within(of: &Value, name: &str, known: &[&str]) -> Option<Value> {
    let Some(found) = of.get(name) else { return Some(Value::Object(Map::new())) };
    let mut keys = found.as_object()?.keys();
    keys.all(|key| known.contains(&key.as_str())).then(|| found.clone())
}

fn day(value: Option<&Value>) -> Option<u64> {
    value?.as_u64().filter(|day| (19_000_101..=99_991_231).contains(day))
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
