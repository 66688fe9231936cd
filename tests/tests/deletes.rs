//! Records that are gone: told once, only where everything was read, and never too many at once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::prelude::*;
use connector::{Clock, ManualClock};
use engine::{Answer, Event, Handle, Happening, Report, Request, Silent, Stop, Watch};
use flow::{Flow, MaxDeletes, Takes};
use store::{MasterKey, MemoryStore, Store};
use towpath_tests::{Board, Dying, Moment, World, record, step_once, step_to, sweeping_flow_of};

/// The records of a system, by partition and key, and how many make a page.
type Records = BTreeMap<String, BTreeMap<String, i64>>;

/// A system whose records come and go, and one that hears of those that are gone.
struct Story {
    source: Arc<Board>,
    changes: Arc<Board>,
    deletes: Arc<Board>,
    records: Arc<Mutex<Records>>,
    /// Whether polls of this partition fail.
    down: Arc<Mutex<Option<String>>>,
    flow: Arc<Flow>,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
}

const PAGE: usize = 5;

impl Story {
    fn of(partitions: &[&str], records: usize) -> Self {
        let (source, changes, deletes) = (Board::new(), Board::new(), Board::new());
        *source.partitions.lock().unwrap() = partitions.iter().map(|it| (*it).to_owned()).collect();
        let all: Records = partitions
            .iter()
            .map(|it| {
                let keys = (0..records).map(|n| (format!("{it}{n:03}"), 1));
                ((*it).to_owned(), keys.collect())
            })
            .collect();
        let (records, down) = (Arc::new(Mutex::new(all)), Arc::new(Mutex::new(None)));
        let (there, is_down) = (records.clone(), down.clone());
        source.on_poll(move |scan| {
            let partition = scan.partition.clone().unwrap_or_default();
            if is_down.lock().unwrap().as_ref() == Some(&partition) && scan.cursor.is_some() {
                return Err(Error::config("the list cannot be read"));
            }
            let there = there.lock().unwrap();
            let all: Vec<_> = there.get(&partition).into_iter().flatten().collect();
            // Without a change of version only a sweep finds what is gone, or came back.
            if scan.want.since().is_some() {
                return Ok(Page { records: vec![], next: None });
            }
            let at = scan.cursor.unwrap_or(0);
            let size = if all.len() > 1_000 { 1_000 } else { PAGE };
            let page = all.iter().skip(at).take(size).map(|(key, value)| record(key, 10, **value));
            let next = Some(at + size).filter(|next| *next < all.len());
            Ok(Page { records: page.collect(), next })
        });
        let mut flow = sweeping_flow_of(&source, Duration::from_secs(3600));
        flow.trigger.deletes = Some(MaxDeletes::default());
        let gone = step_to(&deletes, "gone", vec![]);
        flow.steps = vec![
            step_to(&changes, "changed", vec![]),
            flow::Step { takes: Takes::Deletes, ..gone },
        ];
        let store = Arc::new(MemoryStore::new(MasterKey::generate()));
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        Self { source, changes, deletes, records, down, flow: Arc::new(flow), store, clock }
    }

    async fn run(&self) -> Report {
        self.run_on(self.store.clone()).await
    }

    /// Runs it when the next sweep is due.
    async fn run_on(&self, store: Arc<dyn Store>) -> Report {
        self.clock.advance(Duration::from_secs(3600));
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        let engine = self.source.engine(store, self.clock.clone());
        engine.run(&self.flow, stop, Arc::new(Silent)).await
    }

    /// Runs it when the next sweep is due; says which points the run came to.
    async fn points(&self, store: Arc<dyn Store>) -> (Report, Vec<&'static str>) {
        self.clock.advance(Duration::from_secs(3600));
        let (_stopper, stop) = Stop::new(Duration::from_secs(30));
        let engine = self.source.engine(store, self.clock.clone());
        let points = Arc::new(Points::default());
        let report = engine.run(&self.flow, stop, points.clone()).await;
        let points = points.0.lock().unwrap().clone();
        (report, points)
    }

    /// How many names the store keeps.
    async fn names(&self) -> usize {
        let mut count = 0;
        self.store.names("scripted", &mut |names| count += names.len()).await.unwrap();
        count
    }

