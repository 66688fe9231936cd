//! Reads a group's receivers page by page: all of them, or those that changed.

use std::borrow::Cow;

use connector::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::group::Id;

/// The vendor's `detail` bit for tags; without it a receiver comes with none.
const TAGS: u32 = 4;
/// What opens, clicks and the vendor's own rating move; none of it is a change of the receiver.
pub(crate) const VOLATILE: &[&str] = &[
    "/last_ip",
    "/last_location",
    "/last_client",
    "/points",
    "/stars",
    "/open_rate",
    "/click_rate",
    "/conversion_rate",
    "/events",
];
/// The vendor's page size where none is asked for: no smaller one is ever imposed.
const SMALLEST_CAP: usize = 50;

/// The stamps of a receiver; the highest is its version. Zero means never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Field {
    Registered,
    Activated,
    Deactivated,
    Bounced,
}

impl Field {
    const ALL: [Self; 4] = [Self::Registered, Self::Activated, Self::Deactivated, Self::Bounced];

    const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Activated => "activated",
            Self::Deactivated => "deactivated",
            Self::Bounced => "bounced",
        }
    }
}

/// The place inside one scan of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// 0 reads the filter (of a full scan the whole list), n the list by the n-th of `fields`.
    pass: usize,
    /// The fields that the filter refused, in the order of their passes.
    fields: Vec<Field>,
    /// The page to ask for, from 0.
    page: u32,
    /// The largest page of this pass so far.
    largest: usize,
    /// The first receiver of the page before, by which a repeated answer is known.
    began: Option<String>,
}

/// How many receivers one request asks for: 1 to 5000, 1000 if nothing is said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageSize(usize);

impl PageSize {
    const LARGEST: u64 = 5000;

    /// Whether no page follows one of `len` receivers; `largest` is the largest before it.
    ///
    /// The API may give fewer than it was asked for (a smaller maximum than documented): the end
    /// is not a page smaller than asked, but one smaller than an earlier page of the pass, or
    /// smaller than any maximum could be.
    fn is_last(self, len: usize, largest: usize) -> bool {
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

/// Reads one page of the group that is the scan's partition.
///
/// `All` is the list by `registered desc`, read to its end. `Changed` is one filter over all
/// stamps, then a pass of the list for every stamp that the filter refused; a receiver found by
/// two passes comes twice, and the engine drops the second, since it has settled the first.
pub(crate) async fn poll(api: &Api, scan: &Scan<Cursor>, size: PageSize) -> Result<Page<Cursor>> {
    let Some(id) = scan.partition.as_deref() else {
        return Err(Error::config("a scan of receivers without a group"));
    };
    let group = Group { api, id, size };
    let cursor = scan.cursor.clone();
    let (place, receivers) = match (scan.want, cursor) {
        (Want::Changed { since }, None) => group.begin(since).await?,
        (want, cursor) => {
            let place = cursor.unwrap_or_default();
            let receivers = group.go_on(want, &place).await?;
            group.refuse_repeated(want, &place, &receivers).await?;
            (place, receivers)
        }
    };
    group.page(scan.want, place, receivers)
}

/// One group, and how it is read.
struct Group<'a> {
    api: &'a Api,
    id: &'a str,
    size: PageSize,
}

impl Group<'_> {
    /// Asks for the first page of a `Changed` scan, and so learns which fields the filter refuses:
    /// those named in a refusal, or all if it names none that was asked for.
    async fn begin(&self, since: Timestamp) -> Result<(Cursor, Vec<Box<RawValue>>)> {
        let mut place = Cursor::default();
        loop {
            let asked = remaining(&place.fields);
            if asked.is_empty() {
                place.pass = 1;
                let receivers = self.go_on(Want::Changed { since }, &place).await?;
                return Ok((place, receivers));
            }
            match self.filter(&asked, since, 0).await? {
                Filtered::Page(receivers) => return Ok((place, receivers)),
                Filtered::Refused(reason) => {
                    let named = asked.iter().filter(|field| mentions(&reason, field.name()));
                    let named: Vec<_> = named.copied().collect();
                    place.fields.extend(if named.is_empty() { asked } else { named });
                }
            }
        }
    }

