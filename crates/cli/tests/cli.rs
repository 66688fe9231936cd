//! The binary as a person or a script meets it: what it prints, how it exits, what it leaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use sandbox::{Options, Receiver, Sandbox, Touch};
use serde_json::{Value, json};
use store::{Commit, Durability, MasterKey, SeenChange, SledOptions, SledStore, Store};
use tempfile::TempDir;

const FLOW: &str = include_str!("../../../flows/newsletter-to-clevertap.yaml");
const NAME: &str = "newsletter-to-clevertap";
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A folder with a flow and accounts at a sandbox, and a home of its own.
struct Project {
    sandbox: Sandbox,
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Project {
    fn with(receivers: usize) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let options = Options { receivers, ..Options::default() };
        let sandbox = runtime.block_on(Sandbox::start(options)).unwrap();
        let project = Self { sandbox, folder: TempDir::new().unwrap(), runtime };
        let credentials = project.sandbox.credentials();
        project.write(
            "towpath.yaml",
            &format!(
                "accounts:\n  newsletter:\n    connector: cleverreach\n    baseUrl: {}\n    \
                 clientId: {}\n    clientSecret: {{ env: CR_SECRET }}\n  engagement:\n    \
                 connector: clevertap\n    baseUrl: {}\n    projectId: {}\n    \
                 passcode: {{ file: passcode }}\n",
                project.sandbox.cleverreach_url(),
                credentials.client_id,
                project.sandbox.clevertap_url(),
                credentials.project_id,
            ),
        );
        project.write("passcode", &format!("{}\n", credentials.passcode));
        project.write(&format!("flows/{NAME}.yaml"), FLOW);
        project
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("TOWPATH_KEY", KEY)
            .env("CR_SECRET", &self.sandbox.credentials().client_secret);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    fn open_store(&self) -> Arc<dyn Store> {
        let key = MasterKey::from_text(KEY).unwrap();
        let path = self.path(".towpath/store");
        let options = SledOptions { path, key: &key, durability: Durability::Full };
        Arc::new(self.runtime.block_on(SledStore::open(options)).unwrap())
    }
}

/// What a command printed and how it exited.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        let all = format!("{}{}", self.out, self.err);
        assert!(all.contains(text), "no `{text}` in:\n{all}");
        self
    }

    fn last_json(&self) -> Value {
        serde_json::from_str(self.out.lines().last().unwrap()).unwrap()
    }
}

#[test]
fn a_flow_moves_everything_once_and_then_only_what_changed() {
    let project = Project::with(60);
    let first = project.run(&["run", NAME, "--once", "--json"]).exits(0).last_json();
    assert_eq!(
        (&first["outcome"], &first["counts"]["delivered"]),
        (&json!("completed"), &json!(60))
    );
    let again = project.run(&["run", NAME, "--once", "--json"]).exits(0).last_json();
    assert_eq!(again["counts"]["delivered"], 0);
    project.sandbox.advance_clock(60);
    project.sandbox.touch(&Touch::count(2));
    project.run(&["run", NAME, "--once"]).exits(0).says("2 delivered");
    project.run(&["state", "show", NAME]).exits(0).says("lastUpdated").says("62 delivered");
    project.run(&["state", "show"]).exits(0).says(NAME);
    project.run(&["state", "reset", NAME]).exits(0);
    project.run(&["run", NAME, "--once"]).exits(0).says("60 delivered");
}

#[test]
fn a_dry_run_shows_the_first_inputs_and_leaves_nothing() {
    let project = Project::with(60);
    project.run(&["state", "show"]).exits(0).says("nothing has run here yet");
    project.run(&["dead-letters", "list"]).exits(0).says("nothing has run here yet");
    assert!(!project.path(".towpath").exists(), "who only looks made a store");
    let shown = project.run(&["run", NAME, "--dry-run"]).exits(0);
    let lines: Vec<Value> =
        shown.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 10);
    assert!(lines.iter().all(|line| line["step"] == "profiles"), "{}", shown.out);
    assert!(lines.iter().any(|line| line["input"]["type"] == "profile"), "{}", shown.out);
    assert_eq!(project.sandbox.stats().clevertap.total_requests(), 0);
    project.run(&["state", "show", NAME]).exits(0).says("not committed anything");
}

