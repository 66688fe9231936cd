//! Reading everything that a store keeps, and naming what is damaged.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::layout::{self, InboxKey, StoredCause, StoredHead, StoredLetter, StoredParked};
use crate::protocol::{Core, Home as _};
use crate::seen;
use crate::sled::SledStore;
use crate::store::RunLine;
use crate::trees::{Tree, Trees, Write};

/// A damaged entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Damage {
    /// The flow that it belongs to; `None` for the vault, and where the key does not tell.
    pub flow: Option<String>,
    /// The kind of entry, such as `heads`.
    pub kind: String,
    /// Which entry, and what is wrong with it.
    pub what: String,
}

/// What was read, and what is damaged of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Flows that anything is kept of.
    pub flows: u64,
    /// Entries of every kind, those included that no longer count.
    pub entries: u64,
    /// What is damaged.
    pub damage: Vec<Damage>,
}

impl SledStore {
    /// Reads everything that this store keeps, while it is in use.
    pub async fn verify(&self) -> Result<Verified> {
        self.core().verify().await
    }
}

impl<T: Trees> Core<T> {
    async fn verify(&self) -> Result<Verified> {
        let mut reading =
            Reading { core: self, verified: Verified::default(), flows: HashSet::new() };
        for tree in Tree::ALL.into_iter().filter(|tree| *tree != Tree::Meta) {
            reading.tree(tree).await;
        }
        let Reading { mut verified, flows, .. } = reading;
        for flow in &flows {
            if let Err(error) = self.check_counts(flow).await {
                let kind = Tree::Seen;
                let place = layout::seen_key(flow, 0, 0);
                // A damaged head or block was named by itself.
                if !verified.damage.iter().any(|it| {
                    it.flow.as_deref() == Some(flow) && ["heads", "seen"].contains(&&*it.kind)
                }) {
                    verified.damage.push(damage(kind, &place, &error));
                }
            }
        }
        verified.flows = flows.len() as u64;
        Ok(verified)
    }

    /// Reads one entry; one that is gone by now is none.
    async fn check(&self, tree: Tree, key: &[u8]) -> Result<()> {
        let Some(value) = self.trees.get(tree, key).await? else { return Ok(()) };
        let unreadable = || Error::corrupt(tree, key, "the entry does not parse");
        let is_gone = matches!(tree, Tree::DeadLetters | Tree::Parked)
            && layout::version(key).is_some_and(|version| version.is_gone);
        if is_gone {
            return Ok(());
        }
        let plain = self.plain(tree, key, value)?;
        let parses = match tree {
            Tree::Heads => StoredHead::decode(&plain).is_some(),
            Tree::DeadLetters => layout::split::<StoredLetter>(&plain).is_some(),
            Tree::Parked => layout::split::<StoredParked>(&plain).is_some(),
            Tree::History => layout::split::<StoredCause>(&plain).is_some(),
            Tree::Runs => serde_json::from_slice::<RunLine>(&plain).is_ok(),
            Tree::Inbox => match layout::split_inbox(key) {
                Some(InboxKey::Entry { .. } | InboxKey::Note { .. }) => plain.len() >= 8,
                Some(InboxKey::Key { .. }) => plain.len() == 16,
                None => false,
            },
            Tree::Seen => return self.check_place(key).await,
            _ => true,
        };
        if parses { Ok(()) } else { Err(unreadable()) }
    }

    /// A block of seen entries has to lie where blocks lie.
    async fn check_place(&self, key: &[u8]) -> Result<()> {
        match layout::seen_place(key) {
            Some(_) => Ok(()),
            None => Err(Error::corrupt(Tree::Seen, key, "the key has an impossible length")),
        }
    }

    /// Holds the entries that count against what the head says of them.
    async fn check_counts(&self, flow: &str) -> Result<()> {
        let committer = self.committer(flow);
        let _commits_wait = committer.lock().await;
        let Some(head) = self.stored_head(flow).await? else { return Ok(()) };
        let (_, leftovers) = self.leftovers(flow, head.tip).await?;
        let left_over: HashSet<&[u8]> = leftovers
            .iter()
            .filter_map(|write| match write {
                Write::Delete(Tree::Seen, key) => Some(&key[..]),
                _ => None,
            })
            .collect();
        let mut found = 0;
        let mut entries = Vec::new();
        for key in self.trees.keys(Tree::Seen, &layout::flow_prefix(flow)).await? {
            if left_over.contains(&key[..]) {
                continue;
            }
            let Some(value) = self.trees.get(Tree::Seen, &key).await? else { continue };
            entries.clear();
            seen::unpack(&self.sealer, &key, &value, &mut entries)?;
            found += entries.len() as u64;
        }
        if found == head.tip.seen_entries {
            return Ok(());
        }
        let reason = format!("{found} of {} entries are there", head.tip.seen_entries);
        Err(Error::corrupt(Tree::Seen, &layout::seen_key(flow, head.tip.sequence, 0), reason))
    }
}

