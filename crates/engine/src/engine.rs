//! The engine: everything that runs flows, put together once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connector::{Api, Clock, Connector, OutageAdvice, Services, Timestamp, Tokens, Unlimited};
use flow::Flow;
use store::{RunLine, Store};

use crate::accounts::{Accounts, Lasted, Use};
use crate::context::{Context, StepContext};
use crate::echo::{Flows, Ways};
use crate::exhausted::Exhausted;
use crate::gone::Gone;
use crate::journal::Journal;
use crate::limits::Turn;
use crate::run::{Ended, Run};
use crate::snapshot::Snapshot;
use crate::tables::Tables;
use crate::tokens::VaultTokens;
use crate::workers::Workers;
use crate::{Error, Event, Place, Report, Result, Stop, Watch};

/// What an engine is made of.
pub struct Options {
    /// The connectors that there are.
    pub connectors: Vec<Connector>,
    /// The accounts, by name, their secrets resolved.
    pub accounts: BTreeMap<String, Account>,
    /// Where state is kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// An account with what `towpath.yaml` says about its limits.
#[derive(Clone, Debug)]
pub struct Account {
    /// The credentials.
    pub account: connector::Account,
    /// Requests under way at once, by limit class, in place of the connector's own.
    pub limits: BTreeMap<String, NonZeroUsize>,
}

/// What is written to see whether a store that failed takes anything again.
const PROBE: &str = "engine: probe";

/// Runs flows. Shared by everything that does.
pub struct Engine {
    options: Options,
    /// Those that came later than the engine.
    more_accounts: Mutex<HashMap<String, Account>>,
    accounts: Arc<Accounts>,
    tokens: Arc<dyn Tokens>,
    /// One a name, so that all flows share its token.
    apis: Mutex<HashMap<String, Api>>,
    running: Mutex<HashSet<String>>,
    workers: Workers,
    pub(crate) tables: Tables,
    /// The flows whose last run could not commit.
    doubtful: Mutex<HashSet<String>>,
    /// Who knows the flows of the installation.
    flows: Mutex<Option<Arc<dyn Flows>>>,
    /// One commit at a time of flows that go both ways.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A flow's place among those that run; free again when dropped.
pub(crate) struct Running<'a> {
    engine: &'a Engine,
    flow: String,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        lock(&self.engine.running).remove(&self.flow);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Puts an engine together. Nothing is sent or written yet.
    pub fn new(options: Options) -> Self {
        Self::with_workers(options, Workers::new())
    }

    /// An engine that computes on the thread that runs it: slower, and on a runtime of one thread
    /// the same at every start.
    pub fn inline(options: Options) -> Self {
        Self::with_workers(options, Workers::inline())
    }

    fn with_workers(options: Options, workers: Workers) -> Self {
        Self {
            accounts: Arc::new(Accounts::new(options.clock.clone(), options.store.clone())),
            tokens: Arc::new(VaultTokens::new(options.store.clone())),
            options,
            more_accounts: Mutex::default(),
            apis: Mutex::default(),
            running: Mutex::default(),
            workers,
            tables: Tables::default(),
            doubtful: Mutex::default(),
            flows: Mutex::default(),
            turn: Arc::default(),
        }
    }

    /// Runs a flow once: scans what changed since its snapshot, delivers it, commits.
    ///
    /// One run a flow at a time. The run's line is kept whatever becomes of it; errors are in
    /// the report.
    pub async fn run(&self, flow: &Arc<Flow>, stop: Stop, watch: Arc<dyn Watch>) -> Report {
        let (started, mut report) = self.go(flow, stop, watch, Run::all).await;
        report.found_nothing = flow.trigger.is_called() && report.pages_of_news == 0;
        if !is_beside_another(&report) && !report.is_idle() {
            self.record(&flow.name, started, &mut report).await;
        }
        report
    }

    /// Asks after what systems finish later, takes further what is done, and polls nothing.
    ///
    /// Never beside a run. A line is kept only of one that failed: no poll goes by it.
    pub async fn check(&self, flow: &Arc<Flow>, stop: Stop, watch: Arc<dyn Watch>) -> Report {
        let (started, mut report) = self.go(flow, stop, watch, Run::checks).await;
        if !report.errors.is_empty() && !is_beside_another(&report) {
            self.record(&flow.name, started, &mut report).await;
        }
        report
    }

