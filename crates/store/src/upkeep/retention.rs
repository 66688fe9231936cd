//! How long things are kept that nothing depends on any more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::format;
use crate::layout;
use crate::protocol::{Core, Home as _};
use crate::sled::SledStore;
use crate::store::{DeadLetterSummary, LetterState};
use crate::trees::{Tree, Trees, Wait, Write};

/// How long, and how much, is kept of what is over. Open dead letters stay for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Dead letters that were replayed or superseded, since they were refused last.
    pub dead_letters: Duration,
    /// What became of each record.
    pub trail: Duration,
    /// The same, in bytes a flow.
    pub trail_bytes: u64,
    /// What flows wrote that others read back, if nobody came for it.
    pub echoes: Duration,
    /// The lines of each flow's runs.
    pub runs: usize,
    /// The snapshots of each flow's history.
    pub history: usize,
}

impl Default for Retention {
    fn default() -> Self {
        let month = Duration::from_secs(30 * 24 * 3600);
        Self {
            dead_letters: month,
            trail: month,
            trail_bytes: 64 << 20,
            echoes: month,
            runs: 100,
            history: 50,
        }
    }
}

impl Retention {
    pub(crate) fn trail_millis(&self) -> i64 {
        millis(self.trail)
    }
}

fn millis(age: Duration) -> i64 {
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tidied {
    /// Dead letters.
    pub dead_letters: u64,
    /// Blocks of the trail.
    pub trail: u64,
    /// Echoes that nobody came for.
    #[serde(default)]
    pub echoes: u64,
    /// Lines of runs.
    pub runs: u64,
    /// Snapshots of the history.
    pub history: u64,
}

/// The store is looked through once in so many milliseconds: a day.
const DAY: i64 = 24 * 3600 * 1000;

impl SledStore {
    /// Sets how long things are kept from now on.
    pub fn retain(&self, retention: Retention) {
        self.core().set_retention(retention);
    }

    /// Removes what was kept long enough at `now`, in milliseconds since the epoch; `None` if that
    /// was done less than a day ago.
    ///
    /// Commits of each flow wait while it is looked through. What cannot be read stays.
    pub async fn tidy(&self, now: i64) -> Result<Option<Tidied>> {
        let core = self.core();
        let last = format::tidied(&core.trees).await?;
        // A clock that was set back by more than a day does not keep it from being done.
        if last.is_some_and(|last| now.saturating_sub(last).unsigned_abs() < DAY.unsigned_abs()) {
            return Ok(None);
        }
        let mut tidied = Tidied::default();
        for flow in core.all_flows().await? {
            match core.tidy_flow(&flow, now, &mut tidied).await {
                Err(error @ Error::Corrupt { .. }) => {
                    tracing::warn!(flow, %error, "what is kept too long was not looked for");
                }
                done => done?,
            }
        }
        core.trees.apply(vec![format::tidied_at(now)], Wait::Durable).await?;
        Ok(Some(tidied))
    }
}

impl<T: Trees> Core<T> {
    async fn tidy_flow(&self, flow: &str, now: i64, tidied: &mut Tidied) -> Result<()> {
        let retention = self.retention();
        let committer = self.committer(flow);
        let _commits_wait = committer.lock().await;
        let committed = self.stored_head(flow).await?.map_or(0, |head| head.tip.sequence);
        let mut gone = Vec::new();
        let mut too_old = Vec::new();
        let mut each = |letter: DeadLetterSummary| {
            let age = now.saturating_sub(letter.at);
            if letter.state != LetterState::Open && age > millis(retention.dead_letters) {
                too_old.push(letter.id);
            }
            true
        };
        self.each_dead_letter(Some(flow), &mut each).await?;
        for id in too_old {
            let versions = layout::item_prefix(flow, &id);
            // In ascending order: no older version comes to light.
            let keys = self.trees.keys(Tree::DeadLetters, &versions).await?;
            gone.extend(keys.into_iter().map(|key| Write::Delete(Tree::DeadLetters, key)));
            tidied.dead_letters += 1;
        }
        let prefix = layout::flow_prefix(flow);
        let (trail, blocks) = self.overdue_trail(flow, committed, now).await?;
        gone.extend(trail.into_iter().map(|key| Write::Delete(Tree::Trail, key)));
        tidied.trail += blocks;
        let before = now.saturating_sub(millis(retention.echoes));
        let echoes = self.overdue_echoes(flow, before).await?;
        tidied.echoes += echoes.len() as u64;
        gone.extend(echoes.into_iter().map(|key| Write::Delete(Tree::Echoes, key)));
        for (tree, kept, count) in [
            (Tree::Runs, retention.runs, &mut tidied.runs),
            (Tree::History, retention.history, &mut tidied.history),
        ] {
            let keys = self.trees.keys(tree, &prefix).await?;
            let too_many = keys.len().saturating_sub(kept);
            *count += too_many as u64;
            gone.extend(keys.into_iter().take(too_many).map(|key| Write::Delete(tree, key)));
        }
        if gone.is_empty() {
            return Ok(());
        }
        self.trails.forget(flow);
        self.trees.apply(gone, Wait::Visible).await
    }
}
