//! `cargo xtask check`: everything that is looked at besides the tests.
//!
//! All checks run, and what failed is said together at the end.

pub(crate) mod arrows;
pub(crate) mod bans;
pub(crate) mod files;

use anyhow::{Result, bail};

use crate::cargo::{cargo, has, metadata, root, succeed};
use crate::schema;

/// What a check found: failures, and notes that fail nothing.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) failures: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl From<Vec<String>> for Findings {
    fn from(failures: Vec<String>) -> Self {
        Self { failures, notes: vec![] }
    }
}

const CLIPPY: &[&str] =
    &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];

/// What is behind a feature that nothing else turns on.
const TRACES: &[&str] =
    &["test", "--quiet", "--package", "towpath", "--features", "otlp", "--bin", "towpath", "otlp"];

pub(crate) fn run() -> Result<()> {
    let checks: [(&str, &dyn Fn() -> Result<Findings>); 7] = [
        ("format", &|| tool(&["fmt", "--all", "--check"])),
        ("arrows", &|| Ok(arrows::check(&metadata()?).into())),
        ("bans", &bans),
        ("files", &|| files::check(&root())),
        ("clippy", &|| tool(CLIPPY)),
        ("traces", &|| tool(TRACES)),
        ("generated", &|| Ok(schema::compare()?.into())),
    ];
    let mut failures = vec![];
    for (name, check) in checks {
        let findings = check().unwrap_or_else(|error| vec![format!("{error:#}")].into());
        for note in findings.notes {
            println!("xtask: {name}: note: {note}");
        }
        let verdict = if findings.failures.is_empty() { "ok" } else { "FAILED" };
        println!("xtask: {name}: {verdict}");
        failures.extend(findings.failures.into_iter().map(|failure| format!("{name}: {failure}")));
    }
    if !failures.is_empty() {
        bail!("{} found:\n  {}", failures.len(), failures.join("\n  "));
    }
    println!("xtask: all checks passed");
    Ok(())
}

fn tool(args: &[&str]) -> Result<Findings> {
    succeed(&mut cargo(args))?;
    Ok(Findings::default())
}

fn bans() -> Result<Findings> {
    let mut findings = bans::check(&root())?;
    if has("deny") {
        succeed(&mut cargo(["deny", "check", "bans", "licenses", "sources"]))?;
    } else {
        let left = "licences and duplicates are checked only where cargo-deny is installed";
        findings.notes.push(left.to_owned());
    }
    Ok(findings)
}
