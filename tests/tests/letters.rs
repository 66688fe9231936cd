//! Dead letters in the operator's hands: replayed, overtaken, edited, dropped; nothing twice unasked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::ManualClock;
use connector::prelude::*;
use engine::{Engine, Fate, LetterFilter, Silent, Stop};
use flow::{Flow, Transformation};
use mapping::Mapping;
use store::{DeadLetter, LetterState, MasterKey, MemoryStore, Store};
use towpath_tests::{Board, Dying, Moment, flow_of, record, step_once, step_to};

/// A system that refuses some keys, a flow to it, and the store between the runs.
struct Office {
    board: Arc<Board>,
    refused: Arc<Mutex<BTreeSet<String>>>,
    pages: Arc<Mutex<Vec<Vec<Record>>>>,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    flow: Arc<Flow>,
}

impl Office {
    fn new() -> Self {
        let (board, refused) = (Board::new(), Arc::new(Mutex::new(BTreeSet::new())));
        let pages: Arc<Mutex<Vec<Vec<Record>>>> = Arc::default();
        let found = pages.clone();
        board.on_poll(move |scan| {
            let (pages, at) = (found.lock().unwrap(), scan.cursor.unwrap_or(0));
            let records = pages.get(at).cloned().unwrap_or_default();
            Ok(Page { records, next: Some(at + 1).filter(|next| *next < pages.len()) })
        });
        let no = refused.clone();
        board.on_send(move |batch| {
            let mut outcomes = batch.outcomes();
            for (index, item) in batch.items.iter().enumerate() {
                let named = format!("{}={}", item.key, item.input["value"]);
                let outcome = if no.lock().unwrap().contains(&named) {
                    Outcome::rejected("515", format!("{named} is not valid"))
                } else {
                    Outcome::Done { value: json!({ "id": *item.key }), target_key: None }
                };
                outcomes.set(index, outcome);
            }
            Ok(outcomes)
        });
        let flow = Arc::new(flow_of(&board));
        let store = Arc::new(MemoryStore::new(MasterKey::generate()));
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        Self { board, refused, pages, store, clock, flow }
    }

    /// The system refuses these from now on: `key=value`.
    fn refuse(&self, named: &[&str]) {
        *self.refused.lock().unwrap() = named.iter().map(|it| (*it).to_owned()).collect();
    }

    /// What the source holds from now on: key, version in seconds, value.
    fn holds(&self, pages: &[&[(&str, i64, i64)]]) {
        let page = |page: &&[(&str, i64, i64)]| {
            page.iter().map(|(key, seconds, value)| record(key, *seconds, *value)).collect()
        };
        *self.pages.lock().unwrap() = pages.iter().map(page).collect();
    }

    fn engine(&self, store: Arc<dyn Store>) -> Engine {
        self.board.engine(store, self.clock.clone())
    }

    /// Runs the flow once on a process of its own; what was sent.
    async fn run(&self) -> Vec<String> {
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        let engine = self.engine(self.store.clone());
        let report = engine.run(&self.flow, stop, Arc::new(Silent)).await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        self.clock.advance(Duration::from_secs(60));
        self.sent()
    }

    /// What was sent, by key; of one key in the order in which it was.
    fn sent(&self) -> Vec<String> {
        let mut sent = self.board.take_delivered();
        sent.sort_by(|a, b| a.key.cmp(&b.key));
        sent.into_iter().map(|it| format!("{}={}", it.key, it.input["value"])).collect()
    }

    /// Replays on a process of its own: key and fate of each.
    async fn replay(&self, filter: &LetterFilter, force: bool) -> Vec<(String, Fate)> {
        let replayed = self.try_replay(self.store.clone(), filter, force).await;
        self.clock.advance(Duration::from_secs(60));
        replayed.unwrap()
    }

    async fn try_replay(
        &self,
        store: Arc<dyn Store>,
        filter: &LetterFilter,
        force: bool,
    ) -> engine::Result<Vec<(String, Fate)>> {
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        let mut fates = vec![];
        let mut each = |it: engine::Outcome| fates.push((it.record_key, it.fate));
        let engine = self.engine(store);
        let watch = Arc::new(Silent);
        engine.replay(&self.flow, filter, force, &stop, watch, &mut each).await?;
        fates.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(fates)
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        let mut letters = vec![];
        for summary in self.store.dead_letters(None).await.unwrap() {
            letters.push(self.store.dead_letter(&summary.id).await.unwrap().unwrap());
        }
        letters.sort_by_key(|it| (it.attempts.first().copied(), it.record_key.clone()));
        letters
    }

