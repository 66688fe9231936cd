//! Compares a value with a JSON Schema and says what does not fit, all at once.
//!
//! Only what schemas derived from Rust types use is looked at. Whatever this does not see is
//! found when the value is deserialised into the type itself.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::duration;
use crate::fields;
use crate::finding::code;
use crate::source::Source;
use crate::suggest;
use crate::yaml::{Kind, Node};

/// The codes of the five misfits, in their order.
pub(crate) type Codes = [&'static str; 5];

/// For the keys of our own files.
pub(crate) const KEYS: Codes =
    [code::UNKNOWN_KEY, code::MISSING_KEY, code::WRONG_TYPE, code::WRONG_TYPE, code::NUMBER];

/// For the fields of triggers and actions.
pub(crate) const FIELDS: Codes = [
    code::UNKNOWN_FIELD,
    code::MISSING_FIELD,
    code::FIELD_TYPE,
    code::FIELD_CHOICE,
    code::FIELD_TYPE,
];

/// Reports as findings what of `node` does not fit `schema`.
pub(crate) fn report(
    source: &mut Source<'_>,
    node: &Node,
    schema: &Value,
    name: &str,
    [unknown, missing, wrong_type, choice, range]: Codes,
) {
    for problem in check(node, schema, name) {
        let code = match problem.misfit {
            Misfit::Unknown => unknown,
            Misfit::Missing => missing,
            Misfit::Type => wrong_type,
            Misfit::Choice => choice,
            Misfit::Range => range,
        };
        // A caret under several lines shows nothing.
        let span = fields::first_line(source.text(), &problem.span);
        source.error(code, span, problem.message, problem.hint);
    }
}

/// What kind of misfit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misfit {
    Unknown,
    Missing,
    Type,
    Choice,
    Range,
}

/// One thing that does not fit.
#[derive(Debug)]
struct Problem {
    misfit: Misfit,
    span: Range<usize>,
    message: String,
    hint: Option<String>,
}

/// Lists what of `node` does not fit `schema`; `name` is what the messages call the whole.
fn check(node: &Node, schema: &Value, name: &str) -> Vec<Problem> {
    let mut checker = Checker { root: schema, problems: vec![], depth: 0 };
    checker.value(node, schema, name);
    checker.problems
}

struct Checker<'s> {
    root: &'s Value,
    problems: Vec<Problem>,
    depth: usize,
}

impl<'s> Checker<'s> {
    fn value(&mut self, node: &Node, schema: &'s Value, name: &str) {
        // A schema may refer to itself; what is nested so deep is left to the type.
        if self.depth > 40 {
            return;
        }
        self.depth += 1;
        if let Some(schema) = self.resolve(schema) {
            self.resolved(node, schema, name);
        }
        self.depth -= 1;
    }

    fn resolve(&self, schema: &'s Value) -> Option<&'s Map<String, Value>> {
        let mut schema = schema.as_object()?;
        for _ in 0..16 {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { break };
            schema = self.root.pointer(reference.strip_prefix('#')?)?.as_object()?;
        }
        Some(schema)
    }

    fn resolved(&mut self, node: &Node, schema: &'s Map<String, Value>, name: &str) {
        for key in ["oneOf", "anyOf"] {
            if let Some(Value::Array(branches)) = schema.get(key) {
                return self.branches(node, branches, name);
            }
        }
        if let Some(choices) = self.choices(schema) {
            return self.choice(node, &choices, name);
        }
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|kind| is(node, kind)) {
            return self.wrong_type(node, schema, &types, name);
        }
        self.range(node, schema, name);
        if let Kind::List(items) = &node.kind {
            let smallest = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            if (items.len() as u64) < smallest {
                let message = format!("{name} has at least {smallest}");
                self.add(Misfit::Missing, node.span.clone(), message, None);
            }
            if let Some(schema) = schema.get("items") {
                let name = match name {
                    "`steps`" => "a step",
                    "`tests`" => "a test",
                    name => name,
                };
                items.iter().for_each(|item| self.value(item, schema, name));
            }
        }
        self.fields(node, schema, name);
    }

