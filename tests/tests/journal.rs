//! What must not be sent twice: written down before it is sent, and settled after every death.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use connector::Error;
use connector::prelude::*;
use engine::Report;
use flow::{Flow, InDoubt, Transformation};
use mapping::Mapping;
use sandbox::{Action as Fault, Vendor};
use store::{DeadLetter, LetterState, MasterKey, MemoryStore, Store};
use towpath_tests::{Board, Dying, Moment, World, flow_of, record, step_once, step_to};

/// Two systems: one that must not get a message twice, and one behind it that may.
struct Story {
    events: Arc<Board>,
    behind: Arc<Board>,
    flow: Flow,
    store: Arc<dyn Store>,
}

const KEYS: [&str; 6] = ["0", "1", "2", "3", "4", "5"];

impl Story {
    /// Two pages of three records, sent two at a time.
    fn new() -> Self {
        let records: Vec<_> = (0..6).map(|n| record(&n.to_string(), 10, n)).collect();
        Self::of(records.chunks(3).map(<[Record]>::to_vec).collect())
    }

    fn of(pages: Vec<Vec<Record>>) -> Self {
        let (events, behind) = (Board::with_pages(pages), Board::new());
        let mut flow = flow_of(&events);
        let mut told = step_to(&behind, "told", vec![0]);
        let mapping = Mapping::compile("{ 'value': data.value, 'answer': $steps.events }").unwrap();
        told.mapping = Transformation::Custom(mapping);
        let mut once = step_once(&events, "events", vec![]);
        once.batch = NonZeroUsize::new(2).unwrap();
        flow.steps = vec![once, told];
        let story =
            Self { events, behind, flow, store: Arc::new(MemoryStore::new(MasterKey::generate())) };
        story.calm();
        story
    }

    /// The system takes everything, and says so.
    fn calm(&self) {
        self.events.on_send(|batch| {
            let mut outcomes = batch.outcomes();
            for (index, item) in batch.items.iter().enumerate() {
                outcomes.set(index, Outcome::done(json!(format!("took {}", item.key))));
            }
            Ok(outcomes)
        });
    }

    /// The system takes everything, and its answer to the first call with the first record is lost.
    fn lose_an_answer(&self) {
        let lost = AtomicUsize::new(0);
        self.events.on_send(move |batch| {
            let first = batch.items.iter().any(|item| &*item.key == "0");
            if first && lost.fetch_add(1, Ordering::SeqCst) == 0 {
                return Err(Error::Unknown { reason: "the answer broke off".to_owned() });
            }
            let mut outcomes = batch.outcomes();
            outcomes.fill(&Outcome::done(json!("took it")));
            Ok(outcomes)
        });
    }

    async fn run(&self) -> Report {
        self.run_with(self.store.clone()).await
    }

    async fn run_with(&self, store: Arc<dyn Store>) -> Report {
        self.events.run(store, &Arc::new(self.flow.clone())).await
    }

    /// How often each key was sent since the last time.
    fn sent(&self) -> BTreeMap<String, usize> {
        let mut sent = BTreeMap::new();
        for key in self.events.take_keys() {
            *sent.entry(key).or_default() += 1;
        }
        sent
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        let mut letters = vec![];
        for line in self.store.dead_letters(None).await.unwrap() {
            letters.push(self.store.dead_letter(&line.id).await.unwrap().unwrap());
        }
        letters.sort_by(|a, b| a.record_key.cmp(&b.record_key));
        letters
    }

    async fn in_doubt(&self) -> Vec<String> {
        let in_doubt = |letter: DeadLetter| {
            assert_eq!((&*letter.code, letter.step.as_deref()), ("inDoubt", Some("events")));
            assert_eq!((letter.state, letter.attempts.len()), (LetterState::Open, 1));
            letter.record_key
        };
        self.letters().await.into_iter().map(in_doubt).collect()
    }

    async fn journaled(&self) -> usize {
        self.store.journaled("scripted").await.unwrap().len()
    }
}

