//! `receiverEvents`: the receivers of one group, as CleverReach tells of them.

use std::collections::BTreeMap;

use connector::Account;
use connector::prelude::*;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::group::Id;
use crate::look::Look;
use crate::one_group::OneGroup;
use crate::receivers::{self, Cursor};
use crate::stamps::{self, Field, Known};
use crate::whole::{self, AT_ONCE};

/// What is registered: all that happens to receivers.
const EVENT: &str = "receiver";
/// No challenge is longer; longer ones are not answered.
const LONGEST_CHALLENGE: usize = 200;

/// Emits the receivers of one group as soon as CleverReach tells that they changed, and those of which
/// it did not tell with the next poll or sweep. The group is named by `groupId` or by `groupName`, not
/// by both. `towpath account hooks` tells CleverReach where the flow is called.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("examples" = [{ "groupName": "Newsletter" }]))]
pub(crate) struct ReceiverEvents(OneGroup);

/// A call of CleverReach. The receiver's address is not in it.
#[derive(Deserialize)]
struct Event {
    event: String,
    #[expect(dead_code, reason = "a call without it is none of CleverReach's")]
    condition: Value,
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    pool_id: Id,
    group_id: Id,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    success: bool,
    call_token: String,
    #[serde(default)]
    secret: String,
}

#[async_trait]
impl PollingTrigger for ReceiverEvents {
    type Cursor = Cursor;
    const CHANGES: Changes = Changes::Both;
    const VOLATILE: &'static [&'static str] = receivers::VOLATILE;

    fn validate(&self) -> Result<(), String> {
        if self.0.is_keyed_by_email() {
            return Err(
                "CleverReach tells of receivers by their ids: leave `keyedBy: email` out, or \
                        take `getReceiversByGroupIdPolling`"
                    .to_owned(),
            );
        }
        self.0.validate()
    }

    async fn partitions(&self, api: &Api) -> Result<Vec<String>> {
        Ok(vec![self.0.id(api).await?])
    }

    fn begins(&self) -> Option<Timestamp> {
        self.0.begins()
    }

    async fn poll(&self, api: &Api, scan: &Scan<Cursor>) -> Result<Page<Cursor>> {
        self.0.poll(api, scan).await
    }

    fn completes(&self) -> bool {
        true
    }

    fn part(&self, record: &Record) -> Option<String> {
        stamps::part(record).filter(|_| self.0.tells_all())
    }

    /// What was listed is whole, unless its other groups are wanted; what was told is asked for.
    async fn complete(
        &self,
        api: &Api,
        partition: Option<&str>,
        found: Vec<Record>,
    ) -> Result<Vec<Option<Completed>>> {
        let look = self.0.look();
        if self.0.tells_all() {
            return whole::complete(api, found, &look, partition).await;
        }
        let Some(group) = partition else {
            return Err(Error::config("a receiver was told of without a group"));
        };
        let asked: Vec<_> =
            found.into_iter().map(|record| asked(api, record, group, &look)).collect();
        stream::iter(asked).buffered(AT_ONCE).try_collect().await
    }
}

async fn asked(api: &Api, record: Record, group: &str, look: &Look) -> Result<Option<Completed>> {
    if whole::is_receiver(&record) {
        return Ok(Some(Completed { record, parts: vec![] }));
    }
    let Some(view) = whole::alone(api, &record, group, look).await? else { return Ok(None) };
    let known = Known::of(&view.record.data).unwrap_or_default();
    let bounced = known.stamp(Field::Bounced).unwrap_or_default();
    let admitted = look.kind.admits(known.is_active(), bounced);
    Ok(admitted.then(|| Completed { record: view.record, parts: vec![] }))
}

impl WebhookTrigger for ReceiverEvents {
    /// A fixed token, compared as a secret: it signs nothing.
    fn proof(&self) -> Proof {
        Proof::Header {
            name: "x-cr-calltoken".to_owned(),
            prefix: String::new(),
            secret: "hookToken",
        }
    }

    fn methods(&self) -> Vec<Method> {
        vec![Method::POST, Method::GET]
    }

    fn largest_body(&self) -> usize {
        64 * 1024
    }

