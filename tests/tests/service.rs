//! Many flows by one service: how many run at once, and what becomes of those that cannot.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::prelude::*;
use connector::{Clock, ManualClock};
use engine::service::{Host, Options, Planned, Ran, Service};
use engine::{Error, Place, Silent, Stop, Stopper};
use flow::Flow;
use store::{MasterKey, MemoryStore, Store};
use towpath_tests::{Board, flow_of, parked, record, step_to};

/// Flows over one board, and what was heard of them.
struct Desk {
    board: Arc<Board>,
    heard: Mutex<Heard>,
    stopper: Stopper,
    /// After so many runs it gives the signal to stop.
    enough: usize,
}

#[derive(Default)]
struct Heard {
    under_way: BTreeSet<String>,
    most: usize,
    ran: BTreeMap<String, Vec<&'static str>>,
    errors: Vec<String>,
}

impl Host for Desk {
    fn flow(&self, name: &str) -> engine::Result<Arc<Flow>> {
        let mut heard = self.heard.lock().unwrap();
        assert!(heard.under_way.insert(name.to_owned()), "{name} runs twice at once");
        heard.most = heard.most.max(heard.under_way.len());
        if name == "locked" {
            let place = Place { flow: name.to_owned(), step: None, account: "a".to_owned() };
            return Err(Error::Config { place, reason: "no secret".to_owned() });
        }
        drop(heard);
        assert_ne!(name, "broken", "what a host does wrong is the run's error");
        Ok(Arc::new(Flow { name: name.to_owned(), ..flow_of(&self.board) }))
    }

    fn has(&self, _: &str) -> bool {
        true
    }

    fn ran(&self, ran: &Ran<'_>) {
        let mut heard = self.heard.lock().unwrap();
        heard.under_way.remove(ran.flow);
        assert!(ran.started >= ran.due);
        heard.ran.entry(ran.flow.to_owned()).or_default().push(ran.report.outcome());
        heard.errors.extend(ran.report.errors.iter().map(ToString::to_string));
        if heard.ran.values().map(Vec::len).sum::<usize>() == self.enough {
            self.stopper.stop();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_run_at_once_than_may_and_failures_stay_alone() {
    let board = Board::new();
    let polls = Mutex::new(0);
    board.on_poll(move |_| {
        let mut polls = polls.lock().unwrap();
        *polls += 1;
        Ok(Page { records: vec![record("a", *polls, *polls)], next: None })
    });
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MasterKey::generate()));
    let engine = Arc::new(board.engine(store.clone(), clock.clone()));
    let (stopper, stop) = Stop::new(Duration::from_secs(30));
    let heard = Mutex::default();
    let desk = Arc::new(Desk { board: board.clone(), heard, stopper, enough: 40 });
    let options = Options {
        engine,
        host: desk.clone(),
        watch: Arc::new(Silent),
        most_runs: 2.try_into().unwrap(),
    };
    let schedule = flow::Schedule::Every(Duration::from_secs(1));
    let planned = |flow: &str| {
        let (flow, schedule) = (flow.into(), schedule.clone());
        Planned { flow, schedule, called: false, last: None, check: None }
    };
    let first = ["one", "two", "three", "locked", "broken"].map(planned);
    let (service, handle) = Service::new(options, first.into());
    assert!(service.next().is_some());
    handle.put(vec![planned("four")]);
    handle.remove("two".into());
    board.hold();
    let running = tokio::spawn(service.run(stop));
    // Both places are taken by runs that wait for their system: nothing else begins.
    while desk.heard.lock().unwrap().under_way.len() < 2 {
        tokio::task::yield_now().await;
    }
    board.release();
    running.await.unwrap();
    for (flow, reason) in [("locked", "no secret"), ("broken", "broke off")] {
        let line = store.last_run(flow).await.unwrap().unwrap();
        let error = line.error.unwrap();
        assert_eq!((line.outcome.as_str(), error.contains(reason)), ("failed", true), "{error}");
    }
    let heard = desk.heard.lock().unwrap();
    assert_eq!((heard.most, heard.under_way.len()), (2, 0));
    for flow in ["one", "three", "four"] {
        let outcomes = heard.ran.get(flow).unwrap();
        assert!(outcomes.len() > 5, "{flow} {outcomes:?}");
        assert!(outcomes.iter().all(|outcome| *outcome != "failed"), "{flow} {outcomes:?}");
    }
    assert_eq!(heard.ran.get("two"), None);
    assert_eq!(heard.ran.get("locked"), Some(&vec!["failed"]), "it is not tried again soon");
    assert!(heard.errors.iter().any(|error| error.contains("no secret")), "{:?}", heard.errors);
    assert!(heard.errors.iter().any(|error| error.contains("broke off")), "{:?}", heard.errors);
}

/// A clock that goes on to the next run and waits there until that is over: however slow a run is,
/// it takes no time.
struct Patient {
    clock: ManualClock,
    until: tokio::sync::watch::Sender<Timestamp>,
}

impl Patient {
    fn new(start: Timestamp) -> Arc<Self> {
        let until = tokio::sync::watch::Sender::new(start);
        Arc::new(Self { clock: ManualClock::new(start), until })
    }
}

#[async_trait]
impl Clock for Patient {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        let mut until = self.until.subscribe();
        let until = *until.wait_for(|until| *until > self.now()).await.unwrap();
        self.clock.advance(duration.min(until.since(self.now())));
    }
}

