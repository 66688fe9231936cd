//! A system without a network: its trigger gives what the test says, its action collects.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::prelude::*;
use engine::{Engine, Options, Report, Silent, Stop};
use flow::{Flow, MaxRejects, OnReject, Prefer, Retry, Step, Takes, Transformation, Trigger};
use store::Store;

type Poll = dyn Fn(&Scan<usize>) -> Result<Page<usize>> + Send + Sync;
type Check = dyn Fn(&str) -> Result<Outcome> + Send + Sync;
type Answer = dyn Fn(&Batch<Value>) -> Result<Outcomes> + Send + Sync;

static BOARDS: Mutex<Option<HashMap<u64, Arc<Board>>>> = Mutex::new(None);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What a scripted system does and what it was sent.
pub struct Board {
    id: u64,
    /// The partitions that the trigger lists.
    pub partitions: Mutex<Vec<String>>,
    poll: Mutex<Arc<Poll>>,
    answer: Mutex<Arc<Answer>>,
    check: Mutex<Arc<Check>>,
    first_check: Mutex<Option<Arc<Check>>>,
    delivered: Mutex<Vec<Delivered>>,
    open: tokio::sync::watch::Sender<bool>,
    batches: tokio::sync::watch::Sender<usize>,
}

/// One message that the action was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    /// The message's id.
    pub id: String,
    /// The record's key.
    pub key: String,
    /// The input.
    pub input: Value,
}

/// A clock on which no wait ever ends.
pub struct Endless;

#[async_trait]
impl connector::Clock for Endless {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_000_000)
    }

    async fn sleep(&self, _duration: Duration) {
        std::future::pending::<()>().await;
    }
}

/// A record with a version in seconds and a value.
pub fn record(key: &str, seconds: i64, value: i64) -> Record {
    let data = json!({ "value": value });
    Record::new(key, Some(Timestamp::from_secs(seconds)), &data).unwrap()
}

/// Taken, and asked after by this token in a minute, for an hour at most.
pub fn parked(token: &str) -> Outcome {
    let (check_after, deadline) = (Duration::from_secs(60), Duration::from_secs(3600));
    Outcome::Parked { token: token.to_owned(), check_after, deadline }
}

impl Board {
    /// A system with these pages, whatever is asked for.
    pub fn with_pages(pages: Vec<Vec<Record>>) -> Arc<Self> {
        let board = Self::new();
        board.on_poll(move |scan| {
            let at = scan.cursor.unwrap_or(0);
            let records = pages.get(at).cloned().unwrap_or_default();
            Ok(Page { records, next: Some(at + 1).filter(|next| *next < pages.len()) })
        });
        board
    }

