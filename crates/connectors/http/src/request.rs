//! `request`: sends each message as a request.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use connector::Rejection;
use connector::prelude::*;
use serde_json::Map;

use crate::template::Template;
use crate::{API_KEY, BEARER_TOKEN, KEY_HEADER, NOWHERE, PASSWORD, USER};

/// No answer is kept as a step's result beyond so many bytes.
const LARGEST_RESULT: usize = 64 * 1024;

/// Headers that are the account's or HTTP's own business.
const RESERVED: [&str; 10] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

const PATH: Rejection = Rejection::new(
    "path",
    "the message gives no usable value for a placeholder of the path",
    "give it under `path` in the `customMapping`",
);
const STATUS: Rejection = Rejection::new(
    "http<status>",
    "the system refused the request with this status",
    "the reason has the system's words; correct the record or the mapping and replay it",
);
const UNWRITABLE: Rejection =
    Rejection::new("unwritable", "the body cannot be written as JSON", "look at the mapping");

/// Sends each message as a request below the account's base URL, one after another for the same
/// record. What the system answers is the step's result: `status` and `body`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [
    { "method": "PUT", "path": "/customers/{recordUid}" }
]))]
pub(crate) struct SendRequest {
    /// The method.
    #[serde(default)]
    method: Verb,
    /// The path below the account's base URL. `{name}` is a placeholder: the mapping gives its value
    /// under `path`, and it is escaped.
    path: Template,
    /// Headers that every request has, besides those of the account. None of them is secret.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The header that carries the message's id, which is the same when it is sent again:
    /// `Idempotency-Key`, where the system knows one.
    #[serde(default)]
    idempotency_header: Option<String>,
    /// Whether a request that comes twice changes nothing more. Without it `GET`, `PUT` and `DELETE`
    /// count as such, and `POST` and `PATCH` do not: those are written down before they are sent, and
    /// one without an answer becomes a dead letter `inDoubt` instead of being sent again.
    #[serde(default)]
    idempotent: Option<bool>,
    /// What an answer with 200 to 299 has to be, 204 aside: a maintenance page under 200 is no answer
    /// of the system.
    #[serde(default)]
    answer: Expected,
    /// Statuses besides 200 to 299 that mean that it is done, such as 404 of a `DELETE`.
    #[serde(default)]
    done: Vec<u16>,
    /// Statuses that mean that this message is refused and becomes a dead letter, besides 400 and
    /// the others that are not said to be something else here.
    #[serde(default = "not_found")]
    rejected: Vec<u16>,
    /// Statuses that mean that it was surely not done and is worth another try, besides 408, 425
    /// and 429.
    #[serde(default)]
    retry: Vec<u16>,
}

/// A method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Verb {
    /// Reads, to use the answer in later steps.
    Get,
    /// Does something.
    #[default]
    Post,
    /// Puts something in its place.
    Put,
    /// Changes a part.
    Patch,
    /// Takes something away.
    Delete,
}

/// What an answer has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Expected {
    /// JSON.
    #[default]
    Json,
    /// Whatever it is, also nothing.
    Any,
}

/// What a request is made of.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [
    { "path": { "recordUid": "279" }, "body": { "firstName": "Ada" } }
]))]
pub(crate) struct Call {
    /// The values of the path's placeholders: texts or numbers.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    path: Map<String, Value>,
    /// The parameters of the query: texts, numbers or booleans; `null` leaves one out.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    query: Map<String, Value>,
    /// The body, sent as JSON; `GET` and `DELETE` send none.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    body: Value,
}

fn not_found() -> Vec<u16> {
    vec![404]
}

impl SendRequest {
    const fn method(&self) -> Method {
        match self.method {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        }
    }

    const fn has_body(&self) -> bool {
        !matches!(self.method, Verb::Get | Verb::Delete)
    }

    /// The account's credentials as headers.
    fn credentials(api: &Api) -> Result<Vec<(String, String)>> {
        let values = api.account().values();
        let value = |name: &str| Some(values.get(name)).filter(|value| !value.is_empty());
        let mut headers = vec![];
        match (value(BEARER_TOKEN), value(USER), value(PASSWORD)) {
            (None, None, None) => {}
            (Some(token), None, None) => {
                headers.push(("authorization".to_owned(), format!("Bearer {token}")));
            }
            (None, Some(user), Some(password)) => {
                let pair = STANDARD.encode(format!("{user}:{password}"));
                headers.push(("authorization".to_owned(), format!("Basic {pair}")));
            }
            _ => {
                let reason = format!(
                    "account \"{}\" needs either `{BEARER_TOKEN}`, or `{USER}` and `{PASSWORD}`",
                    api.account().name()
                );
                return Err(Error::config(reason));
            }
        }
        match (value(KEY_HEADER), value(API_KEY)) {
            (Some(header), Some(key)) => headers.push((header.to_owned(), key.to_owned())),
            (None, None) => {}
            _ => {
                let reason = format!(
                    "account \"{}\" needs both `{KEY_HEADER}` and `{API_KEY}`, or none of them",
                    api.account().name()
                );
                return Err(Error::config(reason));
            }
        }
        Ok(headers)
    }

