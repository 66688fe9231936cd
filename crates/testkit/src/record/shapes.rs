//! What a text looks like, whatever its key says.

use std::net::{Ipv4Addr, Ipv6Addr};

use connector::Timestamp;
use serde_json::Number;

use super::meaning::{Meaning, meaning};

/// What a text looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Mail,
    Address4,
    Address6,
    Phone,
    Link,
    Time,
    /// Digits alone.
    Digits,
    /// A long id of letters and digits that says nothing.
    Opaque,
    /// `true` or `false`.
    Truth,
}

pub(super) fn of(text: &str) -> Option<Shape> {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let date = text.len() == 10
        && text
            .chars()
            .enumerate()
            .all(|(at, c)| if at == 4 || at == 7 { c == '-' } else { c.is_ascii_digit() });
    if is_mail(text) {
        Some(Shape::Mail)
    } else if text.parse::<Ipv4Addr>().is_ok() {
        Some(Shape::Address4)
    } else if text.contains("::") || text.matches(':').count() == 7 {
        text.parse::<Ipv6Addr>().ok().map(|_| Shape::Address6)
    } else if text == "true" || text == "false" {
        Some(Shape::Truth)
    } else if date
        || Timestamp::parse(&text.replacen(' ', "T", 1)).is_some()
        || Timestamp::parse(&format!("{}Z", text.replacen(' ', "T", 1))).is_some()
        || Timestamp::parse_http(text).is_some()
    {
        Some(Shape::Time)
    } else if text.starts_with("http://") || text.starts_with("https://") {
        Some(Shape::Link)
    } else if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Some(Shape::Digits)
    } else if digits >= 6
        && text.starts_with(['+', '0', '('])
        && text.chars().all(|c| c.is_ascii_digit() || " +-/().".contains(c))
    {
        Some(Shape::Phone)
    } else if text.len() >= 16
        && digits >= 3
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    {
        Some(Shape::Opaque)
    } else {
        None
    }
}

/// Whether the shape alone says that it is about a person.
pub(super) fn is_personal(text: &str) -> bool {
    matches!(of(text), Some(Shape::Mail | Shape::Address4 | Shape::Address6 | Shape::Phone))
}

fn is_mail(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    !name.is_empty()
        && host.contains('.')
        && !text.contains(|c: char| c.is_whitespace() || ",;<>\"'/".contains(c))
}

/// Whether a time tells a day alone: no clock, or midnight.
pub(super) fn is_day(text: &str) -> bool {
    let rest = text.get(10..).unwrap_or_default();
    of(text) == Some(Shape::Time) && rest.chars().all(|c| !c.is_ascii_digit() || c == '0')
}

/// Whether a number may be one to call: it is too large for a time in seconds, and none in
/// milliseconds or written out (`20151023140416`).
pub(super) fn may_be_called(number: &Number) -> bool {
    let millis = 1_000_000_000_000..2_200_000_000_000;
    number.as_u64().is_some_and(|it| it > 2_200_000_000 && !millis.contains(&it) && !is_written(it))
}

/// Whether a number is a day and a time of it in 14 digits, from 1970 to 2099.
fn is_written(number: u64) -> bool {
    let part = |from: u64, to: u64| number / from % to;
    (1970..2100).contains(&(number / 10_000_000_000))
        && (1..=12).contains(&part(100_000_000, 100))
        && (1..=31).contains(&part(1_000_000, 100))
        && part(10_000, 100) < 24
        && part(100, 100) < 60
        && part(1, 100) < 60
}

/// The values in a link's query whose names say that they open something.
pub(super) fn opens(text: &str) -> Vec<String> {
    let pairs = text.split(|c: char| c.is_whitespace() || "?&#;,<>\"'".contains(c));
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    let secret = pairs.filter(|(name, value)| meaning(name) == Meaning::Secret && value.len() >= 4);
    secret.map(|(_, value)| value.to_owned()).collect()
}

/// The parts of a longer text that are about a person by their shape, escaped as they may be.
pub(super) fn parts(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || ",;<>\"'()[]{}=&?#".contains(c));
    let words = words.flat_map(|word| {
        // A link is no address, but its parts may be; and some have a scheme or a port.
        let linked = word.contains("://") || word.contains('@') || word.starts_with('/');
        let pieces = if linked { word.split('/').collect() } else { vec![word] };
        pieces.into_iter().flat_map(|piece| match piece.split_once(':') {
            Some((before, after)) if !after.contains(':') => vec![before, after],
            _ => vec![piece],
        })
    });
    let words = words.map(|word| word.trim_matches(['.', ':', '!', '?']));
    let words = words.filter(|word| is_personal(&unescaped(word))).map(str::to_owned);
    let mut parts: Vec<String> = vec![];
    for part in words.chain(numbers(text)).chain(is_personal(text).then(|| text.to_owned())) {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts
}

/// The numbers to call that are written with spaces between their digits.
fn numbers(text: &str) -> Vec<String> {
    let is_part = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || "+-/().".contains(c))
    };
    let mut numbers = vec![];
    for part in text.split(|c: char| c.is_control() || ",;<>\"'[]{}=&?#".contains(c)) {
        let words: Vec<&str> = part.split(' ').collect();
        for run in words.split(|word| !is_part(word)) {
            let start = run.iter().position(|word| word.starts_with(['+', '0', '(']));
            let run = run.get(start.unwrap_or(run.len())..).unwrap_or_default().join(" ");
            let run = run.trim_end_matches(['.', '-', '/']);
            if of(run) == Some(Shape::Phone) {
                numbers.push(run.to_owned());
            }
        }
    }
    numbers
}

/// A text without the escapes of URLs.
pub(super) fn unescaped(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let form = format!("a={}", text.replace('+', "%2B"));
    let mut pairs = url::form_urlencoded::parse(form.as_bytes());
    pairs.next().map_or_else(String::new, |(_, text)| text.into_owned())
}
