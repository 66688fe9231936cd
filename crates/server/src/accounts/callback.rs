//! The one public path of logins: where a browser begins one, and comes back from the system.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use connector::Secret;
use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;

use super::host::Refusal;
use super::logins::{CALLBACK, LASTS, LoginError, Logins, Return};
use super::markup;
use crate::audit::Line;
use crate::cookie::{self, SameSite};
use crate::extract::Query;
use crate::identity::Peer;
use crate::page::{Page, escape};
use crate::routes::{Access, Routes, get};
use crate::server::Server;

/// Holds what binds a login to the browser that began it.
const COOKIE: &str = "towpath_login";

pub(super) fn routes() -> Routes {
    Routes::default().and(get(CALLBACK, Access::Outside, callback))
}

/// A page that needs no other path: where people come back to, there may be none.
fn page(status: StatusCode, title: &str, body: &str) -> Page {
    Page::alone(status, title, markup::STYLE, body)
}

#[derive(Deserialize)]
struct Asked {
    /// The ticket of a login that begins here.
    start: Option<String>,
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

async fn callback(
    State(server): State<Server>,
    Extension(logins): Extension<Logins>,
    peer: Peer,
    method: Method,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    // Who only looks whether there is something uses no login up.
    if method == Method::HEAD {
        return StatusCode::NO_CONTENT.into_response();
    }
    if let Some(ticket) = asked.start {
        return match logins.depart(&ticket).await {
            Ok(away) => to(&server, away.url.as_str(), away.binding.expose()),
            Err(error) => came_to_nothing(&server, &error),
        };
    }
    let back = Return {
        state: asked.state,
        code: asked.code.map(Secret::new),
        error: asked.error,
        error_description: asked.error_description,
    };
    let arrived = logins.arrive(back, cookie::read(&headers, COOKIE)).await;
    let what = match &arrived {
        Ok(arrival) => format!("somebody logged in for account {}", arrival.account),
        Err(error) => format!("a login came to nothing: {error}"),
    };
    server.audit().write(&Line {
        at: server.clock().now(),
        who: "a browser",
        from: peer.0,
        method: "GET",
        path: CALLBACK,
        status: if arrived.is_ok() { 200 } else { 400 },
        what: Some(&what),
    });
    match arrived {
        Ok(arrival) => {
            let body = format!(
                "<p class=\"done\" role=\"status\">Account <strong>{}</strong> is connected, and can be \
                 used from now on.</p>\n{}<p>This window can be closed.</p>",
                escape(&arrival.account),
                markup::checks(&arrival.tested)
            );
            let page = page(StatusCode::OK, "Logged in", &body);
            without_cookie(&server, page.into_response())
        }
        Err(error) => came_to_nothing(&server, &error),
    }
}

/// Sends a browser to the system, with what it has to bring back.
fn to(server: &Server, url: &str, binding: &str) -> Response {
    let terms = (server.is_secure(), LASTS.as_secs());
    let cookie = cookie::write(COOKIE, binding, CALLBACK, SameSite::Lax, terms);
    let (Ok(url), Some(cookie)) = (HeaderValue::from_str(url), cookie) else {
        return crate::Problem::internal().into_response();
    };
    (StatusCode::SEE_OTHER, [(LOCATION, url), (SET_COOKIE, cookie)]).into_response()
}

fn without_cookie(server: &Server, mut response: Response) -> Response {
    let gone = cookie::write(COOKIE, "", CALLBACK, SameSite::Lax, (server.is_secure(), 0));
    response.headers_mut().extend(gone.map(|gone| (SET_COOKIE, gone)));
    response
}

fn came_to_nothing(server: &Server, error: &LoginError) -> Response {
    let (status, more) = match error {
        LoginError::Account(Refusal::Failed(failed)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, markup::failed(failed))
        }
        LoginError::Account(Refusal::Unavailable(_)) => {
            (StatusCode::SERVICE_UNAVAILABLE, String::new())
        }
        LoginError::Refused { .. } => (StatusCode::FORBIDDEN, String::new()),
        _ => (StatusCode::BAD_REQUEST, String::new()),
    };
    let said = match error {
        LoginError::Account(Refusal::Failed(failed)) => {
            format!("the test of account {} failed: nothing was kept", failed.account)
        }
        error => error.to_string(),
    };
    let body = format!(
        "<p class=\"error\" role=\"alert\">{}.</p>\n{more}",
        escape(&markup::sentence(&said))
    );
    let page = page(status, "Not logged in", &body);
    match error {
        // The cookie may be of a login that is still under way in this browser.
        LoginError::Forged | LoginError::Foreign | LoginError::Used => page.into_response(),
        _ => without_cookie(server, page.into_response()),
    }
}
