//! What an upload's answer says about each record that was sent.

use connector::prelude::*;

use crate::rejections;

/// One record of an upload's `d`, by its position there.
pub(crate) struct Sent<'a> {
    /// Its position in the batch.
    pub(crate) index: usize,
    /// The name and value of its one identifier.
    pub(crate) identifier: (&'static str, &'a str),
}

impl Sent<'_> {
    /// It was taken; the result names it, and says of a dry run that it was one.
    pub(crate) fn done(&self, dry_run: bool) -> Outcome {
        let (name, id) = self.identifier;
        let value =
            if dry_run { json!({ (name): id, "dryRun": true }) } else { json!({ (name): id }) };
        Outcome::Done { value, target_key: Some(id.to_owned()) }
    }
}

/// The answer to an upload; HTTP 200 whatever became of the records.
#[derive(Deserialize)]
struct Answer {
    status: String,
    processed: Option<usize>,
    #[serde(default)]
    unprocessed: Option<Vec<Refusal>>,
}

impl Answer {
    fn refusals(&self) -> &[Refusal] {
        self.unprocessed.as_deref().unwrap_or_default()
    }
}

/// One record that was refused.
#[derive(Deserialize)]
struct Refusal {
    code: Option<Value>,
    #[serde(default)]
    error: Value,
    /// The record as it was sent.
    record: Option<Value>,
}

