//! The connector `towpath`: triggers that tell of flows and accounts. It has no accounts.

use std::collections::BTreeSet;
use std::time::Duration;

use connector::{Auth, Connector, Handling, ToldTrigger};
use flow::duration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::record;

/// The name that flow files use.
pub(super) const NAME: &str = "towpath";
pub(super) const FLOW_FAILING: &str = "flowFailing";
pub(super) const DEAD_LETTERED: &str = "deadLettered";
pub(super) const ACCOUNT_PAUSED: &str = "accountPaused";

/// It is no system. No name of this domain leads anywhere (RFC 2606).
const NOWHERE: &str = "https://no-base-url.invalid";

/// From a record to a message.
const TOLD: &str = "{ \"data\": data }\n";

const AFTER: Duration = Duration::from_secs(15 * 60);
const GATHER: Duration = Duration::from_secs(5 * 60);

/// The triggers by which the runtime tells of its flows and accounts.
pub fn connector() -> Connector {
    Connector::new(NAME, NOWHERE, Auth::None)
        .about("What the runtime tells of its own flows and accounts.")
        .page(include_str!("about.md"))
        .privacy(Handling::Nothing, Handling::Nothing)
        .without_accounts()
        .told::<FlowFailing>(FLOW_FAILING, TOLD)
        .record::<record::FlowFailing>()
        .message::<record::FlowFailing>()
        .told::<DeadLettered>(DEAD_LETTERED, TOLD)
        .record::<record::DeadLettered>()
        .message::<record::DeadLettered>()
        .told::<AccountPaused>(ACCOUNT_PAUSED, TOLD)
        .record::<record::AccountPaused>()
        .message::<record::AccountPaused>()
}

/// Tells of each flow whose runs have failed for a while, one after another: once, however often it
/// runs meanwhile and however often the service is started.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "after": "15m", "recovered": true }]))]
pub(super) struct FlowFailing {
    /// How long its runs must have failed: a whole number and `s`, `m`, `h` or `d`. One that goes
    /// well before that is not told of.
    #[serde(default)]
    #[schemars(regex(pattern = duration::PATTERN), extend("default" = "15m"))]
    after: Option<String>,
    /// The flows that are told of, by their names; all without it.
    #[serde(default)]
    pub(super) flows: Option<BTreeSet<String>>,
    /// Whether it is told too that a flow is well again, if it was told that it fails: then `state`
    /// is `recovered`.
    #[serde(default)]
    pub(super) recovered: bool,
}

/// Tells of new dead letters: how many a flow has, and by which codes. Those that come soon after
/// one another are told together.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "gather": "5m" }]))]
pub(super) struct DeadLettered {
    /// The first is told at once; what the same flow has within so long after that is told
    /// together: a whole number and `s`, `m`, `h` or `d`.
    #[serde(default)]
    #[schemars(regex(pattern = duration::PATTERN), extend("default" = "5m"))]
    gather: Option<String>,
    /// The flows that are told of, by their names; all without it.
    #[serde(default)]
    pub(super) flows: Option<BTreeSet<String>>,
}

/// Tells of each account that is paused because its credentials were refused: once a pause. Where what
/// was refused is held beyond the pause, the account counts as used again when that is over.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "resumed": true }]))]
pub(super) struct AccountPaused {
    /// How long it must have been paused: a whole number and `s`, `m`, `h` or `d`.
    #[serde(default)]
    #[schemars(regex(pattern = duration::PATTERN), extend("default" = "0s"))]
    after: Option<String>,
    /// The accounts that are told of, by their names; all without it.
    #[serde(default)]
    pub(super) accounts: Option<BTreeSet<String>>,
    /// Whether it is told too that an account is used again, if it was told that it is paused: then
    /// `state` is `resumed`.
    #[serde(default)]
    pub(super) resumed: bool,
}

impl FlowFailing {
    pub(super) fn after(&self) -> Result<Duration, String> {
        length("after", self.after.as_deref(), AFTER)
    }
}

impl DeadLettered {
    pub(super) fn gather(&self) -> Result<Duration, String> {
        length("gather", self.gather.as_deref(), GATHER)
    }
}

impl AccountPaused {
    pub(super) fn after(&self) -> Result<Duration, String> {
        length("after", self.after.as_deref(), Duration::ZERO)
    }
}

impl ToldTrigger for FlowFailing {
    fn validate(&self) -> Result<(), String> {
        self.after().map(drop)?;
        some("flows", self.flows.as_ref())
    }
}

impl ToldTrigger for DeadLettered {
    fn validate(&self) -> Result<(), String> {
        self.gather().map(drop)?;
        some("flows", self.flows.as_ref())
    }
}

impl ToldTrigger for AccountPaused {
    fn validate(&self) -> Result<(), String> {
        self.after().map(drop)?;
        some("accounts", self.accounts.as_ref())
    }
}

fn length(key: &str, written: Option<&str>, otherwise: Duration) -> Result<Duration, String> {
    let Some(text) = written else { return Ok(otherwise) };
    duration::parse(text).map_err(|problem| match duration::meant(text) {
        Some(meant) => format!("`{key}`: {problem}; write `{meant}`"),
        None => format!("`{key}`: {problem}, such as `15m`"),
    })
}

fn some(key: &str, names: Option<&BTreeSet<String>>) -> Result<(), String> {
    match names {
        Some(names) if names.is_empty() => {
            Err(format!("`{key}` names none: leave it out, and all are told of"))
        }
        _ => Ok(()),
    }
}
