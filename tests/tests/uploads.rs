//! As many uploads as the vendor allows are under way at once, and never one more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::num::NonZeroU64;
use std::time::Duration;

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
