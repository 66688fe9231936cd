//! Deletes receivers: from one group, or from the account with all its groups.

use connector::prelude::*;

use crate::group::{self, Id};
use crate::taken::taken;
use crate::told::Told;
use crate::who::Who;

/// What a path or an answer names when there is no group.
const ACCOUNT: &str = "receivers.json";

/// Deletes receivers from a group, one by one. Who is not in it is deleted already.
pub(crate) async fn from_group(
    api: &Api,
    id: &Id,
    rows: &[(usize, Who<'_>)],
    told: &mut Told,
) -> Result<()> {
    // Where the group is missing too, a 404 would say nothing about the receiver.
    let id = group::by_id(api, id).await?.id;
    for (index, who) in rows {
        let path = ["groups.json", &id.0, "receivers", who.text()];
        let sent = one(api, &path).await;
        told.note(*index, sent.map(|at| done(*who, Some(&id), at)))?;
    }
    Ok(())
}

/// Deletes receivers from the account: addresses in one request, ids one by one. Who is not in it is
/// deleted already.
pub(crate) async fn from_account(
    api: &Api,
    rows: &[(usize, Who<'_>)],
    told: &mut Told,
) -> Result<()> {
    let (emails, ids): (Vec<_>, Vec<_>) =
        rows.iter().copied().partition(|(_, who)| matches!(who, Who::Email(_)));
    if !emails.is_empty() {
        let body =
            json!({ "receivers": emails.iter().map(|(_, who)| who.text()).collect::<Vec<_>>() });
        let (observed, date) = api.observed();
        let answer = observed.post([ACCOUNT, "delete"]).json(&body).send().await?;
        let at = date.date().unwrap_or_else(|| api.now());
        let all =
            answer.status() == StatusCode::NO_CONTENT || answer.json::<Value>()? == json!(true);
        for (index, who) in emails {
            if all {
                told.note(index, Ok(done(who, None, at)))?;
            } else {
                // What else it may say is not documented: each is looked up.
                let sent = looked_up(api, who).await;
                told.note(index, sent.map(|at| done(who, None, at)))?;
            }
        }
    }
    for (index, who) in ids {
        let sent = one(api, &[ACCOUNT, who.text()]).await;
        told.note(index, sent.map(|at| done(who, None, at)))?;
    }
    Ok(())
}

/// Deletes the receiver with this address, if it is there.
async fn looked_up(api: &Api, who: Who<'_>) -> Result<Timestamp> {
    let asked = api.get([ACCOUNT, who.text()]).accept(StatusCode::NOT_FOUND).send().await?;
    if asked.status() == StatusCode::NOT_FOUND {
        return Ok(api.now());
    }
    // The vendor's own SDK reads both an object and a list of one.
    let found = match asked.json()? {
        Value::Array(mut list) => list.pop(),
        found => Some(found),
    };
    match found.as_ref().and_then(|found| found.get("id")).and_then(Id::of) {
        Some(id) => one(api, &[ACCOUNT, &id.0]).await,
        None => Err(asked.nonsense("with something else than a receiver")),
    }
}

/// Deletes what a path names, and says when. It answers `true`; what was not there is gone too.
async fn one(api: &Api, path: &[&str]) -> Result<Timestamp> {
    let (observed, date) = api.observed();
    let request = observed.request(Method::DELETE, path).accept(StatusCode::NOT_FOUND);
    let answer = request.send().await?;
    if !matches!(answer.status(), StatusCode::NOT_FOUND | StatusCode::NO_CONTENT) {
        // `false` is what some clients take for: it was not there.
        drop(taken(&answer)?);
    }
    Ok(date.date().unwrap_or_else(|| api.now()))
}

/// What is told of a receiver that is gone, in the words of the delete protocol: `delete` and
/// `timestamp`, in epoch milliseconds.
fn done(who: Who<'_>, group: Option<&Id>, at: Timestamp) -> Outcome {
    let mut value =
        json!({ "delete": "confirmed", "timestamp": at.millis(), who.named(): who.text() });
    if let (Some(group), Some(value)) = (group, value.as_object_mut()) {
        value.insert("groupId".to_owned(), json!(group));
    }
    // By whichever of the two it was named: triggers know receivers by either.
    Outcome::Done { value, target_key: Some(who.key()) }
}
