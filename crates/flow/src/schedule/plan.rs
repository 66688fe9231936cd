//! A flow's schedule as checked: every so often, or by a cron expression.

use std::fmt;
use std::time::Duration;

use connector::Timestamp;

use super::Cron;
use crate::duration;

/// When a flow runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// So long after a run began the next one does; at least a second.
    Every(Duration),
    /// At the moments that a cron expression names.
    Cron(Cron),
}

impl Schedule {
    /// The first tick of a flow that is started at `start`: an interval begins at once, a cron
    /// expression at its next moment.
    pub fn first(&self, start: Timestamp) -> Timestamp {
        match self {
            Self::Every(_) => start,
            Self::Cron(cron) => cron.after(start),
        }
    }

    /// The tick that follows the tick `tick`; it is always later, up to the end of time.
    pub fn after(&self, tick: Timestamp) -> Timestamp {
        match self {
            Self::Every(interval) => tick.plus(*interval),
            Self::Cron(cron) => cron.after(tick),
        }
    }

    /// The ticks of a flow that is started at `start`, strictly increasing, without an end.
    pub fn ticks(&self, start: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(Some(self.first(start)), |tick| Some(self.after(*tick)))
    }

    /// The time zone's IANA name; `UTC` for intervals, which have none.
    pub fn timezone(&self) -> &'static str {
        match self {
            Self::Every(_) => "UTC",
            Self::Cron(cron) => cron.timezone(),
        }
    }

    /// A moment as the clocks of the schedule's time zone show it, in RFC 3339 with the offset:
    /// `2026-03-29T03:00:00+02:00`.
    pub fn local(&self, at: Timestamp) -> String {
        match self {
            Self::Every(_) => at.to_string(),
            Self::Cron(cron) => cron.local(at),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(interval) => write!(f, "every {}", duration::written(*interval)),
            Self::Cron(cron) => write!(f, "cron {}", cron.expression()),
        }
    }
}