/// Sets the outcomes of the records that were sent.
///
/// A record is done only when the answer leaves no room for anything else: every refusal belongs
/// to a record, and what was processed and what was refused add up to what was sent. Otherwise
/// the records without a refusal of their own stay unset, which is unknown: they are sent again.
pub(crate) fn settle(
    answer: &Response,
    sent: &[Sent<'_>],
    outcomes: &mut Outcomes,
    done: impl Fn(&Sent<'_>) -> Outcome,
) -> Result<()> {
    let read: Answer = answer.json()?;
    if !matches!(read.status.as_str(), "success" | "partial" | "fail") {
        return Err(answer.nonsense("with a status that is none of success, partial and fail"));
    }
    let mut certain = read.processed == sent.len().checked_sub(read.refusals().len());
    for refusal in read.refusals() {
        let found = attribute(refusal, sent).filter(|found| outcomes.is_unset(found.index));
        match found {
            Some(found) => {
                outcomes.set(found.index, refusal.outcome(|text| answer.redact(text)));
            }
            None => certain = false,
        }
    }
    if certain {
        for sent in sent {
            if outcomes.is_unset(sent.index) {
                outcomes.set(sent.index, done(sent));
            }
        }
    }
    Ok(())
}

/// The same for lists, which may be answered barely: a success that counts nothing took them all
/// ([`succeeded`]).
pub(crate) fn settle_list(
    answer: &Response,
    sent: &[Sent<'_>],
    order: &str,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let counted: Option<Answer> = answer.json().ok();
    if counted.is_some_and(|it| it.processed.is_some() || !it.refusals().is_empty()) {
        return settle(answer, sent, outcomes, |it| it.done(false));
    }
    succeeded(answer, order)?;
    for sent in sent {
        outcomes.set(sent.index, sent.done(false));
    }
    Ok(())
}

/// The record that a refusal is about: the one at its number, unless the record that it echoes
/// says otherwise; then, or without a number, the only one with the echo's identifier.
fn attribute<'a, 'b>(refusal: &Refusal, sent: &'a [Sent<'b>]) -> Option<&'a Sent<'b>> {
    let echoes = |sent: &Sent<'_>| {
        let (name, id) = sent.identifier;
        let echoed = refusal.record.as_ref()?.get(name)?;
        Some(match echoed {
            Value::String(echoed) => echoed == id,
            echoed => id.parse().is_ok_and(|id: i64| echoed.as_i64() == Some(id)),
        })
    };
    let numbered = refusal.number().and_then(|number| sent.get(number.checked_sub(1)?));
    if let Some(numbered) = numbered
        && echoes(numbered) != Some(false)
    {
        return Some(numbered);
    }
    let mut same = sent.iter().filter(|sent| echoes(sent) == Some(true));
    same.next().filter(|_| same.next().is_none())
}

/// What CleverTap puts between a refusal's reason and the record's number, without a space.
const SKIPPED: &str = "Skipped record number";

impl Refusal {
    /// The record's position in `d`, from 1.
    fn number(&self) -> Option<usize> {
        let text = plain(&self.error);
        let (_, number) = text.rsplit_once(SKIPPED)?;
        number.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok()
    }

    /// The outcome, without the record's number: it means nothing outside of the call.
    fn outcome(&self, redact: impl Fn(&str) -> String) -> Outcome {
        let code = match &self.code {
            Some(Value::String(code)) => code.clone(),
            Some(Value::Number(code)) => code.to_string(),
            _ => rejections::REFUSED.code.to_owned(),
        };
        let text = plain(&self.error);
        let reason = text.rsplit_once(SKIPPED).map_or(&*text, |(reason, _)| reason);
        match reason.trim() {
            "" => Outcome::rejected(code, "CleverTap refuses the record and does not say why"),
            reason => Outcome::rejected(code, redact(reason)),
        }
    }
}

/// The orders of whose answer no source shows the body, each with what there is instead. Of all others
/// the body is known, and has to say `success`.
const UNSHOWN: [&str; 7] = [
    // "200 OK" is all that the vendor's page says.
    "GET /attribution",
    // A client library reads a `status`; no page shows an answer.
    "POST /1/delete/profiles.json",
    "POST /1/demerge/profiles.json",
    "POST /1/subscribe",
    "POST /1/targets/trigger.json",
    // The result goes to an e-mail address; of the answer nothing is said.
    "POST /upload_catalog_completed",
    "POST /upload_custom_list_segment_completed",
];

/// Looks whether the answer to an order says that it was taken; `order` names it by method and path.
/// Of an order whose body is shown nowhere the status tells, where the body says nothing else: it is
/// empty, a word of success, or CleverTap's envelope. What tells of anything that was not taken, and a
/// page of something in between, leaves the order open.
pub(crate) fn succeeded(answer: &Response, order: &str) -> Result<()> {
    match says(answer.body()) {
        Says::Success => Ok(()),
        Says::Nothing if UNSHOWN.contains(&order) => Ok(()),
        Says::Nothing => Err(answer.nonsense("with nothing that says that it was taken")),
        Says::Other => {
            let said = answer.message();
            Err(answer.nonsense(&format!("with what does not say that it was taken: {said}")))
        }
    }
}

/// What a body says of an order.
#[derive(Debug, PartialEq)]
enum Says {
    /// `status: success`.
    Success,
    /// Nothing that can be understood, and nothing that contradicts its HTTP status.
    Nothing,
    Other,
}

fn says(body: &[u8]) -> Says {
    let fine = |text: &str| if is_fine(text) { Says::Nothing } else { Says::Other };
    match serde_json::from_slice(body) {
        Ok(Value::Object(said)) => {
            let has = |name: &str| match said.get(name) {
                None => false,
                Some(Value::Array(listed)) => !listed.is_empty(),
                Some(words) => !plain(words).trim().is_empty(),
            };
            let fails = ["error", "errors", "unprocessed"].into_iter().any(has);
            match said.get("status").map(plain) {
                _ if fails => Says::Other,
                Some(status) if status == "success" => Says::Success,
                Some(status) => fine(&status),
                None if said.is_empty() => Says::Nothing,
                None => Says::Other,
            }
        }
        Ok(Value::String(word)) => fine(&word),
        Ok(_) => Says::Other,
        Err(_) => fine(&String::from_utf8_lossy(body)),
    }
}

/// Nothing, `ok` or a success, whatever stands behind the word.
fn is_fine(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    let behind = text
        .strip_prefix("ok")
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()));
    text.is_empty() || behind || text.starts_with("success")
}

/// A text without its quotes; other values as JSON, and nothing of null.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What a failure inside a 200 stands for that names no HTTP status: CleverTap refuses the request.
pub(crate) const REFUSED_INSIDE_200: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

/// What a failure inside a 200 is that names no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uncoded {
    /// A refusal of what was sent: the failure is clear, and it is no order to be repeated unasked.
    Refusal,
    /// A refusal where its words can be meant so. Words of CleverTap's own trouble, or none, say
    /// nothing of what was sent: it is tried again.
    ByWords,
    /// Nothing of what was sent: what is refused of that is listed. To refuse all for it could be to
    /// refuse all that there are.
    Outage,
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

/// A success that has an error in it, as reports have been seen to be, tells neither.
fn contradicts_itself(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Said {
        error: Value,
    }
    let said = (body.len() <= crate::LARGEST_FAILURE).then(|| serde_json::from_slice(body).ok());
    said.flatten().is_some_and(|Said { error }| !plain(&error).trim().is_empty())
}

/// The same for any request, by what its failures are.
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
        REFUSED_INSIDE_200 if is_trouble(&answer, uncoded) => {
            Err(Error::retry(format!("{what} answered with a failure: {}", answer.message())))
        }
        _ => Err(refusal(what, &answer)),
    }
}

