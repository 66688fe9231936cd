//! What must be in the store: the commits that hold, one after another.

use std::collections::{BTreeMap, BTreeSet};

use connector::Changes;
use engine::Snapshot;
use store::{Commit, Counts, ParkedChange, Seen, SeenChange, Store};

use crate::world::{Print, World};

pub(crate) const FLOW: &str = "simulated";

/// The code of a dead letter of which nobody knows whether it arrived.
const IN_DOUBT: &str = "inDoubt";

/// What is committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) sequence: u64,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) counts: Counts,
    pub(crate) seen: BTreeMap<[u8; 16], Seen>,
    /// Every value that was ever seen, those included whose entry is gone.
    pub(crate) ever: BTreeSet<i64>,
    /// The code of each dead letter, by value and step.
    pub(crate) letters: BTreeMap<(i64, usize), String>,
    /// What waits, by id: its value and step.
    pub(crate) parked: BTreeMap<String, (i64, usize)>,
}

impl Model {
    /// What a commit makes of it.
    fn with(&self, sequence: u64, commit: &Commit) -> Result<Self, String> {
        let mut next = self.clone();
        if sequence != self.sequence + 1 {
            return Err(format!("commit {sequence} follows {}", self.sequence));
        }
        next.sequence = sequence;
        let read = Snapshot::read(FLOW, &commit.snapshot).map_err(|error| error.to_string())?;
        next.snapshot = Some(read);
        match &commit.seen {
            SeenChange::Append(entries) => next.see(entries),
            SeenChange::Replace(parts) => {
                next.seen.clear();
                parts.iter().for_each(|part| next.see(part));
            }
        }
        for letter in &commit.dead_letters {
            let value = value_of(&letter.payload).ok_or("a dead letter without its message")?;
            let step = letter.step.as_deref().and_then(step_of);
            let step = step.ok_or("a dead letter of no step")?;
            next.letters.insert((value, step), letter.code.clone());
        }
        for change in &commit.parked {
            match change {
                ParkedChange::Put(parked) => {
                    let value = value_of(&parked.payload).ok_or("parked without its message")?;
                    let step = step_of(&parked.step).ok_or("parked at no step")?;
                    next.parked.insert(parked.id.clone(), (value, step));
                }
                ParkedChange::Done(id) => {
                    next.parked.remove(id).ok_or("what is done was not parked")?;
                }
            }
        }
        next.counts = sum(self.counts, commit.counts);
        Ok(next)
    }

    fn see(&mut self, entries: &[Seen]) {
        self.seen.extend(entries.iter().map(|entry| (entry.key, *entry)));
    }

    /// Whether a record was settled with exactly this content.
    pub(crate) fn knows(&self, print: Print) -> bool {
        self.seen.get(&print.key).is_some_and(|seen| seen.content == print.content)
    }
}

impl Print {
    const fn of(seen: Seen) -> Self {
        Self { key: seen.key, content: seen.content }
    }
}

fn step_of(id: &str) -> Option<usize> {
    id.strip_prefix("step")?.parse().ok()
}

fn value_of(payload: &[u8]) -> Option<i64> {
    let payload: serde_json::Value = serde_json::from_slice(payload).ok()?;
    payload.get("message")?.get("data")?.get("value")?.as_i64()
}

fn sum(all: Counts, more: Counts) -> Counts {
    Counts {
        records: all.records + more.records,
        emitted: all.emitted + more.emitted,
        unchanged: all.unchanged + more.unchanged,
        filtered: all.filtered + more.filtered,
        delivered: all.delivered + more.delivered,
        dead_lettered: all.dead_lettered + more.dead_lettered,
    }
}

impl World {
    /// Looks at a commit before it is made: it must hold nothing that is not settled.
    pub(crate) fn foresee(&mut self, sequence: u64, commit: &Commit) {
        self.note("commit", sequence as i64, commit.counts.emitted as i64);
        match self.model.with(sequence, commit) {
            Ok(mut next) => {
                // A page may settle two contents of a record.
                let added: &[Seen] = match &commit.seen {
                    SeenChange::Append(entries) => entries,
                    SeenChange::Replace(_) => &[],
                };
                let prints = next.seen.values().chain(added).map(|seen| Print::of(*seen));
                next.ever.extend(prints.filter_map(|print| self.values.get(&print)));
                if let Err(what) = self.examine(&next, commit) {
                    self.breaks(|| format!("commit {sequence}: {what}"));
                }
                self.pending = Some(next);
            }
            Err(what) => self.breaks(|| what),
        }
    }

