//! `disassociatePhone`: takes phone numbers off the profiles that are known by them.

use connector::prelude::*;

use crate::answer::{self, Sent};
use crate::call::{self, Uncoded};
use crate::{checks, record, rejections};

const PATH: &str = "POST /1/disassociate";

/// Takes phone numbers off the profiles that are known by them, so that whoever has the number next
/// is somebody else. It is for projects whose profiles are known by their numbers alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DisassociatePhone {}

/// A phone number.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "value": "+14155551234" }]))]
pub(crate) struct Number {
    /// What `value` is; always `phone`.
    #[serde(rename = "type", default)]
    kind: Kind,
    /// The number, with `+` and the country's code.
    #[serde(default, deserialize_with = "record::trimmed")]
    value: String,
}

/// What is taken off.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Kind {
    /// A phone number.
    #[default]
    Phone,
}

impl Number {
    fn refusal(&self) -> Option<Outcome> {
        if self.value.is_empty() {
            return Some(rejections::NO_VALUE.because("there is no number"));
        }
        let why = "the number is not `+`, the country's code and the number, digits alone";
        (!checks::is_phone(&self.value)).then(|| rejections::BAD_PHONE.because(why))
    }
}

#[async_trait]
impl Action for DisassociatePhone {
    type Input = Number;
    const MAX_BATCH: usize = 1000;
    const REJECTIONS: &'static [Rejection] = rejections::DISASSOCIATE;

    /// A number that is off stays off, until somebody is known by it again.
    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Number>) -> Result<Outcomes> {
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
            let request = api.post(["1", "disassociate"]).json(&json!({ "d": d }));
            let answer = call::send_as(api, request, PATH, Uncoded::ByWords).await?;
            answer::settle_list(&answer, &sent, PATH, &mut outcomes)?;
        }
        Ok(outcomes)
    }
}
