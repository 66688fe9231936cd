//! Lists that come in pages: `limit`, `after`, and `next`.

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
}

impl<T> Page<T> {
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

/// A cursor that this list did not give.
pub(super) fn no_cursor() -> Problem {
    Problem::bad("`after` is not the `next` of a page of this list")
}

/// Numbers after a question mark are text, also where they are one of several fields.
pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let read = |text: String| {
        text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is no whole number")))
    };
    text.map(read).transpose()
}
