//! Counts, top properties and trends: answered at once, or later by their `req_id`.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use serde_json::{Map, Value, json};

use super::archive::Archive;
use super::query::{Query, Raised, text};
use super::reading::{Begun, ReadingSwitches};
use crate::answer::Answer;
use crate::call::Call;

/// The id of the first count that is asked after; it is that of the vendor's example.
const FIRST_ID: u64 = 384_649_162_721_759;

/// A count that was begun.
#[derive(Debug)]
pub(super) struct Count {
    /// How often it is partial yet.
    pending: u32,
    counted: Value,
}

/// How many events a query finds.
pub(super) fn events(archive: &Archive, query: &Query, switches: &ReadingSwitches) -> Value {
    json!({ "status": "success", "count": query.events(archive, switches).len() })
}

/// How many people a query finds.
pub(super) fn profiles(archive: &Archive, query: &Query, switches: &ReadingSwitches) -> Value {
    json!({ "status": "success", "count": query.keys(archive, switches).len() })
}

fn groups(asked: &Value) -> impl Iterator<Item = (&String, &Value)> {
    asked.get("groups").and_then(Value::as_object).into_iter().flatten()
}

/// The most frequent values of each group's property, as `STR` or in ranges as `NUMBER`.
pub(super) fn top(
    archive: &Archive,
    query: &Query,
    asked: &Value,
    switches: &ReadingSwitches,
) -> Value {
    let events = query.events(archive, switches);
    let mut told = Map::from_iter([("status".to_owned(), json!("success"))]);
    for (group, asked) in groups(asked) {
        let name = asked.get("name").and_then(Value::as_str).unwrap_or_default();
        let of_event =
            asked.get("property_type").and_then(Value::as_str) == Some("event_properties");
        let value = |it: &Raised| match of_event {
            true => it.properties.get(name).cloned(),
            false => archive.profile(&it.key).and_then(|data| data.get(name).cloned()),
        };
        let found: Vec<_> = events.iter().filter_map(value).collect();
        let numbers = !found.is_empty() && found.iter().all(Value::is_number);
        let mut counts = BTreeMap::<String, u64>::new();
        for value in &found {
            let range = numbers.then(|| range(value, switches.ranges)).flatten();
            *counts.entry(range.unwrap_or_else(|| text(value))).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        if asked.get("order").and_then(Value::as_str) == Some("asc") {
            counts.reverse();
        }
        let most = asked.get("top_n").and_then(Value::as_u64).unwrap_or(10);
        counts.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let counts: Map<_, _> =
            counts.into_iter().map(|(value, count)| (value, count.into())).collect();
        let kind = if numbers { "NUMBER" } else { "STR" };
        told.insert(group.clone(), json!({ kind: counts }));
    }
    Value::Object(told)
}

/// The range of a width that a number is in: `0-100`; `None` without a width.
fn range(number: &Value, width: u32) -> Option<String> {
    let width = f64::from(width);
    let begins = (width > 0.0).then(|| number.as_f64().map(|it| (it / width).floor() * width));
    let begins = begins.flatten()?;
    Some(format!("{begins}-{}", begins + width))
}

/// How often each day, week or month.
pub(super) fn trends(
    archive: &Archive,
    query: &Query,
    asked: &Value,
    switches: &ReadingSwitches,
) -> Value {
    let events = query.events(archive, switches);
    let unique = asked.get("unique").and_then(Value::as_bool).unwrap_or(false);
    let added = asked.get("sum_event_prop").and_then(Value::as_str);
    let mut told = Map::from_iter([("status".to_owned(), json!("success"))]);
    for (group, asked) in groups(asked) {
        let kind = asked.get("trend_type").and_then(Value::as_str).unwrap_or("daily");
        let mut known = std::collections::BTreeSet::new();
        let mut sums = BTreeMap::<String, f64>::new();
        for it in &events {
            let Some(period) = period(it.time / 1_000_000, kind) else { continue };
            if unique && !known.insert((period.clone(), it.key.clone())) {
                continue;
            }
            let amount = match added {
                None => Some(1.0),
                Some(name) => it.properties.get(name).and_then(Value::as_f64),
            };
            *sums.entry(period).or_default() += amount.unwrap_or(0.0);
        }
        let sums: Map<_, _> = sums.into_iter().map(|(key, sum)| (key, number(sum))).collect();
        told.insert(group.clone(), Value::Object(sums));
    }
    Value::Object(told)
}

/// A whole number where it is one.
fn number(sum: f64) -> Value {
    let text = sum.to_string();
    text.parse::<i64>().map_or_else(|_| json!(sum), Value::from)
}

/// The day, the week (201652) or the month (201612) of a day.
fn period(day: u64, kind: &str) -> Option<String> {
    let date = NaiveDate::parse_from_str(&day.to_string(), "%Y%m%d").ok()?;
    Some(match kind {
        "weekly" => {
            let week = date.iso_week();
            format!("{}{:02}", week.year(), week.week())
        }
        "monthly" => format!("{}{:02}", date.year(), date.month()),
        _ => day.to_string(),
    })
}

/// Answers at once, or with the id that it is asked after by, at the same path.
pub(super) fn begin(
    begun: &mut Begun,
    path: &'static str,
    counted: Value,
    switches: &ReadingSwitches,
) -> Answer {
    if switches.pending == 0 {
        return Answer::json(200, &counted);
    }
    begun.number += 1;
    let id = FIRST_ID + begun.number - 1;
    begun.counts.keep(id, path, Count { pending: switches.pending - 1, counted });
    Answer::json(200, &json!({ "req_id": id, "status": "partial" }))
}

/// Answers a question after a count.
pub(super) fn told(begun: &mut Begun, path: &str, call: &Call) -> Answer {
    let id = call.parameter("req_id").and_then(|id| id.parse().ok());
    let found = id.and_then(|id| Some((id, begun.counts.get_mut(id, path)?)));
    match found {
        None => Answer::fail(400, "Invalid req_id"),
        Some((id, count)) if count.pending > 0 => {
            count.pending -= 1;
            Answer::json(200, &json!({ "req_id": id, "status": "partial" }))
        }
        Some((_, count)) => Answer::json(200, &count.counted),
    }
}