    /// Runs it well, and says which changes and which deletes were sent.
    async fn sent(&self) -> (Vec<String>, Vec<String>) {
        let report = self.run().await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        (self.changes.take_keys(), self.deletes.take_keys())
    }

    fn remove(&self, partition: &str, key: &str) {
        let mut records = self.records.lock().unwrap();
        assert!(records.get_mut(partition).unwrap().remove(key).is_some(), "{key}");
    }

    fn put(&self, partition: &str, key: &str) {
        self.records.lock().unwrap().get_mut(partition).unwrap().insert(key.to_owned(), 1);
    }
}

fn none() -> (Vec<String>, Vec<String>) {
    (vec![], vec![])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_is_told_once_and_comes_back_as_a_change() {
    let story = Story::of(&[""], 12);
    assert_eq!(story.sent().await.0.len(), 12);
    assert_eq!(story.sent().await, none());
    story.remove("", "003");
    story.remove("", "007");
    assert_eq!(story.sent().await, none(), "missed for the first time");
    let report = story.run().await;
    assert_eq!((report.deletes, report.counts.delivered, report.counts.filtered), (2, 2, 0));
    let told = story.deletes.take_delivered();
    let told: Vec<_> = told.iter().map(|it| (it.key.as_str(), it.input.clone())).collect();
    assert_eq!(told, [("003", json!({})), ("007", json!({}))]);
    assert_eq!(story.changes.take_keys(), Vec::<String>::new());
    assert_eq!(story.sent().await, none());
    story.put("", "003");
    assert_eq!(story.sent().await, (vec!["003".to_owned()], vec![]));
    assert_eq!(story.sent().await, none());
    story.remove("", "003");
    assert_eq!(story.sent().await, none());
    assert_eq!(story.sent().await, (vec![], vec!["003".to_owned()]), "gone again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_says_so_in_its_metadata_and_reaches_a_when() {
    let mut story = Story::of(&[""], 3);
    let mut flow = (*story.flow).clone();
    let all = |id: &str, when: &str| flow::Step {
        takes: Takes::All,
        when: Some(mapping::Mapping::compile(when).unwrap()),
        mapping: flow::Transformation::Custom(mapping::Mapping::compile("metadata").unwrap()),
        ..step_to(&story.deletes, id, vec![])
    };
    flow.steps = vec![all("gone", "metadata.deleted = true")];
    story.flow = Arc::new(flow);
    story.run().await;
    story.remove("", "001");
    story.run().await;
    let report = story.run().await;
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let told: Vec<_> = story.deletes.take_delivered().into_iter().map(|it| it.input).collect();
    assert_eq!(told, [json!({ "recordUid": "001", "deleted": true })]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_that_was_not_whole_tells_nothing() {
    let story = Story::of(&["a", "b"], 12);
    story.sent().await;
    story.remove("a", "a001");
    // Another partition fails half-way.
    *story.down.lock().unwrap() = Some("b".to_owned());
    let report = story.run().await;
    assert_eq!((report.errors.len(), story.deletes.take_keys().len()), (1, 0));
    // What is resumed is no scan of its own, and the other partition is not due by itself; both
    // are read whole with the next one.
    *story.down.lock().unwrap() = None;
    assert_eq!(story.sent().await, none(), "missed for the first time");
    assert_eq!(story.sent().await, (vec![], vec!["a001".to_owned()]));
    assert_eq!(story.sent().await, none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_swept_together_and_what_moved_is_not_gone() {
    let story = Story::of(&["a", "b"], 8);
    story.sent().await;
    // It moves to another partition: there it is new, here it is not gone.
    story.remove("a", "a001");
    story.put("b", "a001");
    assert_eq!(story.sent().await, (vec!["a001".to_owned()], vec![]));
    assert_eq!(story.sent().await, none());
    // And back again.
    story.remove("b", "a001");
    story.put("a", "a001");
    assert_eq!(story.sent().await, (vec!["a001".to_owned()], vec![]));
    assert_eq!(story.sent().await, none());
    // A record of two partitions is gone once it was missed twice in both.
    story.put("b", "a001");
    assert_eq!(story.sent().await, (vec!["a001".to_owned()], vec![]));
    story.remove("a", "a001");
    assert_eq!(story.sent().await, none());
    story.remove("b", "a001");
    assert_eq!(story.sent().await, none());
    assert_eq!(story.sent().await, (vec![], vec!["a001".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_vanished_partition_held_is_gone_once_the_others_were_read_whole() {
    let story = Story::of(&["a", "b"], 8);
    story.sent().await;
    story.source.partitions.lock().unwrap().retain(|it| it != "b");
    story.put("a", "b007");
    *story.down.lock().unwrap() = Some("a".to_owned());
    let report = story.run().await;
    assert_eq!((report.errors.len(), story.deletes.take_keys().len()), (1, 0));
    *story.down.lock().unwrap() = None;
    // The scan that failed is finished, and a whole one follows, since it is due again.
    assert_eq!(story.sent().await.1, [""; 0], "missed for the first time");
    let (_, deleted) = story.sent().await;
    assert_eq!(deleted, (0..7).map(|n| format!("b{n:03}")).collect::<Vec<_>>());
    assert_eq!(story.sent().await, none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_at_once_are_an_error_and_none_of_them_is_sent() {
    let mut story = Story::of(&[""], 100);
    story.sent().await;
    (0..11).for_each(|n| story.remove("", &format!("{n:03}")));
    for _ in 0..2 {
        let report = story.run().await;
        let error = report.errors[0].to_string();
        assert!(error.contains("11 of 100 known records are gone"), "{error}");
        assert!(error.contains("towpath run scripted --allow-deletes"), "{error}");
        assert_eq!(story.deletes.take_keys().len(), 0);
    }
    let mut flow = (*story.flow).clone();
    flow.trigger.allow_deletes();
    story.flow = Arc::new(flow);
    assert_eq!(story.sent().await.1.len(), 11);
    assert_eq!(story.sent().await, none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_are_found_of_what_was_sent_before_they_were_switched_on() {
    let mut story = Story::of(&[""], 12);
    let with = story.flow.clone();
    let mut without = (*story.flow).clone();
    without.trigger.deletes = None;
    story.flow = Arc::new(without);
    story.sent().await;
    story.remove("", "001");
    story.flow = with;
    // What was gone before nobody can name any more.
    assert_eq!(story.sent().await, none());
    story.remove("", "002");
    assert_eq!(story.sent().await, none());
    assert_eq!(story.sent().await, (vec![], vec!["002".to_owned()]));
    story.put("", "001");
    assert_eq!(story.sent().await, (vec!["001".to_owned()], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_commit_each_delete_is_told_and_never_lost() {
    for (moment, marked) in [Moment::Before, Moment::After]
        .into_iter()
        .flat_map(|moment| [(moment, false), (moment, true)])
    {
        for at in 1..=3 {
            let story = Story::of(&[""], 12);
            story.sent().await;
            (0..4).for_each(|n| story.remove("", &format!("{n:03}")));
            if marked {
                assert_eq!(story.sent().await, none());
            }
            story.put("", "new");
            let dying = Arc::new(Dying::new(story.store.clone(), at, moment));
            story.run_on(dying).await;
            let first = story.deletes.take_keys().len();
            let mut later = vec![];
            for _ in 0..3 {
                later.extend(story.sent().await.1);
            }
            let counts = story.store.head("scripted").await.unwrap().unwrap().counts;
            assert_eq!((counts.emitted, counts.delivered), (17, 17), "{moment:?} {at}");
            assert!(marked || first == 0, "{moment:?} {at}");
            let twice = first > 0 && !later.is_empty();
            assert!(first + later.len() == if twice { 8 } else { 4 }, "{moment:?} {at}");
            assert!(!twice || moment == Moment::Before);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_delete_is_a_dead_letter_and_not_told_again() {
    let story = Story::of(&[""], 5);
    story.sent().await;
    story.deletes.on_send(|batch| {
        let mut outcomes = batch.outcomes();
        outcomes.fill(&Outcome::rejected("unknown", "no such contact"));
        Ok(outcomes)
    });
    story.remove("", "001");
    story.run().await;
    assert_eq!(story.run().await.counts.dead_lettered, 1);
    let letters = story.store.dead_letters(None).await.unwrap();
    let letter = story.store.dead_letter(&letters[0].id).await.unwrap().unwrap();
    assert_eq!((letter.step.as_deref(), &*letter.record_key), (Some("gone"), "001"));
    let payload: Value = serde_json::from_slice(&letter.payload).unwrap();
    assert_eq!(payload["message"]["metadata"]["deleted"], json!(true));
    story.deletes.take_keys();
    assert_eq!(story.sent().await, none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missed_once_and_there_again_was_never_gone() {
    let story = Story::of(&[""], 12);
    story.sent().await;
    for _ in 0..3 {
        story.remove("", "003");
        assert_eq!(story.sent().await, none(), "missed for the first time");
        story.put("", "003");
        assert_eq!(story.sent().await, none(), "it was there all the time");
    }
    story.remove("", "003");
    assert_eq!(story.sent().await, none());
    assert_eq!(story.sent().await, (vec![], vec!["003".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scans_that_miss_very_many_for_the_first_time_delete_nothing() {
    let story = Story::of(&[""], 100);
    story.sent().await;
    story.remove("", "000");
    assert_eq!(story.sent().await, none());
    // The system shows a part of its records, and then all of them again.
    let all = story.records.lock().unwrap().clone();
    (50..100).for_each(|n| story.remove("", &format!("{n:03}")));
    let report = story.run().await;
    let error = report.errors[0].to_string();
    assert!(error.contains("50 of 100 known records are gone"), "{error}");
    assert_eq!(story.deletes.take_keys(), [""; 0], "not even what was missed before");
    *story.records.lock().unwrap() = all;
    assert_eq!(story.sent().await, (vec![], vec!["000".to_owned()]));
    assert_eq!(story.sent().await, none());
}

/// Writes down the points that a run comes to.
#[derive(Default)]
struct Points(Mutex<Vec<&'static str>>);

impl Watch for Points {
    fn on(&self, _event: &Event<'_>) {}

    fn at(&self, point: &'static str) {
        self.0.lock().unwrap().push(point);
    }
}

/// Names of records that are gone for good are forgotten, in the run that finds that most of them
/// are; a crash at that commit changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_what_is_gone_are_forgotten_inside_a_run() {
    const MANY: usize = 4_200;
    // The last commit of the run is the one that forgets names.
    let mut last = 0;
    for dies in [None, Some(Moment::Before), Some(Moment::After)] {
        let mut story = Story::of(&[""], MANY);
        let mut flow = (*story.flow).clone();
        flow.trigger.deletes = Some(MaxDeletes { share: 1.0, ..MaxDeletes::default() });
        story.flow = Arc::new(flow);
        assert_eq!(story.sent().await.0.len(), MANY);
        let all = story.records.lock().unwrap().clone();
        (5..MANY).for_each(|n| story.remove("", &format!("{n:03}")));
        assert_eq!(story.sent().await, none(), "missed for the first time");
        assert_eq!(story.names().await, MANY);
        if let Some(moment) = dies {
            let dying = Arc::new(Dying::new(story.store.clone(), last, moment));
            let (report, points) = story.points(dying).await;
            let told = (report.errors.is_empty(), report.deletes);
            assert_eq!(told, (false, MANY as u64 - 5), "{moment:?}");
            assert!(!points.contains(&"engine.names.kept"), "{moment:?}");
        } else {
            let counting = Arc::new(Dying::never(story.store.clone()));
            let (report, points) = story.points(counting.clone()).await;
            last = counting.commits();
            assert_eq!((report.errors.len(), report.deletes), (0, MANY as u64 - 5));
            assert!(points.contains(&"engine.names.kept"));
            assert_eq!(story.names().await, 5);
        }
        assert_eq!(story.deletes.take_keys().len(), MANY - 5);
        // What comes back is new, and is told when it goes again; nothing else is.
        *story.records.lock().unwrap().get_mut("").unwrap() =
            all[""].iter().take(8).map(|(key, value)| (key.clone(), *value)).collect();
        assert_eq!(
            story.sent().await,
            (vec!["005".to_owned(), "006".to_owned(), "007".to_owned()], vec![])
        );
        story.remove("", "006");
        assert_eq!(story.sent().await, none());
        assert_eq!(story.sent().await, (vec![], vec!["006".to_owned()]));
    }
}

/// A step that must not be repeated, killed at every write of the journal: a delete is sent once,
/// or told to be in doubt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journaled_deletes_are_sent_once_or_told_to_be_in_doubt() {
    for moment in [Moment::Before, Moment::After] {
        for at in 1..=2 {
            let mut story = Story::of(&[""], 12);
            let mut flow = (*story.flow).clone();
            let gone = step_once(&story.deletes, "gone", vec![]);
            flow.steps[1] = flow::Step { takes: Takes::Deletes, ..gone };
            story.flow = Arc::new(flow);
            story.sent().await;
            (0..3).for_each(|n| story.remove("", &format!("{n:03}")));
            assert_eq!(story.sent().await, none());
            let dying = Arc::new(Dying::at_journal(story.store.clone(), at, moment));
            story.run_on(dying).await;
            let mut sent = story.deletes.take_keys();
            for _ in 0..3 {
                let (changes, deletes) = story.sent().await;
                assert_eq!(changes, [""; 0], "{moment:?} {at}");
                sent.extend(deletes);
            }
            let letters = story.store.dead_letters(None).await.unwrap();
            assert!(letters.iter().all(|it| it.code == "inDoubt"), "{letters:?}");
            let once: std::collections::BTreeSet<_> = sent.iter().collect();
            assert_eq!(once.len(), sent.len(), "{moment:?} {at}: sent twice");
            assert!(sent.len() == 3 || letters.len() == 3, "{moment:?} {at}: {sent:?} {letters:?}");
            assert_eq!(story.store.journaled("scripted").await.unwrap(), [], "{moment:?} {at}");
        }
    }
}

/// Removes a receiver of the first page once that page was read.
struct MovesUp {
    world: Arc<World>,
    id: Mutex<Option<String>>,
}

impl Watch for MovesUp {
    fn on(&self, _event: &Event<'_>) {}

    fn at(&self, point: &'static str) {
        if point == "engine.sweep.fetched"
            && let Some(id) = self.id.lock().unwrap().take()
        {
            assert!(self.world.sandbox.delete_receiver(&id));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_moves_up_while_it_is_read_deletes_nobody() {
    let world = Arc::new(World::with(2_500).await);
    let text = include_str!("../../flows/left-the-newsletter.yaml");
    let flow = world.flow(text);
    assert!(world.run(&flow).await.errors.is_empty());
    let sweep = || {
        world.sandbox.advance_clock(6 * 3600);
        world.clock.advance(Duration::from_secs(6 * 3600));
    };
    sweep();
    let receivers = world.sandbox.receivers();
    let removed = receivers[3].id.clone();
    let watch = MovesUp { world: world.clone(), id: Mutex::new(Some(removed.clone())) };
    let (_stopper, stop) = Stop::new(Duration::from_secs(30));
    let engine = world.engine(world.store.clone());
    let report = engine.run(&flow, stop, Arc::new(watch)).await;
    assert_eq!((report.errors.len(), report.deletes), (0, 0), "one was passed over");
    sweep();
    let report = world.run(&flow).await;
    assert_eq!((report.errors.len(), report.deletes), (0, 1));
    let noted = |id: &str| world.sandbox.profile(id).unwrap()["Newsletter"].clone();
    assert_eq!(noted(&removed), json!(false));
    assert!(world.sandbox.receivers().iter().all(|it| noted(&it.id) == json!(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_tells_that_a_record_was_gone_and_when_its_delete_was_delivered() {
    let story = Story::of(&[""], 5);
    story.sent().await;
    story.remove("", "001");
    story.sent().await;
    assert_eq!(story.sent().await.1, ["001"]);
    let asked = story.clock.now();
    let why = Request::Why { flow: None, record: "001".to_owned(), limit: 100 };
    let told = Handle::new(story.store.clone()).ask(why).await.unwrap();
    let Answer::Why { timelines } = told else { unreachable!() };
    let [told] = &timelines[..] else { panic!("{timelines:?}") };
    let last: Vec<_> =
        told.happened.iter().filter(|it| it.at == asked).map(|it| &it.what).collect();
    let filtered = |step: &str| Happening::Filtered { step: step.to_owned() };
    let [deleted, rest @ ..] = &last[..] else { panic!("{last:?}") };
    assert_eq!(**deleted, Happening::Deleted);
    assert!(rest.contains(&&filtered("changed")), "{rest:?}");
    let delivered =
        |it: &&&Happening| matches!(it, Happening::Delivered { step, .. } if step == "gone");
    assert_eq!(rest.iter().filter(delivered).count(), 1, "{rest:?}");
    let known: Vec<_> = told.known.iter().map(|it| (it.deleted, it.settled)).collect();
    assert_eq!(known, [(true, Some(asked))]);
}
