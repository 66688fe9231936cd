//! Messages that a step refuses or that exhaust their tries: what stops the flow, and what does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

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