    async fn go<F: Future<Output = Ended> + Send>(
        &self,
        flow: &Arc<Flow>,
        stop: Stop,
        watch: Arc<dyn Watch>,
        work: impl FnOnce(Run) -> F + Send,
    ) -> (Timestamp, Report) {
        let started = self.options.clock.now();
        let Some(_running) = self.enter(&flow.name) else {
            return (started, Report::failed(Error::AlreadyRunning { flow: flow.name.clone() }));
        };
        watch.on(&Event::Began { flow: &flow.name, run: &run_id(&flow.name, started) });
        let mut report = match self.start(flow, stop, watch.clone()).await {
            Ok(run) => {
                // It is large: whoever waits for a run need not hold it in line.
                let Ended { report, sequence, seen } = Box::pin(work(run)).await;
                if let Some(seen) = seen {
                    self.tables.keep(&flow.name, sequence, seen);
                }
                report
            }
            Err(error) => Report::failed(error),
        };
        if report.errors.iter().any(|error| matches!(error, Error::Store { .. })) {
            lock(&self.doubtful).insert(flow.name.clone());
        }
        for error in &report.errors {
            if let Error::Unauthorized { place, reason } = error {
                let step = flow.steps.iter().find(|it| Some(&it.id) == place.step.as_ref());
                // What is held was so at once, and may be released by now.
                if !step.is_some_and(|it| it.action.held_once_refused()) {
                    self.accounts.refused(&place.account, reason);
                }
            }
        }
        self.accounts.keep().await;
        watch.at("engine.run.done");
        report.took = self.options.clock.now().since(started);
        (started, report)
    }

    /// Keeps the line of a run that could not begin or broke off, and gives its report.
    pub(crate) async fn refused(&self, flow: &str, error: Error) -> Report {
        let mut report = Report::failed(error);
        self.record(flow, self.options.clock.now(), &mut report).await;
        report
    }

    async fn record(&self, flow: &str, started: Timestamp, report: &mut Report) {
        let finished = self.options.clock.now();
        report.took = finished.since(started);
        let line = RunLine {
            run: run_id(flow, started),
            started: started.millis(),
            finished: finished.millis(),
            outcome: report.outcome().to_owned(),
            counts: report.counts,
            error: report.errors.first().map(ToString::to_string),
        };
        if let Err(error) = self.options.store.record_run(flow, line).await {
            report.errors.push(Error::store(flow, &error));
        }
    }

    /// Adds an account that was not there when the engine was put together; one that is stays.
    pub fn add_account(&self, name: &str, account: Account) {
        if !self.options.accounts.contains_key(name) {
            lock(&self.more_accounts).entry(name.to_owned()).or_insert(account);
        }
    }

    /// Puts an account's settings in the place of those that it had, if they are others; says
    /// whether they are. Runs under way go on with the old ones.
    pub fn renew_account(&self, name: &str, account: Account) -> bool {
        if self.accounts.has(name, &self.accounts.fingerprint(&account.account)) {
            return false;
        }
        lock(&self.more_accounts).insert(name.to_owned(), account);
        lock(&self.apis).remove(name);
        true
    }

    /// Whether nobody asks or sends with an account, or not with all of it, because its credentials
    /// were refused.
    pub fn is_left_alone(&self, account: &str) -> bool {
        self.accounts.is_left_alone(account)
    }

    /// What the connector of an account says of outages that last, if it says anything.
    pub(crate) fn outage_advice(&self, account: &str) -> Option<OutageAdvice> {
        let known = lock(&self.more_accounts).get(account).map(|it| it.account.connector());
        let named = known.or_else(|| Some(self.options.accounts.get(account)?.account.connector()));
        let connector = self.options.connectors.iter().find(|it| Some(it.name()) == named)?;
        connector.outage_advice()
    }

    /// How long an account's system has answered nothing but 5xx, if it did that since a moment.
    pub(crate) async fn outage(
        &self,
        account: &str,
        since: Timestamp,
    ) -> store::Result<Option<Lasted>> {
        self.accounts.outage(account, since).await
    }

    /// Waits until an outage has lasted for as long as its connector says.
    pub(crate) async fn outage_lasts(&self) {
        self.accounts.outage_lasts().await;
    }

    /// The limiter of an account, as its requests meet it.
    #[cfg(test)]
    pub(crate) fn limiter(&self, account: &str) -> Arc<dyn connector::Limiter> {
        let account = &self.options.accounts[account].account;
        self.accounts.limiter(account, self.outage_advice(account.name()))
    }

    /// Keeps what became of accounts, where anything did.
    pub(crate) async fn keep_accounts(&self) {
        self.accounts.keep().await;
    }

