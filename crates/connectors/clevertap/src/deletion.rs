//! Deletions: ordered for many profiles at once, and asked after one by one.

use std::collections::BTreeSet;
use std::time::Duration;

use connector::Redactor;
use connector::prelude::*;

use crate::answer;
use crate::call::{self, Uncoded};
use crate::profile::{self, By, Found};
use crate::rejections;

const ORDER: &str = "POST /1/delete/profiles.json";

/// The code of a refusal that there is no such profile.
const NOT_THERE: &str = "http404";

/// A profile is asked for again after as long as it has been waiting, within these bounds.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3600)];

/// Said again of what waits on; the deadline stays the first one.
const LATER: Duration = Duration::from_secs(24 * 3600);

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
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Ordered {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guid: Option<String>,
    /// When CleverTap took the order, by its own clock where it told it: epoch seconds.
    at: i64,
    /// The same by our clock, where that is another time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ours: Option<i64>,
    /// There was no profile then, and CleverTap said so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    absent: bool,
    /// The devices of the profile that was to go.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    devices: BTreeSet<String>,
    /// When the first of its events was, in epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<i64>,
    /// The last question was answered as if it was gone, though without saying so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    missed: bool,
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
        before.push(match deadline {
            Some(_) => profile::find(api, whose.by()).await?,
            None => Found::Doubtful,
        });
    }
    let name = part.first().map_or("identity", |(_, whose)| whose.parts().0);
    let ids: Vec<_> = part.iter().map(|(_, whose)| whose.parts().1).collect();
    let (observed, date) = api.observed();
    let request = observed.post(["1", "delete", "profiles.json"]).json(&json!({ (name): ids }));
    let answer = call::send_as(api, request, ORDER, Uncoded::ByWords).await;
    let at = date.date().unwrap_or_else(|| api.now());
    match (answer, part) {
        (Ok(answer), _) => answer::succeeded(&answer, ORDER)?,
        // Of one alone it says that there is nothing to delete, unless the profile was found a moment
        // before; of several a smaller order tells whom.
        (Err(Error::Reject { code, reason }), [(index, whose)])
            if says_missing(&code, &reason)
                && !before.iter().any(|it| matches!(it, Found::Profile(_))) =>
        {
            outcomes.set(*index, told("confirmed", *whose, at));
            return Ok(());
        }
        (Err(error), _) => return Err(error),
    }
    let redactor = api.account().redactor();
    for ((index, whose), before) in part.iter().zip(before) {
        let (name, id) = whose.parts();
        let outcome = match deadline {
            None => told("submitted", *whose, at),
            Some(deadline) => {
                let id = Some(id.to_owned());
                let (identity, guid) = if name == "guid" { (None, id) } else { (id, None) };
                let ours = Some(api.now().secs()).filter(|ours| *ours != at.secs());
                let absent = matches!(before, Found::Missing);
                let before = before.profile();
                let devices = before.as_ref().map(|before| devices_of(before, &redactor));
                let ordered = Ordered {
                    identity,
                    guid,
                    at: at.secs(),
                    ours,
                    absent,
                    devices: devices.into_iter().flatten().take(MOST_DEVICES).collect(),
                    began: before.as_ref().and_then(|before| beginnings(before)?.into_iter().min()),
                    missed: false,
                };
                parked(&ordered, api, deadline)?
            }
        };
        outcomes.set(*index, outcome);
    }
    Ok(())
}

/// Whether a refusal of the order says that there is no such profile: by its code, or by its words. The
/// order's own name is none of these.
fn says_missing(code: &str, reason: &str) -> bool {
    code == NOT_THERE || reason.strip_prefix(ORDER).is_some_and(profile::says_missing)
}

/// Asks for the profile that is to go.
pub(crate) async fn check(api: &Api, token: &str, refuse_recreated: bool) -> Result<Outcome> {
    let ordered: Option<Ordered> = serde_json::from_str(token).ok();
    let Some((ordered, whose)) = ordered.as_ref().and_then(|it| Some((it, it.whose()?))) else {
        return Ok(rejections::BAD_TOKEN.because("what waits was written by another version"));
    };
    let waits = |missed| parked(&Ordered { missed, ..ordered.clone() }, api, LATER);
    let (observed, date) = api.observed();
    let found = match profile::find(&observed, whose.by()).await {
        // The deletion is ordered all the same: that a question is refused ends nothing.
        Err(Error::Reject { reason, .. }) => return Err(Error::retry(reason)),
        found => found?,
    };
    let now = date.date().unwrap_or_else(|| api.now());
    match found {
        Found::Missing => Ok(told("confirmed", whose, now)),
        // An answer that does not say it has to come twice.
        Found::Doubtful if ordered.missed => Ok(told("confirmed", whose, now)),
        Found::Doubtful => waits(true),
        Found::Profile(profile) if !is_new(&profile, ordered, &api.account().redactor()) => {
            waits(false)
        }
        Found::Profile(_) if refuse_recreated => Ok(rejections::RECREATED
            .because("the profile was deleted, and there is a new one with the same id")),
        Found::Profile(_) => Ok(recreated(told("confirmed", whose, now))),
    }
}

