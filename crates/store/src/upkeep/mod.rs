//! What keeps a store healthy: looking at it, archives, compaction, new keys, retention.

mod archive;
mod desk;
pub(crate) mod mark;
mod overview;
mod renew;
mod retention;
pub(crate) mod swap;
mod transfer;
mod verify;
mod walk;

use std::path::Path;

use crate::Result;
use crate::vault::KeyId;

pub use desk::{Answer, Desk, Request, ask};
pub use overview::{FlowFigures, Kind, Overview};
pub use renew::{Compacted, compact, compact_watched, restore};
pub use retention::{Retention, Tidied};
pub use transfer::{Moved, Told};
pub use verify::{Damage, Verified, verify};

/// Returns which key sealed an archive.
pub fn archive_key(file: &Path) -> Result<KeyId> {
    archive::Reader::sealed_by(file)
}
