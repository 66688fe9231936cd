//! Which of a record's messages is older: the trail tells of them in the order in which they came.
//!
//! Times would not do. Two messages of one page have the same, and a clock may be set back.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use connector::Timestamp;
use store::{Store, TrailBlock};

use crate::trail::{self, Kind};

/// A page takes no longer from its first message to its commit.
const PAGE: Duration = Duration::from_secs(3600);

/// What the trail tells of some records, oldest first; by the tags of their keys.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    told: HashMap<[u8; 8], Vec<Told>>,
    /// When the oldest that is kept was committed, where something before it is gone.
    from: Option<Timestamp>,
}

#[derive(Debug)]
struct Told {
    /// When it was committed.
    at: i64,
    message: [u8; 8],
    kind: Kind,
    step: Option<String>,
}

/// A message that was on its way before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    /// The tag of its record's key.
    pub(crate) key: [u8; 8],
    /// The tag of its id.
    pub(crate) message: [u8; 8],
    /// Since when, in milliseconds since the epoch.
    pub(crate) since: i64,
}

impl Before {
    pub(crate) fn of(partition_key: &[u8; 16], message_id: &str, since: i64) -> Self {
        Self { key: trail::key_tag(partition_key), message: trail::tag(message_id), since }
    }
}

/// Messages of one record compare by it: of what the trail does not tell, nobody knows more than
/// since when it was on its way.
type Age = (Option<usize>, i64);

impl Ages {
    /// Reads all that the trail has about these records.
    pub(crate) async fn read(
        store: &dyn Store,
        flow: &str,
        keys: &HashSet<[u8; 8]>,
    ) -> store::Result<Self> {
        if keys.is_empty() {
            return Ok(Self::default());
        }
        let mut blocks = vec![];
        let mut first = None;
        let mut each = |block: TrailBlock| {
            first = Some((block.sequence, block.at));
            let mut here = vec![];
            let walked = trail::walk(&block.bytes, &mut |it| {
                if keys.contains(&it.key) {
                    let (at, message, kind) = (block.at, it.message, it.kind);
                    let step = it.step.map(ToOwned::to_owned);
                    here.push((it.key, Told { at, message, kind, step }));
                }
            });
            // A block of a newer version tells this one nothing.
            walked.unwrap_or_default();
            blocks.push(here);
            true
        };
        store.trail(flow, &mut each).await?;
        let mut told: HashMap<_, Vec<Told>> = HashMap::new();
        for (key, it) in blocks.into_iter().rev().flatten() {
            told.entry(key).or_default().push(it);
        }
        let cut = first.filter(|(sequence, _)| *sequence > 1);
        Ok(Self { told, from: cut.map(|(_, at)| Timestamp::from_millis(at)) })
    }

    /// How old a message is; the older one is less.
    pub(crate) fn age(&self, of: Before) -> Age {
        let since = Timestamp::from_millis(of.since);
        let is_cut = self.from.is_some_and(|from| since.plus(PAGE) < from);
        let told = self.told.get(&of.key).filter(|_| !is_cut);
        let place = told.and_then(|told| told.iter().position(|it| it.message == of.message));
        (place, of.since)
    }

    /// What happened to newer messages of the same record, and at which step.
    pub(crate) fn of_newer(&self, than: Before) -> impl Iterator<Item = (Kind, Option<&str>)> {
        let (place, _) = self.age(than);
        let told = self.told.get(&than.key).map(Vec::as_slice).unwrap_or_default();
        let began = || told.partition_point(|it| it.at < than.since);
        let (before, after) = told.split_at(place.unwrap_or_else(began).min(told.len()));
        let older: HashSet<[u8; 8]> = before.iter().map(|it| it.message).collect();
        let newer = after
            .iter()
            .filter(move |it| it.message != than.message && !older.contains(&it.message));
        newer.map(|it| (it.kind, it.step.as_deref()))
    }
}

/// Puts messages of one record into the order in which they came, each at the place of another one
/// of that record. `of` says which message is meant.
pub(crate) async fn in_order<T>(
    store: &dyn Store,
    flow: &str,
    messages: Vec<T>,
    of: impl Fn(&T) -> Before,
) -> store::Result<Vec<T>> {
    let mut places: HashMap<[u8; 8], Vec<usize>> = HashMap::new();
    for (at, message) in messages.iter().enumerate() {
        places.entry(of(message).key).or_default().push(at);
    }
    places.retain(|_, places| places.len() > 1);
    let ages = Ages::read(store, flow, &places.keys().copied().collect()).await?;
    let mut slots: Vec<Option<T>> = messages.into_iter().map(Some).collect();
    for places in places.into_values() {
        let mut own: Vec<T> = places.iter().filter_map(|at| slots.get_mut(*at)?.take()).collect();
        own.sort_by_key(|message| ages.age(of(message)));
        for (at, message) in places.into_iter().zip(own) {
            if let Some(slot) = slots.get_mut(at) {
                *slot = Some(message);
            }
        }
    }
    Ok(slots.into_iter().flatten().collect())
}
