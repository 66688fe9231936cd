//! `upsertplus`: changes of receivers that are there, which plain `upsert` does not know: tags to take
//! away, orders, and values that say what to change.
//!
//! It answers whole profiles; what it refused is missing (seen in two of the vendor's clients). So
//! whoever is missing is looked up once more, to see what has become of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use connector::prelude::*;
use serde_json::Map;

use crate::group::Id;
use crate::members::{Detail, Member, Members};
use crate::order::{self, Order};
use crate::tag::{Gone, Tag};
use crate::told::Told;
use crate::who::Who;
use crate::{in_group, rejections};

/// What is to become of a receiver.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wish<'a> {
    pub(crate) tags: &'a [Tag],
    pub(crate) remove_tags: &'a [Gone],
    pub(crate) orders: &'a [Order],
}

/// What is still to be changed of a receiver that is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) email: String,
    /// With a date it would not be created active, were it deleted meanwhile.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) registered: i64,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) global_attributes: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) orders: Vec<Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Row {
    /// What a wish leaves to be changed of a receiver: what is as wished is not written again.
    pub(crate) fn of(wish: Wish<'_>, member: &Member) -> Self {
        let new = wish.tags.iter().filter(|tag| !member.tags.iter().any(|it| it == tag.text()));
        let taken = |gone: &&Gone| member.tags.iter().any(|tag| gone.takes(tag));
        let gone = wish.remove_tags.iter().filter(taken).map(Gone::sent);
        Self {
            email: member.email.clone(),
            registered: member.registered,
            global_attributes: Map::new(),
            // First away: a tag may be taken with its origin and added again.
            tags: gone.chain(new.map(|tag| tag.text().to_owned())).collect(),
            orders: order::missing(wish.orders, &member.orders)
                .into_iter()
                .map(Order::row)
                .collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.orders.is_empty() && self.global_attributes.is_empty()
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    Taken,
    Refused,
    /// The answer does not tell.
    Unknown,
}

/// Sends rows, of which none has the address of another, and says what became of each. `open` says
/// of a row that is missing in the answer, given its receiver as it is now, whether anything of it
/// is still to be done; `None` if that cannot be seen.
pub(crate) async fn send(
    api: &Api,
    group: &Id,
    detail: Detail,
    rows: &[Row],
    open: impl Fn(usize, &Member) -> Option<bool> + Send + Sync,
) -> Result<Vec<Became>> {
    let path = ["groups.json", &group.0, "receivers", "upsertplus"];
    let answer = api.post(path).json(&rows).send().await?;
    let taken = read(&answer, rows)?;
    let mut became: Vec<Became> = rows
        .iter()
        .map(|row| match taken.contains(&row.email.to_lowercase()) {
            true => Became::Taken,
            false => Became::Unknown,
        })
        .collect();
    let missing = rows.iter().filter(|row| !taken.contains(&row.email.to_lowercase()));
    let missing: Vec<Who<'_>> = missing.map(|row| Who::Email(&row.email)).collect();
    if missing.is_empty() {
        return Ok(became);
    }
    // What the others became is known: an outage here leaves open only who is missing.
    let members = match Members::ask(api, group, &missing, detail).await {
        Ok(members) => members,
        Err(error) => {
            tracing::debug!(%error, "could not look up who is missing in an answer");
            return Ok(became);
        }
    };
    for (index, (row, became)) in rows.iter().zip(&mut became).enumerate() {
        if *became == Became::Unknown {
            let member = members.get(Who::Email(&row.email));
            *became = match member.map_or(Some(true), |member| open(index, member)) {
                Some(true) => Became::Refused,
                Some(false) => Became::Taken,
                None => Became::Unknown,
            };
        }
    }
    Ok(became)
}

/// The addresses, in small letters, of the profiles in an answer.
fn read(answer: &Response, rows: &[Row]) -> Result<HashSet<String>> {
    let list = match answer.json()? {
        Value::Array(list) => list,
        // One receiver may be answered alone.
        one @ Value::Object(_) => vec![one],
        _ => return Err(answer.nonsense("with something else than receivers")),
    };
    let asked: HashSet<String> = rows.iter().map(|row| row.email.to_lowercase()).collect();
    let mut taken = HashSet::new();
    for profile in list {
        // A text in the place of a profile is a refusal, as in the answer to `upsert`.
        let Value::Object(profile) = profile else { continue };
        let email = profile.get("email").and_then(Value::as_str).unwrap_or_default();
        let email = email.trim().to_lowercase();
        if !asked.contains(&email) {
            return Err(answer.nonsense("with receivers that were not sent"));
        }
        taken.insert(email);
    }
    Ok(taken)
}

/// What becomes of a message whose receiver is not in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    Refuse,
    /// What was to be taken away is not there.
    Done,
}

