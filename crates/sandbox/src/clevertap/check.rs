//! What makes CleverTap refuse one record of an upload, and in which words.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::scalar::{Scalar, Text};
use crate::options::Switches;

const MOST_PROPERTIES: usize = 256;
const LONGEST_NAME: usize = 120;
const LONGEST_VALUE: usize = 512;
const MOST_ITEMS: usize = 100;
/// The last second that has ten digits: what is larger is taken for milliseconds.
const LAST_SECOND: i64 = 9_999_999_999;

const RESTRICTED: [&str; 17] = [
    "notificationsent",
    "notificationviewed",
    "notificationclicked",
    "notificationdelivered",
    "notificationreplied",
    "utmvisited",
    "applaunched",
    "appuninstalled",
    "appversionchanged",
    "stayed",
    "replysent",
    "experimentrendered",
    "reachableby",
    "identityreset",
    "identityset",
    "identityerror",
    "webpageviewed",
];
const TOKEN_TYPES: [&str; 6] = ["chrome", "fcm", "gcm", "apns", "wns", "mpns"];

/// Why a record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    /// The text without `Skipped record number : N`.
    ///
    /// Those of 513, 515 to 518, 520 and 525 are recorded from the real API, odd spaces included;
    /// the others follow their pattern.
    pub(super) text: &'static str,
}

const fn refusal(code: u16, text: &'static str) -> Refusal {
    Refusal { code, text }
}

/// What an accepted record is.
#[derive(Debug, PartialEq)]
pub(super) enum Accepted<'a> {
    Profile { owner: Owner<'a> },
    Event { owner: Owner<'a>, name: String },
    Token,
}

/// Whose record it is: the kind of identifier and its value.
#[derive(Debug, PartialEq)]
pub(super) struct Owner<'a> {
    pub(super) kind: &'static str,
    pub(super) value: std::borrow::Cow<'a, str>,
}

/// Reads and checks one record.
pub(super) fn check<'a>(raw: &'a str, switches: &Switches) -> Result<Accepted<'a>, Refusal> {
    let neither = refusal(524, "Record is neither an event nor a profile. ");
    let Ok(record) = serde_json::from_str::<Record<'a>>(raw) else { return Err(neither) };
    let strict = switches.strict_properties;
    match record.kind.text() {
        Some("profile") => {
            let owner = record.owner()?;
            check_time(&record.ts)?;
            record.profile.verdict(&record.event_data, 555, strict)?;
            Ok(Accepted::Profile { owner })
        }
        Some("event") => {
            let owner = record.owner()?;
            check_time(&record.ts)?;
            let name = match record.event_name.text().map(str::trim) {
                Some(name) if !name.is_empty() => name.to_owned(),
                _ => return Err(refusal(509, "Event name is mandatory. ")),
            };
            let plain: String = name.chars().filter(|c| !c.is_whitespace()).collect();
            if RESTRICTED.contains(&plain.to_ascii_lowercase().as_str()) {
                let text = "Event Name is incorrect. ErrorCode: 513 - Trying to raise a \
                            restricted system event. ";
                return Err(refusal(513, text));
            }
            match record.event_data.shape {
                Shape::Other => Err(refusal(512, "Event structure is invalid. ")),
                Shape::Object if strict && record.event_data.count > MOST_PROPERTIES => {
                    Err(refusal(522, "Event has too many properties. "))
                }
                _ => Ok(Accepted::Event { owner, name }),
            }
        }
        Some("token") => {
            if record.object_id.text().is_none_or(str::is_empty) {
                return Err(refusal(530, "Token data is incorrect. Object id is not valid."));
            }
            let Some(data) = record.token else {
                return Err(refusal(531, "Token data is incorrect. "));
            };
            if data.id.text().is_none_or(str::is_empty) {
                return Err(refusal(532, "Token data is incorrect. Token id is missing."));
            }
            match data.kind.text() {
                None => Err(refusal(533, "Token data is incorrect. Token type is missing.")),
                Some(kind) if !TOKEN_TYPES.contains(&kind) => {
                    Err(refusal(534, "Token data is incorrect. Token type is not valid."))
                }
                Some(_) => Ok(Accepted::Token),
            }
        }
        _ => Err(neither),
    }
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Record<'a> {
    #[serde(rename = "type", default)]
    kind: Scalar<'a>,
    #[serde(default)]
    identity: Scalar<'a>,
    #[serde(rename = "FBID", default)]
    facebook: Scalar<'a>,
    #[serde(rename = "GPID", default)]
    google: Scalar<'a>,
    #[serde(rename = "objectId", default)]
    object_id: Scalar<'a>,
    #[serde(default)]
    ts: Scalar<'a>,
    #[serde(rename = "profileData", default)]
    profile: ProfileData,
    #[serde(rename = "evtName", default)]
    event_name: Scalar<'a>,
    #[serde(rename = "evtData", default)]
    event_data: EventData,
    #[serde(rename = "tokenData", default)]
    token: Option<TokenData<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct TokenData<'a> {
    #[serde(default)]
    id: Scalar<'a>,
    #[serde(rename = "type", default)]
    kind: Scalar<'a>,
}

