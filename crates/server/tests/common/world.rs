//! Flows that need no network: a connector that finds and takes records in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;
use connector::{Clock, Connector};
use engine::service::{Host, Ran};
use engine::{Engine, Options};
use flow::Flow;
use store::Store;
use towpath_server::{Events, Listed, Project};

/// Finds so many pages of two records at every poll.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Found {
    /// How many pages.
    pages: usize,
}

#[async_trait]
impl PollingTrigger for Found {
    type Cursor = usize;
    const CHANGES: Changes = Changes::None;

    async fn poll(&self, _: &Api, scan: &Scan<usize>) -> Result<Page<usize>> {
        let page = scan.cursor.unwrap_or_default();
        let record = |n: usize| {
            let key = format!("{page}-{n}");
            Record::new(&key, None, &json!({ "id": key, "bad": page == 0 && n == 1 }))
        };
        let records = (0..2).map(record).collect::<Result<_>>()?;
        Ok(Page { records, next: Some(page + 1).filter(|next| *next < self.pages) })
    }
}

/// Takes what comes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Called {}

impl WebhookTrigger for Called {
    fn proof(&self) -> Proof {
        Proof::None
    }

    fn receive(&self, request: &Received) -> std::result::Result<Vec<Record>, Refusal> {
        let data = request.json()?;
        Ok(vec![Record { key: String::new(), version: None, data }])
    }
}

/// Takes what is not bad.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Take {}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Taken {
    id: String,
    bad: bool,
}

#[async_trait]
impl Action for Take {
    type Input = Taken;
    const MAX_BATCH: usize = 100;

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, _: &Api, batch: &Batch<Taken>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            let outcome = match item.input.bad {
                true => Outcome::rejected("BAD", "it is bad"),
                false => Outcome::done(json!({})),
            };
            outcomes.set(index, outcome);
        }
        Ok(outcomes)
    }
}

pub(crate) fn memory() -> Connector {
    Connector::new("memory", "https://memory.test", Auth::api_key("X-Key"))
        .about("Records in memory.")
        .polling::<Found>("found", "$")
        .webhook::<Called>("called", "$")
        .action::<Take>("take", "data")
}

/// The flows of a service, compiled.
pub(crate) struct World {
    pub(crate) flows: BTreeMap<Arc<str>, Arc<Flow>>,
    pub(crate) events: Events,
}

impl World {
    pub(crate) fn new(flows: &[&str], schedule: &str, events: Events) -> Self {
        let flows = flows.iter().map(|name| ((*name).into(), Arc::new(flow(name, schedule))));
        Self { flows: flows.collect(), events }
    }
}

/// A flow of this name; `hooked` is one that is called.
fn flow(name: &str, schedule: &str) -> Flow {
    let connectors = [memory()];
    let config = "accounts:\n  m: { connector: memory, apiKey: { env: KEY } }\n";
    let (config, findings) = flow::config::check("towpath.yaml", config, &connectors);
    assert!(findings.is_empty(), "{findings:?}");
    let trigger = match name {
        "hooked" => "use: memory.called\n  account: m".to_owned(),
        _ => format!("use: memory.found\n  account: m\n  {schedule}\n  fields: {{ pages: 3 }}"),
    };
    let text = format!(
        "flow: {name}\nabout: For tests.\ntrigger:\n  {trigger}\nsteps:\n  - id: taken\n    \
         use: memory.take\n    account: m\n"
    );
    let context = flow::Context { connectors: &connectors, config: config.as_ref() };
    let (flow, findings) = flow::check("flow.yaml", &text, &context);
    flow.unwrap_or_else(|| panic!("{findings:?}"))
}

pub(crate) fn engine(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Arc<Engine> {
    let values = [("apiKey".to_owned(), CANARY.to_owned())].into();
    let account = memory().account("m", None, values).unwrap();
    let account = engine::Account { account, limits: BTreeMap::new() };
    let accounts = [("m".to_owned(), account)].into();
    Arc::new(Engine::new(Options { connectors: vec![memory()], accounts, store, clock }))
}

/// The secret of the account, which nobody may ever see.
pub(crate) const CANARY: &str = "canary-2f8a91c6-not-a-key";

impl Host for World {
    fn flow(&self, name: &str) -> engine::Result<Arc<Flow>> {
        Ok(self.flows[name].clone())
    }

    fn has(&self, name: &str) -> bool {
        self.flows.contains_key(name)
    }

    fn begins(&self, flow: &str, at: Timestamp) {
        self.events.begins(flow, at);
    }

    fn ran(&self, ran: &Ran<'_>) {
        self.events.ran(ran);
    }
}

#[async_trait]
impl Project for World {
    fn flows(&self) -> Vec<Listed> {
        let listed = |(name, flow): (&Arc<str>, &Arc<Flow>)| Listed {
            flow: name.clone(),
            file: format!("flows/{name}.yaml"),
            schedule: flow.trigger.schedule.as_ref().map(ToString::to_string),
        };
        self.flows.iter().map(listed).collect()
    }

    fn accounts(&self) -> Vec<(String, String)> {
        vec![("m".to_owned(), "memory".to_owned())]
    }

    async fn secrets(&self) -> std::result::Result<Vec<(String, Timestamp)>, String> {
        Ok(vec![("key".to_owned(), Timestamp::default())])
    }

    async fn set_secret(
        &self,
        _: &str,
        _: &connector::Secret,
    ) -> std::result::Result<bool, String> {
        Ok(false)
    }

    async fn remove_secret(&self, name: &str) -> std::result::Result<bool, String> {
        Ok(name == "key")
    }
}
