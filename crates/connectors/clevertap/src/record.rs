//! What all records of an upload share: whose they are, and the request that takes them.

use connector::prelude::*;

use crate::answer;
use crate::call::{self, Uncoded};
use crate::rejections;

/// What identifies a person.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Identity {
    /// The record's id in the system that it comes from.
    #[default]
    RecordUid,
    /// The contact's first e-mail address.
    Email,
}

/// The identifiers of a record that are given, by their names in the API.
pub(crate) type Identifiers<'a> = [(&'static str, &'a Option<String>); 4];

/// The one identifier that is given, or the outcome of a record that has none or several.
pub(crate) fn identifier<'a>(
    what: &str,
    all: Identifiers<'a>,
) -> Result<(&'static str, &'a str), Outcome> {
    let mut given = all.into_iter().filter_map(|(name, id)| Some((name, id.as_deref()?)));
    match (given.next(), given.next()) {
        (Some(identifier), None) => Ok(identifier),
        (None, _) => Err(rejections::NO_IDENTITY
            .because(format!("the {what} has none of identity, FBID, GPID and objectId"))),
        (Some((first, _)), Some((second, _))) => Err(rejections::SEVERAL_IDENTITIES
            .because(format!("the {what} has both {first} and {second}; exactly one is needed"))),
    }
}

/// Reads an id that may be written as a number; an empty one is none.
pub(crate) fn id<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => {
            let trimmed = text.trim();
            if trimmed.len() == text.len() {
                return Ok((!text.is_empty()).then_some(text));
            }
            Ok((!trimmed.is_empty()).then(|| trimmed.to_owned()))
        }
        Value::Number(number) if number.is_u64() || number.is_i64() => Ok(Some(number.to_string())),
        _ => Err(serde::de::Error::custom("an id is a string or an integer")),
    }
}

/// Reads a text without the blanks around it.
pub(crate) fn trimmed<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| text.trim().to_owned())
}

/// What is in doubt after a call without an answer: what was sent, and none of what was refused before.
pub(crate) fn in_doubt_alone(
    sent: Result<()>,
    all_sent: bool,
    outcomes: &mut Outcomes,
) -> Result<()> {
    match sent {
        Err(Error::Unknown { reason }) if !all_sent => {
            outcomes.unanswered(reason);
            Ok(())
        }
        sent => sent,
    }
}

/// What a failure of an upload is that names no code, by whether the upload may be repeated.
pub(crate) const fn uncoded(idempotent: bool) -> Uncoded {
    if idempotent { Uncoded::Outage } else { Uncoded::InDoubt }
}

/// Uploads records, or has them looked at where it is a dry run, and sets the outcomes of those that
/// were sent; without any it does nothing. `uncoded` is what a failure of the whole is that names no
/// code.
pub(crate) async fn upload<T: Serialize + Sync>(
    api: &Api,
    d: Vec<T>,
    (sent, dry_run, uncoded): (&[answer::Sent<'_>], bool, Uncoded),
    outcomes: &mut Outcomes,
) -> Result<()> {
    #[derive(Serialize)]
    struct Upload<T> {
        d: Vec<T>,
    }
    if sent.is_empty() {
        return Ok(());
    }
    let body = Upload { d };
    let request = api.post(["1", "upload"]).query_if("dryRun", dry_run.then_some(1));
    let request = request.class("upload").json(&body);
    let answer = call::send_as(api, request, "POST /1/upload", uncoded).await?;
    answer::settle(&answer, sent, outcomes, |it| it.done(dry_run))
}
