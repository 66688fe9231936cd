//! Asks every request who it is before its route sees it, and notes what it did.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::audit::{Line, NOBODY, What};
use crate::extract::too_large;
use crate::idempotency::{self, Turn};
use crate::identity::{Identity, Peer};
use crate::page;
use crate::problem::Problem;
use crate::routes::{Access, BODY, Route};
use crate::server::Server;
use crate::session::Session;

/// How long a route that does not stream may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a guard knows of its route.
#[derive(Clone)]
struct Post {
    server: Server,
    access: Access,
    streams: bool,
    page: bool,
    /// How many bytes a body may have, where the route is done once under a key.
    idempotent: Option<usize>,
}

/// Who asks, as a request's headers say.
pub(crate) struct Known {
    pub(crate) identity: Identity,
    pub(crate) session: Option<Session>,
}

/// A route behind its guard.
pub(crate) fn guarded(route: &Route, server: &Server) -> MethodRouter<Server, Infallible> {
    let post = Post {
        server: server.clone(),
        access: route.access,
        streams: route.streams,
        page: route.document.is_none() && !route.path.starts_with("/api/"),
        idempotent: route
            .document
            .as_ref()
            .filter(|document| document.idempotent)
            .map(|_| route.body_limit),
    };
    let handler = route.handler.clone().layer(DefaultBodyLimit::max(route.body_limit));
    handler.layer(from_fn_with_state(post, pass))
}

async fn pass(State(post): State<Post>, request: Request, next: Next) -> Response {
    let Access::Needs(scope) = post.access else {
        return deadline(&post, next.run(request)).await;
    };
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let peer = Peer::of(parts.extensions.get());
    let known = match identify(&post.server, &parts) {
        Ok(known) => known,
        Err(problem) if post.page && wants_html(&parts.headers) => {
            return page::sign_in(&problem, parts.uri.path()).into_response();
        }
        Err(problem) => return problem.into_response(),
    };
    let who = known.identity.name().to_owned();
    let done = async {
        let (mut parts, body) = not_forged(known.session.as_ref(), parts, body).await?;
        known.identity.needs(scope)?;
        let who = known.identity.name().to_owned();
        parts.extensions.insert(known.identity);
        parts.extensions.extend(known.session.map(extension).unwrap_or_default());
        once(&post, &who, Request::from_parts(parts, body), next).await
    };
    let done = async { done.await.unwrap_or_else(IntoResponse::into_response) };
    let response = deadline(&post, Box::pin(done)).await;
    if !method.is_safe() {
        let status = response.status().as_u16();
        let at = post.server.clock().now();
        let method = method.as_str();
        let (from, path) = (peer.0, path.as_str());
        let what = response.extensions().get::<What>().map(|what| what.0.as_str());
        post.server.audit().write(&Line { at, who: &who, from, method, path, status, what });
    }
    response
}

/// Does a request, or answers it as the first time it came under its key.
async fn once(post: &Post, who: &str, request: Request, next: Next) -> Result<Response, Problem> {
    let key = match post.idempotent {
        Some(limit) => idempotency::key(request.headers())?.map(|key| (key.to_owned(), limit)),
        None => None,
    };
    let Some((key, limit)) = key else { return Ok(next.run(request).await) };
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, limit).await.map_err(|_| too_large())?;
    let mut hasher = blake3::Hasher::new();
    for part in [parts.method.as_str(), &parts.uri.to_string()] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let hash = *hasher.update(&body).finalize().as_bytes();
    match post.server.keys().take((who, &key), hash, post.server.clock().elapsed())? {
        Turn::Done(response) => Ok(response),
        Turn::First(first) => {
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            Ok(first.keep(response).await)
        }
    }
}

fn extension(session: Session) -> http::Extensions {
    let mut extensions = http::Extensions::new();
    extensions.insert(session);
    extensions
}

async fn deadline(post: &Post, response: impl Future<Output = Response>) -> Response {
    if post.streams {
        return response.await;
    }
    match tokio::time::timeout(DEADLINE, response).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timeout",
            "this took too long and was given up; what it began may still be done",
        )
        .after(1)
        .into_response(),
    }
}

