//! What CleverTap's documentation says that it refuses, looked at before anything is sent.
//!
//! Where the vendor has a code for it, the code is the vendor's; where it has none, ours.

use connector::prelude::*;
use serde_json::Map;

use crate::rejections;

/// The documented limits; lengths in characters, since the documentation mixes them with bytes.
const MOST_PROPERTIES: usize = 256;
const LONGEST_KEY: usize = 120;
const LONGEST_VALUE: usize = 512;
const MOST_ITEMS: usize = 256;

/// What no name may hold; that of a profile's property no `#` either.
const FORBIDDEN: &[char] = &['%', '>', '<', '!', '|', '&', '.', ':', ';', '$', '\'', '"', '\\'];

/// The last second that has ten digits: what is larger was meant in milliseconds.
const LAST_SECOND: u64 = 9_999_999_999;

/// The event that is a purchase, in small letters.
const PURCHASE: &str = "charged";

/// What begins a date among properties.
const DATE: &str = "$D_";

/// The names of CleverTap's own fields, which count among no limit.
const PREDEFINED: [&str; 13] = [
    "Name",
    "Email",
    "Phone",
    "Gender",
    "Employed",
    "Education",
    "Married",
    "Age",
    "DOB",
    "MSG-email",
    "MSG-push",
    "MSG-sms",
    "MSG-whatsapp",
];

/// The events that CleverTap raises itself, without spaces and in small letters: names are compared
/// so. The last one is not in the documentation, and was refused all the same.
const RESTRICTED: [&str; 17] = [
    "notificationsent",
    "notificationviewed",
    "notificationclicked",
    "notificationdelivered",
    "notificationreplied",
    "utmvisited",
    "applaunched",
    "appuninstalled",
    "appversionchanged",
    "stayed",
    "replysent",
    "experimentrendered",
    "reachableby",
    "identityreset",
    "identityset",
    "identityerror",
    "webpageviewed",
];

/// Why a record is not sent, if it is not.
pub(crate) type Checked = Result<(), Outcome>;

/// Looks at the time of a record.
pub(crate) fn time(ts: Option<u64>) -> Checked {
    match ts {
        Some(ts) if ts > LAST_SECOND => Err(rejections::BAD_TIME
            .because(format!("`ts` is {ts}, which is no time in epoch seconds"))),
        _ => Ok(()),
    }
}

/// Looks at the properties of a profile.
pub(crate) fn profile(data: &Map<String, Value>, increments: bool) -> Checked {
    let mut count = 0;
    for (key, value) in data {
        if PREDEFINED.contains(&key.as_str()) {
            // What else may be wrong with them CleverTap says, or is looked at below.
            if let ("Name" | "Email", Value::String(text)) = (key.as_str(), value) {
                short(key, text)?;
            }
            continue;
        }
        count += 1;
        self::key("the property", key, true)?;
        self::value(key, value, increments)?;
    }
    if count > MOST_PROPERTIES {
        return Err(rejections::TOO_MANY.because(format!(
            "the profile has {count} properties of its own; CleverTap takes {MOST_PROPERTIES}"
        )));
    }
    match data.get("Phone") {
        Some(phone) if !phone.is_null() && !phone.as_str().is_some_and(is_phone) => {
            return Err(rejections::BAD_PHONE
                .because("`Phone` is not `+`, the country's code and the number, digits alone"));
        }
        _ => {}
    }
    match data.get("DOB") {
        Some(born) if !born.is_null() && !born.as_str().is_some_and(is_date) => {
            Err(rejections::BAD_DATE
                .because(format!("`DOB` is not `{DATE}` and a time in epoch seconds")))
        }
        _ => Ok(()),
    }
}

/// Looks at the name and the properties of an event.
pub(crate) fn event(name: &str, data: &Map<String, Value>) -> Checked {
    if name.trim().is_empty() {
        return Err(rejections::NO_NAME.because("the event has no name"));
    }
    let plain: String = name.chars().filter(|c| !c.is_whitespace()).collect();
    if RESTRICTED.contains(&plain.to_lowercase().as_str()) {
        return Err(rejections::RESTRICTED
            .because(format!("\"{name}\" is one of the events that CleverTap raises itself")));
    }
    if let Some(forbidden) = name.chars().find(|c| FORBIDDEN.contains(c)) {
        return Err(rejections::BAD_KEY
            .because(format!("the name \"{name}\" of the event holds {forbidden}")));
    }
    properties("the event", data)?;
    let Some(Value::Array(items)) = data.get("Items") else { return Ok(()) };
    if plain.eq_ignore_ascii_case(PURCHASE) && items.len() > MOST_ITEMS {
        return Err(rejections::TOO_MANY_OF_EVENT.because(format!(
            "the event has {} `Items`; CleverTap takes {MOST_ITEMS}",
            items.len()
        )));
    }
    items.iter().filter_map(Value::as_object).try_for_each(|item| properties("an item", item))
}

