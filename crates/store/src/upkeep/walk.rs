//! A walk over what a store keeps: of each flow the entries of one commit, opened, one by one.

use std::collections::{BTreeSet, HashSet};

use async_trait::async_trait;

use super::archive::Item;
use crate::error::{Error, Result};
use crate::layout;
use crate::protocol::Core;
use crate::seen;
use crate::trees::{Tree, Trees, Write};

/// Takes the entries of a walk, in their order.
#[async_trait]
pub(crate) trait Sink: Send {
    /// Takes one; an error ends the walk.
    async fn put(&mut self, item: Item) -> Result<()>;
}

/// The kinds of a flow's entries, in the order of a walk.
///
/// The head comes behind what it counts, so that a copy that is cut off has no flow in part.
fn trees_of_a_flow() -> impl Iterator<Item = Tree> {
    let last = [Tree::Journal, Tree::Heads, Tree::Runs];
    let apart = [Tree::Meta, Tree::Vault];
    let first = Tree::ALL.into_iter().filter(move |it| !last.contains(it) && !apart.contains(it));
    first.chain(last)
}

impl<T: Trees> Core<T> {
    /// Lists the flows that anything is kept of, sorted by name.
    pub(crate) async fn all_flows(&self) -> Result<Vec<String>> {
        let mut flows = BTreeSet::new();
        for tree in trees_of_a_flow() {
            let mut from = Vec::new();
            while let Some(key) = self.trees.next(tree, &from).await? {
                let (flow, _) = layout::split_flow(&key)
                    .ok_or_else(|| Error::corrupt(tree, &key, "the key names no flow"))?;
                from = layout::behind_flow(flow);
                flows.insert(flow.to_owned());
            }
        }
        Ok(flows.into_iter().collect())
    }

    /// Gives every entry of a flow that counts; commits of the flow wait meanwhile.
    pub(crate) async fn walk_flow(&self, flow: &str, sink: &mut dyn Sink) -> Result<()> {
        let committer = self.committer(flow);
        let _commits_wait = committer.lock().await;
        let tip = self.stored_head(flow).await?.map(|head| head.tip).unwrap_or_default();
        let (_, leftovers) = self.leftovers(flow, tip).await?;
        let left_over: HashSet<(Tree, &[u8])> = leftovers.iter().map(place).collect();
        for tree in trees_of_a_flow() {
            let prefix = layout::flow_prefix(flow);
            let mut from = prefix.clone();
            while let Some(key) = self.trees.next(tree, &from).await? {
                if !key.starts_with(&prefix) {
                    break;
                }
                from = [&key[..], &[0]].concat();
                if left_over.contains(&(tree, &key[..])) {
                    continue;
                }
                // What no commit guards, as the journal, may be gone by now.
                let Some(value) = self.trees.get(tree, &key).await? else { continue };
                let plain = self.plain(tree, &key, value)?;
                sink.put(Item { tree, key, plain }).await?;
            }
        }
        Ok(())
    }

    /// Gives every entry of the vault.
    pub(crate) async fn walk_vault(&self, sink: &mut dyn Sink) -> Result<()> {
        let mut from = Vec::new();
        while let Some(key) = self.trees.next(Tree::Vault, &from).await? {
            from = [&key[..], &[0]].concat();
            let Some(value) = self.trees.get(Tree::Vault, &key).await? else { continue };
            let plain = self.plain(Tree::Vault, &key, value)?;
            sink.put(Item { tree: Tree::Vault, key, plain }).await?;
        }
        Ok(())
    }

    /// Opens a value, or checks one that is not sealed and gives it as it is.
    pub(crate) fn plain(&self, tree: Tree, key: &[u8], value: Vec<u8>) -> Result<Vec<u8>> {
        if tree == Tree::Seen {
            seen::unpack(&self.sealer, key, &value, &mut Vec::new())?;
            return Ok(value);
        }
        self.sealer.open(tree, key, &value)
    }

    /// Makes the write that brings an entry of a walk back.
    pub(crate) fn sealed(&self, item: Item) -> Result<Write> {
        let Item { tree, key, plain } = item;
        let value = if tree == Tree::Seen {
            seen::unpack(&self.sealer, &key, &plain, &mut Vec::new())?;
            plain
        } else {
            self.sealer.seal(tree, &key, &plain)?
        };
        Ok(Write::Put(tree, key, value))
    }
}

fn place(write: &Write) -> (Tree, &[u8]) {
    let (Write::Put(tree, key, _) | Write::Delete(tree, key)) = write;
    (*tree, key)
}
