//! The accounts that flows use, their secrets looked up where towpath.yaml says.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use anyhow::{Context, anyhow};
use flow::Flow;
use flow::config::{Account, Given};

use crate::exit::{Failed, Result};
use crate::project::Project;
use crate::vault::Vault;

impl Project {
    /// The accounts that flows use. Without a vault those that need it are left out; what is
    /// missing anywhere else is an error either way.
    pub(crate) fn accounts<'a>(
        &self,
        flows: impl IntoIterator<Item = &'a Flow>,
        vault: Option<&Vault>,
    ) -> Result<Accounts> {
        let mut accounts = Accounts::default();
        for flow in flows {
            let trigger = flow.trigger.account().map(|account| ("trigger".to_owned(), account));
            let steps = flow.steps.iter();
            let steps = steps.map(|it| (format!("step \"{}\"", it.id), it.account.as_str()));
            for (part, name) in trigger.into_iter().chain(steps) {
                if accounts.ready.contains_key(name) {
                    continue;
                }
                let place = format!("flow \"{}\", {part}", flow.name);
                match self.account(name, vault).map_err(|failed| failed.at(place))? {
                    Some(account) => drop(accounts.ready.insert(name.to_owned(), account)),
                    None => accounts.need_vault = true,
                }
            }
        }
        Ok(accounts)
    }

    /// An account with its secrets looked up; `None` if that needs the vault and there is none.
    pub(crate) fn account(
        &self,
        name: &str,
        vault: Option<&Vault>,
    ) -> Result<Option<engine::Account>> {
        let file = self.config_path().display();
        let config = self.config().ok_or_else(|| {
            Failed::config(anyhow!("there is no {file}, so account \"{name}\" is not known"))
        })?;
        let written = config.accounts.get(name);
        let written =
            written.ok_or_else(|| Failed::config(anyhow!("{file} has no account \"{name}\"")))?;
        let connector = self.connectors().iter().find(|it| it.name() == written.connector);
        let connector = connector.ok_or_else(|| {
            Failed::config(anyhow!("account \"{name}\": no connector {}", written.connector))
        })?;
        let mut values = BTreeMap::new();
        let mut base_url = None;
        let mut needs_vault = false;
        for (setting, given) in given(written) {
            let found = self
                .look_up(given, vault)
                .with_context(|| format!("account \"{name}\" in {file}: `{setting}`"))
                .map_err(Failed::config)?;
            match found {
                None => needs_vault = true,
                Some(url) if setting == BASE_URL => base_url = Some(url),
                Some(value) => drop(values.insert(setting.to_owned(), value)),
            }
        }
        if needs_vault {
            return Ok(None);
        }
        let account = connector.account(name, base_url.as_deref(), values);
        let mut limits = BTreeMap::new();
        // What is said of the account goes before what is said of its connector.
        for of in [&written.connector, name] {
            for (class, limit) in config.limits.get(of).into_iter().flatten() {
                if let Some(limit) = NonZeroUsize::new(*limit) {
                    limits.insert(class.clone(), limit);
                }
            }
        }
        Ok(Some(engine::Account { account: account.map_err(Failed::config)?, limits }))
    }

    /// The value itself; `None` if it is in the vault and there is none to look in.
    fn look_up(&self, given: &Given, vault: Option<&Vault>) -> anyhow::Result<Option<String>> {
        match given {
            Given::Literal(text) => Ok(Some(text.clone())),
            Given::Env(name) => std::env::var(name).map(Some).map_err(|error| match error {
                std::env::VarError::NotPresent => {
                    anyhow!("the environment variable {name} is not set")
                }
                std::env::VarError::NotUnicode(_) => {
                    anyhow!("the environment variable {name} is not text")
                }
            }),
            Given::File(path) => {
                let path = self.root().join(path);
                let text = std::fs::read_to_string(&path);
                let text = text.with_context(|| format!("could not read {}", path.display()))?;
                Ok(Some(text.trim().to_owned()))
            }
            Given::Secret(name) => {
                let Some(vault) = vault else { return Ok(None) };
                let found = vault.get(name).map(|secret| Some(secret.expose().to_owned()));
                found.ok_or_else(|| {
                    let set = self.command(&format!("secret set {name}"));
                    anyhow!("the secret {name} is not in the vault: run `{set}`")
                })
            }
        }
    }

    /// The names of the secrets that the accounts of towpath.yaml use, and which accounts do.
    pub(crate) fn secrets_used(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (account, written) in self.config().into_iter().flat_map(|config| &config.accounts) {
            for (_, given) in given(written) {
                if let Given::Secret(name) = given {
                    used.entry(name).or_default().insert(account);
                }
            }
        }
        used
    }
}

/// Accounts with their secrets.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// By name.
    pub(crate) ready: BTreeMap<String, engine::Account>,
    /// Whether others were left out that need the vault.
    pub(crate) need_vault: bool,
}

const BASE_URL: &str = "baseUrl";

/// What is written of an account, by setting.
fn given(account: &Account) -> impl Iterator<Item = (&str, &Given)> {
    let settings = account.settings.iter().map(|(setting, given)| (setting.as_str(), given));
    settings.chain(account.base_url.iter().map(|given| (BASE_URL, given)))
}