#[test]
fn mistakes_are_shown_at_their_line_and_end_the_command() {
    let project = Project::with(1);
    project.run(&["check"]).exits(0).says("1 flow file, 0 mistakes");
    project.run(&["test"]).exits(0).says("3 passed, 0 failed");
    project.write("flows/wrong.yaml", &FLOW.replace("groupName:", "groupNam:"));
    let wrong = project.run(&["check", "flows/wrong.yaml"]).exits(3);
    wrong.says("flows/wrong.yaml:10").says("did you mean `groupName`");
    project.run(&["run", "wrong", "--once"]).exits(3);
    project.write("flows/wrong.yaml", &FLOW.replace("Name: Ada Lovelace", "Name: Ada Byron"));
    let failed = project.run(&["test", "flows/wrong.yaml"]).exits(7);
    failed.says("FAILED").says("Ada Byron").says("Ada Lovelace");
    project.run(&["run", "nowhere", "--once"]).exits(4).says("no flow file nowhere");
    project.run(&["--config", "typo.yaml", "check"]).exits(4).says("typo.yaml");
    project.write("flows/wrong.yaml", FLOW);
    project.run(&["check"]).exits(3).says("TP0190").says(&format!("{NAME}.yaml already has"));
    project.write("flows/called-otherwise.yml", &FLOW.replace(NAME, "another-name"));
    project.run(&["run", "another-name", "--dry-run"]).exits(0);
}

#[test]
fn flows_that_jsonata_rs_evaluates_run_and_are_warned_of() {
    let project = Project::with(3);
    let file = format!("flows/{NAME}.yaml");
    let flow = |engine: &str| format!("mapping: {{ engine: {engine} }}\n{FLOW}");
    project.write(&file, &flow("jsonata-rs"));
    project.run(&["check"]).exits(0).says("TP0144").says("0 mistakes, 1 warning");
    project.run(&["test"]).exits(0).says("3 passed, 0 failed");
    let ran = project.run(&["run", NAME, "--once"]).exits(0).says("3 delivered");
    let warning = "jsonata-rs evaluates newsletter-to-clevertap";
    assert_eq!(ran.err.matches(warning).count(), 1, "{}", ran.err);

    // A panic of the engine is an error of one record; its words, which quote it, are not shown.
    let name = r#"$trim(data.firstName & " " & data.lastName)"#;
    let panics = flow("jsonata-rs").replace(name, "$substring(data.firstName, 99)");
    project.write(&file, &panics);
    project.run(&["state", "reset", NAME]).exits(0);
    let ran = project.run(&["run", NAME, "--once"]).exits(0).says("refused (U1007)");
    assert!(!ran.err.contains("panicked") && !ran.err.contains("out of bounds"), "{}", ran.err);

    // What a flow says goes before what towpath.yaml says.
    let config = std::fs::read_to_string(project.path("towpath.yaml")).unwrap();
    project.write("towpath.yaml", &format!("{config}mapping: {{ engine: jsonata-rs }}\n"));
    project.write(&file, &flow("jlens"));
    let ran = project.run(&["run", NAME, "--dry-run"]).exits(0);
    assert!(!ran.err.contains(warning), "{}", ran.err);
    project.write(&file, FLOW);
    project.run(&["run", NAME, "--dry-run"]).exits(0).says(warning);
    project.write(&file, &FLOW.replace(name, "data.firstName ?? data.lastName"));
    project.run(&["check"]).exits(3).says("jsonata-rs cannot read this, jlens can");
}