/// Whether a profile that is there was created after the deletion.
///
/// What began before it is the old one's. Beyond that it takes a sign that something is gone: the old
/// one had events before, and now all began later; or both have devices, and none is the same; or there
/// was no profile at all, and there are events now. A profile that only got more is the old one.
fn is_new(profile: &Value, ordered: &Ordered, redactor: &Redactor) -> bool {
    let Some(beginnings) = beginnings(profile) else { return false };
    if beginnings.iter().any(|began| *began <= ordered.at) {
        return false;
    }
    let had_events = ordered.began.is_some_and(|began| began <= ordered.at);
    if !beginnings.is_empty() && (had_events || ordered.absent) {
        return true;
    }
    let devices = devices_of(profile, redactor);
    !devices.is_empty() && !ordered.devices.is_empty() && devices.is_disjoint(&ordered.devices)
}

/// When the first event of each name was, in epoch seconds; `None` if one of them does not say.
fn beginnings(profile: &Value) -> Option<Vec<i64>> {
    let events = profile.get("events").and_then(Value::as_object);
    let events = events.into_iter().flatten();
    events.map(|(_, seen)| seen.get("first_seen")?.as_i64()).collect()
}

/// The ids of a profile's devices; what a system says is kept without the account's secrets.
fn devices_of(profile: &Value, redactor: &Redactor) -> BTreeSet<String> {
    let platforms = profile.get("platformInfo").and_then(Value::as_array);
    let ids = platforms.into_iter().flatten().filter_map(|it| it.get("objectId")?.as_str());
    ids.map(|id| redactor.redact(id)).collect()
}

fn parked(ordered: &Ordered, api: &Api, deadline: Duration) -> Result<Outcome> {
    let token = serde_json::to_string(ordered);
    let token = token.map_err(|error| Error::config(format!("the token: {error}")))?;
    let [shortest, longest] = WAITS;
    let waited = api.now().since(Timestamp::from_secs(ordered.ours.unwrap_or(ordered.at)));
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
        let devices =
            |ids: &[&str]| -> BTreeSet<String> { ids.iter().map(|id| (*id).to_owned()).collect() };
        let platforms =
            |ids: &[&str]| ids.iter().map(|id| json!({ "objectId": id })).collect::<Vec<_>>();
        let seen = |first: i64| json!({ "App Launched": { "count": 1, "first_seen": first } });
        let (early, late) = (Some(5), None);
        for (before, began, now, events, expected) in [
            // What began before is the old one's, whatever the devices are.
            (&["a"][..], early, &["c"][..], seen(1_000), false),
            (
                &["a"],
                early,
                &["c"],
                json!({ "A": { "first_seen": 2_000 }, "B": { "first_seen": 5 } }),
                false,
            ),
            // What had a history and has none of it any more is another one, on the same device too.
            (&["a"], early, &["a", "c"], seen(2_000), true),
            (&[], early, &[], seen(2_000), true),
            // What had none may have got one.
            (&["a"], late, &["a", "c"], seen(2_000), false),
            (&[], late, &["c"], seen(2_000), false),
            (&["a"], late, &[], seen(2_000), false),
            // Devices tell where both have some.
            (&["a", "b"], early, &["b"], json!({}), false),
            (&["a", "b"], early, &["c"], json!({}), true),
            (&["a"], late, &["c"], seen(2_000), true),
            // Nothing tells: it is still there.
            (&[], early, &[], json!({}), false),
            (&[], early, &["c"], Value::Null, false),
            (&["a"], early, &["c"], json!({ "A": {} }), false),
        ] {
            let ordered =
                Ordered { at: 1_000, began, devices: devices(before), ..Ordered::default() };
            let profile = json!({ "platformInfo": platforms(now), "events": events });
            let told = is_new(&profile, &ordered, &Redactor::default());
            assert_eq!(told, expected, "{before:?} {began:?} {profile}");
        }
        let absent = Ordered { at: 1_000, absent: true, ..Ordered::default() };
        for (events, expected) in [(seen(2_000), true), (seen(999), false), (json!({}), false)] {
            let profile = json!({ "platformInfo": platforms(&["a"]), "events": events });
            assert_eq!(is_new(&profile, &absent, &Redactor::default()), expected, "{profile}");
        }
        // Of many devices some are remembered, and all are compared.
        let many: Vec<_> = (0..45).map(|n| format!("d{n}")).collect();
        let some = Ordered { at: 1_000, devices: [many[44].clone()].into(), ..Ordered::default() };
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let profile = json!({ "platformInfo": platforms(&many), "events": {} });
        assert!(!is_new(&profile, &some, &Redactor::default()));
    }
}
