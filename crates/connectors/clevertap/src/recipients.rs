//! Whom a message is for, and calls that go to many: those who get the same share one.

use std::collections::VecDeque;

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

/// Messages that say the same, in the order in which the first of them came.
pub(crate) struct Groups<'a>(Vec<(&'a Map<String, Value>, Members<'a>)>);

/// Messages by their positions, and whom they are for.
type Members<'a> = Vec<(usize, Recipient<'a>)>;

impl<'a> Groups<'a> {
    pub(crate) const fn new() -> Self {
        Self(vec![])
    }

    /// Adds a message by its position, with what it says.
    pub(crate) fn add(
        &mut self,
        says: &'a Map<String, Value>,
        index: usize,
        recipient: Recipient<'a>,
    ) {
        match self.0.iter_mut().find(|(known, _)| *known == says) {
            Some((_, members)) => members.push((index, recipient)),
            None => self.0.push((says, vec![(index, recipient)])),
        }
    }

    /// How many messages there are.
    fn count(&self) -> usize {
        self.0.iter().map(|(_, members)| members.len()).sum()
    }

    /// Sends a request for each group, one after the other, and sets the outcomes. The body has `to`
    /// and what `body` makes of what the group says.
    ///
    /// None of it is sent again unasked: what was taken is told, what has no answer stays unset, and
    /// what surely was not sent is for another try. A group that is refused as a whole is halved until
    /// those at fault stand alone; a refusal says that nobody of it was taken.
    pub(crate) async fn send(
        self,
        api: &Api,
        (path, label): (&[&str], &str),
        body: impl Fn(&Map<String, Value>) -> Map<String, Value>,
        outcomes: &mut Outcomes,
    ) -> Result<()> {
        // Of one group alone the engine learns what became of the call, and halves it itself.
        let alone = self.0.len() == 1;
        let all_sent = self.count() == outcomes.len();
        let mut told = false;
        let mut groups = VecDeque::from(self.0);
        while let Some((says, mut members)) = groups.pop_front() {
            let mut whole = Map::from_iter([("to".to_owned(), to(&members))]);
            whole.extend(body(says));
            let request = api.post(path).json(&whole);
            let sent = match call::send(api, request, label).await {
                Ok(answer) => answer::succeeded(&answer, label),
                Err(error) => Err(error),
            };
            match sent {
                Ok(()) => {
                    for (index, recipient) in members {
                        outcomes.set(index, done(recipient));
                    }
                }
                Err(error) if alone => {
                    return record::in_doubt_alone(Err(error), all_sent, outcomes);
                }
                Err(Error::Reject { .. }) if members.len() > 1 => {
                    let second = members.split_off(members.len() / 2);
                    groups.push_front((says, second));
                    groups.push_front((says, members));
                }
                Err(Error::Reject { code, reason }) => {
                    for (index, _) in members {
                        outcomes.set(index, Outcome::rejected(code.as_str(), reason.as_str()));
                    }
                }
                Err(error) => {
                    let open = matches!(error, Error::Unknown { .. });
                    if !told && !open {
                        return Err(error);
                    }
                    let left = groups.into_iter().flat_map(|(_, members)| members);
                    let members = members.into_iter().filter(|_| !open);
                    put_off(members.chain(left), error, outcomes);
                    return Ok(());
                }
            }
            told = true;
        }
        Ok(())
    }
}

fn to(members: &[(usize, Recipient<'_>)]) -> Value {
    let mut lists = Map::new();
    for (_, (name, id)) in members {
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

/// Leaves messages that were not sent for another try.
fn put_off<'a>(
    left: impl Iterator<Item = (usize, Recipient<'a>)>,
    why: Error,
    outcomes: &mut Outcomes,
) {
    let outcome = later(why);
    for (index, _) in left {
        outcomes.set(index, outcome.clone());
    }
}

/// What comes of a message that was not sent, since a call before it failed, or its own did.
pub(crate) fn later(why: Error) -> Outcome {
    let reason = format!("not sent: {why}");
    match why {
        Error::Retry { after, .. } | Error::HeldBack { after, .. } => {
            Outcome::Retry { after, reason }
        }
        _ => Outcome::Retry { after: None, reason },
    }
}
