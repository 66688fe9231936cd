//! What a run tells while it runs.

use std::time::Duration;

use connector::{Timestamp, Want};
use store::Counts;

use crate::{Error, Place};

/// Something that happened in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A run begins, or a look at what systems finish later. No other one of the flow is under way.
    Began {
        /// The flow's name.
        flow: &'a str,
        /// The run's id, as its line has it.
        run: &'a str,
    },
    /// A scan begins, or goes on where an earlier run left it.
    Scanning {
        /// The flow's name.
        flow: &'a str,
        /// The partition; empty if there are none.
        partition: &'a str,
        /// What is asked for.
        want: Want,
        /// Whether an earlier run began it.
        resumed: bool,
    },
    /// A page of a backfill begins.
    Backfilling {
        /// The flow's name.
        flow: &'a str,
        /// The partition; empty if there are none.
        partition: &'a str,
        /// What is asked for.
        want: Want,
        /// How many records the backfill took so far, over all runs.
        records: u64,
        /// How many partitions are done.
        done: usize,
        /// How many partitions there are.
        partitions: usize,
        /// Whether an earlier run began it, and this is the first page of this one.
        resumed: bool,
    },
    /// A page was committed, or had nothing to commit.
    Committed {
        /// The flow's name.
        flow: &'a str,
        /// What became of the page's records.
        counts: Counts,
        /// How long the store took; `None` if there was nothing to commit.
        took: Option<Duration>,
    },
    /// A call of a step's action came to its end, well or not.
    Called {
        /// Where.
        place: &'a Place,
        /// How many messages it had.
        messages: usize,
        /// How long it took.
        took: Duration,
    },
    /// A call failed and is tried again.
    Retrying {
        /// Where.
        place: &'a Place,
        /// How often it was tried.
        tries: usize,
        /// How long the run waits before the next try.
        wait: Duration,
        /// Why.
        reason: &'a str,
    },
    /// A message became a dead letter.
    DeadLetter {
        /// Where.
        place: &'a Place,
        /// The reason's code.
        code: &'a str,
    },
    /// An account is left alone from now on, or used again. It concerns all flows that use it, and is
    /// told to whom [`Engine::tell_of_accounts`](crate::Engine::tell_of_accounts) names.
    Account {
        /// The account's name.
        account: &'a str,
        /// What changed.
        change: &'a AccountChange<'a>,
    },
    /// A partition failed; the others go on.
    Failed {
        /// Why.
        error: &'a Error,
    },
}

/// How an account's use changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountChange<'a> {
    /// Its credentials were refused: nobody asks or sends with it but a probe now and then.
    Paused {
        /// What was refused.
        reason: &'a str,
        /// How long until the first probe.
        wait: Duration,
    },
    /// A probe passed, its credentials are others, or an operator said so.
    Resumed {
        /// Whether something of it is held all the same.
        holds: bool,
    },
    /// Something was refused that its system wants not to be asked again: nothing of that kind is
    /// sent with it.
    Held {
        /// What was refused.
        reason: &'a str,
    },
    /// Its credentials are others, or an operator said so.
    Released,
    /// Most requests of a class failed: nothing of it is sent but a probe now and then.
    BreakerOpened {
        /// The limit class.
        class: &'a str,
        /// How the last one failed.
        reason: &'a str,
        /// How long until the next probe.
        wait: Duration,
        /// Whether it was open before, and a probe failed.
        again: bool,
    },
    /// A probe passed, or an operator said so.
    BreakerClosed {
        /// The limit class.
        class: &'a str,
    },
    /// Requests of a class have been answered with nothing but 5xx for as long as the connector
    /// has something to say of.
    Outage {
        /// The limit class.
        class: &'a str,
        /// When the first of these requests began.
        since: Timestamp,
        /// Whom to tell, or what to do.
        advice: &'a str,
    },
    /// One of them was answered otherwise, or not at all.
    OutageOver {
        /// The limit class.
        class: &'a str,
    },
}

/// Receives what happens; called from several threads, and must not block.
pub trait Watch: Send + Sync {
    /// Takes one event.
    fn on(&self, event: &Event<'_>);

    /// A run has come to one of [`POINTS`](crate::POINTS), for tests that stop the process there.
    ///
    /// It may block for ever: what the run would do next is then not done.
    fn at(&self, _point: &'static str) {}
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Watch for Silent {
    fn on(&self, _event: &Event<'_>) {}
}
