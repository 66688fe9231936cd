//! Files that CleverTap takes in three stages: it gives an address, the file goes there, and CleverTap
//! is told that it is there.
//!
//! Each stage is kept before the next one begins, so that what breaks off goes on where it was.

use std::time::Duration;

use connector::prelude::*;
use serde_json::Map;

use crate::{answer, rejections};

/// The next stage begins when the message is looked at again.
const NEXT: Duration = Duration::from_secs(1);

/// A flow that runs once a day takes a file to its end in three of them.
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
    /// There is an address, and nothing at it as far as we know.
    Put {
        url: String,
        /// When the address ends, in epoch seconds.
        until: i64,
        /// How many addresses ended before it.
        #[serde(default, skip_serializing_if = "is_none")]
        anew: u32,
        name: String,
        csv: String,
    },
    /// The file is there, and CleverTap does not know it.
    Complete { url: String, name: String },
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
        let answer = answer::send(api, observed.post([path]).safe(), label).await?;
        match answer.json()? {
            Address { status, url: Some(url), expiry } if status == "success" => {
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
        token: &str,
        body: impl Fn(&str, &str) -> Map<String, Value>,
    ) -> Result<Outcome> {
        match serde_json::from_str(token) {
            Ok(Stage::Put { url, until, anew, name, csv }) => {
                match put(api, &url, until, &csv).await? {
                    Written::There => parked(&Stage::Complete { url, name }, NEXT),
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
            Ok(Stage::Complete { url, name }) => self.complete(api, url, name, body).await,
            Err(_) => {
                Ok(rejections::BAD_TOKEN.because("what waits was written by another version"))
            }
        }
    }

    async fn complete(
        &self,
        api: &Api,
        url: String,
        name: String,
        body: impl Fn(&str, &str) -> Map<String, Value>,
    ) -> Result<Outcome> {
        let (path, label) = self.completed;
        // Without an answer it is told again of the same file: there is no way to ask whether it was
        // heard. A second time it finds the name taken, or the same rows.
        let request = api.post([path]).safe().json(&body(&name, &url));
        let sent = match answer::send(api, request, label).await {
            Ok(answer) => answer::succeeded(&answer),
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => Ok(Outcome::Done {
                value: json!({ "name": name, "uploaded": true }),
                target_key: Some(name),
            }),
            Err(Error::Reject { reason, .. }) if is_duplicate(&reason) => {
                Ok(rejections::DUPLICATE.because(reason))
            }
            Err(error) => Err(error),
        }
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
