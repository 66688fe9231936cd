//! What keeps a store healthy: looking at it, archives, compaction, new keys, retention.

mod archive;
mod desk;
mod look;
pub(crate) mod mark;
mod overview;
mod renew;
mod retention;
mod room;
pub(crate) mod swap;
mod transfer;
mod verify;
mod walk;

use std::path::Path;

use crate::Result;
use crate::sled::SledOptions;
use crate::vault::KeyId;

pub use desk::{Answer, Answering, Desk, Holder, Request, ask};
pub use look::Looked;
pub use overview::{FlowFigures, Kind, Overview};
pub use renew::{Compacted, compact, compact_watched, restore};
pub use retention::{Retention, Tidied};
pub use room::{LEAST_FREE, free, size};
pub use transfer::{Moved, Told};
pub use verify::{Damage, Verified};

/// Reads everything in the store of a folder and changes nothing that it keeps: nothing is
/// migrated, counted or cleared up.
pub async fn verify(options: SledOptions<'_>) -> Result<Verified> {
    Looked::open(options).await?.verify().await
}

/// Returns which key sealed an archive.
pub fn archive_key(file: &Path) -> Result<KeyId> {
    archive::Reader::sealed_by(file)
}