    fn fields(&mut self, node: &Node, schema: &'s Map<String, Value>, name: &str) {
        let Some(entries) = node.entries() else { return };
        let properties = schema.get("properties").and_then(Value::as_object);
        let additional = schema.get("additionalProperties");
        let needed = schema.get("required").and_then(Value::as_array);
        let needed: Vec<_> = needed.into_iter().flatten().filter_map(Value::as_str).collect();
        // What an unknown key is meant to be is not missing too.
        let mut meant = vec![];
        for entry in entries {
            if let Some(schema) = properties.and_then(|known| known.get(&entry.key)) {
                // A key without a value counts as left out.
                let empty = matches!(entry.value.kind, Kind::Null);
                if !empty || needed.contains(&entry.key.as_str()) {
                    self.value(&entry.value, schema, &format!("`{}`", entry.key));
                }
            } else if let Some(schema @ Value::Object(_)) = additional {
                self.value(&entry.value, schema, &format!("`{}`", entry.key));
            } else if let Some(known) = properties
                && additional != Some(&Value::Bool(true))
            {
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                let known = suggest::nearest(&entry.key, &names);
                meant.extend(known.or_else(|| suggest::meant(&entry.key, &names)));
                let hint = suggest::hint(&entry.key, names);
                let message = format!("{name} has no `{}`", entry.key);
                self.add(Misfit::Unknown, entry.key_span.clone(), message, hint);
            }
        }
        for key in needed {
            if node.entry(key).is_none() && !meant.contains(&key) {
                let first = entries.first().map_or(&node.span, |entry| &entry.key_span);
                let about = properties.and_then(|known| known.get(key));
                let about =
                    about.and_then(|schema| schema.get("description")).and_then(Value::as_str);
                let hint = about.map(|about| format!("`{key}`: {}", first_sentence(about)));
                let message = format!("{name} needs `{key}`");
                self.add(Misfit::Missing, first.clone(), message, hint);
            }
        }
    }