    /// A system without records that takes everything.
    pub fn new() -> Arc<Self> {
        let board = Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::SeqCst),
            partitions: Mutex::default(),
            poll: Mutex::new(Arc::new(|_| Ok(Page { records: vec![], next: None }))),
            answer: Mutex::new(Arc::new(|batch| {
                let mut outcomes = batch.outcomes();
                outcomes.fill(&Outcome::done(Value::Null));
                Ok(outcomes)
            })),
            check: Mutex::new(Arc::new(|token| Err(Error::config(format!("what is {token}?"))))),
            first_check: Mutex::default(),
            delivered: Mutex::default(),
            open: tokio::sync::watch::Sender::new(true),
            batches: tokio::sync::watch::Sender::new(0),
        });
        BOARDS.lock().unwrap().get_or_insert_default().insert(board.id, board.clone());
        board
    }

    /// Says what a poll gives from now on.
    pub fn on_poll(
        &self,
        poll: impl Fn(&Scan<usize>) -> Result<Page<usize>> + Send + Sync + 'static,
    ) {
        *self.poll.lock().unwrap() = Arc::new(poll);
    }

    /// Says how batches are answered from now on.
    pub fn on_send(
        &self,
        answer: impl Fn(&Batch<Value>) -> Result<Outcomes> + Send + Sync + 'static,
    ) {
        *self.answer.lock().unwrap() = Arc::new(answer);
    }

    /// Says what is answered from now on when something is asked after by its token.
    pub fn on_check(&self, check: impl Fn(&str) -> Result<Outcome> + Send + Sync + 'static) {
        *self.check.lock().unwrap() = Arc::new(check);
    }

    /// Says how it is asked by tokens that were kept just now; without it, as by all others.
    pub fn on_first_check(&self, check: impl Fn(&str) -> Result<Outcome> + Send + Sync + 'static) {
        *self.first_check.lock().unwrap() = Some(Arc::new(check));
    }

    /// Takes every message and finishes it later: by the key's token, after a minute at the
    /// earliest and an hour at the latest.
    pub fn park_all(&self) {
        self.on_send(|batch| {
            let mut outcomes = batch.outcomes();
            for (index, item) in batch.items.iter().enumerate() {
                outcomes.set(index, parked(&item.key));
            }
            Ok(outcomes)
        });
    }

    /// Holds every batch back until [`Board::release`].
    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    /// Lets batches go on.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// Waits until the action was given a batch.
    pub async fn wait_for_batch(&self) {
        self.batches.subscribe().wait_for(|batches| *batches > 0).await.unwrap();
    }

    /// What the action was given since the last time, in order.
    pub fn take_delivered(&self) -> Vec<Delivered> {
        std::mem::take(&mut *self.delivered.lock().unwrap())
    }

    /// The keys that the action was given since the last time, sorted.
    pub fn take_keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.take_delivered().into_iter().map(|it| it.key).collect();
        keys.sort();
        keys
    }

    /// Runs a flow over this board once, on a process of its own.
    pub async fn run(&self, store: Arc<dyn Store>, flow: &Arc<Flow>) -> Report {
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        self.run_until(store, flow, stop).await
    }

    /// Runs a flow until it is done or told to stop.
    pub async fn run_until(&self, store: Arc<dyn Store>, flow: &Arc<Flow>, stop: Stop) -> Report {
        let clock = Arc::new(connector::ManualClock::new(Timestamp::from_secs(1_000_000)));
        self.run_by(store, flow, stop, clock).await
    }

    /// Runs a flow by another clock.
    pub async fn run_by(
        &self,
        store: Arc<dyn Store>,
        flow: &Arc<Flow>,
        stop: Stop,
        clock: Arc<dyn connector::Clock>,
    ) -> Report {
        self.engine(store, clock).run(flow, stop, Arc::new(Silent)).await
    }

    /// An engine that knows this board.
    pub fn engine(&self, store: Arc<dyn Store>, clock: Arc<dyn connector::Clock>) -> Engine {
        let connector = connector();
        let account = connector.account("scripted", Some("http://127.0.0.1:9"), BTreeMap::new());
        let account = engine::Account { account: account.unwrap(), limits: BTreeMap::new() };
        Engine::new(Options {
            connectors: vec![connector],
            accounts: [("scripted".to_owned(), account)].into(),
            store,
            clock,
        })
    }
}

/// A step to a board of its own, that waits for those at these places and takes each message's
/// data as it is.
pub fn step_to(board: &Board, id: &str, after: Vec<usize>) -> Step {
    let fields = json!({ "board": board.id });
    let action = connector().find_action("collect").unwrap().configure;
    Step {
        id: id.to_owned(),
        after,
        connector: "scripted".to_owned(),
        name: "collect".to_owned(),
        account: "scripted".to_owned(),
        takes: Takes::default(),
        when: None,
        fields: Arc::new(fields.clone()),
        mapping: Transformation::Skip,
        action: action(fields).unwrap(),
        batch: NonZeroUsize::new(100).unwrap(),
        concurrency: None,
        retry: Retry::default(),
        in_doubt: flow::InDoubt::default(),
        on_reject: OnReject::default(),
    }
}

/// A step as [`step_to`] makes it, whose action must not be repeated.
pub fn step_once(board: &Board, id: &str, after: Vec<usize>) -> Step {
    let fields = json!({ "board": board.id, "once": true });
    let action = connector().find_action("collect").unwrap().configure;
    Step { action: action(fields).unwrap(), ..step_to(board, id, after) }
}

/// A flow from a board to itself, whose trigger asks for what changed.
pub fn flow_of(board: &Board) -> Flow {
    flow_by("pages", board)
}

/// A flow from a board to itself, whose trigger asks for what changed and sweeps.
pub fn sweeping_flow_of(board: &Board, sweep: Duration) -> Flow {
    let mut flow = flow_by("sweptPages", board);
    flow.trigger.sweep = Some(sweep);
    flow
}

