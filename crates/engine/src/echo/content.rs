//! What a step would send, in one form for both sides: what is not there, and what is empty, is the
//! same, and so are `5` and `"5"`. Lists are taken as sets: systems give tags, and ways to reach
//! somebody, in an order of their own.

use connector::Prepared;
use flow::Step;
use serde_json::Value;
use store::Store;

/// A keyed hash of what a step would send; `None` if it cannot be shown.
pub(super) fn content(store: &dyn Store, step: &Step, input: &Prepared) -> Option<[u8; 8]> {
    let sent = step.action.show(input).ok()?;
    let hash = store.keyed_hash("echo.content", &[form(&sent).unwrap_or_default().as_bytes()]);
    Some(std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default()))
}

/// The form of a value; `None` if it says nothing.
pub(super) fn form(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(quoted(&flag.to_string())),
        Value::Number(number) => Some(quoted(&number.to_string())),
        Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(quoted),
        Value::Array(items) => {
            let mut items: Vec<String> = items.iter().filter_map(form).collect();
            items.sort_unstable();
            items.dedup();
            (!items.is_empty()).then(|| format!("[{}]", items.join(",")))
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter_map(|(key, it)| {
                let it = form(it)?;
                Some(format!("{}:{it}", quoted(key)))
            });
            let mut fields: Vec<String> = fields.collect();
            fields.sort_unstable();
            (!fields.is_empty()).then(|| format!("{{{}}}", fields.join(",")))
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
