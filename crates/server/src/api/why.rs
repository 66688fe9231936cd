//! What happened to one record.

use axum::extract::State;
use engine::{Answer, Request, Timeline};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::errors::ask;
use super::paging::{Paging, number};
use crate::extract::{Json, Query};
use crate::problem::Problem;
use crate::routes::{Access, Routes, get};
use crate::scope::Scope;
use crate::server::Server;

pub(super) fn routes() -> Routes {
    Routes::default().and(
        get("/api/v1/why", Access::Needs(Scope::Read), why)
            .says(
                "records",
                "why",
                "Tells what happened to one record: delivered, filtered out, refused, unchanged, \
                 waiting.",
            )
            .query::<Asked>()
            .answers::<Timelines>(
                200,
                "What is known of it, flow by flow; nothing is an empty list.",
            ),
    )
}

/// Which record is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
struct Asked {
    /// The record's key in its system, or the id of a message or dead letter of it.
    record: String,
    /// Only what this flow knows of it.
    flow: Option<String>,
    /// How much of what happened at most, the newest of it: 50 if nothing is said, never more than
    /// 500.
    #[schemars(range(min = 1, max = 500))]
    #[serde(default, deserialize_with = "number")]
    limit: Option<usize>,
}

/// What happened to a record.
#[derive(Debug, Serialize, JsonSchema)]
struct Timelines {
    /// By flow.
    timelines: Vec<Timeline>,
}

async fn why(
    State(server): State<Server>,
    Query(Asked { record, flow, limit }): Query<Asked>,
) -> Result<Json<Timelines>, Problem> {
    let limit = Paging { limit, after: None }.limit()?;
    match ask(&server, Request::Why { flow, record, limit }).await? {
        Answer::Why { timelines } => Ok(Json(Timelines { timelines })),
        _ => Err(Problem::internal()),
    }
}
