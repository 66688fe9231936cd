//! Stores that are built anew beside the old one: compaction, a new key, a restore.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::archive::{Item, Totals};
use super::swap;
use super::transfer::{self, Moved, Told};
use super::walk::Sink;
use crate::error::{Error, Result};
use crate::format;
use crate::points::At;
use crate::protocol::{Core, Home as _};
use crate::seal::Sealer;
use crate::sled::{Lock, SledOptions, SledStore, SledTrees, blocking, exists};
use crate::trees::{Trees, Wait, Write};
use crate::vault::MasterKey;

/// What stays free on the disk beside a store that is built anew.
const RESERVE: u64 = 16 * 1024 * 1024;

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// What the store keeps.
    pub kept: Moved,
    /// The bytes on the disk before.
    pub before: u64,
    /// The bytes on the disk now.
    pub after: u64,
}

/// Builds the store anew without what no longer counts, and puts it in the old one's place; with a
/// new key, everything is sealed with that from then on, and the old one opens nothing.
///
/// Nobody may have the store open. The old store stays until the new one was read back whole. A
/// crash at any point leaves one good store, and the next opening says which.
pub async fn compact(
    options: SledOptions<'_>,
    new_key: Option<&MasterKey>,
    told: Told<'_>,
) -> Result<Compacted> {
    compact_watched(options, new_key, None, told).await
}

/// The same; it tells of every one of [`POINTS`](crate::POINTS) that it comes to.
pub async fn compact_watched(
    options: SledOptions<'_>,
    new_key: Option<&MasterKey>,
    at: Option<At>,
    told: Told<'_>,
) -> Result<Compacted> {
    let SledOptions { path, key, .. } = options;
    let folder = path.clone();
    let lock = Arc::new(blocking("open", move || Lock::take(&folder)).await?);
    let trees = SledTrees::open_locked(path.clone(), Arc::clone(&lock)).await?;
    let old = SledStore::of(trees, Sealer::new(key)).await?;
    let before = parts_size(&path)?;
    has_room(&path, before)?;
    let seal = Sealer::new(new_key.unwrap_or(key)).with_hashes(&old.core().sealer.hashes());
    let seal = seal.ok_or(Error::OtherStore)?;
    let opening = format::opened(&old.core().trees).await?;
    let place = Place { path: &path, lock: &lock, at };
    let built = place.build(seal, format::FORMAT, opening, told, async |fresh| {
        let core = old.core();
        for flow in core.all_flows().await? {
            core.walk_flow(&flow, fresh).await?;
        }
        core.walk_vault(fresh).await
    });
    let totals = built.await?;
    drop(old);
    let store = place.take(new_key.unwrap_or(key)).await?;
    drop(store);
    let after = parts_size(&path)?;
    Ok(Compacted { kept: Moved::new(totals, after), before, after })
}

/// Makes a store of an archive, in a folder where there is none.
///
/// The archive was sealed with `archive_key`; the store is sealed with the key of the options.
pub async fn restore(
    file: &Path,
    archive_key: &MasterKey,
    options: SledOptions<'_>,
    told: Told<'_>,
) -> Result<Moved> {
    let SledOptions { path, key, .. } = options;
    if exists(&path) {
        return Err(Error::NotEmpty { path });
    }
    let mut reader = transfer::open(file, archive_key).await?;
    let (found, known) = (reader.manifest.format, format::FORMAT);
    if found > known {
        return Err(Error::NewerFormat { found, known });
    }
    let at = path.clone();
    let lock = Arc::new(blocking("open", move || Lock::take(&at)).await?);
    if exists(&path) {
        return Err(Error::NotEmpty { path });
    }
    has_room(&path, reader.place().0)?;
    let damaged = || Error::Archive {
        path: file.to_owned(),
        at: 0,
        reason: "its hashes have an impossible length".to_owned(),
    };
    let seal = Sealer::new(key).with_hashes(&reader.manifest.hashes).ok_or_else(damaged)?;
    let openings = reader.manifest.openings;
    let place = Place { path: &path, lock: &lock, at: None };
    let built = place.build(seal, found, openings, &|_, _| {}, async |fresh| {
        loop {
            let (again, items) = transfer::frame(reader).await?;
            reader = again;
            let Some(items) = items else { return Ok(()) };
            for item in items {
                fresh.put(item).await?;
            }
            let (length, read) = reader.place();
            told(read, Some(length));
        }
    });
    let totals = built.await?;
    drop(place.take(key).await?);
    Ok(Moved::new(totals, fs::metadata(file).map_or(0, |it| it.len())))
}

