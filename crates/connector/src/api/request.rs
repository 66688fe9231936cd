//! A request: how it is put together, sent once or, with a new token, once more, and answered.

use http::{Method, StatusCode};
use serde::Serialize;
use url::Url;

use super::{Api, UNDECLARED};
use crate::limit::{Answer, Limit};
use crate::response::{self, Response};
use crate::session::Authorised;
use crate::{Error, Redactor, Result, Secret};

const JSON: &str = "application/json";

/// A request on its way.
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'a> {
    api: &'a Api,
    method: Method,
    pub(super) url: Url,
    problem: Option<String>,
    headers: Vec<(http::HeaderName, http::HeaderValue)>,
    body: Option<Result<Vec<u8>, String>>,
    content_type: &'static str,
    limit: Limit,
    safe: bool,
    undone: bool,
    pub(super) unsigned: bool,
    /// Whether it goes to an address that the system gave: what answers there says nothing of it.
    pub(super) elsewhere: bool,
    accepted: Vec<StatusCode>,
}

impl<'a> Request<'a> {
    /// A request to `url`, or one that says its problem when it is sent.
    pub(super) fn new(api: &'a Api, method: Method, url: Url, problem: Option<String>) -> Self {
        Self {
            api,
            safe: method.is_safe(),
            method,
            url,
            problem,
            headers: vec![],
            body: None,
            content_type: JSON,
            limit: api.inner.limit(UNDECLARED.class),
            undone: false,
            unsigned: false,
            elsewhere: false,
            accepted: vec![],
        }
    }

