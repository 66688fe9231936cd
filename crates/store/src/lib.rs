//! What survives a restart: snapshots, seen entries, dead letters, inboxes, run lines, the vault.
//!
//! Start reading at [`store`], the contract that the engine is written against. `protocol` keeps
//! that contract once for every home, over the few operations of `trees`; [`MemoryStore`] and
//! [`SledStore`] are homes. `disk` holds the order write, flush, fdatasync, acknowledge.
//! [`vault`] makes and reads the master key, `seal` uses it. [`conformance`] is the suite that
//! every home passes.
//!
//! Invariant: the head of a flow is written last and is the commit point; readers ignore every
//! entry whose sequence is above it. So a commit that stopped anywhere is not there at all.
//!
//! This crate knows nothing of flows' contents, connectors, clocks or the environment: it takes
//! names, times and bytes as arguments, and no type of sled or of a cipher leaves it.

#[cfg(test)]
extern crate self as towpath_store;

mod blobs;
mod catalogue;
mod commit;
pub mod conformance;
mod disk;
mod echoes;
mod error;
mod files;
mod format;
mod guard;
mod inbox;
mod indexed;
mod items;
mod journal;
mod kept;
mod layout;
mod letter;
mod look_up;
mod memory;
mod names;
mod past;
mod pieces;
mod points;
mod protocol;
mod reading;
mod seal;
mod seen;
mod sled;
pub mod store;
mod trail;
mod trees;
pub mod upkeep;
pub mod vault;

pub use error::{Error, Result};
pub use guard::catches_panics;
pub use memory::MemoryStore;
pub use points::{At, POINTS};
pub use sled::{Durability, SledOptions, SledStore};
pub use store::{
    Accepted, Cause, Commit, Counts, DeadLetter, DeadLetterSummary, Delivery, Echo, EchoChange,
    Fence, Found, Head, InboxEntry, InboxState, JournalChange, JournalEntry, Lease, LetterChange,
    LetterMark, LetterState, Name, NamesChange, NewDeadLetter, Parked, ParkedChange, Remembered,
    Room, RunLine, Seen, SeenChange, Store, TrailBlock, parked_id,
};
pub use vault::{KeyFile, KeyId, MasterKey};
