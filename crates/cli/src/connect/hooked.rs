//! Where systems call flows: registered, listed and taken away at the systems.

use std::collections::BTreeMap;

use connector::{Api, Hook, Registered};
use flow::Flow;
use server::accounts::{Host, Refusal};

use super::book::Book;

impl Book {
    /// A flow that its system tells of changes, and the account's access to that.
    async fn hearing(&self, account: &str, name: &str) -> Result<(Flow, Api), Refusal> {
        let project = self.project()?;
        let flow = project.flow(name);
        let flow = flow.map_err(|failed| Refusal::Other(format!("{:#}", failed.error)))?;
        if flow.trigger.trigger.heard().is_none() {
            return Err(Refusal::Other(format!(
                "{name} is no flow that is registered at a system: its trigger is `{}.{}`",
                flow.trigger.connector, flow.trigger.name
            )));
        }
        if flow.trigger.account != account {
            let of = &flow.trigger.account;
            return Err(Refusal::Other(format!("{name} is called for the account {of}")));
        }
        let api = self.access(account).await?;
        Ok((flow, api))
    }

    /// Registers a flow. What the system needs to be answered is kept before it is asked: it calls
    /// the address before it answers.
    pub(super) async fn register_hook(
        &self,
        account: &str,
        name: &str,
        url: &str,
    ) -> Result<(), Refusal> {
        let (flow, api) = self.hearing(account, name).await?;
        let Some(heard) = flow.trigger.trigger.heard() else { return Ok(()) };
        let kept = |error: engine::Error| Refusal::Other(error.to_string());
        let store = self.store();
        let before = engine::hooks::kept(store, name).await.map_err(kept)?;
        let verify = server::local_token();
        let verify = verify.map_err(|error| Refusal::Other(error.to_string()))?;
        let mut begun: BTreeMap<&str, _> =
            before.iter().map(|(name, secret)| (name.as_str(), secret.clone())).collect();
        if let Some(first) = heard.kept().first() {
            begun.insert(first, verify.clone());
        }
        engine::hooks::keep(store, name, &begun).await.map_err(kept)?;
        let hook = Hook { url: url.to_owned(), verify };
        match heard.register(&api, &hook).await {
            Ok(given) => engine::hooks::keep(store, name, &given).await.map_err(kept),
            // What was registered before may be gone by now: its token harms nobody.
            Err(error) => Err(Refusal::of_call(error)),
        }
    }

    /// Takes the registration of a flow away, and what was kept for it.
    pub(super) async fn unregister_hook(&self, account: &str, name: &str) -> Result<bool, Refusal> {
        let (flow, api) = self.hearing(account, name).await?;
        let Some(heard) = flow.trigger.trigger.heard() else { return Ok(false) };
        let was = heard.unregister(&api).await.map_err(Refusal::of_call)?;
        let forgotten = engine::hooks::forget(self.store(), name).await;
        forgotten.map_err(|error| Refusal::Other(error.to_string()))?;
        Ok(was)
    }

    /// What is registered at an account's system, asked by any of its flows that can be.
    pub(super) async fn hooks_of(&self, account: &str) -> Result<Vec<Registered>, Refusal> {
        let api = self.access(account).await?;
        let project = self.project()?;
        let files = project.flow_files(&[]);
        let files = files.map_err(|failed| Refusal::Other(format!("{:#}", failed.error)))?;
        for file in files {
            let Ok((Some(flow), _)) = project.check(&file) else { continue };
            if flow.trigger.account == account
                && let Some(heard) = flow.trigger.trigger.heard()
            {
                return heard.registered(&api).await.map_err(Refusal::of_call);
            }
        }
        Err(Refusal::Other(format!(
            "no flow of {account} is one that a system is told to call, so it cannot be asked"
        )))
    }
}
