//! One call in the journal, and its bytes: JSON with a format number.

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use store::JournalEntry;

use super::answer::Answer;
use crate::batch::{HandedOver, Outgoing};
use crate::context::StepContext;
use crate::step::Origin;
use crate::{Error, Result};

/// The format that this version writes.
pub(super) const FORMAT: u32 = 1;

/// What is kept of one call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Block {
    format: u32,
    /// The step's id.
    pub(super) step: String,
    /// When the call was begun, in milliseconds since the epoch.
    pub(super) sent: i64,
    /// Whose page the messages are of; `None` where they were on their way before.
    pub(super) partition: Option<String>,
    pub(super) items: Vec<Item>,
}

/// One message of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    /// The message's id.
    pub(super) id: String,
    /// The record's key.
    pub(super) key: String,
    /// The key of the record's seen entry.
    pub(super) partition_key: [u8; 16],
    /// What `$now()` gives for the message, and the seed of `$random()`.
    pub(super) now: i64,
    pub(super) seed: u64,
    pub(super) state: State,
    /// What it takes to send the message again or to keep it elsewhere, as long as that may be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) work: Option<Work>,
}

/// The message, and what is sent of it: JSON text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Work {
    pub(super) message: Box<RawValue>,
    pub(super) results: Box<RawValue>,
    pub(super) input: Box<RawValue>,
}

/// How far a message of a call came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// Perhaps sent, and no answer is known.
    Open {
        /// What came instead of an answer; nothing is known of it after a crash.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
    },
    /// The system took it.
    Done {
        value: Box<serde_json::Value>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        target_key: Option<String>,
    },
    /// The system took it and finishes later.
    Parked(HandedOver),
    /// The system refused it, and wants it not again; the commit of its page makes a dead letter.
    Refused {
        code: String,
        reason: String,
        /// Which input it was, as a hash: another one is sent.
        input: String,
    },
    /// It is a dead letter by now.
    Held,
}

impl State {
    /// Which of two notes about the same message counts: what is still to be settled comes before
    /// what is, since the commit that settles it forgets the former.
    pub(super) const fn weight(&self) -> u8 {
        match self {
            Self::Open { .. } => 2,
            Self::Done { .. } | Self::Parked(_) | Self::Refused { .. } => 1,
            Self::Held => 0,
        }
    }

    /// Whether a commit of its own has to settle it.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// Whether it is still kept elsewhere if its record does not come again.
    pub(super) const fn needs_work(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Parked(_))
    }
}

impl Item {
    /// That it was refused as it is.
    pub(super) fn refused(&self, code: &str, reason: &str) -> Option<State> {
        let input = hash_of(self.work.as_ref()?.input.get());
        Some(State::Refused { code: code.to_owned(), reason: reason.to_owned(), input })
    }
}

/// What tells an input from another one, by its JSON.
pub(super) fn hash_of(input: &str) -> String {
    blake3::hash(input.as_bytes()).to_hex().chars().take(32).collect()
}

impl Block {
    /// What is written before messages are sent; the error says what cannot be.
    pub(super) fn of(step: &StepContext, sent: i64, going: &[Outgoing]) -> Result<Self> {
        let items = going.iter().map(|going| {
            let traveller = &going.arrival.traveller;
            let input = step.step.action.show(&going.item.input)?;
            let raw = |error: serde_json::Error| error.to_string();
            let work = Work {
                message: RawValue::from_string(traveller.message.to_string()).map_err(raw)?,
                results: to_raw_value(&*going.arrival.results).map_err(raw)?,
                input: to_raw_value(&input).map_err(raw)?,
            };
            Ok(Item {
                id: traveller.id.to_string(),
                key: traveller.key.to_string(),
                partition_key: traveller.partition_key,
                now: traveller.moment.now_ms,
                seed: traveller.moment.seed,
                state: State::Open { reason: None },
                work: Some(work),
            })
        });
        let items = items.collect::<Result<_, String>>().map_err(|problem| Error::Internal {
            place: step.place.clone(),
            problem: format!("what is sent cannot be written down: {problem}"),
        })?;
        let origin = going.first().map(|going| &going.arrival.traveller.origin);
        let partition = match origin {
            Some(Origin::Page { partition, .. }) => Some(partition.to_string()),
            _ => None,
        };
        Ok(Self { format: FORMAT, step: step.step.id.clone(), sent, partition, items })
    }

