//! What orchestrators ask: whether the process lives, and whether it works.

use axum::extract::State;
use http::StatusCode;

use crate::routes::{Access, Routes, get};
use crate::server::Server;

pub(crate) fn routes() -> Routes {
    Routes::default()
        .and(
            get("/live", Access::Anyone, live)
                .says("service", "live", "Says that the process lives.")
                .answers_as(200, "It lives.", "text/plain"),
        )
        .and(
            get("/ready", Access::Anyone, ready)
                .says(
                    "service",
                    "ready",
                    "Says whether the store is open and the flows are loaded.",
                )
                .answers_as(200, "It works.", "text/plain")
                .answers_as(503, "It does not work yet, or is stopping.", "text/plain"),
        )
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(server): State<Server>) -> (StatusCode, &'static str) {
    // Public, so it does not say which of them it is.
    if server.is_ready() && server.store().vault_get("server: probe").await.is_ok() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}
