//! How a connector talks to its system: credentials, limits, caps and redaction in one place.

mod given;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Serialize;
use url::Url;

use crate::connector::FindFailure;
use crate::egress::PublicOnly;
use crate::limit::{Answer, Limit, Limiter};
use crate::response::{self, Response};
use crate::session::{Authorised, Session};
use crate::{
    Account, Clock, Connector, Error, Redactor, Result, Secret, SystemClock, Timestamp, Token,
    Tokens, Unkept, Unlimited,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const JSON: &str = "application/json";
const TIMEOUT: Duration = Duration::from_secs(60);
/// Requests of a class that the connector does not declare.
const UNDECLARED: Limit =
    Limit { class: "default", concurrency: NonZeroUsize::new(4).unwrap(), per_second: None };

/// What the engine lends to every [`Api`].
#[derive(Clone)]
pub struct Services {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The limits, shared by all flows.
    pub limiter: Arc<dyn Limiter>,
    /// The tokens, kept across restarts.
    pub tokens: Arc<dyn Tokens>,
}

impl Services {
    /// The machine's clock, no limits and no kept tokens, for a test of one connector.
    pub fn bare() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            limiter: Arc::new(Unlimited),
            tokens: Arc::new(Unkept),
        }
    }
}

/// An account's access to its system. Cheap to clone; all clones share one token.
///
/// Paths are given as segments and escaped here. Nothing but the account's base URL is reached:
/// no redirects, no proxies from the environment, no private addresses that nobody named.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
    limiter: Arc<dyn Limiter>,
    observed: Option<Arc<Observed>>,
}

#[derive(Clone)]
struct Inner {
    account: Account,
    identity: String,
    http: reqwest::Client,
    session: Session,
    limits: Vec<Limit>,
    clock: Arc<dyn Clock>,
    failure: Option<FindFailure>,
    largest_answer: usize,
    given_at: &'static [&'static str],
    redactor: Redactor,
}

/// What the answers to one call showed beside their content.
#[derive(Debug, Default)]
pub struct Observed(Mutex<Option<Timestamp>>);

impl Observed {
    /// The `Date` header of the first answer, the system's own time.
    pub fn date(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, date: Option<Timestamp>) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *first = first.or(date);
    }
}

impl Api {
    /// Access to the system of `account`, an account of `connector`. `limits` replaces the
    /// declared concurrency of a class by name.
    pub fn new(
        connector: &Connector,
        account: Account,
        limits: &BTreeMap<String, NonZeroUsize>,
        services: Services,
    ) -> Result<Self> {
        let declared = connector.limits_of(account.values()).into_iter();
        let limits = declared.map(|declared| {
            let concurrency = limits.get(declared.class).copied();
            Limit { concurrency: concurrency.unwrap_or(declared.concurrency), ..declared }
        });
        let identity = account.identity();
        let http = client(&account)?;
        let inner = Inner {
            identity: identity.clone(),
            http,
            session: Session::new(account.clone(), identity, &services),
            limits: limits.collect(),
            clock: services.clock,
            failure: connector.failure(),
            largest_answer: connector.largest_answer(),
            given_at: connector.given_at(),
            redactor: account.redactor(),
            account,
        };
        Ok(Self { inner: Arc::new(inner), limiter: services.limiter, observed: None })
    }

    /// The same access, and what its answers will show beside their content.
    pub fn observed(&self) -> (Self, Arc<Observed>) {
        let observed = Arc::new(Observed::default());
        (Self { observed: Some(observed.clone()), ..self.clone() }, observed)
    }

    /// Notes the system's own time, where a connector learns it elsewhere than from the `Date` of
    /// an answer; the first one that was noted counts.
    pub fn note_date(&self, date: Timestamp) {
        if let Some(observed) = &self.observed {
            observed.note(Some(date));
        }
    }

    /// The same access by other rules about whose request goes first.
    #[must_use]
    pub fn limited_by(&self, limiter: Arc<dyn Limiter>) -> Self {
        Self { limiter, ..self.clone() }
    }

    /// The same account with a token that is kept nowhere, to look what that may do.
    #[must_use]
    pub fn with_token(&self, token: Token) -> Self {
        let redactor = token.secrets().fold(self.inner.redactor.clone(), |it, more| it.and(more));
        let session = self.inner.session.with_token(token);
        Self {
            inner: Arc::new(Inner { session, redactor, ..(*self.inner).clone() }),
            ..self.clone()
        }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.inner.session
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.inner.http
    }

    /// The account in use.
    pub fn account(&self) -> &Account {
        &self.inner.account
    }