    /// Asks for the page at `place`: of the list, of the filter, or of a refused field's pass.
    async fn go_on(&self, want: Want, place: &Cursor) -> Result<Vec<Box<RawValue>>> {
        let Want::Changed { since } = want else {
            return self.list(Field::Registered, place.page).await;
        };
        let Some(pass) = place.pass.checked_sub(1) else {
            return match self.filter(&remaining(&place.fields), since, place.page).await? {
                Filtered::Page(receivers) => Ok(receivers),
                Filtered::Refused(reason) => Err(Error::config(format!(
                    "CleverReach refused the filter for changed receivers, which it took before: \
                     {reason}"
                ))),
            };
        };
        let Some(field) = place.fields.get(pass) else {
            return Err(Error::config(
                "the stored place inside the scan does not exist; `towpath state reset` starts \
                 the scan afresh",
            ));
        };
        self.list(*field, place.page).await
    }

    /// Refuses a page that begins like the one before it: what belongs there is missing.
    ///
    /// The same beginning is right if a whole page of receivers came in front in between, which
    /// the page before tells: it begins otherwise now.
    async fn refuse_repeated(
        &self,
        want: Want,
        place: &Cursor,
        receivers: &[Box<RawValue>],
    ) -> Result<()> {
        let Some(before) = place.page.checked_sub(1) else { return Ok(()) };
        if receivers.len() < 2 || first_id(receivers) != place.began {
            return Ok(());
        }
        let before = Cursor { page: before, ..place.clone() };
        if first_id(&self.go_on(want, &before).await?) != place.began {
            return Ok(());
        }
        Err(Error::retry(format!(
            "CleverReach gave page {} of group {} with the beginning of the page before; what \
             belongs there is missing",
            place.page, self.id
        )))
    }

    /// One page of the group's list. Only descending order goes with page numbers: a change moves
    /// a receiver to the front, so that the others repeat and none is jumped over.
    async fn list(&self, field: Field, page: u32) -> Result<Vec<Box<RawValue>>> {
        let request = self.api.get(["groups.json", self.id, "receivers"]);
        let request = request
            .query("pagesize", self.size.0)
            .query("page", page)
            .query("type", "all")
            .query("detail", TAGS)
            .query("order_by", format!("{} desc", field.name()));
        receivers(&request.send().await?)
    }

    /// One page of the receivers of which any of `fields` is `since` or later. Ordered by the
    /// registration, which no change moves.
    async fn filter(&self, fields: &[Field], since: Timestamp, page: u32) -> Result<Filtered> {
        // The filter knows "bigger", not "bigger or equal".
        let before = since.secs().saturating_sub(1);
        let rules = fields
            .iter()
            .map(|field| json!({ "field": field.name(), "logic": "bg", "condition": before }));
        let body = json!({
            "groups": [self.id],
            "operator": "OR",
            "rules": rules.collect::<Vec<_>>(),
            "activeonly": false,
            "orderby": "registered desc",
            "detail": TAGS,
            "pagesize": self.size,
            "page": page,
        });
        let request = self.api.post(["receivers", "filter.json"]).json(&body);
        let answer = request.safe().accept(StatusCode::BAD_REQUEST).send().await?;
        if answer.status() != StatusCode::BAD_REQUEST {
            return Ok(Filtered::Page(receivers(&answer)?));
        }
        if crate::failure(answer.body()).is_none() {
            let said = answer.message();
            return Err(Error::config(format!(
                "POST receivers/filter.json answered 400 without CleverReach's error envelope: \
                 {said}"
            )));
        }
        Ok(Filtered::Refused(answer.message()))
    }

