//! Triggers that their system calls once it was told where, and that are polled too: a call that was
//! missed is found all the same.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;

use crate::{Api, PollingTrigger, Result, Secret, WebhookTrigger};

/// A trigger whose system calls it at an address that is registered there.
///
/// What comes is kept durably and [completed](PollingTrigger::complete) in the run that follows; a
/// record's data is then what the system told. [`WebhookTrigger::validate`] is not asked, and nobody
/// waits for an answer: [`WebhookTrigger::answers`] stays `None`.
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

/// A configured trigger that can be registered: what the engine calls.
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

#[async_trait]
impl<T: HeardTrigger> ErasedHeard for T {
    fn kept(&self) -> &'static [&'static str] {
        T::KEPT
    }

    async fn register(&self, api: &Api, hook: &Hook) -> Result<BTreeMap<&'static str, Secret>> {
        HeardTrigger::register(self, api, hook).await
    }

    async fn registered(&self, api: &Api) -> Result<Vec<Registered>> {
        HeardTrigger::registered(self, api).await
    }

    async fn unregister(&self, api: &Api) -> Result<bool> {
        HeardTrigger::unregister(self, api).await
    }
}
