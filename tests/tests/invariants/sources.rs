//! Promises that the code itself keeps: who may call whom, and what no library does.

use std::path::{Path, PathBuf};

use towpath_tests::World;

/// Crates that others use: nothing of theirs reaches a terminal.
const LIBRARIES: &[&str] =
    &["connector", "connectors", "engine", "flow", "mapping", "sandbox", "store", "testkit"];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("crates")
}

/// All files below a folder of that name ending.
fn files(below: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "nothing of {ending} below {}", below.display());
    found
}

/// The sources of a crate, or of several, that are no tests: each file's lines above its tests,
/// less comments.
fn sources(below: &Path) -> Vec<(PathBuf, String)> {
    let is_source = |path: &PathBuf| {
        let path = path.to_string_lossy();
        path.contains("/src/") && !path.ends_with("tests.rs") && !path.contains("/tests/")
    };
    let code = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        (path, code.join("\n"))
    };
    files(below, ".rs").into_iter().filter(is_source).map(code).collect()
}

/// What a manifest depends on, tests aside.
fn dependencies(manifest: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let lines = text.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned).collect()
}

#[test]
fn invariant_06_only_the_engine_writes_state() {
    let connectors = files(&crates().join("connectors"), "Cargo.toml");
    for manifest in [&connectors[..], &[crates().join("connector/Cargo.toml")]].concat() {
        for forbidden in ["store", "engine", "flow"] {
            let depends = dependencies(&manifest).iter().any(|it| it == forbidden);
            assert!(!depends, "{} depends on {forbidden}", manifest.display());
        }
    }
    for (path, code) in sources(&crates()) {
        let is_ours = ["/engine/", "/store/"].iter().any(|it| path.to_string_lossy().contains(it));
        let commits = code.contains("Commit {") || code.contains(".commit(&");
        assert!(is_ours || !commits, "{} commits", path.display());
    }
}

#[test]
fn invariant_09_checking_needs_nothing() {
    // A plain function of the text, on a thread without a runtime.
    let connectors = towpath_tests::world::connectors();
    let context = flow::Context { connectors: &connectors, config: None };
    let text = include_str!("../../../flows/newsletter-to-clevertap.yaml");
    let (flow, findings) = flow::check("flow.yaml", text, &context);
    assert!(flow.is_some() && findings.is_empty());
    let needs = dependencies(&crates().join("flow/Cargo.toml"));
    for forbidden in ["engine", "reqwest", "server", "store", "tokio"] {
        assert!(!needs.iter().any(|it| it == forbidden), "flow depends on {forbidden}");
    }
    let commands = crates().join("cli/src/commands");
    for command in ["check.rs", "test.rs"] {
        let (path, code) =
            sources(&commands).into_iter().find(|(path, _)| path.ends_with(command)).unwrap();
        for forbidden in ["Workshop", "engine::", "store::", "SledStore", "MasterKey"] {
            assert!(!code.contains(forbidden), "{} uses {forbidden}", path.display());
        }
    }
}

#[test]
fn invariant_10_libraries_neither_print_nor_exit_nor_panic() {
    for library in LIBRARIES {
        for manifest in files(&crates().join(library), "Cargo.toml") {
            let text = std::fs::read_to_string(&manifest).unwrap();
            // The lints of the workspace refuse `unwrap`, `expect` and what prints.
            assert!(text.contains("[lints]\nworkspace = true"), "{}", manifest.display());
        }
        for (path, code) in sources(&crates().join(library)) {
            // The suite that every home of a store passes is a test that others call.
            if path.ends_with("store/src/conformance.rs") {
                continue;
            }
            for forbidden in
                ["println!(", "eprintln!(", "dbg!(", "process::exit", "panic!(", "todo!("]
            {
                assert!(!code.contains(forbidden), "{} has {forbidden}", path.display());
            }
            let allows = ["clippy::unwrap_used", "clippy::expect_used", "clippy::print_std"];
            let allowed = allows.iter().any(|lint| code.contains(lint));
            assert!(!allowed, "{} allows what libraries do not", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_10_input_that_makes_no_sense_is_an_error_and_no_panic() {
    let world = World::with(0).await;
    let store = world.store.clone();
    let context = flow::Context { connectors: &[], config: None };
    for text in ["", "\0", "flow: [", "- 1", "flow: &a *a", "steps: {}", "\u{feff}{", "{{{{{{{{"] {
        let (flow, findings) = flow::check("flow.yaml", text, &context);
        assert!(flow.is_none() && !findings.is_empty(), "{text:?}");
    }
    assert!(engine::Snapshot::read("f", b"\xff\xfe").is_err());
    assert!(store.dead_letter("\u{0}").await.unwrap().is_none());
    assert!(mapping::Mapping::compile("$$$(((").is_err());
}
