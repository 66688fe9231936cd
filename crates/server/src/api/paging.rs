//! Lists that come in pages: `limit`, `after`, and `next`.

use connector::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::problem::Problem;

/// What a page holds unless the caller says otherwise.
const USUAL: usize = 50;
/// What a page holds at most.
const MOST: usize = 500;

/// A page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub(super) struct Page<T> {
    /// What is on it.
    pub(super) items: Vec<T>,
    /// What to give as `after` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// Which page is asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct Paging {
    /// How many at most: 50 if nothing is said, and never more than 500.
    #[schemars(range(min = 1, max = 500))]
    #[serde(default, deserialize_with = "number")]
    pub(super) limit: Option<usize>,
    /// The `next` of the page before.
    pub(super) after: Option<String>,
}

impl Paging {
    /// How many may be on the page.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            None => Ok(USUAL),
            Some(limit @ 1..=MOST) => Ok(limit),
            Some(limit) => Err(Problem::bad(format!("`limit` is {limit}, not from 1 to {MOST}"))),
        }
    }

    /// The place behind which the page begins, if one is given.
    pub(super) fn place<T>(
        &self,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let none = || Problem::bad("`after` is not the `next` of a page of this list");
        self.after.as_deref().map(|after| read(after).ok_or_else(none)).transpose()
    }

    /// The same in a list that is ordered by time and id.
    pub(super) fn moment(&self) -> Result<Option<(Timestamp, String)>, Problem> {
        self.place(|after| {
            let (at, id) = after.split_once('.')?;
            Some((Timestamp::from_millis(at.parse().ok()?), id.to_owned()))
        })
    }
}

impl<T> Page<T> {
    /// The page of a list that is in memory, ordered by what is a name of its own for each.
    pub(super) fn by_name(
        items: impl IntoIterator<Item = T>,
        paging: &Paging,
        name: impl Fn(&T) -> &str,
    ) -> Result<Self, Problem> {
        let limit = paging.limit()?;
        let behind = |it: &T| paging.after.as_ref().is_none_or(|after| name(it) > after.as_str());
        let mut items: Vec<T> = items.into_iter().filter(behind).collect();
        items.sort_by(|a, b| name(a).cmp(name(b)));
        Ok(Self::cut(items, limit, |it| name(it).to_owned()))
    }

    /// Cuts what was found, one more than fits at least, to the page.
    pub(super) fn cut(mut items: Vec<T>, limit: usize, place: impl Fn(&T) -> String) -> Self {
        let next = if items.len() > limit {
            items.truncate(limit);
            items.last().map(place)
        } else {
            None
        };
        Self { items, next }
    }
}

/// What [`Paging::moment`] reads.
pub(super) fn moment(at: Timestamp, id: &str) -> String {
    format!("{}.{id}", at.millis())
}

/// Numbers after a question mark are text, also where they are one of several fields.
pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let read = |text: String| {
        text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is no whole number")))
    };
    text.map(read).transpose()
}
