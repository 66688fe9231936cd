//! Deletions: ordered for many profiles at once, and asked after one by one.

use std::collections::BTreeSet;
use std::time::Duration;

use connector::Redactor;
use connector::prelude::*;

use crate::profile::{self, By};
use crate::{answer, rejections};

const ORDER: &str = "POST /1/delete/profiles.json";

/// A profile is asked for again after as long as it has been waiting, within these bounds.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3600)];

/// So many of a person's devices are remembered; any one of them tells the old profile.
const MOST_DEVICES: usize = 20;

/// Whose profile is to be deleted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose<'a> {
    Identity(&'a str),
    Guid(&'a str),
}

impl<'a> Whose<'a> {
    const fn parts(self) -> (&'static str, &'a str) {
        match self {
            Self::Identity(id) => ("identity", id),
            Self::Guid(id) => ("guid", id),
        }
    }

    const fn by(self) -> By<'a> {
        match self {
            Self::Identity(id) => By::Identity(id),
            Self::Guid(id) => By::ObjectId(id),
        }
    }
}

/// What is remembered of a deletion that was ordered: the token of the message that waits.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Ordered {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guid: Option<String>,
    /// When CleverTap took the order, by its own clock where it told it: epoch seconds.
    at: i64,
    /// There was no profile then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    absent: bool,
    /// The devices of the profile that was to go.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    devices: BTreeSet<String>,
}

impl Ordered {
    fn whose(&self) -> Option<Whose<'_>> {
        match (&self.identity, &self.guid) {
            (Some(id), None) => Some(Whose::Identity(id)),
            (None, Some(id)) => Some(Whose::Guid(id)),
            _ => None,
        }
    }
}

