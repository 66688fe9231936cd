//! The order of a record's messages, whatever is in doubt, refused late or sent again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::Error;
use connector::prelude::*;
use engine::{Fate, LetterFilter};
use flow::{InDoubt, Transformation};
use mapping::Mapping;
use store::LetterState;
use towpath_tests::{
    Board, Runs, answering, flow_of, parked, record, step_once, step_to, sweeping_flow_of,
};

fn any() -> LetterFilter {
    LetterFilter::default()
}

/// A board that holds these records, one page each time it is asked.
fn holding(records: &Arc<Mutex<Vec<Record>>>) -> Arc<Board> {
    let (board, records) = (Board::new(), records.clone());
    board.on_poll(move |_| Ok(Page { records: records.lock().unwrap().clone(), next: None }));
    board
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
        runs.values(&board);
        // A sweep is broken off behind its first page.
        runs.pass(7200);
        *cut.lock().unwrap() = true;
        assert_eq!(runs.run(&flow).await.errors.len(), 1);
        *cut.lock().unwrap() = false;
        assert_eq!(runs.values(&board), [0_i64; 0]);
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
        let sent = runs.values(&board);
        let newer = sent.iter().position(|value| *value == 8).unwrap();
        assert!(!sent[newer..].contains(&7), "{in_doubt:?}: {sent:?}");
        let times = sent.iter().filter(|value| **value == 7).count();
        assert_eq!(times, if in_doubt == InDoubt::Resend { 6 } else { 1 }, "{sent:?}");
        assert_eq!(runs.store.journaled("scripted").await.unwrap(), []);
    }
}

/// As long as it cannot be sent again, nothing newer is; held, it is out of the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_again_holds_the_newer_message_back_until_the_file_says_hold() {
    let records = Arc::new(Mutex::new(vec![record("a", 10, 1)]));
    let board = holding(&records);
    board.on_send(|batch| match batch.items[0].input["value"].as_i64() {
        Some(1) => Err(Error::Unknown { reason: "no answer".to_owned() }),
        _ => answering(|_, _| None)(batch),
    });
    let (runs, mut flow) = (Runs::of(&board), flow_of(&board));
    flow.steps = vec![step_once(&board, "send", vec![])];
    flow.steps[0].in_doubt = InDoubt::Resend;
    for _ in 0..3 {
        assert_eq!(runs.run(&flow).await.errors.len(), 1);
        assert!(runs.values(&board).iter().all(|value| *value == 1));
        *records.lock().unwrap() = vec![record("a", 20, 2)];
    }
    flow.steps[0].in_doubt = InDoubt::Hold;
    assert!(runs.run(&flow).await.errors.is_empty());
    assert_eq!(runs.values(&board), [2]);
    let superseded = (1, "send".to_owned(), LetterState::Superseded);
    assert_eq!(runs.letters().await, [superseded]);
}

/// What is refused at its deadline, or by the system, after a newer message went through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_and_is_refused_behind_a_newer_message_is_superseded() {
    for is_late in [true, false] {
        let records = Arc::new(Mutex::new(vec![record("a", 10, 1), record("b", 10, 1)]));
        let board = holding(&records);
        board.on_send(answering(|key, value| (value == 1).then(|| parked(key))));
        board.on_check(move |token| match is_late {
            true => Ok(parked(token)),
            false => Ok(Outcome::rejected("no", "not this one")),
        });
        let (runs, flow) = (Runs::of(&board), flow_of(&board));
        runs.run(&flow).await;
        *records.lock().unwrap() = vec![record("a", 20, 2)];
        runs.run(&flow).await;
        runs.pass(3600);
        runs.run(&flow).await;
        let step = || "collect".to_owned();
        let expected = [(1, step(), LetterState::Open), (1, step(), LetterState::Superseded)];
        assert_eq!(runs.letters().await, expected, "{is_late}");
        assert_eq!(runs.values(&board), [1, 1, 2]);
        board.on_send(answering(|_, _| None));
        let mut fates = runs.replay(&flow, &any(), false).await.unwrap();
        fates.sort_by(|a, b| a.0.cmp(&b.0));
        let fate = |key: &str, fate| (key.to_owned(), step(), fate);
        assert_eq!(fates, [fate("a", Fate::Superseded), fate("b", Fate::Delivered)]);
        assert_eq!(runs.values(&board), [1]);
        // Asked to, it is sent; refused again it is as superseded as before.
        board.on_send(answering(|_, _| Some(Outcome::rejected("no", "never"))));
        let of_a = LetterFilter { key: Some("a".to_owned()), ..any() };
        runs.replay(&flow, &of_a, true).await.unwrap();
        let fates = runs.replay(&flow, &of_a, false).await.unwrap();
        assert_eq!((fates, runs.values(&board)), (vec![fate("a", Fate::Superseded)], vec![1]));
    }
}

