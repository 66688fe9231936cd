//! What became of messages: what a commit keeps of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use connector::Timestamp;
use flow::message::Unmappable;
use serde_json::Value;
use store::{NewDeadLetter, Parked, Store, TrailBlock, parked_id};

use crate::batch::HandedOver;
use crate::context::StepContext;
use crate::echo::{Carried, Met};
use crate::step::Traveller;
use crate::trail::{Trail, What};
use crate::{Error, Place, journal};

/// The code of a dead letter that was sent, and nobody knows whether it arrived.
pub(crate) const IN_DOUBT: &str = "inDoubt";

/// What became of messages.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) delivered: u64,
    pub(crate) filtered: u64,
    pub(crate) echoed: u64,
    pub(crate) overruled: u64,
    pub(crate) dead_letters: Vec<NewDeadLetter>,
    /// What systems finish later.
    pub(crate) parked: Vec<Parked>,
    /// What became of each message, for its history.
    pub(crate) trail: Trail,
    /// The results of each message that went on where it was before, by its id and their steps.
    pub(crate) results: HashMap<Arc<str>, BTreeMap<String, Value>>,
    /// The messages of a page that the journal knows.
    pub(crate) journaled: Vec<Arc<str>>,
    /// The messages that were on their way before, and that the journal knows.
    pub(crate) resumed: Vec<Arc<str>>,
    /// Entries of the journal that the commit forgets whatever they are about.
    pub(crate) journal: Vec<journal::Id>,
    /// What was written that other flows read back.
    pub(crate) carried: Vec<Carried>,
    /// What the messages met that other flows had written.
    pub(crate) met: Vec<Met>,
    /// What ends the run although everything here is settled and to be committed.
    pub(crate) outage: Option<Error>,
}

impl Settled {
    /// Whether no message was settled in a way that leaves something to keep.
    pub(crate) fn is_empty(&self) -> bool {
        self.dead_letters.is_empty() && self.parked.is_empty() && self.trail.is_empty()
    }

    /// What became of the messages, as a commit keeps it.
    pub(crate) fn trail(&self, now: Timestamp) -> Option<TrailBlock> {
        let bytes = self.trail.to_bytes()?;
        Some(TrailBlock { sequence: 0, at: now.millis(), bytes })
    }

    /// Notes what became of a message.
    pub(crate) fn tell(&mut self, message: &Traveller, what: What<'_>) {
        self.trail.add(&message.partition_key, &message.id, what);
    }

    /// Keeps a message that its step's system finishes later.
    pub(crate) fn park(
        &mut self,
        store: &dyn Store,
        step: &str,
        message: &Traveller,
        results: &Value,
        handed_over: HandedOver,
    ) {
        self.tell(message, What::Parked { step });
        self.keep_parked(store, step, message, results, handed_over);
    }

    /// The same without a word of it in the trail.
    pub(crate) fn keep_parked(
        &mut self,
        store: &dyn Store,
        step: &str,
        message: &Traveller,
        results: &Value,
        handed_over: HandedOver,
    ) {
        self.parked.push(Parked {
            id: parked_id(store, &message.id, step),
            message_id: message.id.to_string(),
            step: step.to_owned(),
            record_key: message.key.to_string(),
            partition_key: message.partition_key,
            since: handed_over.since,
            check_at: handed_over.check_at,
            deadline: handed_over.deadline,
            token: handed_over.token,
            payload: message.payload(results),
        });
    }

    /// Makes a message a dead letter.
    pub(crate) fn refuse(
        &mut self,
        place: &Place,
        message: &Traveller,
        results: &Value,
        why: Unmappable,
        at: i64,
    ) {
        let step = place.step.as_deref();
        self.tell(
            message,
            match step {
                Some(step) if why.code == IN_DOUBT => What::InDoubt { step },
                step => What::Refused { step, code: &why.code },
            },
        );
        self.dead_letters.push(NewDeadLetter {
            message_id: message.id.to_string(),
            step: place.step.clone(),
            code: why.code,
            reason: why.reason,
            at,
            payload: message.payload(results),
            record_key: message.key.to_string(),
            partition_key: message.partition_key,
            ..NewDeadLetter::default()
        });
    }
}

/// Why a message is a dead letter that was sent, and nobody knows whether it arrived.
pub(crate) fn in_doubt(
    step: Option<&StepContext>,
    sent: Timestamp,
    reason: Option<&str>,
) -> Unmappable {
    let (what, account) = match step {
        Some(StepContext { step, .. }) => (
            format!("{}.{}", step.connector, step.name),
            format!("the system of account \"{}\"", step.account),
        ),
        None => ("a step that the flow has no more".to_owned(), "its system".to_owned()),
    };
    let reason = reason.unwrap_or("the process ended before the answer was written down");
    Unmappable::new(
        IN_DOUBT,
        format!(
            "it was given to {what} at {sent}, and nobody knows whether it arrived: {reason}. Look \
             into {account}: if it is there, drop this dead letter, otherwise replay it"
        ),
    )
}
