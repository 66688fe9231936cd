//! The engine's handle over the wire: for the commands of the same version on the same machine.

use axum::extract::State;
use engine::{Answer, Request};

use crate::extract::Json;
use crate::problem::Problem;
use crate::routes::{Access, Routes, post};
use crate::scope::Scope;
use crate::server::Server;

/// A state that is imported holds what was settled of millions of records.
const LARGEST: usize = 1024 * 1024 * 1024;

/// Not in the API document: its requests are those of this very version, and change with it.
pub(super) fn routes() -> Routes {
    Routes::default().and(
        post("/api/v1/handle", Access::Needs(Scope::Admin), handle).body_limit(LARGEST).streams(),
    )
}

async fn handle(
    State(server): State<Server>,
    Json(request): Json<Request>,
) -> Result<Json<Answer>, Problem> {
    Ok(Json(server.office().handle.ask(request).await?))
}
