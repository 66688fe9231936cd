//! A flow as checked: nothing in it can be wrong any more without the systems' own say.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use connector::{Answers, ErasedAction, ErasedTrigger};
use mapping::{Engine, Mapping};
use serde_json::Value;

use crate::{Schedule, Test, graph};

/// A flow: a trigger and the steps that its messages take, in order.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The name, `[a-z0-9][a-z0-9-]*`: state belongs to it.
    pub name: String,
    /// What it is for, in the author's words.
    pub about: Option<String>,
    /// What finds the records.
    pub trigger: Trigger,
    /// What is done with each message, at least one, in an order in which each step comes behind
    /// those that it waits for.
    pub steps: Vec<Step>,
    /// When refused messages stop the flow.
    pub max_rejects: MaxRejects,
    /// Whose change wins where another flow goes the opposite way, both sides changed at once, and
    /// their systems do not tell which change is newer.
    pub prefer: Prefer,
    /// How many pages are fetched, mapped and delivered at once.
    pub window: NonZeroUsize,
    /// What every expression sees as `$flow`: `{ name, vars }`.
    pub variables: Arc<Value>,
    /// Examples that `towpath test` runs.
    pub tests: Vec<Test>,
}

impl Flow {
    /// Whether this engine evaluates any of the flow's expressions.
    pub fn is_evaluated_by(&self, engine: Engine) -> bool {
        let steps = self.steps.iter();
        let mut mappings = self
            .trigger
            .mapping
            .mapping()
            .into_iter()
            .chain(steps.flat_map(|step| step.when.iter().chain(step.mapping.mapping())));
        mappings.any(|mapping| mapping.engine() == engine)
    }

    /// The steps whose results a step sees: those it waits for, directly or behind one another.
    pub fn earlier(&self, step: usize) -> Vec<usize> {
        graph::behind(step, |at| {
            self.steps.get(at).map(|step| step.after.clone()).unwrap_or_default()
        })
    }

    /// Whether no step waits for this one.
    pub fn is_last(&self, step: usize) -> bool {
        !self.steps.iter().any(|other| other.after.contains(&step))
    }
}

/// What finds the records of a flow.
#[derive(Clone)]
pub struct Trigger {
    /// The connector's name.
    pub connector: String,
    /// The trigger's name within it.
    pub name: String,
    /// The account's name; empty where the connector has none.
    pub account: String,
    /// When the flow runs; `None` runs only when asked to.
    pub schedule: Option<Schedule>,
    /// How far before the last known change the next poll looks.
    pub overlap: Duration,
    /// How often everything is read again, for what no timestamp shows; `None` is never.
    pub sweep: Option<Duration>,
    /// How many records may be gone at once; `None` does not look for those that are gone.
    pub deletes: Option<MaxDeletes>,
    /// The fields as written, without `skipTransformation` and `customMapping`.
    pub fields: Arc<Value>,
    /// How failures are tried again.
    pub retry: Retry,
    /// From the raw record to the message.
    pub mapping: Transformation,
    /// The configured trigger.
    pub trigger: Arc<dyn ErasedTrigger>,
}

/// One use of an action.
#[derive(Clone)]
pub struct Step {
    /// The id, `[a-z][A-Za-z0-9_]*`, unique in the flow.
    pub id: String,
    /// The steps that have to be done before it, by their places among the flow's steps; none
    /// waits for the trigger alone. A message that one of them filters out or refuses does not
    /// come here.
    pub after: Vec<usize>,
    /// The connector's name.
    pub connector: String,
    /// The action's name within it.
    pub name: String,
    /// The account's name.
    pub account: String,
    /// Which messages it takes; the others are filtered out.
    pub takes: Takes,
    /// Messages for which this is not true are filtered out.
    pub when: Option<Mapping>,
    /// The fields as written, without `skipTransformation` and `customMapping`.
    pub fields: Arc<Value>,
    /// From the message to the action's input.
    pub mapping: Transformation,
    /// The configured action.
    pub action: Arc<dyn ErasedAction>,
    /// The largest batch, at most the action's own.
    pub batch: NonZeroUsize,
    /// Batches of one page under way at once; `None` leaves it to the account's limits.
    pub concurrency: Option<NonZeroUsize>,
    /// How failures are tried again.
    pub retry: Retry,
    /// What becomes of a message that the step refuses.
    pub on_reject: OnReject,
    /// What becomes of a message of which nobody knows whether it arrived, where the action may
    /// not be repeated.
    pub in_doubt: InDoubt,
}

/// A side of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// What the trigger finds.
    #[default]
    Source,
    /// What the step's system has.
    Target,
}