/// The newer message was through with both steps when the older one came to the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_step_behind_a_park_refuses_is_superseded_by_what_went_through_it_since() {
    let records = Arc::new(Mutex::new(vec![record("a", 10, 1), record("b", 10, 1)]));
    let (board, behind) = (holding(&records), Board::new());
    board.on_send(answering(|key, value| (value == 1).then(|| parked(key))));
    board.on_check(|_| Ok(Outcome::done(Value::Null)));
    behind.on_send(answering(|_, value| (value == 1).then(|| Outcome::rejected("no", "no"))));
    let (runs, mut flow) = (Runs::of(&board), flow_of(&board));
    flow.steps.push(step_to(&behind, "behind", vec![0]));
    runs.run(&flow).await;
    *records.lock().unwrap() = vec![record("a", 20, 2)];
    runs.run(&flow).await;
    assert_eq!(runs.values(&behind), [2]);
    runs.pass(60);
    runs.run(&flow).await;
    let of = |state| (1, "behind".to_owned(), state);
    assert_eq!(runs.letters().await, [of(LetterState::Open), of(LetterState::Superseded)]);
}

/// Two letters of one record have the same time, or the newer one an earlier time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_one_record_are_replayed_in_their_order_whatever_their_times_say() {
    let names: Vec<String> = (0..8).map(|n| format!("k{n}")).collect();
    for sets_back in [false, true] {
        let page = |value: i64, at: i64| names.iter().map(move |name| record(name, at, value));
        let first: Vec<Record> = page(1, 10).chain(page(2, 11)).collect();
        let records = Arc::new(Mutex::new(first));
        let board = holding(&records);
        board.on_send(answering(|_, _| Some(Outcome::rejected("no", "not yet"))));
        let (runs, mut flow) = (Runs::of(&board), flow_of(&board));
        flow.max_rejects.at_least = 100;
        runs.run(&flow).await;
        if sets_back {
            runs.clock.set(Timestamp::from_secs(500_000));
        }
        *records.lock().unwrap() = page(3, 12).collect();
        runs.run(&flow).await;
        runs.values(&board);

        // The first of each is refused again, and the last one goes through.
        board.on_send(answering(|_, value| {
            (value < 3).then(|| Outcome::rejected("no", "not this one"))
        }));
        runs.replay(&flow, &any(), false).await.unwrap();
        let mut sent = std::collections::BTreeMap::<String, Vec<i64>>::new();
        for it in board.take_delivered() {
            sent.entry(it.key).or_default().push(it.input["value"].as_i64().unwrap());
        }
        assert_eq!(sent.len(), names.len());
        assert!(sent.values().all(|values| values == &[1, 2, 3]), "{sets_back}: {sent:?}");
        let letters = runs.letters().await;
        let superseded = letters.iter().filter(|it| it.2 == LetterState::Superseded);
        assert_eq!(superseded.count(), 2 * names.len(), "{letters:?}");
    }
}

/// The trigger's mapping looks at all records of a page before the first one is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_message_of_the_page_overtakes_no_letter_of_the_triggers_mapping() {
    let records =
        vec![record("a", 10, 1), record("a", 11, 2), record("b", 10, 2), record("b", 11, 1)];
    let board = holding(&Arc::new(Mutex::new(records)));
    let (runs, mut flow) = (Runs::of(&board), flow_of(&board));
    let mapping = "data.value = 2 ? $error('no') : { 'value': data.value }";
    flow.trigger.mapping = Transformation::Custom(Mapping::compile(mapping).unwrap());
    runs.run(&flow).await;
    let of = |state| (2, engine::TRIGGER.to_owned(), state);
    assert_eq!(runs.letters().await, [of(LetterState::Open), of(LetterState::Superseded)]);
}
