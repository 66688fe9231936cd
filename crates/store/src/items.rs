//! Dead letters and parked work: items that commits add, change and take away one by one.
//!
//! Every change is a version of its own under the sequence of its commit, so that a commit that
//! never came to its head leaves the version before alone. The newest committed version counts;
//! a version without a value, told by its key, says that the item is gone.

mod reading;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::{Error, Result};
use crate::layout::{self, StoredLetter, StoredParked, Version};
use crate::protocol::{Core, unencodable};
use crate::store::{
    Commit, LetterChange, LetterMark, LetterState, NewDeadLetter, Parked, ParkedChange,
};
use crate::trees::{Tree, Trees, Write};

/// A letter remembers so many of its tries at most, the newest ones and the first.
const ATTEMPTS_KEPT: usize = 50;

/// What the items of a commit change.
#[derive(Default)]
pub(crate) struct ItemWrites {
    /// One an item, of its last change.
    pub(crate) items: Vec<Write>,
    /// The letters that are open from now on, and those that are not: key of the record and id.
    pub(crate) letters: BTreeMap<([u8; 16], String), bool>,
}

impl ItemWrites {
    fn note(&mut self, letter: &StoredLetter, id: &str, is_open: bool) {
        if letter.partition_key != [0; 16] {
            self.letters.insert((letter.partition_key, id.to_owned()), is_open);
        }
    }
}

impl<T: Trees> Core<T> {
    /// Returns the writes that bring the items of a commit into the trees, above the committed
    /// ones.
    pub(crate) async fn item_writes(
        &self,
        flow: &str,
        sequence: u64,
        commit: &Commit,
    ) -> Result<ItemWrites> {
        let mut made = ItemWrites::default();
        let mut writes = Vec::new();
        for letter in &commit.dead_letters {
            writes.push(self.refused(flow, sequence, letter, &mut made).await?);
        }
        for change in &commit.letters {
            writes.extend(self.marked(flow, sequence, change, &mut made).await?);
        }
        for change in &commit.parked {
            writes.push(match change {
                ParkedChange::Put(parked) => self.parked_write(flow, sequence, parked)?,
                ParkedChange::Done(id) => gone(Tree::Parked, flow, id, sequence),
            });
        }
        let mut last = BTreeMap::new();
        for write in writes {
            let (Write::Put(tree, key, _) | Write::Delete(tree, key)) = &write;
            let id = version(*tree, key)?.id.to_owned();
            last.insert((*tree, id), write);
        }
        made.items = last.into_values().collect();
        Ok(made)
    }

    /// Returns the deletions of the versions that the writes of a commit took the place of, the
    /// signs included that an item is gone.
    pub(crate) async fn obsolete_items(
        &self,
        flow: &str,
        sequence: u64,
        writes: &[Write],
    ) -> Result<Vec<Write>> {
        let mut obsolete = Vec::new();
        for write in writes {
            let Write::Put(tree, key, _) = write else { continue };
            let written = version(*tree, key)?;
            for known in self.trees.keys(*tree, &layout::item_prefix(flow, written.id)).await? {
                if version(*tree, &known)?.sequence < sequence {
                    obsolete.push(Write::Delete(*tree, known));
                }
            }
            // Behind the versions before it: as long as one of them is there, so is the sign.
            if written.is_gone {
                obsolete.push(Write::Delete(*tree, key.clone()));
            }
        }
        Ok(obsolete)
    }

    /// Returns the deletions of the versions that crashed commits left of one item, or of all of
    /// a flow, whose keys begin with a prefix.
    pub(crate) async fn leftover_versions(
        &self,
        tree: Tree,
        prefix: &[u8],
        committed: u64,
    ) -> Result<Vec<Write>> {
        let versions = self.trees.keys(tree, prefix).await?;
        let kept: HashSet<_> = newest_versions(tree, &versions, |_| committed)?.collect();
        // In ascending order, so that the sign that an item is gone goes last.
        let obsolete = versions.iter().filter(|key| !kept.contains(key));
        Ok(obsolete.map(|key| Write::Delete(tree, key.clone())).collect())
    }

    async fn refused(
        &self,
        flow: &str,
        sequence: u64,
        new: &NewDeadLetter,
        made: &mut ItemWrites,
    ) -> Result<Write> {
        let id = self.letter_id(flow, new);
        let before = self.letter(flow, &id).await?;
        let attempts = tried(before.map(|letter| letter.attempts).unwrap_or_default(), new.at);
        let stored = StoredLetter {
            message_id: new.message_id.clone(),
            step: new.step.clone(),
            code: new.code.clone(),
            reason: new.reason.clone(),
            at: new.at,
            record_key: new.record_key.clone(),
            partition_key: new.partition_key,
            state: new.state,
            attempts,
            edited: None,
        };
        made.note(&stored, &id, stored.state == LetterState::Open);
        self.letter_write(flow, &id, sequence, &stored, &new.payload)
    }

