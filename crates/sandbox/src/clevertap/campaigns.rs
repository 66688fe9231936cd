//! Campaigns: created, stopped and set off, and messages that go to named people.

use std::sync::Mutex;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::archive::Archive;
use super::query::Query;
use super::reading::ReadingSwitches;
use super::writing::UnknownCampaign;
use crate::answer::Answer;
use crate::lock::lock;

/// The id of the first campaign, less one: that of the documented answer.
const BEFORE_FIRST: u64 = 1_457_433_897;

/// The most people of one request.
const MOST: usize = 1_000;

const MODES: [&str; 7] =
    ["push", "email", "sms", "webpush", "whatsapp", "webhook", "notificationinbox"];

/// The lists of people that each API knows.
const SEND_TO: [&str; 5] = ["FBID", "GPID", "Email", "Identity", "objectId"];
const TRIGGER_FOR: [&str; 3] = ["email", "identity", "objectId"];

/// A campaign that was created.
#[derive(Debug, Clone, Default)]
pub(super) struct Campaigns {
    /// Whether each runs, the first at position 0.
    running: Vec<bool>,
}

fn malformed() -> Answer {
    Answer::fail(400, "Malformed request")
}

pub(super) fn queued() -> Answer {
    Answer::json(200, &json!({ "status": "success", "message": "Added to queue for processing" }))
}

/// Creates a campaign, or estimates whom it would reach: those that its query finds. Of segments nothing
/// is known, so they have everybody.
pub(super) fn create(body: &[u8], archive: &Mutex<Archive>, switches: &ReadingSwitches) -> Answer {
    let Ok(campaign) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return malformed();
    };
    let text = |name: &str| campaign.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_one = campaign.contains_key("where") != campaign.contains_key("segment");
    if text("name").is_empty() || !MODES.contains(&text("target_mode")) || !is_one {
        return malformed();
    }
    let fits = |name: &str, fits: fn(&Value) -> bool| campaign.get(name).is_none_or(fits);
    if !fits("content", Value::is_object)
        || !fits("when", |when| when.is_string() || when.is_object())
        || !fits("estimate_only", Value::is_boolean)
    {
        return malformed();
    }
    let query = match campaign.get("where").map(|asked| Query::of(asked.clone(), &[])) {
        Some(None) => return Query::refused(),
        asked => asked.flatten(),
    };
    let mut archive = lock(archive);
    let everybody = archive.people.len();
    let people = query.map_or(everybody, |query| query.keys(&archive, switches).len());
    let estimates = match text("target_mode") {
        "push" => json!({ "android": people, "ios": 0 }),
        "webpush" => json!({ "web": people }),
        mode => json!({ (mode): people }),
    };
    if campaign.get("estimate_only") == Some(&Value::Bool(true)) {
        return Answer::json(200, &json!({ "status": "success", "estimates": estimates }));
    }
    let running = &mut archive.campaigns.running;
    running.push(true);
    let id = BEFORE_FIRST + running.len() as u64;
    Answer::json(200, &json!({ "status": "success", "id": id, "estimates": estimates }))
}

/// Stops a campaign.
pub(super) fn stop(body: &[u8], archive: &Mutex<Archive>, unknown: UnknownCampaign) -> Answer {
    #[derive(Deserialize)]
    struct Asked {
        id: u64,
    }
    let Ok(Asked { id }) = serde_json::from_slice(body) else { return malformed() };
    let place = id.checked_sub(BEFORE_FIRST + 1).and_then(|place| usize::try_from(place).ok());
    let mut archive = lock(archive);
    match (place.and_then(|place| archive.campaigns.running.get_mut(place)), unknown) {
        (Some(running), _) => {
            *running = false;
            stopped()
        }
        (None, UnknownCampaign::Refused) => malformed(),
        (None, UnknownCampaign::NotFound) => Answer::fail(404, "Not Found"),
        (None, UnknownCampaign::Stopped) => stopped(),
    }
}

fn stopped() -> Answer {
    Answer::json(200, &json!({ "status": "success" }))
}

/// Raises a business event.
pub(super) fn raise(body: &[u8], taken: impl FnOnce() -> Answer) -> Answer {
    let Ok(raised) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return malformed();
    };
    let named =
        |name: &str| raised.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let properties = raised.get("properties").is_none_or(|properties| {
        properties.as_object().is_some_and(|it| it.values().all(Value::is_string))
    });
    let whole = named("business_event") && named("name") && properties;
    if whole { taken() } else { malformed() }
}

/// Takes a message for people.
pub(super) fn send(body: &[u8]) -> Answer {
    to_people(body, &SEND_TO, "content", Value::is_object)
}

/// Sets a campaign off for people.
pub(super) fn set_off(body: &[u8]) -> Answer {
    to_people(body, &TRIGGER_FOR, "campaign_id", Value::is_string)
}

fn to_people(body: &[u8], lists: &[&str], needed: &str, fits: fn(&Value) -> bool) -> Answer {
    let Ok(sent) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return malformed();
    };
    let Some(to) = sent.get("to").and_then(Value::as_object) else { return malformed() };
    let known = to.iter().all(|(list, ids)| lists.contains(&list.as_str()) && ids.is_array());
    let people: usize = to.values().filter_map(Value::as_array).map(Vec::len).sum();
    let whole = known && (1..=MOST).contains(&people) && sent.get(needed).is_some_and(fits);
    if whole { queued() } else { malformed() }
}
