//! What was settled before: read when records come, and no more of it than they need.

use connector::Changes;

use crate::fetch::Fetched;
use crate::page::InFlight;
use crate::run::Run;
use crate::seen::{Key, Loading, SLACK, SeenTable};
use crate::{Error, Result};

/// Looking a key up takes as long as reading so many entries of a whole table, if it was written
/// as a whole.
const LOOK_UP: u64 = 200;

/// More keys than these are a scan, of which more pages will come.
const LOOK_UPS_AT_MOST: u64 = 500;

impl Run {
    /// Knows what was settled of every record of a page: the keys of a few records are looked up,
    /// for many the whole table is read. `ahead` are the pages in flight.
    pub(crate) async fn recall<'a>(
        &mut self,
        page: &Fetched,
        ahead: impl IntoIterator<Item = &'a InFlight>,
    ) -> Result<()> {
        let seen = self.seen.get_or_insert_with(SeenTable::partial);
        let unknown = seen.unknown(page.keys());
        if unknown.is_empty() {
            return Ok(());
        }
        // What is pruned at the end of every scan is small, and pruning needs all of it.
        let prunes = self.context.flow.trigger.trigger.changes() == Changes::Timestamps;
        let room = if prunes { 0 } else { LOOK_UPS_AT_MOST.min(self.stored / LOOK_UP) };
        let is_many = (seen.looked_up() + unknown.len()) as u64 > room;
        // Of what pages added, look-ups read everything, every time.
        if is_many || self.looked_through >= self.stored {
            return self.recall_all(ahead).await;
        }
        self.look_up(unknown).await
    }

    async fn look_up(&mut self, keys: Vec<Key>) -> Result<()> {
        let (flow, store) = (&self.context.flow.name, &self.context.store);
        let found = store.look_up(flow, &keys).await;
        let found = found.map_err(|error| Error::store(flow, &error))?;
        if let Some(seen) = &mut self.seen {
            seen.learn(keys, &found.entries);
        }
        self.rewritten = Some(found.rewritten);
        self.looked_through += found.read;
        self.context.watch.at("engine.seen.loaded");
        Ok(())
    }

    /// Reads the whole table, and lays the pages in flight over it.
    pub(crate) async fn recall_all<'a>(
        &mut self,
        ahead: impl IntoIterator<Item = &'a InFlight>,
    ) -> Result<()> {
        let (flow, store) = (&self.context.flow.name, &self.context.store);
        let mut loading = Loading::of(self.stored);
        let loaded = store.seen(flow, &mut |entries| loading.add(entries)).await;
        loaded.map_err(|error| Error::store(flow, &error))?;
        let mut seen = loading.table();
        for page in ahead {
            for entry in &page.detected.seen {
                seen.set(entry.key, Some((*entry).into()));
            }
        }
        self.seen = Some(seen);
        self.context.watch.at("engine.seen.loaded");
        Ok(())
    }

    /// Whether more entries were added since the table was last written as a whole than it had,
    /// so that it is to be written so again: look-ups alone would never learn how many of them
    /// are superseded.
    pub(crate) fn has_outgrown(&self, stored: u64) -> bool {
        self.rewritten.is_some_and(|written| stored > written.saturating_mul(2) + SLACK)
    }
}
