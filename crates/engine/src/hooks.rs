//! What systems gave when a flow's address was registered there, sealed in the vault.

use std::collections::BTreeMap;

use connector::{Account, ErasedHeard, Secret};
use store::Store;

use crate::{Error, Result};

fn name(flow: &str) -> String {
    format!("hooks: {flow}")
}

/// Keeps what a registration gave, in the place of what was kept; durable when it returns.
pub async fn keep(store: &dyn Store, flow: &str, kept: &BTreeMap<&str, Secret>) -> Result<()> {
    let kept: BTreeMap<&str, &str> = kept.iter().map(|(k, v)| (*k, v.expose())).collect();
    let bytes = serde_json::to_vec(&kept).unwrap_or_default();
    let put = store.vault_put(&name(flow), &bytes).await;
    put.map_err(|error| Error::store(flow, &error))
}

/// Forgets it: calls are not believed any more.
pub async fn forget(store: &dyn Store, flow: &str) -> Result<bool> {
    let removed = store.vault_remove(&name(flow)).await;
    removed.map_err(|error| Error::store(flow, &error))
}

/// What is kept for a flow, by name; empty if nothing was registered.
pub async fn kept(store: &dyn Store, flow: &str) -> Result<BTreeMap<String, Secret>> {
    let bytes = store.vault_get(&name(flow)).await;
    let bytes = bytes.map_err(|error| Error::store(flow, &error))?;
    let kept: Option<BTreeMap<String, String>> =
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok(kept.into_iter().flatten().map(|(name, value)| (name, Secret::new(value))).collect())
}

/// The account as requests for a flow are read by it: with what is kept for the flow.
pub(crate) async fn account_with_kept(
    store: &dyn Store,
    flow: &str,
    account: Account,
    trigger: &dyn ErasedHeard,
) -> Result<Account> {
    let mut known = kept(store, flow).await?;
    let wanted = trigger.kept().iter().filter_map(|name| Some((*name, known.remove(*name)?)));
    let wanted: Vec<_> = wanted.collect();
    Ok(account.with_kept(wanted))
}
