//! What an answer says: about each record of an upload, or of an order as a whole.

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
    if !["success", "partial", "fail"].into_iter().any(|word| is(&read.status, word)) {
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
            let told = ["error", "errors", "unprocessed"].into_iter().filter_map(|it| said.get(it));
            let code = || said.get("code").and_then(|code| plain(code).parse().ok());
            match said.get("status").map(plain) {
                _ if told.into_iter().any(is_error) => Says::Other,
                Some(status) if is(&status, "success") => Says::Success,
                Some(status) => fine(&status),
                None if said.is_empty() => Says::Nothing,
                // A status of HTTP, said once more.
                None if code().is_some_and(|code: u16| (200..300).contains(&code)) => Says::Nothing,
                None => Says::Other,
            }
        }
        Ok(Value::String(word)) => fine(&word),
        Ok(_) => Says::Other,
        Err(_) => fine(&String::from_utf8_lossy(body)),
    }
}

/// Whether a status is this word, in whatever letters.
pub(crate) fn is(status: &str, word: &str) -> bool {
    status.trim().eq_ignore_ascii_case(word)
}

/// Whether what stands where an error would be tells of one: null, `false`, 0 and what is empty do not.
pub(crate) fn is_error(told: &Value) -> bool {
    match told {
        Value::Null => false,
        Value::Bool(fails) => *fails,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(words) => !words.trim().is_empty(),
        Value::Array(listed) => !listed.is_empty(),
        Value::Object(members) => !members.is_empty(),
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
                    r#"{"status":"success","error":false,"errors":{},"unprocessed":0}"#,
                    r#"{"status":"Success","error":""}"#,
                ][..],
                Says::Success,
            ),
            (
                &[
                    "",
                    " ",
                    "OK",
                    "ok - success",
                    "\"Success\"",
                    "{}",
                    r#"{"status":"ok"}"#,
                    r#"{"code":200,"message":"OK"}"#,
                    r#"{"code":"204","error":false}"#,
                ],
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
                    r#"{"code":200,"error":"no"}"#,
                    r#"{"status":"success","error":1}"#,
                    r#"{"status":"success","error":{"text":"no"}}"#,
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
