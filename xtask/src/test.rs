//! `cargo xtask test`: all tests, with nextest where it is installed.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{cargo, has, metadata, succeed};
use crate::check::files::rust_files;
use crate::schemathesis;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Handed to the runner: `cargo xtask test -- -p towpath-store`.
    #[arg(last = true)]
    runner: Vec<String>,
}

/// Runs unit and integration tests, then doc-tests. With arguments for the runner, only what
/// these choose.
pub(crate) fn run(args: &Args) -> Result<()> {
    println!("xtask: needs the Rust toolchain; what else a test needs is said");
    let schemathesis = if args.runner.is_empty() { schemathesis::tool()? } else { None };
    let env = schemathesis.as_ref().map(|tool| ("TOWPATH_SCHEMATHESIS", tool));
    if env.is_none() && args.runner.is_empty() {
        println!("xtask: SKIPPED: schemathesis, which needs Python 3 with venv and pip");
    }
    if args.runner.is_empty() {
        browser();
    }
    if !has("nextest") {
        println!("xtask: cargo-nextest is not installed: `cargo test` runs the same tests");
        let mut tests = cargo(["test", "--workspace", "--no-fail-fast"]);
        return succeed(tests.args(&args.runner).envs(env));
    }
    println!("xtask: cargo-nextest is installed: it runs the tests, all crates at once");
    let mut tests = cargo(["nextest", "run", "--workspace", "--no-fail-fast"]);
    succeed(tests.args(&args.runner).envs(env))?;
    if !args.runner.is_empty() {
        return Ok(());
    }
    // nextest runs no doc-tests, and cargo takes a while to say "0 passed" for every crate.
    if !any_doc_tests()? {
        println!("xtask: there are no doc-tests");
        return Ok(());
    }
    succeed(&mut cargo(["test", "--workspace", "--doc"]))
}

/// Sees to what the tests of logins and pages need beside that, or says what is missing.
///
/// The OAuth2 server (oidc-provider, from npm) is installed by its tests, below the target
/// directory; the browser is one of Debian's packages.
fn browser() {
    for program in ["node", "npm"] {
        if !runs(program) {
            println!("xtask: MISSING {program}: the tests of OAuth2 logins will be SKIPPED");
        }
    }
    if runs("chromium") && runs("chromedriver") {
        return;
    }
    let is_root = Command::new("id").arg("-u").output();
    let is_root = is_root.is_ok_and(|it| it.stdout.trim_ascii() == b"0");
    if is_root && runs("apt-get") {
        println!("xtask: installs chromium and chromium-driver by apt-get, for the tests of pages");
        let mut install = Command::new("apt-get");
        install.args(["install", "--yes", "--quiet", "chromium", "chromium-driver"]);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        if install.status().is_ok_and(|it| it.success()) {
            return;
        }
    }
    println!(
        "xtask: MISSING chromium: the tests of pages will be SKIPPED (Debian: apt-get install \
         chromium chromium-driver)"
    );
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|it| it.status.success())
}

fn any_doc_tests() -> Result<bool> {
    for package in metadata()?.packages {
        let src = package.manifest_path.parent().unwrap_or(Path::new("")).join("src");
        for file in rust_files(&src)? {
            if has_doc_test(&std::fs::read_to_string(file)?) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Tells whether a source has a fenced or indented block that rustdoc would run.
fn has_doc_test(source: &str) -> bool {
    let mut fenced = false;
    let mut blank = true;
    for line in source.lines().map(str::trim_start) {
        let Some(text) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            (fenced, blank) = (false, true);
            continue;
        };
        if let Some(info) = text.trim_start().strip_prefix("```") {
            if !fenced && is_rust(info) {
                return true;
            }
            fenced = !fenced;
        } else if !fenced && blank && text.starts_with("     ") {
            return true;
        }
        blank = text.trim().is_empty();
    }
    false
}

fn is_rust(info: &str) -> bool {
    let mut words = info.split([',', ' ']).filter(|word| !word.is_empty());
    words.all(|word| {
        matches!(word, "rust" | "no_run" | "should_panic" | "compile_fail")
            || word.starts_with("edition")
    })
}

#[cfg(test)]
mod tests {
    use super::has_doc_test;

    #[test]
    fn doc_tests_are_found() {
        for (source, expected) in [
            ("/// Adds.\n/// ```\n/// add(1);\n/// ```\nfn add() {}", true),
            ("//! ```no_run\n//! run();\n//! ```", true),
            ("/// ```yaml\n/// a: 1\n/// ```\n/// ```rust\n/// a()\n/// ```", true),
            ("/// Like this:\n///\n///     add(1)\nfn add() {}", true),
            ("/// ```text\n/// a\n/// ```\n/// ```json\n/// 1\n/// ```", false),
            ("/// * one\n///   goes on\nfn add() {}", false),
            ("let a = \"```\";", false),
        ] {
            assert_eq!(has_doc_test(source), expected, "{source}");
        }
    }
}