    /// `GET url?secret=…` is answered with `<verify> <secret>`, as CleverReach's page on webhooks
    /// wants it.
    fn handshake(&self, account: &Account, request: &Received) -> Option<Reply> {
        let verify = account.values().get("hookVerify");
        let challenge = request.parameter("secret")?;
        let fits =
            challenge.len() <= LONGEST_CHALLENGE && challenge.chars().all(|c| c.is_ascii_graphic());
        if request.method != Method::GET || verify.is_empty() || !fits {
            return None;
        }
        let body = format!("{verify} {challenge}").into();
        Some(Reply { status: StatusCode::OK, media_type: "text/plain", body })
    }

    fn receive(&self, request: &Received) -> Result<Vec<Record>, Refusal> {
        if request.method == Method::GET {
            return Err(Refusal::bad_request("an event is sent by POST"));
        }
        let Event { event, payload: Payload { pool_id, group_id }, .. } = request.json()?;
        // What happens to forms, groups and automations is nobody's change.
        let is_ours = event.split('.').next() == Some(EVENT) && self.0.may_be(&group_id);
        if !is_ours {
            return Ok(vec![]);
        }
        let told = json!({ "event": event, "group_id": group_id });
        let record = Record::new(pool_id.0, None, &json!({ "told": told }));
        let record = record.map_err(|_| Refusal::bad_request("the event cannot be kept"))?;
        Ok(vec![record])
    }
}

#[async_trait]
impl HeardTrigger for ReceiverEvents {
    const KEPT: &'static [&'static str] = &["hookVerify", "hookToken", "hookSecret"];

    /// CleverReach has one registration of an event and a group: the one before goes first.
    async fn register(&self, api: &Api, hook: &Hook) -> Result<BTreeMap<&'static str, Secret>> {
        let here = api.account().base_url().scheme() == "http";
        if !here && !hook.url.starts_with("https://") {
            return Err(Error::config(format!(
                "CleverReach calls https addresses alone, and {} is none: name the service's public \
                 address by `publicUrl` in towpath.yaml",
                hook.url
            )));
        }
        let group = self.0.id(api).await?;
        unregister(api, &group).await?;
        let body = json!({
            "url": hook.url, "event": EVENT, "condition": group, "verify": hook.verify.expose(),
        });
        let answer = hooks(api, Method::POST, None).json(&body).send().await?;
        let Answer { success, call_token, secret } = answer.json()?;
        if !success || call_token.is_empty() {
            return Err(answer.nonsense("without success, or without a call token"));
        }
        Ok(BTreeMap::from([
            ("hookVerify", hook.verify.clone()),
            ("hookToken", Secret::new(call_token)),
            ("hookSecret", Secret::new(secret)),
        ]))
    }

    /// How they are listed is not documented; what has no address or event is left out.
    async fn registered(&self, api: &Api) -> Result<Vec<Registered>> {
        let answer = hooks(api, Method::GET, None).send().await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(vec![]);
        }
        let Value::Array(list) = answer.json()? else {
            return Err(answer.nonsense("with something else than a list of registrations"));
        };
        let told = list.iter().filter_map(|it| {
            let text = |key: &str| it.get(key).and_then(Value::as_str).map(str::to_owned);
            let of = it.get("condition").and_then(Id::of).map(|Id(id)| id).unwrap_or_default();
            Some(Registered { event: text("event")?, of, url: text("url")? })
        });
        Ok(told.collect())
    }

    async fn unregister(&self, api: &Api) -> Result<bool> {
        let group = self.0.id(api).await?;
        unregister(api, &group).await
    }
}

async fn unregister(api: &Api, group: &str) -> Result<bool> {
    let request = hooks(api, Method::DELETE, Some(EVENT)).query("condition", group);
    let answer = request.accept(StatusCode::NOT_FOUND).send().await?;
    Ok(answer.status() != StatusCode::NOT_FOUND)
}

/// A request to the hooks, which are outside `/v3`.
fn hooks<'a>(api: &'a Api, method: Method, event: Option<&'a str>) -> connector::Request<'a> {
    api.at_origin(method, ["hooks", "eventhook"].into_iter().chain(event))
}
