//! What a seed's world is like: its flow, its systems, how often what goes wrong.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use connector::Changes;
use flow::Flow;

use crate::numbers::Numbers;
use crate::scripted;

/// How the steps hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Steps {
    One,
    /// The second behind the first.
    Chain,
    /// Both behind the trigger.
    Fork,
}

/// What does not change within a story.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) changes: Changes,
    /// None is a trigger without partitions.
    pub(crate) partitions: usize,
    /// Records of each partition.
    pub(crate) keys: u32,
    pub(crate) page: usize,
    pub(crate) window: usize,
    pub(crate) steps: Steps,
    /// What each step sends may not be sent twice.
    pub(crate) once: [bool; 3],
    /// What such a step left in doubt is sent again.
    pub(crate) resends: bool,
    /// The first step's system finishes some messages later.
    pub(crate) parks: bool,
    /// The first step has a condition.
    pub(crate) filters: bool,
    pub(crate) batch: usize,
    pub(crate) concurrency: Option<usize>,
    pub(crate) overlap: Duration,
    /// Values that this divides are refused for good; 0 refuses none.
    pub(crate) refuses: i64,
    /// Whether the system's answers tell its own time.
    pub(crate) dates: bool,
    /// What is gone is told to a step of its own.
    pub(crate) deletes: bool,
}

/// The step that is told what is gone.
pub(crate) const GONE: usize = 2;

/// What that step is sent for a key: values of records are higher.
pub(crate) fn gone(key: u32) -> i64 {
    -1 - i64::from(key)
}

/// The key of a record that is gone; `None` if a value is that of a record.
pub(crate) fn gone_key(value: i64) -> Option<u32> {
    u32::try_from(-1 - value).ok()
}

/// Values that this divides do not pass the condition.
pub(crate) const FILTERED: i64 = 5;

/// How often what is asked for a full scan again, where timestamps do not show all.
pub(crate) const SWEEP: Duration = Duration::from_secs(3_600);

impl Shape {
    pub(crate) fn of(numbers: &mut Numbers) -> Self {
        let kinds = [Changes::Timestamps, Changes::Timestamps, Changes::Content, Changes::Both];
        let changes = numbers.one_of(&kinds);
        Self {
            changes,
            partitions: numbers.one_of(&[0, 0, 1, 2, 3]),
            keys: numbers.one_of(&[1, 2, 4, 7, 12]),
            page: numbers.one_of(&[1, 2, 3, 5]),
            window: numbers.one_of(&[1, 2, 4]),
            steps: numbers.one_of(&[Steps::One, Steps::One, Steps::Chain, Steps::Fork]),
            once: std::array::from_fn(|_| numbers.below(3) == 0),
            resends: numbers.below(3) == 0,
            parks: numbers.below(4) == 0,
            filters: numbers.below(6) == 0,
            batch: numbers.one_of(&[1, 2, 3, 100]),
            concurrency: numbers.one_of(&[None, Some(1), Some(2)]),
            overlap: Duration::from_secs(numbers.one_of(&[0, 1, 60])),
            refuses: numbers.one_of(&[0, 0, 7, 11]),
            dates: numbers.below(4) > 0,
            deletes: changes != Changes::Timestamps && numbers.below(2) == 0,
        }
    }

    /// The flow; flows that differ in numbers alone are checked once a thread.
    pub(crate) fn flow(&self) -> Arc<Flow> {
        thread_local! {
            static CHECKED: std::cell::RefCell<HashMap<String, Flow>> = std::cell::RefCell::default();
        }
        let text = self.text();
        let mut flow = CHECKED.with_borrow_mut(|checked| {
            let made = || {
                let connectors = [scripted::connector()];
                let context = flow::Context { connectors: &connectors, config: None };
                let (flow, findings) = flow::check("simulated.yaml", &text, &context);
                flow.unwrap_or_else(|| panic!("{findings:#?}\n{text}"))
            };
            checked.entry(text.clone()).or_insert_with(made).clone()
        });
        flow.window = NonZeroUsize::new(self.window).unwrap();
        flow.trigger.overlap = self.overlap;
        if let Some(deletes) = &mut flow.trigger.deletes {
            deletes.share = 1.0;
        }
        for step in &mut flow.steps {
            step.batch = NonZeroUsize::new(self.batch).unwrap();
            step.concurrency = self.concurrency.and_then(NonZeroUsize::new);
        }
        Arc::new(flow)
    }

    fn text(&self) -> String {
        let trigger = match self.changes {
            Changes::Timestamps => "timestamps",
            Changes::Content => "contents",
            Changes::Both | Changes::None | Changes::Appended => "both",
        };
        let sweep = if self.changes == Changes::Both { "  sweep: 1h\n" } else { "" };
        let when = if self.filters { "    when: data.value % 5 != 0\n" } else { "" };
        let step = |at: usize, more: &str| {
            let once = self.once[at];
            let resends = if once && self.resends { "    inDoubt: resend\n" } else { "" };
            format!(
                "  - id: step{at}\n    use: simulated.write\n    account: simulated\n{more}{resends}    \
                 fields: {{ at: {at}, idempotent: {}, skipTransformation: true }}\n",
                !once
            )
        };
        let steps = match self.steps {
            Steps::One => step(0, when),
            Steps::Chain => step(0, when) + &step(1, ""),
            Steps::Fork => step(0, when) + &step(1, "    after: trigger\n"),
        };
        let deletes = if self.deletes { "  emitDeletes: true\n" } else { "" };
        let gone = if self.deletes {
            step(GONE, "    after: trigger\n    for: deletes\n").replace(
                "skipTransformation: true",
                "customMapping: '{ \"value\": -1 - $number(metadata.recordUid) }'",
            )
        } else {
            String::new()
        };
        format!(
            "flow: simulated\ntrigger:\n  use: simulated.{trigger}\n  account: simulated\n{sweep}{deletes}  \
             fields: {{ skipTransformation: true }}\nsteps:\n{steps}{gone}"
        )
    }

    /// The steps that come to a message first.
    pub(crate) const fn first(&self) -> &'static [usize] {
        match self.steps {
            Steps::One | Steps::Chain => &[0],
            Steps::Fork => &[0, 1],
        }
    }

    /// The steps behind one.
    pub(crate) fn behind(&self, step: usize) -> &'static [usize] {
        if self.steps == Steps::Chain && step == 0 { &[1] } else { &[] }
    }

    /// Whether the system of a step finishes a message later.
    pub(crate) const fn is_parked(&self, step: usize, value: i64) -> bool {
        self.parks && step == 0 && value % 3 == 0
    }

    /// Whether messages may come to a step behind a park: in no order.
    pub(crate) fn is_behind_a_park(&self, step: usize) -> bool {
        self.parks && (step == 0 || self.steps == Steps::Chain)
    }

    /// Whether a message comes to a step from a park: then it may be overtaken.
    pub(crate) fn goes_on_later(&self, step: usize, value: i64) -> bool {
        self.steps == Steps::Chain && step == 1 && self.is_parked(0, value)
    }

    /// Whether a step may be given a message only once, whatever happens.
    pub(crate) const fn is_strict(&self, step: usize) -> bool {
        self.once[step] && !self.resends
    }

    pub(crate) fn is_filtered(&self, step: usize, value: i64) -> bool {
        self.filters && step == 0 && value % FILTERED == 0
    }

    pub(crate) const fn is_refused(&self, value: i64) -> bool {
        self.refuses > 0 && value % self.refuses == 0
    }
}