fn said(answer: &Response) -> Option<serde_json::Map<String, Value>> {
    serde_json::from_slice(answer.body()).ok()
}

/// A member of an object in lower case; empty if there is none.
fn word(said: &serde_json::Map<String, Value>, name: &str) -> String {
    said.get(name).map(plain).unwrap_or_default().trim().to_lowercase()
}

/// Whether a failure inside a 200 tells of CleverTap's own trouble.
fn is_trouble(answer: &Response, uncoded: Uncoded) -> bool {
    let said = said(answer).unwrap_or_default();
    if !word(&said, "code").is_empty() {
        return false;
    }
    let words = [word(&said, "error"), word(&said, "message")].concat();
    let own =
        ["internal", "server", "unavailable", "time out", "timed out", "timeout", "try again"];
    match uncoded {
        Uncoded::Refusal => false,
        Uncoded::ByWords => words.is_empty() || own.iter().any(|it| words.contains(it)),
        Uncoded::Outage => true,
    }
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

/// The error of credentials that a 400 refuses.
pub(crate) fn unknown(what: &str, answer: &Response) -> Error {
    let reason = format!("{what} answered 400: {}", answer.message());
    explained(Error::Unauthorized { reason })
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
    let said = answer.message();
    let (code, reason) = match answer.status() {
        REFUSED_INSIDE_200 => {
            ("http400".to_owned(), format!("{what} answered with a failure: {said}"))
        }
        status => {
            let status = status.as_u16();
            (format!("http{status}"), format!("{what} answered {status}: {said}"))
        }
    };
    Error::Reject { code, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(error: &str, record: Value) -> Refusal {
        serde_json::from_value(json!({ "code": 515, "error": error, "record": record })).unwrap()
    }

    fn attributed(error: &str, record: Value, ids: &[&'static str]) -> Option<usize> {
        let sent: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(index, id)| Sent { index: index + 10, identifier: ("identity", id) })
            .collect();
        attribute(&refusal(error, record), &sent).map(|sent| sent.index)
    }

    #[test]
    fn a_refusal_finds_its_record() {
        let email = "Profile data is incorrect. Email is not valid.";
        let second = format!("{email}Skipped record number : 2");
        let ids = ["a", "7", "c", "c"];
        for (error, record, expected) in [
            (&*second, json!(null), Some(11)),
            (&second, json!({ "identity": "7" }), Some(11)),
            (&second, json!({ "identity": 7 }), Some(11)),
            // The echo wins over the number.
            (&second, json!({ "identity": "a" }), Some(10)),
            (email, json!({ "identity": "a" }), Some(10)),
            // Nobody's, or one of two.
            (email, json!({ "identity": "c" }), None),
            (email, json!(null), None),
            (&second, json!({ "identity": "x" }), None),
            ("Skipped record number : 9", json!(null), None),
            ("Skipped record number : 0", json!(null), None),
            ("Skipped record number : 4", json!({ "identity": "c" }), Some(13)),
        ] {
            assert_eq!(attributed(error, record.clone(), &ids), expected, "{error} {record}");
        }
    }

    #[test]
    fn a_body_says_that_it_was_taken_or_nothing_or_something_else() {
        for (bodies, expected) in [
            (
                &[
                    r#"{"status":"success"}"#,
                    r#"{"status":"success","message":"Added to queue for processing"}"#,
                    r#"{"status":"success","error":null,"unprocessed":[]}"#,
                ][..],
                Says::Success,
            ),
            (
                &["", " ", "OK", "ok - success", "\"Success\"", "{}", r#"{"status":"ok"}"#],
                Says::Nothing,
            ),
            (
                &[
                    r#"{"status":"fail"}"#,
                    r#"{"status":"partial"}"#,
                    r#"{"status":"success","error":"no"}"#,
                    r#"{"status":"success","unprocessed":[{}]}"#,
                    r#"{"error":"quota"}"#,
                    r#"{"code":400}"#,
                    r#"{"message":"away"}"#,
                    "okapi",
                    "<html>",
                    "[]",
                    "false",
                ],
                Says::Other,
            ),
        ] {
            for body in bodies {
                assert_eq!(says(body.as_bytes()), expected, "{body}");
            }
        }
    }

    #[test]
    fn the_reason_is_the_vendors_without_the_number() {
        let text =
            "Timestamp should be present in the Unix Epoch format. Skipped record number : 1";
        assert_eq!(
            refusal(text, json!(null)).outcome(str::to_owned),
            Outcome::rejected("515", "Timestamp should be present in the Unix Epoch format.")
        );
    }
}
