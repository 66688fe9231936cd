//! Dead letters: listed, shown, edited, sent again, dropped.

use std::collections::BTreeMap;

use axum::extract::State;
use connector::Timestamp;
use engine::{Answer, DeadLetter, DeadLetterLine, LetterFilter, Outcome, Request};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::LetterState;

use super::errors::ask;
use super::paging::{Page, Paging, moment, number};
use crate::extract::{Json, Path, Query};
use crate::problem::Problem;
use crate::routes::{Access, Routes, delete, get, post, put};
use crate::scope::Scope;
use crate::server::Server;

/// No message is longer.
const LARGEST_MESSAGE: usize = 16 * 1024 * 1024;

pub(super) fn routes() -> Routes {
    let (read, operate) = (Access::Needs(Scope::Read), Access::Needs(Scope::Operate));
    let missing: &[(u16, &str)] = &[(404, "There is no such dead letter.")];
    let refused: &[(u16, &str)] = &[
        (409, "The flow runs, or a system or account cannot be used now."),
        (422, "It cannot be done so."),
    ];
    Routes::default()
        .and(
            get("/api/v1/dead-letters", read, list)
                .says("dead letters", "listDeadLetters", "Lists dead letters, newest first, without their messages.")
                .query::<Asked>()
                .answers::<Page<DeadLetterLine>>(200, "A page of dead letters."),
        )
        .and(
            get("/api/v1/dead-letters/{id}", read, show)
                .says("dead letters", "getDeadLetter", "Shows a dead letter with everything that was kept.")
                .answers::<DeadLetter>(200, "The dead letter.")
                .problems(missing),
        )
        .and(
            put("/api/v1/dead-letters/{id}/message", operate, edit)
                .says(
                    "dead letters",
                    "editDeadLetter",
                    "Puts another message of the same record in the place of a dead letter's own: the \
                     next replay sends that.",
                )
                .takes::<Message>()
                .body_limit(LARGEST_MESSAGE)
                .answers::<DeadLetter>(200, "The dead letter as it is now.")
                .problems(missing)
                .problems(refused),
        )
        .and(
            post("/api/v1/dead-letters/{id}/replay", operate, replay_one)
                .says("dead letters", "replayDeadLetter", "Sends a dead letter again, by the flow as it is now.")
                .idempotent()
                .streams()
                .may_take::<How>()
                .answers::<Replayed>(200, "What became of it.")
                .problems(missing)
                .problems(refused),
        )
        .and(
            post("/api/v1/dead-letters/replay", operate, replay)
                .says(
                    "dead letters",
                    "replayDeadLetters",
                    "Sends the dead letters again that a filter means, oldest first, flow by flow. An \
                     empty filter means all that are open.",
                )
                .idempotent()
                .streams()
                .takes::<Replay>()
                .answers::<Replayed>(200, "What became of them.")
                .problems(missing)
                .problems(refused),
        )
        .and(
            post("/api/v1/dead-letters/drop", operate, drop_some)
                .says(
                    "dead letters",
                    "dropDeadLetters",
                    "Drops the dead letters for good that a filter means. An empty filter means all \
                     that are open.",
                )
                .idempotent()
                .takes::<Which>()
                .answers::<Dropped>(200, "How many were dropped.")
                .problems(missing)
                .problems(refused),
        )
        .and(
            delete("/api/v1/dead-letters/{id}", operate, drop_one)
                .says("dead letters", "dropDeadLetter", "Drops a dead letter for good.")
                .answers_as(204, "It is gone.", "")
                .problems(missing)
                .problems(refused),
        )
}

/// Which dead letters are listed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Asked {
    /// Of this flow.
    flow: Option<String>,
    /// Refused by this step; `trigger` is the trigger's mapping.
    step: Option<String>,
    /// With this code.
    code: Option<String>,
    /// Refused then or later, as RFC 3339.
    since: Option<Timestamp>,
    /// Refused before that, as RFC 3339.
    until: Option<Timestamp>,
    /// Of the record with this key in its system.
    key: Option<String>,
    /// That stand so; all of them if nothing is said.
    state: Option<LetterState>,
    /// How many at most: 50 if nothing is said, and never more than 500.
    #[schemars(range(min = 1, max = 500))]
    #[serde(default, deserialize_with = "number")]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Which dead letters are meant: those that fit everything that is given.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Which {
    /// Ids, or beginnings of them.
    #[schemars(length(max = 1_000))]
    ids: Vec<String>,
    /// Of this flow.
    flow: Option<String>,
    /// Refused by this step; `trigger` is the trigger's mapping.
    step: Option<String>,
    /// With this code.
    code: Option<String>,
    /// Refused then or later.
    since: Option<Timestamp>,
    /// Refused before that.
    until: Option<Timestamp>,
    /// Of the record with this key in its system.
    key: Option<String>,
}

/// Which dead letters are sent again, and how.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Replay {
    /// Which ones.
    which: Which,
    /// Whether those go too that newer messages overtook, or that were sent before.
    force: bool,
}

