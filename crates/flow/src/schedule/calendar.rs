//! The minutes of a calendar that a cron expression names, without any time zone.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Weekday};

/// The Gregorian calendar repeats after so many days, weekdays included.
const CYCLE: usize = 146_097;

/// A set of minutes on the wall clock.
///
/// Numbers are bits: bit 5 of `minutes` is the minute 5, bit 0 of a set of weekdays is Sunday.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calendar {
    pub(super) minutes: u64,
    pub(super) hours: u32,
    pub(super) days: Days,
    pub(super) months: u16,
    pub(super) weekdays: Weekdays,
    /// Whether the minute or the hour begins with `*`: the expression names an interval.
    pub(super) interval: bool,
    /// Whether a day must be named by both day fields; otherwise either suffices.
    pub(super) both: bool,
}

/// Days of a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Days {
    pub(super) numbers: u32,
    /// `15W`: the working day nearest to the 15th, in the same month.
    pub(super) nearest: u32,
    /// `L`: the last day.
    pub(super) last: bool,
    /// `LW`: the last working day.
    pub(super) last_working: bool,
}

/// Days of a week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weekdays {
    pub(super) every: u8,
    /// `MON#1` is in the first: the first Monday of a month.
    pub(super) nth: [u8; 5],
    /// `5L`: the last Friday of a month.
    pub(super) last: u8,
}

impl Calendar {
    /// Whether the minute that `wall` is in belongs to the set.
    pub(super) fn contains(&self, wall: NaiveDateTime) -> bool {
        bit(self.minutes, wall.minute()) && bit(self.hours, wall.hour()) && self.day(wall.date())
    }

    /// The first minute of the set at or after `from`; `None` if there is none any more.
    pub(super) fn next(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let from = match from.time().signed_duration_since(whole_minute(from.time())) {
            rest if rest.is_zero() => from,
            rest => from.checked_add_signed(TimeDelta::minutes(1) - rest)?,
        };
        let (mut date, mut earliest) = (from.date(), from.time());
        for _ in 0..CYCLE {
            if !bit(self.months, date.month()) {
                date = date.with_day(1)?.checked_add_months(chrono::Months::new(1))?;
                earliest = NaiveTime::MIN;
                continue;
            }
            if self.day(date)
                && let Some(time) = self.time(earliest)
            {
                return Some(date.and_time(time));
            }
            date = date.succ_opt()?;
            earliest = NaiveTime::MIN;
        }
        None
    }

    /// Whether the set has any minute at all; there is no 30th of February.
    pub(super) fn fires(&self) -> bool {
        self.next(NaiveDateTime::default()).is_some()
    }

    /// The first time of day at or after `earliest`, which is a whole minute.
    fn time(&self, earliest: NaiveTime) -> Option<NaiveTime> {
        let in_hour = |hour: u32, from: u32| {
            let minute = (from..60).find(|minute| bit(self.minutes, *minute))?;
            NaiveTime::from_hms_opt(hour, minute, 0)
        };
        let first = earliest.hour();
        let mut hours = (first..24).filter(|hour| bit(self.hours, *hour));
        hours.find_map(|hour| in_hour(hour, if hour == first { earliest.minute() } else { 0 }))
    }

    fn day(&self, date: NaiveDate) -> bool {
        let (day, weekday) = (self.days.contain(date), self.weekdays.contain(date));
        bit(self.months, date.month()) && if self.both { day && weekday } else { day || weekday }
    }
}

impl Days {
    fn contain(&self, date: NaiveDate) -> bool {
        let (day, length) = (date.day(), u32::from(date.num_days_in_month()));
        // A working day stands in for the weekend days at most two days away from it.
        let near = day.saturating_sub(2).max(1)..=(day + 2).min(length);
        bit(self.numbers, day)
            || self.last && day == length
            || self.last_working && nearest_working(date, length) == Some(day)
            || near
                .filter(|named| bit(self.nearest, *named))
                .any(|named| nearest_working(date, named) == Some(day))
    }
}

/// The working day nearest to the day `named` of the month of `date`, in that month.
fn nearest_working(date: NaiveDate, named: u32) -> Option<u32> {
    let length = u32::from(date.num_days_in_month());
    Some(match date.with_day(named)?.weekday() {
        Weekday::Sat if named == 1 => 3,
        Weekday::Sat => named - 1,
        Weekday::Sun if named == length => named - 2,
        Weekday::Sun => named + 1,
        _ => named,
    })
}

impl Weekdays {
    fn contain(&self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        let nth = usize::try_from(date.day0() / 7).ok().and_then(|nth| self.nth.get(nth));
        let last = date.day() + 7 > u32::from(date.num_days_in_month());
        bit(self.every, weekday)
            || nth.is_some_and(|nth| bit(*nth, weekday))
            || last && bit(self.last, weekday)
    }
}

fn bit(set: impl Into<u64>, number: u32) -> bool {
    set.into() & (1 << number) != 0
}

/// The minute that a time of day is in.
fn whole_minute(time: NaiveTime) -> NaiveTime {
    NaiveTime::from_hms_opt(time.hour(), time.minute(), 0).unwrap_or(time)
}
