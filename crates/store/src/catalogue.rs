//! The catalogue of items: which open dead letters each record has, and which items the commit
//! under way writes. It spares runs a look at every item that there is.
//!
//! Invariant: every open letter of a committed head is in it. It may hold letters that are open no
//! more, or never were: whoever finds one here looks at the letter itself.

use crate::error::Result;
use crate::format;
use crate::items::{ItemWrites, version};
use crate::layout::{self, CataloguedLetter};
use crate::pieces::Pieces;
use crate::protocol::Core;
use crate::store::LetterState;
use crate::trees::{Tree, Trees, Wait, Write};

/// The trees that hold items, by the byte that stands for each in the list of what a commit writes.
const TREES: [Tree; 2] = [Tree::DeadLetters, Tree::Parked];

/// What the catalogue takes part in a commit with, in the order of the commit's writes.
#[derive(Default)]
pub(crate) struct CatalogueWrites {
    /// Before the items: which they are, and the letters that will be open.
    pub(crate) before: Vec<Write>,
    /// Behind everything: the letters that are open no more, and the list.
    pub(crate) behind: Vec<Write>,
}

impl<T: Trees> Core<T> {
    /// Returns what the catalogue is to know of a commit's items.
    pub(crate) fn catalogue_writes(
        &self,
        flow: &str,
        made: &ItemWrites,
    ) -> Result<CatalogueWrites> {
        let mut writes = CatalogueWrites::default();
        if made.items.is_empty() {
            return Ok(writes);
        }
        let mut list = Vec::new();
        for write in &made.items {
            let (Write::Put(tree, key, _) | Write::Delete(tree, key)) = write;
            let at = TREES.iter().position(|it| it == tree).unwrap_or_default();
            list.push(at as u8);
            list.extend_from_slice(version(*tree, key)?.id.as_bytes());
        }
        let list_key = layout::commit_items_key(flow);
        let sealed = self.sealer.seal(Tree::Catalogue, &list_key, &list)?;
        writes.before.push(Write::Put(Tree::Catalogue, list_key.clone(), sealed));
        for ((record, id), is_open) in &made.letters {
            if *is_open {
                writes.before.push(self.open_letter(flow, *record, id)?);
            } else {
                let key = layout::catalogued_letter_key(flow, *record, id);
                writes.behind.push(Write::Delete(Tree::Catalogue, key));
            }
        }
        writes.behind.push(Write::Delete(Tree::Catalogue, list_key));
        Ok(writes)
    }

    fn open_letter(&self, flow: &str, record: [u8; 16], id: &str) -> Result<Write> {
        let key = layout::catalogued_letter_key(flow, record, id);
        let sealed = self.sealer.seal(Tree::Catalogue, &key, &[])?;
        Ok(Write::Put(Tree::Catalogue, key, sealed))
    }

    /// Returns the deletions of the versions that a crashed commit left.
    pub(crate) async fn leftover_items(&self, flow: &str, committed: u64) -> Result<Vec<Write>> {
        let mut gone = Vec::new();
        if !format::has_catalogue(&self.trees).await? {
            for tree in TREES {
                let prefix = layout::flow_prefix(flow);
                gone.extend(self.leftover_versions(tree, &prefix, committed).await?);
            }
            return Ok(gone);
        }
        let list_key = layout::commit_items_key(flow);
        let Some(list) = self.opened_entry(Tree::Catalogue, &list_key).await? else {
            return Ok(gone);
        };
        for item in list.chunks_exact(1 + layout::ID_LEN) {
            let Some((tree, id)) = item.split_first() else { continue };
            let Some(tree) = TREES.get(usize::from(*tree)) else { continue };
            let prefix = [&layout::flow_prefix(flow), id].concat();
            gone.extend(self.leftover_versions(*tree, &prefix, committed).await?);
        }
        // Last: as long as something of it may be there, the list is.
        gone.push(Write::Delete(Tree::Catalogue, list_key));
        Ok(gone)
    }

    /// Finds the open letters of the records whose keys begin so; some may be open no more.
    pub(crate) async fn letters_of(
        &self,
        flow: &str,
        records: &[[u8; 8]],
    ) -> Result<Vec<([u8; 8], String)>> {
        let mut found = Vec::new();
        let all = layout::catalogued_letters(flow);
        // Most flows have none, which takes one look.
        if !self.trees.next(Tree::Catalogue, &all).await?.is_some_and(|it| it.starts_with(&all)) {
            return Ok(found);
        }
        for record in records {
            let prefix = [&all[..], record].concat();
            let mut from = prefix.clone();
            while let Some(key) = self.trees.next(Tree::Catalogue, &from).await? {
                if !key.starts_with(&prefix) {
                    break;
                }
                if let Some(CataloguedLetter { id, .. }) = layout::catalogued_letter(&key) {
                    found.push((*record, id.to_owned()));
                }
                from = [&key[..], &[0]].concat();
            }
        }
        Ok(found)
    }

