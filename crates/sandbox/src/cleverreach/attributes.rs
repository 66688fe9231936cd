//! Attributes: their list, and new ones.

use serde::Deserialize;
use serde_json::{Value, json};

use super::directory::{Attribute, Directory};
use crate::answer::Answer;
use crate::options::Switches;

/// The types that an attribute may have.
const KINDS: [&str; 4] = ["text", "number", "gender", "date"];

#[derive(Deserialize)]
struct Body {
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// The number of a group that is there; 0 for the account.
fn scope(group: Option<&str>, directory: &Directory) -> Result<u64, Answer> {
    let Some(id) = group else { return Ok(0) };
    let known = directory.groups.iter().find(|group| group.id.to_string() == id);
    known.map(|group| group.id).ok_or_else(|| Answer::error(404, "Not Found"))
}

/// Answers with the attributes of a group, or with the account-wide ones.
pub(super) fn list(group: Option<&str>, directory: &Directory, switches: &Switches) -> Answer {
    let group = match scope(group, directory) {
        Ok(group) => group,
        Err(missing) => return missing,
    };
    let all = directory.attributes.iter().zip(1_u64..);
    let list = all.filter(|(attribute, _)| attribute.group == group);
    let list = list.map(|(attribute, id)| show(attribute, id, switches));
    Answer::json(200, &list.collect::<Vec<_>>())
}

/// Defines an attribute. Its name becomes a technical one; one that is there is a conflict.
pub(super) fn create(
    group: Option<&str>,
    body: &[u8],
    directory: &mut Directory,
    switches: &Switches,
) -> Answer {
    let group = match scope(group, directory) {
        Ok(group) => group,
        Err(missing) => return missing,
    };
    let Ok(Body { name, kind }) = serde_json::from_slice(body) else {
        return Answer::error(400, "Bad Request: name is missing");
    };
    let name = name.trim().to_lowercase();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let kind = kind.unwrap_or_else(|| "text".to_owned());
    if name.is_empty() || !KINDS.contains(&kind.as_str()) {
        return Answer::error(400, "Bad Request: invalid name or type");
    }
    if directory.defines(group, &name) {
        return Answer::error(409, "Conflict: duplicate attribute");
    }
    let of_both = directory.attributes.iter().filter(|it| it.group == 0 || it.group == group);
    if of_both.count() >= switches.most_attributes {
        return Answer::error(400, "Bad Request: too many attributes");
    }
    directory.define(group, &name);
    let Some(attribute) = directory.attributes.last_mut() else {
        return Answer::error(404, "Not Found");
    };
    attribute.kind = kind;
    let shown = attribute.clone();
    let id = directory.attributes.len() as u64;
    if group == 0 {
        directory.fill(&name);
    }
    Answer::json(200, &show(&shown, id, switches))
}

fn show(attribute: &Attribute, id: u64, switches: &Switches) -> Value {
    let (name, group) = (&attribute.name, attribute.group);
    let groups_id = match (group, switches.integer_ids) {
        (0, _) | (_, true) => json!(group),
        _ => json!(group.to_string()),
    };
    json!({
        "id": id, "groups_id": groups_id, "name": name, "description": name,
        "preview_value": "", "value": "", "type": attribute.kind,
        "tag": format!("{{{}}}", name.to_uppercase()),
    })
}
