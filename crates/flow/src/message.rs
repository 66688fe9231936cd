//! What a mapping's result means: a message, an action's input, or a mistake.

use std::ops::Range;
use std::sync::Arc;

use connector::{ErasedAction, Prepared};
use mapping::{Limits, Moment, Variables};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::{Flow, Step, Transformation, Trigger};

/// A record on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// What is known about the record; `recordUid` is its key.
    pub metadata: Map<String, Value>,
    /// What the mapping made of it.
    pub data: Value,
}

impl Message {
    /// The message as expressions see it: `{ metadata, data }`, as JSON text. Messages travel as
    /// text, since a page of parsed ones takes ten times the memory.
    pub fn to_text(&self) -> String {
        text(&self.metadata, &self.data.to_string())
    }
}

fn text(metadata: &Map<String, Value>, data: &str) -> String {
    // Writing a map of JSON values as text cannot fail.
    let metadata = serde_json::to_string(metadata).unwrap_or_default();
    format!(r#"{{"metadata":{metadata},"data":{data}}}"#)
}

/// Why a message cannot go on: it becomes a dead letter with this code and reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unmappable {
    /// JSONata's code, or `mapping.*` / `input.*` of our own.
    pub code: String,
    /// What is wrong, with the position in the expression where there is one.
    pub reason: String,
    /// The bytes of the expression that it is about, where they are known.
    pub span: Option<Range<usize>>,
    /// Whether that expression is a step's `when`, not its mapping.
    pub in_when: bool,
}

/// Where in the expression it is, at the end of a reason.
const AT_LINE: &str = ", at line ";

impl Unmappable {
    /// The reason without the position in the expression, for who shows the place itself.
    pub(crate) fn what(&self) -> &str {
        let what = self.span.as_ref().and_then(|_| self.reason.rsplit_once(AT_LINE));
        what.map_or(&self.reason, |(what, _)| what)
    }

    /// A refusal that no place in an expression is known for.
    pub fn new(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { code: code.into(), reason: reason.into(), span: None, in_when: false }
    }

    /// A failure of an expression, with its place in it.
    fn of(mapping: &mapping::Mapping, error: &mapping::Error) -> Self {
        let before = error.position.and_then(|at| mapping.source().get(..at));
        let place = before.map_or_else(String::new, |before| {
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|it| *it != '\n').count() + 1;
            format!("{AT_LINE}{line} column {column} of the expression")
        });
        let span = error.position.map(|at| at..at.saturating_add(error.length.max(1)));
        Self { span, ..Self::new(&*error.code, format!("{error}{place}")) }
    }
}

/// What expressions see beside their input, and the moment they see it at.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// `$flow`, `$fields`, and for steps `$trigger` and `$steps`.
    pub variables: &'a Variables,
    /// What `$now()` and `$random()` give.
    pub moment: Moment,
}

/// What every expression of a flow sees: `$flow`, and `$fields` of its trigger or step.
///
/// Expressions of a step also see `$trigger`, the message, and `$steps`, the earlier results.
pub fn variables(flow: &Flow, fields: &Arc<Value>) -> Variables {
    Variables::new().with("flow", flow.variables.clone()).with("fields", fields.clone())
}

/// The metadata of a record that no mapping has seen: `recordUid` is its key.
pub fn metadata(key: &str) -> Map<String, Value> {
    Map::from_iter([("recordUid".to_owned(), Value::from(key))])
}

