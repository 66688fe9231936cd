//! Sends one call and sets the outcomes of its receivers.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use connector::prelude::*;
use serde_json::Map;

use super::answer::Taken;
use super::attributes::{Defined, Scope};
use super::known::Mail as Found;
use super::state::{self, Mail};
use super::{Receiver, answer, confirmation};
use crate::group::Id;
use crate::members::{Detail, Member, Members};
use crate::plus::{self, Became, Wish};
use crate::tag::{Gone, Tag};
use crate::upsert_receiver::{Activation, UpsertReceiver};

/// What one request writes.
pub(crate) struct Call<'b> {
    pub(crate) group: Id,
    /// How many calls of the same group have its addresses before it.
    pub(crate) time: usize,
    /// The receivers and their positions in the batch; no address twice.
    pub(crate) rows: Vec<(usize, &'b Receiver)>,
}

/// A receiver as it is sent.
#[derive(Default, Serialize)]
struct Row<'a> {
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    activated: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deactivated: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    global_attributes: Map<String, Value>,
    #[serde(skip_serializing_if = "<[Tag]>::is_empty")]
    tags: &'a [Tag],
}

/// What is to be said, and to be done, of a receiver that CleverReach took.
#[derive(Default)]
struct Note {
    created: Option<bool>,
    left_out: Vec<String>,
    mail: Mail,
    /// What only `upsertplus` takes.
    plus: plus::Row,
    /// Tags to take away, those of `replaceTags` included.
    gone: Vec<Gone>,
}

/// Sends the call. Kept for the next one of the batch are the account's attributes, and the
/// addresses, in small letters, that got a mail: nobody gets two of them.
///
/// On an error, whatever of the call is known to have been carried out has its outcome.
pub(crate) async fn send(
    fields: &UpsertReceiver,
    api: &Api,
    call: &Call<'_>,
    (account, mailed): (&mut Option<Scope>, &mut HashSet<String>),
    outcomes: &mut Outcomes,
) -> Result<()> {
    let defined = Defined::ask(api, call, account).await?;
    let detail = detail(fields, call);
    let changes = call.rows.iter().any(|(_, receiver)| !receiver.modifiers.is_empty());
    let members = match fields.activation {
        Activation::Keep if detail.is_plain() && !changes => Members::nobody(api.now()),
        _ => call.members(api, detail).await?,
    };
    let mut rows = Vec::with_capacity(call.rows.len());
    let mut notes = Vec::with_capacity(call.rows.len());
    for (_, receiver) in &call.rows {
        let (row, note) = row(fields, receiver, &defined, &members);
        rows.push(row);
        notes.push(note);
    }
    let path = ["groups.json", &call.group.0, "receivers", "upsert"];
    let said = api.post(path).json(&rows).send().await?;
    let answers = answer::read(&said, call)?;
    let (changed, mut failure) = plus(api, call, detail, &answers, &notes).await;

    let mut form = fields.form_id.as_ref().map(confirmation::Form::new);
    let (mut left, mut late) = (vec![], vec![]);
    for (at, (((index, receiver), answer), note)) in
        call.rows.iter().zip(answers).zip(&notes).enumerate()
    {
        let taken = match (answer, changed.get(&at)) {
            (answer::Row::Refused(outcome), _) => {
                outcomes.set(*index, outcome);
                continue;
            }
            (answer::Row::Taken(_), Some(Became::Refused)) => {
                outcomes.set(*index, plus::not_taken(receiver.address()));
                continue;
            }
            (answer::Row::Unknown, _) | (_, Some(Became::Unknown)) => continue,
            (answer::Row::Taken(taken), _) => taken,
        };
        match (&note.mail, &mut form) {
            (Mail::Nothing, _) | (Mail::Send(_), None) => {}
            (Mail::Send(unmarked), Some(form)) => {
                let address = receiver.address().to_lowercase();
                if !mailed.contains(&address) {
                    match form.confirm(api, receiver, taken.id.as_ref()).await {
                        Ok(None) => mailed.insert(address),
                        Ok(Some(outcome)) => {
                            outcomes.set(*index, outcome);
                            continue;
                        }
                        Err(error) => {
                            failure = Some(error);
                            continue;
                        }
                    };
                }
                left.push(unmarked);
            }
            (Mail::Late, _) => {
                late.push((*index, *receiver, taken, note));
                continue;
            }
            (Mail::Never, _) => {
                outcomes.set(*index, confirmation::never_left(taken.id.as_ref()));
                continue;
            }
        }
        outcomes.set(*index, done(call, receiver, taken, note));
    }
    if !left.is_empty()
        && let Err(error) = api.post(path).json(&left).send().await
    {
        // The mails left, which is what counts; at worst somebody gets a second one.
        tracing::warn!(%error, "could not note that confirmation mails left");
    }
    if !late.is_empty() {
        // An API that keeps the source of known receivers would let all of them look late.
        let rows = late.iter().map(|(index, receiver, ..)| (*index, *receiver)).collect();
        let asked = Call { group: call.group.clone(), time: call.time, rows };
        let members = asked.members(api, Detail::PLAIN).await?;
        for (index, receiver, taken, note) in late {
            let now = members.now().secs();
            let noted = members.get(receiver.who()).is_some_and(|it| it.mail(now) == Found::Never);
            let outcome = match noted {
                true => confirmation::never_left(taken.id.as_ref()),
                false => done(call, receiver, taken, note),
            };
            outcomes.set(index, outcome);
        }
    }
    failure.map_or(Ok(()), Err)
}

