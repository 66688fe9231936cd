//! Files that CleverTap takes in three stages: it gives an address, the file goes there, and CleverTap
//! is told that it is there.
//!
//! Each stage is kept before its request leaves, so that what breaks off goes on where it was: the file
//! goes to its one address, and CleverTap is told again only where nobody knows whether it was.

use std::time::Duration;

use connector::prelude::*;
use serde_json::Map;

use crate::call::{self, Uncoded};
use crate::{answer, rejections};

/// The file goes to its address when the message is looked at again.
const NEXT: Duration = Duration::from_secs(1);

/// The next request leaves as soon as its stage is kept.
const AT_ONCE: Duration = Duration::ZERO;

/// A flow that runs once a day takes a file to its end in two of them.
const DEADLINE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long an address holds where its answer does not say it, in seconds.
const HOLDS: i64 = 24 * 3600;

/// So often a file goes to another address, since the one before has ended.
const MOST_ANEW: u32 = 3;

/// How long it waits before a new address is tried, times how many there were.
const ANEW: Duration = Duration::from_secs(60);

/// No file is larger here, though CleverTap takes 5 GB: it waits in the store.
pub(crate) const LARGEST: usize = 16 * 1024 * 1024;

/// A kind of file: where its address is asked for, and where it is told that it is there.
pub(crate) struct Kind {
    pub(crate) address: (&'static str, &'static str),
    pub(crate) completed: (&'static str, &'static str),
}

/// Where a file is on its way: the token of the message that waits.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "stage", rename_all = "camelCase", deny_unknown_fields)]
enum Stage {
    /// There is an address, and the file may be there: writing it again changes nothing.
    Put {
        url: String,
        /// When the address ends, in epoch seconds.
        until: i64,
        /// How many addresses ended before it.
        #[serde(default, skip_serializing_if = "is_none")]
        anew: u32,
        name: String,
        /// The file itself: while it waits the flow's mapping may change, and one address gets one file.
        csv: String,
    },
    /// The file is there, and CleverTap was not told.
    Written { url: String, name: String },
    /// CleverTap is told, or was: noted before the request leaves.
    Complete { url: String, name: String },
}

/// Whether a token was ever asked by before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    First,
    Again,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

#[derive(Deserialize)]
struct Address {
    status: String,
    #[serde(rename = "presignedS3URL")]
    url: Option<String>,
    #[serde(rename = "expiryEpoch")]
    expiry: Option<Expiry>,
}

/// Milliseconds, as the key of MongoDB's dates has them.
#[derive(Deserialize)]
struct Expiry {
    #[serde(rename = "$date")]
    date: Value,
}

/// What became of a file that was written to its address.
enum Written {
    There,
    /// The address has ended.
    Ended,
    Refused(Outcome),
}

impl Kind {
    /// Asks for an address; the file goes there later.
    pub(crate) async fn begin(&self, api: &Api, name: &str, csv: String) -> Result<Outcome> {
        let (url, until) = self.address(api).await?;
        parked(&Stage::Put { url, until, anew: 0, name: name.to_owned(), csv }, NEXT)
    }

    /// An address, and when it ends.
    async fn address(&self, api: &Api) -> Result<(String, i64)> {
        let (path, label) = self.address;
        let (observed, date) = api.observed();
        // An address that nobody uses ends by itself: asking twice does no harm.
        let request = observed.post([path]).safe();
        let answer = call::send_as(api, request, label, Uncoded::ByWords).await?;
        match answer.json()? {
            Address { status, url: Some(url), expiry } if answer::is(&status, "success") => {
                let told = expiry.and_then(|it| it.date.as_i64()).map(|millis| millis / 1000);
                let now = date.date().unwrap_or_else(|| api.now()).secs();
                Ok((url, told.unwrap_or_else(|| now.saturating_add(HOLDS))))
            }
            _ => Err(answer.nonsense("without an address")),
        }
    }

