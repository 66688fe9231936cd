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
