//! How much of what was settled before a poll reads: what the records that it found need.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use connector::prelude::*;
use sandbox::Touch;
use store::conformance::seen_of;
use store::{Commit, MasterKey, MemoryStore, SeenChange};
use towpath_tests::{Board, Dying, World, record, sweeping_flow_of};

const FLOW: &str = include_str!("../../flows/newsletter-to-clevertap.yaml");

/// A flow that has moved all receivers once, over a store that counts what is read.
struct Story {
    world: World,
    store: Arc<Dying>,
    flow: Arc<flow::Flow>,
}

impl Story {
    async fn of(receivers: usize, sweep: &str) -> Self {
        let world = World::with(receivers).await;
        let sweep = format!("  sweep: {sweep}\n  fields:\n    groupName");
        let flow = world.flow(&FLOW.replace("  fields:\n    groupName", &sweep));
        let store = Arc::new(Dying::never(world.store.clone()));
        let story = Self { world, store, flow };
        assert_eq!(story.run().await, receivers as u64);
        story.store.take_reads();
        story
    }

    /// Runs the flow on a process of its own; says how much was delivered.
    async fn run(&self) -> u64 {
        let report = self.world.run_with(self.store.clone(), &self.flow).await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        report.counts.delivered
    }

    fn pass(&self, seconds: i64) {
        self.world.sandbox.advance_clock(seconds);
        self.world.clock.advance(Duration::from_secs(seconds.unsigned_abs()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_looks_up_the_records_that_it_found_and_a_sweep_reads_all() {
    let story = Story::of(1_500, "1h").await;
    let commits = story.store.commits();
    // The overlap shows the record that changed last.
    assert_eq!((story.run().await, story.store.take_reads()), (0, (0, 1)));
    assert_eq!(story.store.commits(), commits, "nothing new is no commit");

    story.pass(600);
    story.world.sandbox.touch(&Touch::count(3).attribute("firstname", "Grace"));
    assert_eq!((story.run().await, story.store.take_reads()), (3, (0, 4)));
    assert_eq!((story.run().await, story.store.take_reads()), (0, (0, 3)));

    story.pass(3600);
    story.world.sandbox.touch(&Touch::count(2).attribute("firstname", "Ada"));
    // The poll looks its records up, then the sweep reads the table for all others.
    assert_eq!((story.run().await, story.store.take_reads()), (2, (1, 5)));
    story.world.sandbox.touch(&Touch::count(100).attribute("firstname", "Alan"));
    assert_eq!((story.run().await, story.store.take_reads()), (100, (1, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_superseded_goes_even_if_every_poll_finds_little() {
    let story = Story::of(1_500, "off").await;
    let (store, flow) = (&story.world.store, &story.flow.name);
    let head = store.head(flow).await.unwrap().unwrap();
    let seen = seen_of(&**store, flow).await.unwrap();
    let fence = store.lease(flow).await.unwrap().fence;
    let commit = Commit {
        snapshot: head.snapshot,
        seen: SeenChange::Append([&seen[..]; 4].concat()),
        ..Commit::default()
    };
    // As if every receiver had changed four times.
    store.commit(&fence, head.sequence + 1, commit).await.unwrap();
    for (kept, reads) in [(7_500, (0, 1)), (1_500, (1, 2)), (1_501, (0, 2))] {
        assert_eq!(story.store.take_reads(), (0, 0));
        let changed = u64::from(kept != 7_500);
        if changed > 0 {
            story.pass(600);
            story.world.sandbox.touch(&Touch::count(1).attribute("firstname", "Grace"));
        }
        assert_eq!((story.run().await, story.store.take_reads()), (changed, reads), "{kept}");
        assert_eq!(store.head(flow).await.unwrap().unwrap().seen_entries, kept);
    }
}

/// What pages added has no index: every look-up reads all of it.
#[tokio::test]
async fn pages_of_few_records_do_not_read_more_than_the_table_again_and_again() {
    let board = Board::new();
    board.on_poll(|scan| {
        let record = |number: usize| record(&number.to_string(), 100, 1);
        let from = scan.cursor.unwrap_or(0);
        Ok(match scan.want {
            Want::All => Page { records: (0..2_000).map(record).collect(), next: None },
            Want::Changed { .. } => {
                Page { records: vec![record(from)], next: Some(from + 1).filter(|it| *it < 8) }
            }
        })
    });
    let store = Arc::new(Dying::never(Arc::new(MemoryStore::new(MasterKey::generate()))));
    let flow = Arc::new(sweeping_flow_of(&board, Duration::from_secs(3_600)));
    assert_eq!(board.run(store.clone(), &flow).await.counts.delivered, 2_000);
    store.take_reads();
    let report = board.run(store.clone(), &flow).await;
    assert_eq!((report.counts.unchanged, report.pages, store.take_reads()), (8, 8, (1, 1)));
}
