//! `deleteProfiles`: deletes profiles, and asks until they are gone.

use std::time::Duration;

use connector::prelude::*;

use crate::deletion::{self, Whose};
use crate::{record, rejections};

/// Deletes profiles for good, by the customer's own id of the person or by CleverTap's id of a
/// device. CleverTap takes the order at once and carries it out within 24 hours; it tells neither
/// when, nor that it did. So the message waits, and the profile is asked for until there is none. An
/// upload or a login with the same id creates a new profile at any time: take the person out of the
/// sources first.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "completion": "verified" }]))]
pub(crate) struct DeleteProfiles {
    /// When a deletion is done.
    #[serde(default)]
    completion: Completion,
    /// After how many hours a profile that is still there is refused, by `deadline`.
    #[serde(default = "hours")]
    #[schemars(range(min = 1, max = 720))]
    deadline_hours: u32,
    /// What becomes of a deletion after which the profile was created anew.
    #[serde(default)]
    recreated: Recreated,
}

/// What the documentation promises is 24 hours.
const fn hours() -> u32 {
    48
}

/// When a deletion is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Completion {
    /// As soon as CleverTap has taken it.
    Submitted,
    /// Once CleverTap finds no such profile any more.
    #[default]
    Verified,
}

/// What becomes of a deletion after which the profile is there again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Recreated {
    /// It is done, and its result says so: `recreated: true`.
    #[default]
    Confirm,
    /// It becomes a dead letter `recreated`: something goes on sending the person's data.
    Refuse,
}

/// A profile to delete, by exactly one of its ids.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "identity": "279" }]))]
pub(crate) struct Deleted {
    /// Your own id of the person, a text or a whole number.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// CleverTap's own id of a device of the person (`objectId` elsewhere).
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    guid: Option<String>,
}

impl Deleted {
    fn whose(&self) -> Result<Whose<'_>, Outcome> {
        match (&self.identity, &self.guid) {
            (Some(id), None) => Ok(Whose::Identity(id)),
            (None, Some(id)) => Ok(Whose::Guid(id)),
            (None, None) => Err(rejections::NO_ID.because("there is neither identity nor guid")),
            (Some(_), Some(_)) => Err(rejections::SEVERAL_IDS
                .because("there are both identity and guid; exactly one is needed")),
        }
    }
}

#[async_trait]
impl Action for DeleteProfiles {
    type Input = Deleted;
    const MAX_BATCH: usize = 100;
    const REJECTIONS: &'static [Rejection] = rejections::DELETE;

    fn validate(&self) -> Result<(), String> {
        if (1..=720).contains(&self.deadline_hours) {
            return Ok(());
        }
        Err("`deadlineHours` is 1 to 720: CleverTap documents 24".to_owned())
    }

    /// What is gone stays gone.
    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Deleted>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let mut wanted = vec![];
        for (index, item) in batch.items.iter().enumerate() {
            match item.input.whose() {
                Ok(whose) => wanted.push((index, whose)),
                Err(outcome) => outcomes.set(index, outcome),
            }
        }
        let verify = self.completion == Completion::Verified;
        let deadline = Duration::from_secs(u64::from(self.deadline_hours) * 3600);
        deletion::order(api, &wanted, verify.then_some(deadline), &mut outcomes).await?;
        Ok(outcomes)
    }

    async fn check(&self, api: &Api, token: &str) -> Result<Outcome> {
        deletion::check(api, token, self.recreated == Recreated::Refuse).await
    }
}
