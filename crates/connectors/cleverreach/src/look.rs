//! What a trigger's fields say of how receivers are read.

use std::borrow::Cow;

use connector::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

/// The vendor's page size where none is asked for: no smaller one is ever imposed.
const SMALLEST_CAP: usize = 50;

/// How many messages there are of a receiver who is in several groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub(crate) enum Messages {
    /// One, with all groups; they are asked for of those that are new or changed.
    PerReceiver,
    /// One for each group.
    PerGroup,
}

/// What a receiver is known by: the record's key, `metadata.recordUid`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub(crate) enum KeyedBy {
    /// Its id, which no other account knows it by.
    #[default]
    Id,
    /// Its address in small letters, by which every account knows it: what is deleted here can be
    /// deleted there. Another address is then another receiver, and the old one is gone.
    Email,
}

/// Which receivers by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub(crate) enum Kind {
    /// All of them.
    #[default]
    All,
    /// Those that get mail.
    Active,
    /// Those that do not: never confirmed, or unsubscribed.
    Inactive,
    /// Those of which a mail came back.
    Bounce,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Bounce => "bounce",
        }
    }

    /// Whether a receiver is one of these.
    pub(crate) const fn admits(self, active: bool, bounced: i64) -> bool {
        match self {
            Self::All => true,
            Self::Active => active,
            Self::Inactive => !active,
            Self::Bounce => bounced > 0,
        }
    }
}

/// What comes along with a receiver where it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub(crate) enum Detail {
    /// What happened to its mails; no event is a change by itself.
    Events,
    /// Its orders.
    Orders,
    /// Its tags.
    Tags,
}

impl Detail {
    const ALL: [Self; 3] = [Self::Events, Self::Orders, Self::Tags];

    pub(crate) fn tags() -> Vec<Self> {
        vec![Self::Tags]
    }

    /// The vendor's bit.
    const fn bit(self) -> u32 {
        match self {
            Self::Events => 1,
            Self::Orders => 2,
            Self::Tags => 4,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Orders => "orders",
            Self::Tags => "tags",
        }
    }
}

/// How receivers are read.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) size: PageSize,
    pub(crate) kind: Kind,
    pub(crate) detail: Vec<Detail>,
    pub(crate) keyed_by: KeyedBy,
    /// Whether records are completed: then what another group of a receiver dates counts too.
    pub(crate) completes: bool,
}

impl Look {
    /// The vendor's bits of what comes along. Lists, filters and single receivers are asked for the
    /// same, so that one finds nothing new in what another has found.
    pub(crate) fn bits(&self) -> u32 {
        self.detail.iter().fold(0, |bits, detail| bits | detail.bit())
    }

    /// What is not asked for, but may come along with a single receiver.
    pub(crate) fn unasked(&self) -> impl Iterator<Item = &'static str> {
        let unasked = Detail::ALL.into_iter().filter(|detail| !self.detail.contains(detail));
        unasked.map(Detail::name)
    }
}

/// Where the first scan begins: a time, or a day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct From(pub(crate) Timestamp);

impl<'de> Deserialize<'de> for From {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let whole = Timestamp::parse(text.trim());
        let at = whole.or_else(|| Timestamp::parse(&format!("{}T00:00:00Z", text.trim())));
        at.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`from` is \"{text}\": a day such as 2026-01-31 is meant, or a time such as \
                 2026-01-31T08:00:00Z"
            ))
        })
    }
}

impl JsonSchema for From {
    fn schema_name() -> Cow<'static, str> {
        "From".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// How many receivers one request asks for: 1 to 5000, 1000 if nothing is said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageSize(pub(crate) usize);

impl PageSize {
    const LARGEST: u64 = 5000;

    /// Whether no page follows one of `len` receivers; `largest` is the largest before it.
    ///
    /// The API may give fewer than it was asked for (a smaller maximum than documented): the end
    /// is not a page smaller than asked, but one smaller than an earlier page of the pass, or
    /// smaller than any maximum could be.
    pub(crate) fn is_last(self, len: usize, largest: usize) -> bool {
        len < largest || len < self.0.min(SMALLEST_CAP)
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(1000)
    }
}

impl<'de> Deserialize<'de> for PageSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = u64::deserialize(deserializer)?;
        match usize::try_from(size) {
            Ok(fits) if (1..=Self::LARGEST).contains(&size) => Ok(Self(fits)),
            _ => Err(serde::de::Error::custom(format!(
                "`pageSize` is {size}, but CleverReach gives 1 to {} receivers a page",
                Self::LARGEST
            ))),
        }
    }
}

impl Serialize for PageSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for PageSize {
    fn schema_name() -> Cow<'static, str> {
        "PageSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": Self::LARGEST })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_smaller_than_asked_is_not_yet_the_end() {
        let size = PageSize(1000);
        for (len, largest, last) in [
            (1000, 0, false),
            // A smaller maximum than asked for: more may follow.
            (500, 0, false),
            (500, 500, false),
            (499, 500, true),
            (49, 0, true),
            (0, 0, true),
            (0, 1000, true),
        ] {
            assert_eq!(size.is_last(len, largest), last, "{len} after {largest}");
        }
        assert!(!PageSize(3).is_last(3, 3));
        assert!(PageSize(3).is_last(2, 0));
    }

    #[test]
    fn the_beginning_is_a_day_or_a_time() {
        let read = |text: &str| serde_json::from_value::<From>(json!(text)).map(|it| it.0);
        assert_eq!(read("2026-01-31").unwrap(), Timestamp::from_secs(1_769_817_600));
        assert_eq!(
            read(" 2026-01-31T01:00:00+01:00").unwrap(),
            Timestamp::from_secs(1_769_817_600)
        );
        let problem = read("January").unwrap_err().to_string();
        assert!(problem.contains("2026-01-31"), "{problem}");
    }
}
