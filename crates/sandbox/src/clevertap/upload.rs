//! `POST /1/upload`: every record checked on its own, refused ones listed in a 200.

use std::sync::Mutex;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::archive::Archive;
use super::check::{Accepted, Refusal, check};
use crate::answer::Answer;
use crate::lock::lock;
use crate::options::Switches;

/// How uploads behave where the documentation is silent or contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct UploadSwitches {
    /// How many device tokens an upload may hold: a client of the vendor's sends 100; what the vendor
    /// takes is not documented.
    pub tokens: usize,
    /// The code of records that break a limit of names and values, which is not documented; 555 is the
    /// one for whatever else there is.
    pub limits_code: u16,
    /// Lengths are those of bytes; the documentation mixes them with characters.
    pub bytes_count: bool,
    /// Lists of more than 100 values are refused; the documentation says that of such lists the values
    /// go that came first.
    pub long_lists_refused: bool,
}

impl Default for UploadSwitches {
    fn default() -> Self {
        Self { tokens: 100, limits_code: 555, bytes_count: false, long_lists_refused: false }
    }
}

#[derive(Deserialize)]
struct Upload<'a> {
    #[serde(borrow)]
    d: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct Report<'a> {
    status: &'static str,
    processed: usize,
    unprocessed: Vec<Unprocessed<'a>>,
}

#[derive(Serialize)]
struct Unprocessed<'a> {
    status: &'static str,
    code: u16,
    error: String,
    record: &'a RawValue,
}

/// What became of an upload's records.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) accepted: usize,
    /// Those among them that are events.
    pub(super) events: usize,
    pub(super) refused: usize,
}

/// Checks an upload and stores it where there is an archive; without one it is a dry run, or
/// nothing is kept.
pub(super) fn answer(
    body: &Bytes,
    switches: &Switches,
    archive: Option<&Mutex<Archive>>,
    now: i64,
) -> (Answer, Option<Tally>) {
    let Ok(Upload { d: records }) = serde_json::from_slice::<Upload<'_>>(body) else {
        return (Answer::fail(400, "Malformed request"), None);
    };
    if records.len() > switches.upload_batch {
        let text = format!("Batch size exceeds the limit of {}", switches.upload_batch);
        return (Answer::fail(400, &text), None);
    }
    let results: Vec<Result<Accepted<'_>, Refusal>> =
        records.iter().map(|raw| check(raw.get(), switches)).collect();
    let tokens = results.iter().filter(|it| matches!(it, Ok(Accepted::Token))).count();
    if tokens > switches.uploads.tokens {
        let text = format!("Batch size exceeds the limit of {}", switches.uploads.tokens);
        return (Answer::fail(400, &text), None);
    }
    let mut unprocessed = Vec::new();
    for (number, (record, result)) in (1..).zip(records.iter().zip(&results)) {
        if let Err(Refusal { code, text }) = result {
            let error = format!("{text}Skipped record number : {number}");
            unprocessed.push(Unprocessed { status: "fail", code: *code, error, record });
        }
    }
    let refused = unprocessed.len();
    let events = results.iter().filter(|it| matches!(it, Ok(Accepted::Event { .. }))).count();
    let accepted = records.len() - refused;
    let status = match (accepted, refused) {
        (_, 0) => "success",
        (0, _) => "fail",
        _ => "partial",
    };
    // Of the recorded answers this one alone has spaces in it.
    let answer = if refused == 0 {
        let text = format!(
            "{{ \"status\" : \"success\" , \"processed\" : {accepted} , \"unprocessed\" : [ ]}}"
        );
        Answer::text(200, text)
    } else {
        Answer::json(200, &Report { status, processed: accepted, unprocessed })
    };
    if let Some(archive) = archive {
        let mut archive = lock(archive);
        let upload = archive.open();
        for (record, result) in records.iter().zip(results) {
            let record = body.slice_ref(record.get().as_bytes());
            match result {
                Ok(accepted) => archive.accept(record, upload, now, accepted),
                Err(Refusal { code, .. }) => archive.refuse(record, upload, now, code),
            }
        }
    }
    (answer, Some(Tally { accepted, events, refused }))
}
