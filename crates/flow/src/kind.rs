//! What is known of a value before there is one: its fields, by schema or by what a mapping says.

use std::collections::BTreeSet;
use std::sync::Arc;

use mapping::Shape;
use serde_json::{Map, Value};

/// A schema may refer to itself; what nests so deep is not looked at.
const DEPTH: usize = 40;

/// What is known of a value.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Nothing: it may have any field.
    Open,
    /// It fits a JSON Schema, the root of its own references.
    Schema(Arc<Value>),
    /// It has these fields; others too if it is open.
    Fields { fields: Vec<(String, Self)>, open: bool },
    /// It is one of these, or a list of them.
    Any(Vec<Self>),
}

impl Kind {
    /// An object with exactly these fields.
    pub(crate) fn fields<const N: usize>(fields: [(&str, Self); N]) -> Self {
        let fields = fields.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
        Self::Fields { fields, open: false }
    }

    /// What a mapping gives.
    pub(crate) fn of(shape: &Shape) -> Self {
        match shape {
            Shape::Unknown => Self::Open,
            Shape::Object(object) => {
                let fields = object.keys.iter().map(|key| (key.name.clone(), Self::of(&key.value)));
                Self::Fields { fields: fields.collect(), open: object.open }
            }
            Shape::Any(shapes) => Self::Any(shapes.iter().map(Self::of).collect()),
        }
    }

    /// What a mapping gives that writes a model of its own: where it writes a field of the model
    /// that `schema` describes, all that the model has inside of that counts as known.
    pub(crate) fn of_model(shape: &Shape, schema: &Value) -> Self {
        let properties = schema.get("properties").and_then(Value::as_object);
        match (Self::of(shape), properties) {
            (Self::Fields { mut fields, open }, Some(properties)) => {
                for (name, kind) in &mut fields {
                    let Some(Value::Object(part)) = properties.get(name) else { continue };
                    let mut part = part.clone();
                    part.extend(schema.get("$defs").map(|it| ("$defs".to_owned(), it.clone())));
                    let own = std::mem::replace(kind, Self::Open);
                    *kind = Self::Any(vec![own, Self::Schema(Arc::new(Value::Object(part)))]);
                }
                Self::Fields { fields, open }
            }
            (kind, _) => kind,
        }
    }

    /// The same as it can be looked into.
    pub(crate) fn view(&self) -> View<'_> {
        match self {
            Self::Schema(schema) => View::Schema { root: schema, schema },
            kind => View::Kind(kind),
        }
    }
}

/// A place inside what is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'k> {
    Kind(&'k Kind),
    Schema { root: &'k Value, schema: &'k Value },
}

/// What is known of a field.
pub(crate) enum Field<'k> {
    /// There may be anything.
    Unknown,
    /// There is no such field.
    Missing,
    /// It is one of these.
    Known(Vec<View<'k>>),
}

