//! The engine's handle over the wire: for the commands of the same version on the same machine.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use engine::Request;

use super::errors::ask;
use crate::audit::What;
use crate::extract::Json;
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

async fn handle(State(server): State<Server>, Json(request): Json<Request>) -> Response {
    // All requests have one path.
    let what = What(request.words());
    let answered = ask(&server, request).await;
    let mut response = answered.map(Json).into_response();
    response.extensions_mut().insert(what);
    response
}
