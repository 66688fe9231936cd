//! `sendToUsers`: sends a message to people, by one channel.

use connector::prelude::*;
use serde_json::Map;

use crate::record::{self, Identity};
use crate::{recipients, rejections};

/// Sends each person a message by one channel. People who get the same share a call of up to 1,000.
/// CleverTap puts it into its queue, and sends once more what is handed over again: each call is
/// written down before it is sent, one after another, and what got no answer is held as a dead letter
/// `inDoubt` (`inDoubt: resend` changes that).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "channel": "email",
    "providerNickName": "Provider 1",
    "content": { "subject": "Welcome", "body": "<div>Hello</div>" }
}]))]
pub(crate) struct SendToUsers {
    /// By what the message goes.
    channel: Channel,
    /// What it says, in CleverTap's words for the channel, where a message says nothing of its own.
    #[serde(default)]
    content: Map<String, Value>,
    /// The group of tags that CleverTap counts it under.
    #[serde(default)]
    tag_group: Option<String>,
    /// Whether it counts, and waits, by the project's frequency caps.
    #[serde(default)]
    respect_frequency_caps: Option<bool>,
    /// The provider that sends it, by its name in CleverTap.
    #[serde(default)]
    provider_nick_name: Option<String>,
    /// What the default mapping names a person by: `recordUid`, the record's id in the system that it
    /// comes from, or `email`, the contact's first e-mail address.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.identity`")]
    identity: Identity,
}

/// By what a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Channel {
    /// Push to apps.
    Push,
    /// E-mail.
    Email,
    /// Text message.
    Sms,
    /// Push to browsers.
    Webpush,
    /// WhatsApp.
    Whatsapp,
}

impl Channel {
    /// The path's last segment, and the request's name.
    const fn path(self) -> (&'static str, &'static str) {
        match self {
            Self::Push => ("push.json", "POST /1/send/push.json"),
            Self::Email => ("email.json", "POST /1/send/email.json"),
            Self::Sms => ("sms.json", "POST /1/send/sms.json"),
            Self::Webpush => ("webpush.json", "POST /1/send/webpush.json"),
            Self::Whatsapp => ("whatsapp.json", "POST /1/send/whatsapp.json"),
        }
    }
}

/// Whom the message is for, by exactly one id, and what it says.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "identity": "279" }]))]
pub(crate) struct Message {
    /// Your own id of the person, a text or a whole number.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// The person's e-mail address.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    email: Option<String>,
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
    #[serde(
        rename = "objectId",
        default,
        deserialize_with = "record::id",
        skip_serializing_if = "Option::is_none"
    )]
    object_id: Option<String>,
    /// What the message says, in place of the field `content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<Map<String, Value>>,
}

impl Message {
    /// What it says, where the field `content` says this.
    fn says<'a>(&'a self, content: &'a Map<String, Value>) -> &'a Map<String, Value> {
        self.content.as_ref().unwrap_or(content)
    }

    fn recipient(&self) -> Result<recipients::Recipient<'_>, Outcome> {
        recipients::one([
            ("Identity", &self.identity),
            ("Email", &self.email),
            ("FBID", &self.fbid),
            ("GPID", &self.gpid),
            ("objectId", &self.object_id),
        ])
    }
}

#[async_trait]
impl Action for SendToUsers {
    type Input = Message;
    const MAX_BATCH: usize = 1000;
    const REJECTIONS: &'static [Rejection] = rejections::SEND;

    fn idempotent(&self) -> bool {
        false
    }

    fn shares(&self, message: &Item<Message>) -> Option<String> {
        serde_json::to_string(message.input.says(&self.content)).ok()
    }

    async fn run(&self, api: &Api, batch: &Batch<Message>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let mut recipients = vec![];
        // All messages of the batch say the same.
        let first = batch.items.first();
        let content = first.map_or(&self.content, |it| it.input.says(&self.content));
        for (index, item) in batch.items.iter().enumerate() {
            match item.input.recipient() {
                Err(refusal) => outcomes.set(index, refusal),
                Ok(_) if content.is_empty() => {
                    let why = "neither the message nor the field `content` says anything";
                    outcomes.set(index, rejections::NO_CONTENT.because(why));
                }
                Ok(recipient) => recipients.push((index, recipient)),
            }
        }
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            body.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("tag_group", self.tag_group.as_deref().map(Value::from));
        put("respect_frequency_caps", self.respect_frequency_caps.map(Value::from));
        put("provider_nick_name", self.provider_nick_name.as_deref().map(Value::from));
        put("content", Some(Value::Object(content.clone())));
        let (path, label) = self.channel.path();
        let path = (&["1", "send", path][..], label);
        recipients::send(api, path, body, &recipients, &mut outcomes).await?;
        Ok(outcomes)
    }
}