impl<'k> View<'k> {
    /// The field called `name`; lists are seen through.
    pub(crate) fn field(self, name: &str) -> Field<'k> {
        let mut found = vec![];
        for part in self.parts(DEPTH) {
            match part {
                // In one that is open, what is not known may replace what is.
                Part::Open | Part::Fields { open: true, .. } => return Field::Unknown,
                Part::Scalar(_) => {}
                Part::Fields { fields, .. } => {
                    let known = fields.iter().filter(|(known, _)| known == name);
                    found.extend(known.map(|(_, kind)| kind.view()));
                }
                Part::Properties { root, properties, .. } => {
                    found.extend(properties.get(name).map(|schema| View::Schema { root, schema }));
                }
            }
        }
        if found.is_empty() { Field::Missing } else { Field::Known(found) }
    }

    /// The field at the end of a way.
    pub(crate) fn at(self, path: &[String]) -> Field<'k> {
        let mut views = vec![self];
        for name in path {
            let mut next = vec![];
            for view in views {
                match view.field(name) {
                    Field::Unknown => return Field::Unknown,
                    Field::Missing => {}
                    Field::Known(found) => next.extend(found),
                }
            }
            if next.is_empty() {
                return Field::Missing;
            }
            views = next;
        }
        Field::Known(views)
    }

    /// The names of the fields that are known.
    pub(crate) fn names(self) -> BTreeSet<&'k str> {
        let mut names = BTreeSet::new();
        for part in self.parts(DEPTH) {
            match part {
                Part::Open | Part::Scalar(_) => {}
                Part::Fields { fields, .. } => {
                    names.extend(fields.iter().map(|(name, _)| name.as_str()));
                }
                Part::Properties { properties, .. } => {
                    names.extend(properties.keys().map(String::as_str));
                }
            }
        }
        names
    }

    /// What it is, if it can only be text, a number or the like.
    pub(crate) fn scalar(self) -> Option<&'static str> {
        let mut parts = self.parts(DEPTH).into_iter();
        let Some(Part::Scalar(word)) = parts.next() else { return None };
        let same = |part: Part<'_>| matches!(part, Part::Scalar(other) if other == word);
        parts.all(same).then_some(word)
    }

    /// The object that it can only be, by its schema.
    pub(crate) fn object(self) -> Option<ObjectSchema<'k>> {
        let parts = self.parts(DEPTH).into_iter();
        let mut parts = parts.filter(|part| !matches!(part, Part::Scalar(_)));
        match (parts.next(), parts.next()) {
            (Some(Part::Properties { required, .. }), None) => Some(ObjectSchema { required }),
            _ => None,
        }
    }

    /// What it may be, each by itself.
    fn parts(self, depth: usize) -> Vec<Part<'k>> {
        let Some(depth) = depth.checked_sub(1) else { return vec![Part::Open] };
        let (root, schema) = match self {
            Self::Kind(Kind::Open) => return vec![Part::Open],
            Self::Kind(Kind::Schema(schema)) => (&**schema, &**schema),
            Self::Kind(Kind::Fields { fields, open }) => {
                return vec![Part::Fields { fields, open: *open }];
            }
            Self::Kind(Kind::Any(kinds)) => {
                return kinds.iter().flat_map(|kind| kind.view().parts(depth)).collect();
            }
            Self::Schema { root, schema } => (root, schema),
        };
        let Some(schema) = resolve(root, schema) else { return vec![Part::Open] };
        let inside = |schema| Self::Schema { root, schema }.parts(depth);
        for key in ["anyOf", "oneOf"] {
            if let Some(Value::Array(branches)) = schema.get(key) {
                return branches.iter().flat_map(inside).collect();
            }
        }
        let values = schema.get("const").map(std::slice::from_ref);
        let choices = values.or_else(|| schema.get("enum")?.as_array().map(Vec::as_slice));
        let types = types(schema);
        if let Some(choices) = choices
            && choices.iter().all(|choice| !choice.is_object() && !choice.is_array())
        {
            let text = choices.iter().all(Value::is_string);
            return vec![Part::Scalar(if text { "text" } else { "a plain value" })];
        }
        if types.is_empty() && schema.get("properties").is_none() || schema.contains_key("allOf") {
            return vec![Part::Open];
        }
        let mut parts = vec![];
        for kind in &types {
            match *kind {
                "object" => {}
                "array" => match schema.get("items") {
                    Some(items) => parts.extend(inside(items)),
                    None => parts.push(Part::Open),
                },
                kind => parts.extend(word(kind).map(Part::Scalar)),
            }
        }
        if types.is_empty() || types.contains(&"object") {
            parts.push(object(root, schema));
        }
        parts
    }
}

/// What a schema says of an object.
pub(crate) struct ObjectSchema<'k> {
    /// The fields that it cannot do without.
    pub(crate) required: Vec<&'k str>,
}

/// One of the things that a value may be.
enum Part<'k> {
    Open,
    Scalar(&'static str),
    Fields { fields: &'k [(String, Kind)], open: bool },
    Properties { root: &'k Value, properties: &'k Map<String, Value>, required: Vec<&'k str> },
}

/// An object with named properties and no others, or one that is open.
fn object<'k>(root: &'k Value, schema: &'k Map<String, Value>) -> Part<'k> {
    let others = schema.get("additionalProperties");
    let open = matches!(others, Some(Value::Bool(true) | Value::Object(_)))
        || schema.contains_key("patternProperties");
    match schema.get("properties").and_then(Value::as_object) {
        Some(properties) if !open => {
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let required = required.filter_map(Value::as_str).collect();
            Part::Properties { root, properties, required }
        }
        None if others == Some(&Value::Bool(false)) => Part::Fields { fields: &[], open: false },
        _ => Part::Open,
    }
}

fn resolve<'k>(root: &'k Value, schema: &'k Value) -> Option<&'k Map<String, Value>> {
    let mut schema = schema.as_object()?;
    for _ in 0..16 {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { break };
        schema = root.pointer(reference.strip_prefix('#')?)?.as_object()?;
    }
    Some(schema)
}

fn types(schema: &Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    }
}

/// What a person calls a type without fields; nothing has no name.
fn word(kind: &str) -> Option<&'static str> {
    match kind {
        "boolean" => Some("true or false"),
        "integer" | "number" => Some("a number"),
        "string" => Some("text"),
        _ => None,
    }
}