    /// Tells `watch` when accounts are paused or resumed and circuit breakers open or close; the
    /// first one that is named stays.
    pub fn tell_of_accounts(&self, watch: Arc<dyn Watch>) {
        self.accounts.tell(watch);
    }

    /// Asks `flows` which flows bring back what another one writes, so that they know it again.
    /// Without it flows go both ways all the same, and carry once
    /// more what they find.
    pub fn knows_flows_by(&self, flows: Arc<dyn Flows>) {
        *lock(&self.flows) = Some(flows);
    }

    /// The fingerprint of what a flow reads: trigger, its fields, connector and account.
    pub fn source(&self, flow: &Flow) -> Result<String> {
        let place = trigger_place(flow);
        let api = self.api(&flow.trigger.account, &flow.trigger.connector, &place)?;
        let mut hasher = blake3::Hasher::new();
        // What came is there, whatever is asked of what comes from now on.
        let called = flow.trigger.is_called();
        let fields = sorted(&flow.trigger.fields).to_string();
        let fields = if called { String::new() } else { fields };
        let identity = if called { String::new() } else { api.account().identity() };
        let parts = [&flow.trigger.connector, &flow.trigger.name, &fields, &identity];
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Ok(hasher.finalize().to_hex().chars().take(32).collect())
    }

    /// The store that the engine keeps state in.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.options.store
    }

    /// The tokens that all its flows share.
    pub fn tokens(&self) -> &Arc<dyn Tokens> {
        &self.tokens
    }

