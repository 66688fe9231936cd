//! An answer in short: the beginning of its JSON, its own key left out.

use serde_json::Value;

use super::TEXT;

/// Stands in an answer where the record's key in the target system does: what a system answers to
/// each message of a batch is mostly the same but for that.
pub(super) const KEY: char = '\u{1}';

/// Ends an answer that is longer.
const MORE: char = '…';

/// Appends a value as JSON, [`TEXT`] bytes of it at most; `Null` is nothing.
pub(super) fn write(value: &Value, key: Option<&str>, out: &mut String) {
    if value.is_null() {
        return;
    }
    let begin = out.len();
    Writer { key, end: begin + TEXT, out }.value(value);
    if out.len() > begin + TEXT {
        let kept = out.get(begin..).map_or(0, |text| cut(text, TEXT).len());
        out.truncate(begin + kept);
        out.push(MORE);
    }
}

/// The beginning of a text, at most so many bytes long.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

struct Writer<'a> {
    key: Option<&'a str>,
    /// Behind this length nothing more is needed.
    end: usize,
    out: &'a mut String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value) {
        if self.out.len() > self.end {
            return;
        }
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(true) => self.out.push_str("true"),
            Value::Bool(false) => self.out.push_str("false"),
            Value::Number(number) => self.out.push_str(&number.to_string()),
            Value::String(text) if self.key == Some(text) => {
                self.out.extend(['"', KEY, '"']);
            }
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                self.out.push('[');
                for (at, item) in items.iter().enumerate() {
                    self.comma(at);
                    self.value(item);
                }
                self.out.push(']');
            }
            Value::Object(fields) => {
                self.out.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    self.comma(at);
                    self.text(name);
                    self.out.push(':');
                    self.value(value);
                }
                self.out.push('}');
            }
        }
    }

    fn comma(&mut self, at: usize) {
        if at > 0 {
            self.out.push(',');
        }
    }

    fn text(&mut self, text: &str) {
        let text = cut(text, TEXT + 1);
        let plain = text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
        self.out.push('"');
        if plain {
            self.out.push_str(text);
        } else {
            for c in text.chars() {
                match c {
                    '"' | '\\' => self.out.extend(['\\', c]),
                    '\n' => self.out.push_str("\\n"),
                    // What else has no shape is left out: this is for people to read.
                    c if c < ' ' => self.out.push(' '),
                    c => self.out.push(c),
                }
            }
        }
        self.out.push('"');
    }
}
