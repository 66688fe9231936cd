//! What one evaluation may use, and the moment at which it pretends to happen.

use std::time::Duration;

/// The most that one evaluation may use; exceeding any of them is an [`Error`](crate::Error).
///
/// The default suits one record: generous for every sensible mapping, small enough that a
/// hostile one costs a second at most and never the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time, looked at every some steps.
    pub time: Duration,
    /// Steps: expressions evaluated, functions called; the same on every machine.
    pub steps: u64,
    /// Nested evaluations, so also the depth of a recursion that is not a tail call.
    pub depth: usize,
    /// Items of any array that the evaluation builds.
    pub array: usize,
    /// Bytes of any string that the evaluation builds.
    pub string: usize,
    /// Bytes of the result as compact JSON.
    pub result: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(1),
            steps: 1_000_000,
            depth: 500,
            array: 100_000,
            string: 4 << 20,
            result: 8 << 20,
        }
    }
}

/// The moment of an evaluation: fixes `$now()`, `$millis()` and `$random()`.
///
/// The same expression, input, variables and moment give the same bytes. The sequence that
/// `$random()` yields depends on the seed alone, so pass another seed for every message (derive
/// it from the message's id, for one): two messages with the same seed draw the same numbers.
/// Neighbouring seeds are as good as distant ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the epoch.
    pub now_ms: i64,
    /// Seed of `$random()` and `$shuffle()`.
    pub seed: u64,
}
