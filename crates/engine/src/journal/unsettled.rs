//! What earlier runs left without an answer, and how it is settled.

use connector::Timestamp;
use mapping::Moment;
use serde_json::Value;

use super::block::{Block, Item, State};
use super::{Id, Journal, Key, Settling};
use crate::batch::HandedOver;
use crate::seen::UNVERSIONED;
use crate::step::{Origin, Traveller};
use crate::{Error, Result};

/// A message that a commit of its own has to settle.
pub(crate) struct Left {
    /// The step that it stands at.
    pub(crate) step: String,
    pub(crate) traveller: Traveller,
    pub(crate) results: Value,
    /// What was sent.
    pub(crate) input: Value,
    pub(crate) how: How,
}

/// What is known of it.
pub(crate) enum How {
    /// It was begun at this time, and nobody knows whether the system took it.
    InDoubt { sent: Timestamp, reason: Option<String> },
    /// The system took it and finishes later.
    Parked(HandedOver),
}

impl Journal {
    /// What is in doubt: a commit of its own has to settle it before anything is polled.
    pub(crate) fn left(&self) -> Result<Vec<Left>> {
        self.find(|_, state| state.is_open())
    }

    /// What systems took and finish later, in these entries.
    pub(crate) fn handed_over(&self, ids: &[Id]) -> Result<Vec<Left>> {
        self.find(|id, state| ids.contains(id) && matches!(state, State::Parked(_)))
    }

    fn find(&self, which: impl Fn(&Id, &State) -> bool) -> Result<Vec<Left>> {
        let entries = self.entries();
        let mut found = vec![];
        for (id, block) in &entries.blocks {
            for (at, item) in block.items.iter().enumerate() {
                // After a crash two entries may say the same.
                let counts = entries.places.get(&Key::in_block(block, item)) == Some(&(*id, at));
                if counts && which(id, &item.state) {
                    found.push(left(block, item).map_err(|problem| Error::Store {
                        flow: self.fence.flow().to_owned(),
                        problem: format!("an entry of the journal cannot be read: {problem}"),
                    })?);
                }
            }
        }
        Ok(found)
    }

    /// Writes entries that say of everything in doubt that it is settled, for the time when the old
    /// ones are forgotten by the commit that settles it: none of the messages is sent when it
    /// comes again, and none is settled twice.
    pub(crate) async fn settle_left(&self) -> Result<Settling> {
        let mut settling = Settling::default();
        let mut changes = vec![];
        {
            let mut entries = self.entries();
            let unsettled = entries.blocks.iter().filter(|(_, block)| block.is_open());
            let settled: Vec<_> = unsettled.map(|(id, block)| (*id, block.settled())).collect();
            for (obsolete, block) in settled {
                let id = entries.new_id(&*self.store, self.fence.flow(), &block);
                changes.push(self.put(id, &block)?);
                settling.obsolete.push(obsolete);
                settling.instead.push((id, block));
            }
        }
        if !changes.is_empty() {
            self.write(changes).await?;
        }
        Ok(settling)
    }
}

fn left(block: &Block, item: &Item) -> Result<Left, String> {
    let Some(work) = &item.work else { return Err("a message of it is gone".to_owned()) };
    let read = |text: &str| serde_json::from_str(text).map_err(|error| error.to_string());
    let traveller = Traveller {
        version: UNVERSIONED,
        deleted: flow::message::is_delete(work.message.get()),
        id: item.id.as_str().into(),
        key: item.key.as_str().into(),
        partition_key: item.partition_key,
        message: work.message.get().into(),
        moment: Moment { now_ms: item.now, seed: item.seed },
        origin: match &block.partition {
            Some(partition) => Origin::Page { partition: partition.as_str().into(), asked: 0 },
            None => Origin::Resumed { begins: None },
        },
    };
    let how = match &item.state {
        State::Parked(handed_over) => How::Parked(handed_over.clone()),
        State::Open { reason } => {
            How::InDoubt { sent: Timestamp::from_millis(block.sent), reason: reason.clone() }
        }
        _ => return Err("a message of it is settled".to_owned()),
    };
    let (results, input) = (read(work.results.get())?, read(work.input.get())?);
    Ok(Left { step: block.step.clone(), traveller, results, input, how })
}
