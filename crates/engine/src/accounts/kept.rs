//! What the store keeps of accounts: which are paused, what of them is held, whose circuit breakers
//! are open, and which are answered with nothing but 5xx.

use std::time::Duration;

use connector::Timestamp;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::Store;

/// What the names of pauses begin with in the vault; the account's name follows.
pub(super) const PAUSE: &str = "pause/";
/// What the names of holds begin with in the vault; the account's name follows.
pub(super) const HOLD: &str = "held/";
/// What the names of open breakers begin with in the vault; identity and class follow.
pub(super) const BREAKER: &str = "breaker/";
/// What the names of outages begin with in the vault; identity and class follow.
pub(super) const OUTAGE: &str = "outage/";

/// A paused account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeptPause {
    pub(super) account: String,
    pub(super) since: Timestamp,
    pub(super) next: Timestamp,
    /// From one probe to the next.
    pub(super) wait_seconds: u64,
    pub(super) reason: String,
    pub(super) fingerprint: String,
}

/// What must not be sent again with an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeptHold {
    pub(super) account: String,
    pub(super) since: Timestamp,
    pub(super) reason: String,
    pub(super) fingerprint: String,
}

/// An open breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeptBreaker {
    pub(super) account: String,
    pub(super) identity: String,
    pub(super) class: String,
    pub(super) since: Timestamp,
    pub(super) next: Timestamp,
    pub(super) wait_seconds: u64,
    pub(super) reason: String,
}

/// A limit class whose requests were answered with nothing but 5xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeptOutage {
    pub(super) account: String,
    pub(super) identity: String,
    pub(super) class: String,
    pub(super) since: Timestamp,
    pub(super) last: Timestamp,
    /// What the connector says, once it has lasted for that.
    pub(super) advice: Option<String>,
}

/// An account that is not used as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountState {
    /// Its name in towpath.yaml.
    pub account: String,
    /// Why it is paused, if it is: nothing is asked or sent with it but a probe.
    pub paused: Option<Rest>,
    /// Why something of it is held, if it is: what a system wants not to be asked again once it
    /// refused it is sent only after somebody resumed the account, or with other settings.
    #[serde(default)]
    pub held: Option<Held>,
    /// The limit classes whose circuit breakers are open, and why.
    pub open: Vec<Open>,
    /// The limit classes whose requests have been answered with nothing but 5xx for so long that
    /// the connector says what to do.
    #[serde(default)]
    pub outages: Vec<Outage>,
}

/// Since when something rests, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rest {
    /// When it began.
    pub since: Timestamp,
    /// When the next request may probe, as it was reckoned last.
    pub next: Timestamp,
    /// What the system said, without secrets.
    pub reason: String,
}

/// Since when something is held, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// When it was refused.
    pub since: Timestamp,
    /// What the system said, without secrets.
    pub reason: String,
}

/// A circuit breaker that is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// The limit class.
    pub class: String,
    /// Since when, until when, and why.
    pub rest: Rest,
}

/// A limit class whose requests have been answered with nothing but 5xx for long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// The limit class.
    pub class: String,
    /// When the first of these requests began.
    pub since: Timestamp,
    /// When the last one began.
    pub last: Timestamp,
    /// What the connector says: whom to tell, what to do.
    pub advice: String,
}

pub(super) fn pause_name(account: &str) -> String {
    format!("{PAUSE}{account}")
}

pub(super) fn hold_name(account: &str) -> String {
    format!("{HOLD}{account}")
}

pub(super) fn breaker_name(identity: &str, class: &str) -> String {
    format!("{BREAKER}{identity}/{class}")
}

pub(super) fn outage_name(identity: &str, class: &str) -> String {
    format!("{OUTAGE}{identity}/{class}")
}

pub(super) fn seconds(wait: Duration) -> u64 {
    wait.as_secs()
}

/// All that the store keeps of accounts.
#[derive(Debug, Default)]
pub(super) struct All {
    pub(super) pauses: Vec<KeptPause>,
    pub(super) holds: Vec<KeptHold>,
    pub(super) breakers: Vec<KeptBreaker>,
    pub(super) outages: Vec<KeptOutage>,
}

/// Reads it, by one look through the vault's names. What cannot be read is left out: the next request
/// finds out again, by being refused once more where it was a hold.
pub(super) async fn all(store: &dyn Store) -> store::Result<All> {
    fn add<T: DeserializeOwned>(to: &mut Vec<T>, value: &[u8]) {
        to.extend(serde_json::from_slice::<T>(value).ok());
    }
    let mut all = All::default();
    for name in store.vault_names("").await? {
        let is = |prefix: &&str| name.starts_with(prefix);
        let Some(prefix) = [PAUSE, HOLD, BREAKER, OUTAGE].into_iter().find(is) else { continue };
        let Some(value) = store.vault_get(&name).await? else { continue };
        match prefix {
            PAUSE => add(&mut all.pauses, &value),
            HOLD => add(&mut all.holds, &value),
            BREAKER => add(&mut all.breakers, &value),
            _ => add(&mut all.outages, &value),
        }
    }
    Ok(all)
}

/// Lists the accounts that are not used as usual, by name.
pub(crate) async fn states(store: &dyn Store) -> store::Result<Vec<AccountState>> {
    let mut states = std::collections::BTreeMap::<String, AccountState>::new();
    let state = |account: &str| AccountState { account: account.to_owned(), ..Default::default() };
    let All { pauses, holds, breakers, outages } = all(store).await?;
    for pause in pauses {
        let KeptPause { account, since, next, reason, .. } = pause;
        let entry = states.entry(account.clone()).or_insert_with(|| state(&account));
        entry.paused = Some(Rest { since, next, reason });
    }
    for KeptHold { account, since, reason, .. } in holds {
        let entry = states.entry(account.clone()).or_insert_with(|| state(&account));
        entry.held = Some(Held { since, reason });
    }
    for breaker in breakers {
        let KeptBreaker { account, class, since, next, reason, .. } = breaker;
        let entry = states.entry(account.clone()).or_insert_with(|| state(&account));
        entry.open.push(Open { class, rest: Rest { since, next, reason } });
    }
    for outage in outages {
        let KeptOutage { account, class, since, last, advice, .. } = outage;
        let Some(advice) = advice else { continue };
        let entry = states.entry(account.clone()).or_insert_with(|| state(&account));
        entry.outages.push(Outage { class, since, last, advice });
    }
    Ok(states.into_values().collect())
}

/// Forgets that an account is paused or something of it held, that its breakers are open, and what was
/// answered with nothing but 5xx; says whether there was anything to forget.
pub(crate) async fn resume(store: &dyn Store, account: &str) -> store::Result<bool> {
    let mut found = store.vault_remove(&pause_name(account)).await?;
    found |= store.vault_remove(&hold_name(account)).await?;
    let All { breakers, outages, .. } = all(store).await?;
    for breaker in breakers.iter().filter(|it| it.account == account) {
        found |= store.vault_remove(&breaker_name(&breaker.identity, &breaker.class)).await?;
    }
    for outage in outages.iter().filter(|it| it.account == account) {
        found |= store.vault_remove(&outage_name(&outage.identity, &outage.class)).await?;
    }
    Ok(found)
}
