//! Reading everything that a store keeps, and naming what is damaged.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::format;
use crate::layout::{self, StoredCause, StoredHead, StoredLetter, StoredParked};
use crate::protocol::{Core, Home as _};
use crate::seal::Sealer;
use crate::seen;
use crate::sled::{Lock, SledOptions, SledStore, SledTrees, blocking};
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

/// Reads everything in the store of a folder and changes nothing that it keeps: nothing is
/// migrated, counted or cleared up.
pub async fn verify(options: SledOptions<'_>) -> Result<Verified> {
    let SledOptions { path, key, .. } = options;
    let at = path.clone();
    let lock = Arc::new(blocking("open", move || Lock::take(&at)).await?);
    let trees = SledTrees::open_locked(path, lock).await?;
    let (_, sealer) = format::look(&trees, Sealer::new(key)).await?;
    Core::opened(trees, sealer, 0).verify().await
}

impl SledStore {
    /// Reads everything that this store keeps, while it is in use.
    pub async fn verify(&self) -> Result<Verified> {
        self.core().verify().await
    }
}

impl<T: Trees> Core<T> {
    async fn verify(&self) -> Result<Verified> {
        let mut verified = Verified::default();
        let mut flows = HashSet::new();
        for tree in Tree::ALL.into_iter().filter(|tree| *tree != Tree::Meta) {
            let mut from = Vec::new();
            loop {
                let key = match self.trees.next(tree, &from).await {
                    Ok(Some(key)) => key,
                    Ok(None) => break,
                    Err(error) => {
                        // What lies behind a place that cannot be read is not found any more.
                        verified.damage.push(damage(tree, &from, &error));
                        break;
                    }
                };
                from = [&key[..], &[0]].concat();
                verified.entries += 1;
                if let Err(error) = self.check(tree, &key).await {
                    verified.damage.push(damage(tree, &key, &error));
                }
                if let Some(flow) = flow_of(tree, &key) {
                    flows.insert(flow);
                }
            }
        }
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
