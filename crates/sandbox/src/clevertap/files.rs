//! Files in three stages: an address, the file to that address, and that it is there.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::archive::Archive;
use crate::answer::Answer;
use crate::call::Call;
use crate::lock::lock;
use crate::options::Switches;

/// How long an address holds.
const HOLDS: i64 = 24 * 3600;

/// What was written to addresses, and the lists that were made of it.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// By the number of the address: until when it holds, and what was written.
    given: BTreeMap<u64, (i64, Option<Bytes>)>,
    pub(super) uploaded: Vec<Uploaded>,
}

/// A catalogue or list that there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Uploaded {
    /// Whether it is a catalogue; otherwise it is a list of people.
    pub is_catalog: bool,
    /// What it was named.
    pub name: String,
    /// The file, as it was at its address when it was told of.
    pub csv: String,
}

#[derive(Deserialize)]
struct Completed {
    name: String,
    email: String,
    creator: String,
    url: String,
    #[serde(default)]
    replace: bool,
    #[serde(rename = "override", default)]
    overriding: bool,
}

/// Gives an address, below the stand-in's own.
pub(super) fn give(call: &Call, archive: &Mutex<Archive>, now: i64) -> Answer {
    let mut archive = lock(archive);
    let given = &mut archive.files.given;
    let (number, until) = (given.len() as u64 + 1, now.saturating_add(HOLDS));
    given.insert(number, (until, None));
    let host = call.header("Host").unwrap_or("127.0.0.1");
    let url = format!("http://{host}/files/{number}?X-Amz-Signature=not-a-real-signature-{number}");
    let expiry = json!({ "$date": until * 1000 });
    let answer = json!({ "presignedS3URL": url, "expiryEpoch": expiry, "status": "success" });
    Answer::json(200, &answer)
}

/// Takes a file at an address. Who has the address is let in, without credentials.
pub(super) fn put(call: &Call, body: &Bytes, archive: &Mutex<Archive>, now: i64) -> Answer {
    let mut archive = lock(archive);
    let number = call.segments.get(1).and_then(|number| number.parse().ok());
    let signature = call.parameter("X-Amz-Signature").unwrap_or_default();
    let file = number.and_then(|number: u64| {
        let known = signature == format!("not-a-real-signature-{number}");
        archive.files.given.get_mut(&number).filter(|(until, _)| known && now < *until)
    });
    match file {
        Some((_, written)) => {
            *written = Some(body.clone());
            Answer::text(200, Bytes::new())
        }
        None => {
            let said =
                "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
            Answer::text(403, said)
        }
    }
}

/// Is told that a file is there. A list's name may be taken once, a catalogue's where the switch says
/// so; in which words a second one is refused is not documented.
pub(super) fn complete(
    body: &[u8],
    archive: &Mutex<Archive>,
    is_catalog: bool,
    switches: &Switches,
) -> Answer {
    let malformed = || Answer::fail(400, "Malformed request");
    let Ok(told) = serde_json::from_slice::<Completed>(body) else { return malformed() };
    let Completed { name, email, creator, url, replace, overriding } = told;
    let number = url.split_once("/files/").and_then(|(_, rest)| rest.split('?').next());
    let mut archive = lock(archive);
    let file = number.and_then(|number| archive.files.given.get(&number.parse().ok()?));
    let there = file.and_then(|(_, written)| written.as_ref());
    let begins: &[u8] =
        if is_catalog { b"Identity,Name,ImageURL,Category" } else { b"Type,Identity\n" };
    let csv = there.filter(|written| written.starts_with(begins));
    let csv = csv.map(|written| String::from_utf8_lossy(written).into_owned());
    let Some(csv) = csv else { return malformed() };
    if [&name, &email, &creator].iter().any(|it| it.is_empty()) {
        return malformed();
    }
    let uploaded = &mut archive.files.uploaded;
    let known = uploaded.iter_mut().find(|it| it.is_catalog == is_catalog && it.name == name);
    match known {
        Some(_) if is_catalog && switches.catalogs_once && !replace && !overriding => {
            return Answer::fail(400, "Catalog already exists");
        }
        Some(_) if !is_catalog && !replace => return Answer::fail(400, "Duplicate segment name"),
        Some(known) => known.csv = csv,
        None => uploaded.push(Uploaded { is_catalog, name, csv }),
    }
    Answer::json(200, &json!({ "status": "success" }))
}
