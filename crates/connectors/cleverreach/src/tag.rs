//! Tags as CleverReach keeps them.

use std::borrow::Cow;

use connector::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

/// As long may the part before the first dot be to be an origin; the vendor's plug-ins cut it at 50
/// characters, the hyphen in front that takes tags away included.
const LONGEST_ORIGIN: usize = 49;

/// A tag to add, or to take away: letters, digits, `_` and `-`, with an origin and a dot in front if
/// it has one. Empty if nothing is left of what was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Tag(String);

impl Tag {
    /// The tag that a text becomes. A hyphen in front goes, since it would take the tag away; what
    /// a tag may not hold becomes `_`, and so does a dot that stands too far behind for an origin.
    pub(crate) fn of(text: &str) -> Self {
        let bare = text.trim_start_matches(|c: char| c == '-' || c.is_whitespace()).trim_end();
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let mut tag: String = bare.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
        if tag.chars().position(|c| c == '.').is_some_and(|at| at > LONGEST_ORIGIN) {
            tag = tag.replace('.', "_");
        }
        Self(tag)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(&String::deserialize(deserializer)?))
    }
}

impl JsonSchema for Tag {
    fn schema_name() -> Cow<'static, str> {
        "Tag".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// A tag to take away, or `origin.*` for all of an origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Gone(String);

impl Gone {
    /// The tag that a text becomes, or the origin before its `.*`.
    pub(crate) fn of(text: &str) -> Self {
        match text.trim().strip_suffix(".*").map(Tag::of) {
            Some(origin) if !origin.is_empty() && !origin.0.contains('.') => {
                Self(format!("{}.*", origin.0))
            }
            _ => Self(Tag::of(text).0),
        }
    }

    /// The tag itself, to be taken away.
    pub(crate) fn exactly(tag: &str) -> Self {
        Self(tag.to_owned())
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it takes this tag away.
    pub(crate) fn takes(&self, tag: &str) -> bool {
        match self.0.strip_suffix(".*") {
            Some(origin) => tag.split('.').next() == Some(origin) && tag.contains('.'),
            None => self.0 == tag,
        }
    }

    /// As it is sent: a hyphen in front takes it away.
    pub(crate) fn sent(&self) -> String {
        format!("-{}", self.0)
    }
}

impl<'de> Deserialize<'de> for Gone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(&String::deserialize(deserializer)?))
    }
}

impl JsonSchema for Gone {
    fn schema_name() -> Cow<'static, str> {
        "GoneTag".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Reads tags: each once, none empty.
pub(crate) fn list<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Tag>, D::Error> {
    let mut tags: Vec<Tag> = vec![];
    for tag in Vec::<Tag>::deserialize(deserializer)? {
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

/// Reads tags to take away: each once, none empty.
pub(crate) fn gone<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Gone>, D::Error> {
    let mut tags: Vec<Gone> = vec![];
    for tag in Vec::<Gone>::deserialize(deserializer)? {
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_what_cleverreach_makes_of_it() {
        let long = "a".repeat(49);
        for (given, expected) in [
            ("vip", "vip"),
            ("shop.buyer", "shop.buyer"),
            ("trade fair", "trade_fair"),
            (" - -old", "old"),
            ("-*", "_"),
            ("größe:L", "größe_L"),
            ("--", ""),
            (&format!("{long}.x"), &format!("{long}.x")),
            (&format!("{long}a.x"), &format!("{long}a_x")),
        ] {
            assert_eq!(Tag::of(given).text(), expected, "{given}");
            assert_eq!(Tag::of(Tag::of(given).text()), Tag::of(given), "{given}");
        }
    }

    #[test]
    fn what_is_taken_away_is_a_tag_or_all_of_an_origin() {
        for (given, sent, tag, taken) in [
            ("vip", "-vip", "vip", true),
            ("-vip", "-vip", "vip", true),
            ("shop.*", "-shop.*", "shop.buyer", true),
            ("shop.*", "-shop.*", "shop", false),
            ("shop.*", "-shop.*", "shopping.x", false),
            ("*", "-_", "vip", false),
            ("a.b.*", "-a.b._", "a.b", false),
        ] {
            let gone = Gone::of(given);
            assert_eq!((gone.sent().as_str(), gone.takes(tag)), (sent, taken), "{given}");
        }
    }
}
