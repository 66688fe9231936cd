//! The names behind seen keys, for flows that tell which records are gone: sealed blocks of keys
//! and the records' own keys.
//!
//! Loose blocks are added by commits. A commit that keeps only some of them writes one large block
//! after another under its own sequence; from its head on every block of an earlier sequence is
//! obsolete. So the newest committed large block says where the names begin.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layout::{self, FIRST_SEGMENT};
use crate::pieces::Pieces;
use crate::protocol::Core;
use crate::store::{Name, NamesChange, Seen};
use crate::trees::{Tree, Trees, Write};

/// The plain bytes of a loose block, at least: sealed it stays below what a home keeps in line.
const LOOSE: usize = 4 * 1024;

/// The plain bytes of a large block, at least.
const LARGE: usize = 256 * 1024;

/// Which blocks count, and which are left over.
pub(crate) struct Counted {
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) left_over: Vec<Vec<u8>>,
}

impl<T: Trees> Core<T> {
    /// Looks which blocks of names count, up to a committed sequence.
    pub(crate) async fn counted_names(&self, flow: &str, committed: u64) -> Result<Counted> {
        let keys = self.trees.keys(Tree::Names, &layout::flow_prefix(flow)).await?;
        let mut places = Vec::with_capacity(keys.len());
        for key in keys {
            let place = layout::seen_place(&key);
            let corrupt = || Error::corrupt(Tree::Names, &key, "the key has an impossible length");
            places.push((place.ok_or_else(corrupt)?, key));
        }
        let large = places.iter().filter(|((sequence, large), _)| *large && *sequence <= committed);
        let from = large.map(|((sequence, _), _)| *sequence).max().unwrap_or(0);
        let mut counted = Counted { keys: Vec::new(), left_over: Vec::new() };
        for ((sequence, _), key) in places {
            let counts = (from..=committed).contains(&sequence);
            if counts { &mut counted.keys } else { &mut counted.left_over }.push(key);
        }
        Ok(counted)
    }

    /// Returns the blocks that a commit adds.
    pub(crate) fn name_blocks(
        &self,
        flow: &str,
        sequence: u64,
        change: &NamesChange,
    ) -> Result<Vec<Write>> {
        let NamesChange::Append(names) = change else { return Ok(Vec::new()) };
        let mut blocks = Blocks { flow, sequence, next: 0, plain: Vec::new() };
        let mut writes = Vec::new();
        for name in names {
            blocks.add(name);
            if blocks.plain.len() >= LOOSE {
                writes.push(blocks.sealed(self)?);
            }
        }
        if !blocks.plain.is_empty() {
            writes.push(blocks.sealed(self)?);
        }
        Ok(writes)
    }

    /// Writes one name of each of these keys that has one, under a new sequence; returns the
    /// deletions of the blocks so far.
    pub(crate) async fn keep_names(
        &self,
        pieces: &mut Pieces<'_, T>,
        flow: &str,
        (committed, sequence): (u64, u64),
        change: &NamesChange,
    ) -> Result<Vec<Write>> {
        let NamesChange::Keep(parts) = change else { return Ok(Vec::new()) };
        let parts: Vec<_> = parts.iter().filter(|part| !part.is_empty()).collect();
        let mut known: Vec<Vec<bool>> = parts.iter().map(|part| vec![false; part.len()]).collect();
        let old = self.counted_names(flow, committed).await?.keys;
        let mut blocks = Blocks { flow, sequence, next: FIRST_SEGMENT, plain: Vec::new() };
        for key in &old {
            for name in self.names_of(key).await? {
                let Some(place) = find(&parts, &name.key) else { continue };
                let slot = known.get_mut(place.0).and_then(|part| part.get_mut(place.1));
                if slot.is_some_and(|known| !std::mem::replace(known, true)) {
                    blocks.add(&name);
                }
            }
            if blocks.plain.len() >= LARGE {
                pieces.add([blocks.sealed(self)?]).await?;
            }
        }
        // An empty one too: it says that those before it are obsolete.
        pieces.add([blocks.sealed(self)?]).await?;
        Ok(old.into_iter().map(|key| Write::Delete(Tree::Names, key)).collect())
    }

    /// Gives all committed names to `each`, a block at a time.
    pub(crate) async fn names(
        &self,
        flow: &str,
        each: &mut (dyn for<'a> FnMut(&'a [Name]) + Send),
    ) -> Result<()> {
        let committer = self.committer(flow);
        // A commit that keeps only some would take blocks away under the reading.
        let _commits_wait = committer.lock().await;
        let Some(head) = self.stored_head(flow).await? else { return Ok(()) };
        for key in self.counted_names(flow, head.tip.sequence).await?.keys {
            each(&self.names_of(&key).await?);
        }
        Ok(())
    }

    async fn names_of(&self, key: &[u8]) -> Result<Vec<Name>> {
        let gone = || Error::corrupt(Tree::Names, key, "the block is gone");
        let plain = self.opened_entry(Tree::Names, key).await?.ok_or_else(gone)?;
        let broken = || Error::corrupt(Tree::Names, key, "the block does not parse");
        let mut names = Vec::new();
        let mut rest = &plain[..];
        while !rest.is_empty() {
            let (hash, behind) = rest.split_first_chunk::<16>().ok_or_else(broken)?;
            let (len, behind) = behind.split_first_chunk::<8>().ok_or_else(broken)?;
            let len = usize::try_from(u64::from_be_bytes(*len)).map_err(|_| broken())?;
            let (name, behind) = behind.split_at_checked(len).ok_or_else(broken)?;
            let name = std::str::from_utf8(name).map_err(|_| broken())?.to_owned();
            names.push(Name { key: *hash, name });
            rest = behind;
        }
        Ok(names)
    }
}

