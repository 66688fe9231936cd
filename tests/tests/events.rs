//! Receivers that CleverReach tells of: asked for in the run, and found all the same if a call is lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connector::{Api, Registered, Services};
use engine::{Engine, Report, Silent, Stop};
use flow::Flow;
use sandbox::{Options as Sandboxed, Touch, What};
use serde_json::{Map, json};
use towpath_tests::{Calls, World};

const LIST: &str = "GET /v3/groups/{id}/receivers";
const FILTER: &str = "POST /v3/receivers/filter";
const VIEW: &str = "GET /v3/groups/{id}/receivers/{id}";
const GROUP: u64 = 1_123_825;

const FLOW: &str = r#"
flow: told
trigger:
  use: cleverreach.receiverEvents
  account: newsletter
  sweep: 6h
  emitDeletes: true
  fields:
    groupId: "1123825"
    skipTransformation: true
steps:
  - id: profiles
    use: clevertap.uploadProfiles
    account: engagement
    fields:
      customMapping: |
        { "identity": metadata.recordUid, "profileData": { "Name": data.global_attributes.lastname } }
  - id: gone
    use: clevertap.uploadProfiles
    account: engagement
    after: trigger
    for: deletes
    fields:
      customMapping: |
        { "identity": metadata.recordUid, "profileData": { "Name": "gone" } }
"#;

/// A process that takes calls, and a flow that is registered there.
struct Story {
    world: World,
    flow: Arc<Flow>,
    engine: Arc<Engine>,
    calls: Calls,
    api: Api,
}

impl Story {
    async fn of(receivers: usize) -> Self {
        let world = World::of(Sandboxed { receivers, ..Sandboxed::default() }).await;
        let flow = world.flow(FLOW);
        let engine = Arc::new(world.engine(world.store.clone()));
        let calls = Calls::of(vec![flow.clone()], engine.clone(), world.clock.clone()).await;
        let credentials = world.sandbox.credentials();
        let values = [
            ("clientId", credentials.client_id.clone()),
            ("clientSecret", credentials.client_secret.clone()),
        ];
        let values = values.map(|(k, v)| (k.to_owned(), v)).into();
        let connector = cleverreach::connector();
        let base = world.sandbox.cleverreach_url();
        let account = connector.account("newsletter", Some(&base), values).unwrap();
        let api = Api::new(&connector, account, &BTreeMap::new(), Services::bare()).unwrap();
        Self { world, flow, engine, calls, api }
    }

    async fn register(&self) {
        self.calls.register(&self.flow, &self.api, &*self.world.store).await;
    }

    async fn registered(&self) -> Vec<Registered> {
        self.flow.trigger.trigger.heard().unwrap().registered(&self.api).await.unwrap()
    }

    async fn run(&self) -> Report {
        self.world.sandbox.reset_stats();
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        let report = self.engine.run(&self.flow, stop, Arc::new(Silent)).await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        report
    }

    /// Waits for the calls, and says how the last one ended.
    async fn called(&self) -> Option<u16> {
        self.world.sandbox.hooks_called().await.last().copied()
    }

    fn pass(&self, seconds: i64) {
        self.world.sandbox.advance_clock(seconds);
        self.world.clock.advance(Duration::from_secs(seconds.unsigned_abs()));
    }

    fn edit(&self, id: &str, name: &str) {
        let touch = Touch::ids([id]).only(What::Attributes).attribute("lastname", name);
        self.world.sandbox.touch(&touch);
    }

    fn name(&self, id: &str) -> String {
        self.world.sandbox.profile(id).unwrap()["Name"].as_str().unwrap().to_owned()
    }

