//! `cargo xtask new-connector`: writes a connector that compiles and is accepted, to change.
//!
//! What it writes is the example of the testkit with other names: there is one example, and it is
//! tested where it stands.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo_in, root, succeed};

/// The example, as files and names.
const EXAMPLE: &str = "crates/testkit/example-crm";
const NAME: &str = "example-crm";
const TITLE: &str = "Example CRM";
/// What cannot be a crate's name in `use`.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in",
    "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "test", "trait", "true", "try", "type", "typeof",
    "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield", "core", "std",
    "alloc",
];
/// Types of the language: a crate by such a name hides them.
const TYPES: &[&str] = &[
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "str", "u8", "u16",
    "u32", "u64", "u128", "usize",
];
/// Tools that have attributes, crates of ours, and what has a meaning in flow files.
#[rustfmt::skip]
const OURS: &[&str] = &[
    "clippy", "diagnostic", "miri", "rustdoc", "rustfmt", "benches", "cli", "connectors",
    "manifest", "server", "testkit", "tests", "towpath", "trigger", "xtask",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The name that flow files use, in small letters: `example-crm`.
    name: String,
    /// The system's own name; made of NAME without it.
    #[arg(long)]
    title: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let title = args.title.clone().unwrap_or_else(|| capitals(&args.name));
    let root = root();
    for path in write(&root, &args.name, &title)? {
        println!("xtask: wrote {}", path.strip_prefix(&root).unwrap_or(&path).display());
    }
    println!("xtask: `cargo test -p towpath-{}` accepts it", args.name);
    Ok(())
}

/// Writes everything, or nothing if something stands against it.
fn write(root: &Path, name: &str, title: &str) -> Result<Vec<PathBuf>> {
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path)).with_context(|| format!("could not read {path}"))
    };
    let workspace = read("Cargo.toml")?;
    let folder = root.join("crates/connectors").join(name);
    refuse(name, title, &workspace)?;
    if folder.exists() {
        bail!("there is a connector {name} already: {}", folder.display());
    }
    let module = name.replace('-', "_");
    let mut files = vec![];
    for path in files_below(&root.join(EXAMPLE))? {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("could not read {}", path.display()))?;
        // The example's own package is called otherwise: its name stays free for the guide's.
        let text = text
            .replace(TITLE, title)
            .replace("testkit-example-crm", &format!("towpath-{name}"))
            .replace("testkit_example_crm", &format!("towpath_{module}"))
            .replace(NAME, name);
        files.push((folder.join(path.strip_prefix(root.join(EXAMPLE))?), text));
    }
    let dependency =
        format!("{name} = {{ path = \"crates/connectors/{name}\", package = \"towpath-{name}\" }}");
    let workspace = insert(&workspace, "# Ours", &dependency)?;
    files.push((root.join("Cargo.toml"), workspace));
    let cli = insert(
        &read("crates/cli/Cargo.toml")?,
        "[dependencies]",
        &format!("{name}.workspace = true"),
    )?;
    files.push((root.join("crates/cli/Cargo.toml"), cli));
    let registry = "crates/cli/src/registry.rs";
    files.push((root.join(registry), register(&read(registry)?, &module)?));
    for (path, text) in &files {
        let parent = path.parent().unwrap_or(root);
        std::fs::create_dir_all(parent)?;
        std::fs::write(path, text)
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    // Longer names break lines elsewhere; and the new package belongs into the lock file.
    let package = format!("towpath-{name}");
    succeed(&mut cargo_in(root, ["fmt", "-p", &package, "-p", "towpath"]))?;
    succeed(&mut cargo_in(root, ["update", "--quiet", "--workspace", "--offline"]))?;
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// Says what stands against a name.
fn refuse(name: &str, title: &str, workspace: &str) -> Result<()> {
    let parts = || name.split('-');
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if !parts().all(plain) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        bail!(
            "`{name}` is no name of a connector: small letters, digits and single hyphens, such as `example-crm`"
        );
    }
    // A hyphen and an underscore are the same in a crate's name.
    let module = name.replace('-', "_");
    let known = |line: &str| {
        line.split([' ', '.', '=']).next().is_some_and(|it| it.replace('-', "_") == module)
    };
    let reserved = [KEYWORDS, TYPES, OURS].iter().any(|words| words.contains(&name));
    if reserved || workspace.lines().any(known) {
        bail!("`{name}` is taken by a crate or a word of the language; `{name}-api` may do");
    }
    if title.trim().is_empty() || title.contains(['"', '\\', '\n', '\r']) || title.contains("*/") {
        bail!("the title is empty, or holds a quotation mark, a backslash, `*/` or a line break");
    }
    Ok(())
}