    fn examine(&self, next: &Model, commit: &Commit) -> Result<(), String> {
        let Counts { records, emitted, unchanged, filtered, delivered, dead_lettered } =
            commit.counts;
        let ends = filtered + delivered + dead_lettered;
        let adds_up = match self.shape.first().len() {
            // What is parked ends in a commit of its own.
            _ if self.shape.parks => true,
            // What is in doubt is a dead letter before its record comes again.
            _ if self.shape.once.contains(&true) => ends <= emitted + dead_lettered,
            1 => ends == emitted,
            // Refused by one step, a message may still come to its end by the other.
            _ => (emitted..=emitted + dead_lettered).contains(&ends),
        };
        if records != emitted + unchanged || !adds_up {
            return Err(format!("counts do not add up: {:?}", commit.counts));
        }
        if dead_lettered != commit.dead_letters.len() as u64 {
            return Err("dead letters are not what is counted".to_owned());
        }
        for ((value, step), code) in &next.letters {
            let target = &self.targets[*step];
            // Killed behind its intent, a message may be in doubt that was never sent.
            let doubted = self.shape.once[*step] && code == IN_DOUBT;
            // A clock that jumps may pass a deadline.
            let late = self.shape.parks && code == "deadline";
            if !doubted && !late && !target.refused.contains(value) {
                return Err(format!("{value} was not refused by step {step}: {code}"));
            }
        }
        for seen in next.seen.values() {
            let Some(value) = self.values.get(&Print::of(*seen)) else {
                return Err("what was seen is no record".to_owned());
            };
            if !self.is_settled(*value, next) {
                return Err(format!("{value} counts as seen and is not settled"));
            }
        }
        // What is not settled must be found again.
        let snapshot = next.snapshot.as_ref();
        for ((partition, key), held) in self.wanted() {
            if self.is_settled(held.value, next) || !held.shown {
                continue;
            }
            let known = snapshot.and_then(|it| it.partitions.get(&self.name(partition)));
            let from = known.and_then(|known| known.last_updated);
            let from = from.map(|from| from.minus(self.shape.overlap));
            if self.shape.changes != Changes::Content
                && let Some(from) = from
                && connector::Timestamp::from_secs(held.version) < from
            {
                return Err(format!(
                    "{} of {partition}/{key} changed at {} and is not settled, but polls ask from \
                     {from} on",
                    held.value, held.version
                ));
            }
        }
        Ok(())
    }

    /// A commit was made.
    pub(crate) fn committed(&mut self) {
        self.model = self.pending.take().unwrap();
        let (open, model) = (std::mem::take(&mut self.open), &self.model);
        let is_open = |value: &i64| !model.ever.contains(value);
        self.open = open.into_iter().filter(is_open).collect();
        self.note("committed", self.model.sequence as i64, 0);
    }
}

/// Finds out what of a commit holds whose answer nobody got; nothing in between may.
pub(crate) async fn reconcile(store: &dyn Store) -> Result<(), String> {
    let head = store.head(FLOW).await.map_err(|error| error.to_string())?;
    let mut found = Model::default();
    if let Some(head) = head {
        found.sequence = head.sequence;
        let read = Snapshot::read(FLOW, &head.snapshot).map_err(|error| error.to_string())?;
        found.snapshot = Some(read);
        found.counts = head.counts;
    }
    let mut each = |entries: &[Seen]| found.see(entries);
    store.seen(FLOW, &mut each).await.map_err(|error| error.to_string())?;
    let letters = store.dead_letters(Some(FLOW)).await.map_err(|error| error.to_string())?;
    let parked = store.parked(FLOW).await.map_err(|error| error.to_string())?;
    crate::world::with(|world| {
        if world.pending.as_ref().is_some_and(|pending| pending.sequence == found.sequence) {
            world.committed();
        }
        world.pending = None;
        // What was sent and not committed is found again.
        world.open.clear();
        let expected = &world.model;
        if letters.len() != expected.letters.len() {
            let (there, due) = (letters.len(), expected.letters.len());
            return Err(format!("{there} dead letters are kept in place of {due}"));
        }
        let waiting = parked
            .into_iter()
            .filter_map(|it| Some((it.id, (value_of(&it.payload)?, step_of(&it.step)?))));
        found.parked = waiting.collect();
        found.letters = expected.letters.clone();
        found.ever = expected.ever.clone();
        if found != *expected {
            return Err(format!("the store holds\n{found:?}\nin place of\n{expected:?}"));
        }
        Ok(())
    })
}