/// How a dead letter is sent again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct How {
    /// Also if a newer message of its record overtook it, or it was sent before.
    force: bool,
}

/// A message.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Message {
    /// What is known about the record: `recordUid` at least, which must stay as it was.
    metadata: serde_json::Map<String, Value>,
    /// The record.
    data: Value,
}

/// What became of dead letters that were sent again.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Replayed {
    /// One by one, oldest first of each flow.
    outcomes: Vec<Outcome>,
    /// Why it ended early, if it did: what is not among the outcomes is as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// How many dead letters were dropped.
#[derive(Debug, Serialize, JsonSchema)]
struct Dropped {
    /// So many.
    dropped: u64,
}

impl Which {
    fn filter(self) -> LetterFilter {
        let Self { ids, flow, step, code, since, until, key } = self;
        // Ids that are given mean those letters wherever they stand.
        let state = ids.is_empty().then_some(LetterState::Open);
        LetterFilter { ids, flow, step, code, since, until, key, state }
    }
}

async fn list(
    State(server): State<Server>,
    Query(asked): Query<Asked>,
) -> Result<Json<Page<DeadLetterLine>>, Problem> {
    let Asked { flow, step, code, since, until, key, state, limit, after } = asked;
    let paging = Paging { limit, after };
    let (limit, after) = (paging.limit()?, paging.moment()?);
    let filter = LetterFilter { ids: vec![], flow, step, code, since, until, key, state };
    let request = Request::DeadLetters { filter, limit: Some(limit + 1), after };
    let Answer::DeadLetters { dead_letters, .. } = ask(&server, request).await? else {
        return Err(Problem::internal());
    };
    Ok(Json(Page::cut(dead_letters, limit, |it| moment(it.at, &it.id))))
}

async fn letter(server: &Server, id: &str) -> Result<DeadLetter, Problem> {
    match ask(server, Request::DeadLetter { id: id.to_owned() }).await? {
        Answer::DeadLetter { dead_letter: Some(letter) } => Ok(letter),
        _ => Err(Problem::not_found(format!("no dead letter begins with `{id}`"))),
    }
}

async fn show(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Result<Json<DeadLetter>, Problem> {
    Ok(Json(letter(&server, &id).await?))
}

async fn edit(
    State(server): State<Server>,
    Path(id): Path<String>,
    Json(message): Json<Message>,
) -> Result<Json<DeadLetter>, Problem> {
    let id = letter(&server, &id).await?.line.id;
    let message = serde_json::to_value(message).map_err(|_| Problem::internal())?;
    ask(&server, Request::Edit { id: id.clone(), message }).await?;
    Ok(Json(letter(&server, &id).await?))
}

async fn replay_one(
    State(server): State<Server>,
    Path(id): Path<String>,
    how: Option<Json<How>>,
) -> Result<Json<Replayed>, Problem> {
    let id = letter(&server, &id).await?.line.id;
    let which = Which { ids: vec![id], ..Which::default() };
    let force = how.is_some_and(|Json(how)| how.force);
    replay(State(server), Json(Replay { which, force })).await
}

async fn replay(
    State(server): State<Server>,
    Json(Replay { which, force }): Json<Replay>,
) -> Result<Json<Replayed>, Problem> {
    let filter = which.filter();
    let request = Request::DeadLetters { filter: filter.clone(), limit: None, after: None };
    let Answer::DeadLetters { dead_letters, .. } = ask(&server, request).await? else {
        return Err(Problem::internal());
    };
    let mut by_flow: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for letter in dead_letters {
        by_flow.entry(letter.flow).or_default().push(letter.id);
    }
    let mut replayed = Replayed::default();
    for (flow, ids) in by_flow {
        // By what was asked for, not by what was found: ids that are given mean one flow each.
        let ids = if filter.ids.is_empty() { vec![] } else { ids };
        let filter = LetterFilter { ids, flow: Some(flow.clone()), ..filter.clone() };
        match ask(&server, Request::Replay { flow, filter, force }).await {
            Ok(Answer::Replayed { outcomes, error }) => {
                replayed.outcomes.extend(outcomes);
                replayed.error = error;
            }
            Ok(_) => return Err(Problem::internal()),
            // What was sent before is told.
            Err(problem) if replayed.outcomes.is_empty() => return Err(problem),
            Err(problem) => replayed.error = Some(problem.detail().to_owned()),
        }
        if replayed.error.is_some() {
            break;
        }
    }
    Ok(Json(replayed))
}

async fn drop_some(
    State(server): State<Server>,
    Json(which): Json<Which>,
) -> Result<Json<Dropped>, Problem> {
    match ask(&server, Request::Drop { filter: which.filter() }).await? {
        Answer::Dropped { dropped } => Ok(Json(Dropped { dropped })),
        _ => Err(Problem::internal()),
    }
}

async fn drop_one(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let ids = vec![letter(&server, &id).await?.line.id];
    ask(&server, Request::Drop { filter: LetterFilter { ids, ..LetterFilter::default() } }).await?;
    Ok(StatusCode::NO_CONTENT)
}