impl<'a> Record<'a> {
    /// Gives the one identifier; numbers count as their digits.
    fn owner(&self) -> Result<Owner<'a>, Refusal> {
        let all = [
            ("identity", &self.identity),
            ("FBID", &self.facebook),
            ("GPID", &self.google),
            ("objectId", &self.object_id),
        ];
        let mut given = all.into_iter().filter(|(_, value)| !value.is_absent());
        let Some((kind, value)) = given.next() else {
            return Err(refusal(523, "Record has no identity. "));
        };
        if given.next().is_some() {
            return Err(refusal(555, "Record has more than one identity. "));
        }
        let value = match value {
            Scalar::Text(text) if !text.trim().is_empty() => text.clone(),
            Scalar::Integer(number) => number.to_string().into(),
            _ if kind == "objectId" => return Err(refusal(526, "Object id is not valid. ")),
            _ => return Err(refusal(523, "Record has no identity. ")),
        };
        Ok(Owner { kind, value })
    }
}

fn check_time(ts: &Scalar<'_>) -> Result<(), Refusal> {
    match ts {
        Scalar::Absent => Ok(()),
        Scalar::Integer(second) if (0..=LAST_SECOND).contains(second) => Ok(()),
        _ => Err(refusal(525, "Timestamp should be present in the Unix Epoch format. ")),
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Shape {
    #[default]
    Absent,
    Object,
    Other,
}

#[derive(Default)]
struct EventData {
    shape: Shape,
    count: usize,
}

/// The properties of a profile, checked while they are read.
#[derive(Default)]
struct ProfileData {
    shape: Shape,
    custom: usize,
    /// The first thing wrong with a predefined field.
    refused: Option<Refusal>,
    /// The first thing wrong by limits whose enforcement is a switch.
    beyond: Option<&'static str>,
}

impl ProfileData {
    fn verdict(&self, event: &EventData, code: u16, strict: bool) -> Result<(), Refusal> {
        match self.shape {
            Shape::Absent if event.shape == Shape::Absent => {
                return Err(refusal(524, "Record is neither an event nor a profile. "));
            }
            Shape::Object => {}
            _ => return Err(refusal(code, "Profile data is incorrect. ")),
        }
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let too_many = "Profile data is incorrect. Too many properties.";
        let beyond = self.beyond.or((self.custom > MOST_PROPERTIES).then_some(too_many));
        match beyond.filter(|_| strict) {
            Some(text) => Err(refusal(code, text)),
            None => Ok(()),
        }
    }

    fn look_at(&mut self, name: &str, value: &Scalar<'_>) {
        if value.is_absent() {
            return;
        }
        match predefined(name, value) {
            Known::Fine => {}
            Known::Wrong(refused) => {
                self.refused.get_or_insert(refused);
            }
            Known::Custom => {
                self.custom += 1;
                if let Some(text) = beyond_limits(name, value) {
                    self.beyond.get_or_insert(text);
                }
            }
        }
    }
}

enum Known {
    Fine,
    Wrong(Refusal),
    Custom,
}

fn predefined(name: &str, value: &Scalar<'_>) -> Known {
    let text = value.text();
    let one_of = |choices: &[&str]| text.is_some_and(|text| choices.contains(&text));
    let (fine, code, words) = match name {
        "Name" => (true, 555, ""),
        "Email" => {
            (text.is_some_and(is_email), 515, "Profile data is incorrect. Email is not valid.")
        }
        "Phone" => (
            text.is_some_and(is_phone),
            516,
            "Profile data is incorrect. Phone number is not valid.",
        ),
        "Gender" => {
            (one_of(&["M", "F"]), 514, "Profile data is incorrect. Gender needs to be M/F.")
        }
        "Employed" => {
            (one_of(&["Y", "N"]), 517, "Profile data is incorrect. Employed needs to be Y/N.")
        }
        "Education" => (
            one_of(&["School", "College", "Graduate"]),
            518,
            "Profile data is incorrect. Education needs to be School/College/Graduate..",
        ),
        "Married" => {
            (one_of(&["Y", "N"]), 519, "Profile data is incorrect. Married needs to be Y/N.")
        }
        "Age" => (is_age(value), 520, "Profile data is incorrect. Age is invalid."),
        "DOB" | "MSG-email" | "MSG-push" | "MSG-sms" | "MSG-whatsapp" => (true, 555, ""),
        _ => return Known::Custom,
    };
    if fine { Known::Fine } else { Known::Wrong(refusal(code, words)) }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    !local.is_empty()
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
        && !domain.contains('@')
        && domain.split('.').count() > 1
        && domain.split('.').all(|label| !label.is_empty())
}

/// Is true for `+` and 8 to 15 digits: the country code is mandatory.
fn is_phone(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn is_age(value: &Scalar<'_>) -> bool {
    let age = match value {
        Scalar::Integer(age) => Some(*age),
        Scalar::Text(text) => text.parse().ok(),
        _ => None,
    };
    age.is_some_and(|age| (1..=150).contains(&age))
}

fn beyond_limits(name: &str, value: &Scalar<'_>) -> Option<&'static str> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Some("Profile data is incorrect. Property name is too long or empty.");
    }
    if name.bytes().any(|byte| b"%><!|&.:;$'\"\\#".contains(&byte)) {
        return Some("Profile data is incorrect. Property name has a forbidden character.");
    }
    match value {
        Scalar::Text(text) if text.chars().count() > LONGEST_VALUE => {
            Some("Profile data is incorrect. Property value is too long.")
        }
        Scalar::List(items) if *items > MOST_ITEMS => {
            Some("Profile data is incorrect. Property has too many values.")
        }
        _ => None,
    }
}

impl<'de> Deserialize<'de> for ProfileData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Members(Self { shape: Shape::Other, ..Self::default() }))
    }
}

