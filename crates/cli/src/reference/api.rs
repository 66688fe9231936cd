//! The page of the API, from the document that a service serves.

use std::collections::BTreeMap;

use serde_json::Value;

use super::markdown::{page, table};

/// The page, in Markdown.
pub(super) fn render() -> String {
    let document = server::Server::document();
    let text =
        |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut groups: BTreeMap<String, Vec<[String; 3]>> = BTreeMap::new();
    let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let tag = operation.pointer("/tags/0").and_then(Value::as_str).unwrap_or_default();
            let scope = text(operation, "x-towpath-scope");
            let scope = if scope.is_empty() { "none".to_owned() } else { format!("`{scope}`") };
            let route = format!("`{} {path}`", method.to_uppercase());
            groups.entry(tag.to_owned()).or_default().push([
                route,
                scope,
                text(operation, "summary"),
            ]);
        }
    }
    let mut parts = vec![
        "# The API".to_owned(),
        super::GENERATED.to_owned(),
        "What a running service answers. [openapi.json](openapi.json) has every field of every \
         request and answer; [the guide](../guide/service.md) says how to ask."
            .to_owned(),
    ];
    for (tag, rows) in groups {
        parts.push(format!("## {tag}"));
        parts.push(table(["route", "scope", "what it does"], rows));
    }
    page(parts)
}
