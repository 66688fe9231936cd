//! Which accounts a flow goes between, and which flows bring back what it writes.

use std::sync::Arc;

use connector::Account;
use flow::Flow;
use store::Store;
use tokio::sync::{Mutex, OnceCell};

/// Knows the flows of an installation.
pub trait Flows: Send + Sync {
    /// The flows that poll the account `polls` and have a step that writes to the account `writes`.
    ///
    /// It may read files; it is asked at most once a run and step, and only if something was sent.
    fn between(&self, polls: &str, writes: &str) -> Vec<Arc<Flow>>;
}

impl Flows for Vec<Arc<Flow>> {
    fn between(&self, polls: &str, writes: &str) -> Vec<Arc<Flow>> {
        self.iter().filter(|flow| goes_between(flow, polls, writes)).cloned().collect()
    }
}

fn goes_between(flow: &Flow, polls: &str, writes: &str) -> bool {
    flow.trigger.account == polls && flow.steps.iter().any(|step| step.account == writes)
}

/// The accounts that a flow goes between, as keyed hashes of who they are to their systems.
pub(crate) struct Ways {
    pub(super) source: [u8; 8],
    /// By step.
    pub(super) targets: Vec<[u8; 8]>,
    /// One commit at a time of flows that go both ways: none may miss what the other just wrote.
    pub(super) turn: Arc<Mutex<()>>,
    flows: Option<Arc<dyn Flows>>,
    /// By step, the flows that bring back what it writes.
    back: OnceCell<Vec<Vec<Arc<Flow>>>>,
}

impl Ways {
    pub(crate) fn of<'a>(
        store: &dyn Store,
        source: &Account,
        targets: impl Iterator<Item = &'a Account>,
        turn: Arc<Mutex<()>>,
        flows: Option<Arc<dyn Flows>>,
    ) -> Self {
        let tag = |account: &Account| tag(store, account);
        let (source, targets) = (tag(source), targets.map(tag).collect());
        Self { source, targets, turn, flows, back: OnceCell::new() }
    }

    /// The flows that bring back what a step writes.
    pub(crate) async fn back(&self, flow: &Arc<Flow>, step: usize) -> &[Arc<Flow>] {
        let Some(flows) = &self.flows else { return &[] };
        let find = async || {
            let (flows, flow) = (flows.clone(), flow.clone());
            // Only what is on its way to nobody fails here.
            tokio::task::spawn_blocking(move || found(&*flows, &flow)).await.unwrap_or_default()
        };
        self.back.get_or_init(find).await.get(step).map(Vec::as_slice).unwrap_or_default()
    }
}

fn found(flows: &dyn Flows, flow: &Flow) -> Vec<Vec<Arc<Flow>>> {
    let of_step = |step: &flow::Step| {
        // Who has no account is in no installation.
        let Some(source) = flow.trigger.account() else { return vec![] };
        let mut found = flows.between(&step.account, source);
        found.retain(|back| {
            back.name != flow.name
                && goes_between(back, &step.account, source)
                && back.trigger.connector == step.connector
        });
        found
    };
    flow.steps.iter().map(of_step).collect()
}

fn tag(store: &dyn Store, account: &Account) -> [u8; 8] {
    let hash = store.keyed_hash("echo.account", &[account.identity().as_bytes()]);
    std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default())
}

/// The key of an echo: what came from the account that a step writes to, under the key that its
/// record has where it was written.
pub(super) fn key(store: &dyn Store, step: &str, from: &[u8; 8], record: &str) -> [u8; 16] {
    let hash = store.keyed_hash("echo.key", &[step.as_bytes(), from, record.as_bytes()]);
    std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default())
}
