//! The order of a record's messages, whatever is in doubt, refused late or sent again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::prelude::*;
use connector::{Error, ManualClock};
use engine::{Report, Silent, Stop};
use flow::{Flow, InDoubt};
use store::{MasterKey, MemoryStore, Store};
use towpath_tests::{Board, record, step_once, sweeping_flow_of};

/// Runs of a flow over a board, each on a process of its own, by one clock.
struct Runs {
    board: Arc<Board>,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
}

impl Runs {
    fn of(board: &Arc<Board>) -> Self {
        Self {
            board: board.clone(),
            store: Arc::new(MemoryStore::new(MasterKey::generate())),
            clock: Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000))),
        }
    }

    async fn run(&self, flow: &Flow) -> Report {
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        let engine = self.board.engine(self.store.clone(), self.clock.clone());
        engine.run(&Arc::new(flow.clone()), stop, Arc::new(Silent)).await
    }

    /// The values that were sent since the last time, in their order.
    fn sent(&self) -> Vec<i64> {
        let sent = self.board.take_delivered().into_iter();
        sent.map(|it| it.input["value"].as_i64().unwrap()).collect()
    }
}

/// A sweep gets stuck with a message in doubt, and the poll after it finds a newer one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_doubt_is_settled_before_a_newer_message_of_its_record_goes() {
    for in_doubt in [InDoubt::Resend, InDoubt::Hold] {
        let board = Board::new();
        let held = Arc::new(Mutex::new(record("b", 10, 1)));
        let cut = Arc::new(Mutex::new(false));
        let (found, is_cut) = (held.clone(), cut.clone());
        board.on_poll(move |scan| {
            let held = found.lock().unwrap().clone();
            match (scan.want, scan.cursor) {
                (Want::All, None) => Ok(Page { records: vec![record("a", 10, 1)], next: Some(1) }),
                (Want::All, _) if *is_cut.lock().unwrap() => Err(Error::retry("down")),
                (Want::All, _) => Ok(Page { records: vec![held, record("c", 10, 5)], next: None }),
                (Want::Changed { since }, _) => {
                    let shown = held.version.is_some_and(|at| at >= since);
                    Ok(Page {
                        records: vec![held].into_iter().filter(|_| shown).collect(),
                        next: None,
                    })
                }
            }
        });
        let runs = Runs::of(&board);
        let mut flow = sweeping_flow_of(&board, Duration::from_secs(3600));
        flow.steps = vec![step_once(&board, "send", vec![])];
        flow.steps[0].in_doubt = in_doubt;
        flow.steps[0].batch = std::num::NonZeroUsize::MIN;
        assert!(runs.run(&flow).await.errors.is_empty());
        runs.sent();
        // A sweep is broken off behind its first page.
        runs.clock.advance(Duration::from_secs(7200));
        *cut.lock().unwrap() = true;
        assert_eq!(runs.run(&flow).await.errors.len(), 1);
        *cut.lock().unwrap() = false;
        assert_eq!(runs.sent(), [0_i64; 0]);
        // What it finds then gets no answer, and changes meanwhile.
        *held.lock().unwrap() = record("b", 10, 7);
        let unanswered = Arc::new(Mutex::new(5));
        let changes = held.clone();
        board.on_send(move |batch| {
            let mut left = unanswered.lock().unwrap();
            if batch.items.iter().any(|item| item.input["value"] == json!(7)) && *left > 0 {
                *left -= 1;
                *changes.lock().unwrap() = record("b", 1_007_000, 8);
                return Err(Error::Unknown { reason: "no answer".to_owned() });
            }
            let mut outcomes = batch.outcomes();
            outcomes.fill(&Outcome::done(Value::Null));
            Ok(outcomes)
        });
        for _ in 0..3 {
            runs.run(&flow).await;
        }
        let sent = runs.sent();
        let newer = sent.iter().position(|value| *value == 8).unwrap();
        assert!(!sent[newer..].contains(&7), "{in_doubt:?}: {sent:?}");
        let times = sent.iter().filter(|value| **value == 7).count();
        assert_eq!(times, if in_doubt == InDoubt::Resend { 6 } else { 1 }, "{sent:?}");
        assert_eq!(runs.store.journaled("scripted").await.unwrap(), []);
    }
}
