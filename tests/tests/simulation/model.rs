//! What must be in the store: the commits that hold, one after another.

use std::collections::{BTreeMap, BTreeSet};

use connector::Changes;
use engine::Snapshot;
use store::{Commit, Counts, LetterMark, LetterState, ParkedChange, Seen, SeenChange, Store};

use crate::shape;
use crate::world::{Print, World};

pub(crate) const FLOW: &str = "simulated";

/// The code of a dead letter of which nobody knows whether it arrived.
const IN_DOUBT: &str = "inDoubt";

/// What counts as seen of a record that is gone.
const TOMBSTONE: [u8; 8] = [0; 8];

/// A dead letter's message and step.
pub(crate) type LetterKey = (String, usize);

/// A dead letter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Letter {
    value: i64,
    code: String,
    state: LetterState,
}

/// What is committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) sequence: u64,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) counts: Counts,
    pub(crate) seen: BTreeMap<[u8; 16], Seen>,
    /// Every value that was ever seen, those included whose entry is gone.
    pub(crate) ever: BTreeSet<i64>,
    pub(crate) letters: BTreeMap<LetterKey, Letter>,
    /// What waits, by id: its value and step.
    pub(crate) parked: BTreeMap<String, (i64, usize)>,
}

impl Model {
    /// What a commit makes of it.
    fn with(
        &self,
        sequence: u64,
        commit: &Commit,
        marks: &[(LetterKey, LetterMark)],
    ) -> Result<Self, String> {
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
            let known = Letter { value, code: letter.code.clone(), state: letter.state };
            next.letters.insert((letter.message_id.clone(), step), known);
        }
        for (key, mark) in marks {
            let letter = next.letters.get_mut(key).ok_or("a mark on a dead letter that is not")?;
            match mark {
                LetterMark::State { state } => letter.state = *state,
                LetterMark::Failed { code, .. } => letter.code.clone_from(code),
                LetterMark::Edited { .. } | LetterMark::Learned { .. } => {}
                LetterMark::Dropped => drop(next.letters.remove(key)),
            }
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

    /// Whether a dead letter holds a value at a step.
    pub(crate) fn holds(&self, value: i64, step: usize) -> bool {
        self.letters.iter().any(|((_, at), letter)| {
            letter.value == value && *at == step && letter.state != LetterState::Replayed
        })
    }

    /// Whether there is a dead letter of a value.
    pub(crate) fn has_letter(&self, value: i64) -> bool {
        self.letters.values().any(|letter| letter.value == value)
    }

    /// Whether a dead letter says that nobody knows whether a step's system took a value.
    pub(crate) fn is_in_doubt(&self, value: i64, step: usize) -> bool {
        self.letters.iter().any(|((_, at), letter)| {
            letter.value == value && *at == step && letter.code == IN_DOUBT
        })
    }

    /// Since when, in seconds, what was settled is to be sent again, if an operator asked for that
    /// between two commits.
    fn asked_again(&self, next: &Self) -> Option<i64> {
        let seconds = |time: connector::Timestamp| time.millis() / 1000;
        let (before, behind) = (self.snapshot.as_ref(), next.snapshot.as_ref()?);
        let had = before.is_some_and(|before| before.backfill.is_some());
        if let Some(backfill) = behind.backfill.as_ref().filter(|_| !had) {
            return Some(seconds(backfill.from));
        }
        if before?.generation == behind.generation {
            return None;
        }
        let rule = behind.forgotten.iter().rev().find(|rule| rule.up_to == next.sequence)?;
        Some(rule.since.map_or(i64::MIN, seconds))
    }

    /// What is remembered of records, those that are gone excepted.
    pub(crate) fn prints(&self) -> impl Iterator<Item = Print> + '_ {
        self.seen.values().filter(|seen| seen.content != TOMBSTONE).map(|seen| Print::of(*seen))
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

pub(crate) fn step_of(id: &str) -> Option<usize> {
    id.strip_prefix("step")?.parse().ok()
}

fn value_of(payload: &[u8]) -> Option<i64> {
    let payload: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let message = payload.get("message")?;
    let metadata = message.get("metadata")?;
    if metadata.get("deleted").is_some() {
        return Some(shape::gone(metadata.get("recordUid")?.as_str()?.parse().ok()?));
    }
    message.get("data")?.get("value")?.as_i64()
}

fn sum(all: Counts, more: Counts) -> Counts {
    Counts {
        records: all.records + more.records,
        emitted: all.emitted + more.emitted,
        unchanged: all.unchanged + more.unchanged,
        filtered: all.filtered + more.filtered,
        delivered: all.delivered + more.delivered,
        dead_lettered: all.dead_lettered + more.dead_lettered,
        echoed: all.echoed + more.echoed,
        overruled: all.overruled + more.overruled,
    }
}

impl World {
    /// Looks at a commit before it is made: it must hold nothing that is not settled.
    pub(crate) fn foresee(
        &mut self,
        sequence: u64,
        commit: &Commit,
        marks: &[(LetterKey, LetterMark)],
    ) {
        self.note("commit", sequence as i64, commit.counts.emitted as i64);
        match self.model.with(sequence, commit, marks) {
            Ok(mut next) => {
                // A page may settle two contents of a record.
                let written: Vec<Seen> = match &commit.seen {
                    SeenChange::Append(entries) => entries.clone(),
                    SeenChange::Replace(parts) => {
                        parts.iter().flat_map(|part| part.iter().copied()).collect()
                    }
                };
                let is_new = |entry: &Seen| entry.sequence == sequence;
                let added: Vec<Seen> = written.into_iter().filter(is_new).collect();
                // A trigger that reads everything cannot be asked by time.
                let by_time = self.shape.changes != Changes::Content;
                let again = self.model.asked_again(&next);
                let again = again.map(|from| if by_time { from } else { i64::MIN });
                if let Some(from) = again {
                    next.ever.retain(|value| self.versions[value] < from);
                }
                // What comes back is new.
                for buried in added.iter().filter(|entry| entry.content == TOMBSTONE) {
                    let place = self.places.get(&buried.key).copied();
                    next.ever.retain(|value| self.changes.get(value) != place.as_ref());
                    *self.presence.buried.entry(place.unwrap_or_default()).or_default() += 1;
                }
                let prints = added.iter().map(|seen| Print::of(*seen));
                next.ever.extend(prints.filter_map(|print| self.values.get(&print)));
                if let Err(what) = self.examine(&next, commit, &added) {
                    self.breaks(|| format!("commit {sequence}: {what}"));
                }
                self.pending = Some((next, again));
            }
            Err(what) => self.breaks(|| what),
        }
    }

    fn examine(&self, next: &Model, commit: &Commit, added: &[Seen]) -> Result<(), String> {
        let Counts { records, emitted, unchanged, filtered, delivered, dead_lettered, .. } =
            commit.counts;
        // Nobody carries anything back here.
        let ends = filtered + delivered + dead_lettered;
        // Deletes and replays begin with no record.
        let of_deletes = added.iter().any(|entry| entry.content == TOMBSTONE);
        let beside = of_deletes || !commit.letters.is_empty() && records == 0;
        let adds_up = match self.shape.first().len() {
            // What is parked ends in a commit of its own.
            _ if self.shape.parks => true,
            _ if of_deletes && !self.shape.once[shape::GONE] => ends == emitted,
            _ if beside => ends <= emitted + commit.letters.len() as u64 + dead_lettered,
            // What is in doubt is a dead letter before its record comes again.
            _ if self.shape.once.contains(&true) => ends <= emitted + dead_lettered,
            1 => ends == emitted,
            // Refused by one step, a message may still come to its end by the other.
            _ => (emitted..=emitted + dead_lettered).contains(&ends),
        };
        if (!beside && records != emitted + unchanged) || !adds_up {
            return Err(format!("counts do not add up: {:?}", commit.counts));
        }
        if dead_lettered != commit.dead_letters.len() as u64 {
            return Err("dead letters are not what is counted".to_owned());
        }
        for ((_, step), Letter { value, code, .. }) in &next.letters {
            let target = &self.targets[*step];
            // Killed behind its intent, a message may be in doubt that was never sent.
            let doubted = self.shape.once[*step] && code == IN_DOUBT;
            // A clock that jumps may pass a deadline.
            let late = self.shape.parks && code == "deadline";
            if !doubted && !late && !target.refused.contains(value) {
                return Err(format!("{value} was not refused by step {step}: {code}"));
            }
        }
        for buried in added.iter().filter(|entry| entry.content == TOMBSTONE) {
            let key = buried.key;
            let place = self.places.get(&key).copied().ok_or("no record is told to be gone")?;
            if !self.is_told(place, |value, step| next.holds(value, step)) {
                return Err(format!("{place:?} counts as gone, and nobody was told"));
            }
        }
        for seen in next.seen.values().filter(|entry| entry.content != TOMBSTONE) {
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
        let (model, again) = self.pending.take().unwrap();
        if let Some(from) = again {
            self.ask_again(from, &model);
        }
        self.model = model;
        let (open, model) = (std::mem::take(&mut self.open), &self.model);
        let is_open = |value: &i64| !model.ever.contains(value);
        self.open = open.into_iter().filter(is_open).collect();
        self.note("committed", self.model.sequence as i64, 0);
    }
}

impl World {
    /// Takes note of what an operator asked for, and how often it was carried out before.
    fn ask_again(&mut self, from: i64, model: &Model) {
        self.note("asks again", from, 0);
        self.asked.from.push(from);
        for value in self.model.ever.difference(&model.ever) {
            let done = |step: usize| self.targets[step].done.get(value).copied().unwrap_or(0);
            self.asked.due.insert(*value, [done(0), done(1)]);
        }
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
        let holds = |(pending, _): &(Model, _)| pending.sequence == found.sequence;
        if world.pending.as_ref().is_some_and(holds) {
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
