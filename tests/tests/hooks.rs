//! Flows that are called: what came is kept, delivered once and in order, whatever happens between.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::put;
use connector::prelude::*;
use connector::{Clock, Connector, Encoding, Hash, Hmac, ManualClock, SignedTime};
use engine::service::{Host, Options, Planned, Ran, Service};
use engine::{Called, Door, Engine, Silent, Stop, Turned};
use flow::{Flow, Schedule};
use store::{MasterKey, MemoryStore, Store};
use tokio::sync::Notify;
use towpath_tests::world::START;
use towpath_tests::{Dying, Moment, Waiting};

const SECRET: &str = "not-a-real-webhook-secret";

/// A shop that sends orders, a folder that they go to, and what the flows are run by.
struct Shop {
    folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    /// What the engine goes by: the same, unless it is to wait.
    engines: Arc<dyn Clock>,
    api: String,
}

/// The flows of a process.
struct Flows {
    flows: BTreeMap<String, Arc<Flow>>,
    ran: Notify,
}

impl Host for Flows {
    fn flow(&self, name: &str) -> engine::Result<Arc<Flow>> {
        Ok(self.flows[name].clone())
    }

    fn has(&self, name: &str) -> bool {
        self.flows.contains_key(name)
    }

    fn ran(&self, _: &Ran<'_>) {
        self.ran.notify_one();
    }
}

fn connectors() -> Vec<Connector> {
    vec![http_connector::connector(), file::connector()]
}

fn flow(name: &str) -> Arc<Flow> {
    if name == ASKED {
        return flow_of(name, ASKED_FLOW);
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../flows");
    let text = std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
    flow_of(name, &text)
}

fn flow_of(name: &str, text: &str) -> Arc<Flow> {
    let connectors = connectors();
    let context = flow::Context { connectors: &connectors, config: None };
    let (flow, findings) = flow::check(name, text, &context);
    assert!(findings.is_empty(), "{findings:#?}");
    Arc::new(flow.unwrap())
}

const HOOK: &str = "orders-by-webhook";

/// A flow whose callers wait.
const ASKED: &str = "asked";
const ASKED_FLOW: &str = "
flow: asked
trigger:
  use: http.received
  account: shop-hooks
  fields: { authentication: none, answerWithin: 2000, fallback: { known: false } }
steps:
  - id: order
    use: http.request
    account: order-api
    when: data.id
    fields:
      method: PUT
      path: /orders/{id}
      customMapping: '{ \"path\": { \"id\": data.id }, \"body\": data }'
";

impl Shop {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(START)));
        Self {
            folder: tempfile::tempdir().unwrap(),
            store: Arc::new(MemoryStore::new(MasterKey::generate())),
            engines: clock.clone(),
            clock,
            api: "http://127.0.0.1:9".to_owned(),
        }
    }

    fn engine(&self, store: Arc<dyn Store>) -> Arc<Engine> {
        let folder = self.folder.path().to_str().unwrap().to_owned();
        let account = |name: &str, connector: Connector, url: Option<&str>, value: (&str, &str)| {
            let values = BTreeMap::from([(value.0.to_owned(), value.1.to_owned())]);
            let account = connector.account(name, url, values).unwrap();
            (name.to_owned(), engine::Account { account, limits: BTreeMap::new() })
        };
        let (http, file) = (http_connector::connector, file::connector);
        let accounts = [
            account("shop-hooks", http(), None, ("webhookSecret", SECRET)),
            account("order-api", http(), Some(&self.api), ("bearerToken", "not-a-real-token")),
            account("order-files", file(), None, ("folder", &folder)),
        ];
        let clock = self.engines.clone();
        let connectors = connectors();
        let accounts = accounts.into();
        Arc::new(Engine::new(engine::Options { connectors, accounts, store, clock }))
    }

    /// A process: its engine, its door and the service that runs when something came.
    fn process(&self, store: Arc<dyn Store>) -> (Arc<Engine>, Door, Service, Arc<Flows>) {
        let engine = self.engine(store);
        let names = [HOOK, "order-log-to-api", ASKED];
        let flows = names.map(|name| (name.to_owned(), flow(name))).into();
        let host = Arc::new(Flows { flows, ran: Notify::new() });
        let options = Options {
            engine: engine.clone(),
            host: host.clone(),
            watch: Arc::new(Silent),
            most_runs: const { std::num::NonZeroUsize::new(4).unwrap() },
        };
        let schedule = Schedule::Every(Duration::from_secs(5));
        let planned =
            Planned { flow: HOOK.into(), schedule, called: true, last: None, check: None };
        let (service, handle) = Service::new(options, vec![planned]);
        let door = Door::new(engine.clone(), host.clone(), handle);
        (engine, door, service, host)
    }

    async fn send(&self, door: &Door, body: Value) -> Result<Called, Turned> {
        self.send_as(door, SECRET, body).await
    }

    async fn send_as(&self, door: &Door, secret: &str, body: Value) -> Result<Called, Turned> {
        let (at, body) = (self.clock.now(), body.to_string().into_bytes());
        let signed = Hmac {
            secret: "webhookSecret",
            header: "X-Shop-Signature".to_owned(),
            prefix: String::new(),
            hash: Hash::Sha256,
            encoding: Encoding::Hex,
            time: Some(SignedTime {
                header: "X-Shop-Time".to_owned(),
                window: Duration::from_secs(300),
            }),
        };
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("x-shop-signature", signed.sign(secret, at, &body)),
            ("x-shop-time", at.secs().to_string()),
        ];
        let headers = headers.map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()));
        let headers = headers.into_iter().collect();
        let (method, query, body) = (Method::POST, vec![], body.into());
        let request = Received { method, query, headers, body, at };
        door.entrance(HOOK).await?.receive(request).await
    }

    async fn run(&self, engine: &Engine, flow: &Arc<Flow>) -> engine::Report {
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        engine.run(flow, stop, Arc::new(Silent)).await
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("orders.ndjson"));
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

