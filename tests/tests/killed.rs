//! What must not be sent twice, killed at any single write while it goes again: replays, what goes on
//! behind a park, backfills, deletions whose time is over, and steps that stop.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::prelude::*;
use engine::{Answer, Fate, Handle, LetterFilter, Request, RewindTo, StateChange};
use flow::{Flow, OnReject};
use store::{LetterState, MasterKey, MemoryStore};
use towpath_tests::{Board, Runs, World, answering, flow_of, parked, record, step_once, step_to};

const KEYS: [&str; 3] = ["0", "1", "2"];

fn records() -> Vec<Record> {
    KEYS.iter().map(|key| record(key, 10, 1)).collect()
}

fn open() -> LetterFilter {
    LetterFilter { state: Some(LetterState::Open), ..LetterFilter::default() }
}

/// Counts what a board was sent, by key.
fn count(board: &Board, sent: &mut BTreeMap<String, usize>) {
    for key in board.take_keys() {
        *sent.entry(key).or_default() += 1;
    }
}

/// Nothing was sent twice, and what was not sent is known to be in doubt.
async fn assert_once(runs: &Runs, sent: &BTreeMap<String, usize>, place: &str) {
    assert!(sent.values().all(|times| *times == 1), "{place}: {sent:?}");
    let mut known: BTreeSet<String> = sent.keys().cloned().collect();
    known.extend(in_doubt(runs).await);
    assert_eq!(known, KEYS.map(str::to_owned).into(), "{place}: lost");
}

async fn in_doubt(runs: &Runs) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for summary in runs.store.dead_letters(None).await.unwrap() {
        let letter = runs.store.dead_letter(&summary.id).await.unwrap().unwrap();
        if letter.code == "inDoubt" {
            keys.insert(letter.record_key);
        }
    }
    keys
}

/// Nothing is left of what was written down.
async fn assert_settled(runs: &Runs, place: &str) {
    assert_eq!(runs.store.journaled("scripted").await.unwrap(), [], "{place}");
}

fn memory() -> MemoryStore {
    MemoryStore::new(MasterKey::generate())
}

