//! A snapshot that an operator wrote, checked field by field.

use connector::Timestamp;
use serde_json::{Map, Value};

use crate::snapshot::{Partition, ScanState, Snapshot};

/// The fields of a snapshot.
const FIELDS: [&str; 9] = [
    "format",
    "lastUpdated",
    "lastSweep",
    "source",
    "generation",
    "forgotten",
    "begin",
    "backfill",
    "partitions",
];
/// Those of a partition.
const PARTITION: [&str; 6] = ["lastUpdated", "newest", "lastSweep", "named", "position", "scan"];
/// Those of a scan.
const SCAN: [&str; 5] = ["since", "began", "newest", "cap", "cursor"];

/// Numbers of milliseconds are at least this.
const PLAUSIBLE: Timestamp = Timestamp::from_secs(946_684_800);

/// Reads a document, with everything that is wrong with it.
struct Reading<'a> {
    now: Timestamp,
    current: &'a Snapshot,
    problems: Vec<String>,
}

/// Makes a snapshot of what an operator wrote, in the place of the `current` one. The errors are
/// all that is wrong, each with its place.
pub(crate) fn snapshot(
    document: &Value,
    current: &Snapshot,
    now: Timestamp,
) -> Result<Snapshot, Vec<String>> {
    let Some(fields) = document.as_object() else {
        return Err(vec![format!(
            "a snapshot is an object, such as {{ \"lastUpdated\": \"{now}\" }}, and this is {}",
            kind(document)
        )]);
    };
    if fields.contains_key("towpath") {
        let problem = "this is a whole export: `towpath state import` takes it, or `set` takes \
                       its `snapshot`";
        return Err(vec![problem.to_owned()]);
    }
    let mut reading = Reading { now, current, problems: vec![] };
    let snapshot = reading.snapshot(fields);
    if reading.problems.is_empty() { Ok(snapshot) } else { Err(reading.problems) }
}

impl Reading<'_> {
    fn problem(&mut self, place: &str, problem: impl AsRef<str>) {
        self.problems.push(format!("{place}: {}", problem.as_ref()));
    }

    fn snapshot(&mut self, fields: &Map<String, Value>) -> Snapshot {
        self.known("", fields, &FIELDS);
        self.unchanged(fields);
        let top = self.past(fields, "", "lastUpdated");
        let begin = self.past(fields, "", "begin");
        let mut snapshot = Snapshot { begin, ..self.current.clone() };
        match fields.get("partitions") {
            Some(Value::Object(written)) => {
                snapshot.partitions = written
                    .iter()
                    .filter_map(|(id, value)| Some((id.clone(), self.partition(id, value)?)))
                    .collect();
                let all = snapshot.partitions.values().filter_map(|it| it.last_updated);
                let (least, most) = (all.clone().min(), all.max());
                if top.is_some() && top.is_none_or(|top| Some(top) < least || Some(top) > most) {
                    let problem = "is not what the partitions say; leave it out, and it is the \
                                   earliest of theirs";
                    self.problem("lastUpdated", problem);
                }
                snapshot.last_updated = top.or(least);
            }
            Some(other) => self.problem("partitions", format!("not an object but {}", kind(other))),
            None if !fields.contains_key("lastUpdated") && !fields.contains_key("begin") => {
                self.problem("lastUpdated", "is not there, and neither is `partitions`");
            }
            // One time for all that there are; if there are none yet, for those that come.
            None => {
                for partition in snapshot.partitions.values_mut() {
                    partition.last_updated = top.or(partition.last_updated);
                    partition.give_up_scan();
                }
                snapshot.begin = begin.or(top.filter(|_| snapshot.partitions.is_empty()));
                snapshot.last_updated = top.or(snapshot.last_updated);
            }
        }
        let sweep = self.past(fields, "", "lastSweep");
        let sweeps = snapshot.partitions.values().filter_map(|it| it.last_sweep);
        snapshot.last_sweep = sweeps.min().or(sweep);
        snapshot
    }

    /// What an operator cannot set may be written as it is stored.
    fn unchanged(&mut self, fields: &Map<String, Value>) {
        let stored = serde_json::to_value(self.current).unwrap_or_default();
        let problem = |name: &str, was: &Value| match name {
            "source" => "is another source than the flow reads; a snapshot belongs to what was \
                         read"
                .to_owned(),
            "format" => format!("this version writes format {was}; leave it out"),
            "generation" => format!(
                "the stored one is {was}: the state was rewound or reset since this was written; \
                 export it anew, or leave `generation` out"
            ),
            _ => "cannot be set; leave it out, and it stays as it is stored".to_owned(),
        };
        for name in ["format", "source", "generation", "forgotten", "backfill"] {
            let was = stored.get(name).unwrap_or(&Value::Null);
            if fields.get(name).is_some_and(|written| written != was) {
                self.problem(name, problem(name, was));
            }
        }
    }

    fn partition(&mut self, id: &str, value: &Value) -> Option<Partition> {
        let place = format!("partitions.{}", if id.is_empty() { "\"\"" } else { id });
        let Some(fields) = value.as_object() else {
            self.problem(&place, format!("not an object but {}", kind(value)));
            return None;
        };
        self.known(&place, fields, &PARTITION);
        Some(Partition {
            // Another store has not got the names; the next full scan writes them again.
            named: false,
            last_updated: self.past(fields, &place, "lastUpdated"),
            newest: self.time(fields, &place, "newest"),
            last_sweep: self.past(fields, &place, "lastSweep"),
            position: fields.get("position").filter(|it| !it.is_null()).cloned(),
            scan: fields.get("scan").and_then(|scan| self.scan(&format!("{place}.scan"), scan)),
        })
    }

    fn scan(&mut self, place: &str, value: &Value) -> Option<ScanState> {
        let Some(fields) = value.as_object() else {
            self.problem(place, format!("not an object but {}", kind(value)));
            return None;
        };
        self.known(place, fields, &SCAN);
        Some(ScanState {
            since: self.time(fields, place, "since"),
            began: self.past(fields, place, "began"),
            // What a system dates into the future is what `cap` is for.
            newest: self.time(fields, place, "newest"),
            cap: self.time(fields, place, "cap"),
            cursor: fields.get("cursor").filter(|cursor| !cursor.is_null()).cloned(),
        })
    }

    fn known(&mut self, place: &str, fields: &Map<String, Value>, known: &[&str]) {
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let hint = flow::did_you_mean(name, known.iter().copied()).unwrap_or_default();
            self.problem(&joined(place, name), format!("there is no such field; {hint}"));
        }
    }

    fn time(&mut self, fields: &Map<String, Value>, place: &str, name: &str) -> Option<Timestamp> {
        let value = fields.get(name).filter(|value| !value.is_null())?;
        let read = match value {
            Value::String(text) => Timestamp::parse(text),
            Value::Number(number) => number.as_i64().map(Timestamp::from_secs),
            _ => None,
        };
        if read.is_none() {
            let problem =
                format!("{value} is neither a time such as \"{}\" nor epoch seconds", self.now);
            self.problem(&joined(place, name), problem);
        }
        read
    }

    /// A time that must not lie in the future: changes until then would not be found.
    fn past(&mut self, fields: &Map<String, Value>, place: &str, name: &str) -> Option<Timestamp> {
        let read = self.time(fields, place, name)?;
        if read <= self.now {
            return Some(read);
        }
        let seconds = fields.get(name).and_then(Value::as_i64);
        let problem = match seconds.map(Timestamp::from_millis) {
            Some(meant) if (PLAUSIBLE..=self.now).contains(&meant) => {
                format!("a number is taken for seconds, and this looks like milliseconds ({meant})")
            }
            _ => format!("{read} is in the future: what changes until then would not be found"),
        };
        self.problem(&joined(place, name), problem);
        None
    }
}

