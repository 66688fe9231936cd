//! What exports share: a query opens one, and a cursor leads from page to page.

use std::borrow::Cow;
use std::time::Duration;

use connector::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::answer;
use crate::query::Query;

/// How long CleverTap is left to prepare a page before it is asked for again.
const PREPARING: Duration = Duration::from_secs(2);

/// The place inside an export: what the next page is asked for with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor(String);

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
    records: Vec<Box<RawValue>>,
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
    /// Opens an export and reads its first page.
    ///
    /// A page that is still being prepared is an empty one whose next is itself: the export goes on
    /// instead of being opened again.
    pub(crate) async fn first(&self, query: &Query) -> Result<Exported> {
        let mut request = self.api.post(["1", self.path]).query("batch_size", self.size.0);
        for (name, value) in self.with {
            request = request.query(name, value);
        }
        let label = format!("POST /1/{}", self.path);
        let answer = answer::send(request.safe().json(query), &label).await?;
        let Opened { cursor } = answer.json()?;
        let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) else {
            return Err(answer.nonsense("without a cursor"));
        };
        let cursor = Cursor(decoded(&cursor));
        match self.page(&cursor).await? {
            Some(exported) => Ok(exported),
            None => Ok(Exported { records: vec![], next: Some(cursor) }),
        }
    }

    /// Reads the page of a cursor; one that is still being prepared is asked for again soon.
    pub(crate) async fn next(&self, cursor: &Cursor) -> Result<Exported> {
        self.page(cursor).await?.ok_or_else(|| Error::Retry {
            reason: format!("GET /1/{}: the page is still being prepared", self.path),
            after: Some(PREPARING),
        })
    }

    /// The page of a cursor, `None` while it is being prepared.
    async fn page(&self, cursor: &Cursor) -> Result<Option<Exported>> {
        let request = self.api.get(["1", self.path]).query("cursor", &cursor.0);
        let request = request.accept(StatusCode::TOO_EARLY);
        let answer = answer::send(request, &format!("GET /1/{}", self.path)).await?;
        if answer.status() == StatusCode::TOO_EARLY {
            return Ok(None);
        }
        let Listed { status, next_cursor, records } = answer.json()?;
        if status != "success" {
            return Err(answer.nonsense("with a status that is not success"));
        }
        let next = next_cursor.filter(|next| !next.is_empty()).map(|next| Cursor(decoded(&next)));
        if next.as_ref() == Some(cursor) {
            return Err(answer.nonsense("with its own cursor as the next one"));
        }
        Ok(Some(Exported { records, next }))
    }
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
