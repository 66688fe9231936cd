//! `createCampaign`: creates a campaign, or asks how many people it would reach.

use connector::prelude::*;
use serde_json::Map;

use crate::call::{self, Uncoded};
use crate::{answer, rejections};

const PATH: &str = "POST /1/targets/create.json";

/// Creates a campaign, or with `estimate_only` asks how many people it would reach. CleverTap creates
/// another one whenever it is asked: each is written down before it is sent, and one without an answer
/// is held as a dead letter `inDoubt` (`inDoubt: resend` changes that).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateCampaign {}

/// A campaign, in CleverTap's words.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "name": "My Email API campaign",
    "target_mode": "email",
    "provider_nick_name": "Provider 1",
    "where": { "event_name": "Charged", "from": 20_171_001, "to": 20_171_220 },
    "content": { "subject": "Welcome", "body": "<div>Hello</div>", "sender_name": "Example" },
    "when": "now"
}]))]
pub(crate) struct Campaign {
    /// Its name in the dashboard.
    #[serde(default)]
    name: String,
    /// By what it goes.
    target_mode: Mode,
    /// Asks how many people it would reach, and creates nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    estimate_only: Option<bool>,
    /// Creates it as a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    draft: Option<bool>,
    /// The provider that sends it, by its name in CleverTap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider_nick_name: Option<String>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    /// Who gets it: a query in CleverTap's language. Either this or `segment`.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    query: Option<Map<String, Value>>,
    /// Who gets it: the id of a segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    segment: Option<Value>,
    /// Whether it counts, and waits, by the project's frequency caps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    respect_frequency_caps: Option<bool>,
    /// What it says, in CleverTap's words for the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<Value>,
    /// When it goes: `now`, `YYYYMMDD HH:MM`, or an object that says how it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<Value>,
    /// Of push: the devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    devices: Vec<String>,
    /// Only people of these subscription groups get it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subscription_groups: Vec<String>,
    /// Of e-mail: people who opted out get it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    send_email_to_opted_out_users: Option<bool>,
    /// Of webhooks: the endpoint, by its name in CleverTap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    webhook_endpoint_name: Option<String>,
    /// Of webhooks: what is sent, `profile-attributes`, `tokens`, `identities`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    webhook_fields: Vec<String>,
    /// Of webhooks: what else is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    webhook_key_value: Option<Map<String, Value>>,
}

/// By what a campaign goes.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Push to apps.
    Push,
    /// E-mail.
    Email,
    /// Text message.
    Sms,
    /// Push to browsers.
    WebPush,
    /// WhatsApp.
    Whatsapp,
    /// A webhook.
    Webhook,
    /// The inbox of the app.
    NotificationInbox,
}

impl Campaign {
    fn refusal(&self) -> Option<Outcome> {
        if self.name.trim().is_empty() {
            return Some(rejections::CAMPAIGN_NAME.because("the campaign has no name"));
        }
        match (&self.query, &self.segment) {
            (Some(_), None) | (None, Some(_)) => None,
            (None, None) => Some(rejections::TARGET.because("there is neither where nor segment")),
            (Some(_), Some(_)) => {
                Some(rejections::TARGET.because("there are both where and segment; one is needed"))
            }
        }
    }
}

#[derive(Deserialize)]
struct Created {
    status: String,
    id: Option<Value>,
    estimates: Option<Value>,
}

#[async_trait]
impl Action for CreateCampaign {
    type Input = Campaign;
    const REJECTIONS: &'static [Rejection] = rejections::CREATE;

    fn idempotent(&self) -> bool {
        false
    }

    async fn run(&self, api: &Api, batch: &Batch<Campaign>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            let campaign = &*item.input;
            if let Some(refusal) = campaign.refusal() {
                outcomes.set(index, refusal);
                continue;
            }
            let estimated = campaign.estimate_only == Some(true);
            let request = api.post(["1", "targets", "create.json"]).json(campaign);
            // An estimate creates nothing.
            let answer = if estimated {
                call::send_as(api, request.safe(), PATH, Uncoded::ByWords).await?
            } else {
                call::send(api, request, PATH).await?
            };
            let Created { status, id, estimates } = answer.json()?;
            let there = if estimated { estimates.is_some() } else { id.is_some() };
            if !answer::is(&status, "success") || !there {
                let what = if estimated { "an estimate" } else { "the id of a campaign" };
                return Err(answer.nonsense(&format!("without {what}")));
            }
            let target_key = id.as_ref().map(answer::plain);
            let value = json!({ "id": id, "estimates": estimates });
            outcomes.set(index, Outcome::Done { value, target_key });
        }
        Ok(outcomes)
    }
}
