//! A flow's state as a document: what one store gives and another one takes.

use connector::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Counts, Seen, Store};

use crate::seen::{Loading, UNVERSIONED, settled_by};
use crate::snapshot::Snapshot;
use crate::{Error, Result};

/// What the documents of this kind say that they are.
const KIND: &str = "state";
/// The version of the document that is written and read.
const VERSION: u32 = 1;

/// A flow's state on its way from one store to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exported {
    /// What kind of document this is: `state`.
    pub towpath: String,
    /// The document's version.
    pub version: u32,
    /// The flow that it is of.
    pub flow: String,
    /// When it was written.
    pub exported: Timestamp,
    /// The commit that it stands at.
    pub commit: u64,
    /// Tells the key of the store: what was seen means nothing under another one.
    pub key: String,
    /// The snapshot.
    pub snapshot: Value,
    /// What became of the flow's records, for who reads it.
    pub counts: Counts,
    /// What comes behind it: the records that were settled, one a line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seen: Option<SeenLines>,
}

/// What the lines of a document are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenLines {
    /// How many there are.
    pub lines: u64,
    /// Their hash.
    pub digest: String,
}

/// One record that was settled: which content of which key, as keyed hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Line", into = "Line")]
pub struct SeenLine(Seen);

/// A record that was settled, as a line of a document has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    version: Option<i64>,
    commit: u64,
}

impl From<SeenLine> for Line {
    fn from(SeenLine(seen): SeenLine) -> Self {
        Self {
            key: hex(&seen.key),
            content: hex(&seen.content),
            version: Some(seen.version).filter(|version| *version != UNVERSIONED),
            commit: seen.sequence,
        }
    }
}

impl TryFrom<Line> for SeenLine {
    type Error = String;

