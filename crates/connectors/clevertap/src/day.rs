//! Days and times as CleverTap writes them: in the project's time zone, without saying so.

use std::borrow::Cow;

use chrono::{DateTime, Days, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use connector::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::settings;

/// A day in the project's time zone, written as the number 20260131.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct Day(pub(crate) u32);

impl Day {
    fn of(date: NaiveDate) -> Option<Self> {
        date.format("%Y%m%d").to_string().parse().ok().map(Self)
    }

    fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().split('-').collect();
        let fits = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let date = NaiveDate::parse_from_str(&digits, "%Y%m%d").ok().filter(|_| fits)?;
        Self::of(date)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Value::deserialize(deserializer)?;
        let text = match &given {
            Value::String(text) => text.clone(),
            given => given.to_string(),
        };
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{given} is no day: 20260131 is meant, or \"2026-01-31\""
            ))
        })
    }
}

impl JsonSchema for Day {
    fn schema_name() -> Cow<'static, str> {
        "Day".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"] })
    }
}

/// How many days back is looked where nothing is said.
pub(crate) const fn month() -> u16 {
    30
}

/// The project's time zone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zone(Tz);

impl Zone {
    /// The zone that the account names; no API tells it.
    pub(crate) fn of(api: &Api) -> Result<Self> {
        Self::named(settings::given(api, settings::TIMEZONE).unwrap_or("UTC"))
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        name.parse().map(Self).map_err(|_| {
            Error::config(format!(
                "`timezone`: there is no time zone \"{name}\"; give an IANA name"
            ))
        })
    }

    /// The day of a moment there.
    pub(crate) fn day(self, moment: Timestamp) -> Result<Day> {
        let time = DateTime::from_timestamp_millis(moment.millis());
        let day = time.and_then(|time| Day::of(time.with_timezone(&self.0).date_naive()));
        day.ok_or_else(|| Error::config(format!("{moment} is on no day of the calendar")))
    }

    /// The day so many days before the one of a moment.
    pub(crate) fn days_before(self, moment: Timestamp, days: u16) -> Result<Day> {
        let time = DateTime::from_timestamp_millis(moment.millis());
        let date = time.map(|time| time.with_timezone(&self.0).date_naive());
        let date = date.and_then(|date| date.checked_sub_days(Days::new(days.into())));
        date.and_then(Day::of)
            .ok_or_else(|| Error::config(format!("{days} days before {moment} there is no day")))
    }

    /// The moment of a time `yyyyMMddHHmmss` there.
    ///
    /// Where clocks are set back an hour comes twice: the later one is meant, since an event that
    /// is taken for older than it is would be passed over. Of an hour that clocks leave out, the
    /// moment is as much behind the gap as the time is in it.
    pub(crate) fn moment(self, time: u64) -> Option<Timestamp> {
        let local = NaiveDateTime::parse_from_str(&format!("{time:014}"), "%Y%m%d%H%M%S").ok()?;
        let there = match self.0.from_local_datetime(&local) {
            LocalResult::Single(there) | LocalResult::Ambiguous(_, there) => there,
            LocalResult::None => {
                let gap = TimeDelta::hours(1);
                let before = local.checked_sub_signed(gap)?;
                self.0.from_local_datetime(&before).latest()?.checked_add_signed(gap)?
            }
        };
        Some(Timestamp::from_millis(there.timestamp_millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::named(name).unwrap()
    }

    #[test]
    fn times_are_the_projects_own_through_changes_of_its_clocks() {
        let at = |time, name| zone(name).moment(time).map(|it| it.to_string());
        let is = |time, name, expected: &str| assert_eq!(at(time, name).as_deref(), Some(expected));
        is(20_151_023_140_416, "UTC", "2015-10-23T14:04:16Z");
        is(20_151_023_140_416, "Asia/Kolkata", "2015-10-23T08:34:16Z");
        // Half past two comes twice, or never.
        is(20_261_025_023_000, "Europe/Berlin", "2026-10-25T01:30:00Z");
        is(20_260_329_023_000, "Europe/Berlin", "2026-03-29T01:30:00Z");
        for odd in [0, 20_151_323_140_416, 2_015_102_314] {
            assert_eq!(at(odd, "UTC"), None, "{odd}");
        }
    }

    #[test]
    fn a_day_begins_where_the_project_is() {
        let moment = Timestamp::parse("2026-01-31T23:30:00Z").unwrap();
        assert_eq!(zone("UTC").day(moment).unwrap(), Day(20_260_131));
        assert_eq!(zone("Europe/Berlin").day(moment).unwrap(), Day(20_260_201));
        assert_eq!(zone("Europe/Berlin").days_before(moment, 30).unwrap(), Day(20_260_102));
        assert_eq!(zone("UTC").days_before(moment, 0).unwrap(), Day(20_260_131));
    }

    #[test]
    fn a_day_is_a_number_or_a_text() {
        let read = |value: Value| serde_json::from_value::<Day>(value).map_err(|it| it.to_string());
        assert_eq!(read(json!(20_260_131)), Ok(Day(20_260_131)));
        assert_eq!(read(json!("2026-01-31")), Ok(Day(20_260_131)));
        for odd in [json!(20_260_230), json!("yesterday"), json!(2026), json!(null)] {
            assert!(read(odd.clone()).unwrap_err().contains("20260131 is meant"), "{odd}");
        }
    }
}
