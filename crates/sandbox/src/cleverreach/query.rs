//! What a list asks for: which receivers, in which order, which page.

use serde::Deserialize;
use serde_json::Value;

use super::receiver::Entry;

/// A field that lists can be ordered by and filters can test.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Field {
    Id,
    Email,
    Registered,
    Activated,
    Deactivated,
    Bounced,
    Imported,
    Source,
    Tags,
    /// A group-local or account-wide attribute.
    Attribute(String),
}

impl Field {
    /// Reads a field that the API knows by itself.
    pub(super) fn known(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "id" => Self::Id,
            "email" => Self::Email,
            "registered" => Self::Registered,
            "activated" => Self::Activated,
            "deactivated" => Self::Deactivated,
            "bounced" => Self::Bounced,
            "imported" => Self::Imported,
            "source" => Self::Source,
            "tags" => Self::Tags,
            _ => return None,
        })
    }

    /// Gives the value of a field that is a number.
    pub(super) fn number(&self, entry: &Entry) -> Option<i64> {
        Some(match self {
            Self::Id => i64::try_from(entry.id).unwrap_or(i64::MAX),
            Self::Registered | Self::Imported => entry.stamps.registered,
            Self::Activated => entry.stamps.activated,
            Self::Deactivated => entry.stamps.deactivated,
            Self::Bounced => entry.stamps.bounced,
            Self::Email | Self::Source | Self::Tags | Self::Attribute(_) => return None,
        })
    }
}

/// An order: `registered desc`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Order {
    pub(super) field: Field,
    pub(super) descending: bool,
}

impl Order {
    pub(super) const BY_ID: Self = Self { field: Field::Id, descending: false };

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let field = Field::known(words.next()?).filter(|field| *field != Field::Tags)?;
        let descending = match words.next().map(str::to_ascii_lowercase).as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return None,
        };
        words.next().is_none().then_some(Self { field, descending })
    }
}

/// Which receivers by their state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    All,
    Active,
    Inactive,
    Bounced,
}

impl Kind {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | "all" => Self::All,
            "active" => Self::Active,
            "inactive" => Self::Inactive,
            "bounce" => Self::Bounced,
            _ => return None,
        })
    }

    fn admits(self, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Active => entry.stamps.is_active(),
            Self::Inactive => !entry.stamps.is_active(),
            Self::Bounced => entry.stamps.bounced > 0,
        }
    }
}

/// How a rule compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Logic {
    Equal,
    Bigger,
    Contains,
    NotNull,
}

impl Logic {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "eq" => Self::Equal,
            "bg" => Self::Bigger,
            "contains" => Self::Contains,
            "notisnull" => Self::NotNull,
            _ => return None,
        })
    }
}

/// A test of one field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rule {
    pub(super) field: Field,
    pub(super) logic: Logic,
    condition: String,
    /// The condition where it is a number; a list tests it against every receiver.
    number: Option<i64>,
}

impl Rule {
    pub(super) fn new(field: Field, logic: Logic, condition: String) -> Self {
        let number = condition.trim().parse().ok();
        Self { field, logic, condition, number }
    }

    fn admits(&self, entry: &Entry) -> bool {
        if let Some(number) = self.field.number(entry) {
            return match self.logic {
                Logic::Equal => self.number == Some(number),
                Logic::Bigger => self.number.is_some_and(|condition| number > condition),
                Logic::Contains => number.to_string().contains(&self.condition),
                Logic::NotNull => number != 0,
            };
        }
        match &self.field {
            Field::Tags => entry.tags.iter().any(|tag| self.admits_text(tag)),
            Field::Email => self.admits_text(&entry.email),
            Field::Source => self.admits_text(&entry.to_receiver().source),
            Field::Attribute(name) => {
                let receiver = entry.to_receiver();
                [&receiver.attributes, &receiver.global_attributes]
                    .into_iter()
                    .filter_map(|attributes| attributes.get(name).and_then(Value::as_str))
                    .any(|text| self.admits_text(text))
            }
            _ => false,
        }
    }

    fn admits_text(&self, text: &str) -> bool {
        let (text, condition) = (text.to_lowercase(), self.condition.to_lowercase());
        match self.logic {
            Logic::Equal => text == condition,
            Logic::Bigger => text > condition,
            Logic::Contains => text.contains(&condition),
            Logic::NotNull => !text.is_empty(),
        }
    }
}

/// A list, whichever of its pages is wanted: the key under which its result is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Query {
    /// The groups; empty = all.
    pub(super) groups: Vec<u64>,
    pub(super) kind: Kind,
    pub(super) ids: Option<Vec<u64>>,
    /// In small letters, in order: a list may hold hundreds.
    pub(super) emails: Option<Vec<String>>,
    pub(super) rules: Vec<Rule>,
    pub(super) any_rule: bool,
    /// Whether each receiver is shown once, by one of its groups.
    pub(super) per_receiver: bool,
    pub(super) order: Order,
}

impl Query {
    pub(super) fn group(id: u64) -> Self {
        Self {
            groups: vec![id],
            kind: Kind::All,
            ids: None,
            emails: None,
            rules: Vec::new(),
            any_rule: false,
            per_receiver: false,
            order: Order::BY_ID,
        }
    }

    pub(super) fn admits(&self, entry: &Entry) -> bool {
        let mut rules = self.rules.iter();
        self.kind.admits(entry)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&entry.id))
            && self.emails.as_ref().is_none_or(|emails| {
                emails.binary_search(&entry.email.to_ascii_lowercase()).is_ok()
            })
            && (self.rules.is_empty()
                || if self.any_rule {
                    rules.any(|rule| rule.admits(entry))
                } else {
                    rules.all(|rule| rule.admits(entry))
                })
    }
}

/// A page of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) size: usize,
    pub(super) page: usize,
}

/// The body of `POST /receivers/filter`; numbers are accepted as strings and the other way round.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FilterBody {
    pub(super) groups: Vec<Value>,
    pub(super) operator: Option<String>,
    pub(super) rules: Vec<RuleBody>,
    pub(super) activeonly: Value,
    pub(super) orderby: Option<String>,
    pub(super) detail: Value,
    pub(super) pagesize: Value,
    pub(super) page: Value,
}

/// One rule of a filter's body.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RuleBody {
    pub(super) field: String,
    pub(super) logic: String,
    pub(super) condition: Value,
}

/// Reads what may be a number, a numeric string, or left out.
pub(super) fn loose_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
