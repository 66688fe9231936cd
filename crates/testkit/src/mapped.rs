//! The default mappings, evaluated as a flow would.

use connector::Timestamp;
use mapping::{Limits, Mapping, Moment, Variables};
use serde_json::{Value, json};

/// The moment that `$now()` shows.
const MOMENT: Moment = Moment { now_ms: Timestamp::from_secs(1_763_700_000).millis(), seed: 1 };

/// What a default mapping gives for `{ metadata, data }`; a blank one gives the data as it is.
pub(crate) fn default(source: &str, message: &Value, fields: &Value) -> Result<Value, String> {
    if source.trim().is_empty() {
        return Ok(message.get("data").cloned().unwrap_or_default());
    }
    let mapping = Mapping::compile(source).map_err(|error| error.to_string())?;
    let variables = Variables::new()
        .with("fields", fields.clone())
        .with("flow", json!({ "name": "recorded", "vars": {} }))
        .with("trigger", message.clone())
        .with("steps", json!({}));
    let result = mapping.evaluate(&message.to_string(), &variables, &MOMENT, &Limits::default());
    match result.map_err(|error| error.to_string())? {
        None | Some(Value::Null) => Err("the mapping gives nothing".to_owned()),
        Some(Value::Array(_)) => Err("the mapping gives an array".to_owned()),
        Some(value) => Ok(value),
    }
}

/// A record as its trigger's mapping sees it.
pub(crate) fn message(key: &str, record: &str) -> Value {
    let data: Value = serde_json::from_str(record).unwrap_or_default();
    json!({ "metadata": { "recordUid": key }, "data": data })
}
