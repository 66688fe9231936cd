//! The server: everything that routes share, and the two routers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::middleware::from_fn_with_state;
use connector::{Clock, Connector, Secret, Timestamp};
use engine::{Engine, Event, Handle, Watch, service};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use store::Store;
use url::Url;

use crate::api::{self, Ring};
use crate::audit::{Audit, LOCAL};
use crate::cookie::{self, SameSite};
use crate::error::{Error, Result};
use crate::idempotency::Keys;
use crate::identity::Identity;
use crate::metrics::{self, Metrics};
use crate::project::{NoProject, Project};
use crate::routes::{Access, Routes};
use crate::scope::Scopes;
use crate::session::Sessions;
use crate::throttle::Throttle;
use crate::token::{Tokens, hash};
use crate::{accounts, guard, home, hooks, page, probes, shell, signing};

/// What a server is made of.
pub struct Options {
    /// Where state is kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The log of who did what.
    pub audit: Audit,
    /// Where it is reached.
    pub settings: Settings,
    /// Routes besides those of this crate.
    pub routes: Routes,
    /// The service that the API is about; without one there is no API.
    pub running: Option<Running>,
}

/// A service that runs flows.
pub struct Running {
    /// What runs the flows; its store is the server's too.
    pub engine: Arc<Engine>,
    /// What runs them on their schedules.
    pub service: service::Handle,
    /// The flows and accounts.
    pub project: Arc<dyn Project>,
    /// The connectors that there are.
    pub connectors: Vec<Connector>,
    /// Describes a connector to machines.
    pub describe: fn(&Connector) -> Value,
    /// What happens, as it is told to who listens.
    pub events: Events,
}

/// Where a server is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// Under which URL others reach it, if not under that address: behind a proxy.
    pub public_url: Option<Url>,
    /// A token of this process alone, which opens everything: for the commands of whoever can read
    /// the file that it is written to.
    pub local: Option<Secret>,
}

/// The server. Cheap to clone; every handler has it as its state.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

/// What happens, told by whoever runs flows: kept for who listens, and counted. Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<Told>);

struct Told {
    ring: Arc<Ring>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

impl Watch for Told {
    fn on(&self, event: &Event<'_>) {
        self.ring.on(event);
        self.metrics.on(event);
    }
}

impl Events {
    /// Nothing has happened yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let ring = Arc::new(Ring::new(clock.clone()));
        Self(Arc::new(Told { ring, metrics: Metrics::new(), clock }))
    }

    /// What an engine and its service tell of runs.
    pub fn watch(&self) -> Arc<dyn Watch> {
        self.0.clone()
    }

    /// A run begins.
    pub fn begins(&self, flow: &str, at: Timestamp) {
        self.0.ring.begins(flow, at);
    }

    /// A run has ended.
    pub fn ran(&self, ran: &service::Ran<'_>) {
        self.0.ring.ran(ran);
        self.0.metrics.ran(ran, self.0.clock.now());
    }
}

/// What the API asks of.
pub(crate) struct Office {
    pub(crate) handle: Handle,
    pub(crate) service: service::Handle,
    pub(crate) project: Arc<dyn Project>,
    pub(crate) connectors: Vec<Connector>,
    pub(crate) describe: fn(&Connector) -> Value,
}

impl Office {
    fn of(running: Running) -> (Self, Events) {
        let Running { engine, service, project, connectors, describe, events } = running;
        let host: Arc<dyn service::Host> = project.clone();
        let handle = Handle::of(engine).with_flows(host);
        (Self { handle, service, project, connectors, describe }, events)
    }

    /// What is asked of where nothing runs: there are no routes that would.
    fn empty(store: Arc<dyn Store>) -> Self {
        Self {
            handle: Handle::new(store),
            service: service::Handle::ended(),
            project: Arc::new(NoProject),
            connectors: vec![],
            describe: |_| Value::Null,
        }
    }
}

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    audit: Audit,
    settings: Settings,
    office: Office,
    events: Events,
    keys: Keys,
    tokens: Tokens,
    sessions: Sessions,
    throttle: Throttle,
    ready: AtomicBool,
    routes: Routes,
}

