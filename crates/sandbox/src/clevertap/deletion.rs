//! `POST /1/delete/profiles.json`: taken at once, carried out later.

use std::sync::Mutex;

use serde::Deserialize;
use serde_json::Value;

use super::archive::Archive;
use crate::answer::Answer;
use crate::lock::lock;
use crate::options::Switches;

/// The most profiles of one request.
const MOST: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    identity: Value,
    #[serde(default)]
    guid: Value,
}

/// Takes a deletion.
pub(super) fn answer(
    body: &[u8],
    archive: &Mutex<Archive>,
    (switches, now): (&Switches, i64),
    taken: impl FnOnce() -> Answer,
) -> Answer {
    let malformed = || Answer::fail(400, "Malformed request");
    let Ok(Asked { identity, guid }) = serde_json::from_slice(body) else { return malformed() };
    let (by_identity, asked) = match (&identity, &guid) {
        (Value::Null, guid) => (false, guid),
        (identity, Value::Null) => (true, identity),
        _ => return malformed(),
    };
    let Some(ids) = ids(asked).filter(|ids| (1..=MOST).contains(&ids.len())) else {
        return malformed();
    };
    let mut archive = lock(archive);
    for id in ids {
        let key = if by_identity { id } else { archive.people.key_of_object(&id) };
        archive.leave(key, now.saturating_add(switches.deletion_seconds));
    }
    archive.pass(now, switches);
    taken()
}

/// One id or several, none of them empty; numbers count as their digits.
fn ids(asked: &Value) -> Option<Vec<String>> {
    let id = |it: &Value| match it {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match asked {
        Value::Array(list) => list.iter().map(id).collect(),
        one => Some(vec![id(one)?]),
    }
}
