//! The JSON Schemas that editors use for flow files and `towpath.yaml`.
//!
//! Both are generated: the keys from the types that read them, the `fields` and settings from
//! what the connectors say. An editor with yaml-language-server completes and explains them.

use connector::{Auth, Connector, Setting};
use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::config::ConfigFile;
use crate::editor;
use crate::fields::{CUSTOM, SKIP};
use crate::file::FlowFile;

/// The schema of a flow file, for these connectors.
pub fn flow(connectors: &[Connector]) -> Value {
    let mut schema = schemars::schema_for!(FlowFile).to_value();
    let mut triggers = vec![];
    let mut actions = vec![];
    for connector in connectors {
        let name = |own: &str| format!("{}.{own}", connector.name());
        for trigger in connector.triggers() {
            let fields = fields(trigger.fields, trigger.mapping, "the raw record", "the message");
            let mut refused = match trigger.kind.is_polled() {
                true => vec![],
                false => vec!["every", "cron", "timezone", "overlap", "sweep", "emitDeletes"],
            };
            let needed = if connector.has_accounts() { vec!["account"] } else { vec![] };
            if needed.is_empty() {
                refused.push("account");
            }
            for own in [trigger.name].iter().chain(&trigger.aliases) {
                let (refused, needed) = (refused.clone(), needed.clone());
                triggers.push(Use { name: name(own), fields: fields.clone(), refused, needed });
            }
        }
        for action in connector.actions() {
            let fields = fields(action.fields, action.mapping, "the message", "the action's input");
            let (refused, needed) = (vec![], vec![]);
            for own in [action.name].iter().chain(&action.aliases) {
                let (refused, needed): (Vec<_>, Vec<_>) = (refused.clone(), needed.clone());
                actions.push(Use { name: name(own), fields: fields.clone(), refused, needed });
            }
        }
    }
    offer(&mut schema, "/properties/trigger", triggers);
    // It depends on what is used.
    if let Some(Value::Array(required)) = schema.pointer_mut("/properties/trigger/required") {
        required.retain(|key| key != "account");
    }
    offer(&mut schema, "/$defs/Step", actions);
    title(&mut schema, "Towpath flow");
    editor::polish(&mut schema);
    schema
}

/// The schema of `towpath.yaml`, for these connectors.
pub fn config(connectors: &[Connector]) -> Value {
    let mut schema = schemars::schema_for!(ConfigFile).to_value();
    let with_accounts = || connectors.iter().filter(|connector| connector.has_accounts());
    let names: Vec<_> = with_accounts()
        .map(|connector| json!({ "const": connector.name(), "description": connector.description() }))
        .collect();
    let cases: Vec<_> = with_accounts()
        .map(|connector| {
            json!({
                "if": { "properties": { "connector": { "const": connector.name() } } },
                "then": account(connector),
            })
        })
        .collect();
    let mut any = json!({
        "type": "object",
        "required": ["connector"],
        "properties": { "connector": { "description": "The connector's name." } },
        "allOf": cases,
    });
    if !names.is_empty()
        && let Some(connector) = any.pointer_mut("/properties/connector")
    {
        put(connector, "oneOf", Value::Array(names));
    }
    if let Some(accounts) = schema.pointer_mut("/properties/accounts") {
        put(accounts, "additionalProperties", any);
    }
    title(&mut schema, "Towpath configuration");
    editor::polish(&mut schema);
    schema
}

/// One trigger or action with the schema of its `fields`.
struct Use {
    name: String,
    fields: Value,
    /// The keys beside `fields` that it cannot have.
    refused: Vec<&'static str>,
    /// The keys beside `fields` that it cannot do without, where others can.
    needed: Vec<&'static str>,
}