    async fn send(&self, api: &Api, id: &str, call: &Call) -> Result<Outcome> {
        let segments = match self.path.fill(&call.path) {
            Ok(segments) => segments,
            Err(problem) => return Ok(PATH.because(problem)),
        };
        let mut request = api.request(self.method(), segments);
        for (name, value) in &call.query {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            request = request.query(name, text);
        }
        for (name, value) in Self::credentials(api)? {
            request = request.header(&name, &value);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(name) = &self.idempotency_header {
            request = request.header(name, id);
        }
        if self.has_body() && !call.body.is_null() {
            request = request.json(&call.body);
        }
        if self.idempotent() {
            request = request.safe();
        }
        for status in self.done.iter().chain(&self.rejected).chain(&self.retry) {
            if let Ok(status) = StatusCode::from_u16(*status) {
                request = request.accept(status);
            }
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        if self.retry.contains(&status) {
            let reason = format!("it answered {status}: {}", answer.message());
            return Ok(Outcome::Retry { after: None, reason });
        }
        if self.rejected.contains(&status) && !self.done.contains(&status) {
            return Ok(Outcome::rejected(format!("http{status}"), answer.message()));
        }
        let has_none = answer.status() == StatusCode::NO_CONTENT;
        if self.answer == Expected::Json && answer.status().is_success() && !has_none {
            answer.json::<serde::de::IgnoredAny>()?;
        }
        let body = answer.body();
        let body = if body.len() > LARGEST_RESULT {
            Value::Null
        } else {
            let text = String::from_utf8_lossy(body);
            // Read before it is looked through: what JSON escapes would hide a secret.
            let value = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text));
            redacted(value, &answer)
        };
        Ok(Outcome::done(json!({ "status": status, "body": body })))
    }
}

/// A value without the account's secrets, wherever in it the system echoed them.
fn redacted(value: Value, answer: &Response) -> Value {
    match value {
        Value::String(text) => Value::String(answer.redact(&text)),
        Value::Array(items) => items.into_iter().map(|it| redacted(it, answer)).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (answer.redact(&name), redacted(value, answer)))
            .collect(),
        plain => plain,
    }
}

#[async_trait]
impl Action for SendRequest {
    type Input = Call;
    const REJECTIONS: &'static [Rejection] = &[PATH, STATUS, UNWRITABLE];

    fn validate(&self) -> Result<(), String> {
        let own = self.headers.keys().chain(&self.idempotency_header);
        for name in own {
            if name.parse::<HeaderName>().is_err() {
                return Err(format!("`{name}` is no name of a header"));
            }
            if RESERVED.contains(&&*name.to_ascii_lowercase()) {
                return Err(format!(
                    "`{name}` cannot be set here: credentials are the account's, the others HTTP's"
                ));
            }
        }
        for status in self.done.iter().chain(&self.rejected).chain(&self.retry) {
            if !(100..=599).contains(status) || (200..300).contains(status) {
                return Err(format!("{status} is no status that needs a meaning"));
            }
            // Api tells of these by itself, for the account or for all that follow.
            if *status == 401 {
                return Err("401 pauses the account, and means nothing else".to_owned());
            }
        }
        if let Some(status) = self.done.iter().find(|status| self.retry.contains(status)) {
            return Err(format!("{status} cannot be both `done` and `retry`"));
        }
        Ok(())
    }

    fn idempotent(&self) -> bool {
        self.idempotent.unwrap_or(matches!(self.method, Verb::Get | Verb::Put | Verb::Delete))
    }

    async fn run(&self, api: &Api, batch: &Batch<Call>) -> Result<Outcomes> {
        if api.account().base_url().as_str().trim_end_matches('/') == NOWHERE {
            let name = api.account().name();
            let reason = format!("account \"{name}\" has no `baseUrl`, which requests go to");
            return Err(Error::config(reason));
        }
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            outcomes.set(index, self.send(api, &item.id, &item.input).await?);
        }
        Ok(outcomes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(fields: Value) -> Result<SendRequest, String> {
        let it: SendRequest = serde_json::from_value(fields).map_err(|it| it.to_string())?;
        it.validate().map(|()| it)
    }

    #[test]
    fn only_what_may_be_repeated_is() {
        let idempotent = |fields: Value| action(fields).unwrap().idempotent();
        assert!(!idempotent(json!({ "path": "/a" })));
        assert!(!idempotent(json!({ "path": "/a", "idempotencyHeader": "Idempotency-Key" })));
        assert!(idempotent(json!({ "path": "/a", "idempotent": true })));
        assert!(idempotent(json!({ "path": "/a", "method": "PUT" })));
        assert!(!idempotent(json!({ "path": "/a", "method": "PUT", "idempotent": false })));
    }

    #[test]
    fn fields_that_would_do_harm_are_refused() {
        for wrong in [
            json!({}),
            json!({ "path": "/a", "headers": { "Authorization": "Bearer x" } }),
            json!({ "path": "/a", "headers": { "Transfer-Encoding": "chunked" } }),
            json!({ "path": "/a", "headers": { "a b": "c" } }),
            json!({ "path": "/a", "idempotencyHeader": "Host" }),
            json!({ "path": "/a", "done": [200] }),
            json!({ "path": "/a", "rejected": [401] }),
            json!({ "path": "/a", "done": [503], "retry": [503] }),
            json!({ "path": "/a/../b" }),
            json!({ "path": "/a/{id" }),
            json!({ "path": "https://elsewhere.example/a" }),
        ] {
            assert!(action(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
