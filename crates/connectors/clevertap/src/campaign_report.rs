//! `campaignReport`: what became of a campaign that was created through the API.

use std::time::Duration;

use connector::prelude::*;

use crate::answer::plain;
use crate::call::{self, Uncoded};
use crate::record;

/// How long a campaign without a result is left before it is asked after again.
const RUNNING: Duration = Duration::from_secs(5 * 60);
/// One that has no result by then is given up.
const DEADLINE: Duration = Duration::from_secs(48 * 60 * 60);

/// Tells what became of a campaign: `$steps.ID` has figures such as `{ "sent": 82, "clicked": 28 }`.
/// Until there are any the message waits, for two days at most.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "campaign": "1457432766" }]))]
pub(crate) struct CampaignReport {
    /// The id of the campaign that the default mapping asks for; without it that is what the record is
    /// known by.
    #[serde(default, deserialize_with = "record::id")]
    #[schemars(with = "Option<String>")]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.campaign`")]
    campaign: Option<String>,
}

/// A campaign.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "id": "1457432766" }]))]
pub(crate) struct Campaign {
    /// Its id, as its creation gave it.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

const NO_CAMPAIGN: Rejection = Rejection::new(
    "noCampaign",
    "`id` is no number of a campaign; nothing was asked",
    "give the field `campaign`, or `id` in `customMapping`",
);

const HTTP_400: Rejection = Rejection::new(
    "http400",
    "CleverTap does not take the question: its words are in the reason",
    "give the id of a campaign that was created through the API",
);

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    error: Value,
    result: Option<Value>,
}

#[async_trait]
impl Action for CampaignReport {
    type Input = Campaign;
    const REJECTIONS: &'static [Rejection] = &[NO_CAMPAIGN, HTTP_400];

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Campaign>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            let outcome = match item.input.id.as_deref().map(str::parse) {
                Some(Ok(id)) => report(api, id).await?,
                _ => NO_CAMPAIGN.because(NO_CAMPAIGN.meaning),
            };
            outcomes.set(index, outcome);
        }
        Ok(outcomes)
    }

    async fn check(&self, api: &Api, token: &str) -> Result<Outcome> {
        match token.parse() {
            Ok(id) => report(api, id).await,
            Err(_) => Ok(NO_CAMPAIGN.because(NO_CAMPAIGN.meaning)),
        }
    }
}

/// Asks for the result. That there is none yet is said by 409, by 500 with words that say so, or by a
/// 200 with an error in it.
async fn report(api: &Api, id: u64) -> Result<Outcome> {
    let request = api.post(["1", "targets", "result.json"]).safe().json(&json!({ "id": id }));
    let early = [StatusCode::CONFLICT, StatusCode::INTERNAL_SERVER_ERROR];
    let request = early.into_iter().fold(request, connector::Request::accept);
    let label = "POST /1/targets/result.json";
    let answer = match call::send_as(api, request, label, Uncoded::ByWords).await {
        Err(Error::Reject { reason, .. } | Error::Retry { reason, .. })
            if says_not_yet(&reason) =>
        {
            return Ok(not_yet(id));
        }
        Err(Error::Reject { reason, .. }) => return Ok(HTTP_400.because(reason)),
        answer => answer?,
    };
    if answer.status() == StatusCode::CONFLICT {
        return Ok(not_yet(id));
    }
    if !answer.status().is_success() {
        let said: Option<Said> = serde_json::from_slice(answer.body()).ok();
        let early = said.is_some_and(|said| says_not_yet(&plain(&said.error)));
        return match early {
            true => Ok(not_yet(id)),
            false => Err(answer.nonsense(&format!("with a failure: {}", answer.message()))),
        };
    }
    match answer.json()? {
        Said { result: Some(Value::Object(figures)), .. } => {
            Ok(Outcome::done(Value::Object(figures)))
        }
        Said { error, .. } if says_not_yet(&plain(&error)) => Ok(not_yet(id)),
        _ => Err(answer.nonsense("without a result")),
    }
}

fn not_yet(id: u64) -> Outcome {
    Outcome::Parked { token: id.to_string(), check_after: RUNNING, deadline: DEADLINE }
}

fn says_not_yet(error: &str) -> bool {
    let error = error.to_lowercase();
    ["no result", "hasn't been completed", "has not been completed", "not completed"]
        .iter()
        .any(|words| error.contains(words))
}
