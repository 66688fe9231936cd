//! What goes into jsonata-rs and comes out of it, capped both ways.

use std::borrow::Cow;

use ::jsonata_rs::{ArrayFlags, Value as Theirs};
use bumpalo::Bump;
use serde_json::{Map, Number, Value};

use super::beyond;
use crate::variables::Bound;
use crate::{Error, Limits, Variables};

/// Bytes of the input, and of each variable that an expression names: a hundred times a large
/// record. The engine takes some thirty times that of memory, and reads all of it every time.
const BYTES: usize = 256 << 10;
/// Levels of arrays and objects in what goes in and comes out: the engine reads its input
/// recursively, and aborts the process where the stack ends.
const DEPTH: usize = 64;

/// The input as an expression that stands for it and for nothing else.
///
/// The engine takes its input for an expression and evaluates it: `1 + 1` is 2, and text with a
/// function in it calls the function. So it is given what we write ourselves of a value that was
/// read as JSON, in which strings and numbers are literals in both languages.
pub(super) fn literal(text: &str) -> Result<String, Error> {
    capped("the input", text)?;
    let value = serde_json::from_str(text).map_err(|error| Error::unreadable(&error))?;
    let mut literal = String::with_capacity(text.len());
    write(&value, &mut literal)?;
    Ok(literal)
}

fn write(value: &Value, out: &mut String) -> Result<(), Error> {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (key, field)) in fields.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                text(key, out);
                out.push(':');
                write(field, out)?;
            }
            out.push('}');
        }
        Value::String(string) => text(string, out),
        // Its reader refuses what is nearer to zero than a float holds in full.
        Value::Number(number) if number.as_f64().is_some_and(f64::is_subnormal) => {
            return Err(Error::nowhere(
                "U1004",
                "the input has a number that is too small for jsonata-rs",
            ));
        }
        plain => out.push_str(&plain.to_string()),
    }
    Ok(())
}

/// A string in double quotes. What ends a string or begins an escape is escaped itself, by the
/// short escapes and `\u00XX`, which are all that serde_json writes and all known to the engine.
fn text(string: &str, out: &mut String) {
    out.push_str(&Value::from(string).to_string());
}

/// The variables that an expression may name.
pub(super) fn named<'v>(
    source: &str,
    variables: &'v Variables,
) -> Result<Vec<(&'static str, Cow<'v, Value>)>, Error> {
    // There is no `$eval`: what is not in the source cannot be asked for.
    let named = variables.iter().filter(|(name, _)| source.contains(name));
    let value = |(name, bound): (&'static str, &'v Bound)| {
        let value = match bound {
            Bound::Value(value) => {
                capped(&format!("${name}"), &value.to_string())?;
                Cow::Borrowed(&**value)
            }
            Bound::Text(text) => {
                capped(&format!("${name}"), text)?;
                let value = serde_json::from_str(text);
                Cow::Owned(value.map_err(|error| Error::unreadable(&error))?)
            }
        };
        Ok((name, value))
    };
    named.map(value).collect()
}

fn capped(what: &str, json: &str) -> Result<(), Error> {
    if json.len() > BYTES {
        return Err(beyond("U1001", format!("{what} has {} bytes", json.len()), BYTES));
    }
    let depth = nesting(json);
    if depth > DEPTH {
        return Err(beyond("D1011", format!("{what} nests {depth} levels deep"), DEPTH));
    }
    Ok(())
}

/// How deeply JSON text nests, without reading it: what is no JSON gets some number.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A value in the engine's own memory.
pub(super) fn in_arena<'a>(arena: &'a Bump, value: &Value) -> &'a mut Theirs<'a> {
    match value {
        Value::Null => Theirs::null(arena),
        Value::Bool(truth) => arena.alloc(Theirs::Bool(*truth)),
        Value::Number(number) => Theirs::number(arena, number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Theirs::string(arena, text),
        Value::Array(items) => {
            let array = Theirs::array_with_capacity(arena, items.len(), ArrayFlags::empty());
            items.iter().for_each(|item| array.push(in_arena(arena, item)));
            array
        }
        Value::Object(fields) => {
            let object = Theirs::object_with_capacity(arena, fields.len());
            fields.iter().for_each(|(key, field)| object.insert(key, in_arena(arena, field)));
            object
        }
    }
}

/// What an evaluation gave; *undefined* and functions are nothing.
///
/// Fields come in the order of their names: the engine's own order differs from run to run, and
/// the same evaluation must give the same bytes.
pub(super) fn result<'a>(value: &'a Theirs<'a>, limits: &Limits) -> Result<Option<Value>, Error> {
    let mut room = limits.result;
    convert(value, 0, limits, &mut room).map_err(|full| match full {
        Full::Size => Error::nowhere("U1001", "the result is too large"),
        Full::Depth => Error::nowhere(
            "D1011",
            format!("the result nests deeper than {DEPTH} levels; use the engine jlens"),
        ),
        Full::Number(number) => Error::nowhere("D1001", format!("number out of range: {number}")),
    })
}

/// Why a result cannot be taken.
enum Full {
    Size,
    Depth,
    Number(f64),
}

fn convert<'a>(
    value: &'a Theirs<'a>,
    depth: usize,
    limits: &Limits,
    room: &mut usize,
) -> Result<Option<Value>, Full> {
    // An expression can make a value that holds itself: nothing is walked deeper than the cap.
    if depth > DEPTH {
        return Err(Full::Depth);
    }
    let size = if let Theirs::String(text) = value { text.len() + 3 } else { 2 };
    *room = room.checked_sub(size).ok_or(Full::Size)?;
    let value = match value {
        Theirs::Null => Value::Null,
        Theirs::Bool(truth) => Value::Bool(*truth),
        Theirs::Number(number) => Value::Number(to_number(*number)?),
        Theirs::String(text) => Value::String(text.as_str().to_owned()),
        Theirs::Array(..) | Theirs::Range(_) => {
            if value.len() > limits.array {
                return Err(Full::Size);
            }
            let mut items = Vec::with_capacity(value.len());
            for item in value.members() {
                items.push(convert(item, depth + 1, limits, room)?.unwrap_or_default());
            }
            Value::Array(items)
        }
        Theirs::Object(fields) => {
            let mut sorted: Vec<_> =
                fields.iter().map(|(key, field)| (key.as_str(), *field)).collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            let mut object = Map::new();
            for (key, field) in sorted {
                *room = room.checked_sub(key.len() + 4).ok_or(Full::Size)?;
                if let Some(field) = convert(field, depth + 1, limits, room)? {
                    object.insert(key.to_owned(), field);
                }
            }
            Value::Object(object)
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// Whole numbers are written without a fraction as far as floats are exact.
fn to_number(number: f64) -> Result<Number, Full> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        // In this range every whole float is the same whole number.
        return Ok((number as i64).into());
    }
    Number::from_f64(number).ok_or(Full::Number(number))
}
