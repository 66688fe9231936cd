//! What an upload makes of a profile's properties.

use serde_json::{Map, Value};

/// The most values of a list; of more, those that came first go.
const MOST_VALUES: usize = 100;

/// Writes an upload's properties over those that are there; a null says nothing.
pub(super) fn upload(properties: &mut Map<String, Value>, uploaded: Map<String, Value>) {
    for (name, value) in uploaded {
        let before = properties.get(&name);
        let after = match value {
            Value::Null => continue,
            Value::Array(values) => list(values),
            Value::Object(operators) => match carried_out(before, &operators) {
                Some(after) => after,
                None => Value::Object(operators),
            },
            value => value,
        };
        properties.insert(name, after);
    }
}

/// What one operator makes of a value; `None` where it is none.
fn carried_out(before: Option<&Value>, operators: &Map<String, Value>) -> Option<Value> {
    let (operator, operand) = operators.iter().next().filter(|_| operators.len() == 1)?;
    match operator.as_str() {
        "$incr" => sum(before, operand),
        "$add" => {
            let mut all = values(before);
            for value in values(Some(operand)) {
                if !all.contains(&value) {
                    all.push(value);
                }
            }
            Some(list(all))
        }
        "$remove" => {
            let gone = values(Some(operand));
            let mut all = values(before);
            all.retain(|value| !gone.contains(value));
            Some(list(all))
        }
        _ => None,
    }
}

/// The number that there is, or 0, and what is added; whole where both are.
fn sum(before: Option<&Value>, added: &Value) -> Option<Value> {
    let zero = Value::from(0);
    let before = before.filter(|it| it.is_number()).unwrap_or(&zero);
    match (before.as_i64(), added.as_i64()) {
        (Some(before), Some(added)) => Some(before.saturating_add(added).into()),
        _ => Some((before.as_f64()? + added.as_f64()?).into()),
    }
}

/// The values of a property: those of a list, or the only one.
fn values(of: Option<&Value>) -> Vec<Value> {
    match of {
        None => vec![],
        Some(Value::Array(values)) => values.clone(),
        Some(value) => vec![value.clone()],
    }
}

fn list(mut values: Vec<Value>) -> Value {
    values.drain(..values.len().saturating_sub(MOST_VALUES));
    Value::Array(values)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operators_are_carried_out_and_lists_lose_what_came_first() {
        let long: Vec<_> = (0..101).collect();
        for (before, uploaded, after) in [
            (json!({}), json!({ "a": 1, "b": null }), json!({ "a": 1 })),
            (json!({ "a": 1 }), json!({ "a": { "$incr": 2 } }), json!({ "a": 3 })),
            (json!({}), json!({ "a": { "$incr": -1 } }), json!({ "a": -1 })),
            (json!({ "a": 1 }), json!({ "a": { "$incr": 0.5 } }), json!({ "a": 1.5 })),
            (json!({ "a": i64::MAX }), json!({ "a": { "$incr": 1 } }), json!({ "a": i64::MAX })),
            (
                json!({ "a": ["x"] }),
                json!({ "a": { "$add": ["y", "x"] } }),
                json!({ "a": ["x", "y"] }),
            ),
            (json!({ "a": "x" }), json!({ "a": { "$add": ["y"] } }), json!({ "a": ["x", "y"] })),
            (
                json!({ "a": ["x", "y"] }),
                json!({ "a": { "$remove": ["x"] } }),
                json!({ "a": ["y"] }),
            ),
            (json!({ "a": ["x"] }), json!({ "a": { "$add": "y" } }), json!({ "a": ["x", "y"] })),
            (json!({}), json!({ "a": long }), json!({ "a": long[1..] })),
            (
                json!({ "a": long[1..] }),
                json!({ "a": { "$add": [7, 101, 102] } }),
                json!({ "a": (3..103).collect::<Vec<_>>() }),
            ),
            (json!({}), json!({ "a": { "b": 1 } }), json!({ "a": { "b": 1 } })),
        ] {
            let mut properties = before.as_object().unwrap().clone();
            upload(&mut properties, uploaded.as_object().unwrap().clone());
            assert_eq!(Value::Object(properties), after, "{before} {uploaded}");
        }
    }
}
