//! `/hooks/FLOW`: what other systems send, kept before it is answered.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use connector::{Clock, Received};
use engine::{Called, Door, Turned};
use http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::extract::{Json, Path, too_large};
use crate::identity::Peer;
use crate::problem::Problem;
use crate::routes::{Access, Route, Routes, delete, get, patch, post, put};
use crate::server::Server;
use crate::throttle::Throttle;

/// No trigger takes a larger body.
const LARGEST: usize = 16 * 1024 * 1024;

/// Bodies that are being read have so many KiB together: 64 MiB.
const AT_ONCE: usize = 64 * 1024;

/// How long the body of a request may take.
const SLOWEST: Duration = Duration::from_secs(20);

/// What is answered where a request is kept.
#[derive(Debug, Serialize, JsonSchema)]
struct Kept {
    /// What it is known by here; a record without a key of its own has it as key.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// How many records it has.
    records: usize,
    /// Whether the delivery came before, and is known by the id of the first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeated: bool,
}

#[derive(Clone)]
struct Hooks {
    door: Door,
    /// Counts wrong proofs, apart from those of credentials.
    throttle: Arc<Throttle>,
    room: Arc<Semaphore>,
}

/// The routes that other systems call: one for each method, since flows say which they take.
pub fn routes(door: Door) -> Routes {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let hooks = Hooks { door, throttle: Arc::default(), room };
    table().map(|route| Route { handler: route.handler.layer(Extension(hooks.clone())), ..route })
}

/// The same as the API document has them.
pub(crate) fn table() -> Routes {
    let (path, open) = ("/hooks/{flow}", Access::Outside);
    Routes::default()
        .and(told(post(path, open, take), "receivePost"))
        .and(told(put(path, open, take), "receivePut"))
        .and(told(patch(path, open, take), "receivePatch"))
        .and(told(get(path, open, take), "receiveGet"))
        .and(told(delete(path, open, take), "receiveDelete"))
}

async fn take(
    State(server): State<Server>,
    Extension(hooks): Extension<Hooks>,
    Path(flow): Path<String>,
    peer: Peer,
    request: Request,
) -> Response {
    hooks.take(&server, &flow, peer, request).await
}

fn told(route: Route, operation: &'static str) -> Route {
    route
        .body_limit(LARGEST)
        .says("hooks", operation, "Takes what another system sends to a flow.")
        .answers::<Kept>(202, "It is kept, and will be delivered.")
        .answers_as(
            200,
            "The trigger answers by itself, or the sender waited for what the flow made of it.",
            "*/*",
        )
        .problems(&[
            (400, "It cannot be read."),
            (401, "It brings no proof."),
            (403, "Its proof is wrong, or too old."),
            (404, "There is no such flow, or no system calls it."),
            (405, "The flow takes no such method."),
            (408, "The body took too long."),
            (413, "The body is larger than the flow takes."),
            (415, "A body of that kind is not read."),
            (429, "Too many wrong proofs came from this address."),
            (503, "It cannot be kept at the moment."),
        ])
}

impl Hooks {
    async fn take(&self, server: &Server, flow: &str, peer: Peer, request: Request) -> Response {
        match self.received(server, flow, peer, request).await {
            Ok(response) => response,
            Err(response) => *response,
        }
    }

    async fn received(
        &self,
        server: &Server,
        flow: &str,
        peer: Peer,
        request: Request,
    ) -> Result<Response, Box<Response>> {
        let entrance = self.door.entrance(flow).await.map_err(|it| Box::new(turned(it)))?;
        let (parts, body) = request.into_parts();
        entrance.takes(&parts.method).map_err(|it| Box::new(turned(it)))?;
        let refused = |problem: Problem| Box::new(problem.into_response());
        let most = entrance.largest_body().min(LARGEST);
        // Of what is not told beforehand there may be all that is taken.
        let told = body.size_hint().upper().map(|it| usize::try_from(it).unwrap_or(usize::MAX));
        let expected = told.unwrap_or(most);
        if expected > most {
            return Err(refused(too_large()));
        }
        let kibibytes = u32::try_from(expected / 1024 + 1).unwrap_or(u32::MAX);
        let Ok(_room) = self.room.try_acquire_many(kibibytes) else {
            let detail = "too much is being sent at once";
            return Err(refused(
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).after(1),
            ));
        };
        let body = read(&**server.clock(), body, most).await.map_err(refused)?;
        let query = parts.uri.query().unwrap_or_default();
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let (method, headers) = (parts.method, parts.headers);
        let at = server.clock().now();
        let received = entrance.receive(Received { method, query, headers, body, at }).await;
        match received {
            Ok(called) => Ok(answer(called)),
            Err(away) if away.unproven => {
                let now = server.clock().elapsed();
                if let Some(wait) = self.throttle.wait(peer.0, now) {
                    let detail = "too many wrong proofs came from this address";
                    let status = StatusCode::TOO_MANY_REQUESTS;
                    let problem = Problem::new(status, "tooManyFailures", detail);
                    return Err(refused(problem.after(wait.as_secs() + 1)));
                }
                // Whoever proves who it is passes all the same: others may share its address.
                self.throttle.refused(peer.0, now);
                tracing::warn!(flow, from = %peer.0, code = away.code, "a webhook was not proven");
                Err(Box::new(turned(away)))
            }
            Err(away) => Err(Box::new(turned(away))),
        }
    }
}

/// Reads a body of at most so many bytes, in the time that it may take.
async fn read(clock: &dyn Clock, body: Body, most: usize) -> Result<bytes::Bytes, Problem> {
    let reading = Limited::new(body, most).collect();
    tokio::select! {
        biased;
        read = reading => match read {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            Err(_) => Err(Problem::bad("the body broke off")),
        },
        () = clock.sleep(SLOWEST) => {
            let detail = "the body took too long";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail))
        }
    }
}

fn answer(called: Called) -> Response {
    let kept = match called {
        Called::Kept { id, repeated, records } => Kept { id: Some(id), records, repeated },
        Called::Value(value) => return (StatusCode::OK, Json(value)).into_response(),
        Called::Nothing => Kept { id: None, records: 0, repeated: false },
        Called::Reply(reply) => {
            let mut response = (reply.status, reply.body).into_response();
            let media = HeaderValue::from_static(reply.media_type);
            response.headers_mut().insert(CONTENT_TYPE, media);
            return response;
        }
    };
    (StatusCode::ACCEPTED, Json(kept)).into_response()
}

fn turned(away: Turned) -> Response {
    let Turned { status, code, reason, after, methods, .. } = away;
    let mut problem = Problem::new(status, code, reason);
    if let Some(after) = after {
        problem = problem.after(after.as_secs());
    }
    let mut response = problem.into_response();
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        // A token of the API opens nothing here.
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"webhook\""));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = methods.iter().map(http::Method::as_str).collect::<Vec<_>>().join(", ");
        if let Ok(allowed) = HeaderValue::from_str(&allowed) {
            headers.insert(ALLOW, allowed);
        }
    }
    response
}
