//! `uploadEvents`: says what people did.

use connector::prelude::*;
use serde_json::Map;

use crate::answer::Sent;
use crate::record::{self, Identifiers, Identity};
use crate::{checks, rejections, settings};

/// Raises an event for each message: something that a person did. CleverTap counts every event that
/// arrives, a repeated one twice: each is written down before it is sent, and one without an answer
/// is held as a dead letter `inDoubt` instead of being sent again (`inDoubt: resend` changes that).
/// What CleverTap's documentation says that it refuses is not sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "event": "Newsletter joined", "source": "ExamplePartner" }]))]
pub(crate) struct UploadEvents {
    /// The event's name as the dashboard shows it: what the default mapping gives, and
    /// `customMapping` may read as `$fields.event`.
    event: String,
    /// What the default mapping identifies a person by: `recordUid`, the record's id in the system
    /// that it comes from, or `email`, the contact's first e-mail address.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it as `$fields.identity`")]
    identity: Identity,
    /// Your partner id, sent as `$source` with every event that names no other: CleverTap asks its
    /// partners for it, and allows only ids that it knows. Without it the account's `partnerId` is.
    #[serde(default)]
    source: Option<String>,
    /// Has CleverTap look at the events, and count none of them.
    #[serde(default)]
    dry_run: bool,
}

/// One event, with exactly one of `identity`, `FBID`, `GPID` and `objectId`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "identity": "279",
    "evtName": "Newsletter joined",
    "evtData": { "Category": "Customer" }
}]))]
pub(crate) struct Event {
    /// Your own id of the person, a text or a whole number.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
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
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    object_id: Option<String>,
    /// What the record is; always `event`.
    #[serde(rename = "type", default)]
    kind: Kind,
    /// When it happened, in epoch seconds; the time of the upload if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ts: Option<u64>,
    /// The event's name.
    evt_name: String,
    /// The event's properties; dates are `$D_` and epoch seconds.
    #[serde(default)]
    evt_data: Map<String, Value>,
    /// The partner that raises it, in place of the field `source`.
    #[serde(
        rename = "$source",
        default,
        deserialize_with = "record::id",
        skip_serializing_if = "Option::is_none"
    )]
    source: Option<String>,
}

/// The kind of an upload's record.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Kind {
    /// An event.
    #[default]
    Event,
}

impl Event {
    fn identifiers(&self) -> Identifiers<'_> {
        [
            ("identity", &self.identity),
            ("FBID", &self.fbid),
            ("GPID", &self.gpid),
            ("objectId", &self.object_id),
        ]
    }
}

/// An event on the wire, which names its partner.
#[derive(Serialize)]
struct Named<'a> {
    #[serde(flatten)]
    event: &'a Event,
    #[serde(rename = "$source", skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
}

impl UploadEvents {
    fn source(&self) -> Option<&str> {
        self.source.as_deref().map(str::trim).filter(|source| !source.is_empty())
    }

    fn looked_at(event: &Event) -> Result<(&'static str, &str), Outcome> {
        let identifier = record::identifier("event", event.identifiers())?;
        checks::time(event.ts)?;
        checks::event(&event.evt_name, &event.evt_data)?;
        Ok(identifier)
    }
}

#[async_trait]
impl Action for UploadEvents {
    type Input = Event;
    const MAX_BATCH: usize = 1000;
    const REJECTIONS: &'static [Rejection] = rejections::EVENTS;

    fn validate(&self) -> Result<(), String> {
        if self.event.trim().is_empty() {
            return Err("`event` is empty: give the event's name".to_owned());
        }
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        if self.source().is_some() {
            return vec![];
        }
        vec![
            "without `source` events do not say who raises them, unless the account has a \
             `partnerId`: CleverTap asks its partners to send theirs with every event"
                .to_owned(),
        ]
    }

    fn idempotent(&self) -> bool {
        self.dry_run // CleverTap has no idempotency key: what is uploaded twice is counted twice.
    }

    async fn run(&self, api: &Api, batch: &Batch<Event>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let source = self.source().or_else(|| settings::given(api, settings::PARTNER_ID));
        let mut sent = Vec::with_capacity(batch.items.len());
        let mut events = Vec::with_capacity(batch.items.len());
        for (index, item) in batch.items.iter().enumerate() {
            let event = &*item.input;
            match Self::looked_at(event) {
                Ok(identifier) => {
                    sent.push(Sent { index, identifier });
                    // The mapping's own is in the event already.
                    let own = event.source.is_some();
                    let source = source.filter(|_| !own);
                    events.push(Named { event, source });
                }
                Err(outcome) => outcomes.set(index, outcome),
            }
        }
        let how = (&*sent, self.dry_run, record::uncoded(self.idempotent()));
        let uploaded = record::upload(api, events, how, &mut outcomes).await;
        let all = sent.len() == batch.items.len();
        record::in_doubt_alone(uploaded, all, &mut outcomes)?;
        Ok(outcomes)
    }
}
