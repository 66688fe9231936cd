//! Ways of a message that part and meet: refused or waiting on one of them, it goes on where they meet.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use connector::prelude::*;
use engine::{Fate, LetterFilter};
use flow::{Flow, Transformation};
use mapping::Mapping;
use store::LetterState;
use towpath_tests::{Board, Runs, answering, flow_of, parked, record, step_to};

/// Two systems beside each other, and one behind both.
struct Story {
    left: Arc<Board>,
    right: Arc<Board>,
    join: Arc<Board>,
    flow: Flow,
    runs: Runs,
}

impl Story {
    fn new() -> Self {
        let source = Board::with_pages(vec![vec![record("a", 10, 1)]]);
        let (left, right, join) = (Board::new(), Board::new(), Board::new());
        let mut joined = step_to(&join, "join", vec![0, 1]);
        joined.mapping = Transformation::Custom(Mapping::compile("$steps").unwrap());
        let mut flow = flow_of(&source);
        flow.steps = vec![step_to(&left, "left", vec![]), step_to(&right, "right", vec![]), joined];
        let story = Self { left, right, join, flow, runs: Runs::of(&source) };
        story.takes(&story.left, "left");
        story.takes(&story.right, "right");
        story
    }

    fn takes(&self, board: &Board, says: &'static str) {
        board.on_send(answering(move |_, _| Some(Outcome::done(json!(says)))));
    }

    fn refuses(&self, board: &Board) {
        board.on_send(answering(|_, _| Some(Outcome::rejected("no", "not yet"))));
    }

    async fn replay(&self, step: Option<&str>) -> Vec<Fate> {
        let step = step.map(ToOwned::to_owned);
        let filter =
            LetterFilter { step, state: Some(LetterState::Open), ..LetterFilter::default() };
        let fates = self.runs.replay(&self.flow, &filter, false).await.unwrap();
        fates.into_iter().map(|(_, _, fate)| fate).collect()
    }

    /// What came to where the ways meet since the last time.
    fn joined(&self) -> Vec<Value> {
        self.join.take_delivered().into_iter().map(|it| it.input).collect()
    }
}

fn both() -> Vec<Value> {
    vec![json!({ "left": "left", "right": "right" })]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_way_refused_goes_on_with_the_result_of_the_other() {
    let story = Story::new();
    story.refuses(&story.right);
    story.runs.run(&story.flow).await;
    assert_eq!(story.joined(), Vec::<Value>::new());
    story.takes(&story.right, "right");
    assert_eq!(story.replay(None).await, [Fate::Delivered]);
    assert_eq!(story.joined(), both());
    assert_eq!(story.left.take_keys().len(), 1, "what was done is not sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_both_refused_goes_on_behind_the_second_replay_or_within_one() {
    for together in [false, true] {
        let story = Story::new();
        story.refuses(&story.left);
        story.refuses(&story.right);
        story.runs.run(&story.flow).await;
        story.takes(&story.left, "left");
        story.takes(&story.right, "right");
        if !together {
            assert_eq!(story.replay(Some("right")).await, [Fate::Delivered]);
            assert_eq!(story.joined(), Vec::<Value>::new());
        }
        assert!(story.replay(None).await.iter().all(|fate| *fate == Fate::Delivered));
        assert_eq!(story.joined(), both(), "{together}");
        assert_eq!(story.replay(None).await, []);
        assert_eq!((story.left.take_keys().len(), story.right.take_keys().len()), (2, 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_on_one_way_and_is_refused_on_the_other_meets_in_any_order() {
    for replayed_first in [false, true] {
        let story = Story::new();
        story.left.on_send(answering(|key, _| Some(parked(key))));
        story.left.on_check(|_| Ok(Outcome::done(json!("left"))));
        story.refuses(&story.right);
        story.runs.run(&story.flow).await;
        story.takes(&story.right, "right");
        for replays in [replayed_first, !replayed_first] {
            assert_eq!(story.joined(), Vec::<Value>::new());
            if replays {
                assert_eq!(story.replay(None).await, [Fate::Delivered]);
            } else {
                story.runs.pass(60);
                assert!(story.runs.run(&story.flow).await.errors.is_empty());
            }
        }
        assert_eq!(story.joined(), both(), "{replayed_first}");
        let parked = story.runs.store.parked("scripted").await.unwrap();
        assert_eq!(parked.len(), 0);
    }
}
