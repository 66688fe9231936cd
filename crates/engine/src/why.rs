//! What happened to one record: its trail, and where it stands now.

use std::collections::{BTreeMap, HashMap};

use connector::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{DeadLetter, DeadLetterSummary, LetterState, Parked, Seen, Store, TrailBlock};

use crate::identity::TOMBSTONE;
use crate::journal::{self, Intent};
use crate::letters::{is_about, record_keys};
use crate::seen::{UNVERSIONED, settled_by};
use crate::trail::{self, Kind, Trace};
use crate::{Error, Result};

/// What is known of one record of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// The flow's name.
    pub flow: String,
    /// The record's key in its system, where it is known.
    pub record: Option<String>,
    /// What happened, newest last.
    pub happened: Vec<Happened>,
    /// Whether more happened before, that was not asked for.
    pub more: bool,
    /// From when on the trail tells what happened; `None` if it tells nothing.
    pub since: Option<Timestamp>,
    /// Whether that is the flow's beginning: then the record was first seen when the first of it
    /// happened.
    pub is_whole: bool,
    /// Blocks of the trail that this version cannot read.
    pub unreadable: u64,
    /// As what the record is known, by partition: it is sent again once it differs.
    pub known: Vec<Known>,
    /// Its dead letters, oldest first.
    pub letters: Vec<Letter>,
    /// What waits for remote systems.
    pub waiting: Vec<Awaited>,
    /// What was given to systems that must not get it twice, and no commit has settled; oldest first.
    pub intents: Vec<Intent>,
}

impl Timeline {
    fn is_empty(&self) -> bool {
        self.happened.is_empty()
            && self.known.is_empty()
            && self.letters.is_empty()
            && self.waiting.is_empty()
            && self.intents.is_empty()
    }
}

/// One thing that happened to a message of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Happened {
    /// When it was committed.
    pub at: Timestamp,
    /// The first half of the message's id.
    pub message: String,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// What may happen to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "what")]
pub enum Happening {
    /// A step's system took it.
    Delivered {
        /// The step.
        step: String,
        /// What it answered, in short.
        answer: Option<String>,
        /// The record's key there, where it tells one.
        target_key: Option<String>,
    },
    /// A condition kept it from going on.
    Filtered {
        /// The step whose condition it is.
        step: String,
    },
    /// Another flow had written it: the step's system has it.
    Echoed {
        /// The step.
        step: String,
    },
    /// The step's system has a newer change of the same record.
    Overruled {
        /// The step.
        step: String,
    },
    /// It became a dead letter.
    Refused {
        /// The step; `None` is the trigger's mapping.
        step: Option<String>,
        /// The stable code.
        code: String,
    },
    /// A system finishes it later.
    Parked {
        /// The step.
        step: String,
    },
    /// It was sent, and nobody knew whether it arrived.
    InDoubt {
        /// The step.
        step: String,
    },
    /// The record was gone from its source.
    Deleted,
    /// A dead letter was sent after all.
    Replayed {
        /// The dead letter's id.
        letter: String,
    },
    /// A newer message overtook a dead letter.
    Superseded {
        /// The dead letter's id.
        letter: String,
    },
    /// An operator edited a dead letter.
    Edited {
        /// The dead letter's id.
        letter: String,
    },
    /// An operator dropped a dead letter.
    Dropped {
        /// The dead letter's id.
        letter: String,
    },
}

/// As what a record is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// The partition; empty if there are none.
    pub partition: String,
    /// The record's version, where it has one.
    pub version: Option<Timestamp>,
    /// When this content was settled, as far as the trail tells.
    pub settled: Option<Timestamp>,
    /// Whether it was gone from its source: it is sent again once it is there.
    pub deleted: bool,
}

/// A dead letter of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    /// Its id.
    pub id: String,
    /// The step that refused it; `None` is the trigger's mapping.
    pub step: Option<String>,
    /// The stable code.
    pub code: String,
    /// Why, in words.
    pub reason: String,
    /// When it was refused last.
    pub at: Timestamp,
    /// Where it stands.
    pub state: LetterState,
    /// The first half of the message's id.
    pub message: String,
}

/// A message that waits for a remote system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Awaited {
    /// The step that handed it over.
    pub step: String,
    /// Since when.
    pub since: Timestamp,
    /// When the system is asked next.
    pub check_at: Timestamp,
    /// When waiting ends.
    pub deadline: Timestamp,
}

