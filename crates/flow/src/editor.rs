//! What editors need of a schema beyond its rules: texts as they show them.

use serde_json::Value;

/// Makes the texts of a schema fit for editors, in place.
///
/// Editors break a text at every line end and show its Markdown literally, unless the same text
/// is there as `markdownDescription` too. A default of `null` would be offered as a value.
pub(crate) fn polish(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = unwrapped(text);
                if text.contains('`') {
                    let text = text.clone();
                    object.insert("markdownDescription".to_owned(), Value::String(text));
                }
            }
            object.values_mut().for_each(polish);
        }
        Value::Array(items) => items.iter_mut().for_each(polish),
        _ => {}
    }
}

/// The text with one line a paragraph; blocks of code, lists and tables stay as they are.
fn unwrapped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let (mut fenced, mut open) = (false, false);
    for line in text.lines() {
        let fence = line.starts_with("```");
        let own = fenced
            || fence
            || line.is_empty()
            || line.starts_with([' ', '|'])
            || ["- ", "* ", "# "].iter().any(|begin| line.starts_with(begin));
        if !result.is_empty() {
            result.push(if open && !own { ' ' } else { '\n' });
        }
        result.push_str(line);
        fenced ^= fence;
        // A line that continues an item of a list belongs to it.
        open = !(fenced || fence || line.is_empty() || line.starts_with('|'));
    }
    result
}

#[test]
fn paragraphs_are_joined_and_code_is_not() {
    let text = "One\ntwo `x`.\n\nThree:\n- a\nb\n- c\n\n```yaml\na: 1\nb: 2\n```\nfour\nfive";
    let mut schema = serde_json::json!({ "a": [{ "description": text, "default": null }] });
    polish(&mut schema);
    let joined = "One two `x`.\n\nThree:\n- a b\n- c\n\n```yaml\na: 1\nb: 2\n```\nfour five";
    let expected = serde_json::json!({ "description": joined, "markdownDescription": joined });
    assert_eq!(schema["a"][0], expected);
}
