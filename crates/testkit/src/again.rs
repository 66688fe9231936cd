//! Looks whether what must not be done twice is sent again, after any answer or none.
//!
//! Which messages a request is about is told by their inputs: it holds a value that only one of them
//! has.

use std::collections::BTreeSet;

use connector::{Error, Outcome};
use serde_json::Value;

use crate::expect::Became;
use crate::http::{Asked, pairs};
use crate::outage;
use crate::promise::{Ledger, Promise};
use crate::stage::{Ended, Played, Stage};
use crate::tape::{Heard, Reply};

/// What tells each message of a batch in the requests about it.
pub(crate) struct Traces(Vec<Trace>);

struct Trace {
    /// The message's.
    key: String,
    values: BTreeSet<String>,
    /// Those that no other message has; none of them where two messages say the same.
    own: BTreeSet<String>,
}

impl Traces {
    /// Takes them from the messages of a call, their keys and inputs.
    pub(crate) fn of<'a>(messages: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Self {
        let messages = messages.into_iter();
        let all: Vec<_> = messages.map(|(key, input)| (key.to_owned(), leaves(input))).collect();
        let own = |at: usize, values: &BTreeSet<String>| {
            let others = all.iter().enumerate().filter(|(other, _)| *other != at);
            let others: BTreeSet<&String> = others.flat_map(|(_, (_, values))| values).collect();
            values.iter().filter(|value| !others.contains(value)).cloned().collect()
        };
        let trace = |(at, (key, values)): (usize, &(String, BTreeSet<String>))| Trace {
            key: key.clone(),
            values: values.clone(),
            own: own(at, values),
        };
        Self(all.iter().enumerate().map(trace).collect())
    }

    /// The positions of the messages that a request is about.
    pub(crate) fn within(&self, asked: &Asked) -> impl Iterator<Item = usize> {
        let held = held(asked);
        let is_about = move |trace: &Trace| match trace.own.is_empty() {
            _ if self.0.len() == 1 => true,
            true => trace.values.is_subset(&held),
            false => !trace.own.is_disjoint(&held),
        };
        self.0.iter().enumerate().filter(move |(_, it)| is_about(it)).map(|(at, _)| at)
    }

    /// The messages in orders that were answered so.
    fn answered(&self, stage: &Stage<'_>, heard: &[Heard], reply: Reply) -> BTreeSet<usize> {
        let orders = heard.iter().filter(|it| it.reply == reply);
        let orders = orders.filter(|it| !outage::only_asks(stage.system, &it.asked));
        orders.flat_map(|it| self.within(&it.asked)).collect()
    }

    /// Looks whether anything is put off, or said to be undone as a whole, that may have been done.
    pub(crate) fn look(
        &self,
        stage: &Stage<'_>,
        played: &Played<Vec<Option<Outcome>>>,
        ledger: &mut Ledger,
    ) {
        let mut done = self.answered(stage, &played.heard, Reply::Taken);
        done.extend(self.answered(stage, &played.heard, Reply::Open));
        let again: Vec<usize> = match &played.ended {
            Ended::Gave(outcomes) => {
                let put_off =
                    |at: &usize| matches!(outcomes.get(*at), Some(Some(Outcome::Retry { .. })));
                done.into_iter().filter(put_off).collect()
            }
            Ended::Failed(Error::Unknown { .. }) | Ended::Stuck => vec![],
            Ended::Failed(_) => done.into_iter().collect(),
        };
        if !again.is_empty() {
            let got = match &played.ended {
                Ended::Failed(error) => format!("{error:?}"),
                _ => "put off".to_owned(),
            };
            let got = format!("{got}, though it was sent: {}", self.named(&again));
            ledger.breaks(Promise::Again, "what may have been done left open", got);
        }
    }

    /// Looks whether a message is left in doubt that surely was not done: nobody sends it again then.
    pub(crate) fn doubted(
        &self,
        stage: &Stage<'_>,
        played: &Played<Vec<Option<Outcome>>>,
        ledger: &mut Ledger,
    ) {
        let Ended::Gave(outcomes) = &played.ended else { return };
        let open = self.answered(stage, &played.heard, Reply::Open);
        let unset = stage.became(outcomes).into_iter().enumerate();
        let unset = unset.filter(|(_, it)| *it == Became::Unknown).map(|(at, _)| at);
        let undone: Vec<usize> = unset.filter(|at| !open.contains(at)).collect();
        if !undone.is_empty() {
            let got = format!("in doubt: {}", self.named(&undone));
            ledger.breaks(Promise::TooLarge, "what was not sent put off", got);
        }
    }

    fn named(&self, messages: &[usize]) -> String {
        let key = |at: &usize| self.0.get(*at).map(|it| format!("message {}", it.key));
        messages.iter().filter_map(key).collect::<Vec<_>>().join(", ")
    }
}

/// Every single value of JSON, as text.
fn leaves(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Null => BTreeSet::new(),
        Value::String(text) => BTreeSet::from([text.trim().to_owned()]),
        Value::Bool(_) | Value::Number(_) => BTreeSet::from([value.to_string()]),
        Value::Array(list) => list.iter().flat_map(leaves).collect(),
        Value::Object(object) => object.values().flat_map(leaves).collect(),
    }
}

/// Every single value of a request.
fn held(asked: &Asked) -> BTreeSet<String> {
    let body = match serde_json::from_slice::<Value>(&asked.body) {
        Ok(body) => leaves(&body),
        Err(_) => pairs(&asked.body).into_values().collect(),
    };
    let path = asked.path().split('/').map(crate::http::unescaped);
    body.into_iter().chain(asked.query().into_values()).chain(path).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_about_the_messages_whose_own_values_it_holds() {
        let inputs = [
            json!({ "id": 7, "text": "hello" }),
            json!({ "id": "8 b", "text": "hello" }),
            json!({ "text": "hello" }),
        ];
        let asked = |target: &str, body: Value| Asked {
            target: target.to_owned(),
            body: body.to_string().into_bytes(),
            ..Asked::default()
        };
        let traces = |inputs| Traces::of(<[Value]>::iter(inputs).map(|input| ("", input)));
        for (asked, expected) in [
            (asked("/send", json!({ "to": ["7"] })), vec![0]),
            (asked("/send", json!({ "to": ["7", "8 b"], "text": "hello" })), vec![0, 1, 2]),
            (asked("/send/8%20b", json!({})), vec![1]),
            (asked("/send?id=7", json!({})), vec![0]),
            (asked("/send", json!({ "to": ["77"] })), vec![]),
        ] {
            let about: Vec<_> = traces(&inputs).within(&asked).collect();
            assert_eq!(about, expected, "{asked:?}");
        }
        // A single message is in every order.
        let alone = traces(&inputs[..1]);
        assert_eq!(alone.within(&asked("/send", json!({}))).collect::<Vec<_>>(), [0]);
    }
}
