//! What the store keeps of alerts: since when flows fail, and what each flow was told.

use std::collections::{BTreeMap, BTreeSet};

use connector::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::{Result, Store};

use super::alert::Of;
use super::failure::Failure;

/// What the names of failing flows begin with in the vault; the flow's name follows.
const FAILING: &str = "failing flow/";
/// What the names of what flows were told begin with; the flow's name follows.
const TOLD: &str = "told to flow/";

/// Since when a flow fails. Lines of runs say the same, as far back as they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeptStreak {
    /// When the first run began that failed.
    pub(super) since: Timestamp,
    /// How the last one failed, as far as it was another way than the one before.
    pub(super) failure: Failure,
}

/// What one flow was told, and what is on its way to it. Both change in one write, so that nothing
/// is told twice or forgotten.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    /// The trigger's name: with another one it begins anew.
    pub(super) trigger: String,
    /// By flow or account.
    pub(super) marks: BTreeMap<String, Mark>,
    /// What is not in the inbox yet, oldest first.
    pub(super) waiting: Vec<Waiting>,
    /// Whether the store does not have it as it is.
    #[serde(skip)]
    pub(super) changed: bool,
}

/// What was told of one flow or account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mark {
    /// Of a condition, when it began; of dead letters, when they were told.
    pub(super) at: Timestamp,
    /// How many dead letters there were.
    #[serde(default)]
    pub(super) total: u64,
    /// How the flow failed, as it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<Failure>,
    /// Whether it was told with what the connector says of an outage.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) advised: bool,
}

/// A record on its way into an inbox.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// What it is known by: the inbox takes it once.
    pub(super) key: String,
    /// The flow or account that it is about: the record's key.
    pub(super) about: String,
    pub(super) record: Box<RawValue>,
}

impl Told {
    pub(super) fn new(of: Of) -> Self {
        Self { trigger: of.name().to_owned(), ..Self::default() }
    }
}

/// The flows of which it is kept since when they fail.
pub(super) async fn failing(store: &dyn Store) -> Result<BTreeSet<String>> {
    let names = store.vault_names(FAILING).await?.into_iter();
    Ok(names.filter_map(|name| name.strip_prefix(FAILING).map(str::to_owned)).collect())
}

/// Since when a flow fails, as it was kept.
pub(super) async fn streak(store: &dyn Store, flow: &str) -> Result<Option<KeptStreak>> {
    read(store, &format!("{FAILING}{flow}")).await
}

/// Keeps since when a flow fails, or that it does not.
pub(super) async fn keep_streak(
    store: &dyn Store,
    flow: &str,
    streak: Option<&KeptStreak>,
) -> Result<()> {
    let name = format!("{FAILING}{flow}");
    match streak {
        Some(streak) => write(store, &name, streak).await,
        None => store.vault_remove(&name).await.map(drop),
    }
}

/// What a flow was told, if anything is known of that.
pub(super) async fn told(store: &dyn Store, flow: &str) -> Result<Option<Told>> {
    read(store, &format!("{TOLD}{flow}")).await
}

/// Keeps what a flow was told.
pub(super) async fn keep_told(store: &dyn Store, flow: &str, told: &Told) -> Result<()> {
    write(store, &format!("{TOLD}{flow}"), told).await
}

/// What cannot be read is as if it were not there: it is written by this module alone.
async fn read<T: DeserializeOwned>(store: &dyn Store, name: &str) -> Result<Option<T>> {
    let value = store.vault_get(name).await?;
    Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
}

async fn write<T: Serialize>(store: &dyn Store, name: &str, value: &T) -> Result<()> {
    store.vault_put(name, &serde_json::to_vec(value).unwrap_or_default()).await
}
