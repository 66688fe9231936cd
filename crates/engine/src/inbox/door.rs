//! Where requests come in: each is proven, read and kept before it is answered.

use std::sync::Arc;
use std::time::Duration;

use connector::prelude::{Method, StatusCode};
use connector::{Account, Received, Refusal, Reply, Unproven};
use flow::Flow;
use serde_json::Value;
use store::{Delivery, Room};

use super::entry;
use super::minutes::Minutes;
use crate::service::{Handle, Host};
use crate::{Engine, Error, hooks};

/// An inbox holds so much at most: what comes beyond that has to come again.
pub(crate) const ROOM: Room =
    Room { entries: 100_000, bytes: 256 << 20, remember: Duration::from_secs(24 * 3600) };

/// How soon a sender is asked to come again to an inbox that is full.
const FULL: Duration = Duration::from_secs(10);

/// The same where the store or an account does not work.
const BROKEN: Duration = Duration::from_secs(60);

/// Where requests for flows that are called come in. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    pub(super) engine: Arc<Engine>,
    host: Arc<dyn Host>,
    service: Handle,
    pub(super) minutes: Arc<Minutes>,
}

/// The way in to one flow.
pub struct Entrance {
    pub(super) door: Door,
    pub(super) flow: Arc<Flow>,
    account: Account,
}

/// What became of a request that was taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Called {
    /// It is in the inbox, durably.
    Kept {
        /// What it is known by here.
        id: String,
        /// Whether its key came before: it is the first one that is known by the id.
        repeated: bool,
        /// How many records it has.
        records: usize,
    },
    /// It has no records.
    Nothing,
    /// The trigger answers by itself.
    Reply(Reply),
    /// The sender waited: what the flow made of it, or the fallback.
    Value(Value),
}

/// Why a request was turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    /// The status of the answer.
    pub status: StatusCode,
    /// A word for machines that stays the same.
    pub code: &'static str,
    /// What is wrong, for the sender: no secret and no content.
    pub reason: String,
    /// How long the sender is to wait before it comes again.
    pub after: Option<Duration>,
    /// Whether it did not prove who it is.
    pub unproven: bool,
    /// The methods that there are, where it came with another one.
    pub methods: Vec<Method>,
}

impl Turned {
    fn new(status: StatusCode, code: &'static str, reason: impl Into<String>) -> Self {
        let (reason, methods) = (reason.into(), vec![]);
        Self { status, code, reason, after: None, unproven: false, methods }
    }

    pub(super) fn bad_request(reason: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "refused", reason)
    }

    /// Nothing can be done about it from outside; what it is, the log says.
    fn broken() -> Self {
        let reason = "this cannot be taken at the moment";
        let turned = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", reason);
        Self { after: Some(BROKEN), ..turned }
    }
}

impl From<Refusal> for Turned {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.status, "refused", refusal.reason)
    }
}

impl Door {
    /// The door to the flows of a host, which its service runs when something came.
    pub fn new(engine: Arc<Engine>, host: Arc<dyn Host>, service: Handle) -> Self {
        let minutes = Arc::new(Minutes::new(engine.store().clone()));
        Self { engine, host, service, minutes }
    }

    /// Finds the way in to a flow; one that is not called has none.
    pub async fn entrance(&self, flow: &str) -> Result<Entrance, Turned> {
        let nobody = || Turned::new(StatusCode::NOT_FOUND, "notFound", "there is no such flow");
        if !self.host.has(flow) {
            return Err(nobody());
        }
        // It may have to be compiled.
        let (host, name) = (self.host.clone(), flow.to_owned());
        let found = tokio::task::spawn_blocking(move || host.flow(&name)).await;
        let broken = |reason: String| {
            tracing::warn!(flow, reason, "requests for a flow cannot be taken");
            Turned::broken()
        };
        let found = found.map_err(|error| broken(error.to_string()))?;
        let found = found.map_err(|error| broken(error.to_string()))?;
        // What the runtime tells, nobody else does.
        if found.trigger.trigger.webhook().is_none() {
            return Err(nobody());
        }
        let account = self.engine.account_of_trigger(&found);
        let account = account.map_err(|error: Error| broken(error.to_string()))?;
        let account = match found.trigger.trigger.heard() {
            None => account,
            Some(heard) => {
                let store = &**self.engine.store();
                let known = hooks::account_with_kept(store, flow, account, heard).await;
                known.map_err(|error| broken(error.to_string()))?
            }
        };
        Ok(Entrance { door: self.clone(), flow: found, account })
    }
}

