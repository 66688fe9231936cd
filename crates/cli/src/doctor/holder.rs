//! Whoever has the store, and what it answers.

use std::sync::Arc;

use engine::{AccountState, Answer, FlowHealth, Handle, Request};
use serde_json::Value;
use store::Store;

use crate::commands::connect;
use crate::connect::{Ask, answer, refused};
use crate::exit::{Failed, Result};
use crate::held;
use crate::project::Project;
use crate::remote::Client;

/// Whoever has the store.
pub(super) enum Holder {
    /// Nobody: it is open here, to be looked at.
    Here(Arc<dyn Store>),
    /// A service with an API.
    Service(Client),
    /// A process without one, such as a run.
    Process,
    /// There is no store yet.
    Absent,
    /// It cannot be opened.
    Broken,
}

/// How flows and accounts are.
pub(super) struct Health {
    pub(super) flows: Vec<FlowHealth>,
    pub(super) accounts: Vec<AccountState>,
}

impl Holder {
    pub(super) const fn service(&self) -> Option<&Client> {
        match self {
            Self::Service(client) => Some(client),
            _ => None,
        }
    }

    /// How flows and accounts are; `None` where there is nothing to ask.
    pub(super) async fn health(&self, project: &Project) -> Option<Result<Health>> {
        let answered = match self {
            Self::Here(store) => {
                Handle::new(store.clone()).ask(Request::Health).await.map_err(Failed::run)
            }
            Self::Service(client) => client.ask(&Request::Health).await,
            Self::Process => held::ask_holder(project, &Request::Health).await,
            Self::Absent | Self::Broken => return None,
        };
        Some(answered.and_then(|answer| match answer {
            Answer::Health { flows, accounts } => Ok(Health { flows, accounts }),
            _ => Err(Failed::config(anyhow::anyhow!("the answer is to another question"))),
        }))
    }

    /// Asks of accounts; whoever has the store knows their secrets.
    pub(super) async fn of_accounts(&self, project: &Project, ask: Ask) -> Result<Value> {
        let store = match self {
            Self::Service(_) | Self::Process => return connect::ask_service(project, &ask).await,
            Self::Here(store) => store.clone(),
            Self::Absent | Self::Broken => connect::nothing(),
        };
        let (tokens, url) = (engine::tokens(store.clone()), connect::base_url(project)?);
        let (_, logins) = connect::logins_with(project, store, tokens, url.as_str());
        answer(&logins, ask).await.map_err(refused)
    }
}
