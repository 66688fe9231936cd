//! `POST /1/subscribe`, `/1/disassociate` and `/1/demerge/profiles.json`: lists of addresses, numbers
//! and ids.

use serde::Deserialize;
use serde_json::{Value, json};

use super::properties::is_phone;
use crate::answer::Answer;
use crate::options::Switches;

/// The most entries of a list, and the most identities taken apart in one request.
const MOST: usize = 1_000;
const MOST_IDENTITIES: usize = 100;

#[derive(Deserialize)]
struct List {
    d: Vec<Value>,
}

#[derive(Deserialize)]
struct Identities {
    identities: Vec<String>,
}

/// Says what is wrong with one entry.
type Check = fn(&Value) -> Option<(u16, &'static str)>;

/// Takes subscriptions.
pub(super) fn subscribe(body: &[u8], switches: &Switches) -> Answer {
    list(body, switches, |entry| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        match (text("type"), text("value"), text("status")) {
            (_, "", _) => Some((555, "Value is missing.")),
            ("phone" | "whatsapp", value, _) if !is_phone(value) => {
                Some((516, "Phone number is not valid."))
            }
            ("phone" | "whatsapp" | "email", _, "Unsubscribe" | "Resubscribe") => None,
            ("phone" | "whatsapp" | "email", ..) => Some((555, "Status is not valid.")),
            _ => Some((555, "Type is not valid.")),
        }
    })
}

/// Takes numbers off profiles.
pub(super) fn disassociate(body: &[u8], switches: &Switches) -> Answer {
    list(body, switches, |entry| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "phone" if is_phone(text("value")) => None,
            "phone" => Some((516, "Phone number is not valid.")),
            _ => Some((555, "Type is not valid.")),
        }
    })
}

/// Takes identities apart.
pub(super) fn demerge(body: &[u8], taken: impl FnOnce() -> Answer) -> Answer {
    match serde_json::from_slice(body) {
        Ok(Identities { identities })
            if (1..=MOST_IDENTITIES).contains(&identities.len())
                && identities.iter().all(|id| !id.is_empty()) =>
        {
            taken()
        }
        _ => Answer::fail(400, "Malformed request"),
    }
}

/// Answers a list as an upload is answered, unless the switch says that it is answered barely: what
/// the vendor does is not documented.
fn list(body: &[u8], switches: &Switches, check: Check) -> Answer {
    let Ok(List { d }) = serde_json::from_slice::<List>(body) else {
        return Answer::fail(400, "Malformed request");
    };
    if d.len() > MOST {
        return Answer::fail(400, &format!("Batch size exceeds the limit of {MOST}"));
    }
    let refused = (1..).zip(&d).filter_map(|(number, entry)| {
        let (code, text) = check(entry)?;
        let error = format!("{text}Skipped record number : {number}");
        Some(json!({ "status": "fail", "code": code, "error": error, "record": entry }))
    });
    let refused: Vec<_> = refused.collect();
    if switches.bare_lists && refused.is_empty() {
        return Answer::json(200, &json!({ "status": "success" }));
    }
    let processed = d.len() - refused.len();
    let status = match (processed, refused.len()) {
        (_, 0) => "success",
        (0, _) => "fail",
        _ => "partial",
    };
    let answer = json!({ "status": status, "processed": processed, "unprocessed": refused });
    Answer::json(200, &answer)
}