impl Entrance {
    /// The flow's name.
    pub fn flow(&self) -> &str {
        &self.flow.name
    }

    /// The largest body in bytes: no more of one is to be read.
    pub fn largest_body(&self) -> usize {
        self.flow.trigger.trigger.webhook().map_or(0, |trigger| trigger.largest_body())
    }

    /// Turns away a method that the trigger does not take.
    pub fn takes(&self, method: &Method) -> Result<(), Turned> {
        let trigger = self.flow.trigger.trigger.webhook();
        let methods = trigger.map(|trigger| trigger.methods()).unwrap_or_default();
        if methods.contains(method) {
            return Ok(());
        }
        let reason = "this flow takes no such method";
        let turned = Turned::new(StatusCode::METHOD_NOT_ALLOWED, "methodNotAllowed", reason);
        Err(Turned { methods, ..turned })
    }

    /// Takes a request; what is kept of it is durable when this returns.
    ///
    /// A call whose future is dropped may still keep it: its sender got no answer, and sends it
    /// again.
    pub async fn receive(&self, request: Received) -> Result<Called, Turned> {
        self.takes(&request.method)?;
        let flow = &*self.flow.name;
        let Some(trigger) = self.flow.trigger.trigger.webhook() else {
            return Err(Turned::broken());
        };
        if let Some(reply) = trigger.handshake(&self.account, &request) {
            return Ok(Called::Reply(reply));
        }
        let proof = trigger.proof();
        proof.check(&self.account, &request).map_err(|unproven| turned(flow, &unproven))?;
        let records = trigger.receive(&request)?;
        if let Some(answers) = trigger.answers() {
            return self.answer(records, answers).await;
        }
        let count = records.len();
        if count == 0 {
            return Ok(Called::Nothing);
        }
        // What is signed with its time is taken once, also where the sender names no key.
        let key = trigger.key(&request).or_else(|| proof.key(&request));
        let bytes = entry::write(records).map_err(|error| {
            tracing::warn!(flow, %error, "what came cannot be written");
            Turned::broken()
        })?;
        let delivery = Delivery { at: request.at.millis(), key, bytes };
        let store = self.door.engine.store();
        let kept = store.accept(flow, delivery, ROOM).await.map_err(|error| {
            tracing::warn!(flow, %error, "what came was not kept");
            match error {
                store::Error::InboxFull { .. } => {
                    let reason = "more waits for this flow than is kept; come again later";
                    let full = Turned::new(StatusCode::SERVICE_UNAVAILABLE, "inboxFull", reason);
                    Turned { after: Some(FULL), ..full }
                }
                _ => Turned::broken(),
            }
        })?;
        if !kept.repeated {
            self.door.service.wake(flow.into());
        }
        let id = entry::id(&**store, flow, kept.position);
        Ok(Called::Kept { id, repeated: kept.repeated, records: count })
    }
}

fn turned(flow: &str, unproven: &Unproven) -> Turned {
    let by = |status, code| {
        let turned = Turned::new(status, code, unproven.to_string());
        Turned { unproven: true, ..turned }
    };
    match unproven {
        Unproven::Missing(_) => by(StatusCode::UNAUTHORIZED, "unauthorized"),
        Unproven::Wrong(_) => by(StatusCode::FORBIDDEN, "forbidden"),
        Unproven::Unset { .. } => {
            tracing::warn!(flow, %unproven, "requests for a flow cannot be proven");
            Turned::broken()
        }
    }
}
