//! Messages that a step refuses or that exhaust their tries: what stops the flow, and what does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::num::NonZeroUsize;
use std::sync::Arc;

use connector::ManualClock;
use connector::prelude::*;
use engine::{Error as RunError, Report};
use flow::{Flow, OnReject};
use store::{MasterKey, MemoryStore, Store};
use towpath_tests::{Board, flow_of, record};

/// A board whose records are refused where their value is 7.
fn refusing() -> Arc<Board> {
    let records = (0..10).map(|at| record(&format!("k{at}"), at, at)).collect();
    let board = Board::with_pages(vec![records]);
    board.on_send(|batch| {
        let mut outcomes = batch.outcomes();
        for (at, item) in batch.items.iter().enumerate() {
            let outcome = match item.input["value"].as_i64() {
                Some(7) => Outcome::rejected("noEmail", "ada@example.com is no address"),
                _ => Outcome::done(Value::Null),
            };
            outcomes.set(at, outcome);
        }
        Ok(outcomes)
    });
    board
}

async fn run(board: &Board, store: &Arc<dyn Store>, flow: &Arc<Flow>) -> Report {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
    let (_stopper, stop) = engine::Stop::new(std::time::Duration::from_secs(30));
    board.run_by(store.clone(), flow, stop, clock).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_stops_at_a_refusal_commits_nothing_of_the_page() {
    let board = refusing();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MasterKey::generate()));
    let mut flow = flow_of(&board);
    flow.steps[0].on_reject = OnReject::Stop;
    let flow = Arc::new(flow);
    for _ in 0..2 {
        let report = run(&board, &store, &flow).await;
        assert!(report.needs_change, "{report:?}");
        let [error @ RunError::Stopped { code, .. }] = &report.errors[..] else {
            panic!("{report:?}")
        };
        assert_eq!(code, "noEmail");
        let said = error.to_string();
        assert!(
            said.contains("step \"collect\"") && said.contains("onReject: deadLetter"),
            "{said}"
        );
        assert!(!said.contains("ada@example.com") && !said.contains("k7"), "{said}");
        assert!(store.head("scripted").await.unwrap().is_none());
    }
    let report = run(&board, &store, &Arc::new(flow_of(&board))).await;
    assert_eq!((report.counts.delivered, report.counts.dead_lettered), (9, 1));
}

/// A board whose records cannot be sent together with the one of value 7, nor can that alone.
fn poisoned() -> Arc<Board> {
    let board = refusing();
    board.on_send(|batch| {
        if batch.items.iter().any(|item| item.input["value"] == 7) {
            return Err(Error::retry("the collector answered 500"));
        }
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::done(Value::Null));
        Ok(outcomes)
    });
    board
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_exhausts_its_tries_in_three_runs_while_others_pass_is_a_dead_letter() {
    for (batch, concurrency) in [(100, None), (1, None), (1, Some(1))] {
        let board = poisoned();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MasterKey::generate()));
        let mut flow = flow_of(&board);
        flow.steps[0].batch = NonZeroUsize::new(batch).unwrap();
        flow.steps[0].concurrency = concurrency.and_then(NonZeroUsize::new);
        let flow = Arc::new(flow);
        for _ in 0..2 {
            let report = run(&board, &store, &flow).await;
            let [RunError::Unavailable { reason, .. }] = &report.errors[..] else {
                panic!("{report:?}")
            };
            assert!(reason.contains("500 (tried 5 times)"), "{reason}");
            assert!(store.head("scripted").await.unwrap().is_none());
        }
        let report = run(&board, &store, &flow).await;
        assert!(report.errors.is_empty(), "{batch}: {report:?}");
        assert_eq!((report.counts.delivered, report.counts.dead_lettered), (9, 1));
        let letters = store.dead_letters(None).await.unwrap();
        assert_eq!(letters[0].code, "exhausted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_makes_no_dead_letters_however_long_it_lasts() {
    for batch in [100, 1] {
        let board = poisoned();
        board.on_send(|_| Err(Error::retry("the collector answered 500")));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MasterKey::generate()));
        let mut flow = flow_of(&board);
        flow.steps[0].batch = NonZeroUsize::new(batch).unwrap();
        let flow = Arc::new(flow);
        for _ in 0..5 {
            assert_eq!(run(&board, &store, &flow).await.outcome(), "failed");
            if batch == 100 {
                // Five tries of the whole, then each half and each quarter once.
                assert!(board.take_delivered().len() <= 10 * (5 + 1 + 1), "{batch}");
            }
        }
        assert!(store.head("scripted").await.unwrap().is_none());
    }
}