fn once(keys: &[&str]) -> BTreeMap<String, usize> {
    keys.iter().map(|key| ((*key).to_owned(), 1)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journaled_message_is_never_sent_twice_wherever_the_process_dies() {
    let story = Story::new();
    let counting = Arc::new(Dying::never(story.store.clone()));
    assert!(story.run_with(counting.clone()).await.errors.is_empty());
    assert_eq!(story.sent(), once(&KEYS));
    // An intent and an outcome a call, and nothing is left of them.
    assert_eq!((counting.journal_writes(), story.journaled().await), (8, 0));

    let die = |at: usize, moment| {
        move |store: Arc<dyn Store>| match at {
            1..=8 => Dying::at_journal(store, at, moment),
            _ => Dying::new(store, at - 8, moment),
        }
    };
    for at in 1..=10 {
        for moment in [Moment::Before, Moment::After] {
            let story = Story::new();
            let dying = Arc::new(die(at, moment)(story.store.clone()));
            let died = story.run_with(dying.clone()).await;
            assert!(dying.is_dead() && !died.errors.is_empty(), "{at} {moment:?}");
            let before = story.sent();
            let report = story.run().await;
            assert!(report.errors.is_empty(), "{at} {moment:?}: {:?}", report.errors);

            let after = story.sent();
            let twice: Vec<_> = before.keys().filter(|key| after.contains_key(*key)).collect();
            assert!(twice.is_empty(), "{at} {moment:?}: {twice:?} twice");
            assert!(before.values().chain(after.values()).all(|times| *times == 1));
            let sent: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
            let in_doubt: BTreeSet<_> = story.in_doubt().await.into_iter().collect();
            let known: BTreeSet<_> = sent.union(&in_doubt).map(String::as_str).collect();
            assert_eq!(known, KEYS.into(), "{at} {moment:?}: lost");
            // Whatever is not in doubt went on with what the system answered.
            let told = story.behind.take_delivered();
            let told: BTreeMap<_, _> = told.into_iter().map(|it| (it.key, it.input)).collect();
            for key in KEYS.into_iter().filter(|key| !in_doubt.contains(*key)) {
                let answer = &told.get(key).unwrap_or(&Value::Null)["answer"];
                assert_eq!(*answer, json!(format!("took {key}")), "{at} {moment:?}");
            }
            assert_eq!(story.journaled().await, 0, "{at} {moment:?}");
            let report = story.run().await;
            assert_eq!((report.counts.emitted, story.sent().len()), (0, 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_an_answer_is_a_dead_letter_at_once_and_the_run_says_why() {
    let mut story = Story::new();
    story.flow.window = NonZeroUsize::MIN;
    story.lose_an_answer();
    let report = story.run().await;
    let error = report.errors.first().unwrap().to_string();
    assert!(error.contains("step \"events\"") && error.contains("broke off"), "{error}");
    // The page is settled all the same.
    assert_eq!((report.counts.delivered, report.counts.dead_lettered, report.pages), (1, 2, 1));
    let letters = story.letters().await;
    assert_eq!(letters.len(), 2);
    for letter in letters {
        let says = ["scripted.collect", "1970-01-12T", "broke off", "account \"scripted\"", "drop"];
        for says in says {
            assert!(letter.reason.contains(says), "{says}: {}", letter.reason);
        }
        let payload: Value = serde_json::from_slice(&letter.payload).unwrap();
        assert_eq!(payload["message"]["metadata"]["recordUid"], json!(letter.record_key));
    }
    assert!(story.run().await.errors.is_empty());
    assert_eq!(story.sent(), once(&KEYS));
    assert_eq!(story.in_doubt().await.len(), 2);
}

/// What was refused before it was sent makes the call no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_an_answer_ends_its_run_though_some_of_its_batch_was_refused() {
    let story = Story::new();
    story.events.on_send(|batch| {
        let mut outcomes = batch.outcomes();
        if &*batch.items[0].key == "0" {
            outcomes.set(1, Outcome::rejected("bad", "not sent"));
            outcomes.unanswered("the answer broke off");
        } else {
            outcomes.fill(&Outcome::done(json!("took it")));
        }
        Ok(outcomes)
    });
    let report = story.run().await;
    let error = report.errors.first().unwrap().to_string();
    assert!(error.contains("step \"events\"") && error.contains("broke off"), "{error}");
    assert_eq!((report.counts.delivered, report.counts.dead_lettered, report.pages), (1, 2, 1));
    let letters = story.letters().await;
    let codes: Vec<_> = letters.iter().map(|it| (&*it.record_key, &*it.code)).collect();
    assert_eq!(codes, [("0", "inDoubt"), ("1", "bad")]);
    assert!(letters[0].reason.contains("broke off"), "{}", letters[0].reason);
    assert!(story.run().await.errors.is_empty());
    assert_eq!(story.sent(), once(&KEYS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_step_says_so_it_is_sent_again_live_and_after_a_death() {
    let mut story = Story::new();
    story.flow.steps[0].in_doubt = InDoubt::Resend;
    story.lose_an_answer();
    let report = story.run().await;
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert_eq!((report.counts.delivered, story.sent().values().sum::<usize>()), (6, 8));
    assert_eq!(story.journaled().await, 0);

    let mut story = Story::of(vec![vec![record("0", 10, 7)]]);
    story.flow.steps[0].in_doubt = InDoubt::Resend;
    let dying = Dying::at_journal(story.store.clone(), 2, Moment::Before);
    story.run_with(Arc::new(dying)).await;
    assert_eq!(story.sent(), once(&["0"]));
    // Its record changed meanwhile: what is sent again is what was sent, and then the change.
    story.events.on_poll(|_| Ok(Page { records: vec![record("0", 20, 8)], next: None }));
    assert!(story.run().await.errors.is_empty());
    let sent: Vec<_> = story.events.take_delivered();
    let values: Vec<_> = sent.iter().map(|it| it.input["value"].clone()).collect();
    assert_eq!(values, [json!(7), json!(8)]);
    assert_eq!((story.letters().await.len(), story.journaled().await), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_doubt_is_settled_although_nothing_can_be_polled() {
    let story = Story::of(vec![vec![record("0", 10, 7)]]);
    let dying = Dying::at_journal(story.store.clone(), 2, Moment::Before);
    story.run_with(Arc::new(dying)).await;
    assert_eq!(story.sent(), once(&["0"]));
    let records = vec![record("0", 10, 7)];
    story.events.on_poll(|_| Err(Error::config("the source is gone")));
    for _ in 0..2 {
        assert_eq!(story.run().await.errors.len(), 1);
        assert_eq!(story.in_doubt().await, ["0"]);
    }
    // It comes back as it was: it is neither sent nor refused again.
    story.events.on_poll(move |_| Ok(Page { records: records.clone(), next: None }));
    let report = story.run().await;
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert_eq!((report.counts.emitted, report.counts.dead_lettered), (1, 0));
    assert_eq!((story.sent().len(), story.in_doubt().await.len()), (0, 1));
    assert_eq!(story.journaled().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_changed_since_is_sent_as_it_is_now() {
    let story = Story::of(vec![vec![record("0", 10, 7), record("1", 10, 7)]]);
    // Sent, and the answer is known, but nothing is committed.
    let dying = Dying::new(story.store.clone(), 1, Moment::Before);
    story.run_with(Arc::new(dying)).await;
    assert_eq!(story.sent(), once(&["0", "1"]));
    story.events.on_poll(|_| {
        Ok(Page { records: vec![record("0", 10, 7), record("1", 20, 8)], next: None })
    });
    assert!(story.run().await.errors.is_empty());
    let sent = story.events.take_delivered();
    assert_eq!(
        sent.iter().map(|it| (&*it.key, &it.input["value"])).collect::<Vec<_>>(),
        [("1", &json!(8))]
    );
    assert_eq!((story.letters().await.len(), story.journaled().await), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_of_a_call_is_settled_by_itself() {
    let records = ["done", "refused", "later", "unsaid"].map(|key| record(key, 10, 1));
    let mut story = Story::of(vec![records.to_vec()]);
    story.flow.steps[0].batch = NonZeroUsize::new(10).unwrap();
    let calls = AtomicUsize::new(0);
    story.events.on_send(move |batch| {
        let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            match &*item.key {
                "refused" => outcomes.set(index, Outcome::rejected("no", "not this one")),
                "later" if first => outcomes
                    .set(index, Outcome::Retry { after: None, reason: "not now".to_owned() }),
                "unsaid" => {}
                _ => outcomes.set(index, Outcome::done(Value::Null)),
            }
        }
        Ok(outcomes)
    });
    let report = story.run().await;
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let sent = story.sent();
    assert_eq!((sent["done"], sent["refused"], sent["later"], sent["unsaid"]), (1, 1, 2, 1));
    let letters = story.letters().await;
    let codes: Vec<_> = letters.iter().map(|it| (&*it.record_key, &*it.code)).collect();
    assert_eq!(codes, [("refused", "no"), ("unsaid", "inDoubt")]);
    assert_eq!(story.journaled().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_fails_does_not_break_off_what_is_being_sent() {
    // The batch with the low value takes longer than the one that fails.
    let records = vec![record("slow", 10, 0), record("refusing", 10, 10)];
    let mut story = Story::of(vec![records]);
    story.flow.steps[0].batch = NonZeroUsize::MIN;
    story.events.on_send(|batch| match &*batch.items[0].key {
        "refusing" => Err(Error::config("the project is closed")),
        _ => {
            let mut outcomes = batch.outcomes();
            outcomes.fill(&Outcome::done(Value::Null));
            Ok(outcomes)
        }
    });
    assert_eq!(story.run().await.errors.len(), 1);
    assert_eq!(story.sent(), once(&["refusing", "slow"]));
    story.calm();
    assert!(story.run().await.errors.is_empty());
    assert_eq!(story.sent(), once(&["refusing"]));
    assert_eq!((story.letters().await.len(), story.journaled().await), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_counted_twice_whatever_the_vendor_does() {
    let text = include_str!("../../flows/newsletter-events.yaml");
    let text = text.replace("groupName: Newsletter", "groupName: Newsletter\n    pageSize: 10");
    for (action, lost) in [
        (Fault::CloseConnection { process: true }, true),
        (Fault::CutBody { after_bytes: 5 }, true),
        (Fault::body("<html>"), false),
        (Fault::status(500), false),
        (Fault::TooManyRequests { retry_after: Some(7) }, false),
        (Fault::TooManyRequests { retry_after: None }, false),
    ] {
        let world = World::with(60).await;
        let refused = matches!(action, Fault::TooManyRequests { .. });
        let fault = sandbox::Fault::new(Vendor::CleverTap, "/1/upload", action.clone());
        world.sandbox.fault(fault.after(1));
        let flow = world.flow(&text);
        while !world.run(&flow).await.errors.is_empty() {}
        let mut counted = BTreeMap::new();
        for event in world.sandbox.delivered() {
            *counted.entry(event.identity()).or_insert(0) += 1;
        }
        assert!(counted.values().all(|times| *times == 1), "{action:?}: {counted:?}");
        let in_doubt = world.store.dead_letters(None).await.unwrap().len();
        assert_eq!(in_doubt, if refused { 0 } else { 10 }, "{action:?}");
        let arrived = if lost || refused { 60 } else { 50 };
        assert_eq!(counted.len(), arrived, "{action:?}");
        let report = world.run(&flow).await;
        assert_eq!((report.counts.emitted, report.errors.len()), (0, 0));
    }
}

/// Sends each receiver a message; the first and the last of five get the same.
const LETTERS: &str = r#"
flow: letters
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  fields: { groupName: Newsletter }
steps:
  - id: written
    use: clevertap.sendToUsers
    account: engagement
    fields:
      channel: email
      customMapping: |
        { "identity": metadata.recordUid,
          "content": { "subject": "Hello", "body": "You are " & ($number(metadata.recordUid) % 4) } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_that_takes_several_calls_each_is_halved_or_in_doubt_by_itself() {
    let letters = "POST /1/send/email.json";
    // What the first calls are answered by; the calls of the first run and of all runs, the dead
    // letters, and how many people got their message.
    for (fault, times, calls, codes, people) in [
        (Fault::status(400), 2, (6, 6), vec!["http400"], 4),
        (Fault::status(413), 1, (6, 6), vec![], 5),
        (Fault::CloseConnection { process: true }, 1, (1, 4), vec!["inDoubt"; 2], 5),
        (Fault::CloseConnection { process: false }, 1, (1, 4), vec!["inDoubt"; 2], 3),
    ] {
        let world = World::with(5).await;
        let failure = sandbox::Fault::new(Vendor::CleverTap, "/1/send/", fault.clone());
        world.sandbox.fault(failure.times(times));
        let flow = world.flow(LETTERS);
        let called = || world.sandbox.stats().clevertap.requests_to(letters);
        let report = world.run(&flow).await;
        assert_eq!(called(), calls.0, "{fault:?}");
        assert_eq!(report.errors.is_empty(), calls.0 == calls.1, "{fault:?}: {report:?}");
        let report = world.run(&flow).await;
        assert!(report.errors.is_empty(), "{fault:?}: {report:?}");
        assert_eq!(called(), calls.1, "{fault:?}");
        let kept = world.store.dead_letters(None).await.unwrap();
        assert_eq!(kept.iter().map(|it| &*it.code).collect::<Vec<_>>(), codes, "{fault:?}");
        let orders = world.sandbox.ordered().into_iter();
        let people_of = |body: Value| body["to"]["Identity"].as_array().unwrap().clone();
        let told: Vec<_> =
            orders.flat_map(|it| people_of(it.body)).map(|it| it.to_string()).collect();
        let different: BTreeSet<_> = told.iter().collect();
        assert_eq!((told.len(), different.len()), (people, people), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_repeated_costs_the_journal_nothing() {
    let story = Story::new();
    let mut flow = flow_of(&story.events);
    flow.steps = vec![step_to(&story.events, "plain", vec![])];
    let counting = Arc::new(Dying::never(story.store.clone()));
    let report = story.events.run(counting.clone(), &Arc::new(flow)).await;
    assert_eq!((report.counts.delivered, counting.journal_writes()), (6, 0));
}