    fn asked(&self, template: &str) -> u64 {
        self.world.sandbox.stats().cleverreach.requests_to(template)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_asked_for_and_what_got_lost_is_swept_up() {
    let story = Story::of(60).await;
    assert_eq!(story.run().await.counts.delivered, 60);
    story.register().await;
    let ids: Vec<String> = story.world.sandbox.receivers().into_iter().map(|it| it.id).collect();

    // No date tells of it: without the call only a sweep would find it.
    story.edit(&ids[3], "Told");
    assert_eq!(story.called().await, Some(202));
    assert_eq!(story.run().await.counts.delivered, 1);
    assert_eq!((story.asked(VIEW), story.asked(FILTER), story.asked(LIST)), (1, 1, 0));
    assert_eq!(story.name(&ids[3]), "Told");

    // What a poll finds first is not sent again, and what opens move is no change.
    story.pass(300);
    story.world.sandbox.touch(&Touch::ids([&ids[4]]));
    story.world.sandbox.touch(&Touch::ids([&ids[5]]).only(What::Opens));
    assert_eq!(story.called().await, Some(202));
    assert_eq!(story.run().await.counts.delivered, 1);
    assert_eq!(story.run().await.counts.delivered, 0);

    // A call that got lost.
    let lost = sandbox::Switches { hooks_lost: true, ..sandbox::Switches::default() };
    story.world.sandbox.set_switches(lost);
    story.edit(&ids[6], "Lost");
    story.called().await;
    assert_eq!(story.run().await.counts.delivered, 0);
    story.pass(6 * 3600);
    assert_eq!(story.run().await.counts.delivered, 1);
    assert_eq!(story.name(&ids[6]), "Lost");
    assert!(story.asked(LIST) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_to_be_gone_is_deleted_at_once_and_once() {
    let story = Story::of(60).await;
    story.run().await;
    story.register().await;
    let id = story.world.sandbox.receivers()[7].id.clone();
    assert!(story.world.sandbox.delete_receiver(&id));
    assert_eq!(story.called().await, Some(202));
    assert_eq!(story.run().await.counts.delivered, 1);
    assert_eq!(story.name(&id), "gone");
    for _ in 0..3 {
        story.pass(6 * 3600);
        assert_eq!(story.run().await.counts.delivered, 0);
    }
    // New to the group is told too.
    let other = story.world.sandbox.receivers()[8].id.clone();
    assert!(story.world.sandbox.leave_group(&other, GROUP));
    story.called().await;
    assert_eq!(story.run().await.counts.delivered, 1);
    let new = sandbox::Receiver {
        email: "new@example.com".to_owned(),
        registered: story.world.sandbox.now() - 9_000_000,
        groups: vec![GROUP.to_string()],
        global_attributes: Map::from_iter([("lastname".to_owned(), json!("New"))]),
        ..sandbox::Receiver::default()
    };
    let id = story.world.sandbox.put_receiver(&new);
    story.called().await;
    assert_eq!(story.run().await.counts.delivered, 1);
    assert_eq!(story.name(&id), "New");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_was_registered_is_believed() {
    let story = Story::of(5).await;
    let http =
        |method: &str, headers: &'static [(&'static str, &'static str)], body: &'static str| {
            let (url, method) = (story.calls.url("told"), method.to_owned());
            async move { ask(&method, &url, headers, body).await }
        };
    let event = r#"{"condition":"1123825","event":"receiver.updated","payload":{"pool_id":279001,"group_id":1123825}}"#;
    // Before a registration nothing is known that a call could be proven by.
    assert_eq!(http("POST", &[("x-cr-calltoken", "x")], event).await.0, 503);
    story.register().await;
    assert_eq!(http("POST", &[], event).await.0, 401);
    assert_eq!(http("POST", &[("x-cr-calltoken", "x")], event).await.0, 403);
    let other = [Registered {
        event: "receiver".to_owned(),
        of: GROUP.to_string(),
        url: story.calls.url("told"),
    }];
    assert_eq!(story.registered().await, other);
    // A second one takes the place of the first: its token is another one.
    story.register().await;
    assert_eq!(story.registered().await, other);
    story.world.sandbox.touch(&Touch::count(1));
    assert_eq!(story.called().await, Some(202));
    let heard = story.flow.trigger.trigger.heard().unwrap();
    assert!(heard.unregister(&story.api).await.unwrap());
    assert!(!heard.unregister(&story.api).await.unwrap());
    assert_eq!(story.registered().await, []);
}

/// Sends a request, and gives the status of its answer.
async fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}content-length: \
         {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}
