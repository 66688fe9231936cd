//! Wrong flow files, and exactly what `towpath check` says of each.
//!
//! `tests/wrong/NAME.yaml`, or the folder `NAME` with a `towpath.yaml` of its own, is beside its
//! transcript `NAME.txt`. With `TOWPATH_BLESS=1` in the environment the transcripts are written
//! anew: read every one that changed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Codes that no file can show, and that other tests do: `flow`'s own for connectors as none of
/// this binary is, those of `map` for records.
const ELSEWHERE: [&str; 3] = [
    "TP0131", // a field that has no default
    "TP0161", // a mapping that fails on a record
    "TP0184", // a trigger that has nothing to sweep
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wrong")
}

/// The cases by their names: a file is checked beside the common `towpath.yaml`, a folder by
/// itself.
fn cases() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let cases = entries.filter(|path| {
        let file = path.extension().is_some_and(|it| it == "yaml");
        path.is_dir() || file && path.file_name().is_some_and(|it| it != "towpath.yaml")
    });
    let mut names: Vec<_> =
        cases.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn checked(name: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.arg("check").env_clear();
    let own = folder().join(name);
    if own.is_dir() {
        command.current_dir(own);
    } else {
        command.current_dir(folder()).arg(format!("{name}.yaml"));
    }
    let output = command.output().unwrap();
    assert!(output.stderr.is_empty(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let code = if printed.contains(" 0 mistakes, ") { 0 } else { 3 };
    assert_eq!(output.status.code(), Some(code), "{name}");
    // A connector that is added changes no transcript.
    let lines = printed.split_inclusive('\n').map(|line| {
        let known = line.starts_with("  help: known: `")
            && ["`cleverreach`", "`clevertap`"].iter().all(|name| line.contains(name));
        if known { "  help: known: `cleverreach`, `clevertap`\n" } else { line }
    });
    lines.collect()
}

#[test]
fn every_wrong_file_is_told_what_is_wrong() {
    let bless = std::env::var_os("TOWPATH_BLESS").is_some();
    let cases = cases();
    assert!(cases.len() >= 30, "{}", cases.len());
    let mut shown = BTreeSet::new();
    let mut differ = vec![];
    for name in &cases {
        let printed = checked(name);
        let codes = printed.lines().filter(|line| line.starts_with("TP"));
        let codes: Vec<_> = codes.map(ToOwned::to_owned).collect();
        assert!(!codes.is_empty(), "{name} is not wrong");
        shown.extend(codes);
        let transcript = folder().join(format!("{name}.txt"));
        if bless {
            std::fs::write(transcript, printed).unwrap();
        } else if std::fs::read_to_string(transcript).unwrap_or_default() != printed {
            differ.push(format!("{name}:\n{printed}"));
        }
    }
    assert!(differ.is_empty(), "{}\nTOWPATH_BLESS=1 writes them anew", differ.join("\n"));
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for code in &shown {
        assert!(pages.join(format!("{code}.md")).is_file(), "{code} has no page");
    }
    let known = flow::CODES.iter().map(|code| code.code);
    let missing: Vec<_> =
        known.filter(|code| !shown.contains(*code) && !ELSEWHERE.contains(code)).collect();
    assert!(missing.is_empty(), "no file shows {missing:?}");
    let needless: Vec<_> = ELSEWHERE.iter().filter(|code| shown.contains(**code)).collect();
    assert!(needless.is_empty(), "{needless:?} can be shown");
}

#[test]
fn every_transcript_has_its_file() {
    let cases = cases();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = path.extension().is_some_and(|it| it == "txt");
        assert!(!text || cases.contains(&name), "{name}.txt is about nothing");
    }
}