fn joined(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn current() -> Snapshot {
        let part = |seconds| Partition { last_updated: Some(at(seconds)), ..Partition::default() };
        Snapshot {
            partitions: [("a".to_owned(), part(100)), ("b".to_owned(), part(90))].into(),
            last_updated: Some(at(90)),
            generation: 3,
            ..Snapshot::new("source".to_owned())
        }
    }

    #[test]
    fn what_is_stored_can_be_written_and_one_time_counts_for_all_partitions() {
        let stored = serde_json::to_value(current()).unwrap();
        assert_eq!(snapshot(&stored, &current(), at(NOW)), Ok(current()));
        let all = snapshot(&json!({ "lastUpdated": 50 }), &current(), at(NOW)).unwrap();
        let times: Vec<_> = all.partitions.values().map(|it| it.last_updated).collect();
        assert_eq!(
            (times, all.last_updated, all.begin),
            (vec![Some(at(50)); 2], Some(at(50)), None)
        );
        let fresh = Snapshot::new("source".to_owned());
        let begins = snapshot(&json!({ "lastUpdated": 50 }), &fresh, at(NOW)).unwrap();
        assert_eq!((begins.begin, begins.partitions.len()), (Some(at(50)), 0));
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_place() {
        for (document, expected) in [
            (json!([]), vec!["a snapshot is an object"]),
            (json!({ "towpath": "state" }), vec!["state import"]),
            (json!({}), vec!["lastUpdated: is not there"]),
            (json!({ "lastUpdated": "yesterday" }), vec!["lastUpdated: \"yesterday\" is neither"]),
            (json!({ "lastUpdated": 1_900_000_000 }), vec!["in the future"]),
            (json!({ "lastUpdated": 1_700_000_000_000_i64 }), vec!["looks like milliseconds"]),
            (
                json!({ "lastUpdatd": 1, "generation": 2, "source": "other", "lastUpdated": 1 }),
                vec![
                    "lastUpdatd: there is no such field; did you mean `lastUpdated`",
                    "source: is",
                    "generation: the stored one is 3",
                ],
            ),
            (
                json!({ "partitions": { "a": { "lastUpdated": true, "scan": { "page": 1 } }, "b": 7 } }),
                vec![
                    "partitions.a.lastUpdated: true",
                    "partitions.a.scan.page",
                    "partitions.b: not an object",
                ],
            ),
            (
                json!({ "lastUpdated": 70, "partitions": { "a": { "lastUpdated": 80 } } }),
                vec!["lastUpdated: is not what the partitions say"],
            ),
            (json!({ "lastUpdated": 1, "backfill": {} }), vec!["backfill: cannot be set"]),
        ] {
            let problems = snapshot(&document, &current(), at(NOW)).unwrap_err();
            for expected in &expected {
                assert!(
                    problems.iter().any(|it| it.contains(expected)),
                    "{document}: {problems:?}"
                );
            }
            assert_eq!(problems.len(), expected.len(), "{problems:?}");
        }
    }
}
