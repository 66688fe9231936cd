//! What readers see: the entries that the committed heads count, whatever else the trees hold.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::layout::{self, StoredHead, Tip};
use crate::protocol::Core;
use crate::store::{Head, RunLine};
use crate::trees::{Tree, Trees};

impl<T: Trees> Core<T> {
    pub(crate) async fn stored_head(&self, flow: &str) -> Result<Option<StoredHead>> {
        let key = layout::flow_prefix(flow);
        let Some(plain) = self.opened_entry(Tree::Heads, &key).await? else { return Ok(None) };
        let head = StoredHead::decode(&plain);
        head.map(Some).ok_or_else(|| Error::corrupt(Tree::Heads, &key, "the entry is too short"))
    }

    pub(crate) async fn runs(&self, flow: &str) -> Result<Vec<RunLine>> {
        let mut lines = Vec::new();
        for key in self.trees.keys(Tree::Runs, &layout::flow_prefix(flow)).await?.iter().rev() {
            lines.extend(self.run_line(key).await?);
        }
        Ok(lines)
    }

    pub(crate) async fn last_run(&self, flow: &str) -> Result<Option<RunLine>> {
        match self.trees.last(Tree::Runs, &layout::flow_prefix(flow)).await? {
            Some(key) => self.run_line(&key).await,
            None => Ok(None),
        }
    }

    /// Reads a run's line; `None` if newer ones have pushed it out meanwhile.
    async fn run_line(&self, key: &[u8]) -> Result<Option<RunLine>> {
        let Some(plain) = self.opened_entry(Tree::Runs, key).await? else { return Ok(None) };
        let line = serde_json::from_slice(&plain).map_err(|error| {
            // The error's position is told, its text could repeat the entry.
            let reason = format!("the entry does not parse at byte {}", error.column());
            Error::corrupt(Tree::Runs, key, reason)
        })?;
        Ok(Some(line))
    }

    pub(crate) async fn flows(&self) -> Result<Vec<String>> {
        let mut flows = BTreeSet::new();
        for tree in [Tree::Heads, Tree::Runs, Tree::Journal, Tree::Inbox] {
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

    pub(crate) async fn vault_get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.opened_entry(Tree::Vault, &self.vault_key(name)).await
    }

    pub(crate) async fn vault_names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for label in self.trees.keys(Tree::Vault, layout::VAULT_LABEL).await? {
            let Some(key) = layout::labelled_vault_key(&label) else { continue };
            // A crash may leave a name without its value.
            if self.trees.get(Tree::Vault, key).await?.is_none() {
                continue;
            }
            let Some(name) = self.opened_entry(Tree::Vault, &label).await? else { continue };
            let name = String::from_utf8(name)
                .map_err(|_| Error::corrupt(Tree::Vault, &label, "the name is not text"))?;
            if name.starts_with(prefix) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    pub(crate) async fn opened_entry(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(sealed) = self.trees.get(tree, key).await? else { return Ok(None) };
        self.sealer.open(tree, key, &sealed).map(Some)
    }
}

impl From<StoredHead> for Head {
    fn from(StoredHead { tip, snapshot }: StoredHead) -> Self {
        let Tip { sequence, seen_entries, counts, .. } = tip;
        Self { sequence, snapshot, counts, seen_entries }
    }
}
