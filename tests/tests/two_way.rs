//! Two flows between two accounts: both sides come to the same, and nothing goes round.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashSet;
use std::sync::{Arc, Barrier, Mutex};

use engine::{Engine, Event, Happening, Silent, Watch};
use flow::Flow;
use sandbox::{Switches, Touch, What};
use towpath_tests::between::{Between, checked, counted, flow_between, run, text_between};
use towpath_tests::{Dying, Moment};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_come_to_the_same_and_nothing_goes_round() {
    converges(600).await;
}

/// The same at the size that the project promises; the small one above says it sooner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_twenty_thousand_receivers_come_to_the_same_on_both_sides() {
    converges(10_000).await;
}

async fn converges(each: usize) {
    let world = Between::with(each).await;
    let [all, others] = [&world.north, &world.south].map(|side| side.receiver_count() as u64);
    // What came from the north is no news in the south, and what comes from there none in the north.
    assert_eq!(world.both().await, [[all, all, 0], [all + others, others, all]]);
    assert_eq!(world.both().await, [[others, 0, others], [0, 0, 0]]);
    assert!(world.is_level());
    world.upserts();

    world.pass(7_200);
    assert_eq!(world.both().await, [[0; 3]; 2]);
    assert_eq!(world.upserts(), [0, 0], "nothing is sent again");

    // Edits of one side move once, whether a time shows them or not, and do not come back.
    world.north.touch(&Touch::count(each / 100));
    world.south.touch(&Touch::count(each / 200).only(What::Tags));
    world.pass(7_200);
    let (north, south) = (all / 100, all / 200);
    let [[_, sent, echoed], [_, sent_back, echoed_back]] = world.both().await;
    assert_eq!((sent, echoed), (north, 0));
    assert_eq!(sent_back + echoed_back, north + south);
    assert!(echoed_back >= north - south);
    for _ in 0..2 {
        world.pass(7_200);
        world.both().await;
    }
    assert!(world.is_level());
    world.upserts();
    world.pass(7_200);
    assert_eq!(world.both().await, [[0; 3]; 2]);
    assert_eq!(world.upserts(), [0, 0]);
}

/// Holds each flow before its first batch until both are there, so that neither has read what the
/// other one writes.
struct Together {
    barrier: Arc<Barrier>,
    came: Mutex<bool>,
}