    /// Adds a query parameter.
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.url.query_pairs_mut().append_pair(name, &value.to_string());
        self
    }

    /// Adds a query parameter if there is a value.
    pub fn query_if(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Adds a header, besides those that carry credentials. It is shown nowhere.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse(), http::HeaderValue::from_str(value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                self.headers.push((name, value));
            }
            _ => self.problem = Some(format!("the header `{name}` cannot have its value")),
        }
        self
    }

    /// Sets a JSON body.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_vec(body).map_err(|error| error.to_string()));
        self
    }

    /// Sets a body of another type, as it is.
    pub fn bytes(mut self, content_type: &'static str, body: Vec<u8>) -> Self {
        self.body = Some(Ok(body));
        self.content_type = content_type;
        self
    }

    /// Counts the request in a limit class that the connector declares; `default` without it.
    pub fn class(mut self, class: &'static str) -> Self {
        self.limit = self.api.inner.limit(class);
        self
    }

    /// Says that the request only asks, whatever its method: without an answer it may be sent
    /// again.
    pub const fn safe(mut self) -> Self {
        self.safe = true;
        self
    }

    /// Says that the request does something, though its method only asks: without an answer nobody
    /// knows whether it did.
    pub const fn order(mut self) -> Self {
        self.safe = false;
        self
    }

    /// Says that the system did nothing where it answers with a 5xx: such an answer is worth another
    /// try, whatever was asked for.
    pub const fn undone_by_5xx(mut self) -> Self {
        self.undone = true;
        self
    }

    /// Leaves out the headers that carry credentials: what proves who asks is in the query. Its
    /// text is shown nowhere.
    pub const fn unsigned(mut self) -> Self {
        self.unsigned = true;
        self
    }

    /// Gives an answer with this status to the caller instead of an error.
    pub fn accept(mut self, status: StatusCode) -> Self {
        self.accepted.push(status);
        self
    }

    /// Sends the request and reads the whole answer.
    ///
    /// A refused token is renewed once, and the request sent again. An answer that is no success
    /// becomes the error that says what the caller may do; so does a failure that the system
    /// reports inside a 200.
    pub async fn send(self) -> Result<Response> {
        let api = &*self.api.inner;
        let sent = self.send_unredacted().await;
        sent.map_err(|error| redacted(error, &api.redactor))
    }

    async fn send_unredacted(mut self) -> Result<Response> {
        let api = &*self.api.inner;
        let label = format!("{} {}", self.method, self.url.path());
        if let Some(problem) = self.problem.take() {
            return Err(Error::Reject {
                code: "path".to_owned(),
                reason: format!("{label}: {problem}"),
            });
        }
        let body = self.body.take().transpose().map_err(|problem| Error::Reject {
            code: "unwritable".to_owned(),
            reason: format!("the body cannot be written as JSON: {problem}"),
        })?;
        let body = body.map(bytes::Bytes::from);
        let mut refused = None;
        loop {
            let permit = self.api.limiter.acquire(&api.identity, self.limit).await?;
            let (ended, status) = match self.exchange(&label, body.as_ref(), &mut refused).await {
                Ok(Some((answer, status))) => (answer, Some(status.as_u16())),
                // The token is renewed, and the request sent once more.
                Ok(None) => continue,
                Err(error) => (Err(error), None),
            };
            // What a connector wants to see of these may still be a refusal of the credentials.
            let doubtful =
                ended.as_ref().is_ok_and(|it| matches!(it.status.as_u16(), 400..=403 | 422));
            let answer = if doubtful { Answer::Refused } else { Answer::of(&ended, status) };
            // A failure of the system that means something to the connector tells neither that it
            // is well nor that it is away.
            if self.elsewhere || ended.as_ref().is_ok_and(|it| it.status.is_server_error()) {
                drop(permit);
            } else {
                permit.answered(&answer);
            }
            return ended;
        }
    }

    /// Sends the request once. `None` if its token was refused and may be renewed; beside the
    /// answer, the status that counts. An error is one of getting no answer.
    async fn exchange(
        &self,
        label: &str,
        body: Option<&bytes::Bytes>,
        refused: &mut Option<Secret>,
    ) -> Result<Option<(Result<Response>, StatusCode)>> {
        let api = &*self.api.inner;
        let authorised = match self.unsigned {
            true => Authorised { headers: vec![], token: None },
            false => api.session.authorise(&api.http, refused.as_ref()).await?,
        };
        let mut request = api.http.request(self.method.clone(), self.url.clone());
        for (name, value) in authorised.headers {
            request = request.header(name, value);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            let of_type = http::HeaderValue::from_static(self.content_type);
            request = request.header(http::header::CONTENT_TYPE, of_type).body(body.clone());
        }
        let answer = request.send().await;
        let answer = answer.map_err(|error| response::transport_error(error, label, self.safe))?;
        let status = answer.status();
        let date = response::date(answer.headers());
        let after = response::retry_after(answer.headers(), api.clock.now());
        let body = response::read_body(answer, api.largest_answer, label, self.safe).await;
        if let Some(observed) = &self.api.observed {
            observed.note(date);
        }
        tracing::debug!(request = %label, status = status.as_u16(), "answered");
        let body = match body {
            // Whatever it wanted to say, it failed by itself.
            Err(error) if status.is_server_error() => return Ok(Some((Err(error), status))),
            body => body?,
        };
        let (status, message) = self.judge(status, &body);
        let redactor = match &authorised.token {
            Some(token) => api.redactor.and(token.clone()),
            None => api.redactor.clone(),
        };
        if status == StatusCode::UNAUTHORIZED && refused.is_none() && authorised.token.is_some() {
            *refused = authorised.token;
            return Ok(None);
        }
        if status.is_success() || self.accepted.contains(&status) {
            let (label, safe) = (label.to_owned(), self.safe);
            return Ok(Some((Ok(Response { status, body, label, safe, redactor }), status)));
        }
        let message = match message {
            Some(message) => redactor.redact(&message),
            None => response::message(&body, &redactor),
        };
        let safe = self.safe || self.undone;
        Ok(Some((Err(response::failure(status, &message, after, label, safe)), status)))
    }

    /// The status that counts: the answer's own, or that of a failure inside a 200.
    fn judge(&self, status: StatusCode, body: &[u8]) -> (StatusCode, Option<String>) {
        let found = self.api.inner.failure.and_then(|find| find(body));
        match found {
            Some(failure) if status.is_success() => {
                let status = StatusCode::from_u16(failure.status)
                    .ok()
                    .filter(|status| status.as_u16() >= 400)
                    .unwrap_or(StatusCode::BAD_GATEWAY);
                (status, Some(failure.message))
            }
            _ => (status, None),
        }
    }
}

fn redacted(mut error: Error, redactor: &Redactor) -> Error {
    let (Error::Retry { reason, .. }
    | Error::HeldBack { reason, .. }
    | Error::Unauthorized { reason }
    | Error::TooLarge { reason }
    | Error::Unknown { reason }
    | Error::Reject { reason, .. }
    | Error::Config { reason }) = &mut error;
    *reason = redactor.redact(reason);
    error
}
