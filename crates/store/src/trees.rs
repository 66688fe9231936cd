//! What a home of the store must be able to do: ordered trees of keys and values.

use std::ops::Range;

use async_trait::async_trait;

use crate::Result;

/// A kind of entry; a home keeps each in a tree of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Tree {
    /// Format, key check and number of openings.
    Meta,
    /// One entry a flow: its last commit.
    Heads,
    /// Blocks of seen entries.
    Seen,
    /// Dead letters, one entry a version.
    DeadLetters,
    /// Run lines.
    Runs,
    /// Tokens and secrets.
    Vault,
    /// What was about to be sent, and what became of it.
    Journal,
    /// What remote systems have yet to finish, one entry a version.
    Parked,
    /// The last snapshots of each flow.
    History,
    /// What became of each record, a block a commit.
    Trail,
    /// Blocks of seen keys with the records' own keys.
    Names,
    /// Which open dead letters each record has, and which items a commit writes.
    Catalogue,
    /// What came from outside and waits, with the keys that came and up to where commits took.
    Inbox,
    /// What flows wrote that others read back.
    Echoes,
}

impl Tree {
    pub(crate) const ALL: [Self; 14] = [
        Self::Meta,
        Self::Heads,
        Self::Seen,
        Self::DeadLetters,
        Self::Runs,
        Self::Vault,
        Self::Journal,
        Self::Parked,
        Self::History,
        Self::Trail,
        Self::Names,
        Self::Catalogue,
        Self::Inbox,
        Self::Echoes,
    ];

    /// The name on disk and in errors; part of what sealed entries are bound to.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Heads => "heads",
            Self::Seen => "seen",
            Self::DeadLetters => "dead_letters",
            Self::Runs => "runs",
            Self::Vault => "vault",
            Self::Journal => "journal",
            Self::Parked => "parked",
            Self::History => "history",
            Self::Trail => "trail",
            Self::Names => "names",
            Self::Catalogue => "catalogue",
            Self::Inbox => "inbox",
            Self::Echoes => "echoes",
        }
    }
}

/// One change to a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Write {
    /// Sets a key, whether or not it is there.
    Put(Tree, Vec<u8>, Vec<u8>),
    /// Removes a key, if it is there.
    Delete(Tree, Vec<u8>),
}

impl Write {
    /// About how many bytes of memory it takes.
    pub(crate) fn size(&self) -> usize {
        let (Self::Put(_, key, _) | Self::Delete(_, key)) = self;
        let value = if let Self::Put(_, _, value) = self { value.len() } else { 0 };
        size_of::<Self>() + key.len() + value
    }
}

/// When a home may answer that it has applied writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// When they survive a power failure.
    Durable,
    /// When readers see them.
    Visible,
}

/// A key and its value.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

/// A key, and which bytes of its value.
pub(crate) type Part = (Vec<u8>, Range<usize>);

/// The trees of one home.
///
/// The protocol above asks for no atomicity: writes are applied one by one, in order, and what
/// survives a crash is a prefix of them.
#[async_trait]
pub(crate) trait Trees: Send + Sync + 'static {
    /// How many seen entries a segment has at most.
    const SEGMENT_ENTRIES: usize;

    /// With more loose blocks of seen entries than these, a commit rolls them into segments.
    const LOOSE_BLOCKS: usize;

    /// With more loose pieces of a trail than these, a commit rolls them. They are all in memory
    /// then.
    const LOOSE_PIECES: usize;

    /// When so many bytes of writes are together, the home is handed them, so that a commit of
    /// any size fits into bounded memory.
    const BYTES_AT_ONCE: usize;

    /// Returns the value of a key.
    async fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Returns the bytes of values that lie in these ranges, as far as the values go; `None` for
    /// a key that is not there.
    async fn parts(&self, tree: Tree, wanted: Vec<Part>) -> Result<Vec<Option<Vec<u8>>>>;

    /// Returns the keys that begin with a prefix, in ascending order.
    async fn keys(&self, tree: Tree, prefix: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// Returns the first entries that lie at or after `from` and before `until`, in ascending
    /// order, until there are as many `bytes` of values or no more entries.
    async fn entries(
        &self,
        tree: Tree,
        from: &[u8],
        until: &[u8],
        bytes: usize,
    ) -> Result<Vec<Entry>>;

    /// Returns the first key at or after `from`.
    async fn next(&self, tree: Tree, from: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Returns the last key before another one, or the last one of all.
    async fn previous(&self, tree: Tree, before: Option<&[u8]>) -> Result<Option<Vec<u8>>>;

    /// Returns the last key that begins with a prefix.
    async fn last(&self, tree: Tree, prefix: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Applies writes in order. The caller waits for it even if its own caller does not.
    async fn apply(&self, writes: Vec<Write>, wait: Wait) -> Result<()>;

    /// Tells that the protocol has come to one of the named points.
    fn at(&self, _point: &'static str) {}
}
