//! Actions: what an author writes, and the same erased for the engine.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Api, Error, Outcome, Outcomes, Rejection, Result};

/// Writes messages to a system.
///
/// The type is the action's fields: configuration, schema, form and documentation in one.
#[async_trait]
pub trait Action: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// What the mapping must yield for each message.
    type Input: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static;
    /// The largest batch that one call takes.
    const MAX_BATCH: usize = 1;
    /// How it refuses messages, in the page's order; every code that it gives is one of these. None
    /// are declared where all of them are the system's own.
    const REJECTIONS: &'static [Rejection] = &[];

    /// Says what is wrong with the fields beyond their types.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    /// Says what the fields leave open that somebody may not mean, a sentence each: they work, and
    /// `check` warns.
    fn warnings(&self) -> Vec<String> {
        vec![]
    }

    /// Whether sending a message again changes nothing.
    fn idempotent(&self) -> bool;

    /// Whether the system wants nothing sent again that it refused with the account's credentials.
    ///
    /// Then [`Error::Unauthorized`] holds this action of the account until somebody resumes the
    /// account or its settings are others. It probes no paused account, and no other request that
    /// passes lets it go on.
    fn held_once_refused(&self) -> bool {
        false
    }

    /// Asks the system what it lacks for these fields, such as a list that they name: a sentence
    /// each, for a person who looks before messages are refused. Nothing is changed by asking.
    async fn lacks(&self, _api: &Api) -> Result<Vec<String>> {
        Ok(vec![])
    }

    /// Sends one batch. An error is the whole batch's; an outcome is one message's, and one that
    /// stays unset is unknown.
    async fn run(&self, api: &Api, batch: &Batch<Self::Input>) -> Result<Outcomes>;

    /// What a message has in common with those that may share its call, where not any of its batch
    /// may, such as what it says to many people.
    ///
    /// [`run`](Self::run) is given batches alone whose messages are alike in this; another one is
    /// refused before. Without it, an action that makes several calls of a batch leaves all of it in
    /// doubt where the process is killed between two of them.
    fn shares(&self, _message: &Item<Self::Input>) -> Option<String> {
        None
    }

    /// The record as a polling trigger of this connector would find it once the input is done and
    /// gave this value: with it the runtime knows what it wrote again when it reads it.
    ///
    /// What it says has to be so in the system; what else the record may hold is left out. `None`
    /// is not known, and what was written is then read as anybody's change.
    fn written(&self, _input: &Self::Input, _value: &Value) -> Option<Value> {
        None
    }

    /// Asks after a message that [`run`](Self::run) gave as [`Outcome::Parked`] with this token,
    /// perhaps in another process: all that the question needs is in the token and the fields.
    ///
    /// [`Outcome::Parked`] again says that it is not done yet, and gives the token of the next
    /// question. An outage is an error, never an answer; it is asked again until the deadline.
    async fn check(&self, _api: &Api, _token: &str) -> Result<Outcome> {
        Err(Error::config("this action hands nothing over that is finished later"))
    }

    /// Asks by a token that [`check`](Self::check) gave with no time to wait, right after it was kept
    /// and in its place: nothing was asked by it before.
    ///
    /// So a request is noted before it leaves. Where the process ends, or [`Error::Unknown`] says that
    /// nobody knows, `check` asks by this token, and has to count with a request that arrived; after any
    /// other error the token before it stays.
    async fn first_check(&self, api: &Api, token: &str) -> Result<Outcome> {
        self.check(api, token).await
    }
}

/// The messages of one call, at most [`Action::MAX_BATCH`].
#[derive(Clone, Debug)]
pub struct Batch<I> {
    /// The messages, in the flow's order.
    pub items: Vec<Item<I>>,
}

impl<I> Batch<I> {
    /// Outcomes for this batch, all unset.
    pub fn outcomes(&self) -> Outcomes {
        Outcomes::unset(self.items.len())
    }
}

/// One message of a batch.
#[derive(Debug)]
pub struct Item<I> {
    /// The message's id: the same when it is sent again, so it serves as idempotency key.
    pub id: Arc<str>,
    /// The record's key in the system that it comes from.
    pub key: Arc<str>,
    /// What the mapping yielded.
    pub input: Arc<I>,
}

impl<I> Clone for Item<I> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), key: self.key.clone(), input: self.input.clone() }
    }
}

/// An input that was checked against the action's type.
#[derive(Clone)]
pub struct Prepared(Arc<dyn Any + Send + Sync>);

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prepared")
    }
}

/// One message of an erased batch.
#[derive(Clone, Debug)]
pub struct ErasedItem {
    /// See [`Item::id`].
    pub id: Arc<str>,
    /// See [`Item::key`].
    pub key: Arc<str>,
    /// What [`ErasedAction::prepare`] of the same action gave.
    pub input: Prepared,
}

