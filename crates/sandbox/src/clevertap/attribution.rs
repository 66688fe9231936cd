//! `GET /attribution`: what partners tell of installs and events, everything in the query.

use std::sync::Mutex;

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::archive::Archive;
use super::check::{Accepted, Owner, is_time};
use crate::answer::Answer;
use crate::call::Call;
use crate::lock::lock;
use crate::options::Credentials;

/// How attribution behaves where the vendor's page is silent or contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AttributionSwitches {
    /// CleverTap knows no such account, whatever the credentials are.
    pub account_unknown: bool,
    /// The partner names on CleverTap's list; empty takes every name.
    pub partners: Vec<String>,
    /// Organic installs are enabled in the settings of the dashboard, as inorganic ones always are.
    pub organic: bool,
    /// Custom events are enabled there.
    pub custom: bool,
    /// What becomes of what is not enabled, which is not documented.
    pub disabled: Disabled,
    /// Which of source, medium and name are needed; the page says all of these.
    pub utms: Utms,
    /// What becomes of what has no device: the page says that it is mandatory, and that it is not
    /// processed without.
    pub no_device: NoDevice,
    /// The status of wrong credentials: the table says 401, the questions below it 403.
    pub refused: u16,
    /// How custom events are named; that it is by the partner's initials is concluded from one example.
    pub prefix: Prefix,
    /// Where the utm parameters of an install are; the samples of exported events have them in the
    /// session.
    pub utms_in: UtmsIn,
    /// Parameters that the page does not list become properties; it says that they are processed
    /// without any validation, and not what they become.
    pub extra: bool,
    /// Of a parameter that is there twice, as in one of the page's samples, the first counts.
    pub first_counts: bool,
    /// POST is taken, too: the page names no method, and its samples are plain addresses.
    pub post: bool,
    /// What stands in the answer to what was taken, which is not documented.
    pub taken: TakenAnswer,
}

impl Default for AttributionSwitches {
    fn default() -> Self {
        Self {
            account_unknown: false,
            partners: Vec::new(),
            organic: true,
            custom: true,
            disabled: Disabled::Dropped,
            utms: Utms::Any,
            no_device: NoDevice::Refused,
            refused: 401,
            prefix: Prefix::Initials,
            utms_in: UtmsIn::Session,
            extra: true,
            first_counts: false,
            post: false,
            taken: TakenAnswer::Success,
        }
    }
}

/// What becomes of what is not enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Disabled {
    /// It is answered as if it was taken, and nothing is stored.
    Dropped,
    /// It is refused with 400.
    Refused,
}

/// Which utm parameters an install needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Utms {
    /// An install at least one, as the page's sample of an error has it.
    Any,
    /// An install all three, as its table says.
    All,
    /// Whatever is told at least one, as its note says.
    AnyOfAll,
}

/// What becomes of what has no device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NoDevice {
    /// It is refused with 400, as what lacks something mandatory.
    Refused,
    /// It is answered as if it was taken, and not processed.
    Dropped,
}

/// How custom events are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Prefix {
    /// `AP_Checkout`, of the partner "attribution partner".
    Initials,
    /// `attribution partner_Checkout`.
    Name,
    /// `Checkout`.
    None,
}

/// Where the utm parameters of an install are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UtmsIn {
    /// In the session of the event.
    Session,
    /// Among the properties of the event.
    Properties,
    /// In both.
    Both,
}

/// What an answer of success holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TakenAnswer {
    /// The usual envelope.
    Success,
    /// Nothing.
    Empty,
}

/// Where a record that is kept has what is known of its session.
pub(super) const SESSION: &str = "session";

const DEVICE: &str = "device_identifier";

/// What is mandatory, in the order of the page's table; each may be missing or empty.
const MANDATORY: [&str; 7] = [
    DEVICE,
    "event_type",
    "partner_name",
    "account_id",
    "account_token",
    "account_passcode",
    "platform",
];
const UTMS: [&str; 3] = ["utm_source", "utm_medium", "utm_campaign"];

