//! `subscribe`: stops messages to addresses and numbers, and starts them again.

use connector::prelude::*;

use crate::answer::{self, Sent};
use crate::call::{self, Uncoded};
use crate::{checks, record, rejections};

const PATH: &str = "POST /1/subscribe";

/// Says of addresses and numbers whether CleverTap may send to them. One that is so already stays as
/// it is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "channel": "email", "status": "unsubscribe" }]))]
pub(crate) struct Subscribe {
    /// What the default mapping takes of the contact.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it")]
    channel: Channel,
    /// What all become. Without it the default mapping goes by the contact's `consent`: `given` is
    /// subscribed, `withdrawn` is not.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it")]
    status: Option<Wish>,
}

/// By what people are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Channel {
    /// An e-mail address.
    #[default]
    Email,
    /// A phone number, for text messages.
    Phone,
    /// A phone number, for WhatsApp.
    Whatsapp,
}

/// What is to be, as a field says it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Wish {
    /// CleverTap sends nothing more.
    Unsubscribe,
    /// CleverTap may send again.
    Resubscribe,
}

/// An address or a number, and what is to be.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "type": "email", "value": "ada@example.com", "status": "Unsubscribe"
}]))]
pub(crate) struct Subscription {
    /// What `value` is.
    #[serde(rename = "type", default)]
    kind: Channel,
    /// The address, or the number with `+` and the country's code.
    #[serde(default, deserialize_with = "record::trimmed")]
    value: String,
    /// What is to be; without it the message is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

/// What is to be, in CleverTap's words.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
enum Status {
    /// CleverTap sends nothing more.
    Unsubscribe,
    /// CleverTap may send again.
    Resubscribe,
}

impl Subscription {
    fn refusal(&self) -> Option<Outcome> {
        if self.value.is_empty() {
            return Some(rejections::NO_VALUE.because("there is no address and no number"));
        }
        if self.kind != Channel::Email && !checks::is_phone(&self.value) {
            return Some(rejections::BAD_PHONE.because(
                "the number is not `+`, the country's code and the number, digits alone",
            ));
        }
        let why = "nothing says whether to subscribe";
        self.status.is_none().then(|| rejections::NO_STATUS.because(why))
    }
}

#[async_trait]
impl Action for Subscribe {
    type Input = Subscription;
    const MAX_BATCH: usize = 1000;
    const REJECTIONS: &'static [Rejection] = rejections::SUBSCRIBE;

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Subscription>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let mut sent = vec![];
        let mut d = vec![];
        for (index, item) in batch.items.iter().enumerate() {
            let input = &*item.input;
            match input.refusal() {
                Some(refusal) => outcomes.set(index, refusal),
                None => {
                    sent.push(Sent { index, identifier: ("value", &input.value) });
                    d.push(input);
                }
            }
        }
        if !sent.is_empty() {
            let request = api.post(["1", "subscribe"]).json(&json!({ "d": d }));
            let answer = call::send_as(api, request, PATH, Uncoded::ByWords).await?;
            answer::settle_list(&answer, &sent, PATH, &mut outcomes)?;
        }
        Ok(outcomes)
    }
}
