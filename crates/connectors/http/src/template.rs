//! Paths with placeholders: `/customers/{id}/orders`.

use std::borrow::Cow;

use connector::prelude::*;
use serde_json::Map;

/// A path below a base URL; each of its parts is a text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Template(Vec<Vec<Part>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(String),
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let path = text.strip_prefix('/').unwrap_or(&text);
        if path.contains(['?', '#', ' ', '\\']) || path.contains("://") {
            return Err("a path is needed, below the account's base URL".to_owned());
        }
        if path.is_empty() {
            return Ok(Self(vec![]));
        }
        path.split('/').map(segment).collect::<Result<_, _>>().map(Self)
    }
}

fn segment(text: &str) -> Result<Vec<Part>, String> {
    if matches!(text, "" | "." | "..") {
        return Err(format!("`{text}` cannot be a part of a path"));
    }
    let mut parts = vec![];
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((name, behind)) = behind.split_once('}') else {
            return Err(format!("`{text}` has a `{{` without `}}`"));
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(fits) {
            return Err(format!("`{{{name}}}` is no placeholder: letters, digits and `_`"));
        }
        parts.push(Part::Text(before.to_owned()));
        parts.push(Part::Placeholder(name.to_owned()));
        rest = behind;
    }
    if rest.contains('}') {
        return Err(format!("`{text}` has a `}}` without `{{`"));
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(parts)
}

impl Template {
    /// The parts of the path with these values; they are not escaped yet.
    pub(crate) fn fill(&self, values: &Map<String, Value>) -> Result<Vec<String>, String> {
        let fill = |parts: &Vec<Part>| {
            let mut filled = String::new();
            for part in parts {
                match part {
                    Part::Text(text) => filled.push_str(text),
                    Part::Placeholder(name) => match values.get(name) {
                        Some(Value::String(text)) if !text.is_empty() => filled.push_str(text),
                        Some(Value::Number(number)) => filled.push_str(&number.to_string()),
                        _ => return Err(format!("`path` has no text or number for {{{name}}}")),
                    },
                }
            }
            if matches!(&*filled, "" | "." | "..") {
                return Err("a part of the path would lead elsewhere".to_owned());
            }
            Ok(filled)
        };
        self.0.iter().map(fill).collect()
    }
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Path".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[^?# ]*$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(path: &str, values: Value) -> Result<Vec<String>, String> {
        let values = values.as_object().cloned().unwrap_or_default();
        Template::try_from(path.to_owned())?.fill(&values)
    }

    #[test]
    fn placeholders_become_parts_of_the_path() {
        let parts =
            filled("/customers/{id}/orders/o-{number}", json!({ "id": "a/b", "number": 7 }));
        assert_eq!(parts.unwrap(), ["customers", "a/b", "orders", "o-7"]);
        assert_eq!(filled("/", json!({})).unwrap(), [""; 0]);
        for (path, values) in [
            ("/{id}", json!({})),
            ("/{id}", json!({ "id": "" })),
            ("/{id}", json!({ "id": ".." })),
            ("/{id}", json!({ "id": null })),
            ("/a//b", json!({})),
            ("/a/..", json!({})),
            ("/a?b", json!({})),
            ("/a}", json!({})),
        ] {
            assert!(filled(path, values.clone()).is_err(), "{path} {values}");
        }
    }
}