fn orders(delivery: &str, orders: &[(&str, f64)]) -> Value {
    let orders = orders.iter().map(|(id, total)| json!({ "id": id, "total": total }));
    json!({ "delivery": delivery, "orders": orders.collect::<Vec<_>>() })
}

fn line(id: &str, total: f64) -> String {
    json!({ "order": id, "total": total, "currency": "EUR" }).to_string()
}

#[tokio::test]
async fn what_came_is_delivered_once_and_in_order() {
    let shop = Shop::new();
    let (engine, door, ..) = shop.process(shop.store.clone());
    let first = shop.send(&door, orders("d1", &[("a", 1.5), ("b", 2.5)])).await.unwrap();
    let Called::Kept { id, repeated: false, records: 2 } = first else { panic!("{first:?}") };
    let again = shop.send(&door, orders("d1", &[("a", 9.5)])).await.unwrap();
    assert_eq!(again, Called::Kept { id, repeated: true, records: 1 });
    shop.send(&door, orders("d2", &[("a", 3.5), ("free", 0.0)])).await.unwrap();
    assert_eq!(shop.lines(), [""; 0], "nothing is delivered before the flow runs");
    let flow = flow(HOOK);
    let report = shop.run(&engine, &flow).await;
    assert_eq!((report.errors.len(), report.counts.delivered, report.counts.filtered), (0, 3, 1));
    assert_eq!(shop.lines(), [line("a", 1.5), line("b", 2.5), line("a", 3.5)]);
    assert_eq!(shop.store.inbox_state(HOOK).await.unwrap().waiting, 0);
    // A run that finds nothing leaves no trace.
    let head = shop.store.head(HOOK).await.unwrap();
    assert!(shop.run(&engine, &flow).await.found_nothing);
    assert_eq!(shop.store.head(HOOK).await.unwrap(), head);
    assert_eq!(shop.store.runs(HOOK).await.unwrap().len(), 1);
    // The same order once more is news, and has an id of its own.
    shop.send(&door, orders("d3", &[("a", 3.5)])).await.unwrap();
    shop.run(&engine, &flow).await;
    assert_eq!(shop.lines().len(), 4);
}

