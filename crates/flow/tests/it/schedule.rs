//! When cron expressions fire, above all where clocks change.
//!
//! The oracle walks every minute of UTC, asks croner whether the local time matches, and applies
//! the documented rules; it shares no code with what it judges.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use chrono::{DateTime, NaiveDateTime, TimeDelta};
use chrono_tz::Tz;
use connector::Timestamp;
use croner::parser::{CronParser, Seconds, Year};
use flow::{Cron, Schedule};
use proptest::prelude::*;

/// Days on which clocks change, each with some days around it.
const CHANGES: [(&str, &str); 16] = [
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("America/Sao_Paulo", "2017-10-15T03:00:00Z"),
    ("America/Sao_Paulo", "2018-02-18T02:00:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
    ("America/Sao_Paulo", "2019-02-17T02:00:00Z"),
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("Atlantic/Azores", "2026-03-29T01:00:00Z"),
    ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
    ("Antarctica/Troll", "2026-10-25T01:00:00Z"),
    // A whole day that Samoa left out.
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Asia/Kathmandu", "2026-01-01T00:00:00Z"),
    ("UTC", "2024-02-29T00:00:00Z"),
];

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn minutes(count: i64) -> Timestamp {
    Timestamp::from_secs(count * 60)
}

/// The ticks later than `from` and not later than `to`.
fn ticks(cron: &Cron, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let after = |tick: &Timestamp| Some(cron.after(*tick));
    std::iter::successors(after(&from), after).take_while(|tick| *tick <= to).collect()
}

fn croner(expression: &str) -> croner::Cron {
    let fields: Vec<&str> = expression.split(' ').collect();
    // Croner takes `*/2` for a restriction of its own; cron does not.
    let both = fields[2].starts_with('*') || fields[4].starts_with('*');
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed);
    parser.dom_and_dow(both).build().parse(expression).unwrap()
}

/// The ticks later than `from` and not later than `to`, by walking every minute.
fn oracle(expression: &str, zone: &str, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let (pattern, zone) = (croner(expression), zone.parse::<Tz>().unwrap());
    let mut fields = expression.split(' ');
    let interval =
        fields.next().unwrap().starts_with('*') || fields.next().unwrap().starts_with('*');
    let wall = |minute: i64| -> NaiveDateTime {
        let utc = DateTime::from_timestamp(minute * 60, 0).unwrap();
        utc.with_timezone(&zone).naive_local()
    };
    let named = |wall: &NaiveDateTime| pattern.is_time_matching(wall).unwrap();
    let one = TimeDelta::minutes(1);
    let mut found = vec![];
    let first = from.secs().div_euclid(60) - 2 * 24 * 60;
    let mut latest = wall(first);
    for minute in first + 1..=to.secs().div_euclid(60) {
        let now = wall(minute);
        let fires = if interval {
            named(&now)
        } else {
            // Every local time is due when the clock first shows it or anything later.
            let mut due = latest;
            let mut fires = false;
            while due < now {
                due += one;
                fires |= named(&due);
            }
            fires
        };
        latest = latest.max(now);
        if fires && minutes(minute) > from {
            found.push(minutes(minute));
        }
    }
    found
}

fn shown(expression: &str, zone: &str, from: &str, count: usize) -> String {
    let schedule = Schedule::Cron(Cron::parse(expression, zone).unwrap());
    let ticks: Vec<_> = schedule.ticks(at(from)).take(count).map(|it| schedule.local(it)).collect();
    ticks.join(" ")
}

