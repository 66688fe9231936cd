//! Where an answer holds a page's records, so that other pages can be made of it.

use connector::Page;
use serde_json::Value;

use crate::story::Response;

/// The place of a list inside an answer, as a JSON Pointer.
pub(crate) fn place(response: &Response, page: &Page<Value>) -> Option<String> {
    let records: Vec<Value> = page
        .records
        .iter()
        .filter_map(|record| serde_json::from_str(record.data.get()).ok())
        .collect();
    if records.is_empty() {
        return None;
    }
    let lists = lists(response.body.as_ref()?, String::new());
    let same = lists.iter().find(|(_, list)| **list == records);
    // A record may be wrapped in its list; the length tells as much.
    let long = || lists.iter().find(|(_, list)| list.len() == records.len());
    same.or_else(long).map(|(place, _)| place.clone())
}

/// Every list of a body with its place.
pub(crate) fn lists(body: &Value, place: String) -> Vec<(String, &Vec<Value>)> {
    match body {
        Value::Array(list) => vec![(place, list)],
        Value::Object(object) => object
            .iter()
            .flat_map(|(key, value)| {
                let key = key.replace('~', "~0").replace('/', "~1");
                lists(value, format!("{place}/{key}"))
            })
            .collect(),
        _ => vec![],
    }
}

/// The answer with its list changed.
pub(crate) fn changed(
    response: &Response,
    place: &str,
    change: impl FnOnce(&mut Vec<Value>),
) -> Response {
    let mut response = response.clone();
    let list = response.body.as_mut().and_then(|body| body.pointer_mut(place));
    if let Some(list) = list.and_then(Value::as_array_mut) {
        change(list);
    }
    response
}
