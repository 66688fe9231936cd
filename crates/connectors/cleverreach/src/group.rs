//! Groups: the lists that receivers are in.

use std::borrow::Cow;

use connector::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::rejections;

/// As many groups are named in an error; an account may have hundreds.
const NAMED: usize = 20;

/// An id of the API: a string there, an integer to some of its clients; a string here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub(crate) String);

impl Id {
    /// The id in a JSON value, if it is a string or an integer.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(id) if !id.trim().is_empty() => Some(Self(id.trim().to_owned())),
            Value::Number(id) if id.is_u64() || id.is_i64() => Some(Self(id.to_string())),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::of(&value).ok_or_else(|| serde::de::Error::custom("an id is a string or an integer"))
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }
}

/// A group of the account.
#[derive(Debug, Deserialize)]
pub(crate) struct Group {
    pub(crate) id: Id,
    #[serde(default)]
    name: Option<String>,
}

impl Group {
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default().trim()
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name().to_lowercase() == name.trim().to_lowercase()
    }
}

/// All groups; the API does not page them.
pub(crate) async fn all(api: &Api) -> Result<Vec<Group>> {
    let answer = api.get(["groups.json"]).send().await?;
    if answer.status() == StatusCode::NO_CONTENT {
        return Ok(vec![]);
    }
    answer.json()
}

/// The group with this id. Asked for at every poll: a filter over a group that is gone may answer
/// with nothing, which would look like no news.
pub(crate) async fn by_id(api: &Api, id: &Id) -> Result<Group> {
    let answer = api.get(["groups.json", &id.0]).accept(StatusCode::NOT_FOUND).send().await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Err(unknown(id));
    }
    // The vendor's own SDK reads both an object and a list of one.
    let found = match answer.json()? {
        Value::Array(mut list) if list.len() <= 1 => list.pop().ok_or_else(|| unknown(id))?,
        other => other,
    };
    serde_json::from_value(found).map_err(|_| answer.nonsense("with something else than a group"))
}

/// The error for a group that is not there.
pub(crate) fn unknown(id: &Id) -> Error {
    Error::config(format!(
        "CleverReach has no group with the id {}; correct `groupId`, or give `groupName`",
        id.0
    ))
}

/// The one group that is called like one of `categories`, or the outcome of a receiver for which
/// there is none, or several; of several the first category's if `first_match`.
pub(crate) fn by_categories<'g>(
    groups: &'g [Group],
    categories: &[String],
    first_match: bool,
) -> Result<&'g Group, Outcome> {
    let mut called: Vec<&Group> = vec![];
    for category in categories.iter().filter(|category| !category.trim().is_empty()) {
        for group in groups.iter().filter(|group| group.is_called(category)) {
            if !called.iter().any(|known| known.id == group.id) {
                called.push(group);
            }
        }
    }
    let quoted = || {
        let quoted: Vec<_> = categories.iter().map(|category| format!("\"{category}\"")).collect();
        quoted.join(", ")
    };
    match called.as_slice() {
        [group] => Ok(group),
        [group, ..] if first_match => Ok(group),
        [] if categories.is_empty() => {
            Err(rejections::NO_GROUP.because("the contact has no categories to find its group by"))
        }
        [] => Err(rejections::NO_GROUP.because(format!(
            "no group is called like a category of the contact ({}); there are {}",
            quoted(),
            listed(groups)
        ))),
        several => Err(rejections::SEVERAL_GROUPS.because(format!(
            "the contact's categories ({}) name {} groups: {}; `firstMatch: true` takes the \
                 first",
            quoted(),
            several.len(),
            listed(several.iter().copied())
        ))),
    }
}

/// The one group called `name`, without case and surrounding spaces.
pub(crate) async fn by_name(api: &Api, name: &str) -> Result<Group> {
    choose(all(api).await?, name)
}

fn choose(groups: Vec<Group>, name: &str) -> Result<Group> {
    let (mut called, others): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|group| group.is_called(name));
    match called.pop() {
        Some(group) if called.is_empty() => Ok(group),
        Some(group) => {
            called.push(group);
            Err(Error::config(format!(
                "CleverReach has {} groups called \"{}\": {}; give the `groupId` of the one that \
                 is meant",
                called.len(),
                name.trim(),
                listed(&called)
            )))
        }
        None if others.is_empty() => Err(Error::config(format!(
            "CleverReach has no group called \"{}\": the account has no groups",
            name.trim()
        ))),
        None => Err(Error::config(format!(
            "CleverReach has no group called \"{}\"; there are {}",
            name.trim(),
            listed(&others)
        ))),
    }
}

/// Groups by name and id, in one line.
pub(crate) fn listed<'g>(groups: impl IntoIterator<Item = &'g Group>) -> String {
    let mut groups = groups.into_iter();
    let named: Vec<_> = groups
        .by_ref()
        .take(NAMED)
        .map(|group| format!("\"{}\" ({})", group.name(), group.id.0))
        .collect();
    match groups.count() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Vec<Group> {
        serde_json::from_value(json!([
            { "id": "1", "name": "Newsletter" },
            { "id": 2, "name": " Kundinnen & KÄUFER" },
            { "id": "3", "name": "newsletter " },
            { "id": "4" },
        ]))
        .unwrap()
    }

    #[test]
    fn a_name_is_matched_without_case_and_spaces() {
        assert_eq!(choose(groups(), "kundinnen & käufer ").unwrap().id, Id("2".to_owned()));
    }

    #[test]
    fn none_or_several_are_named() {
        let problem = |groups, name| choose(groups, name).unwrap_err().to_string();
        assert_eq!(
            problem(groups(), "Newsletter"),
            "CleverReach has 2 groups called \"Newsletter\": \"Newsletter\" (1), \"newsletter\" \
             (3); give the `groupId` of the one that is meant"
        );
        assert_eq!(
            problem(groups(), "Kunden"),
            "CleverReach has no group called \"Kunden\"; there are \"Newsletter\" (1), \
             \"Kundinnen & KÄUFER\" (2), \"newsletter\" (3), \"\" (4)"
        );
        assert!(problem(vec![], "Kunden").ends_with("the account has no groups"));
    }
}
