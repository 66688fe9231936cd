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
    unprocessed: Vec<Refusal>,
}

/// One record that was refused.
#[derive(Deserialize)]
struct Refusal {
    code: Option<Value>,
    error: Option<String>,
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
    let mut certain = read.processed == sent.len().checked_sub(read.unprocessed.len());
    for refusal in &read.unprocessed {
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

/// The same for lists whose answer is not documented beyond `status`: a success that counts nothing
/// took them all.
pub(crate) fn settle_list(
    answer: &Response,
    sent: &[Sent<'_>],
    outcomes: &mut Outcomes,
) -> Result<()> {
    let read: Answer = answer.json()?;
    let bare = read.processed.is_none() && read.unprocessed.is_empty();
    if bare && read.status == "success" {
        for sent in sent {
            outcomes.set(sent.index, sent.done(false));
        }
        return Ok(());
    }
    settle(answer, sent, outcomes, |it| it.done(false))
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
    fn text(&self) -> &str {
        self.error.as_deref().unwrap_or_default()
    }

    /// The record's position in `d`, from 1.
    fn number(&self) -> Option<usize> {
        let (_, number) = self.text().rsplit_once(SKIPPED)?;
        number.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok()
    }

    /// The outcome, without the record's number: it means nothing outside of the call.
    fn outcome(&self, redact: impl Fn(&str) -> String) -> Outcome {
        let code = match &self.code {
            Some(Value::String(code)) => code.clone(),
            Some(Value::Number(code)) => code.to_string(),
            _ => rejections::REFUSED.code.to_owned(),
        };
        let reason = self.text().rsplit_once(SKIPPED).map_or(self.text(), |(reason, _)| reason);
        match reason.trim() {
            "" => Outcome::rejected(code, "CleverTap refuses the record and does not say why"),
            reason => Outcome::rejected(code, redact(reason)),
        }
    }
}

/// Looks at the answer to an order that says no more than whether it was taken. What it looks like is
/// documented of some alone: a success that says nothing, or says something else than that it failed,
/// is one.
pub(crate) fn succeeded(answer: &Response) -> Result<()> {
    if answer.body().trim_ascii().is_empty() {
        return Ok(());
    }
    let said: serde_json::Map<String, Value> = answer.json()?;
    let word = said.get("status").map(plain).unwrap_or_default().to_lowercase();
    let failed = ["fail", "error", "partial"].iter().any(|it| word.starts_with(it));
    if failed || said.get("error").is_some_and(|error| !error.is_null()) {
        return Err(answer.nonsense(&format!("with a failure: {}", answer.message())));
    }
    Ok(())
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

/// Sends a request, and says of a refusal what may be wrong with the account; `what` names it.
pub(crate) async fn send(
    api: &Api,
    request: connector::Request<'_>,
    what: &str,
) -> Result<Response> {
    let answer = send_unjudged(api, request, what).await?;
    match answer.status() {
        REFUSED_INSIDE_200 => Err(bad_request(what, &answer)),
        _ => Ok(answer),
    }
}

/// Sends a request, and leaves a failure inside a 200 to its caller.
async fn send_unjudged(api: &Api, request: connector::Request<'_>, what: &str) -> Result<Response> {
    let request = request.accept(StatusCode::BAD_REQUEST).accept(REFUSED_INSIDE_200);
    let answer = request.send().await.map_err(explained)?;
    match answer.status() {
        StatusCode::BAD_REQUEST if says_unprocessed(&answer) && is_unknown(api).await => {
            Err(unknown(what, &answer))
        }
        StatusCode::BAD_REQUEST => Err(bad_request(what, &answer)),
        _ => Ok(answer),
    }
}

/// The same for an upload. A failure that names no code says nothing of the records: to refuse them
/// for it could be to refuse all that there are. It is tried again, and then the run fails.
pub(crate) async fn send_upload(
    api: &Api,
    request: connector::Request<'_>,
    what: &str,
) -> Result<Response> {
    let unsaid = |answer: &Response| {
        let said: Option<Value> = answer.json().ok();
        said.is_some_and(|it| it.get("code").is_none_or(Value::is_null))
    };
    match send_unjudged(api, request, what).await? {
        answer if answer.status() == REFUSED_INSIDE_200 && unsaid(&answer) => {
            Err(Error::retry(format!("{what} answered with a failure: {}", answer.message())))
        }
        answer if answer.status() == REFUSED_INSIDE_200 => Err(bad_request(what, &answer)),
        answer => Ok(answer),
    }
}

/// Nobody's id: what is asked for where the answer is all that matters.
pub(crate) const NOBODY: &str = "towpath-account-test";

/// Recorded for bad credentials; a body that CleverTap cannot read may be answered so, too.
pub(crate) fn says_unprocessed(answer: &Response) -> bool {
    answer.message().to_lowercase().contains("failed to process request")
}

/// Whether a question with which nothing can be wrong is answered so, too: then it is the credentials.
async fn is_unknown(api: &Api) -> bool {
    let asked = api.get(["1", "profile.json"]).query("identity", NOBODY);
    match asked.accept(StatusCode::BAD_REQUEST).send().await {
        Ok(answer) => answer.status() == StatusCode::BAD_REQUEST && says_unprocessed(&answer),
        Err(error) => matches!(error, Error::Unauthorized { .. }),
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

/// What an HTTP 400 means, or a failure inside a 200 that comes to the same: bad credentials, which
/// some regions answer so, or else a body that CleverTap does not take, which a smaller batch narrows
/// down.
pub(crate) fn bad_request(what: &str, answer: &Response) -> Error {
    let said = answer.message();
    let lower = said.to_lowercase();
    // Seen: "Invalid Credentials", "Invalid Account Info".
    if ["credential", "account info", "account id"].iter().any(|words| lower.contains(words)) {
        return unknown(what, answer);
    }
    let reason = match answer.status() {
        REFUSED_INSIDE_200 => format!("{what} answered with a failure: {said}"),
        status => format!("{what} answered {}: {said}", status.as_u16()),
    };
    Error::Reject { code: "http400".to_owned(), reason }
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
    fn the_reason_is_the_vendors_without_the_number() {
        let text =
            "Timestamp should be present in the Unix Epoch format. Skipped record number : 1";
        assert_eq!(
            refusal(text, json!(null)).outcome(str::to_owned),
            Outcome::rejected("515", "Timestamp should be present in the Unix Epoch format.")
        );
    }
}