/// Changes receivers of a group that are there, as the messages wish, and ends the batch. The group
/// is named by its id or its name.
pub(crate) async fn change(
    api: &Api,
    (id, name): (Option<&Id>, Option<&str>),
    wishes: Vec<(usize, Who<'_>, Wish<'_>)>,
    how: (Detail, Absent),
    mut told: Told,
) -> Result<Outcomes> {
    if wishes.is_empty() {
        return told.end(Ok(()));
    }
    let group = in_group::known(api, id, name).await?;
    let sent = in_rounds(api, &group, wishes, how, &mut told).await;
    told.end(sent)
}

/// A receiver that comes again is looked up again before its next change.
async fn in_rounds(
    api: &Api,
    group: &Id,
    wishes: Vec<(usize, Who<'_>, Wish<'_>)>,
    (detail, absent): (Detail, Absent),
    told: &mut Told,
) -> Result<()> {
    let mut left = wishes;
    while !left.is_empty() {
        let mut seen = HashSet::new();
        let (now, later): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(_, who, _)| seen.insert(who.key()));
        left = later;
        let all: Vec<Who<'_>> = now.iter().map(|(_, who, _)| *who).collect();
        let members = Members::ask(api, group, &all, detail).await?;
        let (mut rows, mut places) = (vec![], HashMap::new());
        let mut sent = vec![];
        for (index, who, wish) in now {
            let Some(member) = members.get(who) else {
                told.note(index, Ok(not_there(group, who, absent)))?;
                continue;
            };
            // An id and an address may be the same receiver.
            if places.contains_key(&member.email.to_lowercase()) {
                left.push((index, who, wish));
                continue;
            }
            let row = Row::of(wish, member);
            if row.is_empty() {
                told.note(index, Ok(done(group, member, None)))?;
                continue;
            }
            places.insert(member.email.to_lowercase(), rows.len());
            sent.push((index, member, wish));
            rows.push(row);
        }
        if rows.is_empty() {
            continue;
        }
        let open = |at: usize, member: &Member| {
            sent.get(at).map(|(_, _, wish)| !Row::of(*wish, member).is_empty())
        };
        let became = self::send(api, group, detail, &rows, open).await?;
        for (((index, member, _), row), became) in sent.iter().zip(&rows).zip(became) {
            match became {
                Became::Taken => told.note(*index, Ok(done(group, member, Some(row))))?,
                Became::Refused => told.refuse(*index, not_taken(&member.email)),
                Became::Unknown => {}
            }
        }
    }
    Ok(())
}

/// The refusal of a row that CleverReach left out.
pub(crate) fn not_taken(email: &str) -> Outcome {
    let reason = format!("CleverReach leaves {email} out of its answer, and says no reason");
    rejections::NOT_TAKEN.because(reason)
}

fn not_there(group: &Id, who: Who<'_>, absent: Absent) -> Outcome {
    match absent {
        Absent::Refuse => rejections::not_in(group, who),
        Absent::Done => Outcome::done(json!({
            who.named(): who.text(), "groupId": group, "changed": false,
        })),
    }
}

fn done(group: &Id, member: &Member, row: Option<&Row>) -> Outcome {
    let target_key = member.id.as_ref().map(|id| id.0.clone());
    let mut value = BTreeMap::from([
        ("id", json!(target_key)),
        ("email", json!(member.email)),
        ("groupId", json!(group)),
        ("changed", json!(row.is_some())),
    ]);
    if let Some(row) = row.filter(|row| !row.orders.is_empty()) {
        value.insert("orders", json!(row.orders.len()));
    }
    value.retain(|_, value| !value.is_null());
    Outcome::Done { value: json!(value), target_key }
}
