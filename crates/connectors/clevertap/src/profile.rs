//! One profile, asked for: `GET /1/profile.json`.

use connector::prelude::*;

use crate::{answer, call};

/// What a profile is asked for by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By<'a> {
    /// The customer's own id of the person.
    Identity(&'a str),
    /// An e-mail address.
    Email(&'a str),
    /// CleverTap's id of a device.
    ObjectId(&'a str),
}

/// What is known of a profile that was asked for.
#[derive(Debug)]
pub(crate) enum Found {
    /// There is one: `record` of the answer.
    Profile(Value),
    /// There is none, and the answer says so.
    Missing,
    /// There seems to be none: the answer fits that, and does not say it.
    Doubtful,
}

impl Found {
    /// The profile, for those to whom a doubt makes no difference.
    pub(crate) fn profile(self) -> Option<Value> {
        match self {
            Self::Profile(profile) => Some(profile),
            Self::Missing | Self::Doubtful => None,
        }
    }
}

/// Asks for a profile.
///
/// What CleverTap answers where there is none is not documented. It is said by `status: fail` with
/// code 404 or with words for it, whatever the HTTP status of a refusal, and by a success without a
/// record, or with an empty one. A bare 404, and a failure without any words, leave a doubt. Nothing
/// else is taken for it: an outage must not look like a profile that is gone.
pub(crate) async fn find(api: &Api, by: By<'_>) -> Result<Found> {
    let request = api.get(["1", "profile.json"]);
    let request = match by {
        By::Identity(id) => request.query("identity", id),
        By::Email(address) => request.query("email", address),
        By::ObjectId(id) => request.query("objectId", id),
    };
    let refusals =
        [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST, call::REFUSED_INSIDE_200].into_iter();
    let request = refusals.fold(request, connector::Request::accept);
    let answer = request.send().await.map_err(call::explained)?;
    let status = answer.status();
    if status.is_success() {
        let Said { status, record, error, .. } = answer.json()?;
        let error = answer::plain(&error);
        if status.as_deref() != Some("success") || !error.trim().is_empty() {
            return Err(answer.nonsense("with a status that is not success, or with an error"));
        }
        let is_empty = |it: &Value| match it {
            Value::Object(members) => members.is_empty(),
            _ => it.is_null(),
        };
        let record = record.filter(|record| !is_empty(record));
        return Ok(record.map_or(Found::Missing, Found::Profile));
    }
    if status == StatusCode::NOT_FOUND && answer.body().trim_ascii().is_empty() {
        return Ok(Found::Doubtful);
    }
    let said: Option<Said> = serde_json::from_slice(answer.body()).ok();
    let failed = said.filter(|said| said.status.as_deref() == Some("fail"));
    let code = failed.as_ref().map(|said| answer::plain(&said.code)).unwrap_or_default();
    let words = failed.map(|said| match said.error {
        Value::Null => answer::plain(&said.message),
        error => answer::plain(&error),
    });
    match words.as_deref() {
        // Of a 400 nobody knows what it refuses.
        Some("") if status != StatusCode::BAD_REQUEST && code != "404" => Ok(Found::Doubtful),
        Some(words) if status == StatusCode::NOT_FOUND || says_missing(words) => Ok(Found::Missing),
        _ if status == StatusCode::NOT_FOUND => {
            Err(answer.nonsense("with something that CleverTap does not say of profiles"))
        }
        _ if call::blames_account(&answer) => Err(call::unknown(PROFILE, &answer)),
        _ => Err(call::refusal(PROFILE, &answer)),
    }
}

const PROFILE: &str = "GET /1/profile.json";

#[derive(Deserialize)]
struct Said {
    status: Option<String>,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    message: Value,
    #[serde(default)]
    code: Value,
    record: Option<Value>,
}

fn says_missing(error: &str) -> bool {
    let error = error.to_lowercase();
    ["not found", "no profile", "does not exist", "no record"].iter().any(|it| error.contains(it))
}
