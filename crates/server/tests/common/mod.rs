//! A server in process, with a store in memory and some routes of its own.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use connector::{ManualClock, Secret, Timestamp};
use http::Request;
use store::{MasterKey, MemoryStore, Store};
use tower::ServiceExt;
use towpath_server::{
    Access, Audit, Json, NewToken, Options, Routes, Scope, Server, Session, Settings, Tokens, get,
    post,
};

pub(crate) struct House {
    pub(crate) server: Server,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) token: Option<Secret>,
    folder: tempfile::TempDir,
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
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MasterKey::generate()));
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_790_000_000)));
        let mut token = None;
        if !scopes.is_empty() {
            let scopes = scopes.iter().copied().collect();
            let new = NewToken { name: "test".to_owned(), scopes, lasts: None };
            let tokens = Tokens::open(store.clone()).await?;
            token = Some(tokens.create(new, Timestamp::default()).await?);
        }
        let folder = tempfile::tempdir().unwrap();
        let server = Server::new(Options {
            store,
            clock: clock.clone(),
            audit: Audit::file(&folder.path().join("audit.log")),
            settings: Settings { address: address.parse().unwrap(), public_url: None, local: None },
            routes: routes(),
        })
        .await?;
        server.set_ready(true);
        Ok(Self { server, clock, token, folder })
    }

    pub(crate) fn with_token(&self, mut request: Request<Body>) -> Request<Body> {
        let token = self.token.as_ref().unwrap();
        let value = format!("Bearer {}", token.expose()).parse().unwrap();
        request.headers_mut().insert("authorization", value);
        request
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Response {
        self.server.router().oneshot(request).await.unwrap()
    }

    pub(crate) async fn ask_outside(&self, request: Request<Body>) -> Response {
        self.server.public_router().oneshot(request).await.unwrap()
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

pub(crate) async fn body(response: Response) -> serde_json::Value {
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&bytes)))
}
