//! Orders: a receiver has a list of their items, each an object.

use serde_json::{Map, Value};

use crate::options::OrderAgain;

/// Whether it is an item: it needs its order's number and a product.
pub(super) fn is_one(item: &Value) -> bool {
    let has = |name: &str| text(item, name).is_some_and(|text| !text.is_empty());
    has("order_id") && has("product")
}

/// Adds items; one without a time is of now.
pub(super) fn add(orders: &mut Vec<Value>, given: &[Value], now: i64, again: OrderAgain) {
    for item in given {
        let mut item = item.as_object().cloned().unwrap_or_default();
        item.entry("stamp").or_insert_with(|| Value::from(now));
        let item = Value::Object(item);
        let known = orders.iter_mut().find(|known| same(known, &item));
        match known {
            Some(known) if again == OrderAgain::Replaced => *known = item,
            _ => orders.push(item),
        }
    }
}

fn same(one: &Value, other: &Value) -> bool {
    ["order_id", "product_id", "product"].iter().all(|name| text(one, name) == text(other, name))
}

fn text(item: &Value, name: &str) -> Option<String> {
    match item.as_object().and_then(|item: &Map<String, Value>| item.get(name))? {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
