//! Built-in functions that are replaced by faster ones of the same meaning.

use std::cell::Cell;
use std::sync::OnceLock;

use jlens_core::{Bindings, Error, Expression, HostFunction, Options, Result};
use serde_json::Value;

thread_local! {
    /// What `$now()` is in the evaluation that this thread does.
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// The functions that an expression is compiled with: none if it names none that is replaced.
pub(crate) fn of(source: &str) -> Bindings {
    let bindings = Bindings::new();
    match to_millis() {
        Some(function) if source.contains("toMillis") => bindings.function("toMillis", function),
        _ => bindings,
    }
}

/// Says what `$now()` is in the evaluation that this thread does next.
pub(crate) fn set_now(millis: i64) {
    NOW.set(millis);
}

/// `$toMillis` that reads plain ISO 8601 dates itself: the engine compiles a regular expression
/// at every call, which took a sixth of the main job. Everything else is left to the engine.
fn to_millis() -> Option<HostFunction> {
    let function = HostFunction::with_signature("<s-s?:n>", |args, _| {
        let text = args.first().and_then(Option::as_ref).and_then(Value::as_str);
        let picture = args.get(1).and_then(Option::as_ref);
        match (text, picture) {
            (None, _) => Ok(None),
            (Some(text), None) => match iso_millis(text) {
                Some(millis) => Ok(Some(millis.into())),
                None => built_in(text, None),
            },
            (Some(text), picture) => built_in(text, picture),
        }
    });
    function.ok().map(HostFunction::without_input)
}

/// The engine's own function.
fn built_in(text: &str, picture: Option<&Value>) -> Result<Option<Value>> {
    static CALL: OnceLock<Result<Expression>> = OnceLock::new();
    let call = CALL.get_or_init(|| Expression::compile("$toMillis($text, $picture)"));
    let mut bindings = Bindings::new().var("text", text);
    if let Some(picture) = picture {
        bindings = bindings.var("picture", picture.clone());
    }
    let done = call.clone()?.evaluate_with(None, &bindings, &Options::new().now(NOW.get()));
    // The place is that of the call in the expression itself: the engine adds it to an error
    // without one.
    done.map_err(|error| {
        let bare = Error::new(error.code());
        error
            .value()
            .map_or_else(|| bare.clone(), |value| bare.clone().with("value", value.clone()))
    })
}

/// Milliseconds since the epoch of `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM:SS[.mmm]Z`.
fn iso_millis(text: &str) -> Option<i64> {
    let (day, time) = match text.split_once('T') {
        None => (text, None),
        Some((day, time)) => (day, Some(time.strip_suffix('Z')?)),
    };
    let [year, month, day] = numbers(day, '-', [4, 2, 2])?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    let millis = time.map_or(Some(0), millis_of_day)?;
    Some(days * 86_400_000 + millis)
}

fn millis_of_day(time: &str) -> Option<i64> {
    let (clock, millis) = match time.split_once('.') {
        None => (time, 0),
        Some((clock, fraction)) => {
            let [millis] = numbers(fraction, '.', [3])?;
            (clock, millis)
        }
    };
    let [hours, minutes, seconds] = numbers(clock, ':', [2, 2, 2])?;
    let fits = hours < 24 && minutes < 60 && seconds < 60;
    fits.then_some(((hours * 60 + minutes) * 60 + seconds) * 1000 + millis)
}

/// Numbers of exactly these many digits, with a character in between.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut found = [0; N];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of a month.
fn days_before(year: i64, month: i64) -> i64 {
    let leaps = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    years + (1..month).map(|month| days_in(year, month)).sum::<i64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_what_the_engine_says_they_are() {
        let ours = |text: &str| {
            let bindings = of("$toMillis").var("text", text);
            let call = Expression::compile("$toMillis($text)").unwrap();
            call.evaluate(None, &bindings).map_err(|error| error.code().to_owned())
        };
        let theirs = |text: &str| {
            let bindings = Bindings::new().var("text", text);
            let call = Expression::compile("$toMillis($text)").unwrap();
            call.evaluate(None, &bindings).map_err(|error| error.code().to_owned())
        };
        for text in [
            "1970-01-01",
            "1969-12-31",
            "2000-02-29",
            "1900-03-01",
            "2024-02-29",
            "2023-02-29",
            "2024-02-30",
            "2024-13-01",
            "2024-00-10",
            "2024-01-00",
            "0001-01-01",
            "9999-12-31",
            "2017-11-07T15:07:54.972Z",
            "2017-11-07T15:07:54Z",
            "2017-11-07T24:00:00Z",
            "2017-11-07T23:59:60Z",
            "2017-11-07T15:07Z",
            "2017-11-07T15:07:54.97Z",
            "2017",
            "2017-11",
            "2017-11-07T15:07:54+02:00",
            "2017-1-7",
            "07.11.2017",
            "",
            "tomorrow",
        ] {
            assert_eq!(ours(text), theirs(text), "{text}");
        }
    }

    #[test]
    fn a_date_that_fails_is_placed_in_the_expression() {
        let mapping = crate::Mapping::compile("{ \"a\": $toMillis(day) }").unwrap();
        let input = serde_json::json!({ "day": "tomorrow" });
        let moment = crate::Moment { now_ms: 0, seed: 0 };
        let limits = crate::Limits::default();
        let error =
            mapping.evaluate(&input.to_string(), &crate::Variables::new(), &moment, &limits);
        let error = error.unwrap_err();
        assert_eq!((error.code.as_str(), error.position), ("D3110", Some(7)), "{error}");
    }
}