/// What is known of a record in one flow or in all; those flows that know nothing are left out.
///
/// `record` is the record's key, or the id of a message or a dead letter of it.
pub(crate) async fn why(
    store: &dyn Store,
    flow: Option<&str>,
    record: &str,
    limit: usize,
) -> Result<Vec<Timeline>> {
    let flows = match flow {
        Some(flow) => vec![flow.to_owned()],
        None => store.flows().await.map_err(|error| Error::store("*", &error))?,
    };
    let mut found = vec![];
    for flow in &flows {
        let keys = record_keys(store, flow, record).await?;
        found.push(tell(store, flow, Some(record), keys, limit).await?);
    }
    found.retain(|timeline| !timeline.is_empty());
    if !found.is_empty() || !is_id(record) {
        return Ok(found);
    }
    if let Some(letter) = letter(store, record).await?
        && flows.contains(&letter.flow)
    {
        let mut keys = record_keys(store, &letter.flow, &letter.record_key).await?;
        keys.retain(|_, key| letter.partition_key == [0; 16] || *key == letter.partition_key);
        return Ok(vec![tell(store, &letter.flow, Some(&letter.record_key), keys, limit).await?]);
    }
    for flow in &flows {
        if let Some(told) = of_message(store, flow, record, limit).await? {
            found.push(told);
        }
    }
    Ok(found)
}

