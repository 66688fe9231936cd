//! A flow's state from outside: a snapshot that somebody wrote, or one of another store.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::SeenChange;

use crate::change::{Change, Changed, Hands};
use crate::exported::{self, Imported, SeenLine};
use crate::snapshot::Snapshot;
use crate::{Error, Exported, Result, document};

/// What an import made of what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Taken {
    /// So many settled records are known here now: none of them is sent again unchanged.
    Seen(u64),
    /// The document has none: what this store knew of the flow still counts.
    Nothing,
    /// So many records were settled under another key, with which nothing can be compared here.
    OtherKey(u64),
}

impl Hands<'_> {
    /// Puts a snapshot that an operator wrote in the place of the stored one.
    pub(crate) async fn set(&self, source: String, written: &Value) -> Result<Changed> {
        let now = self.engine.clock().now();
        self.change(async |head, _| {
            let current = Snapshot::of_head(self.flow, head.cloned(), source)?;
            let made = document::snapshot(written, &current, now);
            let snapshot = made.map_err(|problems| self.cannot_be("set", &problems))?;
            Ok(Some(Change { snapshot, seen: SeenChange::default(), cause: "set" }))
        })
        .await
    }

    fn cannot_be(&self, done: &str, problems: &[String]) -> Error {
        let mut text = format!("the state cannot be {done}; nothing was changed");
        for problem in problems {
            text.push_str("\n  ");
            text.push_str(problem);
        }
        Error::refused(self.flow, text)
    }

    /// Takes a state over. What was settled moves only under the same key.
    pub(crate) async fn import(
        &self,
        source: String,
        imported: &Imported,
    ) -> Result<(Changed, Taken)> {
        let now = self.engine.clock().now();
        let mut taken = Taken::Nothing;
        let changed = self.change(async |head, sequence| {
            let change = match imported {
                Imported::LastUpdated(at) => {
                    let current = Snapshot::of_head(self.flow, head.cloned(), source)?;
                    let made = document::snapshot(&json!({ "lastUpdated": at }), &current, now);
                    let snapshot =
                        made.map_err(|problems| self.cannot_be("imported", &problems))?;
                    Change { snapshot, seen: SeenChange::default(), cause: "import" }
                }
                Imported::State { exported, seen } => {
                    let read = head.map(|head| Snapshot::read(self.flow, &head.snapshot));
                    // What cannot be read is what an import may be for.
                    let current = read.and_then(Result::ok).unwrap_or_default();
                    let state = State { exported, seen, current, source, sequence };
                    let (change, moved) = self.state(state)?;
                    taken = moved;
                    change
                }
            };
            Ok(Some(change))
        });
        let changed = changed.await?;
        Ok((changed, taken))
    }

    fn state(&self, state: State<'_>) -> Result<(Change, Taken)> {
        let State { exported, seen, current, source, sequence } = state;
        let bytes = exported.snapshot.to_string();
        let mut snapshot = Snapshot::read(self.flow, bytes.as_bytes())
            .map_err(|error| self.cannot_be("imported", &[format!("snapshot: {error}")]))?;
        if snapshot.source != source {
            let problem = "source: the document is about another source than the flow reads: its \
                           trigger, fields, account or base URL differ";
            return Err(self.cannot_be("imported", &[problem.to_owned()]));
        }
        let same_key = exported::key_of(&**self.engine.store()) == exported.key;
        let (taken, seen) = match &exported.seen {
            Some(_) if same_key => {
                let entries = exported::entries(seen, sequence, &snapshot);
                let entries = SeenChange::Replace(vec![std::sync::Arc::new(entries)]);
                (Taken::Seen(seen.len() as u64), entries)
            }
            Some(_) => (Taken::OtherKey(seen.len() as u64), SeenChange::default()),
            None => (Taken::Nothing, SeenChange::default()),
        };
        // What counts as absent is told by commits of the store where the entries are.
        snapshot.forgotten =
            if matches!(taken, Taken::Seen(_)) { vec![] } else { current.forgotten };
        snapshot.generation = snapshot.generation.max(current.generation) + 1;
        if let Some(backfill) = &mut snapshot.backfill {
            backfill.commit = sequence - 1;
        }
        Ok((Change { snapshot, seen, cause: "import" }, taken))
    }
}

/// A document with what there is.
struct State<'a> {
    exported: &'a Exported,
    seen: &'a [SeenLine],
    current: Snapshot,
    source: String,
    sequence: u64,
}
