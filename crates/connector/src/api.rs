//! How a connector reaches its system: credentials, limits, caps and redaction in one place.

mod given;
mod request;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use url::Url;

pub use self::request::Request;

use crate::connector::FindFailure;
use crate::egress::PublicOnly;
use crate::limit::{Limit, Limiter};
use crate::session::Session;
use crate::{
    Account, Clock, Connector, Error, Redactor, Result, SystemClock, Timestamp, Token, Tokens,
    Unkept, Unlimited,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
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
        Request::new(self, method, url, problem)
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