    fn try_from(line: Line) -> Result<Self, String> {
        Ok(Self(Seen {
            key: unhex("key", &line.key)?,
            content: unhex("content", &line.content)?,
            version: line.version.unwrap_or(UNVERSIONED),
            sequence: line.commit,
        }))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(field: &str, text: &str) -> Result<[u8; N], String> {
    let wrong = || format!("`{field}` is not {} hexadecimal digits", N * 2);
    if text.len() != N * 2 {
        return Err(wrong());
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

/// Tells one key of a store from another, and nothing about either.
pub(crate) fn key_of(store: &dyn Store) -> String {
    hex(&store.keyed_hash("export.key", &[])).chars().take(32).collect()
}

/// Reads a flow's state, with all that was settled if that is asked for; `None` if it never
/// committed.
pub(crate) async fn export(
    store: &dyn Store,
    flow: &str,
    at: Timestamp,
    with_seen: bool,
) -> Result<Option<(Exported, Vec<SeenLine>)>> {
    let failed = |error: store::Error| Error::store(flow, &error);
    let Some(head) = store.head(flow).await.map_err(failed)? else { return Ok(None) };
    let snapshot = Snapshot::read(flow, &head.snapshot)?;
    let mut lines = vec![];
    if with_seen {
        let mut loading = Loading::of(head.seen_entries);
        store.seen(flow, &mut |entries| loading.add(entries)).await.map_err(failed)?;
        let counts =
            |seen: &Seen| !crate::forgotten::is_forgotten(&snapshot.forgotten, &(*seen).into());
        let table = loading.table().compact();
        lines.extend(
            table
                .iter()
                .flat_map(|shard| shard.iter())
                .filter(|seen| counts(seen))
                .map(|seen| SeenLine(Seen { sequence: settled_by(seen), ..*seen })),
        );
    }
    let seen = with_seen.then(|| SeenLines { lines: lines.len() as u64, digest: digest(&lines) });
    let value = serde_json::to_value(&snapshot).map_err(|error| Error::Snapshot {
        flow: flow.to_owned(),
        problem: format!("the snapshot cannot be written: {error}"),
    })?;
    let exported = Exported {
        towpath: KIND.to_owned(),
        version: VERSION,
        flow: flow.to_owned(),
        exported: at,
        commit: head.sequence,
        key: key_of(store),
        snapshot: value,
        counts: head.counts,
        seen,
    };
    Ok(Some((exported, lines)))
}

fn digest(lines: &[SeenLine]) -> String {
    let mut hasher = blake3::Hasher::new();
    for SeenLine(seen) in lines {
        hasher.update(&seen.key).update(&seen.content);
        hasher.update(&seen.version.to_le_bytes()).update(&seen.sequence.to_le_bytes());
    }
    hasher.finalize().to_hex().chars().take(32).collect()
}

/// What an import takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Imported {
    /// What an export wrote, whole.
    State {
        /// Its first line.
        exported: Box<Exported>,
        /// The lines behind it.
        seen: Vec<SeenLine>,
    },
    /// What Open Integration Hub keeps of a flow: `{ "lastUpdated": seconds }`.
    LastUpdated(Timestamp),
}

impl Imported {
    /// Reads a document: JSON, and behind it one JSON value a line. The error names the line.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let first = match values.next() {
            None => return Err("the document is empty".to_owned()),
            Some(Err(error)) => return Err(format!("not JSON: {error}")),
            Some(Ok(first)) => first,
        };
        let rest = text.get(values.byte_offset()..).unwrap_or_default();
        let Some(fields) = first.as_object() else {
            return Err(
                "neither an export nor `{ \"lastUpdated\": seconds }`: not an object".into()
            );
        };
        if !fields.contains_key("towpath") {
            if !rest.trim().is_empty() {
                return Err("there is more behind the first value".to_owned());
            }
            return last_updated(kept_there(fields)?);
        }
        let exported: Exported = serde_json::from_value(first).map_err(|error| {
            format!("the first line is no export that this version reads: {error}")
        })?;
        if exported.towpath != KIND {
            return Err(format!("this is a document of kind `{}`, not `{KIND}`", exported.towpath));
        }
        if exported.version != VERSION {
            return Err(format!(
                "the document has version {}, this towpath reads version {VERSION}",
                exported.version
            ));
        }
        let begins = text.lines().count() - rest.lines().count();
        let lines = rest.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let seen = lines.map(|(at, line)| {
            let number = begins + at + usize::from(!rest.is_empty());
            serde_json::from_str(line).map_err(|error| format!("line {number}: {error}"))
        });
        let seen = seen.collect::<Result<Vec<SeenLine>, _>>()?;
        match &exported.seen {
            None if seen.is_empty() => {}
            None => return Err("there are lines that the first one does not tell of".to_owned()),
            Some(told) if told.lines != seen.len() as u64 => {
                return Err(format!(
                    "the document is cut or has grown: {} of {} lines are there",
                    seen.len(),
                    told.lines
                ));
            }
            Some(told) if told.digest != digest(&seen) => {
                return Err("a line is not what was exported: the digest differs".to_owned());
            }
            Some(_) => {}
        }
        Ok(Self::State { exported: Box::new(exported), seen })
    }
}

/// The snapshot in what Open Integration Hub's service of snapshots keeps of a step or answers: an
/// entry with `snapshot`, perhaps as `data`, perhaps in a list of its own.
fn kept_there(
    fields: &serde_json::Map<String, Value>,
) -> Result<&serde_json::Map<String, Value>, String> {
    let mut inner = fields;
    for key in ["data", "snapshot"] {
        inner = match inner.get(key) {
            Some(Value::Object(fields)) => fields,
            Some(Value::Array(list)) => match list.as_slice() {
                [Value::Object(fields)] => fields,
                [] => return Err(format!("`{key}` is empty: nothing is kept of that step")),
                _ => return Err(format!("`{key}` has several: import that of the trigger's step")),
            },
            _ => inner,
        };
    }
    Ok(inner)
}

/// Reads what Open Integration Hub keeps.
fn last_updated(fields: &serde_json::Map<String, Value>) -> Result<Imported, String> {
    const FORMS: &str = "an import takes what `towpath state export` wrote, or `{ \"lastUpdated\": \
                         seconds }` of Open Integration Hub";
    let Some(value) = fields.get("lastUpdated") else {
        return Err(format!("there is neither `towpath` nor `lastUpdated`: {FORMS}"));
    };
    if let Some(other) = fields.keys().find(|key| *key != "lastUpdated") {
        return Err(format!(
            "`{other}` is none of what Open Integration Hub keeps: {FORMS}; a snapshot of towpath \
             alone goes to `towpath state set`"
        ));
    }
    if let Some(number) = value.as_i64().filter(|number| *number > 99_999_999_999) {
        let meant = Timestamp::from_millis(number);
        return Err(format!(
            "lastUpdated: {number} looks like milliseconds ({meant}), and seconds are meant"
        ));
    }
    let seconds = match value {
        Value::Number(number) => number.as_f64().map(|seconds| (seconds * 1000.0) as i64),
        Value::String(text) => Timestamp::parse(text).map(Timestamp::millis),
        _ => None,
    };
    let at = seconds.filter(|millis| *millis > 0).map(Timestamp::from_millis);
    at.map(Imported::LastUpdated).ok_or_else(|| {
        format!("lastUpdated: {value} is neither a number of seconds since 1970 nor a time")
    })
}

/// Makes entries of this store of lines of another one with the same key. Those that count as
/// absent for a backfill under way stay so, with sequence 0.
pub(crate) fn entries(seen: &[SeenLine], sequence: u64, snapshot: &Snapshot) -> Vec<Seen> {
    let began = snapshot.backfill.as_ref().map(|backfill| backfill.commit);
    let entry = |SeenLine(seen): &SeenLine| {
        let counts = began.is_none_or(|began| seen.sequence > began);
        Seen { sequence: if counts { sequence } else { 0 }, ..*seen }
    };
    seen.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_open_integration_hub_wrote_is_taken_and_what_is_like_it_is_not() {
        let read = |text: &str| Imported::read(text);
        let at = Imported::LastUpdated(Timestamp::from_secs(1_627_283_954));
        assert_eq!(read(r#"{"lastUpdated":1627283954}"#), Ok(at.clone()));
        for entry in [
            r#"{"flowId":"f","stepId":"s","snapshot":{"lastUpdated":1627283954}}"#,
            r#"{"data":{"lastUpdated":1627283954}}"#,
            r#"{"data":[{"stepId":"s","snapshot":{"lastUpdated":1627283954}}],"meta":{}}"#,
            r#"{"lastUpdated":"2021-07-26T07:19:14Z"}"#,
        ] {
            assert_eq!(read(entry), Ok(at.clone()), "{entry}");
        }
        for (text, problem) in [
            ("", "empty"),
            ("{", "not JSON"),
            ("[]", "not an object"),
            ("{}", "neither `towpath` nor `lastUpdated`"),
            (r#"{"lastUpdated":0}"#, "lastUpdated: 0"),
            (r#"{"lastUpdated":1627283954000}"#, "looks like milliseconds (2021-07-26"),
            (r#"{"lastUpdated":[1]}"#, "lastUpdated: [1]"),
            (r#"{"lastUpdated":1,"partitions":{}}"#, "`partitions` is none"),
            (r#"{"lastUpdated":1} {}"#, "more behind"),
            (r#"{"data":[]}"#, "nothing is kept"),
            (r#"{"data":[{},{}]}"#, "several"),
            (r#"{"snapshot":{}}"#, "neither `towpath` nor `lastUpdated`"),
            (r#"{"towpath":"state","version":1}"#, "missing field"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn a_document_that_was_cut_or_changed_is_refused_at_its_line() {
        let line =
            |n: u8| SeenLine(Seen { key: [n; 16], content: [n; 8], version: 5, sequence: 2 });
        let lines = [line(1), line(2)];
        let exported = Exported {
            towpath: KIND.to_owned(),
            version: VERSION,
            flow: "f".to_owned(),
            exported: Timestamp::from_secs(1),
            commit: 2,
            key: "k".to_owned(),
            snapshot: Value::Null,
            counts: Counts::default(),
            seen: Some(SeenLines { lines: 2, digest: digest(&lines) }),
        };
        let mut text = vec![serde_json::to_string(&exported).unwrap()];
        text.extend(lines.iter().map(|line| serde_json::to_string(line).unwrap()));
        let whole = Imported::State { exported: Box::new(exported), seen: lines.to_vec() };
        assert_eq!(Imported::read(&text.join("\n")), Ok(whole));
        let refused = |change: &dyn Fn(&mut Vec<String>)| {
            let mut text = text.clone();
            change(&mut text);
            Imported::read(&text.join("\n")).unwrap_err()
        };
        assert!(refused(&|text| drop(text.pop())).contains("1 of 2 lines"));
        let cut = refused(&|text| {
            text[2].pop();
        });
        assert!(cut.contains("line 3: EOF"), "{cut}");
        let wrong = refused(&|text| text[1] = text[1].replace("0101", "01x1"));
        assert!(wrong.contains("line 2: `key` is not 32"), "{wrong}");
        let other = refused(&|text| text[1] = text[1].replace("0101", "0111"));
        assert!(other.contains("digest"), "{other}");
        let newer = refused(&|text| text[0] = text[0].replace(r#""version":1"#, r#""version":9"#));
        assert!(newer.contains("version 9"), "{newer}");
    }
}