    /// The engine's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.options.clock
    }

    /// Takes a flow's place among those that run; nobody else may run or change it meanwhile.
    pub(crate) fn enter_or_refuse(&self, flow: &str) -> Result<impl Drop + '_> {
        self.enter(flow).ok_or_else(|| Error::AlreadyRunning { flow: flow.to_owned() })
    }

    pub(crate) fn enter(&self, flow: &str) -> Option<Running<'_>> {
        let entered = lock(&self.running).insert(flow.to_owned());
        entered.then(|| Running { engine: self, flow: flow.to_owned() })
    }

    pub(crate) async fn start(
        &self,
        flow: &Arc<Flow>,
        stop: Stop,
        watch: Arc<dyn Watch>,
    ) -> Result<Run> {
        let mut context = self.context(flow, watch)?;
        let source = self.source(flow)?;
        let trigger = Use { place: &context.trigger_place, held: false };
        let steps = context.steps.iter().map(StepContext::usage);
        let uses: Vec<Use<'_>> = [trigger].into_iter().chain(steps).collect();
        self.accounts.admit(&uses).await?;
        let failed = |error: store::Error| Error::store(&flow.name, &error);
        if lock(&self.doubtful).contains(&flow.name) {
            // Nothing is sent that could not be committed: a store that takes this takes pages.
            self.options.store.vault_put(PROBE, b"written").await.map_err(failed)?;
            lock(&self.doubtful).remove(&flow.name);
        }
        let lease = self.options.store.lease(&flow.name).await.map_err(failed)?;
        context.watch.at("engine.run.leased");
        let store = self.options.store.clone();
        context.journal = Some(Arc::new(Journal::open(store, lease.fence.clone()).await?));
        let sequence = lease.head.as_ref().map_or(0, |head| head.sequence);
        let stored = lease.head.as_ref().map_or(0, |head| head.seen_entries);
        let snapshot = Snapshot::of_head(&flow.name, lease.head, source)?;
        Ok(Run {
            behind_live: Arc::new(context.behind_live()),
            context: Arc::new(context),
            fence: lease.fence,
            snapshot,
            sequence,
            seen: self.tables.take(&flow.name, sequence),
            rewritten: None,
            looked_through: 0,
            appended: 0,
            gone: flow.trigger.deletes.map(|_| Gone::new()),
            stored,
            listed: vec![],
            stop,
            report: Report::default(),
        })
    }

    pub(crate) fn context(&self, flow: &Arc<Flow>, watch: Arc<dyn Watch>) -> Result<Context> {
        let trigger_place = trigger_place(flow);
        let trigger = &flow.trigger;
        let trigger_api = self.api(&trigger.account, &trigger.connector, &trigger_place)?;
        let steps = flow.steps.iter().map(|step| {
            let place = Place {
                flow: flow.name.clone(),
                step: Some(step.id.clone()),
                account: step.account.clone(),
            };
            let mut api = self.api(&step.account, &step.connector, &place)?;
            if step.action.held_once_refused() {
                api = api.limited_by(self.accounts.limiter_of(&place.account, Turn::First, true));
            }
            Ok(StepContext { step: step.clone(), api, place })
        });
        let steps: Vec<StepContext> = steps.collect::<Result<_>>()?;
        let targets = steps.iter().map(|step| step.api.account());
        let (turn, flows) = (self.turn.clone(), lock(&self.flows).clone());
        let ways = Ways::of(&*self.options.store, trigger_api.account(), targets, turn, flows);
        Ok(Context {
            ways: Arc::new(ways),
            steps,
            flow: flow.clone(),
            accounts: self.accounts.clone(),
            trigger_api,
            trigger_place,
            store: self.options.store.clone(),
            clock: self.options.clock.clone(),
            watch,
            workers: self.workers.clone(),
            unmapped: self.workers.unmapped(),
            journal: None,
            calls: Arc::default(),
            exhausted: Arc::new(Exhausted::new(
                self.options.store.clone(),
                &flow.name,
                flow.steps.len(),
            )),
            keeps_results: false,
        })
    }

    /// What a run of a flow shares, where nothing is kept and somebody waits for its results.
    pub(crate) async fn answering(&self, flow: &Arc<Flow>) -> Result<Context> {
        let context = self.context(flow, Arc::new(crate::Silent))?;
        let uses: Vec<Use<'_>> = context.steps.iter().map(StepContext::usage).collect();
        self.accounts.admit(&uses).await?;
        Ok(Context { keeps_results: true, ..context })
    }

    /// The account of a flow's trigger.
    pub(crate) fn account_of_trigger(&self, flow: &Flow) -> Result<connector::Account> {
        let place = trigger_place(flow);
        let api = self.api(&flow.trigger.account, &flow.trigger.connector, &place)?;
        Ok(api.account().clone())
    }

    fn api(&self, account: &str, connector: &str, place: &Place) -> Result<Api> {
        if account.is_empty() {
            return self.api_without_account(connector, place);
        }
        if let Some(api) = lock(&self.apis).get(account) {
            return Ok(api.clone());
        }
        let config = |reason: String| Error::Config { place: place.clone(), reason };
        // What was renewed goes before what was there first.
        let known = lock(&self.more_accounts).get(account).cloned();
        let known = known.or_else(|| self.options.accounts.get(account).cloned());
        let known = known.ok_or_else(|| config("towpath.yaml has no such account".to_owned()))?;
        let connector = self.options.connectors.iter().find(|it| it.name() == connector);
        let connector = connector.ok_or_else(|| config("no such connector".to_owned()))?;
        let services = Services {
            clock: self.options.clock.clone(),
            limiter: self.accounts.limiter(&known.account, connector.outage_advice()),
            tokens: self.tokens.clone(),
        };
        let api = Api::new(connector, known.account, &known.limits, services);
        let api = api.map_err(|error| config(error.to_string()))?;
        lock(&self.apis).insert(account.to_owned(), api.clone());
        Ok(api)
    }
}

impl Engine {
    /// The access of a connector that has no accounts, which reaches no system.
    fn api_without_account(&self, connector: &str, place: &Place) -> Result<Api> {
        let config = |reason: String| Error::Config { place: place.clone(), reason };
        let known = self.options.connectors.iter().find(|it| it.name() == connector);
        let known = known.filter(|it| !it.has_accounts());
        let known = known.ok_or_else(|| config("it needs an account".to_owned()))?;
        let account = known.account("", None, BTreeMap::new());
        let account = account.map_err(|error| config(error.to_string()))?;
        let services = Services {
            clock: self.options.clock.clone(),
            limiter: Arc::new(Unlimited),
            tokens: self.tokens.clone(),
        };
        let api = Api::new(known, account, &BTreeMap::new(), services);
        api.map_err(|error| config(error.to_string()))
    }
}

/// Whether a run did not begin since another one is under way.
fn is_beside_another(report: &Report) -> bool {
    matches!(report.errors[..], [Error::AlreadyRunning { .. }])
}

/// The id of a run, by which its line is kept.
fn run_id(flow: &str, started: Timestamp) -> String {
    format!("{flow}-{}", started.millis())
}

fn trigger_place(flow: &Flow) -> Place {
    Place { flow: flow.name.clone(), step: None, account: flow.trigger.account.clone() }
}

/// The same fields in another order are the same fields.
fn sorted(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        scalar => scalar.clone(),
    }
}
