//! One profile, asked for: `GET /1/profile.json`.

use connector::prelude::*;

use crate::answer;
use crate::call::{self, Uncoded};

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

impl By<'_> {
    /// Whether it is the question with which nothing can be wrong.
    fn is_nobody(self) -> bool {
        matches!(self, Self::Identity(call::NOBODY))
    }
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
/// else is taken for it: neither an outage nor a refusal of the credentials must look like a profile
/// that is gone. Where the words may blame the account, nobody is asked for besides: an odd id must not
/// look like an account that is refused.
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
        let succeeds = status.is_some_and(|status| answer::is(&status, "success"));
        if !succeeds || answer::is_error(&error) {
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
    if call::blames_account(&answer) && (by.is_nobody() || call::is_unknown(api).await?) {
        return Err(call::unknown(PROFILE, &answer));
    }
    let said: Option<Said> = serde_json::from_slice(answer.body()).ok();
    let failed =
        said.filter(|said| said.status.as_deref().is_some_and(|it| answer::is(it, "fail")));
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
        _ => Err(call::trouble(PROFILE, &answer, Uncoded::ByWords)
            .unwrap_or_else(|| call::refusal(PROFILE, &answer))),
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

/// Whether words say that there is no such profile; no source shows them. What is missing has to be a
/// person, however they are called: what is not found may be the account just as well.
pub(crate) fn says_missing(words: &str) -> bool {
    let words = words.to_lowercase();
    let has = |any: &[&str]| any.iter().any(|it| words.contains(it));
    let missing =
        ["not found", "not exist", "n't exist", "no such", "no profile", "no record", "no user"];
    let person = ["profile", "record", "user", "identity", "identifier"];
    has(&missing) && has(&person) && !has(&["account", "project", "passcode"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_missing_and_nothing_else() {
        for (words, expected) in [
            ("Profile not found", true),
            ("No profile found", true),
            ("No such user", true),
            ("Record for identity \"21\" does not exist", true),
            ("The user identifier is not found", true),
            ("User doesn't exist", true),
            ("Account id not found", false),
            ("The account of this user does not exist", false),
            ("No such project for this user", false),
            ("Endpoint not found", false),
            ("Invalid profile", false),
            ("", false),
        ] {
            assert_eq!(says_missing(words), expected, "{words}");
        }
    }
}
