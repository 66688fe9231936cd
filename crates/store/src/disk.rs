//! The order that makes a commit durable: write, count, flush, fdatasync, mark, acknowledge.
//!
//! A killed process cannot show that a sync is missing, so the steps go through [`Disk`], which a
//! test replaces by a recorder.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::trees::{Wait, Write};

/// The name of a file that holds a large value.
pub(crate) type BlobName = [u8; 16];

/// The single steps of an embedded database.
pub(crate) trait Disk: Send + Sync + 'static {
    /// Refuses so many bytes if there may not be room for them: nothing was written then, and all
    /// goes on as soon as there is.
    fn room(&self, _bytes: usize) -> Result<()> {
        Ok(())
    }

    /// Hands writes to the database, in order; readers see them. Returns the files of values that
    /// they took the place of, which must stay until the writes are synced. Files are as durable
    /// as is asked for when this returns.
    fn write(&self, writes: &[Write], durability: Durability) -> Result<Vec<BlobName>>;

    /// Has the database know the number of the sync that comes, behind all writes so far.
    fn count(&self, sync: u64) -> Result<()>;

    /// Hands what the database buffers to the operating system.
    fn flush(&self) -> Result<()>;

    /// Has the operating system bring what it was handed to the disk.
    fn sync(&self) -> Result<()>;

    /// Says beside the database that this sync is durable, so that it is missed if it is lost.
    fn mark(&self, sync: u64);

    /// Removes files that no durable entry names any longer.
    fn discard(&self, files: Vec<BlobName>);

    /// Tells that the steps have come to one of the named points.
    fn at(&self, _point: &'static str) {}
}

/// Whether commits wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A commit that returned survives a power failure.
    #[default]
    Full,
    /// A commit returns as soon as readers see it: for measuring what durability costs.
    None,
}

/// Keeps the order of the steps, and lets commits that come at once share one sync.
pub(crate) struct Ordered<D> {
    pub(crate) disk: D,
    durability: Durability,
    progress: Mutex<Progress>,
    /// Held while syncing: who waits for it finds most often that the sync covered them.
    syncing: Mutex<()>,
}

#[derive(Default)]
struct Progress {
    /// How many batches were written.
    written: u64,
    /// How many of them are known to be on disk.
    synced: u64,
    /// The number of the last sync since the database was made.
    syncs: u64,
    /// Files to discard with the next sync.
    orphans: Vec<BlobName>,
    /// Set when a sync failed. The operating system may drop the pages of a failed sync and
    /// report success for the next one, so nothing is written after it.
    failed: bool,
}

impl<D: Disk> Ordered<D> {
    /// Takes a disk that has seen so many syncs.
    pub(crate) fn new(disk: D, durability: Durability, syncs: u64) -> Self {
        let progress = Mutex::new(Progress { syncs, ..Progress::default() });
        Self { disk, durability, progress, syncing: Mutex::default() }
    }

    /// Applies writes and returns when they are what `wait` says. Blocks on the disk.
    pub(crate) fn apply(&self, writes: &[Write], wait: Wait) -> Result<()> {
        if self.progress().failed {
            return Err(Error::Untrusted);
        }
        self.disk.room(writes.iter().map(Write::size).sum())?;
        let orphans = self.disk.write(writes, self.durability)?;
        // Counted only now: whoever syncs after this reads a number that covers these writes.
        let batch = {
            let mut progress = self.progress();
            progress.orphans.extend(orphans);
            progress.written += 1;
            progress.written
        };
        match (wait, self.durability) {
            (Wait::Visible, _) => Ok(()),
            (Wait::Durable, Durability::None) => {
                let orphans = mem::take(&mut self.progress().orphans);
                self.disk.discard(orphans);
                Ok(())
            }
            (Wait::Durable, Durability::Full) => self.sync(batch),
        }
    }

    fn sync(&self, batch: u64) -> Result<()> {
        let _turn = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let (covered, sync, orphans) = {
            let mut progress = self.progress();
            if progress.synced >= batch {
                return Ok(());
            }
            if progress.failed {
                return Err(Error::Untrusted);
            }
            progress.syncs += 1;
            (progress.written, progress.syncs, mem::take(&mut progress.orphans))
        };
        if let Err(error) = self.to_disk(sync) {
            self.progress().failed = true;
            return Err(error);
        }
        self.disk.mark(sync);
        self.disk.at("store.synced");
        self.progress().synced = covered;
        self.disk.discard(orphans);
        Ok(())
    }

    fn to_disk(&self, sync: u64) -> Result<()> {
        self.disk.count(sync)?;
        self.disk.at("store.flush.next");
        self.disk.flush()?;
        self.disk.at("store.flushed");
        self.disk.sync()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Condvar};
    use std::thread;

    use super::*;

    /// Records the steps; its syncs fail, or its flushes wait to be let go, when told so.
    #[derive(Default)]
    struct Recorder {
        steps: Mutex<Vec<&'static str>>,
        let_go: Condvar,
        sync_fails: bool,
        full: Mutex<bool>,
        marked: Mutex<u64>,
        held: Mutex<bool>,
    }

