//! What the server asks of whoever has the flows and accounts.

use std::sync::Arc;

use engine::service::{Host, Ran};
use engine::{Error, Place};
use flow::Flow;

/// The flows and accounts that a service runs.
///
/// Calls come from the reactor's threads, so they must not block, but for [`Host::flow`] and
/// [`shown`](Self::shown).
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

impl Project for NoProject {
    fn flows(&self) -> Vec<Listed> {
        vec![]
    }

    fn accounts(&self) -> Vec<(String, String)> {
        vec![]
    }
}