/// Where a key is among entries with ascending keys.
fn find(parts: &[&Arc<Vec<Seen>>], key: &[u8; 16]) -> Option<(usize, usize)> {
    let part = parts.partition_point(|part| part.last().is_some_and(|last| last.key < *key));
    let at = parts.get(part)?.binary_search_by(|seen| seen.key.cmp(key)).ok()?;
    Some((part, at))
}

/// The blocks of one commit, one after another.
struct Blocks<'a> {
    flow: &'a str,
    sequence: u64,
    /// The number of the next block.
    next: u32,
    plain: Vec<u8>,
}

impl Blocks<'_> {
    fn add(&mut self, Name { key, name }: &Name) {
        self.plain.extend_from_slice(key);
        self.plain.extend_from_slice(&(name.len() as u64).to_be_bytes());
        self.plain.extend_from_slice(name.as_bytes());
    }

    fn sealed<T>(&mut self, core: &Core<T>) -> Result<Write> {
        let key = layout::seen_key(self.flow, self.sequence, self.next);
        self.next += 1;
        let sealed = core.sealer.seal(Tree::Names, &key, &std::mem::take(&mut self.plain))?;
        Ok(Write::Put(Tree::Names, key, sealed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;
    use crate::store::{Commit, SeenChange, Store};
    use crate::vault::MasterKey;

    fn key(n: u16) -> [u8; 16] {
        let [high, low] = n.to_be_bytes();
        std::array::from_fn(|at| if at == 0 { high } else { low })
    }

    fn named(range: std::ops::Range<u16>) -> Vec<Name> {
        range.map(|n| Name { key: key(n), name: format!("record {n}") }).collect()
    }

    fn kept(range: std::ops::Range<u16>) -> Vec<Arc<Vec<Seen>>> {
        let seen = |n| Seen { key: key(n), content: [0; 8], version: 0, sequence: 1 };
        let (left, right) = (range.clone().map(seen), range.end + 1..range.end + 2);
        vec![Arc::new(left.collect()), Arc::default(), Arc::new(right.map(seen).collect())]
    }

    async fn all(store: &MemoryStore) -> Vec<Name> {
        let mut all = Vec::new();
        store.names("f", &mut |names| all.extend_from_slice(names)).await.unwrap();
        all
    }

    async fn commit(store: &MemoryStore, names: NamesChange) -> Result<()> {
        let lease = store.lease("f").await?;
        let sequence = lease.head.map_or(0, |head| head.sequence) + 1;
        let seen = SeenChange::default();
        store.commit(&lease.fence, sequence, Commit { names, seen, ..Commit::default() }).await
    }

    #[tokio::test]
    async fn names_are_added_and_those_that_are_kept_take_the_place_of_all() {
        let store = MemoryStore::new(MasterKey::generate());
        assert_eq!(all(&store).await, []);
        for range in [0..600, 500..900] {
            commit(&store, NamesChange::Append(named(range))).await.unwrap();
        }
        assert_eq!(all(&store).await.len(), 1000);
        commit(&store, NamesChange::Keep(kept(400..700))).await.unwrap();
        let mut left = all(&store).await;
        left.sort_by_key(|name| name.key);
        let mut expected = named(400..700);
        expected.extend(named(701..702));
        assert_eq!(left, expected);
        commit(&store, NamesChange::Append(named(1000..1001))).await.unwrap();
        assert_eq!(all(&store).await.len(), 302);
        commit(&store, NamesChange::Keep(vec![])).await.unwrap();
        assert_eq!(all(&store).await, []);
    }

    #[tokio::test]
    async fn a_commit_that_stops_anywhere_leaves_the_names_of_the_one_before_or_its_own() {
        for change in [NamesChange::Append(named(50..400)), NamesChange::Keep(kept(0..20))] {
            let (mut before, mut behind) = (0, 0);
            for writes in 0.. {
                let store = MemoryStore::new(MasterKey::generate());
                commit(&store, NamesChange::Append(named(0..100))).await.unwrap();
                store.crash_after(writes);
                let done = commit(&store, change.clone()).await.is_ok();
                let store = store.reopen().await.unwrap();
                let found = all(&store).await.len();
                let whole = if matches!(change, NamesChange::Keep(_)) { 21 } else { 450 };
                assert!(found == 100 || found == whole, "{found} behind {writes} writes");
                *(if found == 100 { &mut before } else { &mut behind }) += 1;
                // What was left over is none of the next commit's.
                commit(&store, NamesChange::Append(vec![])).await.unwrap();
                assert_eq!(all(&store).await.len(), found);
                if done {
                    break;
                }
            }
            assert!(before > 0 && behind > 0);
        }
    }
}
