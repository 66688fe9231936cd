//! `demergeProfiles`: takes identities apart that CleverTap put together.

use connector::prelude::*;

use crate::answer::{self, Sent};
use crate::call::{self, Uncoded};
use crate::{record, rejections};

const PATH: &str = "POST /1/demerge/profiles.json";

/// Takes identities out of the profiles that CleverTap merged them into, so that each is a profile
/// of its own. One that is on its own already stays so.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DemergeProfiles {}

/// An identity to take out.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "identity": "279" }]))]
pub(crate) struct Merged {
    /// Your own id of the person, a text or a whole number.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
}

#[async_trait]
impl Action for DemergeProfiles {
    type Input = Merged;
    const MAX_BATCH: usize = 100;
    const REJECTIONS: &'static [Rejection] = rejections::DEMERGE;

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Merged>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let mut sent = vec![];
        for (index, item) in batch.items.iter().enumerate() {
            match &item.input.identity {
                Some(id) => sent.push(Sent { index, identifier: ("identity", id) }),
                None => outcomes.set(index, rejections::NO_ID.because("there is no identity")),
            }
        }
        if sent.is_empty() {
            return Ok(outcomes);
        }
        let identities: Vec<_> = sent.iter().map(|sent| sent.identifier.1).collect();
        let request = api.post(["1", "demerge", "profiles.json"]);
        let request = request.json(&json!({ "identities": identities }));
        let answer = call::send_as(api, request, PATH, Uncoded::ByWords).await?;
        answer::settle_list(&answer, &sent, PATH, &mut outcomes)?;
        Ok(outcomes)
    }
}