#[test]
fn fixed_times_run_once_a_day_whatever_the_clocks_do() {
    for (expression, zone, from, expected) in [
        // Left out: right after the gap.
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00:00Z",
            "2026-03-08T03:00:00-04:00 2026-03-09T02:30:00-04:00",
        ),
        // Several left out, and one at the end of the gap: together.
        (
            "15,45 2,3 * * *",
            "America/New_York",
            "2026-03-07T12:00:00Z",
            "2026-03-08T03:00:00-04:00 2026-03-08T03:15:00-04:00",
        ),
        (
            "0 2,3 * * *",
            "America/New_York",
            "2026-03-07T12:00:00Z",
            "2026-03-08T03:00:00-04:00 2026-03-09T02:00:00-04:00",
        ),
        // Repeated: the first time.
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00:00Z",
            "2026-11-01T01:30:00-04:00 2026-11-02T01:30:00-05:00",
        ),
        (
            "0,30 1 * * *",
            "America/New_York",
            "2026-11-01T05:10:00Z",
            "2026-11-01T01:30:00-04:00 2026-11-02T01:00:00-05:00",
        ),
        // Half an hour, at Lord Howe.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            "2026-10-04T02:30:00+11:00 2026-10-05T02:15:00+11:00",
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T00:00:00Z",
            "2026-04-05T01:45:00+11:00 2026-04-06T01:45:00+10:30",
        ),
        // Midnight is left out, and the day before comes twice.
        (
            "0 0 * * *",
            "America/Sao_Paulo",
            "2018-11-03T12:00:00Z",
            "2018-11-04T01:00:00-02:00 2018-11-05T00:00:00-02:00",
        ),
        (
            "30 23 * * SAT",
            "America/Sao_Paulo",
            "2018-02-17T12:00:00Z",
            "2018-02-17T23:30:00-02:00 2018-02-24T23:30:00-03:00",
        ),
        (
            "0 12 30 12 *",
            "Pacific/Apia",
            "2011-12-01T00:00:00Z",
            "2011-12-31T00:00:00+14:00 2012-12-30T12:00:00+14:00",
        ),
    ] {
        assert_eq!(shown(expression, zone, from, 2), expected, "{expression} {zone}");
    }
}

#[test]
fn intervals_go_on_in_real_time() {
    for (expression, zone, from, expected) in [
        (
            "*/30 * * * *",
            "America/New_York",
            "2026-03-08T06:29:00Z",
            "2026-03-08T01:30:00-05:00 2026-03-08T03:00:00-04:00 2026-03-08T03:30:00-04:00",
        ),
        (
            "*/30 * * * *",
            "America/New_York",
            "2026-11-01T05:15:00Z",
            "2026-11-01T01:30:00-04:00 2026-11-01T01:00:00-05:00 2026-11-01T01:30:00-05:00",
        ),
        (
            "20 * * * *",
            "Australia/Lord_Howe",
            "2026-10-03T14:30:00Z",
            "2026-10-04T01:20:00+10:30 2026-10-04T03:20:00+11:00 2026-10-04T04:20:00+11:00",
        ),
        (
            "*/20 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:30:00Z",
            "2026-04-05T01:40:00+11:00 2026-04-05T01:40:00+10:30 2026-04-06T01:00:00+10:30",
        ),
        (
            "0 */12 * * *",
            "America/Sao_Paulo",
            "2018-11-03T14:00:00Z",
            "2018-11-03T12:00:00-03:00 2018-11-04T12:00:00-02:00 2018-11-05T00:00:00-02:00",
        ),
    ] {
        assert_eq!(shown(expression, zone, from, 3), expected, "{expression} {zone}");
    }
}

#[test]
fn days_follow_the_calendar() {
    for (expression, expected) in [
        ("0 0 29 2 *", "2028-02-29 2032-02-29"),
        ("0 0 L * *", "2026-01-31 2026-02-28"),
        ("0 0 LW * *", "2026-01-30 2026-02-27"),
        ("0 0 15W * *", "2026-01-15 2026-02-16"),
        ("0 0 1W AUG *", "2026-08-03 2027-08-02"),
        ("0 0 * * MON#1", "2026-01-05 2026-02-02"),
        ("0 0 * * 5L", "2026-01-30 2026-02-27"),
        // Either day, unless one begins with an asterisk.
        ("0 0 13 * FRI", "2026-01-02 2026-01-09"),
        ("0 0 */13 * FRI", "2026-02-27 2026-03-27"),
        ("0 0 1-7 * ?", "2026-01-02 2026-01-03"),
        ("0 0 * * sat-sun", "2026-01-03 2026-01-04"),
        ("@weekly", "2026-01-04 2026-01-11"),
        ("@Yearly", "2027-01-01 2028-01-01"),
        (" 0\t0 1  1 * ", "2027-01-01 2028-01-01"),
    ] {
        let shown = shown(expression, "UTC", "2026-01-01T00:00:00Z", 2);
        assert_eq!(shown.replace("T00:00:00+00:00", ""), expected, "{expression}");
    }
}

#[test]
fn far_away_there_is_an_end_and_no_panic() {
    for zone in ["America/New_York", "UTC"] {
        for expression in ["* * * * *", "0 2 29 2 *"] {
            let cron = Cron::parse(expression, zone).unwrap();
            let last = Timestamp::from_millis(i64::MAX);
            assert_eq!(cron.after(last), last);
            assert_eq!(cron.after(Timestamp::from_millis(8_210_266_876_799_999)), last);
            assert!(
                cron.after(Timestamp::from_millis(i64::MIN)) > Timestamp::from_millis(i64::MIN)
            );
            assert!(cron.after(at("1883-11-18T16:59:00Z")) < at("1888-03-01T12:00:00Z"));
        }
    }
    let every = Schedule::Every(std::time::Duration::from_secs(300));
    let ticks: Vec<_> = every.ticks(at("2026-01-01T00:00:01Z")).take(2).collect();
    assert_eq!(ticks, [at("2026-01-01T00:00:01Z"), at("2026-01-01T00:05:01Z")]);
}

