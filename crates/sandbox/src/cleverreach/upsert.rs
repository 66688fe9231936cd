//! `POST /groups/{id}/receivers/upsert` and `upsertplus`: creates the receivers of a group and
//! changes known ones.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::directory::Directory;
use super::receiver::{Detail, Entry, Receiver, Stamps};
use super::{orders, tags};
use crate::answer::Answer;
use crate::options::{BlacklistedUpsert, Switches, UnknownAttribute};

/// Which of the two calls it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// `upsert`: orders are not looked at; what was refused is a text in its place.
    Plain,
    /// `upsertplus`: takes orders, and values of the account's attributes that say what to change
    /// (`+n`, `-n`, null). Answers whole profiles; what was refused is missing.
    Plus,
}

/// One receiver of the body.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    email: String,
    registered: Option<i64>,
    activated: Option<i64>,
    deactivated: Option<i64>,
    source: Option<String>,
    attributes: Map<String, Value>,
    global_attributes: Map<String, Value>,
    tags: Vec<String>,
    orders: Vec<Value>,
}

/// How many receivers of a call were taken and refused.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Count {
    pub(super) taken: u64,
    pub(super) refused: u64,
}

/// Answers a list with a list of the same length, in its order: the receiver where it was taken,
/// a text where it was not; one receiver with that receiver.
pub(super) fn answer(
    directory: &mut Directory,
    group: &str,
    body: &[u8],
    how: How,
    (switches, now): (&Switches, i64),
) -> (Answer, Count) {
    let none = Count::default();
    let found = directory.groups.iter().find(|known| known.id.to_string() == group);
    let Some(group) = found.map(|group| group.id) else {
        return (Answer::error(404, "Not Found"), none);
    };
    let bad = |what: &str| (Answer::error(400, &format!("Bad Request: {what}")), none);
    let (rows, alone) = match serde_json::from_slice(body) {
        Ok(Value::Array(rows)) => (rows, false),
        Ok(row @ Value::Object(_)) => (vec![row], true),
        _ => return bad("a receiver or a list of receivers is expected"),
    };
    if body.len() > switches.upsert_bytes || rows.len() > switches.upsert_rows {
        return (Answer::error(413, "Request Entity Too Large"), none);
    }
    let rows: Vec<Row> = match rows.into_iter().map(serde_json::from_value).collect() {
        Ok(rows) => rows,
        Err(error) => return bad(&error.to_string()),
    };
    if switches.unknown_attribute == UnknownAttribute::Refuse
        && let Some(name) = rows.iter().find_map(|row| undefined(directory, group, row))
    {
        return bad(&format!("unknown attribute '{name}'"));
    }
    let mut count = none;
    let mut seen = HashSet::new();
    let mut out = Vec::with_capacity(rows.len() * 64);
    let detail = if how == How::Plus { Detail::ALL } else { Detail(0) };
    for row in &rows {
        let blacklisted = switches.blacklisted == BlacklistedUpsert::Refused
            && directory.blacklist.has(&row.email, group);
        let orders = how == How::Plain || row.orders.iter().all(orders::is_one);
        let refusal = if !is_valid(&row.email, switches) || blacklisted || !orders {
            Some("invalid")
        } else if !seen.insert(row.email.to_ascii_lowercase()) {
            Some("duplicate")
        } else {
            None
        };
        if !out.is_empty() && (refusal.is_none() || how == How::Plain) {
            out.push(b',');
        }
        match refusal {
            Some(_) if how == How::Plus => count.refused += 1,
            Some(what) => {
                count.refused += 1;
                let text = json!(format!("{what} address '{}'", row.email));
                out.extend_from_slice(text.to_string().as_bytes());
            }
            None => {
                count.taken += 1;
                let slot = upsert(directory, group, row, how, (switches, now));
                if let Some(entry) = slot.and_then(|slot| directory.stored(slot)) {
                    entry.write(&mut out, group, detail, switches.integer_ids);
                }
            }
        }
    }
    if !alone {
        out.insert(0, b'[');
        out.push(b']');
    }
    (Answer::text(200, out), count)
}

/// Gives the first attribute that is not defined where the row has it.
fn undefined(directory: &Directory, group: u64, row: &Row) -> Option<String> {
    let local = row.attributes.keys().find(|name| !directory.defines(group, name));
    let global = || row.global_attributes.keys().find(|name| !directory.defines(0, name));
    local.or_else(global).cloned()
}

fn is_valid(email: &str, switches: &Switches) -> bool {
    let parts = email.split_once('@');
    let whole = parts.is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !domain.contains('@')
    });
    let clean = !email.contains(|c: char| c.is_whitespace() || c == ',' || c == ';');
    whole && clean && !switches.refused_addresses.iter().any(|it| it.eq_ignore_ascii_case(email))
}

