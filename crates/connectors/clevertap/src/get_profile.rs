//! `getProfile`: looks up what CleverTap knows of a person.

use connector::prelude::*;

use crate::profile::{self, By};
use crate::{record, rejections};

/// Looks up a profile, for steps behind it: `$steps.ID.record` is the profile as CleverTap gives it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "by": "email", "missing": "goOn" }]))]
pub(crate) struct GetProfile {
    /// What the default mapping looks it up by: the record's id as the person's `identity`, the
    /// contact's first `email` address, or the record's id as the `objectId` of a device.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.by`")]
    by: Key,
    /// What becomes of a message whose profile is not there.
    #[serde(default)]
    missing: Missing,
}

/// What a profile is looked up by.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Key {
    /// Your own id of the person.
    #[default]
    Identity,
    /// An e-mail address.
    Email,
    /// CleverTap's own id of a device.
    ObjectId,
}

/// What becomes of a message whose profile is not there.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Missing {
    /// It is refused, and becomes a dead letter.
    #[default]
    Reject,
    /// It goes on with `{ "found": false }`.
    GoOn,
}

/// Whose profile, by exactly one of the three.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "identity": "279" }]))]
pub(crate) struct Whose {
    /// Your own id of the person, a text or a whole number.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// An e-mail address of the person.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// CleverTap's own id of a device of the person.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    object_id: Option<String>,
}

const NOT_FOUND: Rejection = Rejection::new(
    "notFound",
    "CleverTap has no such profile",
    "upload it first, or let the message go on by `missing: goOn`",
);

const NO_KEY: Rejection = Rejection::new(
    rejections::NO_IDENTITY.code,
    "the mapping gave none of `identity`, `email` and `objectId`; nothing was asked",
    "filter such messages out with `when`, or give one in `customMapping`",
);

const SEVERAL_KEYS: Rejection = Rejection::new(
    rejections::SEVERAL_IDENTITIES.code,
    "the mapping gave more than one of them; nothing was asked",
    "leave all but one out of `customMapping`",
);

impl Whose {
    fn by(&self) -> Result<By<'_>, Outcome> {
        let identity = self.identity.as_deref().map(By::Identity);
        let email = self.email.as_deref().map(By::Email);
        let device = self.object_id.as_deref().map(By::ObjectId);
        let mut given = [identity, email, device].into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(by), None) => Ok(by),
            (None, _) => Err(NO_KEY.because("there is none of identity, email and objectId")),
            (Some(_), Some(_)) => {
                Err(SEVERAL_KEYS.because("there is more than one of identity, email and objectId"))
            }
        }
    }
}

#[async_trait]
impl Action for GetProfile {
    type Input = Whose;
    const REJECTIONS: &'static [Rejection] =
        &[NO_KEY, SEVERAL_KEYS, NOT_FOUND, rejections::BAD_REQUEST];

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Whose>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            let outcome = match item.input.by() {
                Err(outcome) => outcome,
                Ok(by) => match profile::find(api, by).await?.profile() {
                    Some(record) => Outcome::done(json!({ "found": true, "record": record })),
                    None if self.missing == Missing::GoOn => {
                        Outcome::done(json!({ "found": false }))
                    }
                    None => NOT_FOUND.because(NOT_FOUND.meaning),
                },
            };
            outcomes.set(index, outcome);
        }
        Ok(outcomes)
    }
}
