//! Dead letters and parked work: items that commits add, change and take away one by one.
//!
//! Every change is a version of its own under the sequence of its commit, so that a commit that
//! never came to its head leaves the version before alone. The newest committed version counts;
//! a version without a value, told by its key, says that the item is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::error::{Error, Result};
use crate::layout::{self, StoredLetter, StoredParked, Version};
use crate::protocol::{Core, unencodable};
use crate::store::{
    Commit, DeadLetter, DeadLetterSummary, LetterChange, LetterMark, LetterState, NewDeadLetter,
    Parked, ParkedChange,
};
use crate::trees::{Tree, Trees, Write};

/// The ids that an error about an ambiguous one names at most.
const CANDIDATES_NAMED: usize = 10;

/// A letter remembers so many of its tries at most, the newest ones and the first.
const ATTEMPTS_KEPT: usize = 50;

impl<T: Trees> Core<T> {
    /// Returns the writes that bring the items of a commit into the trees, above the committed
    /// ones: one an item, of its last change.
    pub(crate) async fn item_writes(
        &self,
        flow: &str,
        sequence: u64,
        commit: &Commit,
    ) -> Result<Vec<Write>> {
        let mut writes = Vec::new();
        for letter in &commit.dead_letters {
            writes.push(self.refused(flow, sequence, letter).await?);
        }
        for change in &commit.letters {
            writes.extend(self.marked(flow, sequence, change).await?);
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
        Ok(last.into_values().collect())
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

    /// Returns the deletions of the versions that crashed commits left.
    pub(crate) async fn leftover_items(&self, flow: &str, committed: u64) -> Result<Vec<Write>> {
        let mut gone = Vec::new();
        for tree in [Tree::DeadLetters, Tree::Parked] {
            let versions = self.trees.keys(tree, &layout::flow_prefix(flow)).await?;
            let kept: HashSet<_> = newest_versions(tree, &versions, |_| committed)?.collect();
            // In ascending order, so that the sign that an item is gone goes last.
            let obsolete = versions.iter().filter(|key| !kept.contains(key));
            gone.extend(obsolete.map(|key| Write::Delete(tree, key.clone())));
        }
        Ok(gone)
    }

    async fn refused(&self, flow: &str, sequence: u64, new: &NewDeadLetter) -> Result<Write> {
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
        self.letter_write(flow, &id, sequence, &stored, &new.payload)
    }

    /// Returns what a change makes of a letter; nothing if there is none.
    async fn marked(
        &self,
        flow: &str,
        sequence: u64,
        change: &LetterChange,
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
                return Ok(Some(gone(Tree::DeadLetters, flow, &change.id, sequence)));
            }
            LetterMark::State { state } => stored.state = *state,
            LetterMark::Edited { payload: edited, at } => {
                payload.clone_from(edited);
                stored.edited = Some(*at);
            }
            LetterMark::Failed { code, reason, at } => {
                stored.code.clone_from(code);
                stored.reason.clone_from(reason);
                stored.at = *at;
                stored.state = LetterState::Open;
                stored.attempts = tried(stored.attempts, *at);
            }
        }
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

    pub(crate) async fn dead_letters(&self, flow: Option<&str>) -> Result<Vec<DeadLetterSummary>> {
        let mut letters = Vec::new();
        for (flow, id) in self.item_ids(Tree::DeadLetters, flow).await? {
            if let Some(letter) = self.letter(&flow, &id).await? {
                letters.push(DeadLetterSummary {
                    id: letter.id,
                    flow: letter.flow,
                    step: letter.step,
                    code: letter.code,
                    at: letter.at,
                    state: letter.state,
                    attempts: letter.attempts,
                    edited: letter.edited,
                    partition_key: letter.partition_key,
                });
            }
        }
        letters.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.id.cmp(&b.id)));
        Ok(letters)
    }

    pub(crate) async fn dead_letter(&self, prefix: &str) -> Result<Option<DeadLetter>> {
        if prefix.len() == layout::ID_LEN {
            // A whole id needs no list of all others.
            for flow in self.flows().await? {
                if let Some(letter) = self.letter(&flow, prefix).await? {
                    return Ok(Some(letter));
                }
            }
            return Ok(None);
        }
        let ids = self.item_ids(Tree::DeadLetters, None).await?;
        let mut found = ids.iter().filter(|(_, id)| id.starts_with(prefix));
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some((flow, id)), None) => self.letter(flow, id).await,
            (Some(_), Some(_)) => {
                let candidates = ids.iter().filter(|(_, id)| id.starts_with(prefix));
                let candidates = candidates.map(|(_, id)| id.clone()).take(CANDIDATES_NAMED);
                let candidates = candidates.collect();
                Err(Error::AmbiguousId { prefix: prefix.to_owned(), candidates })
            }
        }
    }

    pub(crate) async fn parked(&self, flow: &str) -> Result<Vec<Parked>> {
        let mut found = Vec::new();
        for (flow, id) in self.item_ids(Tree::Parked, Some(flow)).await? {
            let Some((key, plain)) = self.item(Tree::Parked, &flow, &id).await? else { continue };
            let (stored, payload): (StoredParked, _) = layout::split(&plain)
                .ok_or_else(|| Error::corrupt(Tree::Parked, &key, "the entry does not parse"))?;
            found.push(Parked {
                id,
                message_id: stored.message_id,
                step: stored.step,
                record_key: stored.record_key,
                partition_key: stored.partition_key,
                since: stored.since,
                check_at: stored.check_at,
                deadline: stored.deadline,
                token: stored.token,
                payload: payload.to_vec(),
            });
        }
        found.sort_by(|a, b| a.check_at.cmp(&b.check_at).then_with(|| a.id.cmp(&b.id)));
        Ok(found)
    }

    /// Returns flow and id of every committed item of a tree.
    async fn item_ids(&self, tree: Tree, flow: Option<&str>) -> Result<BTreeSet<(String, String)>> {
        let prefix = flow.map(layout::flow_prefix).unwrap_or_default();
        let versions = self.trees.keys(tree, &prefix).await?;
        let mut committed: HashMap<String, u64> = HashMap::new();
        for key in &versions {
            let Version { flow, .. } = version(tree, key)?;
            if !committed.contains_key(flow) {
                let head = self.stored_head(flow).await?;
                committed.insert(flow.to_owned(), head.map_or(0, |head| head.tip.sequence));
            }
        }
        let committed = |flow: &str| committed.get(flow).copied().unwrap_or(0);
        newest_versions(tree, &versions, committed)?
            .map(|key| version(tree, key).map(|it| (it.flow.to_owned(), it.id.to_owned())))
            .collect()
    }

    /// Returns key and value of the newest committed version of an item.
    async fn item(&self, tree: Tree, flow: &str, id: &str) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        loop {
            let committed = self.stored_head(flow).await?.map_or(0, |head| head.tip.sequence);
            let versions = self.trees.keys(tree, &layout::item_prefix(flow, id)).await?;
            let Some(key) = newest_versions(tree, &versions, |_| committed)?.next() else {
                return Ok(None);
            };
            // A newer version may have taken this one's place meanwhile: look again.
            if let Some(plain) = self.opened_entry(tree, key).await? {
                return Ok(Some((key.clone(), plain)));
            }
        }
    }

    /// Returns the newest committed version of a dead letter.
    async fn letter(&self, flow: &str, id: &str) -> Result<Option<DeadLetter>> {
        let tree = Tree::DeadLetters;
        let Some((key, plain)) = self.item(tree, flow, id).await? else { return Ok(None) };
        let (stored, payload): (StoredLetter, _) = layout::split(&plain)
            .ok_or_else(|| Error::corrupt(tree, &key, "the entry does not parse"))?;
        let attempts = if stored.attempts.is_empty() { vec![stored.at] } else { stored.attempts };
        Ok(Some(DeadLetter {
            id: id.to_owned(),
            flow: flow.to_owned(),
            sequence: version(tree, &key)?.sequence,
            message_id: stored.message_id,
            step: stored.step,
            code: stored.code,
            reason: stored.reason,
            at: stored.at,
            payload: payload.to_vec(),
            record_key: stored.record_key,
            partition_key: stored.partition_key,
            state: stored.state,
            attempts,
            edited: stored.edited,
        }))
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

fn version(tree: Tree, key: &[u8]) -> Result<Version<'_>> {
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
