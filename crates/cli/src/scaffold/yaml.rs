//! YAML as a person would write it.

use serde_json::Value;

/// No comment goes further to the right.
const WIDTH: usize = 96;

/// A value in one line.
pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields =
                fields.iter().map(|(key, value)| format!("{}: {}", scalar(key), inline(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        // JSON's texts, numbers and names are YAML's.
        other => other.to_string(),
    }
}

/// Text as a key or a value.
pub(crate) fn scalar(text: &str) -> String {
    inline(&Value::from(text))
}

/// A value in lines, each with this indentation; what fits into a line is in one.
pub(crate) fn block(value: &Value, indent: usize) -> String {
    let space = " ".repeat(indent);
    let fits = |text: &str| indent + text.len() <= 72;
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let field = |(key, value): (&String, &Value)| {
                let (key, line) = (scalar(key), inline(value));
                let nested = matches!(value, Value::Object(_) | Value::Array(_));
                if !nested || fits(&format!("{key}: {line}")) {
                    return format!("{space}{key}: {line}\n");
                }
                format!("{space}{key}:\n{}", block(value, indent + 2))
            };
            fields.iter().map(field).collect()
        }
        Value::Array(items) if !items.is_empty() => {
            let item = |item: &Value| {
                let inner = block(item, indent + 2);
                format!("{space}- {}", inner.get(indent + 2..).unwrap_or_default())
            };
            items.iter().map(item).collect()
        }
        other => format!("{space}{}\n", inline(other)),
    }
}

/// Text as a comment, in lines with this indentation.
pub(crate) fn comment(text: &str, indent: usize) -> String {
    let space = " ".repeat(indent);
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + 2 + line.len() + 1 + word.len() > WIDTH {
            lines.push_str(&format!("{space}# {line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push_str(&format!("{space}# {line}\n"));
    }
    lines
}

/// Whether text without quotes is read as this very text, also inside brackets.
fn is_plain(text: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '@' | '/');
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    text.starts_with(char::is_alphabetic)
        && !text.ends_with(' ')
        && text.chars().all(word)
        && !reserved.contains(&text.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_quoted_where_they_would_be_read_as_something_else() {
        let value = json!({
            "name": "Ada Lovelace", "id": "279", "Customer Number": 7, "yes": "No", "at": "a: b",
            "empty": "", "phone": "+49 30", "list": [true, null, "true"], "none": {},
        });
        assert_eq!(
            inline(&value),
            r#"{ name: Ada Lovelace, id: "279", Customer Number: 7, "yes": "No", at: "a: b", empty: "", phone: "+49 30", list: [true, null, "true"], none: {} }"#
        );
        let shown = block(&json!([{ "a": 1, "list": ["x".repeat(40), "y".repeat(40)] }]), 2);
        let long = ("x".repeat(40), "y".repeat(40));
        assert_eq!(shown, format!("  - a: 1\n    list:\n      - {}\n      - {}\n", long.0, long.1));
    }
}