#[tokio::test]
async fn who_does_not_prove_it_is_turned_away() {
    let shop = Shop::new();
    let (_engine, door, ..) = shop.process(shop.store.clone());
    let status = |turned: Result<Called, Turned>| turned.map(drop).unwrap_err().status.as_u16();
    let wrong = shop.send_as(&door, "another-secret-altogether", orders("d", &[("a", 1.0)])).await;
    assert_eq!(status(wrong), 403);
    let bare = Received {
        method: Method::POST,
        query: vec![],
        headers: Default::default(),
        body: "{}".into(),
        at: shop.clock.now(),
    };
    let entrance = door.entrance(HOOK).await.ok().unwrap();
    assert_eq!(status(entrance.receive(bare.clone()).await), 401);
    let get = Received { method: Method::GET, ..bare };
    let turned = entrance.receive(get).await.unwrap_err();
    assert_eq!((turned.status.as_u16(), turned.methods), (405, vec![Method::POST]));
    assert_eq!(status(shop.send(&door, json!({ "orders": [{}] })).await), 400);
    assert_eq!(shop.send(&door, json!({ "orders": [] })).await.unwrap(), Called::Nothing);
    for nobody in ["no-such-flow", "order-log-to-api"] {
        let turned = door.entrance(nobody).await.map(drop).unwrap_err();
        assert_eq!(turned.status.as_u16(), 404, "{nobody}");
    }
    assert_eq!(shop.store.inbox_state(HOOK).await.unwrap().last, 0);
}

