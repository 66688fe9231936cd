//! How requests are sent, and what their refusals mean: the message, the account, or nothing of both.

use connector::prelude::*;

use crate::answer::{is_error, plain};

/// What a failure inside a 200 stands for that names no HTTP status: CleverTap refuses the request.
pub(crate) const REFUSED_INSIDE_200: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

/// What a failure inside a 200 is that names no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uncoded {
    /// Of an order that may not be repeated unasked: a refusal. Words of CleverTap's own trouble leave
    /// in doubt whether it was carried out, as a 500 does.
    Refusal,
    /// A refusal where its words can be meant so. Words of CleverTap's own trouble, or none, say
    /// nothing of what was sent: it is tried again.
    ByWords,
    /// Nothing of what was sent: what is refused of that is listed. To refuse all for it could be to
    /// refuse all that there are.
    Outage,
    /// The same of what may not be repeated unasked: it is in doubt. Recorded answers to uploads say
    /// `processed: 0` where none was taken; that alone leaves no doubt.
    InDoubt,
}

/// Sends an order that may not be repeated unasked, and says of a refusal what may be wrong with the
/// account; `what` names it.
pub(crate) async fn send(
    api: &Api,
    request: connector::Request<'_>,
    what: &str,
) -> Result<Response> {
    send_as(api, request, what, Uncoded::Refusal).await
}

/// The same as [`send`] for any request, by what its failures are.
///
/// A 404 with CleverTap's own words is about what was asked for, since the paths are all known ones;
/// any other is about the account's `baseUrl`.
pub(crate) async fn send_as(
    api: &Api,
    request: connector::Request<'_>,
    what: &str,
    uncoded: Uncoded,
) -> Result<Response> {
    let refusals = [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, REFUSED_INSIDE_200];
    let request = refusals.into_iter().fold(request, connector::Request::accept);
    let answer = request.send().await.map_err(explained)?;
    match answer.status() {
        StatusCode::NOT_FOUND if said(&answer).is_none_or(|it| word(&it, "status") != "fail") => {
            let reason = format!("{what} answered 404: {}", answer.message());
            Err(explained(Error::Config { reason }))
        }
        status if status.is_success() && contradicts_itself(answer.body()) => {
            let said = answer.message();
            Err(answer.nonsense(&format!("with a success, and with an error: {said}")))
        }
        status if !refusals.contains(&status) => Ok(answer),
        _ if blames_account(&answer) && is_unknown(api).await? => Err(unknown(what, &answer)),
        _ => Err(trouble(what, &answer, uncoded).unwrap_or_else(|| refusal(what, &answer))),
    }
}

/// A success that has an error in it, as reports have been seen to be, tells neither.
fn contradicts_itself(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Said {
        error: Value,
    }
    let said = (body.len() <= crate::LARGEST_FAILURE).then(|| serde_json::from_slice(body).ok());
    said.flatten().is_some_and(|Said { error }| is_error(&error))
}

fn said(answer: &Response) -> Option<serde_json::Map<String, Value>> {
    serde_json::from_slice(answer.body()).ok()
}

/// A member of an object in lower case; empty if there is none.
fn word(said: &serde_json::Map<String, Value>, name: &str) -> String {
    said.get(name).map(plain).unwrap_or_default().trim().to_lowercase()
}

/// The error of a failure inside a 200 that refuses nothing of what was sent.
pub(crate) fn trouble(what: &str, answer: &Response, uncoded: Uncoded) -> Option<Error> {
    let said = said(answer).unwrap_or_default();
    if answer.status() != REFUSED_INSIDE_200 || !word(&said, "code").is_empty() {
        return None;
    }
    let reason = format!("{}: {}", answered(what, answer), answer.message());
    let words = [word(&said, "error"), word(&said, "message")].concat();
    match uncoded {
        Uncoded::Refusal => is_own_trouble(&words).then_some(Error::Unknown { reason }),
        Uncoded::ByWords => {
            (words.is_empty() || is_own_trouble(&words)).then(|| Error::retry(reason))
        }
        Uncoded::InDoubt if word(&said, "processed") != "0" => Some(Error::Unknown { reason }),
        Uncoded::Outage | Uncoded::InDoubt => Some(Error::retry(reason)),
    }
}

/// Whether words, in lower case, tell of CleverTap's own trouble.
fn is_own_trouble(words: &str) -> bool {
    let own =
        ["internal", "server", "unavailable", "time out", "timed out", "timeout", "try again"];
    own.iter().any(|it| words.contains(it))
}

/// Nobody's id: what is asked for where the answer is all that matters.
pub(crate) const NOBODY: &str = "towpath-account-test";

/// Whether a refusal names the credentials. Seen: "Invalid Credentials", "Invalid Account Info".
pub(crate) fn says_refused(answer: &Response) -> bool {
    let said = answer.message().to_lowercase();
    ["credential", "account info", "account id"].iter().any(|it| said.contains(it))
}

/// Recorded for bad credentials; a body that CleverTap cannot read may be answered so, too.
fn says_unprocessed(answer: &Response) -> bool {
    answer.message().to_lowercase().contains("failed to process request")
}

/// Whether a refusal may be one of the credentials.
pub(crate) fn blames_account(answer: &Response) -> bool {
    says_refused(answer) || says_unprocessed(answer)
}

/// Whether a question with which nothing can be wrong is refused so, too: then it is the credentials.
/// Where that cannot be found out now, what was refused is sent again later: it was not carried out.
pub(crate) async fn is_unknown(api: &Api) -> Result<bool> {
    let asked = api.get(["1", "profile.json"]).query("identity", NOBODY);
    let refusals = [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, REFUSED_INSIDE_200];
    let asked = refusals.into_iter().fold(asked, connector::Request::accept);
    match asked.send().await {
        Ok(answer) => Ok(!answer.status().is_success() && blames_account(&answer)),
        Err(Error::Unauthorized { .. }) => Ok(true),
        Err(held @ Error::HeldBack { .. }) => Err(held),
        Err(error) => Err(Error::retry(format!("whether the credentials are good: {error}"))),
    }
}

/// The error of credentials that are refused by another status than theirs.
pub(crate) fn unknown(what: &str, answer: &Response) -> Error {
    let reason = format!("{}: {}", answered(what, answer), answer.message());
    explained(Error::Unauthorized { reason })
}

/// How a refusal came: by a status of HTTP, or inside a 200.
fn answered(what: &str, answer: &Response) -> String {
    match answer.status() {
        REFUSED_INSIDE_200 => format!("{what} answered with a failure"),
        status => format!("{what} answered {}", status.as_u16()),
    }
}

const CHECK: &str = "check the account's projectId, passcode and region";

/// Adds the way out to an error whose cause is likely in the account's settings.
pub(crate) fn explained(error: Error) -> Error {
    match error {
        Error::Unauthorized { reason } => {
            Error::Unauthorized { reason: format!("{reason}; {CHECK}") }
        }
        Error::Config { reason } => Error::Config { reason: format!("{reason}; {CHECK}") },
        error => error,
    }
}

/// What a refusal means that is none of the credentials: something that CleverTap does not take, which
/// a smaller batch narrows down.
pub(crate) fn refusal(what: &str, answer: &Response) -> Error {
    let status = match answer.status() {
        REFUSED_INSIDE_200 => StatusCode::BAD_REQUEST,
        status => status,
    };
    let reason = format!("{}: {}", answered(what, answer), answer.message());
    Error::Reject { code: format!("http{}", status.as_u16()), reason }
}
