//! What is told: records without a secret, without content, and without a word of another system.

use connector::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// A flow whose runs fail one after another, or one that is well again.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("examples" = [{
    "flow": "newsletter", "state": "failing", "since": "2026-03-01T11:40:00Z",
    "at": "2026-03-01T11:55:00Z", "failures": 4, "code": "unauthorized",
    "message": "the account's credentials were refused", "step": "profiles",
    "account": "engagement", "needsChange": false, "command": "towpath state show newsletter",
}]))]
pub(super) struct FlowFailing {
    /// The flow's name.
    pub(super) flow: String,
    /// Whether it fails, or is well again.
    pub(super) state: Fails,
    /// When the first of the runs began that failed one after another.
    pub(super) since: Timestamp,
    /// When it was told.
    pub(super) at: Timestamp,
    /// How many runs failed since then, as far back as the lines of runs are kept.
    pub(super) failures: u64,
    /// What kind of failure the last one was: `unavailable`, `heldBack`, `paused`, `unauthorized`,
    /// `config`, `tooManyRejects`, `tooManyDeletes`, `stopped`, `sourceChanged`, `snapshot`,
    /// `newerSnapshot`, `store`, `refused`, `internal`; `failed` where that is not known any more.
    pub(super) code: String,
    /// The same in words. What a system said is not among them, since that may quote a record:
    /// `command` shows it.
    pub(super) message: String,
    /// What the connector says of a system that answers nothing but 5xx for long: whom to tell, what
    /// to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
    /// The step that failed, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<String>,
    /// The account in use, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    /// Whether nothing but a change of the flow, the account or the system helps.
    pub(super) needs_change: bool,
    /// The command that shows more.
    pub(super) command: String,
}

/// Whether a flow fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Fails {
    /// It does.
    Failing,
    /// It did, and a run went well.
    Recovered,
}

/// New dead letters of a flow.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("examples" = [{
    "flow": "newsletter", "count": 3, "total": 21,
    "codes": [{ "code": "T2001", "step": "profiles", "count": 3 }],
    "since": "2026-03-01T11:40:00Z", "at": "2026-03-01T11:55:00Z",
    "command": "towpath dead-letters list newsletter",
}]))]
pub(super) struct DeadLettered {
    /// The flow's name.
    pub(super) flow: String,
    /// How many there are that were not told of before.
    pub(super) count: u64,
    /// How many the flow has made over all time.
    pub(super) total: u64,
    /// By which codes, the most frequent first: ten at most, of those that are open.
    pub(super) codes: Vec<Coded>,
    /// When it was told before, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// When it was told.
    pub(super) at: Timestamp,
    /// The command that shows them.
    pub(super) command: String,
}

/// Dead letters by one code at one step.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Coded {
    /// The code.
    pub(super) code: String,
    /// The step that refused them; none if they came to no step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<String>,
    /// How many there are.
    pub(super) count: u64,
}

/// An account that is paused or held in part, or one that is used again.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("examples" = [{
    "account": "engagement", "state": "paused", "since": "2026-03-01T11:54:59Z",
    "at": "2026-03-01T11:55:00Z", "nextProbe": "2026-03-01T11:55:59Z",
    "message": "its credentials were refused: nothing is asked or sent with it",
    "command": "towpath account test engagement",
}]))]
pub(super) struct AccountPaused {
    /// The account's name in `towpath.yaml`.
    pub(super) account: String,
    /// Whether it is paused, held in part, or used again.
    pub(super) state: Rests,
    /// When its credentials were refused first.
    pub(super) since: Timestamp,
    /// When it was told.
    pub(super) at: Timestamp,
    /// When it is probed next, as it was reckoned last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_probe: Option<Timestamp>,
    /// The same in words. What its system said is not among them: `command` shows it.
    pub(super) message: String,
    /// The command that shows more.
    pub(super) command: String,
}

/// Whether an account is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Rests {
    /// It is paused.
    Paused,
    /// It is used, but what its system refused is not sent again by itself.
    Held,
    /// It was paused or held in part, and is used again.
    Resumed,
}
