//! Changes to receivers on demand: what is changed, and of whom.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::receiver::Receiver;
use super::seed;
use crate::random::Random;

/// One of a receiver's four times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stamp {
    /// When it was entered.
    Registered,
    /// When it was confirmed.
    Activated,
    /// When it unsubscribed.
    Deactivated,
    /// When a mail to it last bounced.
    Bounced,
}

/// What of a receiver is changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// A stamp and attributes: a change that the API's times show.
    #[default]
    Stamp,
    /// Attributes alone: no time moves.
    Attributes,
    /// The tags alone: no time moves.
    Tags,
    /// What an opened or clicked mailing moves: last address, place and program, points, stars,
    /// the rates and the events. No time moves.
    Opens,
}

/// A change to several receivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Touch {
    /// How many receivers, spread over all; not looked at where `ids` are given.
    pub count: usize,
    /// Which receivers; unknown ones are left out.
    pub ids: Vec<String>,
    /// What of them is changed.
    pub what: What,
    /// The stamp to set.
    pub field: Stamp,
    /// Epoch seconds to set it to; the clock's now without it.
    pub at: Option<i64>,
    /// Attributes to set in both places; without any, the last name becomes another one.
    pub attributes: Map<String, Value>,
    /// The tags to have; without any, a tag is added, or taken away where it is there.
    pub tags: Vec<String>,
}

impl Default for Touch {
    fn default() -> Self {
        Self {
            count: 0,
            ids: Vec::new(),
            what: What::Stamp,
            field: Stamp::Activated,
            at: None,
            attributes: Map::new(),
            tags: Vec::new(),
        }
    }
}

impl Touch {
    /// Touches `count` receivers, spread over all.
    pub fn count(count: usize) -> Self {
        Self { count, ..Self::default() }
    }

    /// Touches these receivers.
    pub fn ids<I: Into<String>>(ids: impl IntoIterator<Item = I>) -> Self {
        Self { ids: ids.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Chooses what is changed.
    #[must_use]
    pub fn only(mut self, what: What) -> Self {
        self.what = what;
        self
    }

    /// Chooses the stamp.
    #[must_use]
    pub fn field(mut self, field: Stamp) -> Self {
        self.field = field;
        self
    }

    /// Sets the stamp to these epoch seconds instead of the clock's now.
    #[must_use]
    pub fn at(mut self, at: i64) -> Self {
        self.at = Some(at);
        self
    }

    /// Sets an attribute, group-local and account-wide.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Changes the content of a receiver; the stamp is the caller's.
    pub(super) fn change(&self, receiver: &mut Receiver, random: &mut Random) {
        match self.what {
            What::Stamp | What::Attributes => self.change_attributes(receiver, random),
            What::Tags if self.tags.is_empty() => {
                let before = receiver.tags.len();
                receiver.tags.retain(|tag| tag != "touched");
                if receiver.tags.len() == before {
                    receiver.tags.push("touched".to_owned());
                }
            }
            What::Tags => receiver.tags.clone_from(&self.tags),
            What::Opens => {
                receiver.opens += 1;
                receiver.stars = (receiver.stars + 1) % 6;
            }
        }
    }

    /// Sets the attributes that are named, or else gives the receiver another last name.
    fn change_attributes(&self, receiver: &mut Receiver, random: &mut Random) {
        for (name, value) in &self.attributes {
            receiver.attributes.insert(name.clone(), value.clone());
            receiver.global_attributes.insert(name.clone(), value.clone());
        }
        if self.attributes.is_empty() {
            let current = receiver.global_attributes.get("lastname").and_then(Value::as_str);
            let name = seed::other_last_name(random, current.unwrap_or_default());
            receiver.attributes.insert("name".to_owned(), name.into());
            receiver.global_attributes.insert("lastname".to_owned(), name.into());
        }
    }
}