/// One field of a random expression.
fn field(least: u32, most: u32, special: &'static [&'static str]) -> BoxedStrategy<String> {
    let number = least..=most;
    let range = (number.clone(), number.clone()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let item = prop_oneof![
        4 => number.prop_map(|n| n.to_string()),
        1 => range.clone().prop_map(|(a, b)| format!("{a}-{b}")),
        1 => (range, 1..=most).prop_map(|((a, b), step)| format!("{a}-{b}/{step}")),
    ];
    let list = prop::collection::vec(item, 1..3).prop_map(|items| items.join(","));
    let step = (1..=most).prop_map(|step| format!("*/{step}"));
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => step,
        3 => list,
        2 => prop::sample::select(special).prop_map(str::to_owned),
    ]
    .boxed()
}

fn expression() -> impl Strategy<Value = String> {
    let days = &["*", "L", "LW", "15W", "1W", "31W", "30W,5", "13,L"];
    let weekdays = &["*", "MON-FRI", "SAT", "7", "5-7", "MON#1", "0#5", "5L", "7L,2", "*"];
    (
        field(0, 59, &["*/5", "0", "30", "0,30", "15-45/15"]),
        field(0, 23, &["*", "0", "1", "2", "3", "1-2", "23", "0-3"]),
        field(1, 31, days),
        field(1, 12, &["*", "*", "*", "FEB", "MAR-NOV", "JAN,OCT"]),
        field(0, 7, weekdays),
    )
        .prop_map(|(minute, hour, day, month, weekday)| {
            format!("{minute} {hour} {day} {month} {weekday}")
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The same ticks as by walking every minute, from any moment, strictly increasing.
    #[test]
    fn clock_changes_follow_the_rules(
        mut expression in expression(), everyday in any::<bool>(),
        change in prop::sample::select(&CHANGES[..]),
        offsets in prop::collection::vec(-200_000_000_i64..200_000_000, 4),
        near in prop::collection::vec(-8_000_000_i64..8_000_000, 4),
    ) {
        if everyday {
            let fields: Vec<&str> = expression.split(' ').take(2).collect();
            expression = format!("{} * * *", fields.join(" "));
        }
        let (zone, moment) = change;
        let Ok(cron) = Cron::parse(&expression, zone) else { return Ok(()) };
        let moment = at(moment).millis();
        let from = Timestamp::from_millis(moment - 200_000_000);
        let to = Timestamp::from_millis(moment + 200_000_000);
        let expected = oracle(&expression, zone, from, to);
        prop_assert_eq!(&ticks(&cron, from, to), &expected);
        for offset in offsets.into_iter().chain(near) {
            let start = Timestamp::from_millis(moment + offset);
            let next = expected.iter().find(|tick| **tick > start).copied();
            prop_assert_eq!(Some(cron.after(start)).filter(|tick| *tick <= to), next);
        }
    }

    /// The same calendar as croner's, over years.
    #[test]
    fn the_calendar_is_cron_s(expression in expression(), day in 0..20_000_i64) {
        let Ok(cron) = Cron::parse(&expression, "UTC") else { return Ok(()) };
        let pattern = croner(&expression);
        let mut tick = minutes(day * 24 * 60);
        for _ in 0..20 {
            let wall = DateTime::from_timestamp_millis(tick.millis()).unwrap().naive_utc();
            let expected = pattern.find_next_occurrence(&wall, false).unwrap();
            tick = cron.after(tick);
            prop_assert_eq!(tick.millis(), expected.and_utc().timestamp_millis());
        }
    }

    #[test]
    fn any_expression_is_an_answer(text in "[0-9*/,\\-LW#?@a-zA-Z \u{a0}ä+]{0,30}", zone in ".{0,20}") {
        if let Ok(cron) = Cron::parse(&text, "Europe/Berlin") {
            let start = minutes(0);
            prop_assert!(cron.after(start) > start);
        }
        prop_assert!(Cron::parse("* * * * *", &zone).is_ok() == zone.parse::<Tz>().is_ok());
    }
}
