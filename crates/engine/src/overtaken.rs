//! Which dead letters newer messages of the same record overtake: they are not to be sent any more.

use std::collections::{BTreeSet, HashMap};

use flow::Flow;
use store::{DeadLetter, LetterChange, LetterMark, LetterState, NewDeadLetter, Store};

use crate::run::Run;
use crate::settled::Settled;
use crate::trail::{self, Kind, Trace, Trail, What};
use crate::{Error, Result};

/// A message of a record that has a letter, at a step.
struct Passed {
    record: [u8; 8],
    message: [u8; 8],
    kind: Kind,
    step: Option<String>,
}

impl Run {
    /// What becomes of dead letters with what is settled now; `since` says of messages that are
    /// not new, by their tags, since when they were on their way.
    pub(crate) async fn overtaken(
        &mut self,
        settled: &mut Settled,
        since: &HashMap<[u8; 8], i64>,
    ) -> Result<Vec<LetterChange>> {
        let (store, flow) = (&*self.context.store, &*self.context.flow);
        let Settled { trail, dead_letters, .. } = settled;
        // Every letter that is there is older than a new message.
        let is_newer = |message: &[u8; 8], letter: &DeadLetter| {
            since.get(message).is_none_or(|since| first_attempt(letter) < *since)
        };
        overtaken(store, flow, trail, dead_letters, is_newer).await
    }
}

/// When a letter's message was refused for the first time.
pub(crate) fn first_attempt(letter: &DeadLetter) -> i64 {
    letter.attempts.first().copied().unwrap_or(letter.at)
}

/// Marks the letters that a commit overtakes: those of its own page among `new`, the others in what
/// it gives. Tells it to the trail.
///
/// `is_newer` says of a message, by its tag, whether it is newer than a letter's. Letters are looked
/// up by the records that come: it takes no longer where there are very many.
async fn overtaken(
    store: &dyn Store,
    flow: &Flow,
    trail: &mut Trail,
    new: &mut [NewDeadLetter],
    is_newer: impl Fn(&[u8; 8], &DeadLetter) -> bool,
) -> Result<Vec<LetterChange>> {
    if trail.is_empty() {
        return Ok(vec![]);
    }
    mark_own(flow, trail, new);
    let failed = |error: store::Error| Error::store(&flow.name, &error);
    let mut records = vec![];
    trail.walk(&mut |it| {
        if settles(it.kind) {
            records.push(it.key);
        }
    });
    records.sort_unstable();
    records.dedup();
    let mut letters: HashMap<[u8; 8], Vec<String>> = HashMap::new();
    for (record, id) in store.letters_of(&flow.name, &records).await.map_err(failed)? {
        letters.entry(record).or_default().push(id);
    }
    if letters.is_empty() {
        return Ok(vec![]);
    }
    let mut gone = BTreeSet::new();
    let mut changes = vec![];
    for passed in passed(trail, &letters) {
        for id in letters.get(&passed.record).into_iter().flatten() {
            if gone.contains(id) {
                continue;
            }
            let letter = store.dead_letter(id).await.map_err(failed)?;
            let Some(letter) = letter.filter(|letter| {
                letter.state == LetterState::Open
                    && trail::tag(&letter.message_id) != passed.message
                    && is_newer(&passed.message, letter)
                    && overtakes(flow, passed.kind, passed.step.as_deref(), &letter.step)
            }) else {
                continue;
            };
            gone.insert(id.clone());
            let what = What::Superseded { step: letter.step.as_deref(), letter: id };
            trail.add(&letter.partition_key, &letter.message_id, what);
            let change = LetterMark::State { state: LetterState::Superseded };
            changes.push(LetterChange { id: id.clone(), change });
        }
    }
    Ok(changes)
}

/// Where the records of letters were settled.
fn passed(trail: &Trail, letters: &HashMap<[u8; 8], Vec<String>>) -> Vec<Passed> {
    let mut found = vec![];
    trail.walk(&mut |it| {
        if settles(it.kind) && letters.contains_key(&it.key) {
            found.push(Passed {
                record: it.key,
                message: it.message,
                kind: it.kind,
                step: it.step.map(ToOwned::to_owned),
            });
        }
    });
    found
}

/// Marks the page's own refusals that a later message of the page overtook.
fn mark_own(flow: &Flow, trail: &Trail, new: &mut [NewDeadLetter]) {
    /// A refusal of the page.
    struct Own {
        at: usize,
        message: [u8; 8],
        /// Whether the trail has come to it.
        was_told: bool,
    }
    if new.is_empty() {
        return;
    }
    let mut letters: HashMap<[u8; 8], Vec<Own>> = HashMap::new();
    for (at, letter) in new.iter().enumerate() {
        let of_key = letters.entry(trail::key_tag(&letter.partition_key)).or_default();
        of_key.push(Own { at, message: trail::tag(&letter.message_id), was_told: false });
    }
    let mut mark = |it: Trace<'_>| {
        for own in letters.get_mut(&it.key).into_iter().flatten() {
            let Some(letter) = new.get_mut(own.at) else { continue };
            if it.message == own.message {
                own.was_told |= it.kind == Kind::Refused && it.step == letter.step.as_deref();
            } else if own.was_told
                && settles(it.kind)
                && overtakes(flow, it.kind, it.step, &letter.step)
            {
                letter.state = LetterState::Superseded;
            }
        }
    };
    trail.walk(&mut mark);
}

/// Whether a message that this happened to will not be sent as it was before.
const fn settles(kind: Kind) -> bool {
    matches!(kind, Kind::Delivered | Kind::Filtered | Kind::Parked)
}

/// Whether what happened at a step makes a letter of another step, or of the trigger, obsolete:
/// the newer message came through that step, or a condition kept it from coming there.
#[allow(clippy::ref_option)] // As the letter has it.
fn overtakes(flow: &Flow, kind: Kind, step: Option<&str>, letter: &Option<String>) -> bool {
    let Some(letter) = letter.as_deref() else { return true };
    if step == Some(letter) {
        return true;
    }
    let Some(place) = flow.steps.iter().position(|step| step.id == letter) else { return true };
    kind == Kind::Filtered
        && flow.earlier(place).iter().any(|before| {
            flow.steps.get(*before).is_some_and(|before| step == Some(before.id.as_str()))
        })
}
