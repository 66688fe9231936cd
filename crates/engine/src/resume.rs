//! Messages that were on their way before, and where they go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow::Flow;
use mapping::Moment;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::detect::Emitted;
use crate::seen::UNVERSIONED;
use crate::step::{Origin, Traveller};
use crate::way::Onward;
use crate::{Error, Place, Result};

/// A message that was on its way before.
#[derive(Clone, Debug)]
pub(crate) struct Resumed {
    pub(crate) id: Arc<str>,
    pub(crate) key: Arc<str>,
    /// The key of the record's seen entry; all zero if it has none.
    pub(crate) partition_key: [u8; 16],
    /// JSON text: `{ metadata, data }`.
    pub(crate) message: Arc<str>,
    /// Fixes `$random()`.
    pub(crate) seed: u64,
    /// The results of the steps that it is done with, by their ids. Those of steps that the flow
    /// has no more count for nothing.
    pub(crate) results: BTreeMap<String, Value>,
    pub(crate) at: Resume,
}

/// Where a message goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Its data is the raw record: it is mapped, and goes through all steps.
    FromTrigger,
    /// At this step, and then those that depend on it. Steps before it that came into the flow
    /// since are run first.
    FromStep(String),
    /// Behind this step, whose result is among those given.
    Behind(String),
}

/// What is ahead of a message.
pub(crate) enum Ahead {
    /// The trigger's mapping, and all steps.
    Mapping(Emitted),
    /// Some steps.
    Steps(Traveller, Option<Onward>),
}

impl Resumed {
    /// Finds a message's way through the flow as it is now.
    pub(crate) fn read(self, flow: &Flow, place: &Place, now_ms: i64) -> Result<Ahead> {
        let Self { id, key, partition_key, message, seed, results, at } = self;
        let position = |id: &str| flow.steps.iter().position(|step| step.id == id);
        let known = |id: &str| {
            position(id).ok_or_else(|| Error::Config {
                place: place.clone(),
                reason: format!(
                    "a message stands at the step \"{id}\", which the flow has no more; bring the \
                     step back, or drop the message"
                ),
            })
        };
        let results: BTreeMap<usize, Value> =
            results.into_iter().filter_map(|(id, result)| Some((position(&id)?, result))).collect();
        let mut begins = None;
        let onward = match &at {
            Resume::FromTrigger => {
                let data = raw(&message).map_err(|problem| Error::Internal {
                    place: place.clone(),
                    problem: format!("a message that was kept cannot be read: {problem}"),
                })?;
                return Ok(Ahead::Mapping(Emitted {
                    id,
                    key,
                    partition_key,
                    data,
                    seed,
                    version: UNVERSIONED,
                    deleted: false,
                }));
            }
            Resume::FromStep(step) => {
                let step = known(step)?;
                begins = Some(step);
                Onward::at(flow, step, results)
            }
            Resume::Behind(step) => Onward::behind(flow, known(step)?, results),
        };
        let moment = Moment { now_ms, seed };
        let origin = Origin::Resumed { begins };
        let deleted = flow::message::is_delete(&message);
        let version = UNVERSIONED;
        let traveller =
            Traveller { id, key, partition_key, message, moment, origin, version, deleted };
        Ok(Ahead::Steps(traveller, Some(onward)))
    }
}

/// The raw record in a message that no mapping has seen.
fn raw(message: &str) -> Result<Box<RawValue>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Unmapped {
        data: Box<RawValue>,
    }
    Ok(serde_json::from_str::<Unmapped>(message)?.data)
}