    /// The values of an enumeration, however it is written.
    fn choices(&self, schema: &'s Map<String, Value>) -> Option<Vec<&'s Value>> {
        if let Some(value) = schema.get("const") {
            return Some(vec![value]);
        }
        schema.get("enum").and_then(Value::as_array).map(|values| values.iter().collect())
    }

    fn choice(&mut self, node: &Node, choices: &[&Value], name: &str) {
        let value = node.to_json();
        if choices.contains(&&value) {
            return;
        }
        let known: Vec<&str> = choices.iter().filter_map(|choice| choice.as_str()).collect();
        if node.text().is_none() && !known.is_empty() {
            return self.wrong_type(node, &Map::new(), &["string"], name);
        }
        let near = suggest::nearest(node.text().unwrap_or(""), &known);
        let hint = near.map(|near| format!("did you mean `{near}`?"));
        let message = format!("{name} cannot be this; it is one of {}", known.join(", "));
        self.add(Misfit::Choice, node.span.clone(), message, hint);
    }

    fn branches(&mut self, node: &Node, branches: &'s [Value], name: &str) {
        let resolved: Vec<_> = branches.iter().filter_map(|branch| self.resolve(branch)).collect();
        let choices: Option<Vec<_>> = resolved.iter().map(|schema| self.choices(schema)).collect();
        if let Some(choices) = choices.filter(|choices| !choices.is_empty()) {
            let choices: Vec<&Value> = choices.into_iter().flatten().collect();
            return self.choice(node, &choices, name);
        }
        let may_be_null = resolved.iter().any(|schema| types(schema).contains(&"null"));
        if may_be_null && matches!(node.kind, Kind::Null) {
            return;
        }
        let mut closest: Option<Vec<Problem>> = None;
        for schema in resolved.iter().filter(|schema| types(schema) != ["null"]) {
            let mut trial = Checker { root: self.root, problems: vec![], depth: self.depth };
            trial.resolved(node, schema, name);
            if trial.problems.is_empty() {
                return;
            }
            // A branch of the right type tells more than one of another type.
            let wrong_type = |problems: &[Problem]| {
                problems.iter().any(|p| p.misfit == Misfit::Type && p.span == node.span)
            };
            let rank = |problems: &[Problem]| (wrong_type(problems), problems.len());
            if closest.as_ref().is_none_or(|best| rank(&trial.problems) < rank(best)) {
                closest = Some(trial.problems);
            }
        }
        self.problems.extend(closest.into_iter().flatten());
    }

    fn wrong_type(&mut self, node: &Node, schema: &Map<String, Value>, types: &[&str], name: &str) {
        let pattern = schema.get("pattern").and_then(Value::as_str);
        let words: Vec<_> =
            types.iter().filter(|kind| **kind != "null").map(|kind| word(kind)).collect();
        let hint = match (&node.kind, types) {
            (Kind::Number(number), _) if pattern == Some(duration::PATTERN) => {
                Some(format!("write it with its unit: `{number}s`"))
            }
            (Kind::Number(_) | Kind::Bool(_), types) if types.contains(&"string") => {
                Some("put quotes around it".to_owned())
            }
            (Kind::Text(text), types) if types.contains(&"boolean") => {
                let yes = ["yes", "on", "true", "1"].contains(&text.to_lowercase().as_str());
                Some(format!("write `{yes}`, without quotes"))
            }
            (Kind::Text(text), types)
                if types.iter().any(|kind| matches!(*kind, "integer" | "number"))
                    && text.trim().parse::<f64>().is_ok() =>
            {
                Some("leave the quotes out".to_owned())
            }
            (Kind::Map(_), types) if types.contains(&"array") => {
                Some("put `- ` in front of each, and indent the rest of it alike".to_owned())
            }
            (Kind::List(_), types) if types.contains(&"object") => {
                Some("leave out the `- `".to_owned())
            }
            _ => None,
        };
        let message = format!("{name} is {}, not {}", words.join(" or "), node.type_name());
        self.add(Misfit::Type, node.span.clone(), message, hint);
    }

    fn range(&mut self, node: &Node, schema: &Map<String, Value>, name: &str) {
        let Kind::Number(number) = &node.kind else { return };
        let number = number.as_f64().unwrap_or(f64::NAN);
        let bound = |key| schema.get(key).and_then(Value::as_f64);
        let message = match (bound("minimum"), bound("maximum")) {
            (Some(least), _) if number < least => format!("{name} is at least {least}"),
            (_, Some(most)) if number > most => format!("{name} is at most {most}"),
            _ => return,
        };
        self.add(Misfit::Range, node.span.clone(), message, None);
    }

    fn add(&mut self, misfit: Misfit, span: Range<usize>, message: String, hint: Option<String>) {
        self.problems.push(Problem { misfit, span, message, hint });
    }
}

fn types(schema: &Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    }
}

fn is(node: &Node, kind: &str) -> bool {
    match (&node.kind, kind) {
        (Kind::Null, "null")
        | (Kind::Bool(_), "boolean")
        | (Kind::Number(_), "number")
        | (Kind::Text(_), "string")
        | (Kind::List(_), "array")
        | (Kind::Map(_), "object") => true,
        (Kind::Number(number), "integer") => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        _ => false,
    }
}

/// What a person calls a type of JSON Schema.
fn word(kind: &str) -> &str {
    match kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "array" => "a list",
        "object" => "an object",
        other => other,
    }
}

fn first_sentence(text: &str) -> String {
    let text = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
    text.split_once(". ").map_or(&*text, |(first, _)| first).trim_end_matches('.').to_owned()
}