impl Server {
    /// Puts a server together. An address that others can reach is refused as long as there is no
    /// token.
    pub async fn new(options: Options) -> Result<Self> {
        let Options { store, clock, audit, settings, routes, running } = options;
        let tokens = Tokens::open(store.clone()).await?;
        let address = settings.address;
        if !address.ip().to_canonical().is_loopback() && !tokens.any(clock.now()) {
            return Err(Error::Open { address });
        }
        let own = probes::routes().with(signing::routes()).and(page::style());
        let own = match &running {
            Some(_) => own.with(home::routes()).with(api::routes()).with(metrics::routes()),
            None => own,
        };
        let (office, events) = match running {
            Some(running) => Office::of(running),
            None => (Office::empty(store.clone()), Events::new(clock.clone())),
        };
        Ok(Self(Arc::new(Inner {
            store,
            clock,
            audit,
            settings,
            office,
            events,
            keys: Keys::default(),
            tokens,
            sessions: Sessions::default(),
            throttle: Throttle::default(),
            ready: AtomicBool::new(false),
            routes: own.with(routes),
        })))
    }

    /// The API document, OpenAPI 3.1, of a service with everything that this crate serves.
    pub fn document() -> Value {
        let routes = probes::routes().with(signing::routes()).with(metrics::routes());
        let routes = routes.with(api::routes());
        api::document(&routes.with(accounts::table()).with(hooks::table()))
    }

    /// The router of the service's own address: every route.
    pub fn router(&self) -> Router {
        let routes = self.0.routes.router(self);
        let routes = routes.fallback(guard::nowhere);
        self.serve(routes.method_not_allowed_fallback(guard::no_such_method))
    }

    /// The router of an address that is open to everybody: webhooks and the OAuth callback alone.
    ///
    /// Everything else is answered alike, whatever credential comes with it: nobody learns there
    /// whether one is good.
    pub fn public_router(&self) -> Router {
        let routes = self.0.routes.outside().router(self);
        let routes = routes.fallback(guard::nothing_here);
        self.serve(routes.method_not_allowed_fallback(guard::not_allowed))
    }

    fn serve(&self, routes: Router<Self>) -> Router {
        routes.layer(from_fn_with_state(self.clone(), shell::around)).with_state(self.clone())
    }

    /// The table of all routes.
    pub fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// Says whether it works: after the flows are loaded, and no more once it is stopping.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Release);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// The tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    pub(crate) fn audit(&self) -> &Audit {
        &self.0.audit
    }

    pub(crate) fn office(&self) -> &Office {
        &self.0.office
    }

    pub(crate) fn events(&self) -> &Arc<Ring> {
        &self.0.events.0.ring
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.events.0.metrics
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    /// The URL that others reach it under, without a slash at its end.
    pub fn base_url(&self) -> String {
        let settings = &self.0.settings;
        match &settings.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{}", settings.address),
        }
    }

    /// Whether browsers reach it by https alone.
    pub fn is_secure(&self) -> bool {
        let url = self.0.settings.public_url.as_ref();
        url.is_some_and(|url| url.scheme() == "https")
    }

    /// Who has a token.
    pub(crate) fn holder_of(&self, token: &str) -> Option<Identity> {
        let is_local = self.0.settings.local.as_ref().is_some_and(|local| {
            // `blake3::Hash` compares in constant time.
            blake3::Hash::from_bytes(hash(local.expose())) == blake3::Hash::from_bytes(hash(token))
        });
        if is_local {
            return Some(Identity::new(LOCAL, Scopes::all()));
        }
        let found = self.0.tokens.find(token, self.0.clock.now())?;
        Some(Identity::new(found.name, found.scopes))
    }

    /// Whether everybody may use the route with this path, as the table has it.
    pub(crate) fn is_public(&self, path: &str) -> bool {
        let open = |access| matches!(access, Access::Outside | Access::Anyone);
        self.0.routes.iter().any(|(_, it, access)| it == path && open(access))
    }

    /// Whether the token that a session came of still opens something; that of this process does as
    /// long as it runs.
    pub(crate) fn lasts(&self, identity: &Identity) -> bool {
        let name = identity.name();
        name == LOCAL || self.0.tokens.lasts(name, self.0.clock.now())
    }

    pub(crate) fn session_cookie<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        cookie::read(headers, self.session_cookie_name())
    }

    pub(crate) fn set_session_cookie(&self, value: &str, seconds: u64) -> Option<HeaderValue> {
        let (name, secure) = (self.session_cookie_name(), self.is_secure());
        cookie::write(name, value, "/", SameSite::Strict, (secure, seconds))
    }

    /// By `__Host-` a browser takes the cookie from this very host and by https alone.
    fn session_cookie_name(&self) -> &'static str {
        if self.is_secure() { "__Host-towpath_session" } else { "towpath_session" }
    }
}
