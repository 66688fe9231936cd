//! JSON in one form whatever the order of its keys: what contents are compared by.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Below so many levels text stays as it is: every level is read once more than the one above it.
const DEPTH: usize = 32;

/// Writes JSON text with sorted keys and without space, less what is skipped (the segments of
/// JSON Pointers): the same content gives the same bytes.
///
/// A number stays as it is written: 1 and 1.0 differ. Text that is no JSON is taken as it is.
pub(crate) fn write(text: &str, skipped: &[&[&str]], out: &mut Vec<u8>) {
    value(text, skipped, DEPTH, out);
}

fn value(text: &str, skipped: &[&[&str]], depth: usize, out: &mut Vec<u8>) {
    let text = text.trim_ascii();
    let written = match (text.as_bytes().first(), depth.checked_sub(1)) {
        (Some(b'{'), Some(depth)) => {
            serde_json::from_str(text).map(|Fields(fields)| object(fields, skipped, depth, out))
        }
        (Some(b'['), Some(depth)) => serde_json::from_str::<Vec<&RawValue>>(text).map(|items| {
            out.push(b'[');
            for item in items {
                value(item.get(), &[], depth, out);
                out.push(b',');
            }
            out.push(b']');
        }),
        // The same character may be written in several ways.
        (Some(b'"'), _) if text.contains('\\') => serde_json::from_str::<String>(text)
            .and_then(|text| serde_json::to_writer(&mut *out, &text)),
        _ => {
            out.extend_from_slice(text.as_bytes());
            return;
        }
    };
    if written.is_err() {
        out.extend_from_slice(text.as_bytes());
    }
}

fn object(mut fields: Vec<Field<'_>>, skipped: &[&[&str]], depth: usize, out: &mut Vec<u8>) {
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    out.push(b'{');
    for (Key(key), field) in fields {
        let below: Vec<&[&str]> = skipped
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(head, _)| **head == key)
            .map(|(_, rest)| rest)
            .collect();
        if below.iter().any(|rest| rest.is_empty()) {
            continue;
        }
        if key.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            out.push(b'"');
            out.extend_from_slice(key.as_bytes());
            out.push(b'"');
        } else {
            // Writing a string into memory cannot fail.
            drop(serde_json::to_writer(&mut *out, &key));
        }
        out.push(b':');
        value(field.get(), &below, depth, out);
        out.push(b',');
    }
    out.push(b'}');
}

type Field<'a> = (Key<'a>, &'a RawValue);

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object's fields in the order of the text; a key that comes twice is there twice.
struct Fields<'a>(Vec<Field<'a>>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(32);
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str, skipped: &[&[&str]]) -> String {
        let mut out = vec![];
        write(text, skipped, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn content_is_key_sorted_and_without_the_volatile_paths() {
        let text = r#"{"b": {"y": 1, "x": [1, "2"]}, "a": null, "last_ip": "1.2.3.4"}"#;
        assert_eq!(
            canonical(text, &[&["last_ip"], &["b", "y"]]),
            r#"{"a":null,"b":{"x":[1,"2",],},}"#
        );
        let other = r#" {"last_ip":"","a":null,"b":{"x":[ 1,"2"],"y":1}}"#;
        assert_eq!(canonical(text, &[&["last_ip"]]), canonical(other, &[&["last_ip"]]));
    }

    #[test]
    fn a_character_is_the_same_however_it_is_written() {
        let forms = [r#"{"ü/":"ü/"}"#, r#"{"\u00fc\/":"\u00FC\/"}"#, r#"{ "ü\/" : "\u00fc/" }"#];
        assert!(forms.iter().all(|form| canonical(form, &[]) == r#"{"ü/":"ü/",}"#));
    }

    #[test]
    fn what_is_deep_or_broken_is_taken_as_it_is() {
        let deep = format!("{}1{}", "[ ".repeat(100_000), "]".repeat(100_000));
        assert!(canonical(&deep, &[]).contains("[ [ "));
        for odd in [r#"{"a":"#, r#""\ud800""#, "", "nonsense"] {
            assert_eq!(canonical(odd, &[]), odd);
        }
    }
}
