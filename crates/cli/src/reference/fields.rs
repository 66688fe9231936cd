//! A JSON Schema as rows that a person can read: of a page's table, of the terminal's list.

use serde_json::{Map, Value};

/// One property.
#[derive(Clone, Debug, Default)]
pub(crate) struct Field {
    /// Its name; of a property of a property `doidata.user_ip`, of a list's items `addresses[].city`.
    pub(crate) path: String,
    /// What it holds, in a few words.
    pub(crate) kind: String,
    /// Its value when it is left out, as JSON.
    pub(crate) default: Option<String>,
    pub(crate) required: bool,
    /// The values that it may have, and what each means.
    pub(crate) choices: Vec<(String, String)>,
    /// What it is, in one paragraph of Markdown.
    pub(crate) about: String,
    /// Examples, as JSON.
    pub(crate) examples: Vec<String>,
}

impl Field {
    /// What it is when it is left out: its default, `required`, or nothing.
    pub(crate) fn otherwise(&self) -> String {
        match &self.default {
            Some(default) => default.clone(),
            None if self.required => "required".to_owned(),
            None => String::new(),
        }
    }

    /// What it is, with its choices and examples.
    pub(crate) fn whole_about(&self) -> String {
        let mut parts = vec![self.about.clone()];
        for (value, about) in &self.choices {
            let about = if about.is_empty() { String::new() } else { format!(": {about}") };
            parts.push(format!("`{value}`{about}"));
        }
        if !self.examples.is_empty() {
            let examples = self.examples.iter().map(|example| format!("`{example}`"));
            parts.push(format!("For example {}.", examples.collect::<Vec<_>>().join(", ")));
        }
        parts.retain(|part| !part.is_empty());
        parts.join(" ")
    }
}

/// A schema and the document that its references lead into.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'s> {
    pub(crate) root: &'s Value,
    pub(crate) schema: &'s Value,
}

impl<'s> Shape<'s> {
    pub(crate) const fn of(schema: &'s Value) -> Self {
        Self { root: schema, schema }
    }

    /// The schema at `pointer` of the same document.
    pub(crate) fn at(root: &'s Value, pointer: &str) -> Self {
        Self { root, schema: root.pointer(pointer).unwrap_or(&Value::Null) }
    }

    const fn inner(self, schema: &'s Value) -> Self {
        Self { root: self.root, schema }
    }

    /// Behind references and behind "or nothing at all".
    pub(crate) fn resolved(self) -> Self {
        let mut shape = self;
        for _ in 0..16 {
            let object = shape.schema.as_object();
            let reference = object.and_then(|it| it.get("$ref")).and_then(Value::as_str);
            if let Some(target) = reference.and_then(|it| shape.root.pointer(it.strip_prefix('#')?))
            {
                shape = shape.inner(target);
                continue;
            }
            let branches = object.and_then(|it| it.get("anyOf")).and_then(Value::as_array);
            let is_null = |it: &&Value| it.get("type").and_then(Value::as_str) == Some("null");
            let mut real = branches.into_iter().flatten().filter(|it| !is_null(it));
            match (real.next(), real.next()) {
                (Some(only), None) => shape = shape.inner(only),
                _ => break,
            }
        }
        shape
    }

