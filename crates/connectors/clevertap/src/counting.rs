//! What is asked once and answered now or later: counts, trends, top properties.

use std::time::Duration;

use connector::prelude::*;

use crate::call::{self, Uncoded};
use crate::day::Zone;
use crate::query::Query;

/// How long CleverTap is left to count before it is asked again.
const COUNTING: Duration = Duration::from_secs(3);
/// A count that takes longer is given up.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// The refusals of what counts.
pub(crate) const REJECTIONS: &[Rejection] = &[NO_QUESTION, HTTP_400];

const NO_QUESTION: Rejection = Rejection::new(
    "noQuestion",
    "the mapping gave no question that can be asked: the reason says what is wrong; nothing was \
     asked",
    "correct `customMapping`, or the field `query`",
);

const HTTP_400: Rejection = Rejection::new(
    "http400",
    "CleverTap does not take the question: its words are in the reason",
    "correct the names of events and properties in it",
);

/// The names that an answer has for itself: a group that is called so could not be told from them.
const TAKEN: [&str; 4] = ["status", "error", "code", "req_id"];

/// Looks whether groups have names that an answer leaves free.
pub(crate) fn names<'a>(groups: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
    match groups.into_iter().find(|name| TAKEN.contains(&name.as_str())) {
        Some(name) => Err(format!(
            "a group is called `{name}`, as CleverTap calls a part of each answer: give it another \
             name"
        )),
        None => Ok(()),
    }
}

/// An answer, or the promise of one.
#[derive(Deserialize)]
struct Said {
    status: String,
    req_id: Option<Value>,
}

/// A question's query about the last days, where it does not say which; or why it cannot be asked for
/// these groups.
pub(crate) fn query<'a>(
    api: &Api,
    query: &Query,
    groups: impl IntoIterator<Item = &'a String>,
    last_days: u16,
) -> Result<Result<Query, Outcome>> {
    if let Err(problem) = query.validate().and_then(|()| names(groups)) {
        return Ok(Err(NO_QUESTION.because(problem)));
    }
    let zone = Zone::of(api)?;
    let from = zone.days_before(api.now(), last_days)?;
    Ok(Ok(query.within(from, zone.day(api.now())?)))
}

/// Asks; what is not counted yet is asked after by its `req_id`.
pub(crate) async fn ask(
    api: &Api,
    path: &'static str,
    question: &(impl Serialize + Sync),
) -> Result<Outcome> {
    let request = api.post(["1", "counts", path]).safe().json(question);
    let what = format!("POST /1/counts/{path}");
    let answer = match call::send_as(api, request, &what, Uncoded::ByWords).await {
        Err(Error::Reject { reason, .. }) => return Ok(HTTP_400.because(reason)),
        answer => answer?,
    };
    outcome(&answer, None)
}

/// Asks after what was not counted yet.
pub(crate) async fn check(api: &Api, path: &'static str, req_id: &str) -> Result<Outcome> {
    let request = api.get(["1", "counts", path]).query("req_id", req_id);
    let what = format!("GET /1/counts/{path}");
    let answer = match call::send_as(api, request, &what, Uncoded::Outage).await {
        Err(Error::Reject { reason, .. }) => return Ok(HTTP_400.because(reason)),
        answer => answer?,
    };
    outcome(&answer, Some(req_id))
}

/// The answer without its status, or when it is asked after again: by the id that the answer tells,
/// or by the one that it was asked after by.
fn outcome(answer: &Response, known: Option<&str>) -> Result<Outcome> {
    let Said { status, req_id } = answer.json()?;
    match (status.trim().to_lowercase().as_str(), req_id) {
        ("success", _) => {
            let Value::Object(mut counted) = answer.json()? else {
                return Err(answer.nonsense("with something that is no object"));
            };
            counted.shift_remove("status");
            if counted.is_empty() {
                return Err(answer.nonsense("with a success that tells nothing"));
            }
            Ok(Outcome::done(Value::Object(counted)))
        }
        ("partial", req_id) => {
            let told = match req_id {
                Some(Value::String(id)) if !id.is_empty() => Some(id),
                Some(Value::Number(id)) => Some(id.to_string()),
                _ => None,
            };
            let Some(token) = told.or(known.map(str::to_owned)) else {
                return Err(answer.nonsense("with a part, and without a `req_id`"));
            };
            Ok(Outcome::Parked { token, check_after: COUNTING, deadline: DEADLINE })
        }
        _ => Err(answer.nonsense("with a status that is neither success nor partial")),
    }
}
