//! The bans of `deny.toml` against `Cargo.lock`, and where the locked crates come from.

use std::path::Path;

use anyhow::{Context, Result};

use super::Findings;

/// Reads `[bans] deny` and fails for each crate of it that is locked, and for each locked crate
/// that does not come from the registry of `[sources]` or from this workspace.
pub(crate) fn check(root: &Path) -> Result<Findings> {
    let read = |name: &str| {
        std::fs::read_to_string(root.join(name)).with_context(|| format!("could not read {name}"))
    };
    let (deny, lock) = (read("deny.toml")?, read("Cargo.lock")?);
    Ok(compare(&deny, &lock).into())
}

fn compare(deny: &str, lock: &str) -> Vec<String> {
    let banned = strings_after(section(deny, "bans"), "name = ");
    if banned.is_empty() {
        return vec!["deny.toml bans nothing: its section [bans] was not understood".to_owned()];
    }
    let registries: Vec<_> = section(deny, "sources").flat_map(quoted).collect();
    let mut failures = vec![];
    for name in strings_after(lock.lines(), "name = ") {
        if banned.contains(&name) {
            failures.push(format!("`{name}` is banned by deny.toml, and Cargo.lock has it"));
        }
    }
    for source in strings_after(lock.lines(), "source = ") {
        let known = |registry: &&str| source.strip_prefix("registry+") == Some(*registry);
        if !registries.iter().any(known) {
            failures.push(format!("Cargo.lock has a crate from {source}, not in [sources]"));
        }
    }
    failures.dedup();
    failures
}

/// The lines between `[name]` and the next section, comments left out.
fn section<'a>(toml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let head = format!("[{name}]");
    let lines = toml.lines().skip_while(move |line| line.trim() != head).skip(1);
    lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.trim().starts_with('#'))
}

/// The first string that follows `key` in each line that has it.
fn strings_after<'a>(lines: impl Iterator<Item = &'a str>, key: &str) -> Vec<&'a str> {
    lines.filter_map(|line| quoted(line.split_once(key)?.1).next()).collect()
}

fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::compare;

    const DENY: &str = "[licenses]\nallow = [\"MIT\"]\n\n[bans]\ndeny = [\n    { name = \
        \"openssl\", reason = \"no C\" },\n    # { name = \"serde\" },\n]\n\n[sources]\n\
        allow-registry = [\"https://registry.test/index\"]\n";

    fn lock(name: &str, source: &str) -> String {
        format!("[[package]]\nname = \"serde\"\n\n[[package]]\nname = \"{name}\"\n{source}")
    }

    #[test]
    fn banned_crates_and_strange_sources_are_named() {
        let registry = "source = \"registry+https://registry.test/index\"\n";
        assert_eq!(compare(DENY, &lock("openssl-probe", registry)), Vec::<String>::new());
        assert_eq!(
            compare(DENY, &lock("openssl", "source = \"git+https://a.test/b#1\"\n")),
            [
                "`openssl` is banned by deny.toml, and Cargo.lock has it",
                "Cargo.lock has a crate from git+https://a.test/b#1, not in [sources]",
            ]
        );
        assert_eq!(compare("[sources]", &lock("openssl", registry)).len(), 1);
    }
}
