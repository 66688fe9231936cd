//! Two accounts of CleverReach and a flow each way between them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use connector::{Account, Api, ManualClock, Services, Timestamp};
use engine::{Engine, Report, Silent, Stop, Watch};
use flow::Flow;
use sandbox::{GroupSeed, Options, Receiver, Sandbox};
use store::{MasterKey, MemoryStore, Store};

use crate::Calls;
use crate::world::{START, connectors};

/// The group that both accounts have, and that goes both ways.
const GROUP: u64 = 1_123_825;
const UPSERT: &str = "POST /v3/groups/{id}/receivers/upsert";

/// The accounts `north` and `south`, each a system of its own.
pub struct Between {
    /// The one.
    pub north: Sandbox,
    /// The other.
    pub south: Sandbox,
    /// What survives a restart.
    pub store: Arc<dyn Store>,
    /// The time that the engine goes by.
    pub clock: Arc<ManualClock>,
    /// From north to south.
    pub southward: Arc<Flow>,
    /// From south to north.
    pub northward: Arc<Flow>,
}

/// A flow between two accounts; `more` is added to it.
pub fn flow_between(from: &str, to: &str, more: &str) -> Arc<Flow> {
    checked(&text_between(from, to, more))
}

/// The text of that flow.
pub fn text_between(from: &str, to: &str, more: &str) -> String {
    format!(
        "flow: {from}-to-{to}\n{more}\ntrigger:\n  use: cleverreach.getReceiversByGroupIdPolling\n  \
         account: {from}\n  sweep: 1h\n  fields: {{ groupName: Newsletter }}\nsteps:\n  - id: copies\n    \
         use: cleverreach.upsertReceiver\n    account: {to}\n    \
         fields: {{ groupName: Newsletter, activation: keep }}\n"
    )
}

/// The flow of a text, which must be without findings.
pub fn checked(text: &str) -> Arc<Flow> {
    let connectors = connectors();
    let context = flow::Context { connectors: &connectors, config: None };
    let (flow, findings) = flow::check("flow.yaml", text, &context);
    assert!(findings.is_empty(), "{findings:#?}");
    Arc::new(flow.unwrap())
}

impl Between {
    /// So many receivers in the north and nearly as many in the south, none on both sides.
    pub async fn with(receivers: usize) -> Self {
        let side = async |seed| {
            let groups = vec![GroupSeed::new(GROUP, "Newsletter", 1)];
            let options =
                Options { receivers, seed, groups, now: Some(START), ..Options::default() };
            Sandbox::start(options).await.unwrap()
        };
        let (north, south) = (side(1).await, side(2).await);
        let known: HashSet<String> = north.receivers().into_iter().map(|it| it.email).collect();
        for receiver in south.receivers().into_iter().filter(|it| known.contains(&it.email)) {
            south.delete_receiver(&receiver.id);
        }
        Self {
            north,
            south,
            store: Arc::new(MemoryStore::new(MasterKey::generate())),
            clock: Arc::new(ManualClock::new(Timestamp::from_secs(START))),
            southward: flow_between("north", "south", "prefer: source"),
            northward: flow_between("south", "north", "prefer: target"),
        }
    }

    /// The engine of one process, which knows both flows.
    pub fn engine(&self, store: Arc<dyn Store>) -> Engine {
        let account = |name: &str, sandbox: &Sandbox| {
            let account =
                engine::Account { account: login(name, sandbox), limits: BTreeMap::new() };
            (name.to_owned(), account)
        };
        let engine = Engine::new(engine::Options {
            accounts: [account("north", &self.north), account("south", &self.south)].into(),
            connectors: connectors(),
            store,
            clock: self.clock.clone(),
        });
        engine.knows_flows_by(Arc::new(vec![self.southward.clone(), self.northward.clone()]));
        engine
    }

    /// Runs a flow once on a process of its own; it must not fail.
    pub async fn run(&self, flow: &Arc<Flow>) -> Report {
        let report = self.run_with(self.store.clone(), flow).await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        report
    }

