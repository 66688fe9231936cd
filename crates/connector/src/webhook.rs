//! Webhook triggers: what an author writes, and the same erased for the engine.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::proof::Proof;
use crate::{Account, Record, Timestamp};

/// No body is larger, unless a trigger says otherwise.
const LARGEST_BODY: usize = 1024 * 1024;

/// A request that a system sent, its body read whole.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its method, one of [`WebhookTrigger::methods`].
    pub method: Method,
    /// The parameters of its query, in their order.
    pub query: Vec<(String, String)>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most [`WebhookTrigger::largest_body`].
    pub body: Bytes,
    /// When it came, by our clock.
    pub at: Timestamp,
}

impl Received {
    /// The value of a header, if it is there once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        // Of two nobody can tell which one a sender's own checks looked at.
        values.next().is_none().then_some(value)
    }

    /// The value of a query parameter, the first of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The media type of the body without its parameters, in small letters; empty if none is told.
    pub fn media_type(&self) -> String {
        let told = self.header(http::header::CONTENT_TYPE.as_str()).unwrap_or_default();
        told.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Reads the body as JSON of a type; anything else is a [`Refusal`] of the sender's making.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // The message of serde_json may quote the value; the position is enough.
            let (line, column) = (error.line(), error.column());
            let what = match error.classify() {
                serde_json::error::Category::Data => "JSON of another shape",
                _ => "not JSON",
            };
            Refusal::bad_request(format!("the body is {what}, at line {line} column {column}"))
        })
    }
}

/// Why a request is not taken: its sender would be told the same again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// The status of the answer, 4xx.
    pub status: StatusCode,
    /// What is wrong, for the sender: no content of the request, and no secret.
    pub reason: String,
}

impl Refusal {
    /// The request makes no sense (400).
    pub fn bad_request(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason: reason.into() }
    }

    /// The body is of a kind that is not read (415).
    pub fn media_type(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, reason: reason.into() }
    }
}

/// An answer of a trigger's own, to a system that asks whether anybody listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The media type of the body.
    pub media_type: &'static str,
    /// The body.
    pub body: Bytes,
}

/// How a sender that waits is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// How long the flow may take.
    pub deadline: Duration,
    /// What is answered where it takes longer, fails, or filters the message out.
    pub fallback: Value,
}

/// A trigger that a system calls.
///
/// The type is the trigger's fields: configuration, schema, form and documentation in one. It
/// only reads requests: the runtime checks their proof, method and size, keeps what came durably
/// before it answers, and delivers it with the same promise as a polled record.
pub trait WebhookTrigger: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Says what is wrong with the fields beyond their types.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    /// How a sender proves who it is.
    fn proof(&self) -> Proof;

    /// The methods that are taken, those of handshakes included.
    fn methods(&self) -> Vec<Method> {
        vec![Method::POST]
    }

    /// The largest body in bytes.
    fn largest_body(&self) -> usize {
        LARGEST_BODY
    }

    /// Answers a system that asks whether anybody listens before it sends anything, such as a GET
    /// with a challenge; `None` for every other request.
    ///
    /// It is asked before the proof is looked at, which such requests often lack: what it needs as
    /// proof it has to check itself.
    fn handshake(&self, _account: &Account, _request: &Received) -> Option<Reply> {
        None
    }

    /// What the sender knows the request by, such as the id of a delivery: one that comes again is
    /// answered as the first was, and not delivered again.
    fn key(&self, _request: &Received) -> Option<String> {
        None
    }

    /// Reads the records of a request; none is a request without news. A record with an empty key
    /// gets one of its own.
    fn receive(&self, request: &Received) -> Result<Vec<Record>, Refusal>;

    /// How a sender that waits for what the flow makes of its request is answered; `None` where
    /// nobody waits. Such a request has one record, and is not kept.
    fn answers(&self) -> Option<Answers> {
        None
    }
}

/// A configured webhook trigger: what the engine calls.
pub trait ErasedWebhook: Send + Sync {
    /// [`WebhookTrigger::proof`].
    fn proof(&self) -> Proof;
    /// [`WebhookTrigger::methods`].
    fn methods(&self) -> Vec<Method>;
    /// [`WebhookTrigger::largest_body`].
    fn largest_body(&self) -> usize;
    /// [`WebhookTrigger::handshake`].
    fn handshake(&self, account: &Account, request: &Received) -> Option<Reply>;
    /// [`WebhookTrigger::key`].
    fn key(&self, request: &Received) -> Option<String>;
    /// [`WebhookTrigger::receive`].
    fn receive(&self, request: &Received) -> Result<Vec<Record>, Refusal>;
    /// [`WebhookTrigger::answers`]; `None` where nobody waits.
    fn answers(&self) -> Option<Answers>;
}

impl<T: WebhookTrigger> ErasedWebhook for T {
    fn proof(&self) -> Proof {
        WebhookTrigger::proof(self)
    }

    fn methods(&self) -> Vec<Method> {
        WebhookTrigger::methods(self)
    }

    fn largest_body(&self) -> usize {
        WebhookTrigger::largest_body(self)
    }

    fn handshake(&self, account: &Account, request: &Received) -> Option<Reply> {
        WebhookTrigger::handshake(self, account, request)
    }

    fn key(&self, request: &Received) -> Option<String> {
        WebhookTrigger::key(self, request)
    }

    fn receive(&self, request: &Received) -> Result<Vec<Record>, Refusal> {
        WebhookTrigger::receive(self, request)
    }

    fn answers(&self) -> Option<Answers> {
        WebhookTrigger::answers(self)
    }
}
