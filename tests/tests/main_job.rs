//! The main job: receivers of a CleverReach group become CleverTap profiles, once and again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use connector::Timestamp;
use sandbox::{Options, Switches, Touch};
use store::{MasterKey, MemoryStore};
use towpath_tests::{Dying, Moment, World, world::START};

const FLOW: &str = include_str!("../../flows/newsletter-to-clevertap.yaml");

/// The flow with small pages, so that few receivers make many.
fn in_pages_of(size: usize) -> String {
    FLOW.replace(
        "groupName: Newsletter\n",
        &format!("groupName: Newsletter\n    pageSize: {size}\n"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moves_once_and_then_only_what_changed() {
    let world = World::with(2_500).await;
    let flow = world.flow(FLOW);
    let report = world.run(&flow).await;
    assert_eq!(report.errors.len(), 0, "{:?}", report.errors);
    assert_eq!((report.counts.records, report.counts.delivered, report.pages), (2_500, 2_500, 3));
    assert_eq!((world.uploaded(), world.sandbox.stats().clevertap.uploads), (2_500, 3));

    world.sandbox.reset_stats();
    world.sandbox.advance_clock(300);
    let report = world.run(&flow).await;
    assert_eq!((report.counts.delivered, world.uploaded()), (0, 0));

    world.sandbox.touch(&Touch::count(25));
    let report = world.run(&flow).await;
    assert_eq!((report.counts.delivered, world.uploaded()), (25, 25));
    assert_eq!(world.sandbox.stats().clevertap.uploads, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_is_what_the_mapping_says() {
    let world = World::with(3).await;
    let flow = world.flow(FLOW);
    world.run(&flow).await;
    for receiver in world.sandbox.receivers() {
        let profile = world.sandbox.profile(&receiver.id).unwrap();
        assert_eq!(profile["Email"], receiver.email.as_str());
        assert_eq!(profile["Newsletter"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_may_refuse_every_field_of_the_filter() {
    for refused in [vec!["registered"], vec!["registered", "activated", "deactivated", "bounced"]] {
        let switches = Switches {
            refused_filter_fields: refused.iter().map(|field| (*field).to_owned()).collect(),
            ..Switches::default()
        };
        let world = World::of(Options { receivers: 120, switches, ..Options::default() }).await;
        let flow = world.flow(&in_pages_of(50));
        world.run(&flow).await;
        world.sandbox.reset_stats();
        world.sandbox.advance_clock(300);
        use sandbox::Stamp::{Activated, Bounced, Deactivated, Registered};
        for field in [Registered, Activated, Deactivated, Bounced] {
            world.sandbox.touch(&Touch::count(7).field(field));
            let report = world.run(&flow).await;
            assert!(report.errors.is_empty(), "{:?}", report.errors);
            assert_eq!(report.counts.delivered, 7, "{field:?} with {refused:?} refused");
            world.sandbox.advance_clock(300);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ties_in_one_second_are_neither_lost_nor_repeated() {
    let world = World::with(80).await;
    let flow = world.flow(&in_pages_of(20));
    world.run(&flow).await;
    world.sandbox.advance_clock(3_600);
    let now = world.sandbox.now();

    // 50 change in one second, over three pages.
    let ids: Vec<String> =
        world.sandbox.receivers().iter().map(|it| it.id.clone()).take(50).collect();
    world.sandbox.touch(&Touch::ids(ids.clone()).at(now).attribute("firstname", "Tie"));
    assert_eq!(world.run(&flow).await.counts.delivered, 50);
    assert_eq!(world.run(&flow).await.counts.delivered, 0);

    // One changes again in that very second, after the poll.
    world
        .sandbox
        .touch(&Touch::ids(ids.iter().take(1).cloned()).at(now).attribute("firstname", "Again"));
    assert_eq!(world.run(&flow).await.counts.delivered, 1);
    assert_eq!(world.run(&flow).await.counts.delivered, 0);
    let profile = world.sandbox.profile(ids.first().unwrap()).unwrap();
    let name = profile["Name"].as_str().unwrap();
    assert!(name.starts_with("Again"), "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_dated_in_the_future_blinds_nothing() {
    let world = World::with(40).await;
    let flow = world.flow(FLOW);
    let ids: Vec<String> = world.sandbox.receivers().iter().map(|it| it.id.clone()).collect();
    world.sandbox.touch(&Touch::ids(ids.iter().take(1).cloned()).at(START + 400 * 86_400));
    world.run(&flow).await;
    let remembered = world.snapshot(&flow.name).await.unwrap().last_updated.unwrap();
    assert!(remembered <= Timestamp::from_secs(START), "{remembered}");

    world.sandbox.advance_clock(300);
    world.sandbox.touch(&Touch::ids(ids.iter().skip(1).take(3).cloned()));
    assert_eq!(world.run(&flow).await.counts.delivered, 3);
    assert_eq!(world.run(&flow).await.counts.delivered, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_date_header_our_own_clock_is_the_cap() {
    let world =
        World::of(Options { receivers: 40, date_header: false, ..Options::default() }).await;
    let flow = world.flow(FLOW);
    world.sandbox.touch(&Touch::count(1).at(START + 86_400));
    world.run(&flow).await;
    let remembered = world.snapshot(&flow.name).await.unwrap().last_updated;
    assert_eq!(remembered, Some(Timestamp::from_secs(START)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_at_each_commit_every_receiver_arrives_in_its_latest_version() {
    for moment in [Moment::Before, Moment::After] {
        for at in 1..=6 {
            let world = World::with(110).await;
            let flow = world.flow(&in_pages_of(20));
            let dying = Arc::new(Dying::new(world.store.clone(), at, moment));
            let report = world.run_with(dying.clone(), &flow).await;
            assert!(dying.is_dead() && !report.errors.is_empty(), "{moment:?} {at}");
            // The world goes on while the process is dead.
            world.sandbox.advance_clock(600);
            world.sandbox.touch(&Touch::count(9).attribute("firstname", "Later"));
            let report = world.run(&flow).await;
            assert!(report.errors.is_empty(), "{:?}", report.errors);
            assert_latest(&world);
            // At most the pages in the window, and what changed, were sent a second time.
            assert!(world.uploaded() <= 110 + 4 * 20 + 9, "{}", world.uploaded());
            world.sandbox.reset_stats();
            world.run(&flow).await;
            assert_eq!(world.uploaded(), 0, "{moment:?} {at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_write_of_any_commit_nothing_is_lost() {
    let world = World::with(50).await;
    let flow = world.flow(&in_pages_of(20));
    for writes in 0.. {
        let key = MasterKey::generate();
        let store = MemoryStore::new(&key);
        store.crash_after(writes);
        let crashed = !world.run_with(Arc::new(store.clone()), &flow).await.errors.is_empty();
        world.sandbox.clear_delivered();
        // What the first process delivered is forgotten: the second must know what is durable,
        // and the rest arrives.
        let survivor = Arc::new(store.reopen().await.unwrap());
        let settled = towpath_tests::world::settled(&*survivor, &flow.name).await;
        let report = world.run_with(survivor.clone(), &flow).await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        let arrived = world.sandbox.profiles().len() as u64;
        assert_eq!(arrived + settled, 50, "after {writes} writes");
        if !crashed {
            return;
        }
    }
}

/// Every receiver is at CleverTap as CleverReach has it now.
fn assert_latest(world: &World) {
    for receiver in world.sandbox.receivers() {
        let profile = world.sandbox.profile(&receiver.id);
        let profile = profile.unwrap_or_else(|| panic!("{} never arrived", receiver.id));
        assert_eq!(profile["Email"], receiver.email.as_str());
        if receiver.attributes.get("firstname").is_some_and(|name| name == "Later") {
            let name = profile["Name"].as_str().unwrap();
            assert!(name.starts_with("Later"), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_source_is_refused_until_somebody_decides() {
    let world = World::with(10).await;
    let flow = world.flow(FLOW);
    world.run(&flow).await;
    let other = world.flow(&FLOW.replace("groupName: Newsletter", "groupName: Customers"));
    let report = world.run(&other).await;
    let error = report.errors.first().unwrap().to_string();
    assert!(error.contains("state keep") && error.contains("state reset"), "{error}");

    let engine = std::sync::Arc::new(world.engine(world.store.clone()));
    let change = engine::StateChange::Reset { source: engine.source(&other).unwrap() };
    let flow = other.name.clone();
    let handle = engine::Handle::of(engine);
    handle.ask(engine::Request::Change { flow, change }).await.unwrap();
    assert!(world.run(&other).await.errors.is_empty());
    let snapshot = world.snapshot(&other.name).await.unwrap();
    assert_eq!(snapshot.generation, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeping_the_state_in_the_middle_of_a_scan_loses_nothing() {
    use sandbox::{Action, Fault, Vendor};
    let world = World::with(60).await;
    let flow = world.flow(&in_pages_of(10));
    let down = Fault::new(Vendor::CleverReach, "/receivers", Action::status(500));
    world.sandbox.fault(down.after(3).forever());
    assert!(!world.run(&flow).await.errors.is_empty());
    assert_eq!(world.uploaded(), 30);
    world.sandbox.clear_faults();
    // Another page size is another source: its page numbers mean other receivers.
    let flow = world.flow(&in_pages_of(50));
    let engine = std::sync::Arc::new(world.engine(world.store.clone()));
    let change = engine::StateChange::Keep { source: engine.source(&flow).unwrap() };
    let name = flow.name.clone();
    let handle = engine::Handle::of(engine);
    handle.ask(engine::Request::Change { flow: name, change }).await.unwrap();
    let report = world.run(&flow).await;
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert_eq!((world.uploaded(), world.sandbox.profile_count()), (60, 60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_clock_need_not_be_ours() {
    // The vendor's clock is ten minutes behind: what it dates is not in the future for it.
    let world = World::with(20).await;
    world.sandbox.set_clock(START - 600);
    let flow = world.flow(FLOW);
    world.run(&flow).await;
    world.sandbox.advance_clock(120);
    world.sandbox.touch(&Touch::count(5));
    assert_eq!(world.run(&flow).await.counts.delivered, 5);
}
