//! A sandbox, a store and an engine: what a story about a flow file needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connector::{Clock, Connector, ManualClock, Timestamp};
use engine::{Engine, Report, Silent, Snapshot, Stop};
use flow::Flow;
use sandbox::{Options, Sandbox};
use store::{MasterKey, MemoryStore, Store};

/// The moment at which every story begins: 2026-03-01T12:00:00Z.
pub const START: i64 = 1_772_366_400;

/// A sandbox, a store, and flows between them.
pub struct World {
    /// The other side.
    pub sandbox: Sandbox,
    /// What survives a restart.
    pub store: Arc<dyn Store>,
    /// The time that the engine goes by; the sandbox has its own.
    pub clock: Arc<ManualClock>,
    /// The client secret that the flows use, to be made wrong.
    pub client_secret: String,
    /// The passcode that the flows use, to be made wrong.
    pub passcode: String,
    /// The token that attribution uses, to be made wrong.
    pub token: String,
    /// Accounts beside those of the sandbox, by their names.
    pub more: BTreeMap<String, engine::Account>,
}

impl World {
    /// A world with so many receivers, all in the group "Newsletter".
    pub async fn with(receivers: usize) -> Self {
        Self::of(Options { receivers, ..Options::default() }).await
    }

    /// A world with a sandbox of one's own.
    pub async fn of(options: Options) -> Self {
        let options = Options { now: options.now.or(Some(START)), ..options };
        let sandbox = Sandbox::start(options).await.unwrap();
        let credentials = sandbox.credentials().clone();
        Self {
            sandbox,
            store: Arc::new(MemoryStore::new(MasterKey::generate())),
            clock: Arc::new(ManualClock::new(Timestamp::from_secs(START))),
            client_secret: credentials.client_secret,
            passcode: credentials.passcode,
            token: credentials.token,
            more: BTreeMap::new(),
        }
    }

    /// Checks a flow's text; it must be without findings.
    pub fn flow(&self, text: &str) -> Arc<Flow> {
        let connectors = connectors();
        let context = flow::Context { connectors: &connectors, config: None };
        let (flow, findings) = flow::check("flow.yaml", text, &context);
        assert!(findings.is_empty(), "{findings:#?}");
        Arc::new(flow.unwrap())
    }

    /// Runs a flow once, on a process of its own.
    pub async fn run(&self, flow: &Arc<Flow>) -> Report {
        self.run_with(self.store.clone(), flow).await
    }

    /// Runs a flow once over another store.
    pub async fn run_with(&self, store: Arc<dyn Store>, flow: &Arc<Flow>) -> Report {
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        self.engine(store).run(flow, stop, Arc::new(Silent)).await
    }

    /// The engine of one process.
    pub fn engine(&self, store: Arc<dyn Store>) -> Engine {
        self.engine_by(store, self.clock.clone())
    }

    /// The engine of one process that goes by another clock.
    pub fn engine_by(&self, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Engine {
        let credentials = self.sandbox.credentials();
        let newsletter = [
            ("clientId", credentials.client_id.clone()),
            ("clientSecret", self.client_secret.clone()),
        ];
        let engagement = [
            ("projectId", credentials.project_id.clone()),
            ("passcode", self.passcode.clone()),
            ("token", self.token.clone()),
            ("partnerName", "attribution partner".to_owned()),
        ];
        let account = |name: &str, connector: Connector, url: String, values: &[(&str, String)]| {
            let values = values.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
            let account = connector.account(name, Some(&url), values).unwrap();
            (name.to_owned(), engine::Account { account, limits: BTreeMap::new() })
        };
        let (cleverreach, clevertap) =
            (self.sandbox.cleverreach_url(), self.sandbox.clevertap_url());
        let own = [
            account("newsletter", cleverreach::connector(), cleverreach.clone(), &newsletter),
            account("shop", cleverreach::connector(), cleverreach, &newsletter),
            account("engagement", clevertap::connector(), clevertap, &engagement),
        ];
        Engine::new(engine::Options {
            accounts: self.more.clone().into_iter().chain(own).collect(),
            connectors: connectors(),
            store,
            clock,
        })
    }

    /// The snapshot of a flow, if it committed.
    pub async fn snapshot(&self, flow: &str) -> Option<Snapshot> {
        let head = self.store.head(flow).await.unwrap()?;
        Some(Snapshot::read(flow, &head.snapshot).unwrap())
    }

    /// How many profile records CleverTap took since the counters were last set back.
    pub fn uploaded(&self) -> u64 {
        self.sandbox.stats().clevertap.records_accepted
    }
}

/// Every connector there is.
pub fn connectors() -> Vec<Connector> {
    vec![
        cleverreach::connector(),
        clevertap::connector(),
        file::connector(),
        http_connector::connector(),
        engine::builtin::connector(),
    ]
}

/// How many messages a flow's last commit counts as delivered.
pub async fn settled(store: &dyn Store, flow: &str) -> u64 {
    store.head(flow).await.unwrap().map_or(0, |head| head.counts.delivered)
}