/// One flow, and when its runs began and what they delivered.
struct One {
    flow: Arc<Flow>,
    began: Mutex<Vec<(Timestamp, u64)>>,
    stopper: Stopper,
    enough: usize,
    clock: Arc<Patient>,
}

impl Host for One {
    fn flow(&self, _name: &str) -> engine::Result<Arc<Flow>> {
        Ok(self.flow.clone())
    }

    fn has(&self, _: &str) -> bool {
        true
    }

    fn ran(&self, ran: &Ran<'_>) {
        assert!(ran.report.errors.is_empty(), "{:?}", ran.report.errors);
        let mut began = self.began.lock().unwrap();
        began.push((ran.started, ran.report.counts.delivered));
        if began.len() == self.enough {
            self.stopper.stop();
        }
        let next = ran.next.unwrap_or_default();
        let check = ran.report.unfinished.next.unwrap_or(next);
        self.clock.until.send_replace(next.min(check));
    }
}

/// Serves one flow, by an interval, until it ran `enough` times.
async fn serve(
    board: &Board,
    flow: Flow,
    every: u64,
    clock: &Arc<Patient>,
    enough: usize,
) -> Arc<One> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MasterKey::generate()));
    let engine = Arc::new(board.engine(store, clock.clone()));
    let (stopper, stop) = Stop::new(Duration::from_secs(30));
    let name = flow.name.clone();
    let (flow, began) = (Arc::new(flow), Mutex::default());
    let one = Arc::new(One { flow, began, stopper, enough, clock: clock.clone() });
    let options = Options {
        engine,
        host: one.clone(),
        watch: Arc::new(Silent),
        most_runs: 2.try_into().unwrap(),
    };
    let schedule = flow::Schedule::Every(Duration::from_secs(every));
    let planned =
        Planned { flow: name.as_str().into(), schedule, called: false, last: None, check: None };
    let (service, _handle) = Service::new(options, vec![planned]);
    clock.until.send_replace(service.next().unwrap().0);
    service.run(stop).await;
    one
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_wakes_for_what_a_system_finishes_later_and_not_only_for_the_next_run() {
    let board = Board::with_pages(vec![vec![record("a", 10, 1)]]);
    let told = Board::new();
    board.park_all();
    // Not done when it is asked for the first time.
    let asked = Mutex::new(0);
    board.on_check(move |token| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        Ok(if *asked == 1 { parked(token) } else { Outcome::done(json!("done")) })
    });
    let mut flow = flow_of(&board);
    flow.steps.push(step_to(&told, "told", vec![0]));
    let clock = Patient::new(Timestamp::from_secs(1_000_000));
    let one = serve(&board, flow, 36_000, &clock, 4).await;
    let began = one.began.lock().unwrap();
    let [(first, 0), (second, 0), (third, 1), (fourth, 0)] = began[..] else {
        panic!("{began:?}");
    };
    let minute = 60..65;
    assert!(minute.contains(&second.since(first).as_secs()), "{began:?}");
    assert!(minute.contains(&third.since(second).as_secs()), "{began:?}");
    assert!(fourth.since(first).as_secs() > 30_000, "by its schedule: {began:?}");
    assert_eq!((told.take_keys().len(), board.take_keys().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_forward_and_back_neither_hurries_nor_holds_up_a_flow() {
    const DAY: u64 = 86_400;
    let board = Board::new();
    let clock = Patient::new(Timestamp::from_secs(100 * 86_400));
    let polls: Arc<Mutex<Vec<u64>>> = Arc::default();
    let (timed, seen) = (clock.clone(), polls.clone());
    board.on_poll(move |_| {
        let mut polls = seen.lock().unwrap();
        polls.push(timed.elapsed().as_secs());
        // Whatever it shows from now on, it goes on only once this run is over.
        timed.until.send_replace(Timestamp::default());
        match polls.len() {
            3 => timed.clock.set(timed.now().plus(Duration::from_secs(DAY))),
            6 => timed.clock.set(timed.now().minus(Duration::from_secs(3 * DAY))),
            9 => timed.clock.set(timed.now().minus(Duration::from_secs(90))),
            _ => {}
        }
        Ok(Page { records: vec![], next: None })
    });
    serve(&board, flow_of(&board), 300, &clock, 12).await;
    let polls = polls.lock().unwrap();
    let waits: Vec<u64> = polls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // What was missed by a jump is made up for by one run; a clock that is set back by less than an
    // interval leaves the beat where it is, which makes one wait longer by as much.
    assert!(waits.iter().all(|wait| *wait < 2 * 300), "{waits:?}");
    assert!(waits.iter().filter(|wait| **wait < 200).count() <= 3, "{waits:?}");
}