impl Watch for Together {
    fn on(&self, _event: &Event<'_>) {}

    fn at(&self, point: &'static str) {
        if point == "engine.batch.next" && !std::mem::replace(&mut *self.came.lock().unwrap(), true)
        {
            // What waits for this thread goes to another one: it may be the other flow.
            tokio::task::block_in_place(|| self.barrier.wait());
        }
    }
}

async fn at_once(world: &Between) {
    let engine = world.engine(world.store.clone());
    let barrier = Arc::new(Barrier::new(2));
    let watch = || Arc::new(Together { barrier: barrier.clone(), came: Mutex::new(false) });
    let (one, other) = tokio::join!(
        run(&engine, &world.southward, watch()),
        run(&engine, &world.northward, watch())
    );
    assert!(one.errors.is_empty() && other.errors.is_empty(), "{one:?} {other:?}");
    assert_eq!((one.counts.delivered, other.counts.delivered), (1, 1));
}

/// One receiver, on both sides the same.
async fn one_on_both_sides() -> (Between, String) {
    let world = Between::with(0).await;
    let email = "ada@example.com".to_owned();
    let mut receiver = sandbox::Receiver { email: email.clone(), ..Default::default() };
    receiver.groups = vec!["1123825".to_owned()];
    receiver.registered = world.north.now();
    receiver.activated = world.north.now();
    receiver.attributes.insert("name".to_owned(), "Lovelace".into());
    world.north.put_receiver(&receiver);
    world.both().await;
    world.both().await;
    assert_eq!(world.says(&email), ["Lovelace", "Lovelace"]);
    world.pass(600);
    (world, email)
}

/// Gives the receiver another name on each side, at these seconds from now.
fn edit(world: &Between, email: &str, (north, south): (i64, i64)) {
    let now = world.north.now();
    let [here, there] = world.ids(email);
    world.north.touch(&Touch::ids([here]).attribute("name", "North").at(now + north));
    world.south.touch(&Touch::ids([there]).attribute("name", "South").at(now + south));
    world.pass(60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_changes_at_once_the_newer_one_comes_to_both_sides() {
    for ((north, south), winner) in [((10, 20), "South"), ((20, 10), "North"), ((10, 10), "North")]
    {
        let (world, email) = one_on_both_sides().await;
        edit(&world, &email, (north, south));
        Box::pin(at_once(&world)).await;
        assert_eq!(world.says(&email), ["South", "North"], "each side was written");
        for _ in 0..2 {
            world.pass(7_200);
            world.both().await;
        }
        assert_eq!(world.says(&email), [winner, winner], "{north} {south}");
        world.upserts();
        world.pass(7_200);
        assert_eq!(world.both().await, [[0; 3]; 2]);
        assert_eq!(world.upserts(), [0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_killed_between_writing_and_committing_carries_once_more_and_no_oftener() {
    for moment in [Moment::Before, Moment::After] {
        let world = Between::with(30).await;
        let dying = Arc::new(Dying::new(world.store.clone(), 1, moment));
        let report = world.run_with(dying, &world.southward).await;
        assert!(!report.errors.is_empty());
        // The south reads what nobody has written down, or just has.
        let northward = world.run(&world.northward).await;
        let echoed = if moment == Moment::After { 30 } else { 0 };
        assert_eq!((northward.counts.emitted, northward.counts.echoed), (60, echoed));
        for _ in 0..2 {
            world.pass(7_200);
            world.both().await;
        }
        assert!(world.is_level());
        world.upserts();
        world.pass(7_200);
        assert_eq!(world.both().await, [[0; 3]; 2]);
        assert_eq!(world.upserts(), [0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_tells_of_an_echo() {
    let world = Between::with(3).await;
    world.both().await;
    let echo = Happening::Echoed { step: "copies".to_owned() };
    let told: HashSet<String> = world.south.receivers().into_iter().map(|it| it.id).collect();
    let mut echoes = 0;
    for id in told {
        let handle = engine::Handle::new(world.store.clone());
        let request = engine::Request::Why { flow: None, record: id, limit: 10 };
        let engine::Answer::Why { timelines } = handle.ask(request).await.unwrap() else {
            panic!("another answer");
        };
        let happened = timelines.iter().flat_map(|it| &it.happened);
        echoes += happened.filter(|it| it.what == echo).count();
    }
    assert_eq!(echoes, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_to_a_third_system_is_not_kept_from_it() {
    let mut world = Between::with(2).await;
    // The way back writes to both: what came from the north is new elsewhere.
    let mut back = (*flow_between("south", "north", "")).clone();
    let mut elsewhere = back.steps[0].clone();
    elsewhere.id = "elsewhere".to_owned();
    elsewhere.account = "south".to_owned();
    elsewhere.after = vec![];
    back.steps.push(elsewhere);
    world.northward = Arc::new(back);
    world.run(&world.southward).await;
    let counts = world.run(&world.northward).await.counts;
    assert_eq!((counts.delivered, counts.echoed), (4, 0), "delivered somewhere is delivered");
    assert_eq!(world.north.receiver_count(), 4);
}

/// The way back takes raw receivers, and of them what no contact has.
const RAW: &str = r#"
flow: raw-south-to-north
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: south
  sweep: 1h
  fields: { groupName: Newsletter, skipTransformation: true }
steps:
  - id: copies
    use: cleverreach.upsertReceiver
    account: north
    fields:
      groupName: Newsletter
      activation: keep
      customMapping: |
        { "email": data.email, "attributes": {
            "name": data.attributes.name, "customer_number": data.attributes.customer_number } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_way_back_carries_is_no_echo() {
    let (mut world, email) = one_on_both_sides().await;
    world.northward = checked(RAW);
    let [here, there] = world.ids(&email);
    world.north.touch(&Touch::ids([here.clone()]).attribute("name", "King"));
    world.run(&world.southward).await;
    // Before the way back has read what was written, somebody adds what the way there knows nothing of.
    let number = Touch::ids([there]).only(What::Attributes).attribute("customer_number", "C-9");
    world.south.touch(&number);
    world.pass(7_200);
    let counts = world.run(&world.northward).await.counts;
    assert_eq!((counts.delivered, counts.echoed), (1, 0));
    let north = world.north.receiver(&here).unwrap();
    assert_eq!(north.attributes["customer_number"], "C-9");
    assert_eq!(world.says(&email), ["King", "King"]);
    world.upserts();
    for _ in 0..2 {
        world.pass(7_200);
        world.both().await;
    }
    assert_eq!(world.upserts(), [0, 0]);
}

/// A flow that carries who is gone as well, and knows receivers by what both sides know them by.
fn with_deletes(from: &str, to: &str, more: &str) -> Arc<Flow> {
    let trigger = "  emitDeletes: true\n  fields: { groupName: Newsletter, keyedBy: email }\nsteps";
    let text = text_between(from, to, more);
    let text = text.replace("  fields: { groupName: Newsletter }\nsteps", trigger);
    let gone = format!(
        "  - id: gone\n    use: cleverreach.deleteReceiver\n    account: {to}\n    after: trigger\n    \
         for: deletes\n    fields:\n      groupName: Newsletter\n      \
         customMapping: '{{ \"email\": metadata.recordUid }}'\n"
    );
    checked(&(text + &gone))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_deleted_on_one_side_goes_on_the_other_and_nobody_else() {
    let mut world = Between::with(30).await;
    world.southward = with_deletes("north", "south", "prefer: source");
    world.northward = with_deletes("south", "north", "prefer: target");
    let [all, others] = [&world.north, &world.south].map(|side| side.receiver_count() as u64);
    assert_eq!(world.both().await, [[all, all, 0], [all + others, others, all]]);
    assert_eq!(world.both().await, [[others, 0, others], [0; 3]]);
    for flow in [&world.southward, &world.northward] {
        assert!(!world.store.has_echoes(&flow.name).await.unwrap(), "all were met");
    }
    world.upserts();

    let here = world.north.receivers().remove(3);
    let there = world.south.receivers().into_iter().find(|it| it.email != here.email).unwrap();
    assert!(world.north.delete_receiver(&here.id));
    assert!(world.south.delete_receiver(&there.id));
    // Who is deleted and entered anew is somebody who changed.
    let again = world.north.receivers().remove(7);
    assert!(world.north.delete_receiver(&again.id));
    let anew = sandbox::Receiver { id: String::new(), email: again.email.clone(), ..again };
    world.north.put_receiver(&anew);
    world.pass(7_200);
    // One sweep may have passed somebody over.
    assert_eq!(world.both().await, [[1, 1, 0], [0; 3]]);
    world.pass(7_200);
    assert_eq!(world.both().await, [[1, 1, 0], [1, 1, 0]]);
    assert!(world.is_level());
    assert_eq!(world.north.receiver_count() as u64, all + others - 2);
    // What is gone is found to be gone there too, once; it is not there any more.
    for expected in [[[0; 3], [1, 1, 0]], [[1, 1, 0], [0; 3]], [[0; 3]; 2], [[0; 3]; 2]] {
        world.pass(7_200);
        assert_eq!(world.both().await, expected);
    }
    assert!(world.is_level());
    assert_eq!(world.upserts(), [0, 1]);

    let back = sandbox::Receiver { id: String::new(), registered: world.north.now(), ..here };
    world.north.put_receiver(&back);
    assert_eq!(world.both().await, [[1, 1, 0], [1, 0, 1]]);
    assert!(world.is_level());
}

/// Both systems call their flows, each of which runs in a process of its own.
struct Told {
    world: Between,
    engine: Arc<Engine>,
    _calls: towpath_tests::Calls,
}

impl Told {
    async fn of(receivers: usize) -> Self {
        let mut world = Between::with(receivers).await;
        let called = |from, to, more| {
            let text = text_between(from, to, more);
            checked(&text.replace("getReceiversByGroupIdPolling", "receiverEvents"))
        };
        world.southward = called("north", "south", "prefer: source");
        world.northward = called("south", "north", "prefer: target");
        world.both().await;
        world.both().await;
        let (engine, calls) = world.calls().await;
        world.upserts();
        Self { world, engine, _calls: calls }
    }

    /// Runs both flows once, south first, each when its system has said all that it had to say.
    async fn both(&self) -> [[u64; 3]; 2] {
        self.world.north.hooks_called().await;
        let southward = run(&self.engine, &self.world.southward, Arc::new(Silent)).await;
        self.world.south.hooks_called().await;
        let northward = run(&self.engine, &self.world.northward, Arc::new(Silent)).await;
        assert!(southward.errors.is_empty() && northward.errors.is_empty());
        [counted(&southward), counted(&northward)]
    }

    /// Changes the name of a receiver of the north, or the south: no date tells of it.
    fn edit(&self, [here, there]: &[String; 2], name: [Option<&str>; 2]) {
        for (side, id, name) in
            [(&self.world.north, here, name[0]), (&self.world.south, there, name[1])]
        {
            if let Some(name) = name {
                let touch = Touch::ids([id]).only(What::Attributes).attribute("name", name);
                side.touch(&touch);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_systems_tell_of_goes_over_once_and_does_not_come_back() {
    let told = Told::of(30).await;
    let email = told.world.north.receivers().remove(3).email;
    let ids = told.world.ids(&email);
    assert_eq!(told.both().await, [[0; 3]; 2]);

    told.edit(&ids, [Some("King"), None]);
    assert_eq!(told.both().await, [[1, 1, 0], [1, 0, 1]]);
    assert_eq!(told.both().await, [[0; 3]; 2]);
    assert_eq!(told.world.upserts(), [0, 1]);
    // Told again, it is nothing new.
    told.world.north.touch(&Touch::ids([&ids[0]]).only(What::Opens));
    told.world.south.touch(&Touch::ids([&ids[1]]).only(What::Opens));
    assert_eq!(told.both().await, [[0; 3]; 2]);
    // The other way the echo comes with the next call.
    told.edit(&ids, [None, Some("Queen")]);
    assert_eq!(told.both().await, [[0; 3], [1, 1, 0]]);
    assert_eq!(told.both().await, [[1, 0, 1], [0; 3]]);
    assert_eq!(told.world.upserts(), [1, 0]);

    // A system tells of what it is sent before the sender has written down that it sent it.
    told.edit(&ids, [Some("Noether"), None]);
    told.world.north.hooks_called().await;
    let dying = Arc::new(Dying::new(told.world.store.clone(), 1, Moment::Before));
    assert!(!told.world.run_with(dying, &told.world.southward).await.errors.is_empty());
    told.world.south.hooks_called().await;
    let early = run(&told.engine, &told.world.northward, Arc::new(Silent)).await;
    assert_eq!(counted(&early), [1, 1, 0], "nobody knows of it yet");
    assert_eq!(told.both().await, [[1, 0, 1], [0; 3]]);
    assert_eq!(told.both().await, [[0; 3]; 2]);
    told.world.upserts();

    // A call that got lost: the sweeps of both sides find it, and know it.
    for side in [&told.world.north, &told.world.south] {
        side.set_switches(Switches { hooks_lost: true, ..Switches::default() });
    }
    told.edit(&ids, [Some("Lost"), None]);
    assert_eq!(told.both().await, [[0; 3]; 2]);
    told.world.pass(7_200);
    assert_eq!(told.both().await, [[1, 1, 0], [1, 0, 1]]);
    assert!(told.world.is_level());
    told.world.upserts();
    told.world.pass(7_200);
    assert_eq!(told.both().await, [[0; 3]; 2]);
    assert_eq!(told.world.upserts(), [0, 0]);
}