/// Puts a line in its alphabetical place among those that follow `head`.
fn insert(text: &str, head: &str, line: &str) -> Result<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|it| it.starts_with(head));
    let start = start.with_context(|| format!("a manifest has no line `{head}`"))? + 1;
    let name = |line: &str| line.split([' ', '.']).next().unwrap_or_default().to_owned();
    let rest = lines.get(start..).unwrap_or_default();
    let len = rest.iter().position(|it| it.trim().is_empty()).unwrap_or(rest.len());
    let before = rest.iter().take(len).position(|it| name(it) > name(line));
    lines.insert(start + before.unwrap_or(len), line);
    Ok(lines.join("\n") + "\n")
}

/// Adds the connector behind the last one of the registry.
fn register(text: &str, module: &str) -> Result<String> {
    let call = "::connector()";
    let at = text.rfind(call).context("registry.rs lists no connector")? + call.len();
    let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at..).unwrap_or_default());
    Ok(format!("{before}, {module}{call}{after}"))
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![];
    let listed = std::fs::read_dir(folder)
        .with_context(|| format!("could not read {}", folder.display()))?;
    for entry in listed {
        let path = entry?.path();
        if path.is_dir() { files.extend(files_below(&path)?) } else { files.push(path) }
    }
    files.sort();
    Ok(files)
}

/// `example-crm` as `Example Crm`.
fn capitals(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn names_that_cannot_be_are_refused() {
        let workspace = "[workspace.dependencies]\nserde = \"1\"\nserde_json = \"1\"\n";
        for bad in ["", "Example", "9lives", "a--b", "a-", "a_b", "../a", "serde", "match", "cli"] {
            assert!(refuse(bad, "Title", workspace).is_err(), "{bad}");
        }
        for bad in ["serde-json", "bool", "tests", "towpath", "clippy"] {
            assert!(refuse(bad, "Title", workspace).is_err(), "{bad}");
        }
        for bad in ["", " ", "a \"b\"", "a\nb", "a */ b"] {
            assert!(refuse("fine", bad, workspace).is_err(), "{bad}");
        }
        refuse("example-crm2", "Example", workspace).unwrap();
        assert_eq!(capitals("example-crm"), "Example Crm");
    }

    #[test]
    fn lines_come_in_alphabetical_order() {
        let text = "[dependencies]\na.workspace = true\nc.workspace = true\n\n[x]\n";
        let inserted = insert(text, "[dependencies]", "b.workspace = true").unwrap();
        assert_eq!(
            inserted,
            "[dependencies]\na.workspace = true\nb.workspace = true\nc.workspace = true\n\n[x]\n"
        );
        let last = insert(text, "[dependencies]", "d.workspace = true").unwrap();
        assert!(last.contains("c.workspace = true\nd.workspace = true\n\n"), "{last}");
        assert_eq!(
            register("vec![a::connector()]", "b").unwrap(),
            "vec![a::connector(), b::connector()]"
        );
    }

    /// In a copy of this workspace. That it compiles and is accepted is shown by the guide's test.
    #[test]
    fn what_is_written_has_its_form_and_a_name_is_taken_once() {
        let copy = tempfile::tempdir().unwrap();
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root())
            .output();
        let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
        for path in listed.split('\0').filter(|path| root().join(path).is_file()) {
            let to = copy.path().join(path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(root().join(path), to).unwrap();
        }
        let written = write(copy.path(), "hill-side", "Hill & Side").unwrap();
        assert!(
            written.iter().any(|path| path.ends_with("crates/connectors/hill-side/src/lib.rs"))
        );
        let again = write(copy.path(), "hill-side", "Hill & Side").unwrap_err();
        assert!(again.to_string().contains("taken"), "{again}");
        succeed(&mut cargo_in(copy.path(), ["fmt", "--all", "--check"])).unwrap();
        let metadata = crate::cargo::metadata_of(copy.path()).unwrap();
        assert_eq!(crate::check::arrows::check(&metadata), Vec::<String>::new());
    }
}
