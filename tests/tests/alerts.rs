//! An attribution that CleverTap fails with 5xx for ten minutes: who is told, what, and how often.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use connector::{Clock, Timestamp};
use engine::builtin::Alert;
use engine::service::{Handle, Host, Options, Planned, Ran, Service};
use engine::{
    AccountChange, AccountState, Answer, Engine, Event, Request, Silent, Stop, Stopper, Watch,
};
use flow::{Flow, Schedule};
use sandbox::{Action, Fault, Touch, Vendor};
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use towpath_tests::{START, Waiting, World};

const MINUTE: Duration = Duration::from_secs(60);
const TELL_OPS: &str = include_str!("../../flows/tell-ops.yaml");
const INSTALLS: &str = r#"
flow: installs
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  fields: { groupName: Newsletter }
steps:
  - id: told
    use: clevertap.sendAttribution
    account: ACCOUNT
    retry: { attempts: 1 }
    fields:
      customMapping: |
        { "event_type": "organic_install", "device_identifier": "__g" & metadata.recordUid,
          "platform": "Android", "utm_source": "newsletter", "utm_medium": "email",
          "utm_campaign": "spring" }
"#;
/// What CleverTap's page asks for.
const ADVICE: &str = "where this goes on for more than 10 minutes, CleverTap asks to be told: write \
                      to its support, with the project id and since when";

/// The two flows, how often the first one ran, and what is heard of accounts.
struct Desk {
    flows: BTreeMap<String, Arc<Flow>>,
    ran: watch::Sender<u64>,
    heard: Mutex<Vec<String>>,
}

impl Host for Desk {
    fn flow(&self, name: &str) -> engine::Result<Arc<Flow>> {
        Ok(self.flows[name].clone())
    }

    fn has(&self, name: &str) -> bool {
        self.flows.contains_key(name)
    }

    fn alert(&self, name: &str) -> Option<Alert> {
        Alert::of(&self.flows[name])
    }

    fn ran(&self, ran: &Ran<'_>) {
        if ran.flow == "installs" {
            self.ran.send_modify(|ran| *ran += 1);
        }
    }
}

impl Watch for Desk {
    fn on(&self, event: &Event<'_>) {
        let Event::Account { account, change } = event else { return };
        let heard = match change {
            AccountChange::Outage { since, advice, .. } => format!("{account} {since}: {advice}"),
            change => format!("{account} {change:?}"),
        };
        self.heard.lock().unwrap().push(heard);
    }
}

/// A service with the two flows, and a chat that takes what it is told.
struct Served {
    world: World,
    desk: Arc<Desk>,
    said: watch::Receiver<Vec<String>>,
    handle: Handle,
    _nobody: TcpSocket,
    _stopper: Stopper,
}

