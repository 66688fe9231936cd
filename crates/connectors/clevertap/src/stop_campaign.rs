//! `stopCampaign`: stops a campaign.

use connector::prelude::*;

use crate::answer;
use crate::call::{self, Uncoded};
use crate::rejections;

const PATH: &str = "POST /1/targets/stop.json";

/// Stops a campaign that was created by the API. One that is stopped stays so.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopCampaign {}

/// A campaign to stop.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "id": 1_457_432_766 }]))]
pub(crate) struct Stopped {
    /// The campaign's id, a whole number or its digits: what `createCampaign` gave.
    #[serde(default, deserialize_with = "number")]
    id: Option<u64>,
}

fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let read = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    let wrong = || serde::de::Error::custom("an id of a campaign is a whole number");
    read.map(Some).ok_or_else(wrong)
}

#[async_trait]
impl Action for StopCampaign {
    type Input = Stopped;
    const REJECTIONS: &'static [Rejection] = rejections::STOP;

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Stopped>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            let Some(id) = item.input.id else {
                outcomes.set(index, rejections::NO_CAMPAIGN.because("there is no id"));
                continue;
            };
            let request = api.post(["1", "targets", "stop.json"]).json(&json!({ "id": id }));
            let answer = call::send_as(api, request, PATH, Uncoded::ByWords).await?;
            answer::succeeded(&answer, PATH)?;
            let (value, target_key) = (json!({ "id": id }), Some(id.to_string()));
            outcomes.set(index, Outcome::Done { value, target_key });
        }
        Ok(outcomes)
    }
}
