//! The history of flows that answer: a line a minute, not one a request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connector::Timestamp;
use store::{Counts, RunLine, Store};

use super::answer::millis;

/// The line of a minute is written at most so often while it goes on.
const OFTEN: Duration = Duration::from_secs(1);

/// The upper bounds of the classes that latencies are counted in, in milliseconds; twice as long
/// each. What is longer is in the last one.
const CLASSES: usize = 16;

/// What became of a request.
pub(super) enum Became {
    Answered,
    Filtered,
    /// Why, without a word of its content.
    Failed(String),
}

/// The minutes under way, by flow.
pub(super) struct Minutes {
    store: Arc<dyn Store>,
    flows: Mutex<HashMap<String, Minute>>,
}

#[derive(Default)]
struct Minute {
    start: Timestamp,
    written: Timestamp,
    counts: Counts,
    classes: [u64; CLASSES],
    failure: Option<String>,
}

impl Minutes {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, flows: Mutex::default() }
    }

    /// Counts a request, and writes the minute's line if it is time to.
    pub(super) async fn note(&self, flow: &str, now: Timestamp, took: Duration, became: Became) {
        let lines = {
            let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
            let minute = flows.entry(flow.to_owned()).or_default();
            let mut lines = vec![];
            let start = Timestamp::from_secs(now.secs().div_euclid(60) * 60);
            if minute.start != start {
                // What came after the last write belongs to the minute that is over.
                lines.extend((minute.counts.records > 0).then(|| minute.line(flow, minute.start)));
                *minute = Minute { start, ..Minute::default() };
            }
            minute.add(took, became);
            if now.since(minute.written) >= OFTEN {
                minute.written = now;
                lines.push(minute.line(flow, now));
            }
            lines
        };
        for line in lines {
            if let Err(error) = self.store.record_run(flow, line).await {
                tracing::warn!(flow, %error, "the line of a minute was not written");
            }
        }
    }
}

impl Minute {
    fn add(&mut self, took: Duration, became: Became) {
        self.counts.records += 1;
        self.counts.emitted += 1;
        match became {
            Became::Answered => self.counts.delivered += 1,
            Became::Filtered => self.counts.filtered += 1,
            Became::Failed(why) => {
                self.counts.dead_lettered += 1;
                self.failure = Some(why);
            }
        }
        let class = (u64::BITS - millis(took).leading_zeros()) as usize;
        if let Some(count) = self.classes.get_mut(class.min(CLASSES - 1)) {
            *count += 1;
        }
    }

    /// The upper bound of the class below which such a share of the requests lies.
    fn within(&self, percent: u64) -> u64 {
        let wanted = (self.counts.records * percent).div_ceil(100);
        let mut below = 0;
        for (class, count) in self.classes.iter().enumerate() {
            below += count;
            if below >= wanted {
                return 1 << class;
            }
        }
        1 << CLASSES
    }

    fn line(&self, flow: &str, finished: Timestamp) -> RunLine {
        let (half, most) = (self.within(50), self.within(99));
        let failures = self.counts.dead_lettered;
        RunLine {
            run: format!("{flow}-{}", self.start.millis()),
            started: self.start.millis(),
            finished: finished.millis(),
            outcome: format!("answered, half within {half} ms, 99 % within {most} ms"),
            counts: self.counts,
            error: self.failure.as_ref().map(|why| format!("{failures} failed, the last: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use store::{MasterKey, MemoryStore};

    use super::*;

    #[tokio::test]
    async fn a_minute_is_a_line() {
        let store = Arc::new(MemoryStore::new(MasterKey::generate()));
        let minutes = Minutes::new(store.clone());
        let at = |second: i64| Timestamp::from_secs(1_600_000_020 + second);
        for second in 0..120 {
            for request in 0..10 {
                let took = Duration::from_millis(if request == 0 { 100 } else { 3 });
                let became = match request {
                    0 => Became::Failed("it took longer than it may".to_owned()),
                    1 => Became::Filtered,
                    _ => Became::Answered,
                };
                minutes.note("f", at(second), took, became).await;
            }
        }
        let lines = store.runs("f").await.unwrap();
        assert_eq!(lines.len(), 2, "{lines:?}");
        let first = &lines[1];
        assert_eq!((first.counts.records, first.counts.delivered), (600, 480));
        assert_eq!((first.counts.filtered, first.counts.dead_lettered), (60, 60));
        assert_eq!(first.outcome, "answered, half within 4 ms, 99 % within 128 ms");
        assert!(first.error.as_ref().unwrap().starts_with("60 failed"), "{first:?}");
    }
}
