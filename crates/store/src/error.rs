//! Why the store refused, by what the caller may do about it.

use std::io;
use std::path::PathBuf;

use crate::layout;
use crate::trees::Tree;
use crate::vault::KeyId;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refusal or failure of the store; each message names its way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else leased the flow since: stop this run, its work is theirs now.
    #[error("the lease on this flow was taken over by a newer one; stop this run")]
    Fenced,
    /// The commit is not the next one: lease again and go on from the head.
    #[error("commit {got} is out of turn, the next one is {expected}; lease the flow again")]
    Sequence {
        /// The sequence that the flow's next commit must carry.
        expected: u64,
        /// The sequence that this commit carried.
        got: u64,
    },
    /// A total would pass 64 bits: nothing was written.
    #[error("a count of this flow would pass 64 bits; nothing was committed")]
    CountOverflow,
    /// Several dead letters begin so: ask again with more characters.
    #[error("several dead letters begin with `{prefix}`: {}", candidates.join(", "))]
    AmbiguousId {
        /// What was asked for.
        prefix: String,
        /// The full ids that begin with it, at most ten.
        candidates: Vec<String>,
    },
    /// So much waits in a flow's inbox that no more is kept: come again later.
    #[error("the inbox of flow `{flow}` is full: {waiting} entries of {bytes} bytes wait")]
    InboxFull {
        /// The flow's name.
        flow: String,
        /// How many entries wait.
        waiting: u64,
        /// How many bytes they have.
        bytes: u64,
    },
    /// What came could not be kept, or nobody knows whether it was: it has to come again.
    #[error("what came could not be kept: {reason}")]
    NotKept {
        /// What went wrong.
        reason: String,
    },
    /// Another process holds the store: stop it, or ask it.
    #[error("the store at {} is in use by {holder}; stop it first, or use another store", path.display())]
    Locked {
        /// The folder of the store.
        path: PathBuf,
        /// Who holds it, such as `process 4711`.
        holder: String,
    },
    /// The key is not the store's: bring back the one that sealed it.
    #[error(
        "the store was sealed with key {wants}, {}; \
         bring that key back (TOWPATH_KEY or the key file), or use another store",
        given_key(*.given)
    )]
    WrongKey {
        /// The id of the key that sealed the store.
        wants: KeyId,
        /// The id of the key that was given, if one was.
        given: Option<KeyId>,
    },
    /// A newer program wrote the store: run that one.
    #[error(
        "the store has format {found}, this program knows formats up to {known}; \
         run the newer program that wrote it, or use another store"
    )]
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest format that this program reads.
        known: u32,
    },
    /// An entry is damaged: restore the store.
    #[error(
        "the store is damaged at {tree}, {place}: {reason}; `towpath store verify` names all that \
         is damaged; restore a backup, or move the store aside and start anew (every record is \
         then sent once more)"
    )]
    Corrupt {
        /// The kind of entry, such as `heads`.
        tree: &'static str,
        /// Which entry, such as ``flow `newsletter`, page 12``.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The text is not a key: correct it. The text itself is never repeated.
    #[error("the key is not 32 bytes in base64 (44 characters) or hexadecimal (64 characters)")]
    KeyText,
    /// There is no key file: name another one, or let one be made.
    #[error("there is no key file at {}; restore it, or give the key as TOWPATH_KEY", path.display())]
    NoKey {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file could not be read or written: see to the disk or its permissions, then try again.
    #[error("could not {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The database failed: see to the disk, then start again.
    #[error("the database could not {doing}: {reason}; see to the disk and start again")]
    Database {
        /// What was tried, as a verb.
        doing: &'static str,
        /// What the database said.
        reason: String,
    },
    /// The database has lost what was durable: restore the store, or decide to do without.
    #[error(
        "the database has lost its last {lost} writes, which had reached the disk: its file is \
         damaged, or an older one was put in its place; restore a backup, or remove {} to go on \
         with what is left (what came since is then found and sent again)",
        mark.display()
    )]
    RolledBack {
        /// How many syncs are missing.
        lost: u64,
        /// The file that tells; without it the store opens.
        mark: PathBuf,
    },
    /// Nothing can be written: see to permissions or to how the disk is mounted.
    #[error(
        "the store at {} cannot be written to ({source}); who runs towpath has to be allowed to, \
         also to look at it",
        path.display()
    )]
    ReadOnly {
        /// The folder or file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no room: make some, and go on as before.
    #[error(
        "the disk is full: {} has {} left; make room, nothing is lost and the next run goes on \
         from the last commit",
        path.display(),
        mebibytes(*.left)
    )]
    Full {
        /// Where the store is.
        path: PathBuf,
        /// How many bytes are free there.
        left: u64,
    },
    /// A store cannot be built anew: make room first.
    #[error(
        "the new store is built beside the old one and needs {} at {}, where {} are free; nothing \
         was changed",
        mebibytes(*.needs),
        path.display(),
        mebibytes(*.left)
    )]
    Room {
        /// Where the store is.
        path: PathBuf,
        /// How many bytes have to be free.
        needs: u64,
        /// How many bytes are free.
        left: u64,
    },
    /// There is a store already where one was to be made.
    #[error(
        "there is a store at {} already; restore into an empty place, or move that store aside",
        path.display()
    )]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Flows are there already that were to be taken in.
    #[error(
        "the store has these flows already: {}; name others, or restore the archive into an empty \
         place",
        flows.join(", ")
    )]
    FlowsExist {
        /// Their names.
        flows: Vec<String>,
    },
    /// The archive holds none of the flows that were asked for.
    #[error("the archive holds no flow {}", flows.join(", "))]
    NoSuchFlows {
        /// Their names.
        flows: Vec<String>,
    },
    /// The archive is of another store, whose hashes say nothing here.
    #[error(
        "the archive is of another store: what its flows have seen cannot be compared with \
         anything here, and every record would be sent once more; restore it into an empty place"
    )]
    OtherStore,
    /// The archive cannot be used: make another one.
    #[error(
        "{} is not a whole archive: {reason} (at byte {at}); use another one", path.display()
    )]
    Archive {
        /// The file.
        path: PathBuf,
        /// How far it was read, in bytes.
        at: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The archive was sealed with another key: give that one.
    #[error(
        "{} was sealed with key {wants}, not with key {given}; give the key of that time with \
         --key-file",
        path.display()
    )]
    ArchiveKey {
        /// The file.
        path: PathBuf,
        /// The id of the key that sealed it.
        wants: KeyId,
        /// The id of the key that was given.
        given: KeyId,
    },
    /// An earlier write could not be made durable: nothing is written until a restart, since a
    /// later sync may succeed without the pages that the failed one lost.
    #[error("an earlier write did not reach the disk; see to the disk and start again")]
    Untrusted,
    /// The work behind a call ended before its answer: lease again to see what was committed.
    #[error("the store stopped in the middle of a call; lease the flow again to see what holds")]
    Interrupted,
    /// The memory store was told to crash here.
    #[error("the memory store stopped here as it was told to")]
    Crashed,
}

fn given_key(given: Option<KeyId>) -> String {
    given.map_or_else(|| "and no key was given".to_owned(), |id| format!("not with key {id}"))
}

fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes >> 10) & 1023) * 10 / 1024)
}

impl Error {
    pub(crate) fn corrupt(tree: Tree, key: &[u8], reason: impl Into<String>) -> Self {
        Self::Corrupt { tree: tree.name(), place: layout::place(tree, key), reason: reason.into() }
    }

    /// An error of the file system while a store is opened or written.
    pub(crate) fn disk(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        let path = path.into();
        match source.kind() {
            PermissionDenied | ReadOnlyFilesystem => Self::ReadOnly { path, source },
            _ => Self::io(doing, path, source),
        }
    }

    /// An error of the file system; one for want of room says so.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        let path = path.into();
        match source.kind() {
            StorageFull | QuotaExceeded => Self::Full { path, left: 0 },
            _ => Self::Io { doing, path, source },
        }
    }
}