fn is_id(text: &str) -> bool {
    text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The dead letter that an id means, or the only one whose id begins so.
async fn letter(store: &dyn Store, id: &str) -> Result<Option<DeadLetter>> {
    match store.dead_letter(id).await {
        Err(store::Error::AmbiguousId { .. }) => Ok(None),
        found => found.map_err(|error| Error::store("*", &error)),
    }
}

/// What is known of the record that a message is about, if the trail knows the message.
async fn of_message(
    store: &dyn Store,
    flow: &str,
    message: &str,
    limit: usize,
) -> Result<Option<Timeline>> {
    if message.len() < 16 {
        return Ok(None);
    }
    let (tag, mut key) = (trail::tag(message), None);
    let mut find = |block: TrailBlock| {
        let walked = trail::walk(&block.bytes, &mut |it| {
            if it.message == tag {
                key = Some(it.key);
            }
        });
        walked.unwrap_or_default();
        key.is_none()
    };
    store.trail(flow, &mut find).await.map_err(|error| Error::store(flow, &error))?;
    let Some(key) = key else { return Ok(None) };
    // The trail has the first half of the key; the whole one is with what is kept of the record.
    let mut whole = None;
    let mut each = |letter: DeadLetterSummary| {
        whole = Some(letter.partition_key).filter(|it| trail::key_tag(it) == key);
        whole.is_none()
    };
    let found = store.each_dead_letter(Some(flow), &mut each).await;
    found.map_err(|error| Error::store(flow, &error))?;
    let half = || {
        let mut whole = [0; 16];
        whole.iter_mut().zip(key).for_each(|(whole, half)| *whole = half);
        whole
    };
    let keys = BTreeMap::from([(String::new(), whole.unwrap_or_else(half))]);
    tell(store, flow, None, keys, limit).await.map(Some)
}

/// What is known of the record with these keys, by partition.
async fn tell(
    store: &dyn Store,
    flow: &str,
    record: Option<&str>,
    keys: BTreeMap<String, [u8; 16]>,
    limit: usize,
) -> Result<Timeline> {
    let failed = |error: store::Error| Error::store(flow, &error);
    let mut told = Timeline { flow: flow.to_owned(), ..Timeline::default() };
    let wanted: Vec<[u8; 16]> = keys.values().copied().collect();
    let seen = store.look_up(flow, &wanted).await.map_err(failed)?.entries;
    let mut settled: HashMap<u64, Option<i64>> =
        seen.iter().map(|it| (settled_by(it), None)).collect();
    follow(store, &mut told, &wanted, &mut settled, limit).await?;
    told.known = known(&keys, &seen, &settled);
    let mut about = vec![];
    let mut each = |letter: DeadLetterSummary| {
        // Letters of an older version do not have their record's key beside them.
        if letter.partition_key == [0; 16] || wanted.contains(&letter.partition_key) {
            about.push(letter);
        }
        true
    };
    store.each_dead_letter(Some(flow), &mut each).await.map_err(failed)?;
    about.sort_by(DeadLetterSummary::newest_first);
    for summary in about.into_iter().rev() {
        if !is_about(store, &summary, &wanted, record.unwrap_or_default()).await? {
            continue;
        }
        let Some(letter) = store.dead_letter(&summary.id).await.map_err(failed)? else { continue };
        told.record.get_or_insert(letter.record_key);
        told.letters.push(Letter {
            id: letter.id,
            step: letter.step,
            code: letter.code,
            reason: letter.reason,
            at: Timestamp::from_millis(letter.at),
            state: letter.state,
            message: hex(trail::tag(&letter.message_id)),
        });
    }
    let mut parked = vec![];
    let mut each = |it: Parked| {
        if wanted.contains(&it.partition_key) {
            parked.push((it.record_key.clone(), waiting(&it)));
        }
        true
    };
    store.each_parked(flow, &mut each).await.map_err(failed)?;
    parked.sort_by_key(|(_, it)| it.check_at);
    for (record_key, waiting) in parked {
        told.record.get_or_insert(record_key);
        told.waiting.push(waiting);
    }
    for (record_key, intent) in journal::of_record(store, flow, &wanted, record).await? {
        told.record.get_or_insert(record_key);
        told.intents.push(intent);
    }
    told.record = told.record.or_else(|| record.map(ToOwned::to_owned));
    Ok(told)
}

/// Follows the trail of a record from its end, as far as it goes or as is asked for.
///
/// `settled` gets the times of the commits whose sequences are asked for there.
async fn follow(
    store: &dyn Store,
    told: &mut Timeline,
    keys: &[[u8; 16]],
    settled: &mut HashMap<u64, Option<i64>>,
    limit: usize,
) -> Result<()> {
    let tags: Vec<[u8; 8]> = keys.iter().map(trail::key_tag).collect();
    let mut happened: Vec<Happened> = vec![];
    let (mut since, mut first, mut unreadable) = (None, u64::MAX, 0);
    let mut each = |block: TrailBlock| {
        let at = Timestamp::from_millis(block.at);
        (since, first) = (Some(at), block.sequence);
        if let Some(time) = settled.get_mut(&block.sequence) {
            *time = Some(block.at);
        }
        let mut here = vec![];
        let walked = trail::walk(&block.bytes, &mut |it| {
            if tags.contains(&it.key) {
                here.push(Happened { at, message: hex(it.message), what: happening(it) });
            }
        });
        unreadable += u64::from(walked.is_none());
        happened.extend(here.into_iter().rev());
        happened.len() <= limit
    };
    let flow = told.flow.clone();
    store.trail(&flow, &mut each).await.map_err(|error| Error::store(&flow, &error))?;
    told.more = happened.len() > limit;
    happened.truncate(limit);
    happened.reverse();
    told.is_whole = first == 1;
    (told.happened, told.since, told.unreadable) = (happened, since, unreadable);
    Ok(())
}

fn known(
    keys: &BTreeMap<String, [u8; 16]>,
    seen: &[Seen],
    settled: &HashMap<u64, Option<i64>>,
) -> Vec<Known> {
    let known = keys.iter().filter_map(|(partition, key)| {
        let entry = seen.iter().find(|entry| entry.key == *key)?;
        let time = settled.get(&settled_by(entry)).copied().flatten();
        Some(Known {
            partition: partition.clone(),
            version: (entry.version != UNVERSIONED).then(|| Timestamp::from_millis(entry.version)),
            settled: time.map(Timestamp::from_millis),
            deleted: entry.content == TOMBSTONE,
        })
    });
    known.collect()
}

fn waiting(parked: &Parked) -> Awaited {
    Awaited {
        step: parked.step.clone(),
        since: Timestamp::from_millis(parked.since),
        check_at: Timestamp::from_millis(parked.check_at),
        deadline: Timestamp::from_millis(parked.deadline),
    }
}

fn happening(it: Trace<'_>) -> Happening {
    let step = it.step.map(ToOwned::to_owned);
    let of_step = || it.step.unwrap_or_default().to_owned();
    let letter = || it.text.to_owned();
    match it.kind {
        Kind::Delivered => Happening::Delivered {
            step: of_step(),
            answer: Some(it.answer()).filter(|answer| !answer.is_empty()),
            target_key: it.target.map(ToOwned::to_owned),
        },
        Kind::Filtered => Happening::Filtered { step: of_step() },
        Kind::Echoed => Happening::Echoed { step: of_step() },
        Kind::Overruled => Happening::Overruled { step: of_step() },
        Kind::Refused => Happening::Refused { step, code: it.text.to_owned() },
        Kind::Parked => Happening::Parked { step: of_step() },
        Kind::InDoubt => Happening::InDoubt { step: of_step() },
        Kind::Deleted => Happening::Deleted,
        Kind::Replayed => Happening::Replayed { letter: letter() },
        Kind::Superseded => Happening::Superseded { letter: letter() },
        Kind::Edited => Happening::Edited { letter: letter() },
        Kind::Dropped => Happening::Dropped { letter: letter() },
    }
}

fn hex(tag: [u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(tag))
}