/// Stores a row and gives its place.
fn upsert(
    directory: &mut Directory,
    group: u64,
    row: &Row,
    how: How,
    (switches, now): (&Switches, i64),
) -> Option<u32> {
    let known = directory.member(&row.email, group);
    let mut receiver = match known.and_then(|slot| directory.stored(slot)) {
        Some(entry) => {
            let mut receiver = entry.to_receiver();
            restamp(&mut receiver, row, switches);
            if let Some(source) = row.source.as_ref().filter(|_| !switches.upsert_keeps_source) {
                receiver.source.clone_from(source);
            }
            receiver
        }
        None => created(directory, group, row, now),
    };
    for (attributes, given, scope) in [
        (&mut receiver.attributes, &row.attributes, group),
        (&mut receiver.global_attributes, &row.global_attributes, 0),
    ] {
        for (name, value) in given.iter().filter(|(name, _)| directory.defines(scope, name)) {
            let changed = || modified(attributes.get(name), value);
            let plus = how == How::Plus && scope == 0;
            let value = plus.then(changed).flatten().unwrap_or_else(|| text(value));
            attributes.insert(name.clone(), value);
        }
    }
    for attribute in directory.attributes.iter().filter(|attribute| attribute.group == 0) {
        receiver.global_attributes.entry(&attribute.name).or_insert_with(|| Value::from(""));
    }
    tags::change(&mut receiver.tags, &row.tags, switches.upsert_tags);
    if how == How::Plus {
        orders::add(&mut receiver.orders, &row.orders, now, switches.order_again);
    }
    let id = receiver.id.parse().unwrap_or_else(|_| directory.next_id());
    let globals = receiver.global_attributes.clone();
    let entry = Entry::from_receiver(&receiver, id);
    let slot = match known {
        Some(slot) => {
            directory.replace(slot, entry);
            slot
        }
        // The first place of an id is the one that it is looked up by.
        None if directory.get(id).is_none() => {
            directory.put(entry);
            directory.member(&row.email, group)?
        }
        None => directory.push(entry)?,
    };
    if !row.global_attributes.is_empty() {
        share(directory, &row.email, slot, &globals);
    }
    Some(slot)
}

/// A receiver that is new in the group; elsewhere in the account it may be known.
///
/// Without any of the three times it is active from now on (the vendor's words); with one of them
/// it is active only where `activated` says since when.
fn created(directory: &Directory, group: u64, row: &Row, now: i64) -> Receiver {
    let elsewhere = directory.get_by_email(&row.email).map(Entry::to_receiver);
    let untold = row.registered.or(row.activated).or(row.deactivated).is_none();
    Receiver {
        id: elsewhere.as_ref().map(|known| known.id.clone()).unwrap_or_default(),
        email: row.email.clone(),
        registered: row.registered.unwrap_or(now),
        activated: if untold { now } else { row.activated.unwrap_or(0) },
        deactivated: row.deactivated.unwrap_or(0),
        source: row.source.clone().unwrap_or_else(|| "API".to_owned()),
        global_attributes: elsewhere.map(|known| known.global_attributes).unwrap_or_default(),
        groups: vec![group.to_string()],
        ..Receiver::default()
    }
}

/// Moves the times of a known receiver: `activated` 0 makes it inactive, and above 0 active unless
/// it unsubscribed; `deactivated` 0 takes that back.
fn restamp(receiver: &mut Receiver, row: &Row, switches: &Switches) {
    let stays = switches.unsubscribed_stay && receiver.deactivated > 0;
    let deactivated = row.deactivated.filter(|at| *at > 0 || !stays);
    let mut stamps = Stamps {
        registered: row.registered.unwrap_or(receiver.registered),
        activated: receiver.activated,
        deactivated: deactivated.unwrap_or(receiver.deactivated),
        bounced: receiver.bounced,
    };
    if let Some(activated) = row.activated
        && (activated == 0 || stamps.deactivated == 0)
    {
        stamps.activated = activated;
    }
    receiver.registered = stamps.registered;
    receiver.activated = stamps.activated;
    receiver.deactivated = stamps.deactivated;
}

/// Account-wide attributes are the same in all groups of an address.
fn share(directory: &mut Directory, email: &str, changed: u32, globals: &Map<String, Value>) {
    let others: Vec<u32> =
        directory.slots(email).iter().copied().filter(|slot| *slot != changed).collect();
    for slot in others {
        let Some(entry) = directory.stored(slot) else { continue };
        let mut receiver = entry.to_receiver();
        let id = entry.id;
        if receiver.global_attributes == *globals {
            continue;
        }
        receiver.global_attributes.clone_from(globals);
        directory.replace(slot, Entry::from_receiver(&receiver, id));
    }
}

/// What `+n` or `-n` makes of a value; one that is no number counts as 0.
fn modified(known: Option<&Value>, given: &Value) -> Option<Value> {
    let given = given.as_str()?;
    let rest = given.strip_prefix(['+', '-'])?;
    if rest.is_empty() || !rest.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let change: f64 = given.parse().ok()?;
    let known = known.and_then(Value::as_str).and_then(|known| known.trim().parse().ok());
    Some(Value::from((known.unwrap_or(0.0) + change).to_string()))
}

/// Attributes are texts; null takes the text away.
fn text(value: &Value) -> Value {
    match value {
        Value::Null => Value::from(""),
        Value::String(_) => value.clone(),
        other => Value::from(other.to_string()),
    }
}