impl Call<'_> {
    async fn members(&self, api: &Api, detail: Detail) -> Result<Members> {
        let all: Vec<_> = self.rows.iter().map(|(_, receiver)| receiver.who()).collect();
        Members::ask(api, &self.group, &all, detail).await
    }
}

/// What has to be known of the receivers beside their state.
fn detail(fields: &UpsertReceiver, call: &Call<'_>) -> Detail {
    let mut detail = Detail::PLAIN;
    let any = |has: fn(&Receiver) -> bool| call.rows.iter().any(|(_, receiver)| has(receiver));
    if fields.replace_tags || any(|it| !it.remove_tags.is_empty()) {
        detail = detail.and(Detail::TAGS);
    }
    if any(|it| !it.orders.is_empty()) {
        detail = detail.and(Detail::ORDERS);
    }
    detail
}

/// Decides what is sent of a receiver.
fn row<'r>(
    fields: &UpsertReceiver,
    receiver: &'r Receiver,
    defined: &Defined,
    members: &Members,
) -> (Row<'r>, Note) {
    let placed = defined.place(receiver, fields.erase_empty);
    let state = state::decide(fields, receiver, members);
    let row = Row {
        email: receiver.address(),
        registered: state.registered,
        activated: state.activated,
        deactivated: state.deactivated,
        source: state.source,
        attributes: placed.group,
        global_attributes: placed.account,
        tags: &receiver.tags,
    };
    let known = members.get(receiver.who());
    let mut gone = receiver.remove_tags.clone();
    if let Some(known) = known.filter(|_| fields.replace_tags) {
        let goes = |tag: &&String| {
            !receiver.tags.iter().any(|it| it.text() == tag.as_str())
                && !receiver.remove_tags.iter().any(|it| it.takes(tag))
        };
        gone.extend(known.tags.iter().filter(goes).map(|tag| Gone::exactly(tag)));
    }
    let mut plus = plus::Row::of(wish(receiver, &gone), &as_written(receiver, known, members));
    plus.global_attributes = placed.modifiers;
    let note =
        Note { created: state.created, left_out: placed.left_out, mail: state.mail, plus, gone };
    (row, note)
}

/// What `upsertplus` has to do, once the tags to add are written.
fn wish<'a>(receiver: &'a Receiver, gone: &'a [Gone]) -> Wish<'a> {
    Wish { tags: &[], remove_tags: gone, orders: &receiver.orders }
}

/// The receiver as it is once the plain upsert was taken.
fn as_written(receiver: &Receiver, known: Option<&Member>, members: &Members) -> Member {
    let mut member = known
        .cloned()
        .unwrap_or_else(|| Member { registered: members.now().secs(), ..Member::default() });
    receiver.address().clone_into(&mut member.email);
    member.tags.extend(receiver.tags.iter().map(|tag| tag.text().to_owned()));
    member
}

/// Sends what only `upsertplus` takes, of the receivers that were taken. What became of each, by its
/// place in the call; on an error nothing is told of those that it is about.
async fn plus(
    api: &Api,
    call: &Call<'_>,
    detail: Detail,
    answers: &[answer::Row],
    notes: &[Note],
) -> (HashMap<usize, Became>, Option<Error>) {
    let taken = answers.iter().zip(notes).enumerate();
    let taken = taken.filter(|(_, (answer, note))| {
        matches!(answer, answer::Row::Taken(_)) && !note.plus.is_empty()
    });
    let (places, rows): (Vec<usize>, Vec<plus::Row>) =
        taken.map(|(at, (_, note))| (at, note.plus.clone())).unzip();
    if rows.is_empty() {
        return (HashMap::new(), None);
    }
    let open = |nth: usize, member: &Member| {
        let at = *places.get(nth)?;
        let ((_, receiver), note) = (call.rows.get(at)?, notes.get(at)?);
        // Of what was added to a value nothing is to be seen.
        let seen = note.plus.global_attributes.is_empty();
        seen.then(|| !plus::Row::of(wish(receiver, &note.gone), member).is_empty())
    };
    match plus::send(api, &call.group, detail, &rows, open).await {
        Ok(became) => (places.iter().copied().zip(became).collect(), None),
        Err(error) => (places.iter().map(|at| (*at, Became::Unknown)).collect(), Some(error)),
    }
}

fn done(call: &Call<'_>, receiver: &Receiver, taken: Taken, note: &Note) -> Outcome {
    let sent = matches!(note.mail, Mail::Send(_)).then_some("sent");
    let target_key = taken.id.map(|id| id.0);
    let orders = note.plus.orders.len();
    let value = BTreeMap::from([
        ("id", json!(target_key)),
        ("email", json!(receiver.address())),
        ("groupId", json!(call.group)),
        ("created", json!(note.created)),
        ("activated", json!(taken.activated)),
        ("deactivated", json!(taken.deactivated)),
        ("confirmation", json!(sent)),
        ("orders", if orders == 0 { Value::Null } else { json!(orders) }),
        ("leftOut", if note.left_out.is_empty() { Value::Null } else { json!(note.left_out) }),
    ]);
    let told = value.into_iter().filter(|(_, value)| !value.is_null());
    let value = told.map(|(name, value)| (name.to_owned(), value)).collect();
    Outcome::Done { value: Value::Object(value), target_key }
}