    /// Makes the catalogue of a store whose format had none.
    pub(crate) async fn make_catalogue(&self) -> Result<()> {
        for flow in self.all_flows().await? {
            let tip = self.stored_head(&flow).await?.map_or(0, |head| head.tip.sequence);
            let mut pieces = Pieces::to(&self.trees);
            pieces.add(self.leftover_items(&flow, tip).await?).await?;
            let mut open = Vec::new();
            let mut each = |letter: crate::store::DeadLetterSummary| {
                if letter.state == LetterState::Open && letter.partition_key != [0; 16] {
                    open.push((letter.partition_key, letter.id));
                }
                true
            };
            self.each_dead_letter(Some(&flow), &mut each).await?;
            for (record, id) in open {
                pieces.add([self.open_letter(&flow, record, &id)?]).await?;
            }
            pieces.finish().await?;
        }
        self.trees.apply(vec![format::with_catalogue()], Wait::Durable).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;
    use crate::protocol::Home as _;
    use crate::store::{Commit, LetterChange, LetterMark, NewDeadLetter, Store as _};
    use crate::vault::MasterKey;

    const FLOW: &str = "f";

    fn letter(number: u8) -> NewDeadLetter {
        let partition_key = [number; 16];
        NewDeadLetter { message_id: number.to_string(), partition_key, ..NewDeadLetter::default() }
    }

    async fn commit(store: &MemoryStore, commit: Commit) -> Result<()> {
        let lease = store.lease(FLOW).await?;
        let sequence = lease.head.map_or(0, |head| head.sequence) + 1;
        store.commit(&lease.fence, sequence, commit).await
    }

    async fn refuse(store: &MemoryStore, numbers: std::ops::Range<u8>) -> Result<()> {
        let dead_letters = numbers.map(letter).collect();
        commit(store, Commit { dead_letters, ..Commit::default() }).await
    }

    /// Which of ten records have a letter by the catalogue.
    async fn found(store: &MemoryStore) -> Vec<u8> {
        let records: Vec<_> = (1..10).map(|number| [number; 8]).collect();
        let found = store.letters_of(FLOW, &records).await.unwrap();
        found.into_iter().map(|([number, ..], _)| number).collect()
    }

    /// Leaves the store as the third format had it.
    async fn without_catalogue(store: &MemoryStore) {
        let trees = &store.core().trees;
        let keys = trees.keys(Tree::Catalogue, &[]).await.unwrap();
        let mut writes: Vec<_> =
            keys.into_iter().map(|key| Write::Delete(Tree::Catalogue, key)).collect();
        writes.push(Write::Put(Tree::Meta, b"format".to_vec(), 3_u32.to_be_bytes().to_vec()));
        trees.apply(writes, Wait::Durable).await.unwrap();
    }

    #[tokio::test]
    async fn a_store_without_a_catalogue_gets_one_and_loses_what_a_crash_left() {
        let store = MemoryStore::new(MasterKey::generate());
        refuse(&store, 1..6).await.unwrap();
        let id = store.letters_of(FLOW, &[[4; 8]]).await.unwrap().remove(0).1;
        let change = LetterMark::State { state: LetterState::Replayed };
        let letters = vec![LetterChange { id, change }];
        commit(&store, Commit { letters, ..Commit::default() }).await.unwrap();
        assert_eq!(found(&store).await, [1, 2, 3, 5]);
        // A commit of letters stops right before its head.
        let mut before_head = store.reopen().await.unwrap();
        for writes in 0.. {
            let next = store.reopen().await.unwrap();
            next.crash_after(writes);
            refuse(&next, 6..9).await.unwrap_or_default();
            let next = next.reopen().await.unwrap();
            if next.head(FLOW).await.unwrap().unwrap().sequence == 3 {
                break;
            }
            before_head = next;
        }
        without_catalogue(&before_head).await;
        let store = before_head.reopen().await.unwrap();
        assert_eq!(found(&store).await, [1, 2, 3, 5]);
        commit(&store, Commit::default()).await.unwrap();
        assert_eq!(store.dead_letters(Some(FLOW)).await.unwrap().len(), 5, "none came to light");
    }
}
