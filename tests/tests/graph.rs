//! Steps as a graph: fan-out, conditions, refusals and joins, against scripted systems.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use connector::prelude::*;
use flow::{Flow, Transformation};
use mapping::Mapping;
use store::{MasterKey, MemoryStore, Store};
use towpath_tests::{Board, flow_of, record, step_to};

/// Four systems: the first, two behind it, and one where both ways meet.
struct Diamond {
    boards: [Arc<Board>; 4],
    flow: Arc<Flow>,
    store: Arc<dyn Store>,
}

impl Diamond {
    fn new() -> Self {
        let first =
            Board::with_pages(vec![(0..6).map(|n| record(&n.to_string(), 10, n)).collect()]);
        let boards = [first, Board::new(), Board::new(), Board::new()];
        let [first, left, right, join] = &boards;
        let mut flow = flow_of(first);
        let mut left = step_to(left, "left", vec![0]);
        left.when = Some(Mapping::compile("data.value != 1").unwrap());
        let mut join = step_to(join, "join", vec![1, 2]);
        join.mapping = Transformation::Custom(Mapping::compile("$steps").unwrap());
        flow.steps =
            vec![step_to(first, "first", vec![]), left, step_to(right, "right", vec![0]), join];
        for (board, name) in boards.iter().zip(["first", "left", "right", "join"]) {
            board.on_send(move |batch| {
                let mut outcomes = batch.outcomes();
                for (index, item) in batch.items.iter().enumerate() {
                    let refused = (name, &*item.key) == ("right", "2") || &*item.key == "5";
                    let done = Outcome::done(json!(format!("{name} {}", item.key)));
                    let no = Outcome::rejected("no", "not this one");
                    outcomes.set(index, if refused { no } else { done });
                }
                Ok(outcomes)
            });
        }
        let store = Arc::new(MemoryStore::new(MasterKey::generate()));
        Self { boards, flow: Arc::new(flow), store }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_filtered_or_refused_step_nothing_runs() {
    let diamond = Diamond::new();
    let [first, left, right, join] = &diamond.boards;
    let report = first.run(diamond.store.clone(), &diamond.flow).await;
    assert_eq!(report.errors.len(), 0, "{:?}", report.errors);
    assert_eq!(first.take_keys(), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(left.take_keys(), ["0", "2", "3", "4"]);
    assert_eq!(right.take_keys(), ["0", "1", "2", "3", "4"]);
    // Where both ways meet comes only what passed both, and it sees the results of all before.
    let joined = join.take_delivered();
    let results: Vec<_> = joined.iter().map(|it| &it.input).collect();
    let of = |key: u8| {
        json!({
            "first": format!("first {key}"),
            "left": format!("left {key}"),
            "right": format!("right {key}"),
        })
    };
    assert_eq!(results, [&of(0), &of(3), &of(4)]);
    let counts = report.counts;
    assert_eq!((counts.emitted, counts.delivered, counts.filtered), (6, 3, 1));
    assert_eq!(counts.dead_lettered, 2);

    let letters = diamond.store.dead_letters(None).await.unwrap();
    let mut steps: Vec<_> = letters.iter().map(|letter| letter.step.clone().unwrap()).collect();
    steps.sort();
    assert_eq!(steps, ["first", "right"]);
    let id = &letters.iter().find(|letter| letter.step.as_deref() == Some("right")).unwrap().id;
    let letter = diamond.store.dead_letter(id).await.unwrap().unwrap();
    // The results so far are those of the steps beside it too: a replay goes on where they meet.
    let payload: Value = serde_json::from_slice(&letter.payload).unwrap();
    assert_eq!(payload["steps"], json!({ "first": "first 2", "left": "left 2" }));
    assert_eq!(payload["message"]["data"], json!({ "value": 2 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ways_beside_each_other_run_at_the_same_time() {
    let diamond = Diamond::new();
    let [first, left, right, _] = &diamond.boards;
    left.hold();
    let (flow, store, first) = (diamond.flow.clone(), diamond.store.clone(), first.clone());
    let run = tokio::spawn(async move { first.run(store, &flow).await });
    right.wait_for_batch().await;
    left.release();
    assert_eq!(run.await.unwrap().counts.delivered, 3);
}
