//! Reads receivers page by page, of one group or of all: all of them, or those that changed.

use connector::prelude::*;

use crate::group;
use crate::look::{KeyedBy, Look};
use crate::stamps::{self, Field, Known};

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

/// The place inside one scan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// 0 reads the filter (of a full scan the lists), n the lists by the n-th of `fields`.
    pass: usize,
    /// The fields that the filter refused, in the order of their passes.
    fields: Vec<Field>,
    /// The page to ask for, from 0.
    page: u32,
    /// The largest page of this pass so far.
    largest: usize,
    /// The first receiver of the page before, by which a repeated answer is known.
    began: Option<String>,
    /// The groups of a scan of all of them, where they have to be named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    /// Which of them is read.
    #[serde(default, skip_serializing_if = "is_first")]
    group: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // Serde hands fields over by reference.
const fn is_first(at: &usize) -> bool {
    *at == 0
}

impl Cursor {
    /// The beginning of the next pass, or of the same one in another group.
    fn onward(self, pass: usize, group: usize) -> Self {
        let Self { fields, groups, .. } = self;
        Self { pass, group, fields, groups, ..Self::default() }
    }
}

/// Reads one page: of a group, or of all groups where none is given.
///
/// `All` is the list of each group by `registered desc`, read to its end. `Changed` is one filter
/// over all stamps, then a pass of the lists for every stamp that the filter refused; a receiver
/// found by two passes comes twice, and the engine drops the second, since it has settled the first.
pub(crate) async fn poll(
    api: &Api,
    scan: &Scan<Cursor>,
    group: Option<&str>,
    look: &Look,
) -> Result<Page<Cursor>> {
    let reader = Reader { api, group, look };
    let cursor = scan.cursor.clone();
    let (place, receivers) = match (scan.want, cursor) {
        (Want::Changed { since }, None) => reader.begin(since).await?,
        (want, cursor) => {
            let mut place = cursor.unwrap_or_default();
            if want == Want::All {
                reader.name_groups(&mut place).await?;
            }
            let receivers = reader.go_on(want, &place).await?;
            reader.refuse_repeated(want, &place, &receivers).await?;
            (place, receivers)
        }
    };
    reader.page(scan.want, place, receivers)
}

/// What is read, and how.
struct Reader<'a> {
    api: &'a Api,
    /// The group; none reads all of them.
    group: Option<&'a str>,
    look: &'a Look,
}

