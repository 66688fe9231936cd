//! One process: a runtime of a single thread, an engine, and what ends it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use connector::{Clock, Timestamp};
use engine::{Engine, Handle, LetterFilter, Options, Report, Request, RewindTo, StateChange, Stop};
use flow::Flow;

use crate::scripted;
use crate::witness::{Points, Witness};
use crate::world::{Ends, World, lock, with};

/// The engine's clock: time passes when nobody has anything to do, and it may jump.
struct Turned;

#[async_trait]
impl Clock for Turned {
    fn now(&self) -> Timestamp {
        with(|world| Timestamp::from_millis(world.now() + world.ahead))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(with(|world| world.now().cast_unsigned()))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// What an operator does before a process runs the flow.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Sends dead letters again.
    Replay,
    /// Goes back by so many seconds.
    Rewind(i64),
    /// Sends what changed in the last so many seconds again, beside what is live.
    Backfill(i64),
    /// Ends that.
    StopBackfill,
}

impl Act {
    /// Does it; what is refused, or fails with the store, changes nothing.
    async fn run(self, engine: &Arc<Engine>, flow: &Arc<Flow>, stop: &Stop) {
        let (source, clock) = (engine.source(flow).unwrap(), engine.clock());
        let whole = |seconds: i64| {
            let now = clock.now().millis() / 1000;
            Timestamp::from_secs(now - seconds)
        };
        let by_time = flow.trigger.trigger.changes() != connector::Changes::Content;
        let change = match self {
            Self::Replay => {
                with(|world| world.asked.replays = true);
                let (any, mut each) = (LetterFilter::default(), |_| {});
                let replayed = engine.replay(flow, &any, false, stop, Arc::new(Points), &mut each);
                drop(replayed.await);
                with(|world| world.asked.replays = false);
                return;
            }
            Self::Rewind(by) => {
                let to = RewindTo::Time(whole(by));
                StateChange::Rewind { source, by_time, to, dry: false }
            }
            Self::Backfill(by) => StateChange::Backfill { source, from: whole(by), until: None },
            Self::StopBackfill => {
                with(|world| world.asked.due.clear());
                StateChange::StopBackfill
            }
        };
        let request = Request::Change { flow: flow.name.clone(), change };
        drop(Handle::of(engine.clone()).ask(request).await);
    }
}

/// Does what an operator does, and runs the flow so often, in one process; `None` is one that died.
pub(crate) fn run(
    world: &Arc<Mutex<World>>,
    flow: &Arc<Flow>,
    act: Option<Act>,
    times: usize,
    ends: Ends,
) -> Option<Report> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap();
    let done = runtime.block_on(async {
        let (store, death) = begin(world, ends).await;
        let connector = scripted::connector();
        let account =
            connector.account("simulated", Some("http://127.0.0.1:9"), BTreeMap::new()).unwrap();
        let account = engine::Account { account, limits: BTreeMap::new() };
        let engine = Arc::new(Engine::inline(Options {
            connectors: vec![connector],
            accounts: [("simulated".to_owned(), account)].into(),
            store: Arc::new(Witness(store)),
            clock: Arc::new(Turned),
        }));
        let runs = async {
            let mut report = None;
            if let Some(act) = act {
                let (stopper, stop) = Stop::new(Duration::from_secs(30));
                lock(world).ends.stopper = Some(stopper);
                act.run(&engine, flow, &stop).await;
            }
            for _ in 0..times {
                let (stopper, stop) = Stop::new(Duration::from_secs(30));
                lock(world).ends.stopper = Some(stopper);
                report = Some(engine.run(flow, stop, Arc::new(Points)).await);
            }
            report
        };
        tokio::select! {
            biased;
            () = death.notified() => None,
            report = runs => report,
        }
    });
    let passed = runtime.block_on(async { lock(world).now() });
    drop(runtime);
    let mut world = lock(world);
    world.base = passed;
    world.started = None;
    if world.dead { None } else { done }
}

/// A new process opens what the last one left.
async fn begin(
    world: &Arc<Mutex<World>>,
    ends: Ends,
) -> (Arc<store::MemoryStore>, Arc<tokio::sync::Notify>) {
    let left = lock(world).store.clone();
    let store = left.reopen().await.unwrap();
    let mut world = lock(world);
    store.crash_after(world.fails_after);
    world.store = store.clone();
    world.started = Some(tokio::time::Instant::now());
    world.points = 0;
    world.dead = false;
    world.asked.replays = false;
    world.death = Arc::default();
    world.ends = ends;
    world.note("begins", 0, 0);
    (Arc::new(store), world.death.clone())
}