fn flow_by(trigger_name: &str, board: &Board) -> Flow {
    let connector = connector();
    let fields = json!({ "board": board.id });
    let trigger = connector.find_trigger(trigger_name).unwrap();
    Flow {
        name: "scripted".to_owned(),
        about: None,
        trigger: Trigger {
            connector: "scripted".to_owned(),
            name: trigger_name.to_owned(),
            account: "scripted".to_owned(),
            schedule: None,
            overlap: Duration::from_secs(60),
            sweep: None,
            deletes: None,
            fields: Arc::new(fields.clone()),
            retry: Retry::default(),
            mapping: Transformation::Skip,
            trigger: (trigger.configure)(fields).unwrap(),
        },
        steps: vec![step_to(board, "collect", vec![])],
        max_rejects: MaxRejects::default(),
        prefer: Prefer::default(),
        window: NonZeroUsize::new(4).unwrap(),
        variables: Arc::default(),
        tests: vec![],
    }
}

fn connector() -> Connector {
    Connector::new("scripted", "https://scripted.example.com", Auth::None)
        .polling::<Pages>("pages", "$")
        .polling::<SweptPages>("sweptPages", "$")
        .action::<Collect>("collect", "data")
}

fn board(id: u64) -> Arc<Board> {
    BOARDS.lock().unwrap().as_ref().unwrap().get(&id).unwrap().clone()
}

#[derive(Deserialize, JsonSchema)]
struct Pages {
    board: u64,
}

#[async_trait]
impl PollingTrigger for Pages {
    type Cursor = usize;
    const CHANGES: Changes = Changes::Timestamps;

    async fn partitions(&self, _api: &Api) -> Result<Vec<String>> {
        Ok(board(self.board).partitions.lock().unwrap().clone())
    }

    async fn poll(&self, _api: &Api, scan: &Scan<usize>) -> Result<Page<usize>> {
        let poll = board(self.board).poll.lock().unwrap().clone();
        poll(scan)
    }
}

#[derive(Deserialize, JsonSchema)]
struct SweptPages {
    board: u64,
}

#[async_trait]
impl PollingTrigger for SweptPages {
    type Cursor = usize;
    const CHANGES: Changes = Changes::Both;

    async fn partitions(&self, api: &Api) -> Result<Vec<String>> {
        Pages { board: self.board }.partitions(api).await
    }

    async fn poll(&self, api: &Api, scan: &Scan<usize>) -> Result<Page<usize>> {
        Pages { board: self.board }.poll(api, scan).await
    }
}

#[derive(Deserialize, JsonSchema)]
struct Collect {
    board: u64,
    #[serde(default)]
    once: bool,
}

#[async_trait]
impl Action for Collect {
    type Input = Value;
    const MAX_BATCH: usize = 1000;

    fn idempotent(&self) -> bool {
        !self.once
    }

    async fn run(&self, _api: &Api, batch: &Batch<Value>) -> Result<Outcomes> {
        // Low values take longer, so that others get the chance to overtake; the engine must not
        // let them where order counts.
        let value = batch.items.first().and_then(|item| item.input["value"].as_u64());
        for _ in 0..(2000 >> value.unwrap_or(0).min(10)) {
            tokio::task::yield_now().await;
        }
        let board = board(self.board);
        board.open.subscribe().wait_for(|open| *open).await.unwrap();
        let sent = batch.items.iter().map(|item| Delivered {
            id: item.id.to_string(),
            key: item.key.to_string(),
            input: (*item.input).clone(),
        });
        board.delivered.lock().unwrap().extend(sent);
        board.batches.send_modify(|batches| *batches += 1);
        let answer = board.answer.lock().unwrap().clone();
        answer(batch)
    }
    async fn check(&self, _api: &Api, token: &str) -> Result<Outcome> {
        let check = board(self.board).check.lock().unwrap().clone();
        check(token)
    }
    async fn first_check(&self, api: &Api, token: &str) -> Result<Outcome> {
        let check = board(self.board).first_check.lock().unwrap().clone();
        match check {
            Some(check) => check(token),
            None => self.check(api, token).await,
        }
    }
}