    /// Whether a commit of its own has to settle any of its messages.
    pub(super) fn is_open(&self) -> bool {
        self.items.iter().any(|item| item.state.is_open())
    }

    /// The same, with no message in doubt.
    pub(super) fn settled(&self) -> Self {
        let items = self.items.iter().map(|item| {
            if item.state.is_open() {
                return Item { state: State::Held, work: None, ..item.clone() };
            }
            item.clone()
        });
        Self { items: items.collect(), ..self.head() }
    }

    /// The same without the messages at these places; `None` if that leaves none.
    pub(super) fn without(&self, places: &HashSet<usize>) -> Option<Self> {
        let items = self.items.iter().enumerate();
        let rest = items.filter(|(at, _)| !places.contains(at)).map(|(_, item)| item.clone());
        let block = Self { items: rest.collect(), ..self.head() };
        (!block.items.is_empty()).then_some(block)
    }

    fn head(&self) -> Self {
        let (step, partition) = (self.step.clone(), self.partition.clone());
        Self { format: FORMAT, step, sent: self.sent, partition, items: vec![] }
    }

    pub(super) fn to_bytes(&self, flow: &str) -> Result<Vec<u8>> {
        written(flow, self)
    }

    /// Reads what a store keeps, with the answer that lies beside it; `None` if nothing of it is to
    /// be noted any more. A newer format is refused rather than misread.
    pub(super) fn read(flow: &str, entry: &JournalEntry) -> Result<Option<Self>> {
        let block: Self = read(flow, &entry.value)?;
        let Some(answer) = &entry.answer else { return Ok(Some(block)) };
        let answer: Answer = read(flow, answer)?;
        if answer.messages() != block.items.len() {
            return Err(Error::Store {
                flow: flow.to_owned(),
                problem: format!(
                    "an entry of the journal is about {} messages, and its answer about {}; restore \
                     a backup of the store",
                    block.items.len(),
                    answer.messages()
                ),
            });
        }
        Ok(block.answered(&answer))
    }

    /// The same with what became of its messages, in its order; `None` if nothing of it is to be
    /// noted any more.
    pub(super) fn answered(mut self, answer: &Answer) -> Option<Self> {
        let items = std::mem::take(&mut self.items).into_iter().zip(answer.states());
        let noted = items.filter_map(|(mut item, state)| {
            item.state = state?.clone();
            // What is done is never sent again, nor kept elsewhere.
            item.work.take_if(|_| !item.state.needs_work());
            Some(item)
        });
        self.items = noted.collect();
        (!self.items.is_empty()).then_some(self)
    }
}

pub(super) fn written(flow: &str, entry: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(entry).map_err(|error| Error::Store {
        flow: flow.to_owned(),
        problem: format!("an entry of the journal cannot be written: {error}"),
    })
}

/// Reads JSON with a format number.
fn read<T: DeserializeOwned>(flow: &str, bytes: &[u8]) -> Result<T> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let failed = |problem: String| Error::Store { flow: flow.to_owned(), problem };
    let unreadable = |error: serde_json::Error| {
        failed(format!(
            "an entry of the journal cannot be read ({}, line {} column {}); restore a backup of \
             the store",
            match error.classify() {
                serde_json::error::Category::Data => "it has another shape",
                _ => "it is not JSON",
            },
            error.line(),
            error.column()
        ))
    };
    let Format { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
    if format > FORMAT {
        return Err(failed(format!(
            "the journal has format {format}, written by a newer towpath; this one knows format \
             {FORMAT}. Use that version or a newer one"
        )));
    }
    serde_json::from_slice(bytes).map_err(unreadable)
}
