//! Exports: what a query finds is put aside when it is opened, and given page by page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::archive::Archive;
use super::query::{Query, Raised};
use super::reading::{Begun, ReadingSwitches};
use crate::answer::Answer;
use crate::call::Call;

const DEFAULT_SIZE: usize = 50;
const LARGEST_SIZE: usize = 5_000;

/// An export that was opened.
#[derive(Debug)]
pub(super) struct Export {
    records: Vec<Value>,
    size: usize,
    /// How often its first page is still in progress.
    pending: u32,
}

/// The events that a query finds.
pub(super) fn events(
    archive: &Archive,
    query: &Query,
    switches: &ReadingSwitches,
) -> Result<Vec<Value>, Answer> {
    if query.is_of_notifications() {
        return Err(Answer::fail(400, "Export not allowed for this event"));
    }
    let events = query.events(archive, switches);
    Ok(events.into_iter().map(|it| event(archive, it)).collect())
}

fn event(archive: &Archive, raised: Raised) -> Value {
    let shown = archive.people.show(Some(&raised.key), None).unwrap_or_default();
    let device = shown.pointer("/platformInfo/0");
    let mut profile = Map::new();
    let first = device.and_then(|it| it.get("objectId")).cloned();
    let object_id = raised.object_id.clone().map(Value::String).or(first);
    let platform = object_id.as_ref().map(|_| json!("Web"));
    for (name, value) in [
        ("objectId", object_id),
        ("platform", platform),
        ("email", shown.get("email").cloned()),
        ("profileData", shown.get("profileData").cloned()),
        ("identity", shown.get("identity").cloned()),
        ("name", shown.get("name").cloned()),
        ("phone", shown.get("phone").cloned()),
    ] {
        profile.extend(value.map(|value| (name.to_owned(), value)));
    }
    let session = raised.session();
    json!({
        "profile": profile, "ts": raised.time, "event_props": raised.properties,
        "session_props": session,
    })
}

/// The profiles that a query finds, with what the request asks for besides.
pub(super) fn profiles(
    archive: &Archive,
    query: &Query,
    switches: &ReadingSwitches,
    call: &Call,
) -> Vec<Value> {
    let wanted = |name: &str| call.parameter(name) == Some("true");
    let unwanted: Vec<_> =
        [("app", "platformInfo"), ("events", "events"), ("profile", "profileData")]
            .into_iter()
            .filter(|(name, _)| !wanted(name))
            .map(|(_, member)| member)
            .collect();
    let shown = query.keys(archive, switches).into_iter().filter_map(|key| {
        let mut shown = archive.people.show(Some(&key), None)?;
        for member in &unwanted {
            shown.as_object_mut()?.shift_remove(*member);
        }
        Some(shown)
    });
    shown.collect()
}

/// Opens an export: the answer is the cursor of its first page, which is to be asked for at the same
/// path.
pub(super) fn open(
    begun: &mut Begun,
    path: &'static str,
    records: Vec<Value>,
    call: &Call,
    switches: &ReadingSwitches,
) -> Answer {
    let size = match call.parameter("batch_size").map(str::parse) {
        None => DEFAULT_SIZE,
        Some(Ok(size)) if (1..=LARGEST_SIZE).contains(&size) => size,
        Some(_) => return Answer::fail(400, "Invalid batch size"),
    };
    begun.number += 1;
    let number = begun.number;
    begun.exports.keep(number, path, Export { records, size, pending: switches.pending });
    Answer::json(200, &json!({ "status": "success", "cursor": written(number, 0) }))
}

/// Gives a page.
pub(super) fn page(
    begun: &mut Begun,
    path: &str,
    call: &Call,
    switches: &ReadingSwitches,
) -> Answer {
    let place = call.parameter("cursor").and_then(read);
    let found =
        place.and_then(|(number, at)| Some((begun.exports.get_mut(number, path)?, number, at)));
    let Some((export, number, at)) = found else {
        return Answer::fail(400, "Invalid cursor");
    };
    if export.pending > 0 {
        export.pending -= 1;
        let text = "Request still in progress, please retry later";
        return Answer::json(200, &json!({ "status": "fail", "error": text }));
    }
    if at > 0 && begun.forgot < switches.forgotten {
        begun.forgot += 1;
        begun.exports.forget(number);
        return Answer::fail(400, "Invalid cursor");
    }
    let end = at.saturating_add(export.size).min(export.records.len());
    let circle = switches.circle.saturating_mul(export.size);
    let next = if circle > 0 && end >= circle { 0 } else { end };
    let mut answer = Map::from_iter([("status".to_owned(), json!("success"))]);
    if at > 0 {
        let before = at.saturating_sub(export.size);
        answer.insert("previous_cursor".to_owned(), written(number, before).into());
    }
    if end < export.records.len() {
        answer.insert("next_cursor".to_owned(), written(number, next).into());
    }
    let records = export.records.get(at..end).unwrap_or_default();
    answer.insert("records".to_owned(), json!(records));
    Answer::json(200, &answer)
}

/// A cursor as it is given: percent-encoded, as the vendor's are.
fn written(number: u64, at: usize) -> String {
    let plain = STANDARD.encode(format!("export?{number}>{at}"));
    plain.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

fn read(cursor: &str) -> Option<(u64, usize)> {
    let plain = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let (number, at) = plain.strip_prefix("export?")?.split_once('>')?;
    Some((number.parse().ok()?, at.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_taken_decoded_and_not_as_it_was_given() {
        let given = written(1, 50);
        assert!(given.contains('%'), "{given}");
        assert_eq!(read(&given), None);
        let plain = given.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        assert_eq!(read(&plain), Some((1, 50)));
    }
}