    /// The same over another store; it may fail.
    pub async fn run_with(&self, store: Arc<dyn Store>, flow: &Arc<Flow>) -> Report {
        run(&self.engine(store), flow, Arc::new(Silent)).await
    }

    /// Runs both flows once, south first, and gives what each found, sent and knew as an echo.
    pub async fn both(&self) -> [[u64; 3]; 2] {
        let southward = self.run(&self.southward).await;
        let northward = self.run(&self.northward).await;
        [southward, northward].map(|report| counted(&report))
    }

    /// A process that both systems call once they are told to.
    pub async fn calls(&self) -> (Arc<Engine>, Calls) {
        let engine = Arc::new(self.engine(self.store.clone()));
        let flows = vec![self.southward.clone(), self.northward.clone()];
        let calls = Calls::of(flows, engine.clone(), self.clock.clone()).await;
        let sides = [(&self.north, &self.southward), (&self.south, &self.northward)];
        for (sandbox, flow) in sides {
            let account = login(&flow.trigger.account, sandbox);
            let connector = cleverreach::connector();
            let api = Api::new(&connector, account, &BTreeMap::new(), Services::bare()).unwrap();
            calls.register(flow, &api, &*self.store).await;
        }
        (engine, calls)
    }

    /// Lets time pass everywhere.
    pub fn pass(&self, seconds: u64) {
        for sandbox in [&self.north, &self.south] {
            sandbox.advance_clock(seconds.cast_signed());
        }
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// How many upserts each side got since this was last asked.
    pub fn upserts(&self) -> [u64; 2] {
        [&self.north, &self.south].map(|sandbox| {
            let upserts = sandbox.stats().cleverreach.requests_to(UPSERT);
            sandbox.reset_stats();
            upserts
        })
    }

    /// What each side says of an address: last name and tags.
    pub fn says(&self, email: &str) -> [String; 2] {
        [&self.north, &self.south].map(|sandbox| said(&member(sandbox, email)))
    }

    /// The ids of a receiver that both sides have.
    pub fn ids(&self, email: &str) -> [String; 2] {
        [&self.north, &self.south].map(|sandbox| member(sandbox, email).id)
    }

    /// Whether both sides have the same receivers.
    pub fn is_level(&self) -> bool {
        let sides = [&self.north, &self.south].map(|sandbox| {
            let said = sandbox.receivers().into_iter().map(|it| (it.email.clone(), said(&it)));
            said.collect::<BTreeMap<_, _>>()
        });
        sides[0] == sides[1]
    }
}

/// What a run found, sent and knew as an echo.
pub fn counted(report: &Report) -> [u64; 3] {
    let counts = report.counts;
    assert_eq!(counts.emitted, counts.delivered + counts.echoed + counts.overruled);
    [counts.emitted, counts.delivered, counts.echoed]
}

fn login(name: &str, sandbox: &Sandbox) -> Account {
    let credentials = sandbox.credentials();
    let values = [
        ("clientId".to_owned(), credentials.client_id.clone()),
        ("clientSecret".to_owned(), credentials.client_secret.clone()),
    ];
    let url = sandbox.cleverreach_url();
    cleverreach::connector().account(name, Some(&url), values.into()).unwrap()
}

/// Runs a flow once.
pub async fn run(engine: &Engine, flow: &Arc<Flow>, watch: Arc<dyn Watch>) -> Report {
    let (_stopper, stop) = Stop::new(Duration::from_secs(30));
    engine.run(flow, stop, watch).await
}

fn member(sandbox: &Sandbox, email: &str) -> Receiver {
    sandbox.member(&GROUP.to_string(), email).unwrap()
}

fn said(receiver: &Receiver) -> String {
    let value = |name: &str| receiver.attributes.get(name).and_then(|it| it.as_str()).unwrap_or("");
    let mut tags = receiver.tags.clone();
    tags.sort();
    format!("{} {} {}", value("firstname"), value("name"), tags.join(" ")).trim().to_owned()
}
