//! A process that systems call: flows that are told of changes, and what they are registered by.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use connector::{Api, Clock, Hook, Received, Secret};
use engine::service::{Host, Options, Ran, Service};
use engine::{Called, Door, Engine, Silent};
use flow::Flow;

struct Flows(Vec<Arc<Flow>>);

impl Host for Flows {
    fn flow(&self, name: &str) -> engine::Result<Arc<Flow>> {
        Ok(self.0.iter().find(|flow| flow.name == name).unwrap().clone())
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|flow| flow.name == name)
    }

    fn ran(&self, _: &Ran<'_>) {}
}

/// Takes calls for flows, and keeps them until somebody runs the flow; it starts none by itself.
pub struct Calls {
    base: String,
    _service: Service,
}

impl Calls {
    /// Listens for calls of these flows.
    pub async fn of(flows: Vec<Arc<Flow>>, engine: Arc<Engine>, clock: Arc<dyn Clock>) -> Self {
        let host = Arc::new(Flows(flows));
        let options = Options {
            engine: engine.clone(),
            host: host.clone(),
            watch: Arc::new(Silent),
            most_runs: const { std::num::NonZeroUsize::new(1).unwrap() },
        };
        let (service, handle) = Service::new(options, vec![]);
        let door = Door::new(engine, host, handle);
        let app = Router::new().route("/hooks/{flow}", any(take)).with_state((door, clock));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/hooks", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, _service: service }
    }

    /// Where a flow is called.
    pub fn url(&self, flow: &str) -> String {
        format!("{}/{flow}", self.base)
    }

    /// Registers a flow at its system as `towpath account hooks register` does.
    pub async fn register(&self, flow: &Flow, api: &Api, store: &dyn store::Store) {
        let heard = flow.trigger.trigger.heard().unwrap();
        let verify = Secret::new("not-a-real-verify-token");
        let begun = [(heard.kept()[0], verify.clone())].into();
        engine::hooks::keep(store, &flow.name, &begun).await.unwrap();
        let hook = Hook { url: self.url(&flow.name), verify };
        let kept = heard.register(api, &hook).await.unwrap();
        engine::hooks::keep(store, &flow.name, &kept).await.unwrap();
    }
}

async fn take(
    State((door, clock)): State<(Door, Arc<dyn Clock>)>,
    Path(flow): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 * 1024).await.unwrap();
    let query = parts.uri.query().unwrap_or_default().split('&');
    let query = query.filter_map(|pair| pair.split_once('='));
    let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (method, headers, at) = (parts.method, parts.headers, clock.now());
    let received = Received { method, query, headers, body, at };
    let entrance = door.entrance(&flow).await.unwrap();
    match entrance.receive(received).await {
        Ok(Called::Reply(reply)) => (reply.status, reply.body).into_response(),
        Ok(_) => StatusCode::ACCEPTED.into_response(),
        Err(turned) => turned.status.into_response(),
    }
}