    pub(crate) fn text(self, key: &str) -> &'s str {
        self.schema.get(key).and_then(Value::as_str).unwrap_or("")
    }

    /// What it is: its own words, or those of the type behind it.
    pub(crate) fn about(self) -> String {
        let own = self.text("description");
        let about = if own.is_empty() { self.resolved().text("description") } else { own };
        // The source of a default mapping has a place of its own.
        one_paragraph(about.split("\n\nThe default:").next().unwrap_or(about))
    }

    /// The first example, if there is one.
    pub(crate) fn example(self) -> Option<&'s Value> {
        self.resolved().schema.get("examples")?.get(0)
    }

    pub(crate) fn properties(self) -> impl Iterator<Item = (&'s str, Self)> {
        let properties = self.resolved().schema.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(move |(name, it)| (name.as_str(), self.inner(it)))
    }

    /// Of a list that of its items, anything if it does not say; of any other value itself.
    pub(crate) fn item(self) -> Self {
        let resolved = self.resolved();
        match resolved.schema.get("items") {
            Some(items @ Value::Object(_)) => self.inner(items).resolved(),
            _ if self.is_list() => self.inner(&Value::Null),
            _ => resolved,
        }
    }

    fn is_list(self) -> bool {
        self.kinds().contains(&"array")
    }

    fn kinds(self) -> Vec<&'s str> {
        let kinds = match self.resolved().schema.get("type") {
            Some(Value::String(kind)) => vec![kind.as_str()],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => vec![],
        };
        kinds.into_iter().filter(|kind| *kind != "null").collect()
    }

    fn choices(self) -> Vec<(String, String)> {
        let object = self.resolved().schema.as_object().cloned().unwrap_or_default();
        let one = |it: &Map<String, Value>| -> Vec<(String, String)> {
            let about = it.get("description").and_then(Value::as_str).unwrap_or("");
            let listed = it.get("enum").and_then(Value::as_array).into_iter().flatten();
            let values = it.get("const").into_iter().chain(listed);
            let values = values.filter(|it| !it.is_null());
            values.map(|value| (shown(value), one_paragraph(about))).collect()
        };
        let own = one(&object);
        if !own.is_empty() {
            return own.into_iter().map(|(value, _)| (value, String::new())).collect();
        }
        let branches = object.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        branches.filter_map(Value::as_object).flat_map(one).collect()
    }

    /// What it holds, in a few words.
    pub(crate) fn kind(self) -> String {
        if !self.choices().is_empty() {
            return "one of".to_owned();
        }
        let resolved = self.resolved();
        let branches = resolved.schema.get("anyOf").and_then(Value::as_array);
        if let Some(branches) = branches {
            let kinds: Vec<_> = branches.iter().map(|it| self.inner(it).kind()).collect();
            return kinds.join(" or ");
        }
        let words = self.kinds().into_iter().map(|kind| match kind {
            "boolean" => "true or false".to_owned(),
            "integer" => format!("whole number{}", resolved.range()),
            "number" => format!("number{}", resolved.range()),
            "string" => "text".to_owned(),
            "array" => match self.item().kind().as_str() {
                "any value" => "list".to_owned(),
                kind => format!("list of {}", plural(kind)),
            },
            _ => "object".to_owned(),
        });
        let words: Vec<_> = words.collect();
        if words.is_empty() { "any value".to_owned() } else { words.join(" or ") }
    }

    fn range(self) -> String {
        let bound = |key| self.schema.get(key).filter(|it| it.is_number());
        let text = self.text("format");
        // The bounds of a machine's number say nothing about the value.
        let least = bound("minimum").filter(|it| !(text.starts_with("uint") && **it == 0));
        match (least, bound("maximum")) {
            (Some(least), Some(most)) => format!(", {least} to {most}"),
            (Some(least), None) => format!(", at least {least}"),
            (None, Some(most)) => format!(", at most {most}"),
            (None, None) => String::new(),
        }
    }

    /// The rows of its properties; those of their properties too, if `deep`.
    pub(crate) fn fields(self, deep: bool) -> Vec<Field> {
        let mut rows = vec![];
        self.collect("", if deep { 4 } else { 1 }, &mut rows);
        rows
    }

    fn collect(self, before: &str, depth: usize, rows: &mut Vec<Field>) {
        let resolved = self.resolved();
        let required = resolved.schema.get("required").and_then(Value::as_array);
        let required: Vec<_> = required.into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, shape) in self.properties() {
            let path = format!("{before}{name}");
            let examples = shape.schema.get("examples").and_then(Value::as_array);
            let default = shape.schema.get("default").filter(|default| !default.is_null());
            rows.push(Field {
                kind: shape.kind(),
                default: default.map(shown),
                required: required.contains(&name),
                choices: shape.choices(),
                about: shape.about(),
                examples: examples.into_iter().flatten().map(shown).collect(),
                path: path.clone(),
            });
            if depth > 1 {
                let list = if shape.is_list() { "[]" } else { "" };
                shape.item().collect(&format!("{path}{list}."), depth - 1, rows);
            }
        }
    }
}

fn plural(kind: &str) -> String {
    match kind {
        "text" => "texts".to_owned(),
        "object" => "objects".to_owned(),
        "one of" => "any of".to_owned(),
        other => format!("{other}s"),
    }
}

/// A value as a flow file has it: texts without quotes.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        other => other.to_string(),
    }
}

/// A doc comment in one line: where its lines end means nothing.
pub(crate) fn one_paragraph(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
