//! `uploadDeviceTokens`: says by which tokens devices are reached.

use connector::prelude::*;

use crate::answer::Sent;
use crate::{record, rejections};

/// Tells CleverTap the push tokens of devices that it knows. A token that is uploaded again changes
/// nothing.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "dryRun": true }]))]
pub(crate) struct UploadDeviceTokens {
    /// Has CleverTap look at the tokens, and store none of them.
    #[serde(default)]
    dry_run: bool,
}

/// A device and its token.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "objectId": "__g0123456789abcdef",
    "tokenData": { "id": "frfsgvrwe:APA91b", "type": "fcm" }
}]))]
pub(crate) struct Device {
    /// What the record is; always `token`.
    #[serde(rename = "type", default)]
    kind: Kind,
    /// The token.
    #[serde(default)]
    token_data: Data,
    /// CleverTap's own id of the device.
    #[serde(default)]
    object_id: String,
}

/// The kind of an upload's record.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Kind {
    /// A token.
    #[default]
    Token,
}

/// A push token.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Data {
    /// The token itself.
    #[serde(default)]
    id: String,
    /// Whose it is: `chrome`, `fcm`, `gcm`, `apns`, `wns`, `mpns`, or another one that CleverTap takes.
    #[serde(rename = "type", default)]
    kind: String,
    /// The keys of a subscription of `chrome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Keys>,
}

/// The keys of a web push subscription.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The public key, in Base64.
    p256dh: String,
    /// The authentication secret, in Base64.
    auth: String,
}

impl Device {
    /// What is missing. Which kinds there are, and which of them have keys, CleverTap says: no list of
    /// them is known to be whole.
    fn refusal(&self) -> Option<Outcome> {
        let Data { id, kind, .. } = &self.token_data;
        if self.object_id.trim().is_empty() {
            return Some(rejections::NO_DEVICE.because("there is no `objectId`"));
        }
        if id.trim().is_empty() {
            return Some(rejections::NO_TOKEN.because("`tokenData` has no `id`"));
        }
        kind.trim().is_empty().then(|| rejections::NO_TYPE.because("`tokenData` has no `type`"))
    }
}

#[async_trait]
impl Action for UploadDeviceTokens {
    type Input = Device;
    /// What the documentation says is not known; a client of the vendor's sends 100.
    const MAX_BATCH: usize = 100;
    const REJECTIONS: &'static [Rejection] = rejections::TOKENS;

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<Device>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let mut sent = vec![];
        let mut devices = vec![];
        for (index, item) in batch.items.iter().enumerate() {
            let device = &*item.input;
            match device.refusal() {
                Some(refusal) => outcomes.set(index, refusal),
                None => {
                    sent.push(Sent { index, identifier: ("objectId", &device.object_id) });
                    devices.push(device);
                }
            }
        }
        let how = (&*sent, self.dry_run, record::uncoded(self.idempotent()));
        record::upload(api, devices, how, &mut outcomes).await?;
        Ok(outcomes)
    }
}