/// Makes a message of a record by the trigger's mapping, which sees `{ metadata, data: record }`;
/// both are JSON text, the message as in [`Message::to_text`].
///
/// A result that is an object with `data`, at most `metadata` beside it, is a message; anything
/// else is the data. What the mapping does not set of `metadata` stays.
pub fn message(
    trigger: &Trigger,
    metadata: &Map<String, Value>,
    record: &str,
    scope: &Scope<'_>,
) -> Result<String, Unmappable> {
    let raw = unmapped(metadata, record);
    let Some(mapping) = trigger.mapping.mapping() else { return Ok(raw) };
    let limits = Limits::default();
    let result = mapping.evaluate_to_text(&raw, scope.variables, &scope.moment, &limits);
    let result = result.map_err(|error| Unmappable::of(mapping, &error))?;
    let result = match result.as_deref() {
        None | Some("null") => return Err(nothing()),
        Some(result) if result.starts_with('[') => return Err(array()),
        Some(result) => result,
    };
    let Ok(Whole { metadata: given, data }) = serde_json::from_str(result) else {
        return Ok(text(metadata, result));
    };
    let Some(given) = given else { return Ok(text(metadata, data.get())) };
    let given: Map<String, Value> = serde_json::from_str(given.get()).map_err(|_| {
        Unmappable::new("mapping.metadata", "the mapping's `metadata` is not an object")
    })?;
    let mut metadata = metadata.clone();
    metadata.extend(given);
    Ok(text(&metadata, data.get()))
}

/// A mapping's result that is a message of its own, not the data of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// What is there, null too.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// The message of a record that is gone: `metadata.deleted` is true, and there is no data.
pub fn delete(key: &str) -> String {
    let mut metadata = metadata(key);
    metadata.insert("deleted".to_owned(), Value::Bool(true));
    text(&metadata, "{}")
}

/// Whether a message is of a record that is gone.
pub fn is_delete(message: &str) -> bool {
    #[derive(Deserialize)]
    struct Parts {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(default)]
        deleted: Value,
    }
    serde_json::from_str::<Parts>(message).is_ok_and(|it| it.metadata.deleted == Value::Bool(true))
}

/// A record that no message was made of, as a mapping would see it.
pub fn unmapped(metadata: &Map<String, Value>, record: &str) -> String {
    text(metadata, record)
}

/// Makes a step's input of a message, or `None` where its `when` filters the message out;
/// `message` is what [`message`] gives.
pub fn input(
    step: &Step,
    message: &str,
    scope: &Scope<'_>,
) -> Result<Option<Prepared>, Unmappable> {
    let limits = Limits::default();
    if let Some(when) = &step.when
        && !when
            .is_true(message, scope.variables, &scope.moment, &limits)
            .map_err(|error| Unmappable { in_when: true, ..Unmappable::of(when, &error) })?
    {
        return Ok(None);
    }
    let input = match &step.mapping {
        Transformation::Skip => data(message)?,
        Transformation::Custom(mapping) | Transformation::Default(mapping) => {
            evaluate(mapping, message, scope)?
        }
    };
    prepare(&*step.action, input).map(Some)
}

fn prepare(action: &dyn ErasedAction, input: Value) -> Result<Prepared, Unmappable> {
    action.prepare(input).map_err(|problem| {
        Unmappable::new("input.shape", format!("the action does not take this input: {problem}"))
    })
}

/// The data of a message that a step takes as it is.
fn data(message: &str) -> Result<Value, Unmappable> {
    #[derive(Deserialize)]
    struct Parts {
        data: Value,
    }
    let parts = serde_json::from_str::<Parts>(message).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let place = format!("at line {line} column {column} of its text");
        Unmappable::new("input.unreadable", format!("the message cannot be read, {place}"))
    })?;
    Ok(parts.data)
}

fn evaluate(
    mapping: &mapping::Mapping,
    input: &str,
    scope: &Scope<'_>,
) -> Result<Value, Unmappable> {
    let limits = Limits::default();
    let result = mapping.evaluate(input, scope.variables, &scope.moment, &limits);
    match result.map_err(|error| Unmappable::of(mapping, &error))? {
        None | Some(Value::Null) => Err(nothing()),
        Some(Value::Array(_)) => Err(array()),
        Some(value) => Ok(value),
    }
}

fn nothing() -> Unmappable {
    Unmappable::new("mapping.nothing", "the mapping gave nothing")
}

fn array() -> Unmappable {
    Unmappable::new("mapping.array", "the mapping gave an array where one message is meant")
}
