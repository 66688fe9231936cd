//! As many requests as the vendor allows are under way at once, uploads and others, and never one
//! more, whichever flows of the project they are of.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use connector::Clock;
use engine::{Engine, Silent, Stop};
use sandbox::{Action, Fault, Vendor, VendorStats};
use towpath_tests::World;

const UPLOAD: &str = "POST /1/upload";
const AT_ONCE: u64 = 15;
/// Who has come to no end by now has too few under way.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a flow against a vendor that answers no upload before as many as it allows are under way,
/// again and again.
async fn run(world: &World, text: &str) -> VendorStats {
    let flow = world.flow(text);
    let requests = NonZeroU64::new(AT_ONCE).unwrap();
    let together = Action::Gather { requests };
    world.sandbox.fault(Fault::new(Vendor::CleverTap, "/1/upload", together).forever());
    // All of it takes a part of a second.
    let Ok(report) = tokio::time::timeout(PATIENCE, world.run(&flow)).await else {
        panic!("{} were under way and no more", world.sandbox.stats().clevertap.most_at_once);
    };
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    world.sandbox.stats().clevertap
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_are_one_upload_each_keep_every_place_busy() {
    let world = World::with(900).await;
    let text = include_str!("../../flows/newsletter-to-clevertap.yaml")
        .replace("groupName: Newsletter\n", "groupName: Newsletter\n    pageSize: 20\n");
    let stats = run(&world, &format!("{text}\nwindow: 20\n")).await;
    assert_eq!((stats.uploads, stats.requests_to(UPLOAD)), (45, 45));
    assert_eq!((stats.most_at_once_to(UPLOAD), stats.over_limit), (AT_ONCE, 0));
    assert_eq!((world.uploaded(), world.sandbox.profile_count()), (900, 900));
}

/// The flow of the benchmark, on a file of three pages, each of them fifteen uploads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_uploads_of_one_page_keep_every_place_busy() {
    let mut world = World::with(0).await;
    let folder = tempfile::tempdir().unwrap();
    let line =
        |id| format!("{{\"id\":{id},\"firstName\":\"Ada\",\"email\":\"a.{id}@example.com\"}}\n");
    let lines: String = (1..=3_000).map(line).collect();
    std::fs::write(folder.path().join("people.ndjson"), lines).unwrap();
    let values = [("folder".to_owned(), folder.path().to_str().unwrap().to_owned())];
    let account = file::connector().account("files", None, values.into()).unwrap();
    let account = engine::Account { account, limits: Default::default() };
    world.more.insert("files".to_owned(), account);

    let text = include_str!("../../benches/uploads/flow.yaml");
    let whole = world.flow(text);
    assert!(whole.run_tests().iter().all(flow::TestResult::passed));
    let one_page = text.replace("window: 20", "window: 1");
    let one_page = one_page.replace("account: engagement", "account: engagement\n    batch: 67");
    let stats = run(&world, &one_page).await;
    assert_eq!((stats.uploads, stats.most_at_once_to(UPLOAD), stats.over_limit), (45, AT_ONCE, 0));
    assert_eq!((world.uploaded(), world.sandbox.profile_count()), (3_000, 3_000));
}

const OTHERS: u64 = 3;
const LOOKS: &str = "GET /1/profile.json";

/// A flow that makes a request of every page, or of every message.
fn flow(name: &str, account: &str, step: &str) -> String {
    format!(
        "flow: {name}\nwindow: 20\ntrigger:\n  use: cleverreach.getReceiversByGroupIdPolling\n  \
         account: newsletter\n  fields: {{ groupName: Newsletter, pageSize: 4 }}\nsteps:\n  \
         - id: sent\n    account: {account}\n    {step}\n"
    )
}

const UPLOADS: &str = "use: clevertap.uploadProfiles";
const FOUND: &str = "use: clevertap.getProfile\n    fields: { missing: goOn }";
const PARTED: &str = "use: clevertap.demergeProfiles\n    batch: 1";

/// Runs flows at the same time, in one process, until CleverTap was asked by all of them.
async fn together(world: &World, texts: &[String]) -> VendorStats {
    let engine: Arc<Engine> = Arc::new(world.engine(world.store.clone()));
    let runs = texts.iter().map(|text| {
        let (flow, engine) = (world.flow(text), engine.clone());
        tokio::spawn(async move {
            let (_stopper, stop) = Stop::new(Duration::from_secs(30));
            engine.run(&flow, stop, Arc::new(Silent)).await
        })
    });
    for run in runs.collect::<Vec<_>>() {
        let Ok(report) = tokio::time::timeout(PATIENCE, run).await else {
            panic!("{} were under way and no more", world.sandbox.stats().clevertap.most_at_once);
        };
        let report = report.unwrap();
        assert!(report.errors.is_empty(), "{:?}", report.errors);
    }
    world.sandbox.stats().clevertap
}

fn gather(world: &World, requests: u64) -> Fault {
    world.sandbox.clear_faults();
    let requests = NonZeroU64::new(requests).unwrap();
    Fault::new(Vendor::CleverTap, "", Action::Gather { requests })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_flows_of_a_project_share_the_uploads_and_the_others() {
    let world = World::with(180).await;
    // Nobody is answered before all places are taken, those of uploads and those of others.
    let all = AT_ONCE + OTHERS;
    world.sandbox.fault(gather(&world, all).times(all));
    let texts = [("first", UPLOADS), ("second", UPLOADS), ("third", FOUND), ("fourth", PARTED)];
    let texts = texts.map(|(name, step)| flow(name, "engagement", step));
    let stats = together(&world, &texts).await;
    assert_eq!((stats.most_at_once, stats.most_at_once_to(UPLOAD)), (all, AT_ONCE));
    assert_eq!(
        (stats.requests_to(UPLOAD), stats.requests_to(LOOKS), stats.over_limit),
        (90, 180, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_no_upload_shares_three_places() {
    let world = World::with(90).await;
    world.sandbox.fault(gather(&world, OTHERS).forever());
    let texts = [("found", FOUND), ("parted", PARTED)];
    let stats = together(&world, &texts.map(|(name, step)| flow(name, "engagement", step))).await;
    assert_eq!((stats.total_requests(), stats.most_at_once, stats.over_limit), (180, OTHERS, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_that_says_so_is_asked_three_times_a_second_by_all_its_flows() {
    for per_second in ["", "3"] {
        let mut world = World::with(30).await;
        let known = world.sandbox.credentials().clone();
        let values = [
            ("projectId", known.project_id.as_str()),
            ("passcode", &known.passcode),
            ("requestsPerSecond", per_second),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let url = world.sandbox.clevertap_url();
        let account = clevertap::connector().account("paced", Some(&url), values).unwrap();
        let account = engine::Account { account, limits: Default::default() };
        world.more.insert("paced".to_owned(), account);
        let texts = [("found", FOUND), ("parted", PARTED)];
        let stats = together(&world, &texts.map(|(name, step)| flow(name, "paced", step))).await;
        assert_eq!((stats.total_requests(), stats.over_limit), (60, 0));
        // The first begins at once, each of the others a third of a second after the one before.
        let expected = if per_second.is_empty() { 0 } else { 19 };
        let took = world.clock.elapsed().as_secs();
        assert!(took >= expected && (expected > 0 || took == 0), "{per_second}: {took} s");
        // Uploads are not paced.
        let before = world.clock.elapsed();
        together(&world, &[flow("uploads", "paced", UPLOADS)]).await;
        assert_eq!(world.clock.elapsed(), before);
    }
}
