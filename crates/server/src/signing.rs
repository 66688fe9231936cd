//! How a browser signs in: by a link with a one-time code, or by a token in a form.

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::{Line, NOBODY};
use crate::extract::{Json, Query};
use crate::guard::is_same_origin;
use crate::identity::{Identity, Peer};
use crate::page;
use crate::problem::Problem;
use crate::routes::{Access, Routes, get, post};
use crate::scope::Scope;
use crate::server::Server;
use crate::session;

pub(crate) fn routes() -> Routes {
    Routes::default()
        .and(get("/login", Access::Anyone, by_code))
        .and(post("/login", Access::Anyone, by_token).body_limit(8 * 1024))
        .and(post("/logout", Access::Needs(Scope::Read), out))
        .and(
            post("/api/v1/login-links", Access::Needs(Scope::Read), link)
                .says(
                    "service",
                    "createLoginLink",
                    "Makes a link that signs one browser in, once, within five minutes, with the \
                     scopes of the caller.",
                )
                .answers::<Link>(201, "The link."),
        )
}

/// A link that signs a browser in.
#[derive(Debug, Serialize, JsonSchema)]
struct Link {
    /// Where to go, once.
    url: String,
}

async fn link(
    State(server): State<Server>,
    identity: Identity,
) -> Result<(StatusCode, Json<Link>), Problem> {
    let code = server.sessions().code(identity, server.clock().elapsed())?;
    let url = format!("{}/login?code={code}", server.base_url());
    Ok((StatusCode::CREATED, Json(Link { url })))
}

#[derive(Deserialize)]
struct Code {
    code: Option<String>,
    next: Option<String>,
}

async fn by_code(
    State(server): State<Server>,
    peer: Peer,
    method: Method,
    Query(query): Query<Code>,
) -> Response {
    let next = query.next.unwrap_or_else(|| "/".to_owned());
    // Who only looks whether there is something uses no link up.
    let Some(code) = query.code.filter(|_| method != Method::HEAD) else {
        let problem = Problem::new(StatusCode::OK, "login", "Sign in to this service");
        return page::sign_in(&problem, &next).into_response();
    };
    let identity = server.sessions().redeem(&code, server.clock().elapsed());
    sign_in(&server, peer, identity, &next, "the link was used already, or has ended")
}

#[derive(Deserialize)]
struct Token {
    token: String,
    next: Option<String>,
}

async fn by_token(
    State(server): State<Server>,
    peer: Peer,
    headers: HeaderMap,
    form: Result<Form<Token>, axum::extract::rejection::FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        return Problem::bad("this takes a form with a field `token`").into_response();
    };
    // Nobody else's page signs a browser in with a token of its own choice.
    if !is_same_origin(&headers) {
        let detail = "a browser signs in from the page of this service";
        return Problem::forbidden("forged", detail).into_response();
    }
    let elapsed = server.clock().elapsed();
    if let Some(wait) = server.throttle().wait(peer.0, elapsed) {
        let problem = Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "tooManyFailures",
            "too many tokens from this address were refused",
        );
        return problem.after(wait.as_secs() + 1).into_response();
    }
    let identity = server.holder_of(form.token.trim());
    if identity.is_none() {
        server.throttle().refused(peer.0, elapsed);
    }
    let next = form.next.unwrap_or_else(|| "/".to_owned());
    sign_in(&server, peer, identity, &next, "the token is not known, was revoked, or has ended")
}

fn sign_in(
    server: &Server,
    peer: Peer,
    identity: Option<Identity>,
    next: &str,
    otherwise: &str,
) -> Response {
    let who = identity.as_ref().map_or(NOBODY, Identity::name).to_owned();
    let response = match identity {
        Some(identity) => begin(server, identity, next).unwrap_or_else(IntoResponse::into_response),
        None => page::sign_in(&Problem::unauthorized(otherwise), next).into_response(),
    };
    server.audit().write(&Line {
        at: server.clock().now(),
        who: &who,
        from: peer.0,
        method: "POST",
        path: "/login",
        status: response.status().as_u16(),
        what: Some("sign in"),
    });
    response
}

fn begin(server: &Server, identity: Identity, next: &str) -> Result<Response, Problem> {
    let cookie = server.sessions().begin(identity, server.clock().elapsed())?;
    let set = server.set_session_cookie(&cookie, session::LASTS.as_secs());
    let set = set.ok_or_else(Problem::internal)?;
    // Only paths of this service: a link must not lead a browser that has just signed in away.
    let inside = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    let next = HeaderValue::from_str(if inside { next } else { "/" });
    let next = next.unwrap_or(HeaderValue::from_static("/"));
    Ok((StatusCode::SEE_OTHER, [(SET_COOKIE, set), (LOCATION, next)]).into_response())
}

async fn out(State(server): State<Server>, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(cookie) = server.session_cookie(&headers) {
        server.sessions().end(cookie);
    }
    let set = server.set_session_cookie("", 0).ok_or_else(Problem::internal)?;
    let to = HeaderValue::from_static("/login");
    Ok((StatusCode::SEE_OTHER, [(SET_COOKIE, set), (LOCATION, to)]).into_response())
}
