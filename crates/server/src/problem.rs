//! Errors as every route answers them: problem details, RFC 9457.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

/// An error as it is answered: `application/problem+json`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Problem(Box<Details>);

/// Problem details as RFC 9457 has them, with a code and a hint.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
struct Details {
    /// Always `about:blank`: the status says what kind of problem it is, and `code` says it finer.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// A word for machines that stays the same: `notFound`, `flowRunning`.
    code: &'static str,
    /// What is wrong, and where, for people.
    detail: String,
    /// What to do about it, where something is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Seconds to wait, also in the header `Retry-After`.
    #[serde(skip)]
    #[schemars(skip)]
    after: Option<u64>,
}

impl Problem {
    /// A problem with a status, a word for machines and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            hint: None,
            after: None,
        }))
    }

    /// 400: the request cannot be read.
    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "badRequest", detail)
    }

    /// 401: nobody knows who asks.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
            .hint("send a token as `Authorization: Bearer TOKEN`; `towpath token create` makes one")
    }

    /// 403: who asks may not.
    pub fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", detail)
    }

    /// 409: not now.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422: it can be read, and cannot be done.
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 500: a mistake of ours; what it was is in the log.
    pub fn internal() -> Self {
        let detail = "something went wrong that should not; the log of the service says what";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Says how many seconds to wait.
    #[must_use]
    pub fn after(mut self, seconds: u64) -> Self {
        self.0.after = Some(seconds);
        self
    }

    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What is wrong, for people.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.0.status == StatusCode::UNAUTHORIZED.as_u16() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"towpath\""));
        }
        if let Some(after) = self.0.after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after));
        }
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::AmbiguousId { .. } => Self::bad(error.to_string()),
            error => {
                tracing::warn!(%error, "the store did not answer");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store", error.to_string())
            }
        }
    }
}

impl From<crate::Error> for Problem {
    fn from(error: crate::Error) -> Self {
        use crate::Error as E;
        let said = error.to_string();
        match error {
            E::TokenExists { .. } => Self::conflict("tokenExists", said),
            E::TokenName { .. } | E::NoScope => Self::unprocessable("token", said),
            E::Store(error) => error.into(),
            E::Open { .. } | E::Random(_) | E::Unreadable => {
                tracing::error!(error = said, "a request failed");
                Self::internal()
            }
        }
    }
}