/// Answers, and stores what was taken; gives whether it did.
pub(super) fn answer(
    call: &Call,
    credentials: &Credentials,
    switches: &AttributionSwitches,
    archive: Option<&Mutex<Archive>>,
    now: i64,
) -> (Answer, bool) {
    if call.method == Method::POST && !switches.post {
        return (Answer::fail(405, "Method Not Allowed"), false);
    }
    let given = |name: &str| {
        let mut values = call.query.iter().filter(|(key, _)| key == name);
        let value = if switches.first_counts { values.next() } else { values.next_back() };
        value.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    };
    let missing = |name: &str| (Answer::fail(400, &format!("{name} is missing")), false);
    let dropped = switches.no_device == NoDevice::Dropped && given(DEVICE).is_none();
    let mut needed = MANDATORY.iter().filter(|name| !dropped || **name != DEVICE);
    if let Some(name) = needed.find(|name| given(name).is_none()) {
        return missing(name);
    }
    let known = [
        ("account_id", &credentials.project_id),
        ("account_token", &credentials.token),
        ("account_passcode", &credentials.passcode),
    ];
    let wrong = |(name, value): &(&str, &String)| given(name) != Some(value.as_str());
    if switches.account_unknown || known.iter().any(wrong) {
        return (Answer::fail(switches.refused, "Invalid Account Info"), false);
    }
    let partner = given("partner_name").unwrap_or_default();
    if !switches.partners.is_empty() && switches.partners.iter().all(|known| known != partner) {
        let text = "Partner name not whitelisted. Connect with the product team to get it \
                    whitelisted.";
        return (Answer::fail(400, text), false);
    }
    let event = given("event_type").unwrap_or_default();
    let (is_organic, is_install) =
        (event == "organic_install", matches!(event, "organic_install" | "inorganic_install"));
    let lacks: Vec<_> = UTMS.iter().filter(|name| given(name).is_none()).collect();
    let too_few = match switches.utms {
        Utms::Any => is_install && lacks.len() == UTMS.len(),
        Utms::All => is_install && !lacks.is_empty(),
        Utms::AnyOfAll => lacks.len() == UTMS.len(),
    };
    if let Some(name) = lacks.first().filter(|_| too_few) {
        return missing(name);
    }
    let at = match given("timestamp").map(str::parse) {
        None => now,
        Some(Ok(second)) if is_time(second) => second,
        Some(_) => return (Answer::fail(400, "timestamp is invalid"), false),
    };
    let enabled =
        !dropped && if is_install { !is_organic || switches.organic } else { switches.custom };
    if !enabled && !dropped && switches.disabled == Disabled::Refused {
        return (Answer::fail(400, "Event type is not enabled"), false);
    }
    if let Some(archive) = archive.filter(|_| enabled) {
        let name = match switches.prefix {
            _ if is_install => "UTM Visited".to_owned(),
            Prefix::Initials => prefixed(partner, event),
            Prefix::Name => format!("{partner}_{event}"),
            Prefix::None => event.to_owned(),
        };
        let device = given(DEVICE).unwrap_or_default();
        store(archive, call, switches, (device, &name, at), now);
    }
    let taken = match switches.taken {
        TakenAnswer::Success => Answer::json(200, &json!({ "status": "success" })),
        TakenAnswer::Empty => Answer::text(200, Bytes::new()),
    };
    (taken, enabled)
}

/// Stores an event of the device: what was not asked for by name are its properties.
fn store(
    archive: &Mutex<Archive>,
    call: &Call,
    switches: &AttributionSwitches,
    (device, name, at): (&str, &str, i64),
    now: i64,
) {
    let (mut properties, mut session) = (Map::new(), Map::new());
    let put = |into: &mut Map<String, Value>, key: &str, value: &str| {
        if !(switches.first_counts && into.contains_key(key)) {
            into.insert(key.to_owned(), value.into());
        }
    };
    for (key, value) in &call.query {
        let is_utm = UTMS.contains(&key.as_str());
        if is_utm && switches.utms_in != UtmsIn::Properties {
            put(&mut session, key, value);
        }
        let is_property = match is_utm {
            true => switches.utms_in != UtmsIn::Session,
            false => !MANDATORY.contains(&key.as_str()) && key != "timestamp" && switches.extra,
        };
        if is_property {
            put(&mut properties, key, value);
        }
    }
    let mut record = json!({
        "objectId": device, "type": "event", "ts": at, "evtName": name, "evtData": properties,
    });
    if let Some(record) = record.as_object_mut().filter(|_| !session.is_empty()) {
        record.insert(SESSION.to_owned(), Value::Object(session));
    }
    let owner = Owner { kind: "objectId", value: device.into() };
    let accepted = Accepted::Event { owner, name: name.to_owned(), ts: Some(at) };
    lock(archive).accept(Bytes::from(record.to_string()), 0, now, accepted);
}

/// A custom event's name as it is stored: `AP_Checkout` of the partner "attribution partner". That
/// these are its initials is concluded from this one example.
fn prefixed(partner: &str, event: &str) -> String {
    let words = partner.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let initials: String =
        words.filter_map(|word| word.chars().next()).flat_map(char::to_uppercase).collect();
    format!("{initials}_{event}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_event_gets_the_partners_initials() {
        assert_eq!(prefixed("attribution partner", "Checkout"), "AP_Checkout");
        assert_eq!(prefixed("example", "Add_to_cart"), "E_Add_to_cart");
    }
}
