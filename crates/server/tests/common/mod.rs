//! A service in process, with a store in memory, a manual clock and some routes of its own.
#![allow(dead_code, reason = "each test uses a part of it")]

mod accounts;
pub(crate) mod world;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use connector::{Clock, ManualClock, Secret, SystemClock, Timestamp};
use engine::service::{self, Planned, Service};
use engine::{Stop, Stopper};
use http::Request;
use serde_json::{Value, json};
use store::{MasterKey, MemoryStore, Store};
use tokio::task::JoinHandle;
use tower::ServiceExt;
use towpath_server::{
    Access, Audit, Events, Json, NewToken, Options, Routes, Running, Scope, Server, Session,
    Settings, Tokens, get, hooks, post,
};

use world::World;

pub(crate) struct House {
    pub(crate) server: Server,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) token: Option<Secret>,
    folder: tempfile::TempDir,
    own: axum::Router,
    public: axum::Router,
    _stopper: Stopper,
    _service: JoinHandle<()>,
}

impl House {
    /// On loopback, with a token that opens everything.
    pub(crate) async fn new() -> Self {
        Self::with_scopes(&[Scope::Admin]).await
    }

    pub(crate) async fn with_scopes(scopes: &[Scope]) -> Self {
        Self::open("127.0.0.1:7070", scopes).await.unwrap()
    }

    pub(crate) async fn open(address: &str, scopes: &[Scope]) -> towpath_server::Result<Self> {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_790_000_000)));
        // The service's own waits would move a clock that is turned by hand.
        let flows: &[&str] = &["alpha", "beta", "gamma"];
        Self::of(address, scopes, (flows, "every: 366d"), Arc::new(SystemClock), clock).await
    }

    /// A service with these flows, all on one schedule.
    pub(crate) async fn of(
        address: &str,
        scopes: &[Scope],
        (flows, schedule): (&[&str], &str),
        engines: Arc<dyn Clock>,
        clock: Arc<ManualClock>,
    ) -> towpath_server::Result<Self> {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MasterKey::generate()));
        let mut token = None;
        if !scopes.is_empty() {
            let scopes = scopes.iter().copied().collect();
            let new = NewToken { name: "test".to_owned(), scopes, lasts: None };
            let tokens = Tokens::open(store.clone()).await?;
            token = Some(tokens.create(new, Timestamp::default()).await?);
        }
        let folder = tempfile::tempdir().unwrap();
        let events = Events::new(clock.clone());
        let world = Arc::new(World::new(flows, schedule, events.clone()));
        let engine = world::engine(store.clone(), engines.clone());
        let planned = world.flows.values().filter_map(|flow| {
            let schedule = flow.trigger.schedule.clone()?;
            let last = Some(engines.now());
            let flow = flow.name.as_str().into();
            Some(Planned { flow, schedule, called: false, last, check: None })
        });
        let options = service::Options {
            engine: engine.clone(),
            host: world.clone(),
            watch: events.watch(),
            most_runs: NonZeroUsize::new(64).unwrap(),
        };
        let (service, handle) = Service::new(options, planned.collect());
        let (stopper, stop) = Stop::new(Duration::ZERO);
        let running = tokio::spawn(service.run(stop));
        let door = engine::Door::new(engine.clone(), world.clone(), handle.clone());
        let logins = accounts::logins(store.clone(), clock.clone());
        let rooms = hooks::routes(door).with(towpath_server::accounts::routes(&logins));
        let server = Server::new(Options {
            store: store.clone(),
            clock: clock.clone(),
            audit: Audit::file(&folder.path().join("audit.log")),
            settings: Settings { address: address.parse().unwrap(), public_url: None, local: None },
            routes: routes().with(rooms),
            running: Some(Running {
                engine,
                service: handle,
                project: world,
                connectors: vec![world::memory()],
                describe: |connector| json!({ "name": connector.name() }),
                events,
            }),
        })
        .await?;
        server.set_ready(true);
        let (own, public) = (server.router(), server.public_router());
        let (_stopper, _service) = (stopper, running);
        Ok(Self { server, store, clock, token, folder, own, public, _stopper, _service })
    }

    pub(crate) fn with_token(&self, mut request: Request<Body>) -> Request<Body> {
        let token = self.token.as_ref().unwrap();
        let value = format!("Bearer {}", token.expose()).parse().unwrap();
        request.headers_mut().insert("authorization", value);
        request
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Response {
        self.own.clone().oneshot(request).await.unwrap()
    }

    /// Asks with the token, and gives status and body.
    pub(crate) async fn call(&self, method: &str, path: &str, send: Option<Value>) -> (u16, Value) {
        self.call_with(method, path, send, &[]).await
    }

    pub(crate) async fn call_with(
        &self,
        method: &str,
        path: &str,
        send: Option<Value>,
        headers: &[(&'static str, &str)],
    ) -> (u16, Value) {
        let mut asked = self.with_token(request(method, path));
        if let Some(send) = send {
            asked.headers_mut().insert("content-type", "application/json".parse().unwrap());
            *asked.body_mut() = Body::from(send.to_string());
        }
        for (name, value) in headers {
            asked.headers_mut().insert(*name, value.parse().unwrap());
        }
        let answered = self.ask(asked).await;
        let status = answered.status().as_u16();
        let bytes = axum::body::to_bytes(answered.into_body(), usize::MAX).await.unwrap();
        let value = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
        (status, value.unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into()))
    }

    /// Signs a browser in with the token, and gives its cookie and what its forms carry.
    pub(crate) async fn session(&self) -> (String, String) {
        let (_, link) = self.call("POST", "/api/v1/login-links", None).await;
        let path = link["url"].as_str().unwrap().strip_prefix("http://127.0.0.1:7070").unwrap();
        let answered = self.ask(request("GET", path)).await;
        let cookie = answered.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let mut look = request("GET", "/csrf");
        look.headers_mut().insert("cookie", cookie.parse().unwrap());
        let csrf = body(self.ask(look).await).await.as_str().unwrap().to_owned();
        (cookie, csrf)
    }

    /// Runs a flow and waits until its run is over.
    pub(crate) async fn run(&self, flow: &str) {
        let runs = async || {
            let (_, runs) = self.call("GET", &format!("/api/v1/flows/{flow}/runs"), None).await;
            runs["items"].as_array().unwrap().len()
        };
        let before = runs().await;
        let path = format!("/api/v1/flows/{flow}/run");
        assert_eq!(self.call("POST", &path, None).await.0, 202);
        while runs().await == before {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn ask_outside(&self, request: Request<Body>) -> Response {
        self.public.clone().oneshot(request).await.unwrap()
    }

    pub(crate) fn audit(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("audit.log")).unwrap()
    }
}

/// Routes that only tests have.
fn routes() -> Routes {
    let operate = Access::Needs(Scope::Operate);
    Routes::default()
        .and(get("/operated", operate, async || "done"))
        .and(post("/operated", operate, async |_: String| "done"))
        .and(get("/csrf", operate, async |session: Session| Json(session.csrf)))
        .and(get("/breaks", operate, async || -> &'static str { panic!("as it was told to") }))
        .and(post("/read", operate, async |Json(text): Json<String>| text))
}

pub(crate) fn request(method: &str, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

pub(crate) async fn text(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) async fn body(response: Response) -> Value {
    let text = text(response).await;
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}
