//! What exports share: a query opens one, and a cursor leads from page to page.

use std::borrow::Cow;
use std::time::Duration;

use connector::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::answer;
use crate::call::{self, Uncoded};
use crate::query::Query;

/// How long CleverTap is left to prepare a page before it is asked for again.
const PREPARING: Duration = Duration::from_secs(2);

/// An export is opened so often in all where CleverTap does not know its cursor any more, and again once
/// this much time has passed since: a run does not go on for ever, and a flow is not stopped for ever.
const MOST_OPENED: u8 = 3;
const AGAIN: Duration = Duration::from_secs(3600);

/// The place inside an export: what the next page is asked for with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    at: String,
    /// An earlier place. It moves on after ever more pages, so that a circle comes back to it, however
    /// long it is.
    mark: String,
    /// How many pages ago that was, and after how many it moves on.
    since: u32,
    moves_after: u32,
    /// How often the export was opened, and when the last time: epoch seconds.
    opened: u8,
    #[serde(default)]
    opened_at: i64,
}

impl Cursor {
    fn begin(at: String, opened: u8, now: Timestamp) -> Self {
        let opened_at = now.secs();
        Self { mark: at.clone(), at, since: 0, moves_after: 1, opened, opened_at }
    }

    /// The next place, unless the export has been there.
    fn on(&self, at: String) -> Option<Self> {
        if at == self.at || at == self.mark {
            return None;
        }
        let mut next = Self { at, since: self.since.saturating_add(1), ..self.clone() };
        if next.since >= next.moves_after {
            next.mark.clone_from(&next.at);
            next.since = 0;
            next.moves_after = next.moves_after.saturating_mul(2);
        }
        Some(next)
    }
}

/// A page as CleverTap gives it.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) records: Vec<Box<RawValue>>,
    /// Where the next page begins; the end is its absence.
    pub(crate) next: Option<Cursor>,
}

#[derive(Deserialize)]
struct Opened {
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    status: String,
    next_cursor: Option<String>,
    records: Option<Vec<Box<RawValue>>>,
}

/// How many records one page has: 1 to 5000. CleverTap recommends multiples of 23.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchSize(u32);

impl BatchSize {
    const LARGEST: u32 = 5000;
}

impl Default for BatchSize {
    fn default() -> Self {
        Self(1012)
    }
}

impl<'de> Deserialize<'de> for BatchSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = u32::deserialize(deserializer)?;
        if (1..=Self::LARGEST).contains(&size) {
            return Ok(Self(size));
        }
        Err(serde::de::Error::custom(format!(
            "`batchSize` is {size}, but CleverTap gives 1 to {} records a page",
            Self::LARGEST
        )))
    }
}

impl JsonSchema for BatchSize {
    fn schema_name() -> Cow<'static, str> {
        "BatchSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": Self::LARGEST })
    }
}

/// One kind of export.
pub(crate) struct Export<'a> {
    pub(crate) api: &'a Api,
    /// `events.json` or `profiles.json`, below `/1`.
    pub(crate) path: &'static str,
    pub(crate) size: BatchSize,
    /// What comes along, besides.
    pub(crate) with: &'a [(&'static str, bool)],
}

