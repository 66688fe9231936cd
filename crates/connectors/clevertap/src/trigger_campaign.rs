//! `triggerCampaign`: sets a campaign off, for people or by a business event.

use connector::prelude::*;
use serde_json::Map;

use crate::record::{self, Identity};
use crate::{answer, call, recipients, rejections};

const EXTERNAL: &str = "POST /1/send/externaltrigger.json";
const BULLETIN: &str = "POST /1/targets/trigger.json";

/// Sets off a campaign that waits for it: with `campaignId` for the people that the messages name,
/// with `businessEvent` for whom the campaign is meant. CleverTap does so whenever it is told: each
/// call is written down before it is sent, one after another, and what got no answer is held as a
/// dead letter `inDoubt` (`inDoubt: resend` changes that).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "campaignId": "1457432766" }]))]
pub(crate) struct TriggerCampaign {
    /// The id of the campaign that is set off for people. Messages with the same `properties` share a
    /// call.
    #[serde(default, deserialize_with = "record::id")]
    campaign_id: Option<String>,
    /// The business event that is raised, as the dashboard names it; the campaigns that wait for it go
    /// to their own people. A call a message.
    #[serde(default)]
    business_event: Option<String>,
    /// Who raises the business event: an address that CleverTap notes (`c-by`).
    #[serde(default)]
    created_by: Option<String>,
    /// What the default mapping names a person by: `recordUid`, the record's id in the system that it
    /// comes from, or `email`, the contact's first e-mail address.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.identity`")]
    identity: Identity,
}

/// What sets the campaign off: with `campaignId` for whom, by exactly one id.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "identity": "279", "properties": { "voucher": "SPRING" } }]))]
pub(crate) struct Cause {
    /// Your own id of the person, a text or a whole number.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// The person's e-mail address.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// CleverTap's own id of a device of the person.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    object_id: Option<String>,
    /// Of a business event: its name in the dashboard's list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// What the campaign may show; texts alone with a business event.
    #[serde(default)]
    properties: Map<String, Value>,
    /// Of a business event: `now` or epoch seconds; now if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<Value>,
}

impl Cause {
    /// The body of a business event.
    fn bulletin(&self, event: &str, created_by: Option<&str>) -> Result<Value, Outcome> {
        let Some(name) = self.name.as_deref().filter(|name| !name.trim().is_empty()) else {
            return Err(rejections::CAMPAIGN_NAME.because("the business event has no `name`"));
        };
        if let Some((key, _)) = self.properties.iter().find(|(_, value)| !value.is_string()) {
            let why = format!("the property \"{key}\" is no text, as a business event needs it");
            return Err(rejections::BAD_PROPERTY.because(why));
        }
        let when = self.when.clone().unwrap_or_else(|| json!("now"));
        let mut body = json!({
            "business_event": event, "name": name, "properties": self.properties, "when": when,
        });
        if let (Some(body), Some(by)) = (body.as_object_mut(), created_by) {
            body.insert("c-by".to_owned(), json!(by));
        }
        Ok(body)
    }
}

#[async_trait]
impl Action for TriggerCampaign {
    type Input = Cause;
    const MAX_BATCH: usize = 1000;
    const REJECTIONS: &'static [Rejection] = rejections::TRIGGER;

    fn validate(&self) -> Result<(), String> {
        match (&self.campaign_id, &self.business_event) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            (None, None) => Err("`campaignId` or `businessEvent` is needed".to_owned()),
            (Some(_), Some(_)) => {
                Err("`campaignId` and `businessEvent` are two ways; leave one out".to_owned())
            }
        }
    }

    fn idempotent(&self) -> bool {
        false
    }

    fn shares(&self, message: &Item<Cause>) -> Option<String> {
        if self.business_event.is_some() {
            // One is raised by each message.
            return Some(message.id.to_string());
        }
        serde_json::to_string(&message.input.properties).ok()
    }

    async fn run(&self, api: &Api, batch: &Batch<Cause>) -> Result<Outcomes> {
        match (&self.business_event, &self.campaign_id) {
            (Some(event), _) => self.raise(api, event, batch).await,
            (None, campaign) => set_off(api, campaign.as_deref().unwrap_or_default(), batch).await,
        }
    }
}

impl TriggerCampaign {
    async fn raise(&self, api: &Api, event: &str, batch: &Batch<Cause>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let [item] = &*batch.items else {
            return Err(Error::config("each message raises a business event of its own"));
        };
        let body = match item.input.bulletin(event, self.created_by.as_deref()) {
            Ok(body) => body,
            Err(refusal) => {
                outcomes.set(0, refusal);
                return Ok(outcomes);
            }
        };
        let request = api.post(["1", "targets", "trigger.json"]).json(&body);
        let answer = call::send(api, request, BULLETIN).await?;
        answer::succeeded(&answer, BULLETIN)?;
        outcomes.set(0, Outcome::done(json!({ "businessEvent": event })));
        Ok(outcomes)
    }
}

async fn set_off(api: &Api, campaign: &str, batch: &Batch<Cause>) -> Result<Outcomes> {
    let mut outcomes = batch.outcomes();
    let mut recipients = vec![];
    for (index, item) in batch.items.iter().enumerate() {
        let cause = &*item.input;
        let recipient = recipients::one([
            ("identity", &cause.identity),
            ("email", &cause.email),
            ("objectId", &cause.object_id),
        ]);
        match recipient {
            Ok(recipient) => recipients.push((index, recipient)),
            Err(refusal) => outcomes.set(index, refusal),
        }
    }
    // All messages of the batch have the same properties.
    let properties = batch.items.first().map(|it| it.input.properties.clone());
    let body = Map::from_iter([
        ("campaign_id".to_owned(), json!(campaign)),
        ("ExternalTrigger".to_owned(), Value::Object(properties.unwrap_or_default())),
    ]);
    let path = (&["1", "send", "externaltrigger.json"][..], EXTERNAL);
    recipients::send(api, path, body, &recipients, &mut outcomes).await?;
    Ok(outcomes)
}
