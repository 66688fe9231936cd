//! `cargo xtask schema`: writes the generated files, or compares them.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, metadata, output, root, succeed};

/// Every generated file: what the command line prints, and where it is kept.
const GENERATED: &[(&[&str], &str)] = &[
    (&["schema", "flow"], "docs/reference/flow.schema.json"),
    (&["schema", "config"], "docs/reference/towpath.schema.json"),
    (&["schema", "api"], "docs/reference/openapi.json"),
];

/// What prints the pages of the reference, `{ name, text }` a line, and where they are kept.
const PAGES: (&[&str], &str) = (&["reference", "--json"], "docs/reference");

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only compares, and fails where a file is not what would be written.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.check {
        let stale = compare()?;
        if !stale.is_empty() {
            bail!("{}", stale.join("\n"));
        }
        println!("xtask: the generated files are as they should be");
        return Ok(());
    }
    for (path, text) in generate()? {
        let path = root().join(path);
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        std::fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
        println!("xtask: wrote {}", path.display());
    }
    Ok(())
}

/// Says of each generated file that is missing or old what is wrong with it.
pub(crate) fn compare() -> Result<Vec<String>> {
    let mut stale = vec![];
    for (path, text) in generate()? {
        // A checkout may have other line ends than what is printed.
        match std::fs::read_to_string(root().join(&path)) {
            Ok(kept) if kept.replace("\r\n", "\n") == text => {}
            Ok(_) => stale.push(format!("{path} is not up to date: run `cargo xtask schema`")),
            Err(error) => stale.push(format!("{path}: {error}: run `cargo xtask schema`")),
        }
    }
    Ok(stale)
}

fn generate() -> Result<Vec<(String, String)>> {
    // The same features as the tests had, so that nothing is compiled a second time.
    succeed(&mut cargo(["build", "--quiet", "--workspace", "--all-targets"]))?;
    let binary = metadata()?.target_directory.join("debug").join("towpath");
    let mut files = vec![];
    for (command, path) in GENERATED {
        let text = output(std::process::Command::new(&binary).args(*command).current_dir(root()))?;
        files.push(((*path).to_owned(), text.replace("\r\n", "\n")));
    }
    let (command, folder) = PAGES;
    let pages = output(std::process::Command::new(&binary).args(command).current_dir(root()))?;
    for page in pages.lines() {
        #[derive(serde::Deserialize)]
        struct Page {
            name: String,
            text: String,
        }
        let Page { name, text } = serde_json::from_str(page)?;
        files.push((format!("{folder}/{name}"), text));
    }
    Ok(files)
}