impl Export<'_> {
    /// Reads the page of a cursor, or opens an export and reads its first page.
    ///
    /// A cursor that CleverTap does not know any more is none of a page: the export is opened anew, and
    /// what was read of it comes again.
    pub(crate) async fn read(&self, query: &Query, cursor: Option<&Cursor>) -> Result<Exported> {
        let Some(cursor) = cursor else { return self.first(query, 1).await };
        match self.next(cursor).await {
            Err(Error::Reject { reason, .. }) if says_lost(&reason) => {
                let waited = self.api.now().since(Timestamp::from_secs(cursor.opened_at)) >= AGAIN;
                if cursor.opened >= MOST_OPENED && !waited {
                    return Err(Error::retry(format!(
                        "{reason}; the export was lost {MOST_OPENED} times, and is opened anew in \
                         an hour"
                    )));
                }
                tracing::warn!(%reason, "an export was lost and is opened anew");
                self.first(query, if waited { 1 } else { cursor.opened + 1 }).await
            }
            read => read,
        }
    }

    /// A page that is still being prepared is an empty one whose next is itself: the export goes on
    /// instead of being opened again.
    async fn first(&self, query: &Query, opened: u8) -> Result<Exported> {
        let mut request = self.api.post(["1", self.path]).query("batch_size", self.size.0);
        for (name, value) in self.with {
            request = request.query(name, value);
        }
        let label = format!("POST /1/{}", self.path);
        let request = request.safe().json(query);
        let answer = call::send_as(self.api, request, &label, Uncoded::ByWords).await?;
        let Opened { cursor } = answer.json()?;
        let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) else {
            return Err(answer.nonsense("without a cursor"));
        };
        let cursor = Cursor::begin(decoded(&cursor), opened, self.api.now());
        match self.page(&cursor).await? {
            Some(exported) => Ok(exported),
            None => Ok(Exported { records: vec![], next: Some(cursor) }),
        }
    }

    /// Reads the page of a cursor; one that is still being prepared is asked for again soon.
    async fn next(&self, cursor: &Cursor) -> Result<Exported> {
        self.page(cursor).await?.ok_or_else(|| Error::Retry {
            reason: format!("GET /1/{}: the page is still being prepared", self.path),
            after: Some(PREPARING),
        })
    }

    /// The page of a cursor, `None` while it is being prepared.
    async fn page(&self, cursor: &Cursor) -> Result<Option<Exported>> {
        let request = self.api.get(["1", self.path]).query("cursor", &cursor.at);
        let request = request.accept(StatusCode::TOO_EARLY);
        let what = format!("GET /1/{}", self.path);
        let answer = match call::send_as(self.api, request, &what, Uncoded::ByWords).await {
            // Whatever its code is: of a page the words can mean nothing else.
            Err(Error::Reject { reason, .. }) if reason.contains("still in progress") => {
                return Ok(None);
            }
            answer => answer?,
        };
        if answer.status() == StatusCode::TOO_EARLY {
            return Ok(None);
        }
        let Listed { status, next_cursor, records } = answer.json()?;
        if !answer::is(&status, "success") {
            return Err(answer.nonsense("with a status that is not success"));
        }
        let next = match next_cursor.filter(|next| !next.is_empty()) {
            None => None,
            Some(_) if records.is_none() => {
                return Err(answer.nonsense("with a page that lists nothing"));
            }
            Some(next) => Some(cursor.on(decoded(&next)).ok_or_else(|| {
                answer.nonsense("with a cursor that was there before: the export goes in a circle")
            })?),
        };
        Ok(Some(Exported { records: records.unwrap_or_default(), next }))
    }
}

/// How it is said is not documented; there is nothing in the question but the cursor.
fn says_lost(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    let words = ["cursor", "expired", "invalid", "not found", "unknown", "answered 404"];
    words.iter().any(|word| reason.contains(word))
}

/// Reads a record. A list is none, though what reads structs takes one for the members in their order.
pub(crate) fn object<T: serde::de::DeserializeOwned>(record: &RawValue) -> Option<T> {
    let text = record.get().trim_start();
    text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
}

/// A cursor without its escapes: it comes percent-encoded, and a query encodes it once more.
fn decoded(cursor: &str) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = cursor.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == b'%'
            && let (Some(high), Some(low)) = (hex(bytes.get(at)), hex(bytes.get(at + 1)))
            && let Ok(byte) = u8::try_from(high * 16 + low)
        {
            plain.push(byte);
            at += 2;
        } else {
            plain.push(byte);
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| cursor.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_noticed_however_long_it_is() {
        for (before, length) in [(0, 1), (0, 2), (5, 3), (40, 64)] {
            let place = |page: u32| {
                let page = if page < before { page } else { before + (page - before) % length };
                page.to_string()
            };
            let mut cursor = Cursor::begin(place(0), 1, Timestamp::from_secs(0));
            let pages = (1..).take_while(|page| match cursor.on(place(*page)) {
                Some(next) => {
                    cursor = next;
                    true
                }
                None => false,
            });
            let pages = pages.count() as u32;
            assert!(pages + 1 >= before + length && pages <= 4 * (before + length), "{pages}");
        }
        let mut cursor = Cursor::begin("0".to_owned(), 1, Timestamp::from_secs(0));
        for page in 1..10_000 {
            cursor = cursor.on(page.to_string()).unwrap();
        }
    }

    #[test]
    fn a_cursor_is_decoded_once() {
        for (given, plain) in [
            ("ZiZjNwMEBQ%3D%3D", "ZiZjNwMEBQ=="),
            ("a%2Fb+c%252F", "a/b+c%2F"),
            ("plain==", "plain=="),
            ("50%", "50%"),
            ("%ff", "%ff"),
        ] {
            assert_eq!(decoded(given), plain);
        }
    }
}