#[tokio::test]
async fn what_waits_survives_an_outage_and_every_death() {
    for commits in 1..4 {
        for moment in [Moment::Before, Moment::After] {
            let shop = Shop::new();
            let dying = Arc::new(Dying::new(shop.store.clone(), commits, moment));
            let (engine, door, ..) = shop.process(dying.clone());
            let flow = flow(HOOK);
            let mut expected = vec![];
            for round in 0..4 {
                let id = format!("o{round}");
                let kept = shop.send(&door, orders(&id, &[(&id, 1.5), ("same", 2.5)])).await;
                if kept.is_err() {
                    break;
                }
                expected.extend([line(&id, 1.5), line("same", 2.5)]);
                if round == 1 {
                    // The folder is away for a while: nothing is taken.
                    let away = shop.folder.path().with_extension("away");
                    std::fs::rename(shop.folder.path(), &away).unwrap();
                    assert!(!shop.run(&engine, &flow).await.errors.is_empty());
                    std::fs::rename(&away, shop.folder.path()).unwrap();
                }
                shop.run(&engine, &flow).await;
            }
            let (engine, ..) = shop.process(shop.store.clone());
            let report = shop.run(&engine, &flow).await;
            assert!(report.errors.is_empty(), "{:?}", report.errors);
            assert_eq!(shop.lines(), expected, "{commits} {moment:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_runs_when_something_came() {
    let shop = Shop::new();
    // What came while nobody ran is found at the start.
    let (_engine, door, ..) = shop.process(shop.store.clone());
    shop.send(&door, orders("d1", &[("a", 1.5)])).await.unwrap();
    let (_engine, door, service, host) = shop.process(shop.store.clone());
    let (stopper, stop) = Stop::new(Duration::from_secs(30));
    let serving = tokio::spawn(service.run(stop));
    shop.clock.advance(Duration::from_secs(1));
    host.ran.notified().await;
    assert_eq!(shop.lines(), [line("a", 1.5)]);
    shop.send(&door, orders("d2", &[("b", 2.5)])).await.unwrap();
    while shop.lines().len() < 2 {
        host.ran.notified().await;
    }
    assert_eq!(shop.lines(), [line("a", 1.5), line("b", 2.5)]);
    stopper.stop();
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_orders_comes_to_an_api() {
    let put_there = Arc::new(Mutex::new(vec![]));
    let taken = put_there.clone();
    let router = Router::new().route(
        "/v1/orders/{id}",
        put(async move |Path(id): Path<String>, axum::Json(body): axum::Json<Value>| {
            taken.lock().unwrap().push((id, body));
            axum::Json(json!({ "ok": true }))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}/v1", listener.local_addr().unwrap());
    let serving = tokio::spawn(axum::serve(listener, router).into_future());
    let shop = Shop { api, ..Shop::new() };
    let engine = shop.engine(shop.store.clone());
    let flow = flow("order-log-to-api");
    let add = |text: &str| {
        use std::io::Write as _;
        let path = shop.folder.path().join("orders.ndjson");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    assert!(!shop.run(&engine, &flow).await.errors.is_empty(), "there is no file");
    // The same line twice is two records of one order.
    let same = line("a", 1.5);
    add(&format!("{same}\n{same}\n{}\n{{\"half", line("b/c", 2.5)));
    let report = shop.run(&engine, &flow).await;
    assert_eq!((report.errors.len(), report.counts.delivered), (0, 3), "{:?}", report.errors);
    assert_eq!(shop.run(&engine, &flow).await.counts.records, 0);
    add("\":1,\"order\":\"d\",\"total\":4}\n");
    // Another process goes on where this one ended.
    let engine = shop.engine(shop.store.clone());
    assert_eq!(shop.run(&engine, &flow).await.counts.delivered, 1);
    // Others may overtake each other; the two of one order do not.
    let mut amounts: Vec<_> = put_there
        .lock()
        .unwrap()
        .iter()
        .map(|(id, body): &(String, Value)| format!("{id} {}", body["amount"]))
        .collect();
    amounts.sort();
    assert_eq!(amounts, ["a 1.5", "a 1.5", "b/c 2.5", "d 4"]);
    serving.abort();
}

#[tokio::test]
async fn who_waits_is_answered_with_what_the_flow_makes_of_it() {
    let router = Router::new().route(
        "/v1/orders/{id}",
        put(async |Path(id): Path<String>| {
            if id == "slow" {
                std::future::pending::<()>().await;
            }
            axum::Json(json!({ "known": id }))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}/v1", listener.local_addr().unwrap());
    let serving = tokio::spawn(axum::serve(listener, router).into_future());
    let shop = Shop::new();
    let shop = Shop { api, engines: Arc::new(Waiting(shop.clock.clone())), ..shop };
    let (_engine, door, ..) = shop.process(shop.store.clone());
    let ask = async |body: Value| {
        let headers = [("content-type".parse().unwrap(), "application/json".parse().unwrap())];
        let headers = headers.into_iter().collect();
        let (body, at) = (body.to_string().into_bytes().into(), shop.clock.now());
        let request = Received { method: Method::POST, query: vec![], headers, body, at };
        door.entrance(ASKED).await?.receive(request).await
    };
    let fallback = Called::Value(json!({ "known": false }));
    let answer = |id: &str| Called::Value(json!({ "status": 200, "body": { "known": id } }));
    assert_eq!(ask(json!({ "id": "a" })).await.unwrap(), answer("a"));
    assert_eq!(ask(json!({})).await.unwrap(), fallback, "it comes to no step");
    // Others are answered while one takes too long.
    let slow = ask(json!({ "id": "slow" }));
    tokio::pin!(slow);
    let quick = async {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        ask(json!({ "id": "b" })).await.unwrap()
    };
    tokio::select! {
        _ = &mut slow => panic!("it was answered before its time was over"),
        quick = quick => assert_eq!(quick, answer("b")),
    }
    shop.clock.advance(Duration::from_millis(2000));
    assert_eq!(slow.await.unwrap(), fallback);
    // Nothing is kept but a line a minute.
    assert!(shop.store.head(ASKED).await.unwrap().is_none());
    assert_eq!(shop.store.inbox_state(ASKED).await.unwrap().last, 0);
    let lines = shop.store.runs(ASKED).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].counts.records, lines[0].counts.delivered), (4, 2), "{lines:?}");
    serving.abort();
}

#[test]
fn what_may_not_be_repeated_answers_nobody() {
    let connectors = connectors();
    let context = flow::Context { connectors: &connectors, config: None };
    let text = ASKED_FLOW.replace("method: PUT", "method: POST");
    let (flow, findings) = flow::check("asked.yaml", &text, &context);
    assert!(flow.is_none());
    assert_eq!(findings.iter().map(|it| it.code).collect::<Vec<_>>(), ["TP0187"]);
    // Nor does what is called have a schedule.
    let text = ASKED_FLOW.replace("  account: shop-hooks", "  account: shop-hooks\n  every: 5m");
    let (_, findings) = flow::check("asked.yaml", &text, &context);
    assert_eq!(findings.iter().map(|it| it.code).collect::<Vec<_>>(), ["TP0183"]);
}
