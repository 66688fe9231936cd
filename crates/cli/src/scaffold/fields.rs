//! The `fields` of a trigger or action: those it needs with a placeholder, the others as comments.

use connector::prelude::schemars::Schema;
use serde_json::{Map, Value, json};

use super::{kebab, known_to_sandbox, yaml};

/// So many fields are given beyond the required ones, to find fields that fit together.
const MOST: usize = 2;

/// Fields that a connector takes, as YAML with comments.
pub(super) struct Fields {
    schema: Value,
    /// The fields that are given.
    pub(super) given: Map<String, Value>,
}

impl Fields {
    /// Chooses fields from a schema: the required ones, and as few others as it takes for `fit`
    /// to say 0, or else as little as it can; `None` is not accepted at all.
    pub(super) fn choose(
        schema: fn() -> Schema,
        sandbox: bool,
        fit: impl Fn(&Value) -> Option<usize>,
    ) -> Self {
        let schema = schema().to_value();
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| {
            required.is_some_and(|names| names.iter().any(|known| known.as_str() == Some(name)))
        };
        let value = |name: &str, of: &Value| {
            let known = if sandbox { known_to_sandbox(name) } else { None };
            (name.to_owned(), known.unwrap_or_else(|| placeholder(name, resolved(&schema, of))))
        };
        let needed = properties.iter().filter(|(name, _)| is_required(name));
        let needed: Map<String, Value> = needed.map(|(name, of)| value(name, of)).collect();
        // Names before numbers and switches: they say what they mean.
        let mut others: Vec<_> = properties.iter().filter(|(name, _)| !is_required(name)).collect();
        others.sort_by_key(|(_, of)| !is_text(resolved(&schema, of)));
        let others: Vec<_> = others.into_iter().map(|(name, of)| value(name, of)).collect();
        let mut best: Option<(usize, Map<String, Value>)> = None;
        for chosen in few(others.len()) {
            let mut fields = needed.clone();
            fields.extend(chosen.into_iter().filter_map(|at| others.get(at).cloned()));
            if let Some(left) = fit(&Value::Object(fields.clone()))
                && best.as_ref().is_none_or(|(known, _)| left < *known)
            {
                best = Some((left, fields));
            }
            if best.as_ref().is_some_and(|(left, _)| *left == 0) {
                break;
            }
        }
        let given = best.map_or(needed, |(_, fields)| fields);
        Self { schema, given }
    }

    /// The lines below `fields:`, each field with what its schema says of it.
    pub(super) fn lines(&self, indent: usize) -> String {
        let empty = Map::new();
        let properties = self.schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let space = " ".repeat(indent);
        let (mut given, mut others) = (String::new(), String::new());
        for (name, property) in properties {
            let of = resolved(&self.schema, property);
            let about = property.get("description").or_else(|| of.get("description"));
            let about = about.and_then(Value::as_str).unwrap_or_default();
            let about = format!("{about}{}", choices(of));
            if let Some(value) = self.given.get(name) {
                given.push_str(&yaml::comment(&about, indent));
                given.push_str(&format!("{space}{name}: {}\n", yaml::inline(value)));
            } else {
                let default = property.get("default").filter(|default| !default.is_null());
                let value = default.cloned().unwrap_or_else(|| placeholder(name, of));
                others.push_str(&yaml::comment(&about, indent));
                others.push_str(&format!("{space}#{name}: {}\n", yaml::inline(&value)));
            }
        }
        given + &others
    }
}

/// The places of few things among so many, fewest first.
fn few(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    let mut last: Vec<Vec<usize>> = vec![vec![]];
    for _ in 0..MOST {
        let longer = last.iter().flat_map(|chosen| {
            let from = chosen.last().map_or(0, |at| at + 1);
            (from..count).map(|at| chosen.iter().copied().chain([at]).collect())
        });
        last = longer.collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// A property's schema behind its reference; of one that may be left out, what it is otherwise.
fn resolved<'s>(schema: &'s Value, property: &'s Value) -> &'s Value {
    let property = property.pointer("/anyOf/0").unwrap_or(property);
    let reference = property.get("$ref").and_then(Value::as_str);
    let pointer = reference.and_then(|text| text.strip_prefix('#'));
    pointer.and_then(|pointer| schema.pointer(pointer)).unwrap_or(property)
}

fn is_text(of: &Value) -> bool {
    match of.get("type") {
        Some(Value::String(name)) => name == "string",
        Some(Value::Array(names)) => {
            let mut names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.next() == Some("string") && names.next().is_none()
        }
        _ => false,
    }
}

/// The choices of an enumeration, in words.
fn choices(of: &Value) -> String {
    let names: Vec<String> = constants(of).map(yaml::inline).collect();
    if names.is_empty() { String::new() } else { format!(" One of: {}.", names.join(", ")) }
}

fn constants(of: &Value) -> impl Iterator<Item = &Value> {
    let listed = of.get("enum").and_then(Value::as_array).into_iter().flatten();
    let described = of.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    listed.chain(described.filter_map(|choice| choice.get("const")))
}

/// A value of the right type, for a person to replace.
fn placeholder(name: &str, of: &Value) -> Value {
    if let Some(first) = constants(of).next() {
        return first.clone();
    }
    let kind = match of.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        kind => kind.and_then(Value::as_str),
    };
    match kind {
        Some("boolean") => json!(true),
        Some("integer" | "number") => of.get("minimum").cloned().unwrap_or(json!(1)),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => json!(format!("your-{}", kebab(name))),
    }
}
