//! Plays an action's story as recorded; `call.rs` plays its calls in every way in which a system may
//! behave.

use std::iter;

use connector::{ActionDescriptor, ErasedItem, Error, Result, by_call};

use crate::call::{Call, Outcomes, shown, talk};
use crate::expect::{Became, Expect};
use crate::mapped;
use crate::promise::{Ledger, Promise};
use crate::stage::{Ended, Stage};
use crate::story::Kind;

/// An action on its stage.
pub(crate) struct Play<'a> {
    stage: &'a Stage<'a>,
    /// The calls that the engine makes of the story's batch, each with the places of its messages in
    /// it; of a token that is asked after the one call that asks.
    calls: Vec<(Vec<usize>, Call<'a>)>,
}

impl<'a> Play<'a> {
    /// Makes the calls: each message is mapped, each input is checked, and those that may share a call
    /// go together.
    pub(crate) fn new(
        stage: &'a Stage<'a>,
        descriptor: &'a ActionDescriptor,
    ) -> Result<Self, String> {
        let fields = stage.story.fields();
        let action = (descriptor.configure)(fields.clone())?;
        let mut messages = vec![];
        for (index, given) in stage.story.batch.iter().enumerate() {
            let input = match (&given.message, &given.input) {
                (Some(message), None) => mapped::default(descriptor.mapping, message, &fields),
                (None, Some(input)) => Ok(input.clone()),
                _ => Err("a message of a batch is a `message` or an `input`".to_owned()),
            };
            let said = |problem| format!("message {}: {problem}", given.key);
            let input = input.map_err(said)?;
            let prepared = action.prepare(input.clone()).map_err(said)?;
            let (id, key) = (format!("message-{index}"), given.key.clone());
            messages.push((ErasedItem { id: id.into(), key: key.into(), input: prepared }, input));
        }
        let calls = match stage.story.check {
            Some(_) => vec![vec![0]],
            None => by_call(messages.iter().map(|(item, _)| action.shares(item))),
        };
        let calls = calls.into_iter().map(|places| {
            let its = places.iter().filter_map(|place| messages.get(*place).cloned()).collect();
            (places, Call::new(stage, descriptor, action.clone(), its))
        });
        Ok(Self { stage, calls: calls.collect() })
    }

    /// Makes all calls, one after another; an error is the first that failed.
    async fn run(&self) -> Result<Outcomes> {
        let api = self.stage.api()?;
        let mut all = vec![];
        for (places, call) in &self.calls {
            // An outcome too many is one behind all others.
            let places = places.iter().copied().chain(iter::repeat(usize::MAX));
            all.extend(places.zip(call.run(&api).await?));
        }
        all.sort_by_key(|(place, _)| *place);
        Ok(all.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// What the story gives when nothing goes wrong, and the error if it gives one.
    pub(crate) async fn outcome(&self) -> (Expect, Option<Error>) {
        let played = self.stage.play(None, &mut Ledger::default(), self.run()).await;
        match played.ended {
            Ended::Gave(outcomes) => (Expect::Outcomes(self.stage.became(&outcomes)), None),
            Ended::Failed(error) => (Expect::Error(Kind::of(&error)), Some(error)),
            Ended::Stuck => {
                let error = Error::config("the call does not end");
                (Expect::Error(Kind::Config), Some(error))
            }
        }
    }

    /// Plays the story and the mutations of its calls; gives the outcomes as recorded.
    pub(crate) async fn check(&self, ledger: &mut Ledger) -> Vec<Became> {
        let before = ledger.broken.len();
        let played = self.stage.play(None, ledger, self.run()).await;
        crate::accept::requests(self.stage, &played.heard, ledger);
        if let Ended::Gave(outcomes) = &played.ended {
            talk(self.stage, outcomes, ledger);
        }
        let expected = self.stage.story.expect.clone().unwrap_or(Expect::Outcomes(vec![]));
        let outcomes = match (&played.ended, &expected) {
            (Ended::Failed(error), Expect::Error(kind)) if Kind::of(error) == *kind => {
                for (_, call) in &self.calls {
                    call.play(None, ledger).await;
                }
                return vec![];
            }
            (Ended::Gave(outcomes), Expect::Outcomes(expected))
                if self.stage.became(outcomes) == *expected =>
            {
                self.stage.became(outcomes)
            }
            (ended, expected) => {
                let expected = match expected {
                    Expect::Outcomes(outcomes) => format!("{outcomes:?}"),
                    other => format!("{other:?}"),
                };
                ledger.breaks(Promise::Outcomes, expected, shown(ended));
                return vec![];
            }
        };
        if ledger.broken.len() > before {
            return vec![];
        }
        for (_, call) in &self.calls {
            call.check(ledger).await;
        }
        outcomes
    }
}