    impl Recorder {
        fn record(&self, step: &'static str) {
            self.steps.lock().unwrap().push(step);
        }

        fn steps(&self) -> Vec<&'static str> {
            self.steps.lock().unwrap().clone()
        }
    }

    impl Disk for Recorder {
        fn write(&self, writes: &[Write], _: Durability) -> Result<Vec<BlobName>> {
            self.record("write");
            Ok(vec![[0; 16]; writes.len()])
        }

        fn room(&self, _bytes: usize) -> Result<()> {
            match *self.full.lock().unwrap() {
                true => Err(Error::Full { path: "db".into(), left: 0 }),
                false => Ok(()),
            }
        }

        fn count(&self, _sync: u64) -> Result<()> {
            self.record("count");
            Ok(())
        }

        fn mark(&self, sync: u64) {
            self.record("mark");
            *self.marked.lock().unwrap() = sync;
        }

        fn flush(&self) -> Result<()> {
            self.record("flush");
            let held = self.held.lock().unwrap();
            drop(self.let_go.wait_while(held, |held| *held).unwrap());
            Ok(())
        }

        fn sync(&self) -> Result<()> {
            self.record("sync");
            if self.sync_fails {
                let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
                return Err(Error::io("sync", "db", full));
            }
            Ok(())
        }

        fn discard(&self, files: Vec<BlobName>) {
            if !files.is_empty() {
                self.record("discard");
            }
        }
    }

    fn one_write() -> Vec<Write> {
        vec![Write::Delete(crate::trees::Tree::Runs, Vec::new())]
    }

    #[test]
    fn a_commit_is_acknowledged_after_write_flush_and_sync() {
        let ordered = Ordered::new(Recorder::default(), Durability::Full, 41);
        ordered.apply(&one_write(), Wait::Durable).unwrap();
        ordered.disk.record("acknowledge");
        ordered.apply(&one_write(), Wait::Visible).unwrap();
        ordered.disk.record("acknowledge");
        let expected = ["write", "count", "flush", "sync", "mark", "discard", "acknowledge"];
        assert_eq!(ordered.disk.steps(), [&expected[..], &["write", "acknowledge"]].concat());
        assert_eq!(*ordered.disk.marked.lock().unwrap(), 42);
    }

    #[test]
    fn a_full_disk_refuses_before_anything_is_written_and_all_goes_on_with_room() {
        let ordered = Ordered::new(Recorder::default(), Durability::Full, 0);
        *ordered.disk.full.lock().unwrap() = true;
        for wait in [Wait::Durable, Wait::Visible] {
            assert!(matches!(ordered.apply(&one_write(), wait), Err(Error::Full { .. })));
        }
        assert_eq!(ordered.disk.steps(), [""; 0]);
        *ordered.disk.full.lock().unwrap() = false;
        ordered.apply(&one_write(), Wait::Durable).unwrap();
    }

    #[test]
    fn without_durability_nothing_is_synced() {
        let ordered = Ordered::new(Recorder::default(), Durability::None, 0);
        ordered.apply(&one_write(), Wait::Durable).unwrap();
        assert_eq!(ordered.disk.steps(), ["write", "discard"]);
    }

    #[test]
    fn after_a_failed_sync_nothing_is_acknowledged_and_no_file_is_lost() {
        let disk = Recorder { sync_fails: true, ..Recorder::default() };
        let ordered = Ordered::new(disk, Durability::Full, 0);
        assert!(matches!(ordered.apply(&one_write(), Wait::Durable), Err(Error::Full { .. })));
        for wait in [Wait::Durable, Wait::Visible] {
            assert!(matches!(ordered.apply(&one_write(), wait), Err(Error::Untrusted)));
        }
        assert_eq!(ordered.disk.steps(), ["write", "count", "flush", "sync"]);
        assert_eq!(*ordered.disk.marked.lock().unwrap(), 0);
    }

    #[test]
    fn commits_that_come_during_a_sync_share_the_next_one() {
        let disk = Recorder { held: Mutex::new(true), ..Recorder::default() };
        let ordered = Arc::new(Ordered::new(disk, Durability::Full, 0));
        let commit = || {
            let ordered = Arc::clone(&ordered);
            thread::spawn(move || ordered.apply(&one_write(), Wait::Durable).unwrap())
        };
        let mut commits = vec![commit()];
        while ordered.disk.steps() != ["write", "count", "flush"] {
            thread::yield_now();
        }
        commits.extend((0..3).map(|_| commit()));
        while ordered.progress().written < 4 {
            thread::yield_now();
        }
        *ordered.disk.held.lock().unwrap() = false;
        ordered.disk.let_go.notify_all();
        commits.into_iter().for_each(|commit| commit.join().unwrap());
        let steps = ordered.disk.steps();
        let count = |step: &str| steps.iter().filter(|found| **found == step).count();
        assert_eq!((count("write"), count("sync")), (4, 2), "{steps:?}");
    }
}
