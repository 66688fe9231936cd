//! Whom a message is for, and the call that goes to many.

use connector::prelude::*;
use serde_json::Map;

use crate::{answer, call, record, rejections};

/// The recipient of a message: the name of the list in CleverTap's `to`, and the id.
pub(crate) type Recipient<'a> = (&'static str, &'a str);

/// The one recipient among the ids that may be given, by the names of CleverTap's lists.
pub(crate) fn one<'a>(
    all: impl IntoIterator<Item = (&'static str, &'a Option<String>)>,
) -> Result<Recipient<'a>, Outcome> {
    let mut given = all.into_iter().filter_map(|(name, id)| Some((name, id.as_deref()?)));
    match (given.next(), given.next()) {
        (Some(recipient), None) => Ok(recipient),
        (None, _) => Err(rejections::NO_ID.because("the message is for nobody")),
        (Some((first, _)), Some((second, _))) => Err(rejections::SEVERAL_IDS
            .because(format!("the message has both {first} and {second}; one is needed"))),
    }
}

/// Sends one request to all whom a batch is for, and sets their outcomes; without anybody it sends
/// nothing. The body has `to` and what `body` holds.
pub(crate) async fn send(
    api: &Api,
    (path, label): (&[&str], &str),
    body: Map<String, Value>,
    all: &[(usize, Recipient<'_>)],
    outcomes: &mut Outcomes,
) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let mut whole = Map::from_iter([("to".to_owned(), to(all))]);
    whole.extend(body);
    let sent = match call::send(api, api.post(path).json(&whole), label).await {
        Ok(answer) => answer::succeeded(&answer, label),
        Err(error) => Err(error),
    };
    if sent.is_ok() {
        for (index, recipient) in all {
            outcomes.set(*index, done(*recipient));
        }
    }
    record::in_doubt_alone(sent, all.len() == outcomes.len(), outcomes)
}

fn to(all: &[(usize, Recipient<'_>)]) -> Value {
    let mut lists = Map::new();
    for (_, (name, id)) in all {
        let list = lists.entry(*name).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(json!(id));
        }
    }
    Value::Object(lists)
}

fn done((name, id): Recipient<'_>) -> Outcome {
    let mut letters = name.chars();
    // The lists of one API are capitalised, those of another are not; results never are.
    let name = match letters.next() {
        Some(first) if letters.clone().all(|c| c.is_ascii_lowercase()) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => name.to_owned(),
    };
    Outcome::Done { value: json!({ (name): id, "queued": true }), target_key: Some(id.to_owned()) }
}