    /// Makes a page of what one request gave, and says where the next begins.
    fn page(
        &self,
        want: Want,
        mut place: Cursor,
        receivers: Vec<Box<RawValue>>,
    ) -> Result<Page<Cursor>> {
        let records: Vec<Record> =
            receivers.into_iter().map(|receiver| self.record(receiver)).collect::<Result<_>>()?;
        let first = records.first().map(|record| record.key.clone());
        let passed = match (want, place.pass.checked_sub(1)) {
            (Want::Changed { since }, Some(pass)) => {
                let field = place.fields.get(pass);
                let last = records.last().zip(field);
                last.is_some_and(|(record, field)| {
                    // Those that are equal go on: the next page may hold more of that second.
                    let stamp = Known::of(&record.data).and_then(|known| known.stamp(*field));
                    stamp.is_some_and(|stamp| stamp < since.secs())
                })
            }
            _ => false,
        };
        let next = if !passed && !self.size.is_last(records.len(), place.largest) {
            place.page += 1;
            place.largest = place.largest.max(records.len());
            place.began = first;
            Some(place)
        } else if place.pass < place.fields.len() {
            Some(Cursor { pass: place.pass + 1, fields: place.fields, ..Cursor::default() })
        } else {
            None
        };
        Ok(Page { records, next })
    }

    fn record(&self, data: Box<RawValue>) -> Result<Record> {
        let nonsense = |what: &str| {
            Error::retry(format!("CleverReach gave a receiver of group {} {what}", self.id))
        };
        let known = Known::of(&data);
        let Some((Id(key), known)) = known.and_then(|known| Some((Id::of(&known.id)?, known)))
        else {
            return Err(nonsense("without an id; no receiver is left out for that"));
        };
        let mut newest = 0;
        for field in Field::ALL {
            let stamp = known.stamp(field).ok_or_else(|| {
                let name = field.name();
                nonsense(&format!("(id {key}) whose `{name}` is not a number of epoch seconds"))
            })?;
            newest = newest.max(stamp);
        }
        let version = (newest > 0).then(|| Timestamp::from_secs(newest));
        Ok(Record { key, version, data })
    }
}

fn first_id(receivers: &[Box<RawValue>]) -> Option<String> {
    Known::of(receivers.first()?).and_then(|known| Id::of(&known.id)).map(|Id(id)| id)
}

enum Filtered {
    Page(Vec<Box<RawValue>>),
    Refused(String),
}

fn remaining(refused: &[Field]) -> Vec<Field> {
    Field::ALL.into_iter().filter(|field| !refused.contains(field)).collect()
}

/// An empty group may be answered with 204. An empty body with any other status is no answer: an
/// outage must not look like an empty page.
fn receivers(answer: &Response) -> Result<Vec<Box<RawValue>>> {
    if answer.status() == StatusCode::NO_CONTENT { Ok(vec![]) } else { answer.json() }
}

/// Whether a text names a field; `deactivated` does not name `activated`.
fn mentions(text: &str, field: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    words.any(|word| word.eq_ignore_ascii_case(field))
}

/// What of a receiver tells which one it is and when it changed; the rest stays text.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Known {
    id: Value,
    registered: Value,
    activated: Value,
    deactivated: Value,
    bounced: Value,
}

impl Known {
    /// `None` if the receiver is no object.
    fn of(receiver: &RawValue) -> Option<Self> {
        serde_json::from_str(receiver.get()).ok()
    }

    /// A stamp in epoch seconds, from a number or a string of one; 0 if it never happened, `None`
    /// if it is neither.
    fn stamp(&self, field: Field) -> Option<i64> {
        let stamp = match field {
            Field::Registered => &self.registered,
            Field::Activated => &self.activated,
            Field::Deactivated => &self.deactivated,
            Field::Bounced => &self.bounced,
        };
        match stamp {
            Value::Null => Some(0),
            Value::Number(number) => number.as_i64(),
            Value::String(text) if text.trim().is_empty() => Some(0),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_a_number_or_a_string_of_one() {
        let stamp = |bounced: Value| Known { bounced, ..Known::default() }.stamp(Field::Bounced);
        assert_eq!(stamp(json!(1_627_283_954)), Some(1_627_283_954));
        assert_eq!(stamp(json!("1627283954")), Some(1_627_283_954));
        for never in [json!(null), json!(0), json!("0"), json!("")] {
            assert_eq!(stamp(never), Some(0));
        }
        for odd in [json!("yesterday"), json!(true), json!([1]), json!(1.5)] {
            assert_eq!(stamp(odd), None);
        }
    }

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
    fn a_field_is_named_as_a_word() {
        assert!(mentions("unknown field 'deactivated'", "deactivated"));
        assert!(mentions("Activated, bounced: not filterable", "activated"));
        assert!(!mentions("unknown field 'deactivated'", "activated"));
    }
}
