//! One profile, asked for: `GET /1/profile.json`.

use connector::prelude::*;

use crate::answer;

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

/// Asks for a profile: `record` of the answer, `None` where there is no profile.
///
/// What CleverTap answers then is not documented. Taken for it are 404, `status: fail` with code
/// 404, without a code or with words that say so, and a success without a record, or with an empty
/// one. Nothing else is: an outage must not look like a profile that is gone.
pub(crate) async fn find(api: &Api, by: By<'_>) -> Result<Option<Value>> {
    let request = api.get(["1", "profile.json"]);
    let request = match by {
        By::Identity(id) => request.query("identity", id),
        By::Email(address) => request.query("email", address),
        By::ObjectId(id) => request.query("objectId", id),
    };
    let doubtful = [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST, StatusCode::BAD_GATEWAY];
    let request = doubtful.into_iter().fold(request, connector::Request::accept);
    let answer = request.send().await.map_err(answer::explained)?;
    match answer.status() {
        StatusCode::NOT_FOUND => {
            let ours = answer.body().is_empty() || said(&answer).is_some();
            ours.then_some(None).ok_or_else(|| answer.nonsense("with something that is no JSON"))
        }
        StatusCode::BAD_REQUEST => match said(&answer) {
            Some(Said { error: Some(error), .. }) if says_missing(&error) => Ok(None),
            _ => Err(answer::bad_request("GET /1/profile.json", &answer)),
        },
        // A failure inside a 200 that has no code of its own.
        StatusCode::BAD_GATEWAY => match said(&answer) {
            Some(Said { status: Some(status), error, .. })
                if status == "fail" && error.as_deref().is_none_or(says_missing) =>
            {
                Ok(None)
            }
            _ => Err(answer.nonsense(&format!("with a failure: {}", answer.message()))),
        },
        _ => {
            let Said { status, record, .. } = answer.json()?;
            if status.as_deref() != Some("success") {
                return Err(answer.nonsense("with a status that is not success"));
            }
            let is_empty = |it: &Value| match it {
                Value::Object(members) => members.is_empty(),
                _ => it.is_null(),
            };
            Ok(record.filter(|record| !is_empty(record)))
        }
    }
}

#[derive(Deserialize)]
struct Said {
    status: Option<String>,
    error: Option<String>,
    record: Option<Value>,
}

fn said(answer: &Response) -> Option<Said> {
    serde_json::from_slice(answer.body()).ok()
}

fn says_missing(error: &str) -> bool {
    let error = error.to_lowercase();
    ["not found", "no profile", "does not exist", "no record"].iter().any(|it| error.contains(it))
}