    /// Returns what a change makes of a letter; nothing if there is none.
    async fn marked(
        &self,
        flow: &str,
        sequence: u64,
        change: &LetterChange,
        made: &mut ItemWrites,
    ) -> Result<Option<Write>> {
        let Some(letter) = self.letter(flow, &change.id).await? else { return Ok(None) };
        let mut stored = StoredLetter {
            message_id: letter.message_id,
            step: letter.step,
            code: letter.code,
            reason: letter.reason,
            at: letter.at,
            record_key: letter.record_key,
            partition_key: letter.partition_key,
            state: letter.state,
            attempts: letter.attempts,
            edited: letter.edited,
        };
        let mut payload = letter.payload;
        match &change.change {
            LetterMark::Dropped => {
                made.note(&stored, &change.id, false);
                return Ok(Some(gone(Tree::DeadLetters, flow, &change.id, sequence)));
            }
            LetterMark::State { state } => stored.state = *state,
            LetterMark::Edited { payload: edited, at } => {
                payload.clone_from(edited);
                stored.edited = Some(*at);
            }
            LetterMark::Learned { payload: learned } => payload.clone_from(learned),
            LetterMark::Failed { code, reason, at, state } => {
                stored.code.clone_from(code);
                stored.reason.clone_from(reason);
                stored.at = *at;
                stored.state = *state;
                stored.attempts = tried(stored.attempts, *at);
            }
        }
        made.note(&stored, &change.id, stored.state == LetterState::Open);
        self.letter_write(flow, &change.id, sequence, &stored, &payload).map(Some)
    }

    fn letter_write(
        &self,
        flow: &str,
        id: &str,
        sequence: u64,
        letter: &StoredLetter,
        payload: &[u8],
    ) -> Result<Write> {
        let key = layout::item_key(flow, id, sequence);
        let plain = layout::join(letter, payload).map_err(unencodable)?;
        let sealed = self.sealer.seal(Tree::DeadLetters, &key, &plain)?;
        Ok(Write::Put(Tree::DeadLetters, key, sealed))
    }

    fn parked_write(&self, flow: &str, sequence: u64, parked: &Parked) -> Result<Write> {
        let key = layout::item_key(flow, &parked.id, sequence);
        let stored = StoredParked {
            message_id: parked.message_id.clone(),
            step: parked.step.clone(),
            record_key: parked.record_key.clone(),
            partition_key: parked.partition_key,
            since: parked.since,
            check_at: parked.check_at,
            deadline: parked.deadline,
            token: parked.token.clone(),
        };
        let plain = layout::join(&stored, &parked.payload).map_err(unencodable)?;
        let sealed = self.sealer.seal(Tree::Parked, &key, &plain)?;
        Ok(Write::Put(Tree::Parked, key, sealed))
    }

    fn letter_id(&self, flow: &str, letter: &NewDeadLetter) -> String {
        let flow = flow.as_bytes();
        let message = letter.message_id.as_bytes();
        // Without a step there is one part less, so no step's name reads like none.
        let hash = match &letter.step {
            Some(step) => self.keyed_hash("dead letter", &[flow, message, step.as_bytes()]),
            None => self.keyed_hash("dead letter", &[flow, message]),
        };
        hash.first_chunk::<{ layout::ID_LEN / 2 }>().map(|id| layout::hex(id)).unwrap_or_default()
    }
}

fn gone(tree: Tree, flow: &str, id: &str, sequence: u64) -> Write {
    Write::Put(tree, layout::gone_key(flow, id, sequence), Vec::new())
}

fn tried(mut attempts: Vec<i64>, at: i64) -> Vec<i64> {
    attempts.push(at);
    if attempts.len() > ATTEMPTS_KEPT {
        attempts.remove(1);
    }
    attempts
}

pub(crate) fn version(tree: Tree, key: &[u8]) -> Result<Version<'_>> {
    layout::version(key)
        .ok_or_else(|| Error::corrupt(tree, key, "the key has an impossible length"))
}

/// Picks from ascending keys of items' versions the newest committed one of each item that is not
/// gone by then.
fn newest_versions(
    tree: Tree,
    versions: &[Vec<u8>],
    committed: impl Fn(&str) -> u64,
) -> Result<impl Iterator<Item = &Vec<u8>>> {
    let mut newest: HashMap<(&str, &str), &Vec<u8>> = HashMap::new();
    for key in versions {
        let Version { flow, id, sequence, is_gone } = version(tree, key)?;
        if sequence > committed(flow) {
            continue;
        }
        if is_gone {
            newest.remove(&(flow, id));
        } else {
            newest.insert((flow, id), key);
        }
    }
    Ok(newest.into_values())
}
