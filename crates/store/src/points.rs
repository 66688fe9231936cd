//! The named points of an embedded store, at which a test may stop the process.

/// Is told of every point that a store comes to.
///
/// It is called on the thread that does the work, which goes on when it returns.
pub type At = fn(&'static str);

/// Every point, and what is true there. At those that say "on disk", what was written before is
/// brought to the disk first, so that a test finds exactly that.
pub const POINTS: &[(&str, &str)] = &[
    ("store.opened", "the database is open, and the opening is not counted"),
    ("store.counted", "the opening is counted, and nobody has the store"),
    ("store.leftovers.found", "a commit is about to take away what a crashed one left"),
    ("store.blocks.rolled", "a commit is about to roll loose blocks into segments"),
    ("store.seen.replaced", "a commit is about to write all seen entries anew"),
    ("store.file.written", "a large value is in its file, and no entry names it"),
    ("store.piece.written", "a piece of a large commit is written, and more follows"),
    ("store.head.next", "a commit's entries are on disk, its head is not"),
    (
        "store.head.written",
        "a commit's head is on disk, and of what it made obsolete at most pieces of the older head are deleted",
    ),
    ("store.obsolete.deleted", "the deletion of an obsolete block is on disk"),
    ("store.flush.next", "writes are made, and the database buffers them"),
    ("store.flushed", "the operating system has the writes, the disk may not"),
    ("store.synced", "writes are on disk, and nobody was told"),
    ("store.token.next", "a token is sealed and not written"),
    ("store.token.kept", "a token is on disk, and nobody was told"),
    ("store.inbox.next", "what came has its number, and is not written"),
    ("store.inbox.kept", "what came is on disk, and nobody was told"),
    ("store.run.written", "a run's line is written"),
    ("store.copy.begun", "the folder of a store that is built anew is made, and empty"),
    ("store.copy.written", "the new store is whole and on disk, and the old one is the one"),
    ("store.copy.decided", "the new store is the one, and not in its place"),
    ("store.copy.taken", "the new store is in its place and open, the old one lies beside it"),
];
