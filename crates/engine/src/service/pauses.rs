//! Which flows are paused, as the store keeps it: a restart changes nothing about it.

use connector::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Store;

use crate::{Error, Result};

/// What the names of paused flows begin with in the vault; the flow's name follows.
const KEPT: &str = "paused flow/";

/// A flow that runs only when somebody says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// The flow's name.
    pub flow: String,
    /// Since when.
    pub since: Timestamp,
    /// Who paused it: the name of a token.
    pub by: String,
    /// Why, in their words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Keeps that a flow is paused; one that is already stays as it was. Durable when it returns.
pub async fn pause(store: &dyn Store, pause: Pause) -> Result<Pause> {
    if let Some(before) = paused(store, &pause.flow).await? {
        return Ok(before);
    }
    let failed = |error: store::Error| Error::store(&pause.flow, &error);
    let value = serde_json::to_vec(&pause).unwrap_or_default();
    store.vault_put(&name(&pause.flow), &value).await.map_err(failed)?;
    Ok(pause)
}

/// Forgets that a flow is paused; says whether it was. Durable when it returns.
pub async fn resume(store: &dyn Store, flow: &str) -> Result<bool> {
    store.vault_remove(&name(flow)).await.map_err(|error| Error::store(flow, &error))
}

/// Since when a flow is paused, if it is.
pub async fn paused(store: &dyn Store, flow: &str) -> Result<Option<Pause>> {
    let kept = store.vault_get(&name(flow)).await.map_err(|error| Error::store(flow, &error))?;
    Ok(kept.map(|value| read(flow, &value)))
}

/// The flows that are paused, by name.
pub async fn pauses(store: &dyn Store) -> Result<Vec<Pause>> {
    let failed = |error: store::Error| Error::store("*", &error);
    let mut found = vec![];
    for name in store.vault_names(KEPT).await.map_err(failed)? {
        let Some(flow) = name.strip_prefix(KEPT) else { continue };
        found.extend(paused(store, flow).await?);
    }
    Ok(found)
}

/// What cannot be read is a pause all the same: it must not run for that.
fn read(flow: &str, value: &[u8]) -> Pause {
    serde_json::from_slice(value).unwrap_or_else(|_| Pause {
        flow: flow.to_owned(),
        since: Timestamp::default(),
        by: "unknown".to_owned(),
        reason: None,
    })
}

fn name(flow: &str) -> String {
    format!("{KEPT}{flow}")
}

#[cfg(test)]
mod tests {
    use store::{MasterKey, MemoryStore};

    use super::*;

    #[tokio::test]
    async fn a_pause_is_kept_until_it_is_ended() {
        let store = MemoryStore::new(MasterKey::generate());
        let at = |seconds, by: &str| Pause {
            flow: "a".to_owned(),
            since: Timestamp::from_secs(seconds),
            by: by.to_owned(),
            reason: Some("maintenance".to_owned()),
        };
        assert_eq!(pause(&store, at(1, "ada")).await.unwrap(), at(1, "ada"));
        assert_eq!(pause(&store, at(2, "eve")).await.unwrap(), at(1, "ada"));
        assert_eq!(pauses(&store).await.unwrap(), [at(1, "ada")]);
        assert!(resume(&store, "a").await.unwrap());
        assert!(!resume(&store, "a").await.unwrap());
        assert_eq!(pauses(&store).await.unwrap(), []);
    }
}