    /// Takes a file one stage further. `body` makes what CleverTap is told of the list's name and the
    /// address.
    pub(crate) async fn go_on(
        &self,
        api: &Api,
        (token, asked): (&str, Asked),
        body: impl Fn(&str, &str) -> Map<String, Value>,
    ) -> Result<Outcome> {
        match serde_json::from_str(token) {
            Ok(Stage::Put { url, until, anew, name, csv }) => {
                match put(api, &url, until, &csv).await? {
                    Written::There => parked(&Stage::Written { url, name }, AT_ONCE),
                    Written::Refused(refusal) => Ok(refusal),
                    Written::Ended if anew >= MOST_ANEW => {
                        let why = format!("{} addresses ended before the file was there", anew + 1);
                        Ok(rejections::ADDRESS_ENDED.because(why))
                    }
                    Written::Ended => {
                        let (url, until) = self.address(api).await?;
                        let anew = anew + 1;
                        parked(&Stage::Put { url, until, anew, name, csv }, ANEW * anew)
                    }
                }
            }
            Ok(Stage::Written { url, name }) => parked(&Stage::Complete { url, name }, AT_ONCE),
            Ok(Stage::Complete { url, name }) => {
                self.complete(api, &name, &body(&name, &url), asked).await
            }
            Err(_) => {
                Ok(rejections::BAD_TOKEN.because("what waits was written by another version"))
            }
        }
    }

    /// Tells CleverTap. There is no way to ask whether it heard: told again it takes the same file once
    /// more, or finds the name taken. That may be by this very file, or by another one where the process
    /// ended after this stage was kept and before its request left: then nothing says that this file was
    /// uploaded.
    async fn complete(
        &self,
        api: &Api,
        name: &str,
        body: &Map<String, Value>,
        asked: Asked,
    ) -> Result<Outcome> {
        let (path, label) = self.completed;
        let sent = match call::send(api, api.post([path]).json(body), label).await {
            Ok(answer) => answer::succeeded(&answer, label),
            Err(error) => Err(error),
        };
        let done = |value| Ok(Outcome::Done { value, target_key: Some(name.to_owned()) });
        match (sent, asked) {
            (Ok(()), _) => done(json!({ "name": name, "uploaded": true })),
            (Err(Error::Reject { reason, .. }), Asked::First) if is_duplicate(&reason) => {
                Ok(rejections::DUPLICATE.because(reason))
            }
            (Err(Error::Reject { reason, .. }), Asked::Again) if is_duplicate(&reason) => {
                done(json!({ "name": name, "wasThere": reason }))
            }
            (Err(error), _) => Err(error),
        }
    }
}

/// The name of a file: the message's own, or the field's.
pub(crate) fn name<'a>(own: Option<&'a str>, field: &'a str) -> Result<&'a str, Outcome> {
    match own {
        Some(own) if own.trim().is_empty() => {
            Err(rejections::EMPTY_NAME.because("the message's own `name` is empty"))
        }
        own => Ok(own.unwrap_or(field)),
    }
}

fn is_duplicate(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["duplicate", "already exist"].iter().any(|words| reason.contains(words))
}

/// Writes the file to its address. Writing it again changes nothing.
async fn put(api: &Api, url: &str, until: i64, csv: &str) -> Result<Written> {
    let (observed, date) = api.observed();
    let request = observed.to_given(Method::PUT, url)?.class("files").safe();
    let request = request.bytes("text/csv", csv.as_bytes().to_vec());
    let request = request.accept(StatusCode::FORBIDDEN).accept(StatusCode::BAD_REQUEST);
    let answer = request.send().await?;
    if answer.status().is_success() {
        return Ok(Written::There);
    }
    let said = answer.message();
    let now = date.date().unwrap_or_else(|| api.now()).secs();
    // S3 refuses what has ended, what is signed otherwise and what comes from elsewhere all alike, and
    // says in words which it is.
    if said.to_lowercase().contains("expired") || now >= until {
        return Ok(Written::Ended);
    }
    let status = answer.status().as_u16();
    let reason = format!("the file's address answered {status}: {said}");
    Ok(Written::Refused(Outcome::rejected(format!("http{status}"), reason)))
}

fn parked(stage: &Stage, check_after: Duration) -> Result<Outcome> {
    let token = serde_json::to_string(stage);
    let token = token.map_err(|error| Error::config(format!("the token: {error}")))?;
    Ok(Outcome::Parked { token, check_after, deadline: DEADLINE })
}

/// Appends a line of CSV; what holds a separator, a quote or a line's end is quoted.
pub(crate) fn line<'a>(csv: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    for (at, cell) in cells.into_iter().enumerate() {
        if at > 0 {
            csv.push(',');
        }
        if cell.contains([',', '"', '\n', '\r']) {
            csv.push('"');
            csv.push_str(&cell.replace('"', "\"\""));
            csv.push('"');
        } else {
            csv.push_str(cell);
        }
    }
    csv.push('\n');
}
