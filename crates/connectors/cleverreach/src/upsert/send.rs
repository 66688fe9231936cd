//! Sends one call and sets the outcomes of its receivers.

use std::collections::{BTreeMap, HashSet};

use connector::prelude::*;
use serde_json::Map;

use super::attributes::{Defined, Scope};
use super::known::Known;
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
    source: Option<&'a str>,
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
    confirm: bool,
}

/// Sends the call. Kept for the next one of the batch are the account's attributes, and the
/// addresses, in small letters, that got a mail: nobody gets two of them.
///
/// An error means that nothing of the call is known to have been carried out.
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
    for (((index, receiver), answer), note) in call.rows.iter().zip(answers).zip(&notes) {
        let id = match answer {
            answer::Row::Unknown => continue,
            answer::Row::Refused(outcome) => {
                outcomes.set(*index, outcome);
                continue;
            }
            answer::Row::Taken(id) => id,
        };
        if note.confirm
            && let Some(form) = &mut form
            && !mailed.contains(&receiver.address().to_lowercase())
        {
            if let Some(outcome) = form.confirm(api, receiver, id.as_ref()).await {
                outcomes.set(*index, outcome);
                continue;
            }
            mailed.insert(receiver.address().to_lowercase());
        }
        outcomes.set(*index, done(call, receiver, id, note, form.is_some()));
    }
    Ok(())
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
        row.source = receiver.source.as_deref();
        return (row, note);
    };
    let now = known.now().secs();
    let source = receiver.source.as_deref().unwrap_or(SOURCE);
    match (known.get(receiver.address()), fields.activation) {
        (None, activation) => {
            note.created = Some(true);
            note.confirm = activation == Activation::DoubleOptIn;
            row.source = Some(source);
            row.registered = Some(now);
            // 0 is inactive until it is confirmed.
            row.activated = Some(if activation == Activation::Active { now } else { 0 });
        }
        (Some(state), Activation::Active) => {
            note.created = Some(false);
            // An active one keeps its time: another would be a change, over and over.
            if !state.is_active() {
                row.activated = Some(now);
                row.deactivated = Some(0);
            }
        }
        (Some(state), _) => {
            note.created = Some(false);
            note.confirm = state.waits_for_its_mail(source, now);
        }
    }
    (row, note)
}

/// The tags to add: a hyphen in front or an asterisk would take tags away.
fn tags(given: &[String]) -> Vec<String> {
    let bare = |tag: &String| {
        tag.trim_start_matches(|c: char| c == '-' || c.is_whitespace()).trim_end().replace('*', "_")
    };
    given.iter().map(bare).filter(|tag| !tag.is_empty()).collect()
}

fn done(
    call: &Call<'_>,
    receiver: &Receiver,
    id: Option<Id>,
    note: &Note,
    mailed: bool,
) -> Outcome {
    let target_key = id.map(|id| id.0);
    let value = BTreeMap::from([
        ("id", json!(target_key)),
        ("email", json!(receiver.address())),
        ("groupId", json!(call.group)),
        ("created", json!(note.created)),
        ("confirmation", if note.confirm && mailed { json!("sent") } else { Value::Null }),
        ("leftOut", if note.left_out.is_empty() { Value::Null } else { json!(note.left_out) }),
    ]);
    let told = value.into_iter().filter(|(_, value)| !value.is_null());
    let value = told.map(|(name, value)| (name.to_owned(), value)).collect();
    Outcome::Done { value: Value::Object(value), target_key }
}