fn properties(of: &str, data: &Map<String, Value>) -> Checked {
    if data.len() > MOST_PROPERTIES {
        return Err(rejections::TOO_MANY_OF_EVENT.because(format!(
            "{of} has {} properties; CleverTap takes {MOST_PROPERTIES}",
            data.len()
        )));
    }
    for (key, value) in data {
        self::key("the property", key, false)?;
        match value {
            Value::String(text) => self::text(key, text)?,
            Value::Array(items) => list(key, items)?,
            _ => {}
        }
    }
    Ok(())
}

fn key(what: &str, key: &str, of_profile: bool) -> Checked {
    let refuse = |why: String| Err(rejections::BAD_KEY.because(why));
    if key.trim().is_empty() {
        return refuse(format!("{what} has no name"));
    }
    let length = characters(key, LONGEST_KEY);
    if length > LONGEST_KEY {
        let begin: String = key.chars().take(20).collect();
        return refuse(format!(
            "the name of {what} \"{begin}…\" has {length} characters; CleverTap takes {LONGEST_KEY}"
        ));
    }
    let forbidden = |c: &char| FORBIDDEN.contains(c) || (of_profile && *c == '#');
    match key.chars().find(forbidden) {
        Some(c) => refuse(format!("the name of {what} \"{key}\" holds {c}")),
        None => Ok(()),
    }
}

/// Looks at a property of a profile: a scalar, a list, or an operator with one.
fn value(key: &str, value: &Value, increments: bool) -> Checked {
    match value {
        Value::String(text) => self::text(key, text),
        Value::Array(items) => list(key, items),
        Value::Object(operators) => operators.iter().try_for_each(|(operator, operand)| {
            match (operator.as_str(), operand) {
                ("$add" | "$remove", Value::Array(items)) => list(key, items),
                ("$add" | "$remove", Value::String(item)) => self::text(key, item),
                ("$add" | "$remove", _) => Ok(()),
                // Whatever else it does may add up where it is sent again.
                (operator, _) if operator.starts_with('$') && !increments => {
                    let why = "may count, and the step does not allow that";
                    Err(rejections::NO_INCREMENTS
                        .because(format!("`{operator}` of \"{key}\" {why}")))
                }
                (_, Value::Array(items)) => list(key, items),
                _ => Ok(()),
            }
        }),
        _ => Ok(()),
    }
}

/// Looks at the values of a list, as many as there are: of more than 100, CleverTap keeps the last ones.
fn list(key: &str, items: &[Value]) -> Checked {
    items.iter().filter_map(Value::as_str).try_for_each(|item| text(key, item))
}

fn text(key: &str, text: &str) -> Checked {
    if text.starts_with(DATE) {
        let why = || format!("\"{key}\" is `{DATE}` without a time in epoch seconds");
        return is_date(text).then_some(()).ok_or_else(|| rejections::BAD_DATE.because(why()));
    }
    short(key, text)
}

fn short(key: &str, text: &str) -> Checked {
    let length = characters(text, LONGEST_VALUE);
    if length > LONGEST_VALUE {
        return Err(rejections::BAD_VALUE.because(format!(
            "\"{key}\" has {length} characters; CleverTap takes {LONGEST_VALUE}"
        )));
    }
    Ok(())
}

/// How many characters a text has; of one that has no more bytes than `most` these, which is quick.
fn characters(text: &str, most: usize) -> usize {
    if text.len() <= most { text.len() } else { text.chars().count() }
}

fn is_date(text: &str) -> bool {
    let Some(seconds) = text.strip_prefix(DATE) else { return false };
    let digits = seconds.strip_prefix('-').unwrap_or(seconds);
    let known = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    known && digits.parse::<u64>().is_ok_and(|seconds| seconds <= LAST_SECOND)
}

