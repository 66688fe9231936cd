//! The project's sealed vault, as far as it holds the secrets that accounts name.

use std::collections::BTreeMap;

use anyhow::anyhow;
use connector::{Secret, Timestamp};
use store::Store;

use crate::exit::{Exit, Failed, Result};

/// What the names of secrets begin with in the store, which keeps tokens there too.
const PREFIX: &str = "secret/";

/// The form of what is kept: this byte, when it was set in milliseconds since the epoch (8 bytes,
/// the largest first), and the value.
const FORM: u8 = 1;

/// Secrets out of the vault, for the accounts of one project.
#[derive(Debug, Default)]
pub(crate) struct Vault(BTreeMap<String, Secret>);

impl Vault {
    /// Takes secrets of these names out of the store; those that nobody set are left out.
    pub(crate) async fn open(
        store: &dyn Store,
        names: impl IntoIterator<Item = &str> + Send,
    ) -> Result<Self> {
        let mut secrets = BTreeMap::new();
        for name in names {
            if let Some((_, secret)) = read(store, name).await? {
                secrets.insert(name.to_owned(), secret);
            }
        }
        Ok(Self(secrets))
    }

    /// A vault that says of each of these names that its secret is there, and not what it is: for
    /// who asks only which system an account is at.
    pub(crate) fn unknown<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(|name| (name.to_owned(), Secret::new("-"))).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }
}

/// Keeps a secret, and says whether it took the place of another one.
pub(crate) async fn put(
    store: &dyn Store,
    name: &str,
    secret: &Secret,
    now: Timestamp,
) -> Result<bool> {
    let name = format!("{PREFIX}{name}");
    let replaced = store.vault_get(&name).await.map_err(failed)?.is_some();
    // With room for all of it: growing would leave parts of the secret behind.
    let mut value = Vec::with_capacity(1 + size_of::<i64>() + secret.expose().len());
    value.push(FORM);
    value.extend_from_slice(&now.millis().to_be_bytes());
    value.extend_from_slice(secret.expose().as_bytes());
    let kept = store.vault_put(&name, &value).await;
    // The secret itself is of a type that wipes it; this copy is not.
    value.fill(0);
    kept.map_err(failed)?;
    Ok(replaced)
}

/// Lists the names of the secrets that are kept, and when they were set.
pub(crate) async fn list(store: &dyn Store) -> Result<BTreeMap<String, Timestamp>> {
    let mut listed = BTreeMap::new();
    for full in store.vault_names(PREFIX).await.map_err(failed)? {
        let Some(name) = full.strip_prefix(PREFIX) else { continue };
        if let Some((at, _)) = read(store, name).await? {
            listed.insert(name.to_owned(), at);
        }
    }
    Ok(listed)
}

/// Removes a secret, and says whether there was one.
pub(crate) async fn remove(store: &dyn Store, name: &str) -> Result<bool> {
    store.vault_remove(&format!("{PREFIX}{name}")).await.map_err(failed)
}

async fn read(store: &dyn Store, name: &str) -> Result<Option<(Timestamp, Secret)>> {
    let Some(value) = store.vault_get(&format!("{PREFIX}{name}")).await.map_err(failed)? else {
        return Ok(None);
    };
    let read = parse(value);
    let unreadable = || anyhow!("the vault holds the secret {name} in a form of a newer towpath");
    read.map(Some).ok_or_else(|| Failed { exit: Exit::Store, error: unreadable() })
}

fn parse(value: Vec<u8>) -> Option<(Timestamp, Secret)> {
    let (at, text) = value.strip_prefix(&[FORM])?.split_first_chunk::<8>()?;
    let secret = Secret::new(std::str::from_utf8(text).ok()?);
    Some((Timestamp::from_millis(i64::from_be_bytes(*at)), secret))
}

fn failed(error: store::Error) -> Failed {
    Failed { exit: Exit::Store, error: error.into() }
}