/// A configured action whose input is checked JSON, as the engine carries it.
#[async_trait]
pub trait ErasedAction: Send + Sync {
    /// [`Action::MAX_BATCH`].
    fn max_batch(&self) -> usize;
    /// [`Action::warnings`].
    fn warnings(&self) -> Vec<String>;
    /// [`Action::idempotent`].
    fn idempotent(&self) -> bool;
    /// [`Action::held_once_refused`].
    fn held_once_refused(&self) -> bool;
    /// Checks what a mapping yielded; the error says what does not fit.
    fn prepare(&self, input: Value) -> Result<Prepared, String>;
    /// The input as it is sent, defaults filled in.
    fn show(&self, input: &Prepared) -> Result<Value, String>;
    /// [`Action::shares`].
    fn shares(&self, message: &ErasedItem) -> Option<String>;
    /// [`Action::written`].
    fn written(&self, input: &Prepared, value: &Value) -> Option<Value>;
    /// [`Action::lacks`].
    async fn lacks(&self, api: &Api) -> Result<Vec<String>>;
    /// [`Action::run`].
    async fn run(&self, api: &Api, items: &[ErasedItem]) -> Result<Outcomes>;
    /// [`Action::check`].
    async fn check(&self, api: &Api, token: &str) -> Result<Outcome>;
    /// [`Action::first_check`].
    async fn first_check(&self, api: &Api, token: &str) -> Result<Outcome>;
}

/// The messages of a batch by the calls that they go with: those together that share the same, by
/// their places, in the order in which the first of them came.
pub fn by_call(shared: impl IntoIterator<Item = Option<String>>) -> Vec<Vec<usize>> {
    let mut calls: Vec<Vec<usize>> = vec![];
    let mut known = HashMap::new();
    for (place, shares) in shared.into_iter().enumerate() {
        let at = *known.entry(shares).or_insert(calls.len());
        match calls.get_mut(at) {
            Some(call) => call.push(place),
            None => calls.push(vec![place]),
        }
    }
    calls
}

pub(crate) struct Erased<A>(pub(crate) A);

fn typed<I: Send + Sync + 'static>(input: &Prepared) -> Result<Arc<I>, Error> {
    input.0.clone().downcast::<I>().map_err(|_| Error::config("an input of another action"))
}

fn of_type<I: Send + Sync + 'static>(item: &ErasedItem) -> Result<Item<I>> {
    let input = typed::<I>(&item.input)?;
    Ok(Item { id: item.id.clone(), key: item.key.clone(), input })
}

#[async_trait]
impl<A: Action> ErasedAction for Erased<A> {
    fn max_batch(&self) -> usize {
        A::MAX_BATCH.max(1)
    }

    fn warnings(&self) -> Vec<String> {
        self.0.warnings()
    }

    fn idempotent(&self) -> bool {
        self.0.idempotent()
    }

    fn held_once_refused(&self) -> bool {
        self.0.held_once_refused()
    }

    fn prepare(&self, input: Value) -> Result<Prepared, String> {
        let input: A::Input = serde_json::from_value(input).map_err(|error| error.to_string())?;
        Ok(Prepared(Arc::new(input)))
    }

    fn show(&self, input: &Prepared) -> Result<Value, String> {
        let input = typed::<A::Input>(input).map_err(|error| error.to_string())?;
        serde_json::to_value(&*input).map_err(|error| error.to_string())
    }

    fn shares(&self, message: &ErasedItem) -> Option<String> {
        self.0.shares(&of_type(message).ok()?)
    }

    fn written(&self, input: &Prepared, value: &Value) -> Option<Value> {
        self.0.written(&*typed::<A::Input>(input).ok()?, value)
    }

    async fn lacks(&self, api: &Api) -> Result<Vec<String>> {
        self.0.lacks(api).await
    }

    async fn run(&self, api: &Api, items: &[ErasedItem]) -> Result<Outcomes> {
        let items = items.iter().map(of_type).collect::<Result<Vec<_>>>()?;
        let mut shared = items.iter().map(|it| self.0.shares(it));
        let first = shared.next();
        if shared.any(|it| Some(it) != first) {
            return Err(Error::config("the messages of this batch may not share a call"));
        }
        self.0.run(api, &Batch { items }).await
    }

    async fn check(&self, api: &Api, token: &str) -> Result<Outcome> {
        self.0.check(api, token).await
    }

    async fn first_check(&self, api: &Api, token: &str) -> Result<Outcome> {
        self.0.first_check(api, token).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shares_the_same_goes_together_in_the_order_of_the_first() {
        let shared = ["b", "a", "b", "c", "a"].map(|it| Some(it.to_owned()));
        assert_eq!(by_call(shared), [vec![0, 2], vec![1, 4], vec![3]]);
        assert_eq!(by_call([None, None]), [vec![0, 1]]);
    }
}