/// Orders deletions, those by identity and those by device each in one request. With a deadline the
/// messages wait until the profiles are gone; without one they are done.
pub(crate) async fn order(
    api: &Api,
    wanted: &[(usize, Whose<'_>)],
    deadline: Option<Duration>,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let (by_identity, by_guid): (Vec<_>, Vec<_>) =
        wanted.iter().copied().partition(|(_, whose)| matches!(whose, Whose::Identity(_)));
    let mut ordered = false;
    for part in [by_identity, by_guid] {
        if part.is_empty() {
            continue;
        }
        match order_part(api, &part, deadline, outcomes).await {
            Ok(()) => ordered = true,
            // What was ordered stays told; the rest is unknown, and ordered again.
            Err(_) if ordered => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn order_part(
    api: &Api,
    part: &[(usize, Whose<'_>)],
    deadline: Option<Duration>,
    outcomes: &mut Outcomes,
) -> Result<()> {
    // Asked before the order: afterwards nobody knows whose devices they were.
    let mut before = vec![];
    for (_, whose) in part {
        let found = match deadline {
            Some(_) => profile::find(api, whose.by()).await?,
            None => None,
        };
        before.push(found.map(|found| devices_of(&found, &api.account().redactor())));
    }
    let name = part.first().map_or("identity", |(_, whose)| whose.parts().0);
    let ids: Vec<_> = part.iter().map(|(_, whose)| whose.parts().1).collect();
    let (observed, date) = api.observed();
    let request = observed.post(["1", "delete", "profiles.json"]).json(&json!({ (name): ids }));
    let answer = answer::send(request, ORDER).await?;
    answer::succeeded(&answer)?;
    let at = date.date().unwrap_or_else(|| api.now());
    for ((index, whose), devices) in part.iter().zip(before) {
        let (name, id) = whose.parts();
        let outcome = match deadline {
            None => told("submitted", *whose, at),
            Some(deadline) => {
                let id = Some(id.to_owned());
                let (identity, guid) = if name == "guid" { (None, id) } else { (id, None) };
                let (absent, devices) = (devices.is_none(), devices.unwrap_or_default());
                let ordered = Ordered { identity, guid, at: at.secs(), absent, devices };
                parked(&ordered, api, deadline)?
            }
        };
        outcomes.set(*index, outcome);
    }
    Ok(())
}

/// Asks for the profile that is to go.
pub(crate) async fn check(api: &Api, token: &str, refuse_recreated: bool) -> Result<Outcome> {
    let ordered: Option<Ordered> = serde_json::from_str(token).ok();
    let Some((ordered, whose)) = ordered.as_ref().and_then(|it| Some((it, it.whose()?))) else {
        return Ok(rejections::BAD_TOKEN.because("what waits was written by another version"));
    };
    let (observed, date) = api.observed();
    let found = profile::find(&observed, whose.by()).await?;
    let now = date.date().unwrap_or_else(|| api.now());
    match found {
        None => Ok(told("confirmed", whose, now)),
        Some(profile) if !is_new(&profile, ordered, &api.account().redactor()) => {
            // The deadline stays the first one.
            parked(ordered, api, Duration::from_secs(24 * 3600))
        }
        Some(_) if refuse_recreated => Ok(rejections::RECREATED
            .because("the profile was deleted, and there is a new one with the same id")),
        Some(_) => Ok(recreated(told("confirmed", whose, now))),
    }
}

/// Whether a profile that is there was created after the deletion: there was none before; it has devices, and none of those
/// before; or it has events, and all began later. What has neither is taken for the old one.
fn is_new(profile: &Value, ordered: &Ordered, redactor: &Redactor) -> bool {
    if ordered.absent {
        return true;
    }
    let devices = devices_of(profile, redactor);
    if !devices.is_empty() && !ordered.devices.is_empty() {
        return devices.is_disjoint(&ordered.devices);
    }
    let events = profile.get("events").and_then(Value::as_object);
    let mut began = events.into_iter().flatten().map(|(_, seen)| seen.get("first_seen")?.as_i64());
    let mut any = false;
    let all_later = began.all(|first| {
        any = true;
        first.is_some_and(|first| first > ordered.at)
    });
    any && all_later
}

/// The ids of a profile's devices; what a system says is kept without the account's secrets.
fn devices_of(profile: &Value, redactor: &Redactor) -> BTreeSet<String> {
    let platforms = profile.get("platformInfo").and_then(Value::as_array);
    let ids = platforms.into_iter().flatten().filter_map(|it| it.get("objectId")?.as_str());
    ids.take(MOST_DEVICES).map(|id| redactor.redact(id)).collect()
}

fn parked(ordered: &Ordered, api: &Api, deadline: Duration) -> Result<Outcome> {
    let token = serde_json::to_string(ordered);
    let token = token.map_err(|error| Error::config(format!("the token: {error}")))?;
    let [shortest, longest] = WAITS;
    let waited = api.now().since(Timestamp::from_secs(ordered.at));
    Ok(Outcome::Parked { token, check_after: waited.clamp(shortest, longest), deadline })
}

/// What is told of a deletion, in the words of the delete protocol: `delete` and `timestamp`, in
/// epoch milliseconds.
fn told(delete: &str, whose: Whose<'_>, at: Timestamp) -> Outcome {
    let (name, id) = whose.parts();
    let value = json!({ "delete": delete, "timestamp": at.millis(), (name): id });
    Outcome::Done { value, target_key: Some(id.to_owned()) }
}

fn recreated(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Done { mut value, target_key } => {
            if let Some(told) = value.as_object_mut() {
                told.insert("recreated".to_owned(), json!(true));
            }
            Outcome::Done { value, target_key }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_profile_is_told_from_the_old_one() {
        let at = 1_000;
        let devices =
            |ids: &[&str]| -> BTreeSet<String> { ids.iter().map(|id| (*id).to_owned()).collect() };
        let platforms =
            |ids: &[&str]| ids.iter().map(|id| json!({ "objectId": id })).collect::<Vec<_>>();
        let seen = |first: i64| json!({ "App Launched": { "count": 1, "first_seen": first } });
        for (before, now, events, expected) in [
            // Devices decide where both have some.
            (&["a", "b"][..], &["b"][..], json!({}), false),
            (&["a", "b"], &["c"], json!({}), true),
            (&["a"], &["a", "c"], seen(2_000), false),
            // Otherwise the beginning of all events does.
            (&[], &["c"], seen(2_000), true),
            (&["a"], &[], seen(2_000), true),
            (&[], &[], seen(999), false),
            (&[], &[], seen(1_000), false),
            (&[], &[], json!({ "A": { "first_seen": 2_000 }, "B": { "first_seen": 5 } }), false),
            // Nothing tells: it is still there.
            (&[], &[], json!({}), false),
            (&[], &[], json!({ "A": {} }), false),
            (&[], &["c"], Value::Null, false),
        ] {
            let ordered =
                Ordered { identity: None, guid: None, at, absent: false, devices: devices(before) };
            let profile = json!({ "platformInfo": platforms(now), "events": events });
            assert_eq!(
                is_new(&profile, &ordered, &Redactor::default()),
                expected,
                "{before:?} {profile}"
            );
            let absent = Ordered { absent: true, ..ordered };
            assert!(is_new(&profile, &absent, &Redactor::default()));
        }
    }
}
