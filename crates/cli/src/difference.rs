//! How one JSON value differs from another, a line a place.

use serde_json::Value;

/// Longer values are cut.
const SHOWN: usize = 60;

/// The lines that say what is different; none if the values are equal.
pub(crate) fn difference(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = vec![];
    compare("", before, after, &mut lines);
    lines
}

fn compare(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, old) in old {
                let path = join(path, name);
                match new.get(name) {
                    Some(new) => compare(&path, old, new, lines),
                    None => lines.push(format!("- {path}: {}", short(old))),
                }
            }
            for (name, new) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                lines.push(format!("+ {}: {}", join(path, name), short(new)));
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for (at, old) in old.iter().enumerate() {
                let path = format!("{path}[{at}]");
                match new.get(at) {
                    Some(new) => compare(&path, old, new, lines),
                    None => lines.push(format!("- {path}: {}", short(old))),
                }
            }
            for (at, new) in new.iter().enumerate().skip(old.len()) {
                lines.push(format!("+ {path}[{at}]: {}", short(new)));
            }
        }
        (old, new) if old == new => {}
        (old, new) => {
            let path = if path.is_empty() { "everything" } else { path };
            lines.push(format!("~ {path}: {} → {}", short(old), short(new)));
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_that_differs_is_named_once() {
        let before =
            json!({ "data": { "email": "a@", "tags": [1, 2], "old": true, "same": null } });
        let after = json!({ "data": { "email": "a@b.example", "tags": [1, 3, 4], "same": null, "new": {} } });
        assert_eq!(
            difference(&before, &after),
            [
                r#"~ data.email: "a@" → "a@b.example""#,
                "~ data.tags[1]: 2 → 3",
                "+ data.tags[2]: 4",
                "- data.old: true",
                "+ data.new: {}",
            ]
        );
        assert!(difference(&before, &before).is_empty());
        let long = difference(&json!(1), &json!("ü".repeat(200)));
        assert_eq!(long, [format!("~ everything: 1 → \"{}…", "ü".repeat(59))]);
    }
}
