//! Results as JSON text.

use std::fmt::Write as _;
use std::ops::Range;

use jlens_core::output::{Builder, Output};

/// Writes a result as compact JSON, the same that `serde_json` makes of its value; `None` is
/// *undefined*. `expected` is about how many bytes there will be.
pub(super) fn write(
    output: Output<'_, '_>,
    expected: usize,
) -> Result<Option<String>, jlens_core::Error> {
    let mut pieces = Pieces(String::with_capacity(expected.saturating_mul(2)));
    let Some(whole) = output.write(&mut pieces)? else { return Ok(None) };
    let Pieces(mut text) = pieces;
    text.truncate(whole.end);
    Ok(Some(text.split_off(whole.start)))
}

/// The text of every value so far; that of a list or an object lies behind those of its parts.
struct Pieces(String);

impl Pieces {
    fn add(&mut self, write: impl FnOnce(&mut String)) -> Range<usize> {
        let start = self.0.len();
        write(&mut self.0);
        start..self.0.len()
    }
}

impl Builder for Pieces {
    type Value = Range<usize>;
    type Array = Vec<Range<usize>>;
    /// Each field: its name, its value.
    type Object = Vec<[Range<usize>; 2]>;

    fn null(&mut self) -> Range<usize> {
        self.add(|text| text.push_str("null"))
    }

    fn bool(&mut self, value: bool) -> Range<usize> {
        self.add(|text| text.push_str(if value { "true" } else { "false" }))
    }

    /// Below 2^53 a number without a fraction is written as an integer.
    fn number(&mut self, value: f64) -> Range<usize> {
        let is_integer = value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
        self.add(|text| {
            // Writing to a string cannot fail. Minus nought is nought.
            let written = match serde_json::Number::from_f64(value) {
                Some(_) if is_integer => write!(text, "{:.0}", value + 0.0),
                Some(number) => write!(text, "{number}"),
                None => write!(text, "null"),
            };
            written.unwrap_or_default();
        })
    }

    fn string(&mut self, value: &str) -> Range<usize> {
        let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        self.add(|text| {
            if value.bytes().all(is_plain) {
                text.push('"');
                text.push_str(value);
                text.push('"');
            } else {
                // Writing a text as JSON cannot fail.
                text.push_str(&serde_json::to_string(value).unwrap_or_default());
            }
        })
    }

    fn array(&mut self, len: usize) -> Vec<Range<usize>> {
        Vec::with_capacity(len)
    }

    fn push(&mut self, array: &mut Vec<Range<usize>>, item: Range<usize>) {
        array.push(item);
    }

    fn end_array(&mut self, array: Vec<Range<usize>>) -> Range<usize> {
        self.add(|text| {
            text.push('[');
            for (place, item) in array.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.extend_from_within(item);
            }
            text.push(']');
        })
    }

    fn object(&mut self, len: usize) -> Self::Object {
        Vec::with_capacity(len)
    }

    fn insert(&mut self, object: &mut Self::Object, key: &str, value: Range<usize>) {
        object.push([self.string(key), value]);
    }

    fn end_object(&mut self, object: Self::Object) -> Range<usize> {
        self.add(|text| {
            text.push('{');
            for (place, [name, value]) in object.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.extend_from_within(name);
                text.push(':');
                text.extend_from_within(value);
            }
            text.push('}');
        })
    }
}