#[test]
fn what_is_missing_or_wrong_about_an_account_is_named() {
    let project = Project::with(1);
    let missing = project.command(&["run", NAME, "--once"]).env_remove("CR_SECRET").output();
    let missing = Ran::of(missing.unwrap()).exits(4).says("newsletter");
    missing.says("clientSecret").says("CR_SECRET is not set");
    std::fs::remove_file(project.path("passcode")).unwrap();
    let missing = project.run(&["run", NAME, "--once"]).exits(4);
    missing.says("account \"engagement\"").says("passcode");
    project.write("passcode", "not a passcode!");
    let wrong = project.run(&["run", NAME, "--once"]).exits(4);
    assert!(!format!("{}{}", wrong.out, wrong.err).contains("not a passcode!"));
    project.write("passcode", "AAA-BBB-CCCC");
    project.run(&["run", NAME, "--once"]).exits(6).says("step \"profiles\"");
}

#[test]
fn a_store_in_use_is_refused_and_names_who_holds_it() {
    let project = Project::with(3);
    project.run(&["run", NAME, "--once"]).exits(0);
    let held = project.open_store();
    let refused = project.run(&["run", NAME, "--once"]).exits(8);
    refused.says(&std::process::id().to_string());
    drop(held);
    project.run(&["run", NAME, "--once"]).exits(0);
}

