//! What systems finish later: the page does not wait, and every message is done, refused or waits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::prelude::*;
use connector::{Clock, ManualClock};
use engine::{Engine, Report, Silent, Stop};
use flow::{Flow, Transformation};
use mapping::Mapping;
use store::{MasterKey, MemoryStore, Parked, Store};
use towpath_tests::{Board, Dying, Moment, flow_of, parked, record, step_to};

/// A system that finishes later, and one that hears of what is finished.
struct Story {
    first: Arc<Board>,
    second: Arc<Board>,
    flow: Arc<Flow>,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
}

impl Story {
    fn of(records: usize) -> Self {
        let records = (0..records).map(|n| record(&n.to_string(), 10, 1)).collect();
        let (first, second) = (Board::with_pages(vec![records]), Board::new());
        first.park_all();
        first.on_check(|token| Ok(Outcome::done(json!(format!("{token} is done")))));
        let mut flow = flow_of(&first);
        let mut told = step_to(&second, "told", vec![0]);
        told.mapping = Transformation::Custom(Mapping::compile("$steps").unwrap());
        flow.steps.push(told);
        let store = Arc::new(MemoryStore::new(MasterKey::generate()));
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        Self { first, second, flow: Arc::new(flow), store, clock }
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn engine(&self, store: &Arc<dyn Store>) -> Engine {
        self.first.engine(store.clone(), self.clock.clone())
    }

    async fn run(&self) -> Report {
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        self.engine(&self.store).run(&self.flow, stop, Arc::new(Silent)).await
    }

    async fn check(&self) -> Report {
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        self.engine(&self.store).check(&self.flow, stop, Arc::new(Silent)).await
    }

    async fn parked(&self) -> Vec<Parked> {
        self.store.parked("scripted").await.unwrap()
    }

    async fn codes(&self) -> Vec<String> {
        let letters = self.store.dead_letters(None).await.unwrap();
        letters.into_iter().map(|letter| letter.code).collect()
    }
}

fn errors(report: &Report) -> Vec<String> {
    report.errors.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_does_not_wait_and_what_is_done_is_taken_further() {
    let story = Story::of(3);
    let report = story.run().await;
    assert_eq!((errors(&report), report.parked), (vec![], 3));
    assert_eq!((report.counts.delivered, report.unfinished.messages), (0, 3));
    assert_eq!(report.unfinished.next, Some(story.clock.now().plus(Duration::from_secs(60))));
    let head = story.store.head("scripted").await.unwrap().unwrap();
    let snapshot = engine::Snapshot::read("scripted", &head.snapshot).unwrap();
    assert!(snapshot.last_updated.is_some(), "the page is settled");
    // Before its time nothing is asked, and the records are not sent again.
    story.pass(59);
    assert_eq!(story.run().await.unfinished.messages, 3);
    assert_eq!((story.first.take_keys().len(), story.second.take_keys().len()), (3, 0));
    story.pass(1);
    let report = story.run().await;
    assert_eq!((errors(&report), report.counts.delivered), (vec![], 3));
    assert_eq!(report.unfinished, engine::Unfinished::default());
    let mut told = story.second.take_delivered();
    told.sort_by(|a, b| a.key.cmp(&b.key));
    let results = told.iter().map(|it| it.input.clone()).collect::<Vec<_>>();
    assert_eq!(results, ["0", "1", "2"].map(|key| json!({ "collect": format!("{key} is done") })));
    assert_eq!(story.parked().await, []);
    assert_eq!(story.run().await.counts.delivered, 0);
    let counts = story.store.head("scripted").await.unwrap().unwrap().counts;
    assert_eq!((counts.emitted, counts.delivered, counts.dead_lettered), (3, 3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_asked_until_it_is_done_or_refused_or_its_deadline_has_passed() {
    let story = Story::of(4);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    story.first.on_check(move |token| {
        counted.fetch_add(1, Ordering::SeqCst);
        match token {
            "0" => Ok(parked("0, second part")),
            "0, second part" => Ok(Outcome::done(json!(null))),
            "1" => Ok(Outcome::rejected("virus", "not this file")),
            "2" => Err(Error::Reject { code: "gone".to_owned(), reason: "no such job".to_owned() }),
            _ => Ok(parked("3")),
        }
    });
    story.run().await;
    story.pass(60);
    let report = story.run().await;
    assert_eq!((errors(&report), report.counts.dead_lettered), (vec![], 2));
    let mut codes = story.codes().await;
    codes.sort();
    assert_eq!(codes, ["gone", "virus"]);
    let tokens: Vec<_> = story.parked().await.into_iter().map(|it| it.token).collect();
    assert_eq!(tokens.len(), 2);
    assert!(tokens.contains(&"0, second part".to_owned()), "{tokens:?}");
    story.pass(60);
    assert_eq!(story.run().await.counts.delivered, 1);
    assert_eq!(story.second.take_keys(), ["0"]);
    // One more question at the deadline, and not one behind it.
    story.pass(3600);
    let before = asked.load(Ordering::SeqCst);
    let report = story.run().await;
    assert_eq!((errors(&report), asked.load(Ordering::SeqCst)), (vec![], before + 1));
    let letters = story.store.dead_letters(None).await.unwrap();
    let late = letters.iter().find(|letter| letter.code == "deadline").unwrap();
    let late = story.store.dead_letter(&late.id).await.unwrap().unwrap();
    assert_eq!((late.step.as_deref(), &*late.record_key), (Some("collect"), "3"));
    assert!(late.reason.contains("not done yet"), "{}", late.reason);
    let payload: Value = serde_json::from_slice(&late.payload).unwrap();
    assert_eq!(payload["message"]["data"], json!({ "value": 1 }));
    assert_eq!(story.parked().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_asked_again_later_and_ends_at_the_deadline() {
    let story = Story::of(1);
    story.first.on_check(|_| Err(Error::retry("the system is down")));
    story.run().await;
    let mut waits = vec![];
    while let [waiting] = &story.parked().await[..] {
        let now = story.clock.now().millis();
        waits.push((waiting.check_at - now) / 1000);
        story.pass(u64::try_from(waiting.check_at - now).unwrap().div_ceil(1000));
        assert_eq!(errors(&story.run().await), Vec::<String>::new());
    }
    // The time that it waits doubles, and the last question comes at the deadline.
    assert_eq!(waits, [60, 60, 120, 240, 480, 960, 1680]);
    assert_eq!(story.codes().await, ["deadline"]);

    // What somebody has to change is said, and nothing is lost meanwhile.
    let story = Story::of(2);
    story.first.on_check(|_| Err(Error::Unauthorized { reason: "the key is refused".to_owned() }));
    story.run().await;
    story.pass(60);
    let report = story.run().await;
    assert_eq!(report.errors.len(), 1, "{:?}", report.errors);
    assert!(errors(&report)[0].contains("the key is refused"), "{:?}", report.errors);
    assert_eq!(story.parked().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_behind_it_that_fails_is_tried_again_and_nothing_of_it_is_lost() {
    let story = Story::of(2);
    story.run().await;
    story.pass(60);
    story.second.on_send(|_| Err(Error::config("the target is being moved")));
    let report = story.run().await;
    assert!(errors(&report)[0].contains("being moved"), "{:?}", report.errors);
    let waiting = story.parked().await;
    assert_eq!(waiting.len(), 2);
    assert!(waiting.iter().all(|it| it.check_at > story.clock.now().millis()));
    story.second.take_keys();
    story.second.on_send(|batch| {
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::done(Value::Null));
        Ok(outcomes)
    });
    // Also behind the deadline: it is done, and only its target was not there.
    story.pass(7200);
    assert_eq!(story.run().await.counts.delivered, 2);
    assert_eq!(story.second.take_keys(), ["0", "1"]);
    assert_eq!((story.parked().await.len(), story.codes().await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_between_polls_asks_and_polls_nothing() {
    let story = Story::of(2);
    story.run().await;
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = polls.clone();
    story.first.on_poll(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(Page { records: vec![], next: None })
    });
    story.pass(60);
    let report = story.check().await;
    assert_eq!((errors(&report), report.counts.delivered), (vec![], 2));
    assert_eq!((polls.load(Ordering::SeqCst), story.second.take_keys().len()), (0, 2));
    assert_eq!(story.store.runs("scripted").await.unwrap().len(), 1, "no poll goes by its line");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_commit_nothing_is_lost_and_nothing_handed_over_twice() {
    for moment in [Moment::Before, Moment::After] {
        for at in 1..=4 {
            let story = Story::of(3);
            let asked = Arc::new(Mutex::new(vec![]));
            let heard = asked.clone();
            story.first.on_check(move |token| {
                let mut asked = heard.lock().unwrap();
                asked.push(token.to_owned());
                let first = asked.iter().filter(|it| *it == token).count() == 1;
                Ok(if first { parked(token) } else { Outcome::done(json!(token)) })
            });
            let dying: Arc<dyn Store> = Arc::new(Dying::new(story.store.clone(), at, moment));
            for _ in 0..4 {
                let (_stopper, stop) = Stop::new(Duration::from_secs(30));
                story.engine(&dying).run(&story.flow, stop, Arc::new(Silent)).await;
                story.pass(60);
            }
            let handed_over = story.first.take_keys().len();
            for _ in 0..4 {
                assert_eq!(errors(&story.run().await), Vec::<String>::new(), "{moment:?} {at}");
                story.pass(60);
            }
            let told = story.second.take_keys().len();
            assert_eq!((story.parked().await.len(), story.codes().await.len()), (0, 0));
            let delivered = story.store.head("scripted").await.unwrap().unwrap().counts.delivered;
            assert_eq!(delivered, 3, "{moment:?} {at}");
            // Only what was not committed is done again: the page before the first commit, the
            // steps behind before the last.
            let (again, told_again) = (story.first.take_keys().len(), told - 3);
            let not = usize::from(moment == Moment::Before);
            assert_eq!((handed_over, again), (3, if at == 1 { 3 * not } else { 0 }), "{at}");
            assert_eq!(told_again, if at == 3 { 3 * not } else { 0 }, "{moment:?} {at}");
        }
    }
}

/// Kept, and asked by it at once.
fn noted(token: &str) -> Outcome {
    let (check_after, deadline) = (Duration::ZERO, Duration::from_secs(3600));
    Outcome::Parked { token: token.to_owned(), check_after, deadline }
}

/// A system that is asked by "0", and told by "telling", which it notes before: what it was asked by
/// goes into the list, and what was kept just now with a star.
fn teller(
    told: impl Fn(usize) -> Result<Outcome> + Send + Sync + 'static,
) -> (Story, Arc<Mutex<Vec<String>>>) {
    let story = Story::of(1);
    let asked = Arc::new(Mutex::new(vec![]));
    let (heard, heard_first) = (asked.clone(), asked.clone());
    story.first.on_check(move |token| {
        heard.lock().unwrap().push(token.to_owned());
        Ok(if token == "0" { noted("telling") } else { Outcome::done(json!("again")) })
    });
    story.first.on_first_check(move |token| {
        let mut heard = heard_first.lock().unwrap();
        heard.push(format!("{token}*"));
        told(heard.len())
    });
    (story, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_noted_is_asked_by_at_once_and_taken_back_where_nothing_was_carried_out() {
    let unknown = Error::Unknown { reason: "no answer".to_owned() };
    let unauthorized = Error::Unauthorized { reason: "the key is refused".to_owned() };
    let cases: [(Result<Outcome>, &str, &[&str]); 4] = [
        (Ok(Outcome::done(json!("told"))), "", &["0", "telling*"]),
        (Err(unknown), "telling", &["0", "telling*", "telling"]),
        (Err(Error::retry("busy")), "0", &["0", "telling*", "0", "telling*"]),
        (Err(unauthorized), "0", &["0", "telling*", "0", "telling*"]),
    ];
    for (first, kept, expected) in cases {
        let answer = first.clone();
        let told =
            move |asked| if asked > 2 { Ok(Outcome::done(json!(1))) } else { answer.clone() };
        let (story, asked) = teller(told);
        story.run().await;
        story.pass(60);
        story.run().await;
        let tokens: Vec<_> = story.parked().await.into_iter().map(|it| it.token).collect();
        assert_eq!(tokens.concat(), kept, "{first:?}");
        story.pass(3_000);
        assert_eq!(errors(&story.run().await), Vec::<String>::new(), "{first:?}");
        assert_eq!(*asked.lock().unwrap(), expected, "{first:?}");
        assert_eq!((story.parked().await.len(), story.second.take_keys().len()), (0, 1));
    }
    // Who notes one thing after another ends the run for nobody.
    let (story, asked) = teller(|_| Ok(noted("telling")));
    story.run().await;
    story.pass(60);
    assert_eq!(errors(&story.run().await), Vec::<String>::new());
    assert_eq!(asked.lock().unwrap().len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_around_what_is_noted_it_may_have_been_asked_by() {
    for (at, moment, expected) in [
        (2, Moment::Before, ["0", "0", "telling*"]),
        (2, Moment::After, ["0", "telling", ""]),
        (3, Moment::Before, ["0", "telling*", "telling"]),
        (3, Moment::After, ["0", "telling*", ""]),
    ] {
        let (story, asked) = teller(|_| Ok(Outcome::done(json!("told"))));
        let dying: Arc<dyn Store> = Arc::new(Dying::new(story.store.clone(), at, moment));
        for _ in 0..2 {
            let (_stopper, stop) = Stop::new(Duration::from_secs(30));
            story.engine(&dying).run(&story.flow, stop, Arc::new(Silent)).await;
            story.pass(60);
        }
        for _ in 0..2 {
            assert_eq!(errors(&story.run().await), Vec::<String>::new(), "{moment:?} {at}");
            story.pass(60);
        }
        let expected: Vec<_> = expected.into_iter().filter(|token| !token.is_empty()).collect();
        assert_eq!(*asked.lock().unwrap(), expected, "{moment:?} {at}");
        assert_eq!(story.parked().await, [], "{moment:?} {at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ways_that_wait_beside_each_other_meet_when_both_are_done() {
    // The first step parks, and so does one beside it; behind both there is a third.
    let story = Story::of(2);
    let (beside, join) = (Board::new(), Board::new());
    beside.on_send(|batch| {
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            let key = &item.key;
            let done = Outcome::done(json!("at once"));
            outcomes.set(index, if &**key == "0" { done } else { parked("beside") });
        }
        Ok(outcomes)
    });
    let late = Arc::new(Mutex::new(false));
    let is_late = late.clone();
    beside.on_check(move |_| {
        Ok(if *is_late.lock().unwrap() { Outcome::done(json!("late")) } else { parked("beside") })
    });
    let mut flow = (*story.flow).clone();
    flow.steps.push(step_to(&beside, "beside", vec![]));
    let mut joined = step_to(&join, "joined", vec![1, 2]);
    joined.mapping = Transformation::Custom(Mapping::compile("$steps").unwrap());
    flow.steps.push(joined);
    let story = Story { flow: Arc::new(flow), ..story };
    story.run().await;
    assert_eq!(story.parked().await.len(), 3);
    story.pass(60);
    assert_eq!(errors(&story.run().await), Vec::<String>::new());
    let results =
        |board: &Board| board.take_delivered().into_iter().map(|it| it.input).collect::<Vec<_>>();
    let at_once = json!({ "collect": "0 is done", "told": null, "beside": "at once" });
    assert_eq!(results(&join), [at_once]);
    *late.lock().unwrap() = true;
    story.pass(60);
    assert_eq!(errors(&story.run().await), Vec::<String>::new());
    let late = json!({ "collect": "1 is done", "told": null, "beside": "late" });
    assert_eq!(results(&join), [late]);
    assert_eq!((story.second.take_keys().len(), story.parked().await.len()), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_the_flow_has_no_more_is_said_and_what_waits_for_it_stays() {
    let story = Story::of(1);
    story.run().await;
    story.pass(60);
    let mut flow = (*story.flow).clone();
    flow.steps[0].id = "renamed".to_owned();
    let other = Story { flow: Arc::new(flow), ..story };
    let report = other.run().await;
    assert!(errors(&report)[0].contains("the step \"collect\""), "{:?}", report.errors);
    assert_eq!(other.parked().await.len(), 1);
    other.pass(3600);
    other.run().await;
    assert_eq!(other.codes().await, ["deadline"]);
}
