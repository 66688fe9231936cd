//! How the engine treats pages, keys, refusals and stops, against a scripted system.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use connector::prelude::*;
use engine::{Snapshot, Stop};
use store::conformance::seen_of;
use store::{MasterKey, MemoryStore, Store};
use towpath_tests::{Board, Dying, Endless, Moment, flow_of, record};

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(MasterKey::generate()))
}

async fn snapshot(store: &dyn Store) -> Snapshot {
    let head = store.head("scripted").await.unwrap().unwrap();
    Snapshot::read("scripted", &head.snapshot).unwrap()
}

fn numbered(range: std::ops::Range<i64>, seconds: i64) -> Vec<Record> {
    range.map(|n| record(&n.to_string(), seconds, n)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_over_an_unchanged_source_sends_and_writes_nothing() {
    let board = Board::with_pages(vec![numbered(0..50, 100), numbered(50..80, 130)]);
    let (store, flow) = (Arc::new(Dying::never(memory())), Arc::new(flow_of(&board)));
    let report = board.run(store.clone(), &flow).await;
    assert_eq!((report.counts.delivered, report.pages, store.commits()), (80, 2, 2));
    assert_eq!(board.take_delivered().len(), 80);
    // Only what the next poll will show again is remembered.
    assert_eq!(snapshot(&*store).await.last_updated, Some(Timestamp::from_secs(130)));
    assert_eq!(seen_of(&*store, "scripted").await.unwrap().len(), 80);

    board.on_poll(|_| Ok(Page { records: numbered(50..80, 130), next: None }));
    let report = board.run(store.clone(), &flow).await;
    assert_eq!((report.counts.unchanged, report.counts.delivered), (30, 0));
    assert_eq!((board.take_delivered().len(), store.commits()), (0, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_without_records_does_not_hide_what_was_seen() {
    let board = Board::with_pages(vec![numbered(0..5, 100)]);
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    board.run(store.clone(), &flow).await;
    board.on_poll(|scan| {
        let records = if scan.cursor.is_some() { numbered(0..5, 100) } else { vec![] };
        Ok(Page { records, next: scan.cursor.is_none().then_some(1) })
    });
    let report = board.run(store, &flow).await;
    assert_eq!((report.counts.unchanged, report.counts.delivered), (5, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seen_keeps_only_what_the_next_poll_shows_again() {
    let board = Board::with_pages(vec![numbered(0..50, 100), numbered(50..80, 500)]);
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    board.run(store.clone(), &flow).await;
    assert_eq!(seen_of(&*store, "scripted").await.unwrap().len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seen_is_written_anew_when_most_of_it_is_superseded() {
    let changed = |content: i64| {
        let records = (0..1_500).map(|n| record(&n.to_string(), 100, content));
        Page { records: records.collect(), next: None }
    };
    let board = Board::with_pages(vec![]);
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    let mut kept = vec![];
    for content in [1, 2, 3, 4, 5, 5] {
        board.on_poll(move |_| Ok(changed(content)));
        board.run(store.clone(), &flow).await;
        kept.push(store.head("scripted").await.unwrap().unwrap().seen_entries);
    }
    assert_eq!(kept, [1_500, 3_000, 4_500, 6_000, 1_500, 1_500]);
    assert_eq!(board.take_delivered().len(), 5 * 1_500, "the last time nothing changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_a_key_is_kept_across_pages_in_flight() {
    let changes = (0..6).map(|n| vec![record("a", 100 + n, n), record(&format!("b{n}"), 100, n)]);
    let board = Board::with_pages(changes.collect());
    let flow = Arc::new(flow_of(&board));
    let report = board.run(memory(), &flow).await;
    assert_eq!(report.counts.delivered, 12);
    let delivered = board.take_delivered();
    let of_a: Vec<_> =
        delivered.iter().filter(|it| it.key == "a").map(|it| &it.input["value"]).collect();
    assert_eq!(of_a, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_twice_in_a_page_goes_into_two_batches_in_order() {
    let board =
        Board::with_pages(vec![vec![record("a", 1, 1), record("b", 1, 1), record("a", 1, 2)]]);
    board.on_send(|batch| {
        assert!(batch.items.iter().filter(|item| &*item.key == "a").count() <= 1);
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::done(Value::Null));
        Ok(outcomes)
    });
    let flow = Arc::new(flow_of(&board));
    assert!(board.run(memory(), &flow).await.errors.is_empty());
    let delivered = board.take_delivered();
    let values: Vec<_> = delivered.iter().map(|it| it.input["value"].clone()).collect();
    assert_eq!(values, [1, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_fails_does_not_stop_the_others() {
    let board = Board::new();
    *board.partitions.lock().unwrap() = ["a", "b", "c"].map(str::to_owned).to_vec();
    let serve = |broken: &'static str| {
        move |scan: &Scan<usize>| {
            let partition = scan.partition.clone().unwrap();
            if partition == broken {
                return Err(Error::retry("out of order"));
            }
            Ok(Page { records: vec![record(&partition, 100, 1)], next: None })
        }
    };
    board.on_poll(serve("b"));
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    let report = board.run(store.clone(), &flow).await;
    assert_eq!(board.take_keys(), ["a", "c"]);
    let errors: Vec<_> = report.errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        ["flow \"scripted\", trigger, account \"scripted\": out of order (tried 5 times)"]
    );
    board.on_poll(serve("none"));
    assert!(board.run(store.clone(), &flow).await.errors.is_empty());
    assert_eq!(board.take_keys(), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_that_does_not_fit_fails_at_once_and_commits_nothing() {
    let board = Board::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    board.on_poll(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Err(Error::config("no group is called \"Newsletter\""))
    });
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    let report = board.run(store.clone(), &flow).await;
    assert!(report.errors.first().unwrap().needs_change());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(store.head("scripted").await.unwrap(), None);
    assert_eq!(store.runs("scripted").await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_kept_and_what_is_not_refused_arrives() {
    let board = Board::with_pages(vec![numbered(0..100, 100)]);
    board.on_send(|batch| {
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            let odd = item.input["value"].as_i64().unwrap() % 10 == 3;
            let refused = Outcome::rejected("515", "e-mail is not valid");
            outcomes.set(index, if odd { refused } else { Outcome::done(Value::Null) });
        }
        Ok(outcomes)
    });
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    let report = board.run(store.clone(), &flow).await;
    assert_eq!((report.counts.delivered, report.counts.dead_lettered), (90, 10));
    let letters = store.dead_letters(Some("scripted")).await.unwrap();
    let letter = store.dead_letter(&letters.first().unwrap().id).await.unwrap().unwrap();
    assert_eq!((letter.step.as_deref(), &*letter.code), (Some("collect"), "515"));
    let payload: Value = serde_json::from_slice(&letter.payload).unwrap();
    assert_eq!(payload["message"]["metadata"]["recordUid"], letter.record_key.as_str());
    // The dead letter is the durable copy: an unchanged record is not sent again.
    board.take_delivered();
    board.run(store.clone(), &flow).await;
    assert_eq!(board.take_delivered(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_refused_by_more_than_a_fifth_stops_uncommitted() {
    let board = Board::with_pages(vec![numbered(0..200, 100)]);
    board.on_send(|batch| {
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::rejected("mapping", "no e-mail"));
        Ok(outcomes)
    });
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    let report = board.run(store.clone(), &flow).await;
    let error = report.errors.first().unwrap().to_string();
    assert!(error.contains("41 of 200 messages"), "{error}");
    assert_eq!(store.head("scripted").await.unwrap(), None);
    assert_eq!(store.dead_letters(None).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_large_is_halved_and_a_refused_one_bisected() {
    let board = Board::with_pages(vec![numbered(0..16, 100)]);
    board.on_send(|batch| {
        if batch.items.len() > 4 {
            return Err(Error::TooLarge { reason: "413".to_owned() });
        }
        if batch.items.iter().any(|item| &*item.key == "7") {
            return Err(Error::Reject { code: "http400".to_owned(), reason: "no".to_owned() });
        }
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::done(Value::Null));
        Ok(outcomes)
    });
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    let report = board.run(store.clone(), &flow).await;
    assert_eq!((report.counts.delivered, report.counts.dead_lettered), (15, 1));
    let letter = store.dead_letters(None).await.unwrap().remove(0);
    let letter = store.dead_letter(&letter.id).await.unwrap().unwrap();
    assert_eq!(letter.record_key, "7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_was_not_answered_is_sent_again() {
    let board = Board::with_pages(vec![numbered(0..4, 100)]);
    let first = AtomicUsize::new(0);
    board.on_send(move |batch| {
        let mut outcomes = batch.outcomes();
        if first.fetch_add(1, Ordering::SeqCst) == 0 {
            outcomes.set(0, Outcome::done(Value::Null));
            outcomes.set(2, Outcome::Retry { after: None, reason: "busy".to_owned() });
        } else {
            outcomes.fill(&Outcome::done(Value::Null));
        }
        Ok(outcomes)
    });
    let flow = Arc::new(flow_of(&board));
    assert_eq!(board.run(memory(), &flow).await.counts.delivered, 4);
    let delivered = board.take_delivered();
    let keys: Vec<_> = delivered.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["0", "1", "2", "3", "1", "2", "3"]);
    // The same message has the same id when it is sent again.
    assert_eq!(delivered.get(1).unwrap().id, delivered.get(4).unwrap().id);
}

/// Ten pages of ten, and a signal to stop while the fourth is fetched and none is delivered yet.
fn stopped_in_flight() -> (Arc<Board>, Stop) {
    let pages: Vec<_> = (0..10).map(|n| numbered(n * 10..n * 10 + 10, 100)).collect();
    let board = Board::new();
    board.hold();
    let (stopper, stop) = Stop::new(Duration::from_secs(30));
    board.on_poll(move |scan| {
        let at = scan.cursor.unwrap_or(0);
        if at == 3 {
            stopper.stop();
        }
        let records = pages.get(at).cloned().unwrap_or_default();
        Ok(Page { records, next: Some(at + 1).filter(|next| *next < 10) })
    });
    (board, stop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signal_to_stop_commits_what_was_fetched_and_the_next_run_goes_on() {
    let (board, stop) = stopped_in_flight();
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    let (mut signal, releasing) = (stop.clone(), board.clone());
    let release = tokio::spawn(async move {
        signal.wait().await;
        releasing.release();
    });
    // The grace never ends: everything that was fetched gets its time.
    let report = board.run_by(store.clone(), &flow, stop, Arc::new(Endless)).await;
    release.await.unwrap();
    assert!(report.stopped && report.errors.is_empty());
    let committed = report.counts.delivered;
    assert!((30..=40).contains(&committed), "{committed}");
    board.take_delivered();
    let report = board.run(store.clone(), &flow).await;
    assert_eq!(report.counts.delivered, 100 - committed);
    assert_eq!(snapshot(&*store).await.last_updated, Some(Timestamp::from_secs(100)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_grace_what_is_not_delivered_is_left_for_the_next_run() {
    let (board, stop) = stopped_in_flight();
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    // Nothing is released, and on this clock the grace is over at once.
    let report = board.run_until(store.clone(), &flow, stop).await;
    assert!(report.stopped && report.errors.is_empty());
    assert_eq!((report.counts.delivered, store.head("scripted").await.unwrap()), (0, None));
    board.release();
    assert_eq!(board.run(store.clone(), &flow).await.counts.delivered, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_down_is_not_tried_for_every_partition() {
    let board = Board::new();
    *board.partitions.lock().unwrap() = (0..20).map(|n| n.to_string()).collect();
    board.on_poll(|scan| {
        let key = scan.partition.clone().unwrap_or_default();
        Ok(Page { records: vec![record(&key, 100, 1)], next: None })
    });
    board.on_send(|_| Err(Error::Retry { reason: "down".to_owned(), after: None }));
    let flow = Arc::new(flow_of(&board));
    let report = board.run(memory(), &flow).await;
    assert_eq!((report.errors.len(), board.take_delivered().len()), (1, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_partition_that_is_gone_does_not_stop_the_others() {
    let board = Board::new();
    *board.partitions.lock().unwrap() = ["a", "b"].map(str::to_owned).to_vec();
    board.on_poll(|scan| {
        let key = scan.partition.clone().unwrap_or_default();
        if key == "a" {
            return Err(Error::config("answered 404"));
        }
        Ok(Page { records: vec![record(&key, 100, 1)], next: None })
    });
    let flow = Arc::new(flow_of(&board));
    let report = board.run(memory(), &flow).await;
    assert_eq!((report.errors.len(), report.needs_change), (1, false));
    assert_eq!(board.take_keys(), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_refused_whatever_is_in_it_does_not_cost_a_call_a_message() {
    let board = Board::with_pages(vec![numbered(0..100, 100)]);
    board.on_send(|_| Err(Error::Reject { code: "http400".to_owned(), reason: "no".to_owned() }));
    let flow = Arc::new(flow_of(&board));
    let report = board.run(memory(), &flow).await;
    assert!(report.errors.first().unwrap().to_string().contains("http400"));
    // 100 messages and their halves would be 199 calls; 20 refusals are allowed.
    let calls = board.take_delivered().len();
    assert!(calls < 600, "{calls} messages were sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_dated_in_the_future_blinds_nothing() {
    // The clock of the run stands at 1,000,000 s; nothing may be remembered beyond it.
    let board = Board::with_pages(vec![vec![record("future", 9_000_000, 1), record("a", 10, 1)]]);
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    board.run(store.clone(), &flow).await;
    assert_eq!(snapshot(&*store).await.last_updated, Some(Timestamp::from_secs(1_000_000)));
    board.on_poll(|scan| {
        let Want::Changed { since } = scan.want else { panic!("a full scan") };
        assert_eq!(since, Timestamp::from_secs(999_940));
        let records = vec![record("future", 9_000_000, 1), record("b", 1_000_001, 1)];
        Ok(Page { records, next: None })
    });
    board.take_delivered();
    board.run(store.clone(), &flow).await;
    assert_eq!(board.take_keys(), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_does_not_advance_is_stopped() {
    let board = Board::new();
    board.on_poll(|_| Ok(Page { records: vec![], next: Some(1) }));
    let flow = Arc::new(flow_of(&board));
    let report = board.run(memory(), &flow).await;
    assert!(report.errors.first().unwrap().to_string().contains("same place"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_run_commits_nothing() {
    let board = Board::with_pages(vec![numbered(0..10, 100)]);
    let (store, flow) = (memory(), Arc::new(flow_of(&board)));
    let other = store.clone();
    board.on_send(move |batch| {
        // Somebody else takes the flow over while this run delivers.
        let other = other.clone();
        let lease = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(other.lease("scripted")).map(drop)
        });
        lease.join().unwrap().unwrap();
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::done(Value::Null));
        Ok(outcomes)
    });
    let report = board.run(store.clone(), &flow).await;
    assert!(report.errors.first().unwrap().to_string().contains("lease"));
    assert_eq!(store.head("scripted").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_at_each_commit_everything_arrives_in_its_latest_version() {
    let pages: Vec<_> = (0..5).map(|n| numbered(n * 10..n * 10 + 10, 100 + n)).collect();
    for moment in [Moment::Before, Moment::After] {
        for at in 1..=5 {
            let board = Board::with_pages(pages.clone());
            let (store, flow) = (memory(), Arc::new(flow_of(&board)));
            let dying = Arc::new(Dying::new(store.clone(), at, moment));
            let report = board.run(dying.clone(), &flow).await;
            assert!(dying.is_dead() && !report.errors.is_empty());
            assert!(board.run(store.clone(), &flow).await.errors.is_empty());
            let mut delivered = board.take_delivered();
            // At most the pages in the window are sent again, with the same ids.
            assert!(delivered.len() <= 50 + 4 * 10, "{} at {at}", delivered.len());
            delivered.sort_by(|a, b| a.key.cmp(&b.key));
            delivered.dedup();
            assert_eq!(delivered.len(), 50, "{moment:?} {at}");
        }
    }
}
