//! What lies around every route: headers that keep browsers in bounds, and what breaks.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use crate::problem::Problem;
use crate::server::Server;

/// Nothing is loaded but our own files, no script is run that is written into a page, no other
/// site shows one of ours.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

const HEADERS: [(&str, &str); 8] = [
    ("cache-control", "no-store"),
    ("content-security-policy", POLICY),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

/// What requests are counted under that no route is for.
const NOWHERE: &str = "_none";

/// Answers a panic as a problem, adds the headers that the answer does not have itself, and counts
/// it by its route.
pub(crate) async fn around(State(server): State<Server>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let began = server.clock().elapsed();
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| {
        tracing::error!(path, "a request broke off by a panic");
        Problem::internal().into_response()
    });
    add(response.headers_mut());
    let took = server.clock().elapsed().saturating_sub(began);
    let route = route.as_ref().map_or(NOWHERE, MatchedPath::as_str);
    server.metrics().answered(route, response.status().as_u16(), took);
    response
}

fn add(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        if !headers.contains_key(name) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
}
