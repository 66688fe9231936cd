//! The guides, followed to the letter: every file written, every command typed, every output
//! compared with what the page shows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod follow;
mod like;
mod page;

use std::path::Path;

use follow::Reader;

fn guide(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide");
    std::fs::read_to_string(root.join(name)).unwrap()
}

#[test]
fn the_first_flow() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut reader = Reader::new(folder.path(), home.path());
    reader.follow("first-flow.md", &guide("first-flow.md"));
}
