//! Examples in YAML that `towpath check` accepts: an account, a trigger, a step.

use connector::{ActionDescriptor, Connector, Setting, TriggerDescriptor, TriggerKind};
use serde_json::Value;

use super::fields::Shape;

/// An account of the connector, called like it, for below `accounts:`.
pub(crate) fn account(connector: &Connector) -> String {
    let mut lines = vec![format!("  {}:", connector.name())];
    lines.push(format!("    connector: {}", connector.name()));
    // What may be left out is: which of it is needed, the page says.
    for setting in connector.settings().iter().filter(|it| it.default != Some("")) {
        let value = match setting.default {
            Some(default) if !setting.secret => default.to_owned(),
            _ => format!("{{ env: {} }}", variable(connector, setting)),
        };
        lines.push(format!("    {}: {value}", setting.name));
    }
    lines.join("\n")
}

/// The environment variable that examples take a setting from: `CLEVERTAP_PROJECT_ID`.
fn variable(connector: &Connector, setting: &Setting) -> String {
    let mut name = format!("{}_", connector.name().replace(['-', '.'], "_").to_uppercase());
    for letter in setting.name.chars() {
        if letter.is_uppercase() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}

/// A flow file's `trigger:`.
pub(crate) fn trigger(connector: &Connector, trigger: &TriggerDescriptor) -> String {
    let fields = (trigger.fields)().to_value();
    let every = match trigger.kind {
        TriggerKind::Polling => "  every: 5m\n",
        TriggerKind::Heard => "  every: 1h\n",
        TriggerKind::Webhook | TriggerKind::Told => "",
    };
    let name = connector.name();
    let account =
        if connector.has_accounts() { format!("  account: {name}\n") } else { String::new() };
    format!("trigger:\n  use: {name}.{}\n{account}{every}{}", trigger.name, written(&fields, "  "))
}

/// A flow file's `steps:` with one step.
pub(crate) fn step(connector: &Connector, action: &ActionDescriptor) -> String {
    let fields = (action.fields)().to_value();
    format!(
        "steps:\n  - id: {0}\n    use: {1}.{0}\n    account: {1}\n{2}",
        action.name,
        connector.name(),
        written(&fields, "    ")
    )
}

/// The fields of the first example that the type gives; those that are needed if it gives none.
pub(crate) fn fields(schema: &Value) -> Value {
    Shape::of(schema).example().cloned().unwrap_or_else(|| needed(schema))
}

fn needed(schema: &Value) -> Value {
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let value = |name: &str| {
        let field = schema.get("properties").and_then(|it| it.get(name));
        let example = field.and_then(|it| it.pointer("/examples/0").or(it.pointer("/enum/0")));
        let kind = field.and_then(|it| it.get("type")).and_then(Value::as_str);
        example.cloned().unwrap_or_else(|| match kind {
            Some("integer" | "number") => Value::from(1),
            Some("boolean") => Value::from(true),
            _ => Value::from(name),
        })
    };
    names.filter_map(Value::as_str).map(|name| (name.to_owned(), value(name))).collect()
}

fn written(schema: &Value, indent: &str) -> String {
    let Value::Object(fields) = fields(schema) else { return String::new() };
    let lines = fields.iter().map(|(name, value)| format!("{indent}  {name}: {}\n", scalar(value)));
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("{indent}fields:\n{lines}") }
}

/// A value in one line; what YAML could take for something else stays in quotes.
fn scalar(value: &Value) -> String {
    let plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && !["true", "false", "null", "yes", "no", "on", "off"]
                .contains(&text.to_lowercase().as_str())
    };
    match value {
        Value::String(text) if plain(text) => text.clone(),
        other => other.to_string(),
    }
}
