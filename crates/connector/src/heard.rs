//! Triggers that their system calls once it was told where, and that are polled too: a call that was
//! missed is found all the same.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::Method;
use serde::Serialize;
use serde_json::Value;

use crate::trigger::Erased;
use crate::webhook::ErasedWebhook;
use crate::{
    Account, Answers, Api, Changes, Completed, ErasedTrigger, Page, PollingTrigger, Proof,
    Received, Record, Refusal, Reply, Result, Scan, Secret, Timestamp, WebhookTrigger,
};

/// A trigger whose system calls it at an address that is registered there.
///
/// What comes is kept durably and [completed](PollingTrigger::complete) in the run that follows; a
/// record's data is then what the system told. [`WebhookTrigger::validate`] is not asked.
#[async_trait]
pub trait HeardTrigger: PollingTrigger + WebhookTrigger {
    /// What [`register`](Self::register) gives to be kept, by name. Requests are read, and their
    /// proof checked, as if these were secrets among the account's settings.
    const KEPT: &'static [&'static str];

    /// Registers an address in the place of whatever was registered for the same before. The system
    /// may call the address before this returns.
    async fn register(&self, api: &Api, hook: &Hook) -> Result<BTreeMap<&'static str, Secret>>;

    /// What is registered at the system, for this account: also what others registered.
    async fn registered(&self, api: &Api) -> Result<Vec<Registered>>;

    /// Takes the registration away; says whether there was one.
    async fn unregister(&self, api: &Api) -> Result<bool>;
}

/// What is to be registered.
#[derive(Clone, Debug)]
pub struct Hook {
    /// The address that the system is to call.
    pub url: String,
    /// A new secret, which the trigger has under its first [`HeardTrigger::KEPT`] name by now: 43
    /// letters, digits, `-` and `_`.
    pub verify: Secret,
}

/// A registration at a system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// What is told.
    pub event: String,
    /// Of what, such as a list; empty where it is of everything.
    pub of: String,
    /// The address that is called.
    pub url: String,
}

/// A configured trigger that can be registered.
#[async_trait]
pub trait ErasedHeard: Send + Sync {
    /// [`HeardTrigger::KEPT`].
    fn kept(&self) -> &'static [&'static str];
    /// [`HeardTrigger::register`].
    async fn register(&self, api: &Api, hook: &Hook) -> Result<BTreeMap<&'static str, Secret>>;
    /// [`HeardTrigger::registered`].
    async fn registered(&self, api: &Api) -> Result<Vec<Registered>>;
    /// [`HeardTrigger::unregister`].
    async fn unregister(&self, api: &Api) -> Result<bool>;
}

pub(crate) struct Heard<T>(pub(crate) Erased<T>);

#[async_trait]
impl<T: HeardTrigger> ErasedHeard for Heard<T> {
    fn kept(&self) -> &'static [&'static str] {
        T::KEPT
    }

    async fn register(&self, api: &Api, hook: &Hook) -> Result<BTreeMap<&'static str, Secret>> {
        self.0.0.register(api, hook).await
    }

    async fn registered(&self, api: &Api) -> Result<Vec<Registered>> {
        self.0.0.registered(api).await
    }

    async fn unregister(&self, api: &Api) -> Result<bool> {
        self.0.0.unregister(api).await
    }
}

#[async_trait]
impl<T: HeardTrigger> ErasedTrigger for Heard<T> {
    fn changes(&self) -> Changes {
        self.0.changes()
    }

    fn volatile(&self) -> &'static [&'static str] {
        self.0.volatile()
    }

    async fn partitions(&self, api: &Api) -> Result<Vec<String>> {
        self.0.partitions(api).await
    }

    fn begins(&self) -> Option<Timestamp> {
        self.0.begins()
    }

    async fn poll(&self, api: &Api, scan: &Scan<Value>) -> Result<Page<Value>> {
        self.0.poll(api, scan).await
    }

    fn completes(&self) -> bool {
        true
    }

    fn part(&self, record: &Record) -> Option<String> {
        self.0.part(record)
    }

    async fn complete(
        &self,
        api: &Api,
        partition: Option<&str>,
        found: Vec<Record>,
    ) -> Result<Vec<Option<Completed>>> {
        self.0.complete(api, partition, found).await
    }

    fn webhook(&self) -> Option<&dyn ErasedWebhook> {
        Some(self)
    }

    fn heard(&self) -> Option<&dyn ErasedHeard> {
        Some(self)
    }
}

impl<T: HeardTrigger> ErasedWebhook for Heard<T> {
    fn proof(&self) -> Proof {
        self.0.0.proof()
    }

    fn methods(&self) -> Vec<Method> {
        self.0.0.methods()
    }

    fn largest_body(&self) -> usize {
        self.0.0.largest_body()
    }

    fn handshake(&self, account: &Account, request: &Received) -> Option<Reply> {
        self.0.0.handshake(account, request)
    }

    fn key(&self, request: &Received) -> Option<String> {
        WebhookTrigger::key(&self.0.0, request)
    }

    fn receive(&self, request: &Received) -> Result<Vec<Record>, Refusal> {
        self.0.0.receive(request)
    }

    fn answers(&self) -> Option<Answers> {
        None
    }
}
