//! What flows remember: shown, and changed as operators change it.

use axum::extract::State;
use connector::Timestamp;
use engine::service::Pause;
use engine::{Answer, Changed, Entry, Request, RewindTo, Rewound, StateChange, Waiting};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Counts;

use super::errors::ask;
use super::flows::known;
use super::paging::{Page, Paging};
use crate::extract::{Json, Path, Query};
use crate::problem::Problem;
use crate::routes::{Access, Routes, get, post};
use crate::scope::Scope;
use crate::server::Server;

pub(super) fn routes() -> Routes {
    let (read, operate) = (Access::Needs(Scope::Read), Access::Needs(Scope::Operate));
    let missing: &[(u16, &str)] = &[(404, "There is no such flow.")];
    Routes::default()
        .and(
            get("/api/v1/flows/{flow}/state", read, show)
                .says("state", "getState", "Shows what a flow remembers.")
                .answers::<StateView>(200, "Its state.")
                .problems(missing),
        )
        .and(
            get("/api/v1/flows/{flow}/history", read, history)
                .says(
                    "state",
                    "listHistory",
                    "Lists the snapshots that are remembered of a flow, newest first.",
                )
                .query::<Paging>()
                .answers::<Page<Entry>>(200, "A page of snapshots.")
                .problems(missing),
        )
        .and(
            post("/api/v1/flows/{flow}/state", operate, change)
                .says(
                    "state",
                    "changeState",
                    "Changes what a flow remembers, in one commit that is remembered and can be \
                     taken back.",
                )
                .idempotent()
                .takes::<Change>()
                .answers::<ChangeView>(200, "What it came to.")
                .problems(missing)
                .problems(&[
                    (409, "The flow runs, or its source is not what it was."),
                    (422, "It cannot be changed so."),
                ]),
        )
}

/// What a flow remembers.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StateView {
    /// The snapshot as stored; absent if it never committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<Value>,
    /// The number of the last commit.
    commit: u64,
    /// What became of its records so far.
    counts: Counts,
    /// What waits.
    waiting: Waiting,
    /// Since when it runs only when somebody says so, if it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Pause>,
}

/// What to change of a flow's state.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "change")]
enum Change {
    /// Goes on from the stored snapshot although the flow reads another source now.
    Keep,
    /// Forgets everything: the next run reads and sends all there is.
    Reset,
    /// Goes back: what was settled since is sent again. Exactly one of `to`, `by` and `entry`.
    Rewind {
        /// To a moment.
        to: Option<Timestamp>,
        /// So many seconds before its `lastUpdated`.
        by: Option<u32>,
        /// To a remembered snapshot, by its number in the history.
        entry: Option<u64>,
        /// Only says what it would mean.
        #[serde(default)]
        dry: bool,
    },
    /// Puts a snapshot in the place of the stored one.
    Set {
        /// The snapshot.
        snapshot: Value,
    },
    /// Begins a backfill: what changed since a moment is sent again, page by page between those of
    /// what changes now.
    Backfill {
        /// Records that changed before are left out.
        from: Timestamp,
        /// Records that changed later are left out.
        until: Option<Timestamp>,
    },
    /// Ends the backfill under way.
    StopBackfill,
}

/// What a change of state came to.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ChangeView {
    /// Its place in the history.
    changed: Changed,
    /// What a rewind means.
    #[serde(skip_serializing_if = "Option::is_none")]
    rewound: Option<Rewound>,
}

async fn show(
    State(server): State<Server>,
    Path(flow): Path<String>,
) -> Result<Json<StateView>, Problem> {
    let answer = ask(&server, Request::State { flow: flow.clone() }).await?;
    let Answer::State { snapshot, commit, counts, waiting, paused, .. } = answer else {
        return Err(Problem::internal());
    };
    if snapshot.is_none() {
        known(&server, &flow)?;
    }
    Ok(Json(StateView { snapshot, commit, counts, waiting, paused }))
}

async fn history(
    State(server): State<Server>,
    Path(flow): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<Entry>>, Problem> {
    let limit = paging.limit()?;
    let after = paging.place(|after| after.parse::<u64>().ok())?;
    let Answer::History { entries } = ask(&server, Request::History { flow: flow.clone() }).await?
    else {
        return Err(Problem::internal());
    };
    if entries.is_empty() {
        known(&server, &flow)?;
    }
    let behind = entries.into_iter().filter(|it| after.is_none_or(|after| it.entry < after));
    Ok(Json(Page::cut(behind.take(limit + 1).collect(), limit, |it| it.entry.to_string())))
}

async fn change(
    State(server): State<Server>,
    Path(flow): Path<String>,
    Json(change): Json<Change>,
) -> Result<Json<ChangeView>, Problem> {
    known(&server, &flow)?;
    let Answer::Source { source, by_time } =
        ask(&server, Request::Source { flow: flow.clone() }).await?
    else {
        return Err(Problem::internal());
    };
    let change = match change {
        Change::Keep => StateChange::Keep { source },
        Change::Reset => StateChange::Reset { source },
        Change::Rewind { to, by, entry, dry } => {
            let to = match (to, by, entry) {
                (Some(to), None, None) => RewindTo::Time(to),
                (None, Some(by), None) => RewindTo::By(u64::from(by) * 1000),
                (None, None, Some(entry)) => RewindTo::Entry(entry),
                _ => {
                    let detail = "a rewind needs exactly one of `to`, `by` and `entry`";
                    return Err(Problem::unprocessable("body", detail));
                }
            };
            StateChange::Rewind { source, by_time, to, dry }
        }
        Change::Set { snapshot } => StateChange::Set { source, document: snapshot },
        Change::Backfill { from, until } => {
            if until.is_some_and(|until| until < from) {
                let detail = "`until` is before `from`: nothing is between";
                return Err(Problem::unprocessable("body", detail));
            }
            StateChange::Backfill { source, from, until }
        }
        Change::StopBackfill => StateChange::StopBackfill,
    };
    let answer = ask(&server, Request::Change { flow, change }).await?;
    Ok(Json(match answer {
        Answer::Changed { changed } => ChangeView { changed, rewound: None },
        Answer::Rewound { changed, rewound } => ChangeView { changed, rewound: Some(rewound) },
        _ => ChangeView::default(),
    }))
}
