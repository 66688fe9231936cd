//! `towpath check` and `towpath test` as an editor, a code host or a person at work uses them.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Lines, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const FLOW: &str = include_str!("../../../flows/newsletter-to-clevertap.yaml");

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.args(args).current_dir(folder).env_clear().env("HOME", folder);
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder whose flow has two mistakes and a warning.
fn faulty() -> TempDir {
    let folder = TempDir::new().unwrap();
    let flow = FLOW
        .replace("every: 5m", "every: 5 minutes")
        .replace("data.firstName &", "data.ümlaut & data.firstname &")
        .replace("about:", "abuot:");
    std::fs::write(folder.path().join("a b.yaml"), flow).unwrap();
    folder
}

#[test]
fn sarif_is_what_code_hosts_read() {
    let folder = faulty();
    let output = run(folder.path(), &["check", "--format", "sarif"]);
    assert_eq!(output.status.code(), Some(3));
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().starts_with("https://"));
    let [run_] = &log["runs"].as_array().unwrap()[..] else { panic!("{log:#}") };
    let driver = &run_["tool"]["driver"];
    assert_eq!(driver["name"], "towpath");
    assert_eq!(run_["columnKind"], "unicodeCodePoints");
    let rules = driver["rules"].as_array().unwrap();
    for rule in rules {
        let id = rule["id"].as_str().unwrap();
        assert!(rule.get("helpUri").is_none(), "it would have to be absolute");
        assert!(rule["help"]["markdown"].as_str().unwrap().contains(id));
        assert!(!rule["shortDescription"]["text"].as_str().unwrap().is_empty());
    }
    let results = run_["results"].as_array().unwrap();
    let file = std::fs::read_to_string(folder.path().join("a b.yaml")).unwrap();
    let mut found = vec![];
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let [location] = &result["locations"].as_array().unwrap()[..] else { panic!("{result:#}") };
        let place = &location["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b.yaml");
        let number = |name: &str| usize::try_from(place["region"][name].as_u64().unwrap()).unwrap();
        // Lines and columns say the same as the offset.
        let (start, length) = (number("charOffset"), number("charLength"));
        let marked: String = file.chars().skip(start).take(length).collect();
        let lines: Vec<Vec<char>> = file.lines().map(|line| line.chars().collect()).collect();
        let line = &lines[number("startLine") - 1];
        assert_eq!(number("startLine"), number("endLine"));
        let by_columns = &line[number("startColumn") - 1..number("endColumn") - 1];
        assert_eq!(by_columns.iter().collect::<String>(), marked);
        let (rule, level) = (result["ruleId"].as_str().unwrap(), result["level"].as_str().unwrap());
        found.push(format!("{level} {rule} {marked}"));
    }
    assert_eq!(
        found,
        [
            "error TP0104 abuot",
            "error TP0111 5 minutes",
            "warning TP0145 ümlaut",
            "warning TP0145 firstname",
        ]
    );
    let fine = TempDir::new().unwrap();
    std::fs::write(fine.path().join("a.yaml"), FLOW).unwrap();
    let output = run(fine.path(), &["check", "--format", "sarif"]);
    assert_eq!(output.status.code(), Some(0));
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(log["runs"][0]["results"], json!([]));
}

#[test]
fn json_is_a_finding_a_line() {
    let folder = faulty();
    let by_format = run(folder.path(), &["check", "--format", "json"]);
    let by_switch = run(folder.path(), &["check", "--json"]);
    assert_eq!(text(&by_format.stdout), text(&by_switch.stdout));
    assert_eq!(by_format.status.code(), Some(3));
    let lines = text(&by_format.stdout);
    let findings: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(findings[1]["code"], "TP0111");
    assert_eq!(findings[1]["place"]["line"], 8);
}

/// A command that watches; a test that fails ends it.
struct Watching {
    child: Child,
    said: Lines<BufReader<ChildStderr>>,
}

impl Watching {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut command = command(folder, args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, said }
    }

    /// Waits until it has looked at the files once more, and gives the line that says so.
    #[track_caller]
    fn looked(&mut self) -> String {
        let mut said = vec![];
        for line in self.said.by_ref().map(Result::unwrap) {
            if line.starts_with("looked at ") {
                return line;
            }
            said.push(line);
        }
        panic!("it ended before, and said {said:#?}")
    }

    /// Ends it by a signal, and gives how it ended and what it printed.
    fn end(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let mut printed = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        (self.child.wait().unwrap().code(), printed)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn check_looks_again_when_files_change() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.yaml", &FLOW.replace("every", "evry"));
    let mut watching = Watching::start(folder.path(), &["check", "--watch"]);
    let line = watching.looked();
    assert!(line.contains("; waiting for a change in . or of towpath.yaml"), "{line}");
    write("a.yaml", FLOW);
    watching.looked();
    write("b.yaml", &FLOW.replace("newsletter-to-clevertap", "b"));
    watching.looked();
    write("towpath.yaml", "accounts: {}");
    watching.looked();
    std::fs::remove_file(folder.path().join("b.yaml")).unwrap();
    watching.looked();
    let (exit, printed) = watching.end();
    let sums: Vec<&str> = printed.lines().filter(|line| line.contains("flow file")).collect();
    assert_eq!(
        sums,
        [
            "1 flow file, 1 mistake, 0 warnings",
            "1 flow file, 0 mistakes, 0 warnings",
            "2 flow files, 0 mistakes, 0 warnings",
            "2 flow files, 4 mistakes, 0 warnings",
            "1 flow file, 2 mistakes, 0 warnings",
        ]
    );
    assert!(!printed.contains('\u{1b}'), "only a terminal is cleared");
    assert_eq!(exit, Some(0));
}

#[test]
fn a_folder_of_flows_that_comes_back_is_watched_again() {
    let folder = TempDir::new().unwrap();
    let flows = folder.path().join("flows");
    let write = |text: &str| std::fs::write(flows.join("a.yaml"), text).unwrap();
    let mut watching = Watching::start(folder.path(), &["check", "--watch"]);
    assert!(watching.looked().contains("a change in . or of"));
    for _ in 0..2 {
        std::fs::create_dir(&flows).unwrap();
        write(FLOW);
        assert!(watching.looked().contains("a change in flows or of"));
        write(&FLOW.replace("every", "evry"));
        watching.looked();
        std::fs::remove_dir_all(&flows).unwrap();
        watching.looked();
    }
    let (exit, printed) = watching.end();
    let sums: Vec<&str> = printed.lines().filter(|line| line.contains("flow file")).collect();
    let twice = ["1 flow file, 0 mistakes, 0 warnings", "1 flow file, 1 mistake, 0 warnings"];
    assert_eq!(sums, twice.repeat(2));
    assert_eq!(exit, Some(0));
}

#[test]
fn tests_run_again_when_files_change() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, FLOW.replace("Name: Ada Lovelace", "Name: Ada Love")).unwrap();
    let mut watching = Watching::start(folder.path(), &["test", "a.yaml", "--watch"]);
    watching.looked();
    std::fs::write(&file, FLOW).unwrap();
    watching.looked();
    std::fs::remove_file(&file).unwrap();
    watching.looked();
    let (exit, printed) = watching.end();
    let sums: Vec<&str> = printed.lines().filter(|line| line.contains(" passed, ")).collect();
    assert_eq!(sums, ["2 passed, 1 failed", "3 passed, 0 failed"]);
    assert_eq!(exit, Some(0));
}
