//! A cron expression in a time zone: which moments it names, changes of the clock included.
//!
//! A time zone's clock is set forward (a *gap*: local times that do not exist) and back (a
//! *repeat*: local times that exist twice). Two kinds of expressions, told apart as cron does,
//! want different things of it:
//!
//! - *Fixed times* (neither minute nor hour begins with `*`) name local times, and each runs once
//!   a day: one inside a gap at the first moment after it (several in one gap together), one that
//!   is repeated at its first occurrence.
//! - *Intervals* (minute or hour begins with `*`) name moments, and go on in real time: nothing
//!   is made up for a gap, and both occurrences of a repeated local time run.

use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone, Timelike};
use chrono_tz::{GapInfo, Tz};
use connector::Timestamp;

use super::calendar::Calendar;
use super::expression;

/// A cron expression and the time zone that it is meant in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    expression: Arc<str>,
    calendar: Calendar,
    zone: Tz,
}

impl Cron {
    /// Reads an expression of five fields and the IANA name of its time zone; the error says
    /// what is wrong.
    pub fn parse(expression: &str, timezone: &str) -> Result<Self, String> {
        let calendar = expression::read(expression).map_err(|problems| {
            let messages = problems.into_iter().map(|problem| problem.message);
            messages.collect::<Vec<_>>().join(", ")
        })?;
        let zone = zone(timezone).ok_or_else(|| format!("there is no time zone `{timezone}`"))?;
        Ok(Self::new(expression, calendar, zone))
    }

    pub(super) fn new(expression: &str, calendar: Calendar, zone: Tz) -> Self {
        Self { expression: expression.trim().into(), calendar, zone }
    }

    /// The expression as written.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The time zone's IANA name.
    pub fn timezone(&self) -> &'static str {
        self.zone.name()
    }

    /// The first tick later than a moment.
    ///
    /// Ticks strictly increase. Where the calendar ends, in the year 262000, the answer is the
    /// last moment that a timestamp can hold.
    pub fn after(&self, at: Timestamp) -> Timestamp {
        let tick = self.in_zone(at).and_then(|at| {
            if self.calendar.interval { self.interval(&at) } else { self.fixed(&at) }
        });
        tick.map_or(Timestamp::from_millis(i64::MAX), |tick| {
            Timestamp::from_millis(tick.timestamp_millis())
        })
    }

    /// A moment as local clocks show it, in RFC 3339.
    pub(super) fn local(&self, at: Timestamp) -> String {
        self.in_zone(at).map_or_else(
            || at.to_string(),
            |local| local.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false),
        )
    }

    fn in_zone(&self, at: Timestamp) -> Option<DateTime<Tz>> {
        DateTime::from_timestamp_millis(at.millis()).map(|utc| utc.with_timezone(&self.zone))
    }

    /// The first tick after `at` of fixed times.
    fn fixed(&self, at: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        // A later local time never has an earlier first moment, so that whatever is before `at`
        // on the wall clock has passed; what is after it may have, in the second half of a
        // repeat.
        let mut wall = at.naive_local();
        loop {
            wall = self.calendar.next(wall)?;
            let tick = match self.zone.from_local_datetime(&wall) {
                MappedLocalTime::Single(tick) | MappedLocalTime::Ambiguous(tick, _) => tick,
                MappedLocalTime::None => self.after_gap(wall)?,
            };
            if tick > *at {
                return Some(tick);
            }
            wall = wall.checked_add_signed(TimeDelta::minutes(1))?;
        }
    }

    /// The first tick after `at` of an interval.
    fn interval(&self, at: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        let mut from = next_minute(at)?;
        loop {
            // Before the clock is set back, local times that are earlier than now lie ahead: the
            // wall clock cannot be searched, but a repeat is short.
            while self.is_first_half(&from) {
                if self.calendar.contains(from.naive_local()) {
                    return Some(from);
                }
                from = next_minute(&from)?;
            }
            let wall = self.calendar.next(from.naive_local())?;
            from = match self.zone.from_local_datetime(&wall) {
                MappedLocalTime::Single(tick) => return Some(tick),
                MappedLocalTime::Ambiguous(first, second) => {
                    return Some(if first >= from { first } else { second });
                }
                MappedLocalTime::None => self.after_gap(wall)?,
            };
        }
    }

    /// Whether the local time of this moment comes once more.
    fn is_first_half(&self, at: &DateTime<Tz>) -> bool {
        let twice = self.zone.from_local_datetime(&at.naive_local());
        matches!(twice, MappedLocalTime::Ambiguous(first, _) if first == *at)
    }

    /// The first moment after the gap that a local time is in.
    fn after_gap(&self, wall: NaiveDateTime) -> Option<DateTime<Tz>> {
        GapInfo::new(&wall, &self.zone)?.end
    }
}

/// The next whole minute of the local clock.
fn next_minute(at: &DateTime<Tz>) -> Option<DateTime<Tz>> {
    let into = TimeDelta::seconds(at.second().into())
        + TimeDelta::nanoseconds((at.nanosecond() % 1_000_000_000).into());
    (*at).checked_add_signed(TimeDelta::minutes(1) - into)
}

/// The time zone of that name, in its exact spelling.
pub(super) fn zone(name: &str) -> Option<Tz> {
    Tz::from_str(name).ok()
}
