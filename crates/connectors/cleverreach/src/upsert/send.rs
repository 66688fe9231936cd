//! Sends one call and sets the outcomes of its receivers.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use connector::prelude::*;
use serde_json::Map;

use super::attributes::{Defined, Scope};
use super::known::{self, Known};
use super::{answer, confirmation};
use crate::group::Id;
use crate::upsert_receiver::{Activation, Receiver, UpsertReceiver};

/// Where new receivers come from if the mapping does not say.
const SOURCE: &str = "Towpath";

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

/// What is to be said of a receiver that CleverReach took.
#[derive(Default)]
struct Note {
    created: Option<bool>,
    left_out: Vec<String>,
    mail: Mail,
}

/// What is to be done about the mail that asks a receiver to confirm.
#[derive(Default)]
enum Mail {
    #[default]
    Nothing,
    /// To send it, and then to write the source that says so.
    Send(Unmarked),
    /// To say that it never left, if the note of that was taken.
    Late,
    /// To say that it never left.
    Never,
}

/// A receiver whose mail left.
#[derive(Clone, Serialize)]
struct Unmarked {
    email: String,
    /// With a date it would not be created active, were it deleted meanwhile.
    registered: i64,
    source: String,
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
    let known = match fields.activation {
        Activation::Keep => None,
        Activation::DoubleOptIn | Activation::Active => Some(Known::ask(api, call).await?),
    };
    let mut rows = Vec::with_capacity(call.rows.len());
    let mut notes = Vec::with_capacity(call.rows.len());
    for (_, receiver) in &call.rows {
        let (row, note) = row(fields, receiver, &defined, known.as_ref());
        rows.push(row);
        notes.push(note);
    }
    let path = ["groups.json", &call.group.0, "receivers", "upsert"];
    let said = api.post(path).json(&rows).send().await?;
    let answers = answer::read(&said, call)?;

    let mut form = fields.form_id.as_ref().map(confirmation::Form::new);
    let (mut left, mut late, mut failure) = (vec![], vec![], None);
    for (((index, receiver), answer), note) in call.rows.iter().zip(answers).zip(&notes) {
        let id = match answer {
            answer::Row::Unknown => continue,
            answer::Row::Refused(outcome) => {
                outcomes.set(*index, outcome);
                continue;
            }
            answer::Row::Taken(id) => id,
        };
        match (&note.mail, &mut form) {
            (Mail::Nothing, _) | (Mail::Send(_), None) => {}
            (Mail::Send(unmarked), Some(form)) => {
                let address = receiver.address().to_lowercase();
                if !mailed.contains(&address) {
                    match form.confirm(api, receiver, id.as_ref()).await {
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
                late.push((*index, *receiver, id, note));
                continue;
            }
            (Mail::Never, _) => {
                outcomes.set(*index, confirmation::never_left(id.as_ref()));
                continue;
            }
        }
        outcomes.set(*index, done(call, receiver, id, note));
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
        let known = Known::ask(api, &asked).await?;
        for (index, receiver, id, note) in late {
            let state = known.get(receiver.address());
            let noted = state.is_some_and(|it| it.mail(known.now().secs()) == known::Mail::Never);
            let never = || confirmation::never_left(id.as_ref());
            let outcome = if noted { never() } else { done(call, receiver, id, note) };
            outcomes.set(index, outcome);
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Decides what is sent of a receiver.
fn row<'r>(
    fields: &UpsertReceiver,
    receiver: &'r Receiver,
    defined: &Defined,
    known: Option<&Known>,
) -> (Row<'r>, Note) {
    let placed = defined.place(receiver, fields.erase_empty);
    let mut row = Row {
        email: receiver.address(),
        attributes: placed.group,
        global_attributes: placed.account,
        tags: tags(&receiver.tags),
        ..Row::default()
    };
    let mut note = Note { left_out: placed.left_out, ..Note::default() };
    let Some(known) = known else {
        row.source = receiver.source.as_deref().map(Cow::from);
        return (row, note);
    };
    let now = known.now().secs();
    let source = receiver.source.as_deref().unwrap_or(SOURCE);
    let asks = fields.form_id.is_some();
    let unmarked = |registered, source: &str| {
        let email = receiver.address().to_owned();
        Mail::Send(Unmarked { email, registered, source: source.to_owned() })
    };
    let Some(state) = known.get(receiver.address()) else {
        note.created = Some(true);
        row.source = Some(source.into());
        if asks {
            row.source = Some(known::pending(source).into());
            note.mail = unmarked(now, source);
        }
        row.registered = Some(now);
        // 0 is inactive until it is confirmed.
        row.activated = Some(if fields.activation == Activation::Active { now } else { 0 });
        return (row, note);
    };
    note.created = Some(false);
    let bare = || state.bare_source().unwrap_or_default();
    if fields.activation == Activation::Active {
        // An active one keeps its time: another would be a change, over and over.
        if !state.is_active() {
            row.activated = Some(now);
            row.deactivated = Some(0);
        }
        row.source = state.bare_source().map(|it| Cow::from(it.to_owned()));
        return (row, note);
    }
    match state.mail(now) {
        known::Mail::Answered => row.source = Some(bare().to_owned().into()),
        known::Mail::Due if asks => note.mail = unmarked(state.registered, bare()),
        known::Mail::Late if asks => {
            row.source = Some(known::never(bare()).into());
            note.mail = Mail::Late;
        }
        known::Mail::Never if asks => note.mail = Mail::Never,
        _ => {}
    }
    (row, note)
}

/// The tags to add: a hyphen in front or an asterisk would take tags away.
pub(super) fn tags(given: &[String]) -> Vec<String> {
    let bare = |tag: &String| {
        tag.trim_start_matches(|c: char| c == '-' || c.is_whitespace()).trim_end().replace('*', "_")
    };
    given.iter().map(bare).filter(|tag| !tag.is_empty()).collect()
}

fn done(call: &Call<'_>, receiver: &Receiver, id: Option<Id>, note: &Note) -> Outcome {
    let sent = matches!(note.mail, Mail::Send(_)).then_some("sent");
    let target_key = id.map(|id| id.0);
    let value = BTreeMap::from([
        ("id", json!(target_key)),
        ("email", json!(receiver.address())),
        ("groupId", json!(call.group)),
        ("created", json!(note.created)),
        ("confirmation", json!(sent)),
        ("leftOut", if note.left_out.is_empty() { Value::Null } else { json!(note.left_out) }),
    ]);
    let told = value.into_iter().filter(|(_, value)| !value.is_null());
    let value = told.map(|(name, value)| (name.to_owned(), value)).collect();
    Outcome::Done { value: Value::Object(value), target_key }
}
