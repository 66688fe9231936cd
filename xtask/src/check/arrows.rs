//! The allowed arrows between our crates, and what of `cargo metadata` is not in the table.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cargo::Metadata;

/// A line of the table: a room and the rooms that it may depend on.
struct Arrows {
    /// The folder below `crates/` or the root; `connectors/*` is every connector.
    room: &'static str,
    normal: &'static [&'static str],
    /// These besides, for tests only.
    dev: &'static [&'static str],
}

const fn line(
    room: &'static str,
    normal: &'static [&'static str],
    dev: &'static [&'static str],
) -> Arrows {
    Arrows { room, normal, dev }
}

const NONE: &[&str] = &[];
const ANY: &[&str] = &["*"];
const PARTS: &[&str] =
    &["connector", "connectors/*", "engine", "flow", "mapping", "sandbox", "server", "store"];

#[rustfmt::skip]
const TABLE: &[Arrows] = &[
    //   room            may depend on                                 and in tests
    line("connector",    NONE,                                         NONE),
    line("mapping",      NONE,                                         NONE),
    line("store",        NONE,                                         NONE),
    line("sandbox",      NONE,                                         NONE),
    line("flow",         &["connector", "mapping"],                    NONE),
    line("engine",       &["connector", "flow", "mapping", "store"],   NONE),
    line("server",       &["connector", "engine", "flow", "mapping", "store"], NONE),
    line("testkit",      &["connector", "mapping"],                    NONE),
    line("testkit/example-crm", &["connector"],                        &["testkit"]),
    line("connectors/*", &["connector"],                               &["mapping", "sandbox", "testkit"]),
    line("cli",          PARTS,                                        NONE),
    line("tests",        ANY,                                          ANY),
    line("benches",      ANY,                                          ANY),
    line("xtask",        ANY,                                          ANY),
];

/// Says which dependencies between our crates the table does not have.
pub(crate) fn check(metadata: &Metadata) -> Vec<String> {
    let rooms: BTreeMap<&str, String> = metadata
        .packages
        .iter()
        .map(|package| {
            (package.name.as_str(), room(&metadata.workspace_root, &package.manifest_path))
        })
        .collect();
    let mut forbidden = vec![];
    for package in &metadata.packages {
        let Some(from) = rooms.get(package.name.as_str()) else { continue };
        let Some(line) = TABLE.iter().find(|line| covers(line.room, from)) else {
            forbidden.push(format!("`{from}` has no line in the table of arrows (arrows.rs)"));
            continue;
        };
        for dependency in &package.dependencies {
            let Some(to) = rooms.get(dependency.name.as_str()) else { continue };
            let dev = dependency.kind.as_deref() == Some("dev");
            let mut allowed = line.normal.to_vec();
            if dev {
                allowed.extend(line.dev);
            }
            if !allowed.iter().any(|room| covers(room, to)) {
                let how = if dev { "in tests " } else { "" };
                let only = if allowed.is_empty() {
                    "nothing of ours".to_owned()
                } else {
                    allowed.join(", ")
                };
                forbidden.push(format!("`{from}` may not {how}depend on `{to}`, only on: {only}"));
            }
        }
    }
    forbidden
}

fn covers(pattern: &str, room: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => room.starts_with(start),
        None => room == pattern,
    }
}

/// The room of a package: its folder below `crates/`, or the first folder of another place.
fn room(root: &Path, manifest: &Path) -> String {
    let folder = manifest.parent().unwrap_or(manifest);
    let folder = folder.strip_prefix(root).unwrap_or(folder);
    let parts: Vec<_> = folder.iter().map(|part| part.to_string_lossy()).collect();
    match parts.as_slice() {
        [first, rest @ ..] if first == "crates" => rest.join("/"),
        [first, ..] => first.to_string(),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    fn package(name: &str, folder: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, kind)| json!({ "name": name, "kind": kind, "req": "*" }))
            .collect();
        json!({
            "name": name,
            "manifest_path": format!("/src/{folder}/Cargo.toml"),
            "dependencies": dependencies,
        })
    }

    fn check_packages(packages: &[Value]) -> Vec<String> {
        let metadata = json!({
            "packages": packages,
            "workspace_root": "/src",
            "target_directory": "/src/target",
        });
        check(&serde_json::from_value(metadata).unwrap())
    }

    #[test]
    fn allowed_arrows_pass_and_others_are_named() {
        let good = [
            package("t-connector", "crates/connector", &[("serde", None), ("axum", Some("dev"))]),
            package("t-mapping", "crates/mapping", &[]),
            package("t-sandbox", "crates/sandbox", &[]),
            package("t-flow", "crates/flow", &[("t-mapping", None), ("t-connector", None)]),
            package(
                "t-crm",
                "crates/connectors/crm",
                &[("t-connector", None), ("t-sandbox", Some("dev"))],
            ),
            package("t", "crates/cli", &[("t-crm", None), ("t-sandbox", None)]),
            package("t-tests", "tests", &[("t-crm", Some("dev")), ("t-flow", Some("dev"))]),
            package("by-hand", "benches/main-job", &[("t-sandbox", None)]),
        ];
        assert_eq!(check_packages(&good), Vec::<String>::new());

        let mut bad = good.to_vec();
        bad[0] = package("t-connector", "crates/connector", &[("t-flow", Some("dev"))]);
        bad[2] = package("t-sandbox", "crates/sandbox", &[("t-connector", None)]);
        bad[4] = package("t-crm", "crates/connectors/crm", &[("t-sandbox", None)]);
        bad.push(package("t-new", "crates/new", &[]));
        assert_eq!(
            check_packages(&bad),
            [
                "`connector` may not in tests depend on `flow`, only on: nothing of ours",
                "`sandbox` may not depend on `connector`, only on: nothing of ours",
                "`connectors/crm` may not depend on `sandbox`, only on: connector",
                "`new` has no line in the table of arrows (arrows.rs)",
            ]
        );
    }
}
