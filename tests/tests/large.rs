//! Records of 64 MiB: carried whole, kept whole, or refused by a limit that says so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use connector::prelude::*;
use connector::{ManualClock, Timestamp};
use engine::{Fate, LetterFilter, Report, Silent, Stop};
use flow::{Flow, Transformation};
use mapping::Mapping;
use store::{Durability, MasterKey, SledOptions, SledStore, Store};
use towpath_tests::{Board, flow_of};

const BYTES: usize = 64 * 1024 * 1024;

async fn run(board: &Arc<Board>, flow: &Arc<Flow>, store: &Arc<dyn Store>) -> Report {
    let (_stopper, stop) = Stop::new(std::time::Duration::from_secs(30));
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
    board.engine(store.clone(), clock).run(flow, stop, Arc::new(Silent)).await
}

/// A flow from a system with a large record and a small one, and a store on the disk.
async fn story(folder: &std::path::Path, key: &MasterKey) -> (Arc<Board>, Arc<dyn Store>) {
    let record = |key: &str, text: String| {
        let data = json!({ "value": key, "text": text });
        Record::new(key, Some(Timestamp::from_secs(10)), &data).unwrap()
    };
    let records = vec![record("large", "x".repeat(BYTES)), record("small", "x".to_owned())];
    let options = SledOptions { path: folder.to_owned(), key, durability: Durability::Full };
    let store = SledStore::open(options).await.unwrap();
    (Board::with_pages(vec![records]), Arc::new(store))
}

fn length(input: &Value) -> Option<usize> {
    input["text"].as_str().map(str::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_record_is_carried_and_kept_whole_where_nothing_maps_it() {
    let (folder, key) = (tempfile::tempdir().unwrap(), MasterKey::generate());
    let (board, store) = story(folder.path(), &key).await;
    board.on_send(|batch| {
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::rejected("no", "not today"));
        Ok(outcomes)
    });
    let flow = Arc::new(flow_of(&board));
    let report = run(&board, &flow, &store).await;
    assert_eq!((report.errors.len(), report.counts.dead_lettered), (0, 2));
    let sent: Vec<_> = board.take_delivered().iter().map(|it| length(&it.input)).collect();
    assert_eq!(sent, [Some(BYTES), Some(1)]);
    // Its dead letter is the whole record, which goes the second time.
    board.on_send(|batch| {
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::done(Value::Null));
        Ok(outcomes)
    });
    let (_stopper, stop) = Stop::new(std::time::Duration::from_secs(30));
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_100)));
    let engine = board.engine(store.clone(), clock);
    let mut fates = vec![];
    let mut each = |it: engine::Outcome| fates.push(it.fate);
    let all = LetterFilter::default();
    engine.replay(&flow, &all, false, &stop, Arc::new(Silent), &mut each).await.unwrap();
    assert_eq!(fates, [Fate::Delivered, Fate::Delivered]);
    let mut sent: Vec<_> = board.take_delivered().iter().map(|it| length(&it.input)).collect();
    sent.sort_unstable();
    assert_eq!(sent, [Some(1), Some(BYTES)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapping_that_makes_too_much_of_it_is_refused_by_a_limit_and_nothing_is_lost() {
    let (folder, key) = (tempfile::tempdir().unwrap(), MasterKey::generate());
    let (board, store) = story(folder.path(), &key).await;
    let mut flow = flow_of(&board);
    flow.steps[0].mapping = Transformation::Custom(Mapping::compile("data").unwrap());
    let flow = Arc::new(flow);
    let report = run(&board, &flow, &store).await;
    assert_eq!((report.errors.len(), report.counts.delivered), (0, 1), "the small one goes on");
    let letters = store.dead_letters(None).await.unwrap();
    let letter = store.dead_letter(&letters[0].id).await.unwrap().unwrap();
    assert_eq!((letters.len(), &*letter.code, &*letter.record_key), (1, "U1001", "large"));
    assert!(
        letter.reason.contains("limit") || letter.reason.contains("large"),
        "{}",
        letter.reason
    );
    assert!(letter.payload.len() > BYTES, "it is kept whole");
    // A mapping that takes less of it is fine with it.
    let mut smaller = (*flow).clone();
    let less = r#"{ "value": data.value, "length": $length(data.text) }"#;
    smaller.steps[0].mapping = Transformation::Custom(Mapping::compile(less).unwrap());
    let (_stopper, stop) = Stop::new(std::time::Duration::from_secs(30));
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_100)));
    let engine = board.engine(store.clone(), clock);
    let mut fates = vec![];
    let mut each = |it: engine::Outcome| fates.push(it.fate);
    let all = LetterFilter::default();
    let smaller = Arc::new(smaller);
    engine.replay(&smaller, &all, false, &stop, Arc::new(Silent), &mut each).await.unwrap();
    assert_eq!(fates, [Fate::Delivered]);
    let sent = board.take_delivered();
    assert_eq!(sent.last().unwrap().input["length"], json!(BYTES));
}