    async fn states(&self) -> Vec<(String, LetterState)> {
        self.letters().await.into_iter().map(|it| (value_of(&it), it.state)).collect()
    }
}

/// `key=value` of the message that was refused.
fn value_of(letter: &DeadLetter) -> String {
    let payload: Value = serde_json::from_slice(&letter.payload).unwrap();
    format!("{}={}", letter.record_key, payload["message"]["data"]["value"])
}

fn any() -> LetterFilter {
    LetterFilter::default()
}

fn open() -> LetterFilter {
    LetterFilter { state: Some(LetterState::Open), ..any() }
}

const fn delivered() -> Fate {
    Fate::Delivered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_is_sent_once_when_it_is_replayed() {
    let office = Office::new();
    office.holds(&[&[("a", 10, 1), ("b", 10, 1), ("c", 10, 1)]]);
    office.refuse(&["a=1", "b=1"]);
    office.run().await;

    // Still refused: one more attempt, and its code and reason are the newest ones.
    let refused = Fate::Refused { step: Some("collect".to_owned()), code: "515".to_owned() };
    office.refuse(&["b=1"]);
    let fates = office.replay(&open(), false).await;
    assert_eq!(fates, [("a".to_owned(), delivered()), ("b".to_owned(), refused)]);
    assert_eq!(office.sent(), ["a=1", "b=1"]);
    let letters = office.letters().await;
    let [a, b] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((a.state, a.attempts.len()), (LetterState::Replayed, 1));
    assert_eq!((b.state, b.attempts.len()), (LetterState::Open, 2));
    assert_eq!(b.attempts, [1_000_000_000, 1_000_060_000]);

    // What was sent is not sent again unasked; what is meant is.
    office.refuse(&[]);
    assert_eq!(office.replay(&open(), false).await, [("b".to_owned(), delivered())]);
    assert_eq!(office.sent(), ["b=1"]);
    let of_a = LetterFilter { key: Some("a".to_owned()), ..any() };
    assert_eq!(office.replay(&of_a, false).await, [("a".to_owned(), Fate::Replayed)]);
    assert!(office.sent().is_empty());
    assert_eq!(office.replay(&of_a, true).await, [("a".to_owned(), delivered())]);
    assert_eq!(office.sent(), ["a=1"]);

    // The snapshot and what was seen are as they were: nothing is polled twice.
    assert!(office.run().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_message_of_the_record_overtakes_its_dead_letter() {
    let office = Office::new();
    office.holds(&[&[("a", 10, 1), ("b", 10, 1), ("c", 10, 1)]]);
    office.refuse(&["a=1", "b=1", "c=1", "c=2"]);
    office.run().await;
    // In another run; what is refused itself overtakes nothing.
    office.holds(&[&[("a", 20, 2), ("c", 20, 2)]]);
    office.run().await;
    let states = |it: &[(&str, LetterState)]| {
        it.iter().map(|(value, state)| ((*value).to_owned(), *state)).collect::<Vec<_>>()
    };
    use LetterState::{Open, Superseded};
    let mut found = office.states().await;
    found.sort();
    let expected = [("a=1", Superseded), ("b=1", Open), ("c=1", Open), ("c=2", Open)];
    assert_eq!(found, states(&expected));

    // Of one record, the older message goes first; the newer one overtakes it if it is refused.
    office.refuse(&["b=1", "c=1"]);
    let fates = office.replay(&any(), false).await;
    office.refuse(&[]);
    assert_eq!(fates[0], ("a".to_owned(), Fate::Superseded));
    assert_eq!(office.sent(), ["b=1", "c=1", "c=2"]);
    let of_a = LetterFilter { key: Some("a".to_owned()), ..any() };
    assert_eq!(office.replay(&of_a, true).await, [("a".to_owned(), delivered())]);
    assert_eq!(office.sent(), ["a=1"]);
    let mut found = office.states().await;
    found.sort();
    let replayed = LetterState::Replayed;
    let expected = [("a=1", replayed), ("b=1", Open), ("c=1", Superseded), ("c=2", replayed)];
    assert_eq!(found, states(&expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_looks_at_the_letters_of_its_own_records_alone() {
    let mut office = Office::new();
    let keys: Vec<_> = (0..15).map(|n| format!("k{n:02}")).collect();
    let page: Vec<_> = keys.iter().map(|key| (&**key, 10, 1)).collect();
    office.holds(&[&page]);
    let refused: Vec<_> = keys.iter().map(|key| format!("{key}=1")).collect();
    office.refuse(&refused.iter().map(|it| &**it).collect::<Vec<_>>());
    let store = Arc::new(Dying::never(office.store.clone()));
    let kept = std::mem::replace(&mut office.store, store.clone());
    office.run().await;
    office.holds(&[&[("k03", 20, 2), ("new", 20, 1)]]);
    assert_eq!(office.run().await, ["k03=2", "new=1"]);
    assert_eq!(store.lists(), 0, "however many there are");
    office.store = kept;
    let superseded = LetterState::Superseded;
    let overtaken: Vec<_> =
        office.states().await.into_iter().filter(|it| it.1 == superseded).collect();
    assert_eq!(overtaken, [("k03=1".to_owned(), superseded)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_message_of_the_same_page_or_run_overtakes_too() {
    let office = Office::new();
    office.holds(&[&[("a", 10, 1), ("a", 11, 2), ("b", 10, 1)], &[("b", 12, 2), ("c", 12, 1)]]);
    office.refuse(&["a=1", "b=1", "c=1"]);
    office.run().await;
    let mut states = office.states().await;
    states.sort();
    let of = |value: &str, state| (value.to_owned(), state);
    assert_eq!(
        states,
        [
            of("a=1", LetterState::Superseded),
            of("b=1", LetterState::Superseded),
            of("c=1", LetterState::Open)
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_that_keeps_the_newer_message_back_overtakes_as_well() {
    let mut office = Office::new();
    let mut flow = (*office.flow).clone();
    flow.steps[0].when = Some(Mapping::compile("data.value < 5").unwrap());
    office.flow = Arc::new(flow);
    office.holds(&[&[("a", 10, 1), ("b", 10, 1)]]);
    office.refuse(&["a=1", "b=1"]);
    office.run().await;
    office.holds(&[&[("a", 20, 7)]]);
    office.run().await;
    let filtered = office.letters().await;
    let states: BTreeSet<_> = filtered.iter().map(|it| (value_of(it), it.state)).collect();
    assert!(states.contains(&("a=1".to_owned(), LetterState::Superseded)), "{states:?}");
    assert!(states.contains(&("b=1".to_owned(), LetterState::Open)), "{states:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_goes_on_behind_its_step_with_the_results_that_were_kept() {
    let mut office = Office::new();
    let second = Board::new();
    let mut flow = (*office.flow).clone();
    let mut step = step_to(&second, "second", vec![0]);
    step.mapping = Transformation::Custom(
        Mapping::compile(r#"{ "value": $steps.collect.id & "/" & data.value }"#).unwrap(),
    );
    flow.steps.push(step);
    office.flow = Arc::new(flow);
    second.on_send(|batch| {
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::rejected("closed", "not today"));
        Ok(outcomes)
    });
    office.holds(&[&[("a", 10, 1), ("b", 10, 1)]]);
    office.refuse(&["b=1"]);
    office.run().await;
    let steps: BTreeSet<_> = office.letters().await.into_iter().map(|it| it.step).collect();
    assert_eq!(steps.len(), 2);

    // Taken by its own step now, and refused by the one behind: a dead letter of that one.
    office.refuse(&[]);
    let at_first = LetterFilter { step: Some("collect".to_owned()), ..open() };
    let second_refuses = Fate::Refused { step: Some("second".to_owned()), code: "closed".into() };
    assert_eq!(office.replay(&at_first, false).await, [("b".to_owned(), second_refuses)]);
    assert_eq!(office.sent(), ["b=1"]);
    second.take_delivered();

    second.on_send(|batch| {
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::done(Value::Null));
        Ok(outcomes)
    });
    office.replay(&open(), false).await;
    assert!(office.sent().is_empty(), "an earlier step ran again");
    let mut inputs: Vec<_> = second.take_delivered().into_iter().map(|it| it.input).collect();
    inputs.sort_by_key(ToString::to_string);
    assert_eq!(inputs, [json!({ "value": "a/1" }), json!({ "value": "b/1" })]);
    let states = office.states().await;
    assert!(states.iter().all(|(_, state)| *state == LetterState::Replayed), "{states:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_triggers_mapping_refused_is_mapped_by_the_one_of_today() {
    let mut office = Office::new();
    let with = |office: &Office, mapping: &str| {
        let mut flow = (*office.flow).clone();
        flow.trigger.mapping = Transformation::Custom(Mapping::compile(mapping).unwrap());
        Arc::new(flow)
    };
    office.flow = with(&office, r#"{ "value": data.value + "x" }"#);
    office.holds(&[&[("a", 10, 1), ("b", 10, 2)]]);
    office.run().await;
    let letters = office.letters().await;
    assert!(letters.iter().all(|it| it.step.is_none() && it.code.starts_with('T')), "{letters:?}");

    office.flow = with(&office, r#"{ "value": data.value * 100 }"#);
    let only_a = LetterFilter {
        key: Some("a".to_owned()),
        step: Some(engine::TRIGGER.to_owned()),
        ..open()
    };
    assert_eq!(office.replay(&only_a, false).await, [("a".to_owned(), delivered())]);
    assert_eq!(office.sent(), ["a=100"]);

    // What somebody wrote in its place is mapped as a record would be.
    let b = office.letters().await.into_iter().find(|it| it.record_key == "b").unwrap();
    let engine = office.engine(office.store.clone());
    let stranger = json!({ "metadata": { "recordUid": "z" }, "data": { "value": 5 } });
    let error = engine.edit_letter(&b.id, &stranger).await.unwrap_err().to_string();
    assert!(error.contains("recordUid") && error.contains(&b.id), "{error}");
    let edited = json!({ "metadata": { "recordUid": "b" }, "data": { "value": 5 } });
    engine.edit_letter(&b.id, &edited).await.unwrap();
    drop(engine);
    assert_eq!(office.replay(&open(), false).await, [("b".to_owned(), delivered())]);
    let sent = office.board.take_delivered().remove(0);
    assert_eq!((sent.input, sent.id), (json!({ "value": 500 }), b.message_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_dies_at_its_commit_sends_again_and_loses_nothing() {
    for (moment, sent_again) in [(Moment::Before, 2), (Moment::After, 0)] {
        let office = Office::new();
        office.holds(&[&[("a", 10, 1), ("b", 10, 1), ("c", 10, 1)]]);
        office.refuse(&["a=1", "b=1"]);
        office.run().await;
        office.refuse(&[]);
        let dying = Arc::new(Dying::new(office.store.clone(), 1, moment));
        let error = office.try_replay(dying, &open(), false).await.unwrap_err();
        assert!(matches!(error, engine::Error::Store { .. }), "{error}");
        assert_eq!(office.sent().len(), 2);

        assert_eq!(office.replay(&open(), false).await.len(), sent_again, "{moment:?}");
        assert_eq!(office.sent().len(), sent_again, "{moment:?}");
        let states = office.states().await;
        assert!(states.iter().all(|(_, state)| *state == LetterState::Replayed), "{states:?}");
    }
}

/// Invariant: a journaled message is never sent twice unasked; who asked to replay a refused one
/// did not ask to send one again that may have arrived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broken_off_replay_left_in_doubt_is_sent_by_the_next_but_one() {
    let mut office = Office::new();
    let steps = vec![step_once(&office.board, "send", vec![])];
    office.flow = Arc::new(Flow { steps, ..flow_of(&office.board) });
    office.holds(&[&[("a", 100, 1)]]);
    office.refuse(&["a=1"]);
    office.run().await;
    office.sent();
    office.refuse(&[]);
    // It was sent, and the answer was not noted any more.
    let dying = Arc::new(Dying::at_journal(office.store.clone(), 2, Moment::Before));
    assert!(office.try_replay(dying, &open(), false).await.is_err());
    assert_eq!(office.sent(), ["a=1"]);
    let in_doubt = Fate::Refused { step: Some("send".to_owned()), code: "inDoubt".to_owned() };
    assert_eq!(office.replay(&open(), false).await, [("a".to_owned(), in_doubt)]);
    assert_eq!(office.sent(), Vec::<String>::new());
    assert_eq!(office.replay(&open(), false).await, [("a".to_owned(), delivered())]);
    assert_eq!(office.sent(), ["a=1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_any_more_is_said_and_not_sent() {
    let office = Office::new();
    office.holds(&[&[("a", 10, 1)]]);
    office.refuse(&["a=1"]);
    office.run().await;
    office.refuse(&[]);
    let mut renamed = Office { flow: office.flow.clone(), ..office };
    let mut flow = (*renamed.flow).clone();
    flow.steps[0].id = "other".to_owned();
    renamed.flow = Arc::new(flow);
    let no_step = Fate::NoStep { step: "collect".to_owned() };
    assert_eq!(renamed.replay(&open(), false).await, [("a".to_owned(), no_step)]);
    assert!(renamed.sent().is_empty());

    let unknown = LetterFilter { ids: vec!["ffff".to_owned()], ..any() };
    let error = renamed.try_replay(renamed.store.clone(), &unknown, false).await.unwrap_err();
    assert!(error.to_string().contains("`ffff`"), "{error}");

    let engine = renamed.engine(renamed.store.clone());
    assert_eq!(engine.drop_letters(&open()).await.unwrap(), 1);
    assert_eq!(engine.drop_letters(&open()).await.unwrap(), 0);
    assert!(renamed.letters().await.is_empty());
}