#[test]
fn a_store_opens_with_its_own_key_only_and_never_gets_another() {
    let project = Project::with(3);
    let with_file =
        |args: &[&str]| Ran::of(project.command(args).env_remove("TOWPATH_KEY").output().unwrap());
    with_file(&["run", NAME, "--once"]).exits(0).says("made a new key");
    let key = project.path(".config/towpath/key");
    let wrong = project.run(&["state", "show"]).exits(8);
    wrong.says("key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    with_file(&["state", "show"]).exits(8).says("key");
    assert!(!key.exists(), "a new key was made");
    std::fs::write(&key, kept).unwrap();
    with_file(&["state", "show"]).exits(0).says(NAME);
}

#[test]
fn a_snapshot_of_a_newer_version_is_refused_and_kept() {
    let project = Project::with(3);
    project.run(&["run", NAME, "--once"]).exits(0);
    let store = project.open_store();
    project.runtime.block_on(async {
        let lease = store.lease(NAME).await.unwrap();
        let commit = Commit {
            snapshot: br#"{"format":99,"new":"things"}"#.to_vec(),
            seen: SeenChange::Append(vec![]),
            ..Commit::default()
        };
        let next = lease.head.unwrap().sequence + 1;
        store.commit(&lease.fence, next, commit).await.unwrap();
    });
    drop(store);
    project.run(&["run", NAME, "--once"]).exits(8).says("newer towpath");
    project.run(&["state", "reset", NAME]).exits(8).says("newer towpath");
    project.run(&["state", "show", NAME]).exits(0).says("things");
}

#[test]
fn what_was_refused_can_be_listed_and_shown() {
    let project = Project::with(5);
    let broken = Receiver {
        email: "no address at all".to_owned(),
        ..project.sandbox.receivers().into_iter().next().unwrap()
    };
    project.sandbox.put_receiver(&broken);
    project.run(&["run", NAME, "--once"]).exits(0).says("1 refused");
    let listed = project.run(&["dead-letters", "list", "--json"]).exits(0).last_json();
    assert_eq!((&listed["step"], &listed["code"]), (&json!("profiles"), &json!("515")));
    let id = listed["id"].as_str().unwrap();
    let shown = project.run(&["dead-letters", "show", id.get(..6).unwrap()]).exits(0);
    shown.says("Email is not valid").says("no address at all").says(&broken.id);
    project.run(&["dead-letters", "show", "zzzz"]).exits(4);
}

#[test]
fn neither_secrets_nor_records_are_shown_or_stored_in_clear() {
    let project = Project::with(40);
    let logged = project
        .command(&["run", NAME, "--once"])
        .env("TOWPATH_LOG", "trace,sled=info")
        .output()
        .unwrap();
    let logged = Ran::of(logged).exits(0);
    let credentials = project.sandbox.credentials();
    let receivers = project.sandbox.receivers();
    let said = format!("{}{}", logged.out, logged.err);
    for secret in [&credentials.client_secret, &credentials.passcode] {
        assert!(!said.contains(secret.as_str()), "a secret was logged");
    }
    for file in files(&project.path(".towpath")) {
        let bytes = std::fs::read(&file).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(&credentials.client_secret) && !holds("access"), "{}", file.display());
        assert!(receivers.iter().all(|it| !holds(&it.email)), "{}", file.display());
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn the_next_ticks_of_every_flow_are_shown_in_their_order() {
    let project = Project::with(1);
    let flow = |name: &str, schedule: &str| {
        let text = FLOW.replace(NAME, name).replace("  every: 5m\n", schedule);
        assert!(text.contains(schedule), "{text}");
        project.write(&format!("flows/{name}.yaml"), &text);
    };
    flow("nightly", "  cron: \"30 2 * * *\"\n  timezone: America/New_York\n");
    flow("often", "  cron: '*/20 * * * *'\n");
    flow("by-hand", "");
    let args = ["schedule", "--from", "2026-03-08T06:39:00Z", "--next", "2"];
    let shown = project.run(&args).exits(0);
    assert!(!project.path(".towpath").exists(), "who only looks made a store");
    let places: Vec<_> = [NAME, "often", "nightly", "by-hand"]
        .map(|flow| shown.out.find(&format!("\n {flow} ")).unwrap())
        .into();
    assert!(places.is_sorted(), "{}", shown.out);
    let shown = shown.says("every 5m").says("cron 30 2 * * *").says("America/New_York");
    shown.says("2026-03-08T03:00:00-04:00").says("2026-03-09T06:30:00Z").says("--once");

    let listed = project.run(&[&args[..], &["--json", "nightly", "flows/by-hand.yaml"]].concat());
    let listed = listed.exits(0);
    let lines: Vec<Value> =
        listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [nightly, by_hand] = lines.as_slice() else { panic!("{}", listed.out) };
    assert_eq!(nightly["timezone"], "America/New_York");
    assert_eq!(nightly["next"][0]["at"], "2026-03-08T07:00:00Z");
    assert_eq!(nightly["next"][1]["local"], "2026-03-09T02:30:00-04:00");
    assert!(nightly["next"][0]["jitterSeconds"].as_f64().unwrap() < 30.0);
    assert_eq!((&by_hand["schedule"], &by_hand["next"]), (&Value::Null, &json!([])));

    project.run(&["run", "by-hand"]).exits(4).says("`every` or `cron`");
    flow("wrong", "  cron: 0 25 * * *\n");
    let wrong = project.run(&args).exits(3);
    wrong.says("`25` is no hour").says("nightly");
}

#[cfg(unix)]
#[test]
fn a_flow_on_a_cron_expression_waits_for_its_tick() {
    let project = Project::with(3);
    project.write(&format!("flows/{NAME}.yaml"), &FLOW.replace("every: 5m", "cron: 0 0 29 2 *"));
    let mut child = project.command(&["run", NAME]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = lines.by_ref().map(Result::unwrap).find(|line| line.contains("next run at"));
    assert!(said.unwrap().contains("-02-29T00:00:"));
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let left: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{left:?}");
    assert_eq!(project.sandbox.stats().clevertap.total_requests(), 0);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_scheduled_run_in_good_order() {
    let project = Project::with(30);
    let mut child = project.command(&["run", NAME]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("next run at")));
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let left: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{left:?}");
    project.run(&["state", "show", NAME]).exits(0).says("30 delivered");
}

#[test]
fn the_demo_runs_and_says_where_its_state_lies() {
    let project = Project::with(1);
    let demo = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(["demo", "--receivers", "300"])
        .env("TMPDIR", project.folder.path())
        .output();
    let demo = Ran::of(demo.unwrap()).exits(0).says("300 delivered").says("25 delivered");
    demo.says(project.folder.path().to_str().unwrap());
}
