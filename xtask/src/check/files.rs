//! What files may not hold, and how long they may be.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Findings;
use crate::cargo::output;

/// A file of a library that is longer is a failure ...
const TOO_LONG: usize = 600;
/// ... and one that is longer than this a note: look for the seam.
const LONG: usize = 400;
/// Files that are one table each, and may be as long as it takes.
const TABLES: &[&str] = &[];
/// What only says something about one machine. Each is put together from two parts, so that this
/// file does not find itself.
const STRANGERS: &[(&str, &str)] =
    &[("/ho", "me/"), ("/ro", "ot/"), ("/Us", "ers/"), ("/wo", "rk/"), ("C:\\", "Users")];

/// Looks at every tracked file, and at the length of those below `crates/`.
pub(crate) fn check(root: &Path) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut git = std::process::Command::new("git");
    match output(git.args(["ls-files", "-z"]).current_dir(root)) {
        Ok(tracked) => {
            for path in tracked.split('\0').filter(|path| !path.is_empty()) {
                // What is deleted but not committed cannot be read, nor can what is not text.
                let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
                findings.failures.extend(strangers(path, &text));
            }
        }
        Err(error) => findings.notes.push(format!("tracked files were not looked at: {error}")),
    }
    for file in rust_files(&root.join("crates"))? {
        let path = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        let lines = std::fs::read_to_string(&file)?.lines().count();
        if TABLES.contains(&path.as_str()) || !path.contains("src") || lines <= LONG {
            continue;
        }
        let found = format!("{path} has {lines} lines: at {LONG} look for a seam");
        if lines > TOO_LONG {
            findings.failures.push(format!("{found}, past {TOO_LONG} only a table may go"));
        } else {
            findings.notes.push(found);
        }
    }
    Ok(findings)
}

fn strangers(path: &str, text: &str) -> Vec<String> {
    let mut found = vec![];
    for (number, line) in text.lines().enumerate() {
        for (start, end) in STRANGERS {
            let stranger = format!("{start}{end}");
            // A path is absolute only where nothing that belongs to a word or a URL precedes it.
            let absolute = |(at, _): (usize, &str)| {
                let before = line.get(..at).and_then(|before| before.chars().next_back());
                !stranger.starts_with('/')
                    || before.is_none_or(|c| !c.is_alphanumeric() && !"._-}/~*".contains(c))
            };
            if line.match_indices(&stranger).any(absolute) {
                found.push(format!("{path}:{} names {stranger}", number + 1));
            }
        }
    }
    found
}

/// All Rust files below a folder, sorted; none if there is no such folder.
pub(crate) fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![];
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::strangers;

    #[test]
    fn paths_of_a_machine_are_found() {
        let home = ["/ho", "me/"].concat();
        let text = format!("a\ncd {home}ada");
        assert_eq!(strangers("f", &text), [format!("f:2 names {home}")]);
        assert_eq!(strangers("f", &format!("https://a.test{home}x ~{home}")), Vec::<String>::new());
    }
}