impl Served {
    /// The flow uses CleverTap by `account`; `refused` is one at which nobody listens.
    async fn with(account: &str) -> Self {
        let mut world = World::with(1).await;
        let (say, said) = watch::channel(vec![]);
        let take = move |Json(body): Json<Value>| async move {
            let text = body["text"].as_str().unwrap().to_owned();
            say.send_modify(|said: &mut Vec<String>| said.push(text));
            Json(Value::Null)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let chat = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/messages", post(take));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        // Bound, and nobody listens: no other test gets this port.
        let nobody = TcpSocket::new_v4().unwrap();
        nobody.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let refused = nobody.local_addr().unwrap();
        let credentials = world.sandbox.credentials();
        let of_nobody = [
            ("projectId", credentials.project_id.as_str()),
            ("passcode", "not-a-real-passcode"),
            ("token", "not-a-real-token"),
            ("partnerName", "attribution partner"),
        ];
        let of_nobody = of_nobody.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let accounts = [
            ("ops-chat", http_connector::connector(), chat, BTreeMap::new()),
            ("refused", clevertap::connector(), format!("http://{refused}"), of_nobody),
        ];
        for (name, connector, url, values) in accounts {
            let account = connector.account(name, Some(&url), values).unwrap();
            let account = engine::Account { account, limits: BTreeMap::new() };
            world.more.insert(name.to_owned(), account);
        }
        let installs = world.flow(&INSTALLS.replace("ACCOUNT", account));
        let flows = [("installs", installs), ("tell-ops", world.flow(TELL_OPS))];
        let flows = flows.map(|(name, flow)| (name.to_owned(), flow)).into();
        let (ran, heard) = (watch::Sender::new(0), Mutex::default());
        let desk = Arc::new(Desk { flows, ran, heard });
        let (handle, _stopper) = serve(&world, &desk);
        Self { world, desk, said, handle, _nobody: nobody, _stopper }
    }

    /// Lets a minute pass and the flow run, at each of them.
    async fn minutes(&self, minutes: u32) {
        for _ in 0..minutes {
            self.world.clock.advance(MINUTE);
            self.world.sandbox.advance_clock(60);
            self.run().await;
        }
    }

    /// Runs the flow now, and waits until it has run.
    async fn run(&self) {
        let now = self.world.clock.now();
        let mut ran = self.desk.ran.subscribe();
        // Once and no more: a run too many would meet what comes behind this minute.
        while !self.handle.run_now("installs".into()).await {
            tokio::task::yield_now().await;
        }
        // What is left of a run that failed is taken further before it, which leaves no line.
        while self.last_polled().await < now {
            ran.changed().await.unwrap();
        }
    }

    async fn last_polled(&self) -> Timestamp {
        let lines = self.world.store.runs("installs").await.unwrap();
        lines.first().map_or_else(Timestamp::default, |it| Timestamp::from_millis(it.started))
    }

    /// The messages of the chat, once there are so many.
    async fn said(&mut self, count: usize) -> Vec<String> {
        self.said.wait_for(|said| said.len() >= count).await.unwrap().clone()
    }

    fn fails(&self, action: Action) {
        self.world.sandbox.clear_faults();
        self.world.sandbox.fault(Fault::new(Vendor::CleverTap, "/attribution", action).forever());
    }

    /// CleverTap is well for a minute, and takes what waits.
    async fn is_well(&self) {
        self.world.sandbox.clear_faults();
        self.minutes(1).await;
    }

    async fn states(&self) -> Vec<AccountState> {
        let handle = engine::Handle::new(self.world.store.clone());
        match handle.ask(Request::Accounts).await.unwrap() {
            Answer::Accounts { accounts } => accounts,
            other => panic!("{other:?}"),
        }
    }
}

fn serve(world: &World, desk: &Arc<Desk>) -> (Handle, Stopper) {
    let clock = Arc::new(Waiting(world.clock.clone()));
    let engine: Arc<Engine> = Arc::new(world.engine_by(world.store.clone(), clock));
    engine.tell_of_accounts(desk.clone());
    let options = Options {
        engine,
        host: desk.clone(),
        watch: Arc::new(Silent),
        most_runs: const { std::num::NonZeroUsize::new(4).unwrap() },
    };
    let planned = |flow: &str, called| {
        let schedule = Schedule::Every(Duration::from_secs(1000 * 24 * 3600));
        Planned { flow: flow.into(), schedule, called, last: None, check: None }
    };
    let planned = vec![planned("installs", false), planned("tell-ops", true)];
    let (service, handle) = Service::new(options, planned);
    let (stopper, stop) = Stop::new(Duration::from_secs(30));
    tokio::spawn(service.run(stop));
    (handle, stopper)
}

/// When so many minutes have passed.
fn at(minutes: u64) -> Timestamp {
    Timestamp::from_secs(START).plus(MINUTE * u32::try_from(minutes).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_minutes_of_5xx_are_told_once_with_what_clevertap_asks_for() {
    let mut served = Served::with("engagement").await;
    served.fails(Action::status(503));
    served.minutes(10).await;
    assert_eq!(served.said.borrow().len(), 0, "nine minutes are not ten");
    assert_eq!((served.states().await.len(), served.desk.heard.lock().unwrap().len()), (0, 0));
    served.minutes(1).await;
    let said = served.said(1).await;
    let begins = format!("installs fails since {}", at(1));
    assert!(said[0].starts_with(&begins) && said[0].contains(ADVICE), "{said:?}");
    // Who reads no chat finds it beside the account, and in what is heard of it.
    let states = served.states().await;
    let [state] = &states[..] else { panic!("{states:?}") };
    let [outage] = &state.outages[..] else { panic!("{state:?}") };
    assert_eq!((outage.since, outage.last, outage.advice.as_str()), (at(1), at(11), ADVICE));
    let heard = format!("engagement {}: {ADVICE}", at(1));
    assert_eq!(*served.desk.heard.lock().unwrap(), [heard.as_str()]);

    served.minutes(15).await;
    served.is_well().await;
    let said = served.said(2).await;
    assert_eq!(said[1], "installs is well again");
    assert_eq!(served.states().await, []);
    let over = "engagement OutageOver { class: \"default\" }";
    assert_eq!(*served.desk.heard.lock().unwrap(), [heard.as_str(), over]);
    assert!(served.world.sandbox.delivered_count() == 1 && said.len() == 2, "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_in_between_begins_the_ten_minutes_anew() {
    let mut served = Served::with("engagement").await;
    served.fails(Action::status(500));
    served.minutes(8).await;
    served.is_well().await;
    served.fails(Action::status(502));
    served.world.sandbox.touch(&Touch { count: 1, ..Touch::default() });
    served.minutes(10).await;
    assert_eq!(served.said.borrow().len(), 0, "eight and nine minutes are not ten");
    served.minutes(1).await;
    let said = served.said(1).await;
    let begins = format!("installs fails since {}", at(10));
    assert!(said[0].starts_with(&begins) && said[0].contains(ADVICE), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_that_is_not_there_is_told_without_what_is_said_of_5xx() {
    let mut served = Served::with("refused").await;
    served.minutes(11).await;
    let said = served.said(1).await;
    let text = "a system is not there, or its answers make no sense. More by";
    assert!(said[0].contains(text), "{said:?}");
    served.minutes(15).await;
    assert_eq!(served.said.borrow().len(), 1);
    assert_eq!((served.states().await, served.desk.heard.lock().unwrap().len()), (vec![], 0));
}
