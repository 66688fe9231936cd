//! What a store keeps, in figures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::renew;
use super::verify::flow_of;
use crate::error::Result;
use crate::format;
use crate::layout::{self, InboxKey};
use crate::protocol::{Core, Home as _};
use crate::sled::SledStore;
use crate::store::{DeadLetterSummary, LetterState};
use crate::trees::{Tree, Trees};

/// A store in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// The format of its entries.
    pub format: u32,
    /// The id of the key that seals it.
    pub key: String,
    /// How often it was opened.
    pub openings: u64,
    /// The bytes on the disk.
    pub on_disk: u64,
    /// Entries and bytes by kind.
    pub kinds: Vec<Kind>,
    /// What is kept of each flow.
    pub flows: Vec<FlowFigures>,
}

/// The entries of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// Its name, as errors say it.
    pub kind: String,
    /// How many there are.
    pub entries: u64,
    /// Their bytes, keys included.
    pub bytes: u64,
}

/// What is kept of a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowFigures {
    /// Its name.
    pub flow: String,
    /// Its bytes of every kind.
    pub bytes: u64,
    /// How often it has committed.
    pub commits: u64,
    /// Records whose content is remembered.
    pub seen: u64,
    /// Dead letters that somebody has to decide about.
    pub open_letters: u64,
    /// Dead letters that were replayed or superseded.
    pub closed_letters: u64,
    /// When the oldest open letter was refused last, in milliseconds since the epoch.
    pub oldest_letter: Option<i64>,
    /// Messages that wait for remote systems.
    pub parked: u64,
    /// Journal entries: what was sent, or about to be, when it stopped.
    pub journaled: u64,
    /// Deliveries that wait in its inbox.
    pub inbox: u64,
    /// Since when it is told what became of each record, in milliseconds since the epoch.
    pub trail_since: Option<i64>,
}

impl SledStore {
    /// Counts what this store keeps; what is damaged is an error.
    pub async fn overview(&self) -> Result<Overview> {
        let on_disk = renew::parts_size(self.core().trees.folder())?;
        self.core().overview(on_disk).await
    }
}

impl<T: Trees> Core<T> {
    async fn overview(&self, on_disk: u64) -> Result<Overview> {
        let mut flows: BTreeMap<String, FlowFigures> = BTreeMap::new();
        let mut kinds = Vec::new();
        for tree in Tree::ALL.into_iter().filter(|tree| *tree != Tree::Meta) {
            let mut figures = Kind { kind: tree.name().to_owned(), entries: 0, bytes: 0 };
            let mut from = Vec::new();
            while let Some(key) = self.trees.next(tree, &from).await? {
                from = [&key[..], &[0]].concat();
                let Some(value) = self.trees.get(tree, &key).await? else { continue };
                let bytes = (key.len() + value.len()) as u64;
                figures.entries += 1;
                figures.bytes += bytes;
                let Some(name) = flow_of(tree, &key) else { continue };
                let flow = flows.entry(name).or_default();
                flow.bytes += bytes;
                match tree {
                    Tree::Journal => {
                        flow.journaled += u64::from(layout::journal_id(&key).is_some());
                    }
                    Tree::Inbox => {
                        let place = layout::split_inbox(&key);
                        flow.inbox += u64::from(matches!(place, Some(InboxKey::Entry { .. })));
                    }
                    Tree::Trail if flow.trail_since.is_none() => {
                        flow.trail_since = layout::split_trail(&key).map(|place| place.at);
                    }
                    _ => {}
                }
            }
            kinds.push(figures);
        }
        for (name, flow) in &mut flows {
            flow.flow.clone_from(name);
            if let Some(head) = self.stored_head(name).await? {
                flow.commits = head.tip.sequence;
                flow.seen = head.tip.seen_entries;
            }
            let mut each = |letter: DeadLetterSummary| {
                if letter.state == LetterState::Open {
                    flow.open_letters += 1;
                    flow.oldest_letter =
                        Some(flow.oldest_letter.map_or(letter.at, |oldest| oldest.min(letter.at)));
                } else {
                    flow.closed_letters += 1;
                }
                true
            };
            self.each_dead_letter(Some(name), &mut each).await?;
            let mut each = |_| {
                flow.parked += 1;
                true
            };
            self.each_parked(name, &mut each).await?;
        }
        Ok(Overview {
            format: format::of(&self.trees).await?,
            key: self.sealer.id().to_string(),
            openings: format::opened(&self.trees).await?,
            on_disk,
            kinds,
            flows: flows.into_values().collect(),
        })
    }
}