/// Puts the names into `use` of the schema at `place`, and for each name its `fields`.
fn offer(schema: &mut Value, place: &str, uses: Vec<Use>) {
    if uses.is_empty() {
        return;
    }
    let names = uses.iter().map(|known| {
        let about = known.fields.get("description").cloned().unwrap_or_default();
        json!({ "const": known.name, "description": about })
    });
    let names = Value::Array(names.collect());
    let mut cases = vec![];
    for known in uses {
        let required = known.fields.get("required").and_then(Value::as_array);
        let mut then = json!({
            "properties": { "fields": { "$ref": format!("#/$defs/{}", known.name) } },
        });
        if let Some(properties) = then.get_mut("properties") {
            for key in known.refused {
                put(properties, key, json!(false));
            }
        }
        let fields = required.is_some_and(|required| !required.is_empty());
        let needed: Vec<_> = fields.then_some("fields").into_iter().chain(known.needed).collect();
        if !needed.is_empty() {
            put(&mut then, "required", json!(needed));
        }
        cases.push(json!({
            "if": { "properties": { "use": { "const": known.name } }, "required": ["use"] },
            "then": then,
        }));
        let fields = rebased(known.fields, &format!("#/$defs/{}", known.name));
        if let Some(definitions) = schema.get_mut("$defs") {
            put(definitions, &known.name, fields);
        }
    }
    let Some(definition) = schema.pointer_mut(place) else { return };
    put(definition, "allOf", Value::Array(cases));
    if let Some(uses) = definition.pointer_mut("/properties/use") {
        put(uses, "oneOf", names);
    }
}

fn fields(schema: fn() -> Schema, mapping: &str, from: &str, to: &str) -> Value {
    let mut schema = schema().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.entry("type").or_insert_with(|| json!("object"));
        object.entry("properties").or_insert_with(|| json!({}));
        object.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    if let Some(properties) = schema.get_mut("properties") {
        put(
            properties,
            SKIP,
            json!({
                "type": "boolean",
                "default": false,
                "description": format!("Takes {from} as it is: no mapping makes {to} of it."),
            }),
        );
        let default = mapping.trim();
        let default = if default.is_empty() {
            String::new()
        } else {
            format!("\n\nThe default:\n\n```jsonata\n{default}\n```")
        };
        let about = format!("A JSONata expression that makes {to} of {from}.");
        put(
            properties,
            CUSTOM,
            json!({
                "type": "string",
                "description": format!("{about}{default}"),
            }),
        );
    }
    schema
}

/// What an account of the connector takes.
fn account(connector: &Connector) -> Value {
    let mut properties = Map::new();
    properties.insert("connector".to_owned(), json!(true));
    let about = match connector.auth() {
        Auth::OAuth2(_) => {
            "Replaces the connector's own base URL, and the origin of its OAuth2 endpoints."
        }
        _ => "Replaces the connector's own base URL.",
    };
    properties.insert("baseUrl".to_owned(), value(about, false));
    for setting in connector.settings() {
        let mut schema = value(&setting.explained(), setting.secret);
        if !setting.choices.is_empty() {
            let offered = setting.choices.iter().map(|(value, _)| *value);
            put(&mut schema, "examples", json!(offered.collect::<Vec<_>>()));
        }
        if let Some(default) = setting.default {
            put(&mut schema, "default", json!(default));
        }
        properties.insert(setting.name.to_owned(), schema);
    }
    let needed = |setting: &&Setting| setting.default.is_none();
    let required: Vec<_> =
        connector.settings().iter().filter(needed).map(|setting| setting.name).collect();
    json!({ "properties": properties, "required": required, "additionalProperties": false })
}

/// Text, a secret of the vault, an environment variable or a file; a secret is never text.
fn value(about: &str, secret: bool) -> Value {
    let from = |key: &str, about: &str| {
        json!({
            "type": "object",
            "properties": { key: { "type": "string", "description": about } },
            "required": [key],
            "additionalProperties": false,
        })
    };
    let mut vault = from("secret", "The name of the secret: `towpath secret set NAME` keeps it.");
    if let Some(name) = vault.pointer_mut("/properties/secret") {
        put(name, "pattern", json!("^[A-Za-z0-9._-]{1,100}$"));
    }
    let mut forms = vec![
        vault,
        from("env", "The environment variable that holds the value."),
        from("file", "The file that holds the value."),
    ];
    if !secret {
        forms.insert(0, json!({ "type": "string" }));
    }
    json!({ "description": about, "anyOf": forms })
}

/// A schema whose references into itself still hold when it stands at `base`.
fn rebased(mut schema: Value, base: &str) -> Value {
    match &mut schema {
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                let inner =
                    value.as_str().filter(|_| key == "$ref").and_then(|r| r.strip_prefix('#'));
                *value = match inner {
                    Some(inner) => Value::String(format!("{base}{inner}")),
                    None => rebased(value.take(), base),
                };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = rebased(item.take(), base)),
        _ => {}
    }
    schema
}

fn title(schema: &mut Value, title: &str) {
    put(schema, "title", json!(title));
}

fn put(schema: &mut Value, key: &str, value: Value) {
    if let Some(object) = schema.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
