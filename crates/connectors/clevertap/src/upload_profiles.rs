//! `uploadProfiles`: creates profiles and changes those that are there.

use connector::prelude::*;
use serde_json::Map;

use crate::answer::Sent;
use crate::record::{self, Identifiers, Identity};
use crate::{checks, rejections};

/// Creates the profiles of people, or changes those that are there. Uploading a profile again
/// changes nothing. What CleverTap's documentation says that it refuses is not sent; a profile that
/// is refused becomes a dead letter, the others go on.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "identity": "email" }]))]
pub(crate) struct UploadProfiles {
    /// What the default mapping identifies a profile by: `recordUid`, the record's id in the
    /// system that it comes from, or `email`, the contact's first e-mail address.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.identity`")]
    identity: Identity,
    /// Has CleverTap look at the profiles, and store none of them.
    #[serde(default)]
    dry_run: bool,
    /// Takes operators other than `$add` and `$remove` as values, such as `{ "$incr": 1 }`. They count
    /// again whenever they are sent, so each profile is then sent once, and one without an answer is
    /// in doubt.
    #[serde(default)]
    increments: bool,
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
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// The person's id at Facebook.
    #[serde(
        rename = "FBID",
        default,
        deserialize_with = "record::id",
        skip_serializing_if = "Option::is_none"
    )]
    fbid: Option<String>,
    /// The person's id at Google.
    #[serde(
        rename = "GPID",
        default,
        deserialize_with = "record::id",
        skip_serializing_if = "Option::is_none"
    )]
    gpid: Option<String>,
    /// CleverTap's own id of a device of the person.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    object_id: Option<String>,
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
    fn identifiers(&self) -> Identifiers<'_> {
        [
            ("identity", &self.identity),
            ("FBID", &self.fbid),
            ("GPID", &self.gpid),
            ("objectId", &self.object_id),
        ]
    }
}

#[async_trait]
impl Action for UploadProfiles {
    type Input = Profile;
    const MAX_BATCH: usize = 1000;
    const REJECTIONS: &'static [Rejection] = rejections::PROFILES;

    fn idempotent(&self) -> bool {
        self.dry_run || !self.increments
    }

    async fn run(&self, api: &Api, batch: &Batch<Profile>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let mut sent = Vec::with_capacity(batch.items.len());
        for (index, item) in batch.items.iter().enumerate() {
            let profile = &*item.input;
            let identifier = record::identifier("profile", profile.identifiers());
            let checked = identifier.and_then(|identifier| {
                checks::time(profile.ts)?;
                checks::profile(&profile.profile_data, self.increments)?;
                Ok(identifier)
            });
            match checked {
                Ok(identifier) => sent.push(Sent { index, identifier }),
                Err(outcome) => outcomes.set(index, outcome),
            }
        }
        let profiles = sent.iter().filter_map(|sent| batch.items.get(sent.index));
        let profiles = profiles.map(|item| &*item.input).collect();
        let how = (&*sent, self.dry_run, record::uncoded(self.idempotent()));
        let uploaded = record::upload(api, profiles, how, &mut outcomes).await;
        // What may be sent again is no dead letter, and so is nothing of it in doubt.
        let all = self.idempotent() || sent.len() == batch.items.len();
        record::in_doubt_alone(uploaded, all, &mut outcomes)?;
        Ok(outcomes)
    }
}