/// Where a store is built anew.
struct Place<'a> {
    path: &'a Path,
    lock: &'a Arc<Lock>,
    at: Option<At>,
}

impl Place<'_> {
    fn at(&self, point: &'static str) {
        if let Some(at) = self.at {
            at(point);
        }
    }

    /// Builds a fresh store beside the one in the folder, and decides for it once everything was
    /// read back; what fails before leaves nothing behind.
    async fn build(
        &self,
        seal: Sealer,
        version: u32,
        opening: u64,
        told: Told<'_>,
        fill: impl AsyncFnOnce(&mut Fresh<'_>) -> Result<()>,
    ) -> Result<Totals> {
        let path = self.path;
        let built = async {
            let folder = swap::begin(path)?;
            self.at("store.copy.begun");
            let trees = SledTrees::open_locked(folder, Arc::clone(self.lock)).await?;
            let core = Core::opened(trees, seal, 0);
            let mut fresh =
                Fresh { core, held: Vec::new(), size: 0, totals: Totals::default(), told };
            fill(&mut fresh).await?;
            fresh.write(Wait::Visible).await?;
            let Fresh { core, totals, .. } = fresh;
            let about = format::all_writes(&core.sealer, version, opening)?;
            core.trees.apply(about, Wait::Durable).await?;
            let mut found = Counted(Totals::default());
            for flow in core.all_flows().await? {
                core.walk_flow(&flow, &mut found).await?;
            }
            core.walk_vault(&mut found).await?;
            if found.0 != totals {
                let reason = format!("{:?} of {totals:?} were read back", found.0);
                return Err(Error::Database { doing: "build the store anew", reason });
            }
            drop(core);
            self.at("store.copy.written");
            swap::decide(path)?;
            self.at("store.copy.decided");
            Ok(totals)
        };
        let built = built.await;
        if built.is_err()
            && !swap::is_decided(path)
            && let Err(error) = swap::abandon(path)
        {
            // The next opening undoes it; the first error says more.
            tracing::warn!(%error, "a half-built store was not removed");
        }
        built
    }

    /// Moves the fresh store into its place, opens it there, and forgets the one before.
    async fn take(&self, key: &MasterKey) -> Result<SledStore> {
        swap::finish(self.path)?;
        let trees = SledTrees::open_locked(self.path.to_owned(), Arc::clone(self.lock)).await?;
        let store = SledStore::of(trees, Sealer::new(key)).await?;
        self.at("store.copy.taken");
        swap::forget_old(self.path)?;
        Ok(store)
    }
}

/// A store that is being filled.
struct Fresh<'a> {
    core: Core<SledTrees>,
    held: Vec<Write>,
    size: usize,
    totals: Totals,
    told: Told<'a>,
}

impl Fresh<'_> {
    async fn write(&mut self, wait: Wait) -> Result<()> {
        self.size = 0;
        (self.told)(self.totals.bytes, None);
        self.core.trees.apply(std::mem::take(&mut self.held), wait).await
    }
}

#[async_trait]
impl Sink for Fresh<'_> {
    async fn put(&mut self, item: Item) -> Result<()> {
        self.totals.add(&item);
        let write = self.core.sealed(item)?;
        self.size += write.size();
        self.held.push(write);
        if self.size >= SledTrees::BYTES_AT_ONCE {
            self.write(Wait::Visible).await?;
        }
        Ok(())
    }
}

/// Counts the entries of a walk.
struct Counted(Totals);

#[async_trait]
impl Sink for Counted {
    async fn put(&mut self, item: Item) -> Result<()> {
        self.0.add(&item);
        Ok(())
    }
}

/// Refuses a store of so many bytes where there is no room for it.
fn has_room(path: &Path, bytes: u64) -> Result<()> {
    // Where nobody can tell how much is free, a write that fails has to do.
    let left = fs2::available_space(path).unwrap_or(u64::MAX);
    let needs = bytes.saturating_add(RESERVE);
    if left < needs {
        return Err(Error::Room { path: path.to_owned(), needs, left });
    }
    Ok(())
}

/// How many bytes the parts of a store take.
pub(crate) fn parts_size(path: &Path) -> Result<u64> {
    let parts = ["sled", "blobs"].map(|part| size(&path.join(part)));
    parts.into_iter().sum()
}

fn size(path: &Path) -> Result<u64> {
    let failed = |error| Error::io("look at", path, error);
    if !path.exists() {
        return Ok(0);
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let inner: PathBuf = entry.path();
        // What a commit removes meanwhile takes nothing.
        bytes +=
            if inner.is_dir() { size(&inner)? } else { entry.metadata().map_or(0, |it| it.len()) };
    }
    Ok(bytes)
}
