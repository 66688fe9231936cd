//! What the server asks of whoever has the flows and accounts.

use std::sync::Arc;

use async_trait::async_trait;
use connector::{Secret, Timestamp};
use engine::service::{Host, Ran};
use engine::{Error, Place};
use flow::Flow;

/// The flows and accounts that a service runs.
///
/// Calls come from the reactor's threads, so they must not block, but for [`Host::flow`] and
/// [`shown`](Self::shown).
#[async_trait]
pub trait Project: Host {
    /// The flows, in any order; those without a schedule too.
    fn flows(&self) -> Vec<Listed>;

    /// One of them.
    fn flow_named(&self, name: &str) -> Option<Listed> {
        self.flows().into_iter().find(|listed| *listed.flow == *name)
    }

    /// A flow to be shown: unlike [`Host::flow`] it need not be able to run, so its accounts may
    /// miss something. Called off the reactor's threads.
    fn shown(&self, name: &str) -> engine::Result<Arc<Flow>> {
        self.flow(name)
    }

    /// The accounts by name, each with its connector.
    fn accounts(&self) -> Vec<(String, String)>;

    /// The names of the secrets that are kept, and when each was set; an error is for people.
    async fn secrets(&self) -> Result<Vec<(String, Timestamp)>, String>;

    /// Keeps a secret, and says whether it took the place of another one. Accounts use it from
    /// their next runs on.
    async fn set_secret(&self, name: &str, value: &Secret) -> Result<bool, String>;

    /// Removes a secret, and says whether there was one.
    async fn remove_secret(&self, name: &str) -> Result<bool, String>;
}

/// A flow that a service has.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub flow: Arc<str>,
    /// Its file, as it is called in the service's lines.
    pub file: String,
    /// Its schedule in words; `None` runs only when somebody says so.
    pub schedule: Option<String>,
}

/// No flows and no accounts.
pub(crate) struct NoProject;

impl Host for NoProject {
    fn flow(&self, name: &str) -> engine::Result<Arc<Flow>> {
        let place = Place { flow: name.to_owned(), step: None, account: String::new() };
        Err(Error::Config { place, reason: "no service runs here".to_owned() })
    }

    fn has(&self, _: &str) -> bool {
        false
    }

    fn ran(&self, _: &Ran<'_>) {}
}

#[async_trait]
impl Project for NoProject {
    fn flows(&self) -> Vec<Listed> {
        vec![]
    }

    fn accounts(&self) -> Vec<(String, String)> {
        vec![]
    }

    async fn secrets(&self) -> Result<Vec<(String, Timestamp)>, String> {
        Ok(vec![])
    }

    async fn set_secret(&self, _: &str, _: &Secret) -> Result<bool, String> {
        Err("no service runs here".to_owned())
    }

    async fn remove_secret(&self, _: &str) -> Result<bool, String> {
        Ok(false)
    }
}