    /// The time here. What a system stores as its own time is better taken from its answers
    /// ([`Observed::date`]): the two clocks may differ.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// A GET of the path below the base URL; each segment is escaped. One that no escape keeps a
    /// segment (empty, `.` or `..`) is refused when the request is sent.
    pub fn get<S: AsRef<str>>(&self, path: impl IntoIterator<Item = S>) -> Request<'_> {
        self.request(Method::GET, path)
    }

    /// A POST to the path below the base URL.
    pub fn post<S: AsRef<str>>(&self, path: impl IntoIterator<Item = S>) -> Request<'_> {
        self.request(Method::POST, path)
    }

    /// A request to a path on the origin of the base URL, above its own path.
    pub fn at_origin<S: AsRef<str>>(
        &self,
        method: Method,
        path: impl IntoIterator<Item = S>,
    ) -> Request<'_> {
        let mut url = self.inner.account.base_url().clone();
        url.set_path("");
        self.request_to(url, method, path)
    }

    /// A request with any method.
    pub fn request<S: AsRef<str>>(
        &self,
        method: Method,
        path: impl IntoIterator<Item = S>,
    ) -> Request<'_> {
        self.request_to(self.inner.account.base_url().clone(), method, path)
    }

    fn request_to<S: AsRef<str>>(
        &self,
        mut url: Url,
        method: Method,
        path: impl IntoIterator<Item = S>,
    ) -> Request<'_> {
        let mut problem = None;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
            for segment in path {
                let segment = segment.as_ref();
                // No escape keeps these: the request would go to another path.
                if matches!(segment, "" | "." | "..") {
                    problem = Some(format!("\"{segment}\" cannot be a part of a path"));
                }
                segments.push(segment);
            }
        }
        let safe = method.is_safe();
        let limit = self.inner.limit(UNDECLARED.class);
        let (headers, accepted) = (vec![], vec![]);
        let (body, undone, unsigned) = (None, false, false);
        Request {
            api: self,
            method,
            url,
            problem,
            headers,
            body,
            content_type: JSON,
            limit,
            safe,
            undone,
            unsigned,
            accepted,
        }
    }
}

impl Inner {
    /// A class that is not declared keeps its name, so that the limiter sees the mistake.
    fn limit(&self, class: &'static str) -> Limit {
        let declared = self.limits.iter().find(|limit| limit.class == class).copied();
        declared.unwrap_or(Limit { class, ..UNDECLARED })
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Api").field(&self.inner.account.name()).finish()
    }
}

fn client(account: &Account) -> Result<reqwest::Client> {
    // Whoever installs a provider first wins; any of them will do.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("towpath/", env!("CARGO_PKG_VERSION")));
    if !account.is_private() {
        builder = builder.https_only(true).dns_resolver(PublicOnly);
    }
    if account.base_url().scheme() == "http" {
        // Reading the machine's certificates takes longer than a poll that finds nothing.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| Error::config(format!("no HTTP client: {error}")))
}

/// A request on its way.
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'a> {
    api: &'a Api,
    method: Method,
    url: Url,
    problem: Option<String>,
    headers: Vec<(http::HeaderName, http::HeaderValue)>,
    body: Option<Result<Vec<u8>, String>>,
    content_type: &'static str,
    limit: Limit,
    safe: bool,
    undone: bool,
    unsigned: bool,
    accepted: Vec<StatusCode>,
}

impl Request<'_> {
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
            let (ended, throttled) = match self.exchange(&label, body.as_ref(), &mut refused).await
            {
                Ok(Some((answer, throttled))) => (answer, throttled),
                // The token is renewed, and the request sent once more.
                Ok(None) => continue,
                Err(error) => (Err(error), false),
            };
            // What a connector wants to see of these may still be a refusal of the credentials.
            let doubtful = ended.as_ref().is_ok_and(|it| matches!(it.status.as_u16(), 400..=403));
            let answer = if doubtful { Answer::Refused } else { Answer::of(&ended, throttled) };
            // A failure of the system that means something to the connector tells neither that it
            // is well nor that it is away.
            if ended.as_ref().is_ok_and(|it| it.status.is_server_error()) {
                drop(permit);
            } else {
                permit.answered(&answer);
            }
            return ended;
        }
    }

    /// Sends the request once. `None` if its token was refused and may be renewed; beside the
    /// answer, whether the system has too many requests. An error is one of getting no answer.
    async fn exchange(
        &self,
        label: &str,
        body: Option<&bytes::Bytes>,
        refused: &mut Option<Secret>,
    ) -> Result<Option<(Result<Response>, bool)>> {
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
        let body = body?;
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
            return Ok(Some((Ok(Response { status, body, label, safe, redactor }), false)));
        }
        let message = match message {
            Some(message) => redactor.redact(&message),
            None => response::message(&body, &redactor),
        };
        let throttled = status == StatusCode::TOO_MANY_REQUESTS;
        let safe = self.safe || self.undone;
        Ok(Some((Err(response::failure(status, &message, after, label, safe)), throttled)))
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