/// Says who asks; refuses credentials that are none, and whoever guesses.
pub(crate) fn identify(server: &Server, parts: &Parts) -> Result<Known, Problem> {
    let bearer = parts.headers.get(AUTHORIZATION);
    let cookie = server.session_cookie(&parts.headers);
    if bearer.is_none() && cookie.is_none() {
        return Err(Problem::unauthorized("this needs a credential"));
    }
    let peer = Peer::of(parts.extensions.get());
    let elapsed = server.clock().elapsed();
    if let Some(wait) = server.throttle().wait(peer.0, elapsed) {
        return Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "tooManyFailures",
            "too many credentials from this address were refused",
        )
        .after(wait.as_secs() + 1));
    }
    if let Some(bearer) = bearer {
        let token = bearer.to_str().ok().and_then(|text| {
            let (kind, token) = text.split_once(' ')?;
            kind.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        if let Some(identity) = token.and_then(|token| server.holder_of(token)) {
            return Ok(Known { identity, session: None });
        }
        server.throttle().refused(peer.0, elapsed);
        server.audit().write(&Line {
            at: server.clock().now(),
            who: NOBODY,
            from: peer.0,
            method: parts.method.as_str(),
            path: parts.uri.path(),
            status: StatusCode::UNAUTHORIZED.as_u16(),
            what: Some("the token is not known, was revoked, or has ended"),
        });
        return Err(Problem::unauthorized("the token is not known, was revoked, or has ended"));
    }
    // A cookie that is none is no guess: sessions end with the process.
    let session = cookie.and_then(|cookie| server.sessions().find(cookie, elapsed));
    let session = session.filter(|session| server.lasts(&session.identity));
    let session = session.ok_or_else(|| Problem::unauthorized("the session has ended"))?;
    Ok(Known { identity: session.identity.clone(), session: Some(session) })
}

/// Refuses what another site has a browser send: its session's cookie says nothing about who
/// wrote the request. Tokens are never sent unasked, so they need none of this.
async fn not_forged(
    session: Option<&Session>,
    parts: Parts,
    body: Body,
) -> Result<(Parts, Body), Problem> {
    let Some(session) = session.filter(|_| !parts.method.is_safe()) else {
        return Ok((parts, body));
    };
    if !is_same_origin(&parts.headers) {
        let detail = "a request with a session has to come from a page of this service";
        return Err(Problem::forbidden("forged", detail));
    }
    let said = parts.headers.get("x-csrf-token").and_then(|value| value.to_str().ok());
    if said.is_some_and(|said| session.is_csrf(said)) {
        return Ok((parts, body));
    }
    let is_form = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if said.is_none()
        && is_form.is_some_and(|it| it.starts_with("application/x-www-form-urlencoded"))
    {
        let read = axum::body::to_bytes(body, BODY).await.map_err(|_| too_large())?;
        let mut fields = url::form_urlencoded::parse(&read);
        if fields.any(|(name, value)| name == "csrf" && session.is_csrf(&value)) {
            return Ok((parts, Body::from(read)));
        }
    }
    let detail = "the request has no token of the page that it should come from: load it again";
    Err(Problem::forbidden("forged", detail))
}

/// Whether the browser says that a page of this very service sent a request.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let host_of = |origin: &str| origin.split_once("://").map(|(_, host)| host.to_owned());
    let origin = text(&ORIGIN).and_then(host_of);
    origin.is_some() && origin.as_deref() == text(&HOST)
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Answers where no route is: only who has a credential learns that.
pub(crate) async fn nowhere(State(server): State<Server>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match identify(&server, &parts) {
        Ok(_) => Problem::not_found(format!("there is nothing at {}", parts.uri.path())),
        Err(problem) => problem,
    }
    .into_response()
}

/// The same where a path has no such method.
pub(crate) async fn no_such_method(
    State(server): State<Server>,
    route: Option<MatchedPath>,
    method: Method,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let public = route.is_some_and(|route| server.is_public(route.as_str()));
    if !public && let Err(problem) = identify(&server, &parts) {
        return problem.into_response();
    }
    not_allowed(method, parts.uri).await.into_response()
}

/// Answers where a path that everybody may use has no such method.
pub(crate) async fn not_allowed(method: Method, uri: Uri) -> Problem {
    let path = uri.path();
    let detail = format!("{path} has no {method}; the header `Allow` says what it has");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "methodNotAllowed", detail)
}

/// Answers where nothing but public paths are: nobody's credential is looked at.
pub(crate) async fn nothing_here() -> Problem {
    Problem::not_found("there is nothing here")
}
