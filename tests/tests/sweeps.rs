//! Content sweeps: what changed without a timestamp moves too, and nothing else does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use connector::Timestamp;
use sandbox::{Action, Fault, Touch, Vendor, What};
use towpath_tests::{World, world::START};

const LIST: &str = "GET /v3/groups/{id}/receivers";
const FLOW: &str = include_str!("../../flows/newsletter-to-clevertap.yaml");

fn sweeping(every: &str) -> String {
    FLOW.replace("  fields:\n    groupName", &format!("  sweep: {every}\n  fields:\n    groupName"))
}

/// A flow that has moved all receivers once.
struct Story {
    world: World,
    flow: Arc<flow::Flow>,
}

impl Story {
    async fn of(receivers: usize, sweep: &str) -> Self {
        let world = World::with(receivers).await;
        let flow = world.flow(&sweeping(sweep));
        let story = Self { world, flow };
        assert_eq!(story.run().await, receivers as u64);
        story
    }

    /// Runs the flow; says how many profiles arrived.
    async fn run(&self) -> u64 {
        self.world.sandbox.reset_stats();
        let report = self.world.run(&self.flow).await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        assert_eq!(report.counts.delivered, self.world.uploaded());
        report.counts.delivered
    }

    /// Lets time pass on both sides.
    fn pass(&self, seconds: i64) {
        self.world.sandbox.advance_clock(seconds);
        self.world.clock.advance(Duration::from_secs(seconds.unsigned_abs()));
    }

    /// How many pages of the whole list the last run asked for.
    fn lists(&self) -> u64 {
        self.world.sandbox.stats().cleverreach.requests_to(LIST)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_without_a_timestamp_moves_with_the_next_sweep() {
    let story = Story::of(1_500, "1h").await;
    for what in [What::Tags, What::Attributes] {
        story.world.sandbox.touch(&Touch::count(1).only(what));
        story.pass(600);
        assert_eq!((story.run().await, story.lists()), (0, 0), "no timestamp shows {what:?}");
        story.pass(3000);
        assert_eq!(story.run().await, 1, "{what:?}");
        assert!(story.lists() > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_sends_nothing_that_a_poll_sent_and_opens_are_no_change() {
    let story = Story::of(1_500, "1h").await;
    story.world.sandbox.touch(&Touch::count(20).attribute("firstname", "Grace"));
    story.pass(600);
    assert_eq!((story.run().await, story.lists()), (20, 0));
    for _ in 0..2 {
        story.world.sandbox.touch(&Touch::count(500).only(What::Opens));
        story.pass(3600);
        assert_eq!(story.run().await, 0);
        assert!(story.lists() > 0, "it swept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_is_due_by_its_interval_and_never_if_it_is_off() {
    let story = Story::of(60, "1h").await;
    let swept = |world: &World| {
        let store = world.store.clone();
        async move {
            let head = store.head("newsletter-to-clevertap").await.unwrap().unwrap();
            engine::Snapshot::read("f", &head.snapshot).unwrap().last_sweep
        }
    };
    assert_eq!(swept(&story.world).await, Some(Timestamp::from_secs(START)));
    story.pass(3599);
    story.run().await;
    assert_eq!(story.lists(), 0);
    story.pass(1);
    story.run().await;
    assert!(story.lists() > 0);
    assert_eq!(swept(&story.world).await, Some(Timestamp::from_secs(START + 3600)));

    let story = Story::of(60, "off").await;
    story.pass(1_000_000);
    story.run().await;
    assert_eq!(story.lists(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_is_stuck_does_not_hold_up_the_polls() {
    let story = Story::of(2_500, "1h").await;
    let sandbox = &story.world.sandbox;
    sandbox.fault(Fault::new(Vendor::CleverReach, "page=1", Action::status(500)).forever());
    story.pass(3600);
    for _ in 0..2 {
        // The first time the poll goes before the sweep, then the broken sweep before the poll.
        sandbox.touch(&Touch::count(3).attribute("firstname", "Grace"));
        sandbox.reset_stats();
        let report = story.world.run(&story.flow).await;
        assert_eq!((report.errors.len(), report.counts.delivered), (1, 3));
        story.pass(600);
    }
    sandbox.clear_faults();
    assert_eq!(story.run().await, 0);
    assert!(story.lists() >= 3, "the sweep went to the end");
}
