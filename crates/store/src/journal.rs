//! The journal: entries that are durable by themselves, between commits.

use crate::error::{Error, Result};
use crate::layout;
use crate::protocol::Core;
use crate::store::{Fence, JournalChange, JournalEntry};
use crate::trees::{Tree, Trees, Wait, Write};

impl<T: Trees> Core<T> {
    pub(crate) async fn journal(&self, fence: &Fence, changes: Vec<JournalChange>) -> Result<()> {
        let flow = fence.flow.as_str();
        // Looked at and let go again, so that several calls reach the disk together.
        self.check_fence(fence).await?;
        let write = |change| match change {
            JournalChange::Put(JournalEntry { id, value }) => {
                let key = layout::journal_key(flow, id);
                let sealed = self.sealer.seal(Tree::Journal, &key, &value)?;
                Ok(Write::Put(Tree::Journal, key, sealed))
            }
            JournalChange::Forget(id) => {
                Ok(Write::Delete(Tree::Journal, layout::journal_key(flow, id)))
            }
        };
        let writes = changes.into_iter().map(write).collect::<Result<Vec<_>>>()?;
        if writes.is_empty() {
            return Ok(());
        }
        self.trees.apply(writes, Wait::Durable).await
    }

    pub(crate) async fn journaled(&self, flow: &str) -> Result<Vec<JournalEntry>> {
        let mut entries = Vec::new();
        for key in self.trees.keys(Tree::Journal, &layout::flow_prefix(flow)).await? {
            let id = layout::journal_id(&key).ok_or_else(|| {
                Error::corrupt(Tree::Journal, &key, "the key has an impossible length")
            })?;
            if let Some(value) = self.opened_entry(Tree::Journal, &key).await? {
                entries.push(JournalEntry { id, value });
            }
        }
        Ok(entries)
    }
}

/// Returns the deletions of the entries that a commit settles.
pub(crate) fn forgotten(flow: &str, settled: &[[u8; 16]]) -> Vec<Write> {
    let forget = |id: &[u8; 16]| Write::Delete(Tree::Journal, layout::journal_key(flow, *id));
    settled.iter().map(forget).collect()
}
