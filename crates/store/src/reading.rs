//! What readers see: the entries that the committed heads count, whatever else the trees hold.

use std::collections::{BTreeSet, HashMap};

use crate::error::{Error, Result};
use crate::layout::{self, StoredHead, StoredLetter, Tip};
use crate::protocol::{Core, newest_versions, split_letter};
use crate::store::{DeadLetter, DeadLetterSummary, Head, RunLine};
use crate::trees::{Tree, Trees};

/// The ids that an error about an ambiguous one names at most.
const CANDIDATES_NAMED: usize = 10;

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

    pub(crate) async fn dead_letters(&self, flow: Option<&str>) -> Result<Vec<DeadLetterSummary>> {
        let mut letters = Vec::new();
        for (flow, id) in self.letter_ids(flow).await? {
            if let Some(letter) = self.letter(&flow, &id).await? {
                let DeadLetter { id, flow, step, code, at, .. } = letter;
                letters.push(DeadLetterSummary { id, flow, step, code, at });
            }
        }
        letters.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.id.cmp(&b.id)));
        Ok(letters)
    }

    pub(crate) async fn dead_letter(&self, prefix: &str) -> Result<Option<DeadLetter>> {
        let ids = self.letter_ids(None).await?;
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

    /// Returns flow and id of every committed dead letter.
    async fn letter_ids(&self, flow: Option<&str>) -> Result<BTreeSet<(String, String)>> {
        let prefix = flow.map(layout::flow_prefix).unwrap_or_default();
        let versions = self.trees.keys(Tree::DeadLetters, &prefix).await?;
        let mut committed: HashMap<String, u64> = HashMap::new();
        for key in &versions {
            let (flow, ..) = split_letter(key)?;
            if !committed.contains_key(flow) {
                let head = self.stored_head(flow).await?;
                committed.insert(flow.to_owned(), head.map_or(0, |head| head.tip.sequence));
            }
        }
        let committed = |flow: &str| committed.get(flow).copied().unwrap_or(0);
        newest_versions(&versions, committed)?
            .map(|key| split_letter(key).map(|(flow, id, _)| (flow.to_owned(), id.to_owned())))
            .collect()
    }

    /// Returns the newest committed version of a dead letter.
    async fn letter(&self, flow: &str, id: &str) -> Result<Option<DeadLetter>> {
        loop {
            let committed = self.stored_head(flow).await?.map_or(0, |head| head.tip.sequence);
            let prefix = layout::letter_prefix(flow, id);
            let versions = self.trees.keys(Tree::DeadLetters, &prefix).await?;
            let Some(key) = newest_versions(&versions, |_| committed)?.next() else {
                return Ok(None);
            };
            // A newer version may have taken this one's place meanwhile: look again.
            let Some(plain) = self.opened_entry(Tree::DeadLetters, key).await? else { continue };
            let (stored, payload) = StoredLetter::decode(&plain).ok_or_else(|| {
                Error::corrupt(Tree::DeadLetters, key, "the entry does not parse")
            })?;
            let StoredLetter { message_id, step, code, reason, at, record_key } = stored;
            return Ok(Some(DeadLetter {
                id: id.to_owned(),
                flow: flow.to_owned(),
                sequence: split_letter(key)?.2,
                message_id,
                step,
                code,
                reason,
                at,
                payload: payload.to_vec(),
                record_key,
            }));
        }
    }

    pub(crate) async fn flows(&self) -> Result<Vec<String>> {
        let mut flows = BTreeSet::new();
        for tree in [Tree::Heads, Tree::Runs] {
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

    async fn opened_entry(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>> {
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
