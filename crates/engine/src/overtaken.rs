//! Which dead letters newer messages of the same record overtake: they are not to be sent any more.

use std::collections::{BTreeSet, HashMap, HashSet};

use flow::Flow;
use store::{DeadLetter, LetterChange, LetterMark, LetterState, NewDeadLetter, Store};

use crate::age::{Ages, Before};
use crate::run::Run;
use crate::settled::Settled;
use crate::trail::{self, Kind, Trace, Trail, What};
use crate::{Error, Result};

/// A message of a record that has a letter, at a step.
struct Passed {
    key: [u8; 8],
    message: [u8; 8],
    kind: Kind,
    step: Option<String>,
}

impl Run {
    /// What becomes of dead letters with what is settled now; `before` has the messages that are not
    /// new, by the tags of their ids.
    pub(crate) async fn overtaken(
        &mut self,
        settled: &mut Settled,
        before: &HashMap<[u8; 8], Before>,
    ) -> Result<Vec<LetterChange>> {
        let (store, flow) = (&*self.context.store, &*self.context.flow);
        let Settled { trail, dead_letters, .. } = settled;
        overtaken(store, flow, trail, dead_letters, before).await
    }
}

/// When a letter's message was refused for the first time.
pub(crate) fn first_attempt(letter: &DeadLetter) -> i64 {
    letter.attempts.first().copied().unwrap_or(letter.at)
}

/// A letter's message.
pub(crate) fn of(letter: &DeadLetter) -> Before {
    Before::of(&letter.partition_key, &letter.message_id, first_attempt(letter))
}

/// Whether a message that a step refuses only now was overtaken there since it came.
#[allow(clippy::ref_option)] // As the letter has it.
pub(crate) fn was_overtaken(flow: &Flow, ages: &Ages, own: Before, step: &Option<String>) -> bool {
    ages.of_newer(own).any(|(kind, at)| settles(kind) && overtakes(flow, kind, at, step))
}

/// Marks the letters that a commit overtakes: those of its own page among `new`, the others in what
/// it gives. Tells it to the trail.
///
/// A message of `before` overtakes what is older than itself, and is overtaken by what newer ones
/// went through since; all others are newer than any letter. Letters are looked up by the records
/// that come: it takes no longer where there are very many.
async fn overtaken(
    store: &dyn Store,
    flow: &Flow,
    trail: &mut Trail,
    new: &mut [NewDeadLetter],
    before: &HashMap<[u8; 8], Before>,
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
    let all_passed = passed(trail, &letters);
    let late = |letter: &NewDeadLetter| before.get(&trail::tag(&letter.message_id)).copied();
    let resumed = all_passed.iter().filter(|it| before.contains_key(&it.message));
    let mut keys: HashSet<_> = resumed.map(|it| it.key).collect();
    keys.extend(new.iter().filter_map(late).map(|it| it.key));
    let ages = Ages::read(store, &flow.name, &keys).await.map_err(failed)?;
    for letter in new.iter_mut() {
        if late(letter).is_some_and(|it| was_overtaken(flow, &ages, it, &letter.step)) {
            letter.state = LetterState::Superseded;
        }
    }
    let is_newer = |passed: &Passed, letter: &DeadLetter| {
        before.get(&passed.message).is_none_or(|own| ages.age(of(letter)) < ages.age(*own))
    };
    let mut gone = BTreeSet::new();
    let mut changes = vec![];
    for passed in all_passed {
        for id in letters.get(&passed.key).into_iter().flatten() {
            if gone.contains(id) {
                continue;
            }
            let letter = store.dead_letter(id).await.map_err(failed)?;
            let Some(letter) = letter.filter(|letter| {
                letter.state == LetterState::Open
                    && trail::tag(&letter.message_id) != passed.message
                    && is_newer(&passed, letter)
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
                key: it.key,
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
                let is_refusal = matches!(it.kind, Kind::Refused | Kind::InDoubt);
                own.was_told |= is_refusal && it.step == letter.step.as_deref();
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
    use Kind::{Delivered, Echoed, Filtered, Overruled, Parked};
    matches!(kind, Delivered | Filtered | Echoed | Overruled | Parked)
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
