//! What a text looks like, whatever its key says.

use std::net::{Ipv4Addr, Ipv6Addr};

use connector::Timestamp;

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
        && !text.contains(|c: char| c.is_whitespace() || ",;<>\"'".contains(c))
}

/// The parts of a longer text that are about a person by their shape.
pub(super) fn parts(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || ",;<>\"'()[]{}=&".contains(c));
    let words = words.map(|word| word.trim_matches(['.', ':', '!', '?']));
    let mut parts: Vec<String> =
        words.filter(|word| is_personal(word)).map(str::to_owned).collect();
    if is_personal(text) && !parts.iter().any(|part| part == text) {
        parts.insert(0, text.to_owned());
    }
    parts
}
