//! Whoever has the store: this process, or a service that is asked over HTTP.

use std::sync::Arc;

use anyhow::anyhow;
use engine::{Answer, Engine, Handle, Request};
use store::{SledStore, Store, upkeep};

use crate::exit::{Exit, Failed, Result};
use crate::project::Project;
use crate::remote::Client;

/// What a flow's state and letters are asked of.
pub(crate) enum Held {
    /// The store is open here.
    Here(Handle, Arc<dyn Store>),
    /// A service has it open.
    There(Client),
}

impl Held {
    /// What an engine of this process keeps.
    pub(crate) fn of(engine: Arc<Engine>) -> Self {
        let store = engine.store().clone();
        Self::Here(Handle::of(engine), store)
    }

    /// Asks one thing.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answer> {
        match self {
            Self::Here(handle, _) => handle.ask(request).await.map_err(Failed::run),
            Self::There(client) => client.ask(&request).await,
        }
    }
}

impl Project {
    /// The service that runs this project's flows, if one does.
    pub(crate) async fn service(&self) -> Option<Client> {
        Client::find(&self.store_path()).await
    }

    /// Whoever has the store; `None` where there is no store: who only looks makes none.
    pub(crate) async fn held(&self) -> Result<Option<Held>> {
        if let Some(client) = self.service().await {
            return Ok(Some(Held::There(client)));
        }
        let store = self.existing_store().await?;
        Ok(store.map(|store| Held::Here(Handle::new(store.clone()), store)))
    }

    /// The same for who only looks: a store of an older format stays in it.
    pub(crate) async fn looked_at(&self) -> Result<Option<Held>> {
        if let Some(client) = self.service().await {
            return Ok(Some(Held::There(client)));
        }
        if !SledStore::exists(&self.store_path()) {
            return Ok(None);
        }
        let store = self.looked_store().await?;
        Ok(Some(Held::Here(Handle::new(store.clone()), store)))
    }
}

/// Asks the process that has the store open, also one that has no API.
pub(crate) async fn ask_holder(project: &Project, request: &Request) -> Result<Answer> {
    let failed = |error: anyhow::Error| Failed { exit: Exit::Store, error };
    let request = upkeep::Request::Holder(serde_json::to_value(request)?);
    let answered = upkeep::ask(&project.store_path(), &request, &|_, _| {}).await;
    match answered.map_err(|error| failed(error.into()))? {
        upkeep::Answer::Holder(answer) => Ok(serde_json::from_value(answer)?),
        upkeep::Answer::Failed(reason) => Err(failed(anyhow!(reason))),
        _ => Err(failed(anyhow!("the answer is to another question"))),
    }
}