impl<'de> Deserialize<'de> for EventData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Members(Self { shape: Shape::Other, count: 0 }))
    }
}

/// Reads an object's members into what checks them; anything else stays [`Shape::Other`].
struct Members<T>(T);

trait Sink {
    fn take<'de, A: MapAccess<'de>>(&mut self, members: &mut A) -> Result<bool, A::Error>;
    fn shaped(self, shape: Shape) -> Self;
}

impl Sink for ProfileData {
    fn take<'de, A: MapAccess<'de>>(&mut self, members: &mut A) -> Result<bool, A::Error> {
        let Some((Text(name), value)) = members.next_entry::<Text<'de>, Scalar<'de>>()? else {
            return Ok(false);
        };
        self.look_at(&name, &value);
        Ok(true)
    }

    fn shaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }
}

impl Sink for EventData {
    fn take<'de, A: MapAccess<'de>>(&mut self, members: &mut A) -> Result<bool, A::Error> {
        let more = members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some();
        self.count += usize::from(more);
        Ok(more)
    }

    fn shaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }
}

impl<'de, T: Sink> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<T, A::Error> {
        while self.0.take(&mut members)? {}
        Ok(self.0.shaped(Shape::Object))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.0)
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(self.0.shaped(Shape::Absent))
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(self.0)
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(self.0)
    }

    fn visit_u64<E>(self, _: u64) -> Result<T, E> {
        Ok(self.0)
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(self.0)
    }

    fn visit_str<E>(self, _: &str) -> Result<T, E> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(raw: &str) -> u16 {
        check(raw, &Switches::default()).map_or_else(|refused| refused.code, |_| 0)
    }

    #[test]
    fn profiles_are_refused_by_the_documented_codes() {
        for (data, expected) in [
            (r#"{"Name":"Ä","Email":"a@b.de","Phone":"+14155551234","MSG-sms":false}"#, 0),
            (r#"{"DOB":"$D_1487576752","Customer Type":"Platinum","Age":33}"#, 0),
            (r#"{"Gender":"X"}"#, 514),
            (r#"{"Email":""}"#, 515),
            (r#"{"Email":"a@b","Phone":"1"}"#, 515),
            (r#"{"Phone":"0441 12345"}"#, 516),
            (r#"{"Employed":true}"#, 517),
            (r#"{"Education":"PhD"}"#, 518),
            (r#"{"Married":"yes"}"#, 519),
            (r#"{"Age":0}"#, 520),
            (r#"{"a.b":1}"#, 555),
            ("[]", 555),
        ] {
            let raw = format!(r#"{{"identity":"1","type":"profile","profileData":{data}}}"#);
            assert_eq!(code(&raw), expected, "{data}");
        }
    }

    #[test]
    fn records_are_refused_by_the_documented_codes() {
        for (raw, expected) in [
            (r#"{"type":"profile","profileData":{}}"#, 523),
            (r#"{"type":"profile","identity":"1"}"#, 524),
            (r#"{"identity":"1","profileData":{}}"#, 524),
            ("7", 524),
            (r#"{"type":"profile","identity":"1","FBID":"2","profileData":{}}"#, 555),
            (r#"{"type":"profile","identity":1,"ts":1468308340,"profileData":{}}"#, 0),
            (r#"{"type":"profile","identity":"1","ts":1468308340000,"profileData":{}}"#, 525),
            (r#"{"type":"event","identity":"1","evtData":{}}"#, 509),
            (r#"{"type":"event","identity":"1","evtName":"A","evtData":7}"#, 512),
            (r#"{"type":"event","identity":"1","evtName":"app launched"}"#, 513),
            (r#"{"type":"event","identity":"1","evtName":"Charged","evtData":{"Amount":3}}"#, 0),
            (r#"{"type":"token","tokenData":{"id":"x","type":"fcm"},"objectId":"__g1"}"#, 0),
            (r#"{"type":"token","tokenData":{"id":"x","type":"fax"},"objectId":"__g1"}"#, 534),
        ] {
            assert_eq!(code(raw), expected, "{raw}");
        }
    }
}