/// Everything that is read, as far as it came.
struct Reading<'a, T> {
    core: &'a Core<T>,
    verified: Verified,
    flows: HashSet<String>,
}

impl<T: Trees> Reading<'_, T> {
    async fn tree(&mut self, tree: Tree) {
        let mut from = Vec::new();
        loop {
            match self.core.trees.next(tree, &from).await {
                Ok(Some(key)) => {
                    from = [&key[..], &[0]].concat();
                    self.entry(tree, &key).await;
                }
                Ok(None) => return,
                Err(error) => {
                    self.verified.damage.push(damage(tree, &from, &error));
                    return self.rest_from_the_end(tree, &from).await;
                }
            }
        }
    }

    /// Reads what lies behind a place that cannot be read, from the end back to it, or to another
    /// such place.
    async fn rest_from_the_end(&mut self, tree: Tree, place: &[u8]) {
        let mut before: Option<Vec<u8>> = None;
        while let Ok(Some(key)) = self.core.trees.previous(tree, before.as_deref()).await {
            if *key < *place {
                return;
            }
            self.entry(tree, &key).await;
            before = Some(key);
        }
    }

    async fn entry(&mut self, tree: Tree, key: &[u8]) {
        self.verified.entries += 1;
        if let Err(error) = self.core.check(tree, key).await {
            self.verified.damage.push(damage(tree, key, &error));
        }
        self.flows.extend(flow_of(tree, key));
    }
}

pub(crate) fn flow_of(tree: Tree, key: &[u8]) -> Option<String> {
    if matches!(tree, Tree::Vault | Tree::Meta) {
        return None;
    }
    layout::split_flow(key).map(|(flow, _)| flow.to_owned())
}

fn damage(tree: Tree, key: &[u8], error: &Error) -> Damage {
    let what = match error {
        Error::Corrupt { place, reason, .. } => format!("{place}: {reason}"),
        error => format!("{}: {error}", layout::place(tree, key)),
    };
    Damage { flow: flow_of(tree, key), kind: tree.name().to_owned(), what }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::format;
    use crate::memory::MemoryTrees;
    use crate::seal::Sealer;
    use crate::trees::{Entry, Part, Wait};
    use crate::vault::MasterKey;

    /// Trees of which two neighbouring entries of the vault cannot be come to from either side.
    struct Torn(MemoryTrees, [Vec<u8>; 2]);

    impl Torn {
        fn whole(&self, tree: Tree, found: Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
            match found {
                Some(key) if tree == Tree::Vault && self.1.contains(&key) => {
                    Err(Error::corrupt(tree, &key, "a checksum does not fit"))
                }
                found => Ok(found),
            }
        }
    }

    #[async_trait]
    impl Trees for Torn {
        const SEGMENT_ENTRIES: usize = 10;
        const LOOSE_BLOCKS: usize = 10;
        const LOOSE_PIECES: usize = 4;
        const BYTES_AT_ONCE: usize = 1_000;

        async fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>> {
            self.0.get(tree, key).await
        }

        async fn parts(&self, tree: Tree, wanted: Vec<Part>) -> Result<Vec<Option<Vec<u8>>>> {
            self.0.parts(tree, wanted).await
        }

        async fn keys(&self, tree: Tree, prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
            self.0.keys(tree, prefix).await
        }

        async fn entries(
            &self,
            tree: Tree,
            from: &[u8],
            until: &[u8],
            bytes: usize,
        ) -> Result<Vec<Entry>> {
            self.0.entries(tree, from, until, bytes).await
        }

        async fn next(&self, tree: Tree, from: &[u8]) -> Result<Option<Vec<u8>>> {
            self.whole(tree, self.0.next(tree, from).await?)
        }

        async fn previous(&self, tree: Tree, before: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
            self.whole(tree, self.0.previous(tree, before).await?)
        }

        async fn last(&self, tree: Tree, prefix: &[u8]) -> Result<Option<Vec<u8>>> {
            self.0.last(tree, prefix).await
        }

        async fn apply(&self, writes: Vec<Write>, wait: Wait) -> Result<()> {
            self.0.apply(writes, wait).await
        }
    }

    #[tokio::test]
    async fn what_lies_behind_an_unreadable_place_is_read_from_the_end() {
        let (trees, sealer) = (MemoryTrees::default(), Sealer::new(&MasterKey::generate()));
        let (_, sealer) = format::open(&trees, sealer).await.unwrap();
        let key = |number: u8| vec![number; 32];
        for number in 0..20 {
            let mut value = sealer.seal(Tree::Vault, &key(number), b"secret").unwrap();
            if [3, 17].contains(&number) {
                value[20] ^= 1;
            }
            let put = Write::Put(Tree::Vault, key(number), value);
            trees.apply(vec![put], Wait::Durable).await.unwrap();
        }
        let torn = Torn(trees, [key(8), key(9)]);
        let verified = Core::opened(torn, sealer, 1).verify().await.unwrap();
        assert_eq!((verified.entries, verified.damage.len()), (18, 3), "{:?}", verified.damage);
    }
}
