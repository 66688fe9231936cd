//! What a mapping's result means: a message, an action's input, or a mistake.

use std::sync::Arc;

use connector::{ErasedAction, Prepared};
use mapping::{Limits, Moment, Variables};
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
    /// The message as expressions see it: `{ metadata, data }`.
    pub fn into_value(self) -> Value {
        let mut object = Map::new();
        object.insert("metadata".to_owned(), Value::Object(self.metadata));
        object.insert("data".to_owned(), self.data);
        Value::Object(object)
    }
}

/// Why a message cannot go on: it becomes a dead letter with this code and reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unmappable {
    /// JSONata's code, or `mapping.*` / `input.*` of our own.
    pub code: String,
    /// What is wrong, with the position in the expression where there is one.
    pub reason: String,
}

impl Unmappable {
    fn new(code: &str, reason: impl Into<String>) -> Self {
        Self { code: code.to_owned(), reason: reason.into() }
    }
}

impl Unmappable {
    /// A failure of an expression, with its place in it.
    fn of(mapping: &mapping::Mapping, error: &mapping::Error) -> Self {
        let before = error.position.and_then(|at| mapping.source().get(..at));
        let place = before.map_or_else(String::new, |before| {
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|it| *it != '\n').count() + 1;
            format!(", at line {line} column {column} of the expression")
        });
        Self { code: error.code.clone(), reason: format!("{error}{place}") }
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

/// Makes a message of a record, which is JSON text, by the trigger's mapping. The mapping sees
/// `{ metadata, data: record }`.
///
/// A result that is an object with `data`, at most `metadata` beside it, is a message; anything
/// else is the data. What the mapping does not set of `metadata` stays.
pub fn message(
    trigger: &Trigger,
    mut metadata: Map<String, Value>,
    record: &str,
    scope: &Scope<'_>,
) -> Result<Message, Unmappable> {
    let Some(mapping) = trigger.mapping.mapping() else {
        let data = serde_json::from_str(record).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let place = format!("at line {line} column {column} of its text");
            Unmappable::new("record.unreadable", format!("the record cannot be read, {place}"))
        })?;
        return Ok(Message { metadata, data });
    };
    match evaluate_record(mapping, &metadata, record, scope)? {
        Value::Object(mut object) if is_message(&object) => {
            let data = object.remove("data").unwrap_or_default();
            match object.remove("metadata") {
                None => {}
                Some(Value::Object(given)) => metadata.extend(given),
                Some(_) => {
                    return Err(Unmappable::new(
                        "mapping.metadata",
                        "the mapping's `metadata` is not an object",
                    ));
                }
            }
            Ok(Message { metadata, data })
        }
        data => Ok(Message { metadata, data }),
    }
}

/// A record that no message could be made of, as `{ metadata, data }`; what cannot be read stays
/// text.
pub fn unmapped(metadata: Map<String, Value>, record: &str) -> Value {
    let data = serde_json::from_str(record).unwrap_or_else(|_| Value::from(record));
    Message { metadata, data }.into_value()
}

/// Makes a step's input of a message, or `None` where its `when` filters the message out;
/// `message` is what [`Message::into_value`] gives.
pub fn input(
    step: &Step,
    message: &Value,
    scope: &Scope<'_>,
) -> Result<Option<Prepared>, Unmappable> {
    let limits = Limits::default();
    if let Some(when) = &step.when
        && !when
            .is_true(message, scope.variables, &scope.moment, &limits)
            .map_err(|error| Unmappable::of(when, &error))?
    {
        return Ok(None);
    }
    let input = match &step.mapping {
        Transformation::Skip => message.get("data").cloned().unwrap_or_default(),
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

fn is_message(object: &Map<String, Value>) -> bool {
    object.contains_key("data") && object.keys().all(|key| key == "data" || key == "metadata")
}

fn evaluate_record(
    mapping: &mapping::Mapping,
    metadata: &Map<String, Value>,
    record: &str,
    scope: &Scope<'_>,
) -> Result<Value, Unmappable> {
    // Writing a map of JSON values as text cannot fail.
    let metadata = serde_json::to_string(metadata).unwrap_or_default();
    let input = format!(r#"{{"metadata":{metadata},"data":{record}}}"#);
    let limits = Limits::default();
    one(mapping, mapping.evaluate_text(&input, scope.variables, &scope.moment, &limits))
}

fn evaluate(
    mapping: &mapping::Mapping,
    input: &Value,
    scope: &Scope<'_>,
) -> Result<Value, Unmappable> {
    let limits = Limits::default();
    one(mapping, mapping.evaluate(input, scope.variables, &scope.moment, &limits))
}

/// The one value that a mapping is meant to give.
fn one(
    mapping: &mapping::Mapping,
    result: Result<Option<Value>, mapping::Error>,
) -> Result<Value, Unmappable> {
    match result.map_err(|error| Unmappable::of(mapping, &error))? {
        None | Some(Value::Null) => {
            Err(Unmappable::new("mapping.nothing", "the mapping gave nothing"))
        }
        Some(Value::Array(_)) => Err(Unmappable::new(
            "mapping.array",
            "the mapping gave an array where one message is meant",
        )),
        Some(value) => Ok(value),
    }
}