impl Reader<'_> {
    /// Asks for the first page of a `Changed` scan, and so learns which fields the filter refuses:
    /// those named in a refusal, or all if it names none that was asked for. One that wants the
    /// groups named gets them.
    async fn begin(&self, since: Timestamp) -> Result<(Cursor, Vec<Box<RawValue>>)> {
        let mut place = Cursor::default();
        loop {
            let asked = remaining(&place.fields);
            if asked.is_empty() {
                place.pass = 1;
                self.name_groups(&mut place).await?;
                let receivers = self.go_on(Want::Changed { since }, &place).await?;
                return Ok((place, receivers));
            }
            match self.filter(&asked, since, &place).await? {
                Filtered::Page(receivers) => {
                    if !place.fields.is_empty() {
                        self.name_groups(&mut place).await?;
                    }
                    return Ok((place, receivers));
                }
                Filtered::Refused(reason) => {
                    let named = asked.iter().filter(|field| mentions(&reason, field.name()));
                    let named: Vec<_> = named.copied().collect();
                    let wants_groups = mentions(&reason, "groups") || mentions(&reason, "group");
                    if named.is_empty() && wants_groups && self.names_no_group(&place) {
                        self.name_groups(&mut place).await?;
                        if place.groups.is_empty() {
                            return Ok((place, vec![]));
                        }
                    } else {
                        place.fields.extend(if named.is_empty() { asked } else { named });
                    }
                }
            }
        }
    }

    fn names_no_group(&self, place: &Cursor) -> bool {
        self.group.is_none() && place.groups.is_empty()
    }

    /// Looks up which groups there are, where lists of all of them are read.
    async fn name_groups(&self, place: &mut Cursor) -> Result<()> {
        if self.names_no_group(place) {
            let groups = group::all(self.api).await?;
            place.groups = groups.into_iter().map(|group| group.id.0).collect();
        }
        Ok(())
    }

    /// The group whose list is read; none if there is none.
    fn listed<'p>(&'p self, place: &'p Cursor) -> Option<&'p str> {
        self.group.or_else(|| place.groups.get(place.group).map(String::as_str))
    }

    /// Asks for the page at `place`: of a list, of the filter, or of a refused field's pass.
    async fn go_on(&self, want: Want, place: &Cursor) -> Result<Vec<Box<RawValue>>> {
        let Want::Changed { since } = want else {
            return self.list(Field::Registered, place).await;
        };
        let Some(pass) = place.pass.checked_sub(1) else {
            return match self.filter(&remaining(&place.fields), since, place).await? {
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
        self.list(*field, place).await
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
            "CleverReach gave page {} of {} with the beginning of the page before; what belongs \
             there is missing",
            place.page,
            self.whose(place)
        )))
    }

    fn whose(&self, place: &Cursor) -> String {
        self.listed(place).map_or_else(|| "all groups".to_owned(), |id| format!("group {id}"))
    }

    /// One page of a group's list. Only descending order goes with page numbers: a change moves
    /// a receiver to the front, so that the others repeat and none is jumped over.
    async fn list(&self, field: Field, place: &Cursor) -> Result<Vec<Box<RawValue>>> {
        let Some(id) = self.listed(place) else { return Ok(vec![]) };
        let request = self.api.get(["groups.json", id, "receivers"]);
        let mut request = request
            .query("pagesize", self.look.size.0)
            .query("page", place.page)
            .query("type", self.look.kind.name())
            .query("detail", self.look.bits())
            .query("order_by", format!("{} desc", field.name()));
        if self.group.is_none() {
            request = request.accept(StatusCode::NOT_FOUND);
        }
        let answer = request.send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            // A group that was deleted since they were listed has no receivers.
            if group::all(self.api).await?.iter().any(|group| group.id.0 == id) {
                return Err(answer.nonsense("as if there were no such group, and there is"));
            }
            return Ok(vec![]);
        }
        receivers(&answer)
    }

    /// One page of the receivers of which any of `fields` is `since` or later. Ordered by the
    /// registration, which no change moves.
    async fn filter(&self, fields: &[Field], since: Timestamp, place: &Cursor) -> Result<Filtered> {
        // The filter knows "bigger", not "bigger or equal".
        let before = since.secs().saturating_sub(1);
        let rules = fields
            .iter()
            .map(|field| json!({ "field": field.name(), "logic": "bg", "condition": before }));
        // No group at all asks for all of them.
        let groups = self.group.map_or_else(|| place.groups.clone(), |id| vec![id.to_owned()]);
        let body = json!({
            "groups": groups,
            "operator": "OR",
            "rules": rules.collect::<Vec<_>>(),
            "activeonly": self.look.kind == crate::look::Kind::Active,
            "orderby": "registered desc",
            "detail": self.look.bits(),
            "pagesize": self.look.size,
            "page": place.page,
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
        let whose = self.whose(&place);
        let (found, first) = (receivers.len(), first_id(&receivers));
        let reads_lists = want == Want::All || place.pass > 0;
        let list = self.listed(&place).filter(|_| reads_lists).map(str::to_owned);
        let mut last = None;
        let mut records = Vec::with_capacity(found);
        for receiver in receivers {
            let known = Known::of(&receiver).unwrap_or_default();
            let group = list.as_ref().and_then(|_| known.group());
            if group.is_some() && group != list {
                let problem = format!("CleverReach gave {whose} with receivers of another group");
                return Err(Error::retry(problem));
            }
            let mut record = stamps::record(receiver, &known, &whose)?;
            if self.look.keyed_by == KeyedBy::Email {
                record = stamps::by_address(record, &whose)?;
            }
            if let (Want::Changed { since }, true) = (want, self.look.completes && place.pass == 0)
            {
                // The filter found it by what another of its groups has.
                record.version = record.version.max(Some(since));
            }
            let bounced = known.stamp(Field::Bounced).unwrap_or_default();
            if self.look.kind.admits(known.is_active(), bounced) {
                records.push(record);
            }
            last = Some(known);
        }
        let passed = match (want, place.pass.checked_sub(1)) {
            (Want::Changed { since }, Some(pass)) => {
                let field = place.fields.get(pass);
                last.zip(field).is_some_and(|(known, field)| {
                    // Those that are equal go on: the next page may hold more of that second.
                    known.stamp(*field).is_some_and(|stamp| stamp < since.secs())
                })
            }
            _ => false,
        };
        let (pass, group) = (place.pass, place.group + 1);
        let next = if !passed && !self.look.size.is_last(found, place.largest) {
            place.page += 1;
            place.largest = place.largest.max(found);
            place.began = first;
            Some(place)
        } else if reads_lists && group < place.groups.len() {
            Some(place.onward(pass, group))
        } else if pass < place.fields.len() {
            Some(place.onward(pass + 1, 0))
        } else {
            None
        };
        Ok(Page { records, next })
    }
}

fn first_id(receivers: &[Box<RawValue>]) -> Option<String> {
    Known::of(receivers.first()?).and_then(|known| group::Id::of(&known.id)).map(|id| id.0)
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
pub(crate) fn receivers(answer: &Response) -> Result<Vec<Box<RawValue>>> {
    if answer.status() == StatusCode::NO_CONTENT { Ok(vec![]) } else { answer.json() }
}

/// Whether a text names a field; `deactivated` does not name `activated`.
fn mentions(text: &str, field: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    words.any(|word| word.eq_ignore_ascii_case(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_as_a_word() {
        assert!(mentions("unknown field 'deactivated'", "deactivated"));
        assert!(mentions("Activated, bounced: not filterable", "activated"));
        assert!(!mentions("unknown field 'deactivated'", "activated"));
    }
}