/// `+` and 7 to 15 digits (E.164), the first of which is no 0: no country's code begins so.
pub(crate) fn is_phone(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(checked: Checked) -> String {
        match checked {
            Ok(()) => String::new(),
            Err(Outcome::Rejected { code, reason }) => {
                assert!(reason.len() > 10, "{reason}");
                code
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    fn of_profile(data: Value) -> String {
        code(profile(data.as_object().unwrap(), false))
    }

    #[test]
    fn profiles_are_looked_at_as_documented() {
        let many = |count: usize| (0..count).map(|n| (format!("p{n}"), json!(n))).collect();
        let many = |count| Value::Object(many(count));
        for (data, expected) in [
            (json!({}), ""),
            (json!({ "Name": "Ada", "Phone": "+14155551234", "DOB": "$D_-86400" }), ""),
            (json!({ "Phone": null, "DOB": null }), ""),
            (json!({ "Phone": "0441 1234" }), "516"),
            (json!({ "Phone": "+0151123456" }), "516"),
            (json!({ "Phone": 4_915_112_345_678_u64 }), "516"),
            (json!({ "DOB": "1990-12-10" }), "badDate"),
            (json!({ "Since": "$D_1487576752" }), ""),
            (json!({ "Since": "$D_1487576752000" }), "badDate"),
            (json!({ "Since": "$D_today" }), "badDate"),
            (json!({ "a.b": 1 }), "badKey"),
            (json!({ "a#b": 1 }), "badKey"),
            (json!({ " ": 1 }), "badKey"),
            (json!({ "k".repeat(120): 1 }), ""),
            (json!({ "k".repeat(121): 1 }), "badKey"),
            (json!({ "City": "ä".repeat(512) }), ""),
            (json!({ "City": "a".repeat(513) }), "badValue"),
            (json!({ "Name": "n".repeat(512), "Email": "$D_" }), ""),
            (json!({ "Name": "n".repeat(513) }), "badValue"),
            (json!({ "Email": "e".repeat(513) }), "badValue"),
            (json!({ "Tags": vec!["a"; 101] }), ""),
            (json!({ "Tags": { "$add": vec!["a"; 101] } }), ""),
            (json!({ "Tags": ["a".repeat(513)] }), "badValue"),
            (json!({ "Tags": { "$remove": ["a"] } }), ""),
            (json!({ "Score": { "$incr": 1 } }), "noIncrements"),
            (many(256), ""),
            (many(257), "tooManyProperties"),
        ] {
            assert_eq!(of_profile(data.clone()), expected, "{data}");
        }
        let score = json!({ "Score": { "$incr": 1 } });
        assert_eq!(code(profile(score.as_object().unwrap(), true)), "");
    }

    #[test]
    fn events_are_looked_at_as_documented() {
        let items = |count: usize| json!({ "Items": vec![json!({ "Category": "books" }); count] });
        let many = (0..257).map(|n| (format!("p{n}"), json!(n))).collect();
        for (name, data, expected) in [
            ("Product viewed", json!({ "Price": 59.99, "Delivery": "$D_1468322268" }), ""),
            (" ", json!({}), "509"),
            ("App Launched", json!({}), "513"),
            ("utm VISITED", json!({}), "513"),
            ("Web Page Viewed", json!({}), "513"),
            ("Cart: opened", json!({}), "badKey"),
            // Of an event's names a `#` is none of the forbidden characters.
            ("Cart #1", json!({ "No #": 1 }), ""),
            ("Charged", json!({ "Pay.ment": 1 }), "badKey"),
            ("Charged", json!({ "Note": "n".repeat(513) }), "badValue"),
            ("Charged", json!({ "Delivery": "$D_" }), "badDate"),
            ("Charged", items(256), ""),
            ("Charged", items(257), "522"),
            ("charged ", items(257), "522"),
            // Of another event they are a list like others.
            ("Ordered", items(257), ""),
            ("Ordered", json!({ "Items": [{ "a:b": 1 }] }), "badKey"),
            ("Ordered", json!({ "Sizes": ["s".repeat(512), 1] }), ""),
            ("Ordered", json!({ "Sizes": ["s", "s".repeat(513)] }), "badValue"),
            ("Ordered", json!({ "Days": ["$D_soon"] }), "badDate"),
            ("Charged", json!({ "Items": [{ "a:b": 1 }] }), "badKey"),
            ("Charged", Value::Object(many), "522"),
        ] {
            assert_eq!(code(event(name, data.as_object().unwrap())), expected, "{name} {data}");
        }
    }

    #[test]
    fn a_time_is_in_seconds() {
        assert_eq!(code(time(None)), "");
        assert_eq!(code(time(Some(1_468_308_340))), "");
        assert_eq!(code(time(Some(1_468_308_340_000))), "525");
    }
}