/// What becomes of a message that was sent, and nobody knows whether it arrived, by an action that
/// may not be repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InDoubt {
    /// It becomes a dead letter: somebody looks, and replays or drops it.
    #[default]
    Hold,
    /// It is sent again, and may arrive twice.
    Resend,
}

/// Which messages a step takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takes {
    /// Those of records that are new or changed.
    #[default]
    Changes,
    /// Those of records that are gone.
    Deletes,
    /// Both.
    All,
}

impl Takes {
    /// The kind that flow files call so.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "changes" => Some(Self::Changes),
            "deletes" => Some(Self::Deletes),
            "all" => Some(Self::All),
            _ => None,
        }
    }

    /// Whether a message is taken, of a record that is gone or of another one.
    pub const fn takes(self, deleted: bool) -> bool {
        match self {
            Self::Changes => !deleted,
            Self::Deletes => deleted,
            Self::All => true,
        }
    }
}

/// How data is brought from one shape to another.
#[derive(Clone, Debug)]
pub enum Transformation {
    /// Not at all (`skipTransformation: true`).
    Skip,
    /// By the flow's own expression (`customMapping`).
    Custom(Mapping),
    /// By the connector's expression.
    Default(Mapping),
}

impl Transformation {
    /// The expression, if there is one.
    pub const fn mapping(&self) -> Option<&Mapping> {
        match self {
            Self::Skip => None,
            Self::Custom(mapping) | Self::Default(mapping) => Some(mapping),
        }
    }
}

/// How failures are tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// How often a call is made before its page stops, the first time included.
    pub attempts: NonZeroUsize,
    /// How long all tries may take together, waits included: none begins later.
    pub time: Duration,
    /// The wait after the first failure; it doubles from there.
    pub base: Duration,
    /// The longest wait, unless the system asks for a longer one.
    pub cap: Duration,
    /// How much longer a wait may be by chance, as a share of it, 0 to 1.
    pub jitter: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: const { NonZeroUsize::new(5).unwrap() },
            time: Duration::from_secs(600),
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            jitter: 1.0,
        }
    }
}

/// What becomes of a message that a step refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnReject {
    /// It becomes a dead letter, and the flow goes on.
    #[default]
    DeadLetter,
    /// The flow stops before it, uncommitted.
    Stop,
}

impl OnReject {
    /// What a flow file calls so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "deadLetter" => Some(Self::DeadLetter),
            "stop" => Some(Self::Stop),
            _ => None,
        }
    }
}

/// How many messages of a page may be refused before the flow stops instead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxRejects {
    /// The share of the page's messages, 0 to 1.
    pub share: f64,
    /// So many are always let pass.
    pub at_least: usize,
}

impl Default for MaxRejects {
    fn default() -> Self {
        Self { share: 0.2, at_least: 20 }
    }
}

/// How many of the known records may be gone at once before the run fails instead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxDeletes {
    /// The share of the known records, 0 to 1.
    pub share: f64,
    /// So many may always be gone.
    pub at_least: u64,
}

impl MaxDeletes {
    /// Whether so many of the known records may be gone.
    pub fn allows(&self, gone: u64, known: u64) -> bool {
        // Records count in millions: a float holds them exactly.
        let share = self.share.clamp(0.0, 1.0) * known as f64;
        gone <= self.at_least || gone as f64 <= share
    }
}

impl Default for MaxDeletes {
    fn default() -> Self {
        Self { share: 0.1, at_least: 10 }
    }
}

impl Trigger {
    /// Whether its records come by themselves, from a system that calls it or from the runtime: what
    /// it finds is in the inbox, and it is never polled.
    pub fn is_called(&self) -> bool {
        !self.trigger.is_polled()
    }

    /// Whether its system tells it of changes by calling, beside being polled: a run takes first what
    /// was told, and a poll finds what was not.
    pub fn hears(&self) -> bool {
        self.trigger.is_polled() && self.trigger.webhook().is_some()
    }

    /// The account's name, if it needs one.
    pub fn account(&self) -> Option<&str> {
        Some(self.account.as_str()).filter(|name| !name.is_empty())
    }

    /// How whoever calls it is answered, if that waits for what the flow makes of its request.
    pub fn answers(&self) -> Option<Answers> {
        self.trigger.webhook()?.answers()
    }

    /// Lets every run read everything and delete all that is gone, however much it is.
    pub fn allow_deletes(&mut self) {
        if let Some(deletes) = &mut self.deletes {
            deletes.share = 1.0;
            self.sweep = Some(Duration::ZERO);
        }
    }
}

impl fmt::Debug for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.connector, self.name)?;
        self.account().map_or(Ok(()), |account| write!(f, " ({account})"))
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}.{} ({})", self.id, self.connector, self.name, self.account)
    }
}
