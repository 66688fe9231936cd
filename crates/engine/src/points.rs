//! The named points of a run, at which a test may stop the process.

/// Every point that [`Watch::at`](crate::Watch::at) tells, and what is true there.
pub const POINTS: &[(&str, &str)] = &[
    ("engine.run.leased", "the run has the right to commit; nothing was asked yet"),
    ("engine.run.listed", "the partitions are listed"),
    ("engine.page.fetched", "a page was fetched, and nothing is known of its records"),
    ("engine.sweep.fetched", "the same in a sweep: a full scan of what was read whole before"),
    ("engine.seen.loaded", "what was settled before is in memory"),
    ("engine.page.detected", "a page's new records are known, and nothing of them is mapped"),
    ("engine.page.mapped", "a page's records are messages"),
    ("engine.step.mapped", "a step's inputs are made, and none is sent"),
    ("engine.batch.next", "a batch is about to be sent"),
    ("engine.batch.answered", "a batch was answered, and nobody else knows"),
    ("engine.step.done", "a step of a page is done; others may not be"),
    ("engine.page.delivered", "a page is delivered, and nothing of it is committed"),
    ("engine.commit.next", "a page's commit is composed, and the store has not got it"),
    ("engine.commit.done", "a page is committed, and the run does not know it yet"),
    ("engine.scan.complete", "a scan is complete, its last page committed"),
    ("engine.sweep.next", "a sweep is due, and nothing of it was asked"),
    ("engine.check.next", "what a system finishes later is about to be asked after"),
    ("engine.check.answered", "it was answered, and nobody else knows"),
    ("engine.check.kept", "what was said of what is not done is committed"),
    ("engine.parked.delivered", "what depends on a step that is done now ran; it is not committed"),
    ("engine.parked.settled", "it is committed"),
    ("engine.run.done", "the run is over, and its line is not kept"),
];
