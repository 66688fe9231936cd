//! Times and durations as a person types them.

use std::time::Duration;

use connector::{Clock, SystemClock, Timestamp};

/// What a time may look like.
pub(crate) const FORMS: &str = "2026-03-28T12:00:00Z, 2026-03-28 (midnight UTC), now, now-2h, or \
                                seconds since 1970";

/// What a time looks like, for the digits `d`.
const SHAPE: &str = "dddd-dd-ddTdd:dd:dd";

/// Reads a time; `now` is this machine's.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    moment_at(text, SystemClock.now())
}

/// Reads a duration: `90s`, `2h`, `1d12h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    spans(text, 0).map_err(|problem| format!("{problem}; a duration is such as 90s, 2h or 1d12h"))
}

fn moment_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    read(text.trim(), now).map_err(|problem| format!("{problem}; a time is {FORMS}"))
}

fn read(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Some(rest) = text.strip_prefix("now") {
        return match rest.chars().next() {
            None => Ok(now),
            Some('-') => Ok(now.minus(spans(rest.trim_start_matches('-'), "now-".len())?)),
            Some(other) => Err(format!("`{other}` at character 4 is not `-`")),
        };
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds: i64 = text.parse().map_err(|_| "the number is too large".to_owned())?;
        if text.len() > 11 {
            let meant = Timestamp::from_millis(seconds);
            return Err(format!("{text} looks like milliseconds ({meant}), and seconds are meant"));
        }
        return Ok(Timestamp::from_secs(seconds));
    }
    let with_space = text.replacen(' ', "T", 1);
    let day = format!("{text}T00:00:00Z");
    if let Some(time) = Timestamp::parse(&with_space).or_else(|| Timestamp::parse(&day)) {
        return Ok(time);
    }
    if Timestamp::parse(&format!("{with_space}Z")).is_some() {
        return Err("it has no time zone: write Z for UTC, or +02:00, behind it".to_owned());
    }
    // The first character that no time has there.
    let wrong = with_space.chars().zip(SHAPE.chars()).position(|(written, shape)| match shape {
        'd' => !written.is_ascii_digit(),
        shape => written != shape,
    });
    Err(match wrong {
        Some(at) => format!("`{}` at character {}", text.chars().nth(at).unwrap_or(' '), at + 1),
        None if text.len() < "2026-03-28".len() => "it ends too soon".to_owned(),
        None => "there is no such day or time".to_owned(),
    })
}

/// Reads numbers with units; `before` is how many characters came before.
fn spans(text: &str, before: usize) -> Result<Duration, String> {
    let mut total = Duration::ZERO;
    let mut number: Option<u64> = None;
    for (at, character) in text.chars().enumerate() {
        let place = || format!("at character {}", before + at + 1);
        if let Some(digit) = character.to_digit(10) {
            let grown = number.unwrap_or(0).checked_mul(10);
            let grown = grown.and_then(|number| number.checked_add(digit.into()));
            number = Some(grown.ok_or_else(|| format!("the number is too large {}", place()))?);
            continue;
        }
        let seconds = match character {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(format!("`{character}` {} is no unit (s, m, h, d, w)", place())),
        };
        let count =
            number.take().ok_or_else(|| format!("`{character}` {} has no number", place()))?;
        let span = count.checked_mul(seconds).map(Duration::from_secs);
        let sum = span.and_then(|span| total.checked_add(span));
        total = sum.ok_or_else(|| format!("it is too long {}", place()))?;
    }
    match number {
        Some(number) => Err(format!("`{number}` has no unit (s, m, h, d, w)")),
        None if total.is_zero() => Err("there is no number with a unit".to_owned()),
        None => Ok(total),
    }
}

/// How long ago something was, or how far off it is, in about two figures.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let past = at <= now;
    let seconds = if past { now.since(at) } else { at.since(now) }.as_secs();
    let words = match seconds {
        0 => return "now".to_owned(),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    };
    if past { format!("{words} ago") } else { format!("in {words}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        let now = Timestamp::from_secs(1_772_366_400);
        for (text, expected) in [
            ("now", "2026-03-01T12:00:00Z"),
            ("now-2h", "2026-03-01T10:00:00Z"),
            ("now-1d12h30m", "2026-02-27T23:30:00Z"),
            ("2026-02-28", "2026-02-28T00:00:00Z"),
            ("2026-02-28T10:00:00+02:00", "2026-02-28T08:00:00Z"),
            ("2026-02-28 10:00:00Z", "2026-02-28T10:00:00Z"),
            ("1772366400", "2026-03-01T12:00:00Z"),
            ("0", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(moment_at(text, now).map(|it| it.to_string()), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn what_is_no_time_is_told_with_its_place() {
        let now = Timestamp::from_secs(1_772_366_400);
        for (text, problem) in [
            ("", "ends too soon"),
            ("yesterday", "`y` at character 1"),
            ("now+2h", "`+` at character 4"),
            ("now-2x", "`x` at character 6 is no unit"),
            ("now-2", "`2` has no unit"),
            ("now-h", "`h` at character 5 has no number"),
            ("now-", "no number with a unit"),
            ("2026-02-30", "no such day"),
            ("2026-2-28", "`-` at character 7"),
            ("2026-02-28T10:00:00", "no time zone"),
            ("1772366400000", "looks like milliseconds (2026-03-01T12:00:00Z)"),
            ("99999999999999999999", "too large"),
            ("now-99999999999999999d", "too long"),
        ] {
            let error = moment_at(text, now).unwrap_err();
            assert!(error.contains(problem) && error.contains("2026-03-28"), "{text}: {error}");
        }
        assert_eq!(duration("1d12h"), Ok(Duration::from_secs(129_600)));
        assert!(duration("90").unwrap_err().contains("has no unit"));
    }

    #[test]
    fn how_long_ago_is_told_in_one_unit() {
        let now = Timestamp::from_secs(1_000_000);
        let words: Vec<_> = [0, 90, 600, 10_000, 500_000]
            .map(|seconds| ago(now.minus(Duration::from_secs(seconds)), now))
            .into();
        assert_eq!(words, ["now", "90 s ago", "10 min ago", "2 h ago", "5 days ago"]);
        assert_eq!(ago(now.plus(Duration::from_secs(60)), now), "in 60 s");
    }
}
