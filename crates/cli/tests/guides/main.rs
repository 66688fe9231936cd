//! The guides, followed to the letter: every file written, every command typed, every output
//! compared with what the page shows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod clone;
mod follow;
mod like;
mod page;

use std::path::Path;

use follow::Reader;

/// What the guide does under another name, and what `cargo xtask check` would say of it.
const ANOTHER: &str = r#"
```console
$ cargo xtask new-connector hill-side --title "Hill & Side"
…
$ cargo fmt --all --check
$ cargo test --quiet -p towpath-hill-side --test accept
…
$ cargo clippy --quiet -p towpath -- -D warnings
…
```
```console fails
$ cargo xtask new-connector hill-side
[…]taken[…]
```
"#;

fn guide(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide");
    std::fs::read_to_string(root.join(name)).unwrap()
}

/// One after the other, since all of them take the sandbox's usual ports.
#[test]
fn those_with_a_sandbox() {
    // A page that comes behind another one goes on in its folder. None names the usual port of
    // `serve`: other tests have services, too, and the first one has it.
    let pages: [&[&str]; 7] = [
        &["first-flow.md", "store.md"],
        &["state.md"],
        &["dead-letters.md"],
        &["accounts.md"],
        &["cleverreach.md", "cleverreach-events.md"],
        &["clevertap.md"],
        &["clevertap-attribution.md"],
    ];
    for names in pages {
        let folder = tempfile::tempdir().unwrap();
        let home = tempfile::tempdir().unwrap();
        let mut reader = Reader::new(folder.path(), home.path());
        names.iter().for_each(|name| reader.follow(name, &guide(name)));
    }
}

#[test]
fn slow_a_connector() {
    let home = tempfile::tempdir().unwrap();
    let mut reader = Reader::new(&clone::make(), home.path());
    for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let usual = || std::env::home_dir().unwrap().join(folder).into_os_string();
        let path = std::env::var_os(name).unwrap_or_else(usual);
        reader = reader.with(name, path.into_string().unwrap());
    }
    // Everything that is needed was fetched when this test was built.
    reader = reader.with("CARGO_NET_OFFLINE", "true");
    reader.follow("add-a-connector.md", &guide("add-a-connector.md"));
    reader.follow("another", ANOTHER);
}
