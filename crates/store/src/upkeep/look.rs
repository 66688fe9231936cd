//! A store that is only looked at: nothing of it is written, so that a full disk does not matter.

use std::path::Path;
use std::sync::Arc;

use super::{Moved, Overview, Told, Verified};
use crate::error::Result;
use crate::format;
use crate::protocol::Core;
use crate::seal::Sealer;
use crate::sled::{Lock, SledOptions, SledStore, SledTrees, blocking};
use crate::store::Store;
use crate::vault::MasterKey;

/// A store that is open for reading: nothing is migrated, counted or cleared up, and nothing can be
/// committed. Nobody else may have it open.
///
/// The database itself may write when it is opened, behind a crash above all: what it then cannot
/// write is an error.
pub struct Looked(SledStore);

impl Looked {
    /// Opens the store of a folder; the errors are those of [`SledStore::open`].
    pub async fn open(options: SledOptions<'_>) -> Result<Self> {
        let SledOptions { path, key, .. } = options;
        let at = path.clone();
        let lock = Arc::new(blocking("open", move || Lock::take(&at)).await?);
        let trees = SledTrees::open_locked(path, lock).await?;
        let (_, sealer) = format::look(&trees, Sealer::new(key)).await?;
        Ok(Self(SledStore::opened(Core::opened(trees, sealer, 0))))
    }

    /// The store, for questions alone: nothing may be written by it.
    #[must_use]
    pub fn into_store(self) -> Arc<dyn Store> {
        Arc::new(self.0)
    }

    /// Counts what the store keeps; what is damaged is an error.
    pub async fn overview(&self) -> Result<Overview> {
        self.0.overview().await
    }

    /// Writes an archive, as [`SledStore::export`] does.
    pub async fn export(
        &self,
        file: &Path,
        key: &MasterKey,
        flows: Option<&[String]>,
        at: i64,
        told: Told<'_>,
    ) -> Result<Moved> {
        self.0.export(file, key, flows, at, told).await
    }

    /// Reads everything, and names what is damaged.
    pub async fn verify(&self) -> Result<Verified> {
        self.0.verify().await
    }
}
