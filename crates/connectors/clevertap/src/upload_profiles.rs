//! `uploadProfiles`: creates profiles and changes those that are there.

use connector::prelude::*;
use serde_json::Map;

use crate::{answer, rejections};

/// Creates the profiles of people, or changes those that are there. Uploading a profile again
/// changes nothing. A profile that CleverTap refuses becomes a dead letter, the others go on.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "identity": "email" }]))]
pub(crate) struct UploadProfiles {
    /// What the default mapping identifies a profile by: `recordUid`, the record's id in the
    /// system that it comes from, or `email`, the contact's first e-mail address.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.identity`")]
    identity: Identity,
}

/// What identifies a profile.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Identity {
    /// The record's id in the system that it comes from.
    #[default]
    RecordUid,
    /// The contact's first e-mail address.
    Email,
}

/// One profile, with exactly one of `identity`, `FBID`, `GPID` and `objectId`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "identity": "279",
    "profileData": { "Name": "Ada Lovelace", "Customer Type": "Platinum" }
}]))]
pub(crate) struct Profile {
    /// Your own id of the person, a text or a whole number.
    #[serde(default, deserialize_with = "id", skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<String>,
    /// The person's id at Facebook.
    #[serde(
        rename = "FBID",
        default,
        deserialize_with = "id",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) fbid: Option<String>,
    /// The person's id at Google.
    #[serde(
        rename = "GPID",
        default,
        deserialize_with = "id",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) gpid: Option<String>,
    /// CleverTap's own id of a device of the person.
    #[serde(default, deserialize_with = "id", skip_serializing_if = "Option::is_none")]
    pub(crate) object_id: Option<String>,
    /// What the record is; always `profile`.
    #[serde(rename = "type", default)]
    kind: Kind,
    /// When the profile was so, in epoch seconds; the time of the upload if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ts: Option<u64>,
    /// The profile's properties: `Name`, `Email`, `Phone` (`+` and country code), `Gender` (M or
    /// F), `DOB` (`$D_` and epoch seconds), and your own.
    profile_data: Map<String, Value>,
}

/// The kind of an upload's record.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Kind {
    /// A profile.
    #[default]
    Profile,
}

impl Profile {
    /// The identifiers that are given, by their names in the API.
    pub(crate) fn identifiers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("identity", &self.identity),
            ("FBID", &self.fbid),
            ("GPID", &self.gpid),
            ("objectId", &self.object_id),
        ]
        .into_iter()
        .filter_map(|(name, id)| Some((name, id.as_deref()?)))
    }

    /// The one identifier, or the outcome of a profile that has none or several.
    fn identifier(&self) -> Result<(&'static str, &str), Outcome> {
        let mut given = self.identifiers();
        match (given.next(), given.next()) {
            (Some(identifier), None) => Ok(identifier),
            (None, _) => Err(rejections::NO_IDENTITY
                .because("the profile has none of identity, FBID, GPID and objectId")),
            (Some((first, _)), Some((second, _))) => Err(rejections::SEVERAL_IDENTITIES.because(
                format!("the profile has both {first} and {second}; exactly one is needed"),
            )),
        }
    }
}

/// Reads an id that may be written as a number; an empty one is none.
fn id<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
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

#[derive(Serialize)]
struct Upload<'a> {
    d: Vec<&'a Profile>,
}

#[async_trait]
impl Action for UploadProfiles {
    type Input = Profile;
    const MAX_BATCH: usize = 1000;
    const REJECTIONS: &'static [Rejection] = rejections::ALL;

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Profile>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let mut sent = Vec::with_capacity(batch.items.len());
        for (index, item) in batch.items.iter().enumerate() {
            match item.input.identifier() {
                Ok(identifier) => sent.push(answer::Sent { index, identifier }),
                Err(outcome) => outcomes.set(index, outcome),
            }
        }
        if sent.is_empty() {
            return Ok(outcomes);
        }
        let profiles = sent.iter().filter_map(|sent| batch.items.get(sent.index));
        let body = Upload { d: profiles.map(|item| &*item.input).collect() };
        let request = api.post(["1", "upload"]).class("upload").json(&body);
        let answer = request.accept(StatusCode::BAD_REQUEST).send().await;
        let answer = answer.map_err(answer::explained)?;
        if answer.status() == StatusCode::BAD_REQUEST {
            return Err(answer::bad_request(&answer));
        }
        answer::settle(&answer, &sent, &mut outcomes)?;
        Ok(outcomes)
    }
}