/// A store is asked for so many more writes until the work gets through without dying.
const ENOUGH: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_killed_anywhere_sends_nothing_twice_unasked() {
    let mut deaths = 0;
    for at in 0..ENOUGH {
        let board = Board::with_pages(vec![records()]);
        let memory = memory();
        let mut runs = Runs::of(&board);
        runs.store = Arc::new(memory.clone());
        let mut once = step_once(&board, "send", vec![]);
        once.batch = NonZeroUsize::new(2).unwrap();
        let flow = Flow { steps: vec![once], ..flow_of(&board) };
        board.on_send(answering(|_, _| Some(Outcome::rejected("no", "not yet"))));
        assert_eq!(runs.run(&flow).await.counts.dead_lettered, 3);
        board.take_keys();
        board.on_send(answering(|_, _| None));
        let store = runs.store.clone();
        memory.crash_after(at);
        let died = runs.replay_with(&store, &flow, &open(), false).await.is_err();
        runs.store = Arc::new(memory.reopen().await.unwrap());
        let mut sent = BTreeMap::new();
        count(&board, &mut sent);
        // A run finds out what is in doubt, or the next replay does, and sends none of that.
        if at % 2 == 0 {
            assert!(runs.run(&flow).await.errors.is_empty(), "{at}");
        }
        let in_doubt = LetterFilter { code: Some("inDoubt".to_owned()), ..open() };
        let refused = LetterFilter { code: Some("no".to_owned()), ..open() };
        for (_, _, fate) in runs.replay(&flow, &refused, false).await.unwrap() {
            assert!(matches!(fate, Fate::Delivered | Fate::Refused { .. }), "{at}: {fate:?}");
        }
        count(&board, &mut sent);
        assert_once(&runs, &sent, &format!("after {at} writes")).await;
        // Asked for, what is in doubt is sent once more; then nothing is open.
        runs.replay(&flow, &in_doubt, false).await.unwrap();
        assert_eq!(runs.replay(&flow, &open(), false).await.unwrap(), [], "{at}");
        assert_settled(&runs, &format!("after {at} writes")).await;
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!((10..ENOUGH).contains(&deaths), "{deaths}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_park_and_handed_over_once_nothing_goes_twice_wherever_it_is_killed() {
    // What is parked is done at once at the first question; both steps must not be repeated.
    for in_the_page in [true, false] {
        let mut deaths = 0;
        for at in 0..ENOUGH {
            let (board, behind) = (Board::with_pages(vec![records()]), Board::new());
            let memory = memory();
            let mut runs = Runs::of(&board);
            runs.store = Arc::new(memory.clone());
            let mut once = step_once(&board, "hand", vec![]);
            once.batch = NonZeroUsize::new(2).unwrap();
            let told = step_once(&behind, "tell", vec![0]);
            let flow = Flow { steps: vec![once, told], ..flow_of(&board) };
            board.on_send(answering(|key, _| (key != "1").then(|| parked(key))));
            board.on_check(|token| Ok(Outcome::done(json!(token))));
            let mut failed = false;
            if !in_the_page {
                assert!(runs.run(&flow).await.errors.is_empty());
                runs.pass(60);
            }
            memory.crash_after(at);
            failed |= !runs.run(&flow).await.errors.is_empty();
            runs.store = Arc::new(memory.reopen().await.unwrap());
            for _ in 0..4 {
                runs.pass(3000);
                assert!(runs.run(&flow).await.errors.is_empty(), "{at}");
            }
            let (mut handed, mut told) = (BTreeMap::new(), BTreeMap::new());
            count(&board, &mut handed);
            count(&behind, &mut told);
            let place = format!("{in_the_page}, after {at} writes");
            assert_once(&runs, &handed, &place).await;
            assert_settled(&runs, &place).await;
            assert!(told.values().all(|times| *times == 1), "{place}: {told:?}");
            let letters = runs.store.dead_letters(None).await.unwrap();
            assert_eq!(
                told.len() + letters.len(),
                {
                    // In doubt at the second step, it was perhaps sent.
                    let second = letters.iter().filter(|it| it.step.as_deref() == Some("tell"));
                    let mut both = 0;
                    for letter in second {
                        let letter = runs.store.dead_letter(&letter.id).await.unwrap().unwrap();
                        both += usize::from(told.contains_key(&letter.record_key));
                    }
                    KEYS.len() + both
                },
                "{place}: lost"
            );
            assert_eq!(runs.store.parked("scripted").await.unwrap().len(), 0, "{place}");
            if !failed {
                break;
            }
            deaths += 1;
        }
        assert!((10..ENOUGH).contains(&deaths), "{deaths}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewind_behind_a_kill_waits_for_what_is_not_settled() {
    let (mut deaths, mut refused) = (0, 0);
    for at in 0..ENOUGH {
        let board = Board::with_pages(vec![records()[..2].to_vec(), records()[2..].to_vec()]);
        let memory = memory();
        let mut runs = Runs::of(&board);
        runs.store = Arc::new(memory.clone());
        let flow = Flow { steps: vec![step_once(&board, "send", vec![])], ..flow_of(&board) };
        memory.crash_after(at);
        let failed = !runs.run(&flow).await.errors.is_empty();
        runs.store = Arc::new(memory.reopen().await.unwrap());
        // Nothing that was settled is asked for again: every record is older.
        let rewind = async || {
            let engine = Arc::new(runs.engine(&runs.store));
            let source = engine.source(&flow).unwrap();
            let to = RewindTo::Time(Timestamp::from_secs(11));
            let change = StateChange::Rewind { source, by_time: true, to, dry: false };
            let request = Request::Change { flow: flow.name.clone(), change };
            Handle::of(engine).ask(request).await
        };
        let is_settled = runs.store.journaled("scripted").await.unwrap().is_empty();
        let committed = runs.store.head("scripted").await.unwrap().is_some();
        match rewind().await {
            Ok(_) => assert!(is_settled, "{at}"),
            Err(error) if committed => {
                refused += 1;
                assert!(!is_settled && error.to_string().contains("run the flow once"), "{error}");
            }
            Err(_) => {}
        }
        assert!(runs.run(&flow).await.errors.is_empty(), "{at}");
        rewind().await.unwrap();
        assert!(runs.run(&flow).await.errors.is_empty(), "{at}");
        let mut sent = BTreeMap::new();
        count(&board, &mut sent);
        assert_once(&runs, &sent, &format!("after {at} writes")).await;
        if !failed {
            break;
        }
        deaths += 1;
    }
    assert!((10..ENOUGH).contains(&deaths) && refused > 0, "{deaths} {refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_killed_anywhere_sends_nothing_twice() {
    let mut deaths = 0;
    for at in 0..ENOUGH {
        let board = Board::with_pages(vec![records()[..2].to_vec(), records()[2..].to_vec()]);
        let memory = memory();
        let mut runs = Runs::of(&board);
        runs.store = Arc::new(memory.clone());
        let flow = Flow { steps: vec![step_once(&board, "send", vec![])], ..flow_of(&board) };
        assert_eq!(runs.run(&flow).await.counts.delivered, 3);
        board.take_keys();
        let engine = Arc::new(runs.engine(&runs.store));
        let source = engine.source(&flow).unwrap();
        let from = Timestamp::from_secs(0);
        let change = StateChange::Backfill { source, from, until: None };
        let request = Request::Change { flow: flow.name.clone(), change };
        assert!(matches!(Handle::of(engine).ask(request).await, Ok(Answer::Changed { .. })));
        memory.crash_after(at);
        let failed = !runs.run(&flow).await.errors.is_empty();
        runs.store = Arc::new(memory.reopen().await.unwrap());
        for _ in 0..2 {
            assert!(runs.run(&flow).await.errors.is_empty(), "{at}");
        }
        let mut sent = BTreeMap::new();
        count(&board, &mut sent);
        assert_once(&runs, &sent, &format!("after {at} writes")).await;
        assert_settled(&runs, &format!("after {at} writes")).await;
        if !failed {
            break;
        }
        deaths += 1;
    }
    assert!((10..ENOUGH).contains(&deaths), "{deaths}");
}

/// A step that stops at a refusal: what others of its page were sent is known when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stops_at_a_refusal_goes_on_when_it_is_taken_and_sends_the_others_once() {
    for way_out in ["the system takes it", "its record changes", "the file says deadLetter"] {
        let mut deaths = 0;
        for at in 0..ENOUGH {
            let held = Arc::new(Mutex::new(records()));
            let (board, found) = (Board::new(), held.clone());
            board.on_poll(move |_| Ok(Page { records: found.lock().unwrap().clone(), next: None }));
            let memory = memory();
            let mut runs = Runs::of(&board);
            runs.store = Arc::new(memory.clone());
            let mut once = step_once(&board, "send", vec![]);
            (once.batch, once.on_reject) = (NonZeroUsize::new(2).unwrap(), OnReject::Stop);
            let mut flow = Flow { steps: vec![once], ..flow_of(&board) };
            board.on_send(answering(|key, value| {
                (key == "1" && value == 1).then(|| Outcome::rejected("no", "not this one"))
            }));
            memory.crash_after(at);
            let first = runs.run(&flow).await;
            let stopped = |report: &engine::Report| {
                matches!(report.errors[..], [engine::Error::Stopped { .. }])
            };
            let died = !stopped(&first);
            runs.store = Arc::new(memory.reopen().await.unwrap());
            // What was in doubt is a dead letter by now, and stops nothing.
            let again = runs.run(&flow).await;
            let in_doubt = in_doubt(&runs).await;
            assert!(stopped(&again) != in_doubt.contains("1"), "{way_out}, {at}: {in_doubt:?}");
            match way_out {
                "the system takes it" => board.on_send(answering(|_, _| None)),
                "its record changes" => held.lock().unwrap()[1] = record("1", 20, 2),
                _ => flow.steps[0].on_reject = OnReject::DeadLetter,
            }
            assert!(runs.run(&flow).await.errors.is_empty(), "{way_out}, {at}");
            assert!(runs.run(&flow).await.errors.is_empty(), "{way_out}, {at}");
            let mut sent = BTreeMap::new();
            count(&board, &mut sent);
            // The refused one was surely not taken: it is tried at every run.
            sent.insert("1".to_owned(), 1);
            let place = format!("{way_out}, after {at} writes");
            assert_once(&runs, &sent, &place).await;
            assert_settled(&runs, &place).await;
            if !died {
                break;
            }
            deaths += 1;
        }
        assert!((3..ENOUGH).contains(&deaths), "{deaths}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_stops_refuses_in_a_replay_what_it_refuses_and_sends_the_others() {
    let board = Board::with_pages(vec![records()]);
    let runs = Runs::of(&board);
    let mut flow = Flow { steps: vec![step_once(&board, "send", vec![])], ..flow_of(&board) };
    flow.steps.push(step_to(&Board::new(), "told", vec![0]));
    board.on_send(answering(|_, _| Some(Outcome::rejected("no", "not yet"))));
    assert_eq!(runs.run(&flow).await.counts.dead_lettered, 3);
    flow.steps[0].on_reject = OnReject::Stop;
    board.on_send(answering(|key, _| (key == "1").then(|| Outcome::rejected("no", "never"))));
    let mut fates = runs.replay(&flow, &open(), false).await.unwrap();
    fates.sort_by(|a, b| a.0.cmp(&b.0));
    let refused = Fate::Refused { step: Some("send".to_owned()), code: "no".to_owned() };
    let fates: Vec<Fate> = fates.into_iter().map(|(_, _, fate)| fate).collect();
    assert_eq!(fates, [Fate::Delivered, refused, Fate::Delivered]);
    board.take_keys();
    assert_eq!(runs.replay(&flow, &open(), false).await.unwrap().len(), 1);
    assert_eq!(board.take_keys(), ["1"]);
    assert!(runs.run(&flow).await.errors.is_empty(), "a letter stops no run");
}

const LEAVERS: &str = "
flow: leavers
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  fields: { groupName: Newsletter }
steps:
  - id: gone
    use: clevertap.deleteProfiles
    account: engagement
    fields: { deadlineHours: 1 }
";

/// A deletion that CleverTap never carries out, killed at any write while it waits and while its time
/// is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_comes_to_its_deadline_is_told_once_wherever_it_is_killed() {
    for hours in [0, 1] {
        let mut deaths = 0;
        for at in 0..ENOUGH {
            let mut world = World::with(3).await;
            let mut switches = world.sandbox.switches();
            switches.deletion_seconds = 1_000_000;
            world.sandbox.set_switches(switches);
            for receiver in world.sandbox.receivers() {
                world.sandbox.add_device(&receiver.id, &format!("__g{}", receiver.id));
            }
            let memory = memory();
            world.store = Arc::new(memory.clone());
            let flow = world.flow(LEAVERS);
            assert!(world.run(&flow).await.errors.is_empty());
            assert_eq!(world.store.parked("leavers").await.unwrap().len(), 3);
            world.clock.advance(Duration::from_secs(hours * 3_600 + 60));
            memory.crash_after(at);
            let died = !world.run(&flow).await.errors.is_empty();
            world.store = Arc::new(memory.reopen().await.unwrap());
            for _ in 0..2 {
                assert!(world.run(&flow).await.errors.is_empty(), "{hours}, {at}");
                world.clock.advance(Duration::from_secs(3_600));
            }
            assert!(world.run(&flow).await.errors.is_empty(), "{hours}, {at}");
            let letters = world.store.dead_letters(None).await.unwrap();
            let codes: Vec<_> = letters.iter().map(|it| it.code.as_str()).collect();
            assert_eq!(codes, ["deadline"; 3], "{hours}, after {at} writes");
            assert_eq!(world.store.parked("leavers").await.unwrap().len(), 0, "{hours}, {at}");
            assert_eq!(world.sandbox.ordered().len(), 1, "{hours}, after {at} writes");
            if !died {
                break;
            }
            deaths += 1;
        }
        assert!((3..ENOUGH).contains(&deaths), "{hours}: {deaths}");
    }
}
