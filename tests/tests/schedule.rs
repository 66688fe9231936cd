//! Flows that run by themselves: when each run begins.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::prelude::*;
use connector::{Clock, ManualClock};
use engine::{Beat, Schedule, Silent, Stop};
use flow::Cron;
use store::{MasterKey, MemoryStore};
use towpath_tests::{Board, flow_of};

/// Runs a flow by `expression` from `start` on, and gives the moments at which polls began. The
/// polls named in `late` take ten minutes, those in `failing` fail.
async fn polls(
    expression: &str,
    start: &str,
    count: usize,
    late: &'static [usize],
    failing: &'static [usize],
) -> Vec<String> {
    let cron = Cron::parse(expression, "Europe/Berlin").unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::parse(start).unwrap()));
    let polls = Arc::new(Mutex::new(vec![]));
    let board = Board::new();
    let (seen, timed) = (polls.clone(), clock.clone());
    board.on_poll(move |_| {
        let mut polls = seen.lock().unwrap();
        polls.push(timed.now());
        if late.contains(&polls.len()) {
            timed.advance(Duration::from_secs(600));
        }
        if failing.contains(&polls.len()) {
            return Err(connector::Error::Config { reason: "the list is gone".to_owned() });
        }
        Ok(Page { records: vec![], next: None })
    });
    let store = Arc::new(MemoryStore::new(MasterKey::generate()));
    let engine = Arc::new(board.engine(store, clock.clone()));
    let flow = Arc::new(flow_of(&board));
    let schedule = flow::Schedule::Cron(cron);
    let jitter = engine::jitter(&flow.name, &schedule, clock.now());
    let beat = Beat::new(&flow.name, schedule, clock.now());
    let (_stopper, stop) = Stop::new(Duration::from_secs(30));
    let mut runs = 0;
    let on_run = |_, _| {
        runs += 1;
        runs < count
    };
    Schedule::new(engine, flow, beat).run(stop, Arc::new(Silent), on_run).await;
    let polls = polls.lock().unwrap();
    polls.iter().map(|at| at.minus(jitter).to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_begin_at_their_ticks_and_what_is_missed_is_skipped() {
    // The second run takes ten minutes: two ticks go by.
    let polls = polls("*/5 * * * *", "2026-06-01T09:00:00Z", 4, &[2], &[]).await;
    assert_eq!(
        polls,
        [
            "2026-06-01T09:05:00Z",
            "2026-06-01T09:10:00Z",
            "2026-06-01T09:25:00Z",
            "2026-06-01T09:30:00Z"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_skip_ticks() {
    let polls = polls("*/5 * * * *", "2026-06-01T09:00:00Z", 4, &[], &[1, 2]).await;
    assert_eq!(
        polls,
        [
            "2026-06-01T09:05:00Z",
            "2026-06-01T09:15:00Z",
            "2026-06-01T09:35:00Z",
            "2026-06-01T09:40:00Z"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_change_leave_no_day_out() {
    let polls = polls("30 2 * * *", "2026-03-27T12:00:00Z", 3, &[], &[]).await;
    assert_eq!(polls, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
}
