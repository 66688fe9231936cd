//! `towpath serve` as an operator meets it: flows run, files change under it, signals end it.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use sandbox::{Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;

const FLOW: &str = include_str!("../../../flows/newsletter-to-clevertap.yaml");
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A flow of that name and schedule.
fn flow(name: &str, schedule: &str) -> String {
    FLOW.replace("newsletter-to-clevertap", name).replace("every: 5m", schedule)
}

/// A folder with accounts at a sandbox.
struct Project {
    sandbox: Sandbox,
    folder: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Project {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let options = Options { receivers: 5, ..Options::default() };
        let sandbox = runtime.block_on(Sandbox::start(options)).unwrap();
        let project = Self { sandbox, folder: TempDir::new().unwrap(), _runtime: runtime };
        let credentials = project.sandbox.credentials();
        project.write(
            "towpath.yaml",
            &format!(
                "accounts:\n  newsletter:\n    connector: cleverreach\n    baseUrl: {}\n    \
                 clientId: {}\n    clientSecret: {{ env: CR_SECRET }}\n  engagement:\n    \
                 connector: clevertap\n    baseUrl: {}\n    projectId: {}\n    \
                 passcode: {{ file: passcode }}\n  locked:\n    connector: clevertap\n    \
                 baseUrl: {}\n    projectId: {}\n    passcode: {{ file: no-such-file }}\n",
                project.sandbox.cleverreach_url(),
                credentials.client_id,
                project.sandbox.clevertap_url(),
                credentials.project_id,
                project.sandbox.clevertap_url(),
                credentials.project_id,
            ),
        );
        project.write("passcode", &credentials.passcode);
        project
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes a file as editors do: whole, under another name first.
    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        self.towpath(&[&["serve"], args].concat())
    }

    fn towpath(&self, args: &[&str]) -> Command {
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

    fn serve(&self, args: &[&str]) -> Served {
        Served::start(self.command(args))
    }
}

/// A service that runs; a test that fails ends it.
struct Served {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Served {
    fn start(mut command: Command) -> Self {
        Self::start_with(&mut command)
    }

    fn start_with(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next event that is the one.
    #[track_caller]
    fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut said = vec![];
        for line in self.lines.by_ref().map(Result::unwrap) {
            let event = serde_json::from_str(&line).unwrap();
            if is_it(&event) {
                return event;
            }
            said.push(line);
        }
        panic!("the service ended before, and said {said:#?}")
    }

    /// The next event of that kind about that flow.
    #[track_caller]
    fn event(&mut self, kind: &str, flow: &str) -> Value {
        self.until(|event| event["event"] == kind && event["flow"] == flow)
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Ends it with a signal, and gives what it still said.
    fn stop(mut self) -> Vec<String> {
        self.signal("-TERM");
        let left: Vec<String> = self.lines.by_ref().map(Result::unwrap).collect();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{left:?}");
        left
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn flows_run_and_follow_their_files() {
    let project = Project::new();
    project.write("flows/one.yaml", &flow("one", "every: 1s"));
    project.write("flows/two.yaml", &flow("two", "every: 1s"));
    let mut served = project.serve(&["--json"]);
    let begin = served.until(|event| event["event"] == "serving");
    assert_eq!((&begin["flows"], &begin["leftOut"]), (&2.into(), &0.into()));
    for flow in ["one", "two"] {
        let ran = served.event("ran", flow);
        assert_eq!(
            (&ran["outcome"], &ran["counts"]["delivered"]),
            (&"completed".into(), &5.into())
        );
    }

    // A bad change: its finding is said, the version before goes on.
    project.write("flows/two.yaml", &flow("two", "every: 1s").replace("groupName:", "groupNam:"));
    let refused = served.until(|event| event["event"] == "refused");
    assert_eq!((&refused["running"], &refused["mistakes"]), (&"two".into(), &1.into()));
    let finding = served.until(|event| event["event"] == "finding")["finding"].take();
    assert!(finding["place"]["file"].as_str().unwrap().ends_with("two.yaml"), "{finding}");
    assert_eq!(served.event("ran", "two")["outcome"], "completed");

    // A good change is used: it reads another source, which its state refuses, and it is not
    // tried again soon; the other flow goes on.
    let other = flow("two", "every: 1s").replace("groupName: Newsletter", "groupName: Customers");
    project.write("flows/two.yaml", &other);
    served.event("changed", "two");
    let ran = served.until(|event| event["flow"] == "two" && event["outcome"] == "failed");
    assert!(ran["errors"][0].as_str().unwrap().contains("another source"), "{ran}");
    let at = |value: &Value| connector::Timestamp::parse(value.as_str().unwrap()).unwrap();
    assert!(at(&ran["next"]).since(at(&ran["due"])).as_secs() >= 3600, "{ran}");
    assert_eq!(served.event("ran", "one")["outcome"], "completed");
    project.write("flows/two.yaml", &flow("two", "every: 1s"));
    served.event("changed", "two");
    assert_eq!(served.event("ran", "two")["outcome"], "completed");

    // Files that are gone, new, and renamed.
    std::fs::remove_file(project.path("flows/two.yaml")).unwrap();
    served.event("removed", "two");
    project.write("flows/three.yaml", &flow("three", "every: 1s"));
    served.event("added", "three");
    assert_eq!(served.event("ran", "three")["counts"]["delivered"], 5);
    std::fs::rename(project.path("flows/one.yaml"), project.path("flows/uno.yaml")).unwrap();
    served.event("added", "one");
    assert_eq!(served.event("ran", "one")["counts"]["delivered"], 0);

    project.write("towpath.yaml", &std::fs::read_to_string(project.path("towpath.yaml")).unwrap());
    let config = std::fs::read_to_string(project.path("towpath.yaml")).unwrap();
    project.write("towpath.yaml", &format!("{config}vars: {{ country: DE }}\n"));
    served.until(|event| event["event"] == "restartNeeded");
    served.signal("-HUP");
    served.until(|event| event["event"] == "looked");
    let left = served.stop();
    assert!(left.iter().all(|line| !line.contains("\"two\"")), "{left:?}");
}

#[test]
fn what_cannot_run_is_named_and_the_rest_runs() {
    let project = Project::new();
    project.write("flows/a.yaml", &flow("good", "every: 1h"));
    project.write("flows/b.yaml", &flow("good", "every: 1h"));
    project.write("flows/c.yaml", &flow("bad", "every: soon"));
    let locked = flow("locked", "every: 1h").replace("account: engagement", "account: locked");
    project.write("flows/d.yaml", &locked);
    project.write("flows/e.yaml", &flow("by-hand", "every: 1h").replace("  every: 1h\n", ""));
    std::fs::write(project.path("flows/0.yaml"), [0xff]).unwrap();
    let mut served = project.serve(&["--json"]);
    let unreadable = served.until(|event| event["event"] == "unreadable");
    assert!(unreadable["file"].as_str().unwrap().ends_with("0.yaml"), "{unreadable}");
    assert_eq!(unreadable["running"], Value::Null);
    let same = served.until(|event| event["finding"]["code"] == "TP0190");
    let same = same["finding"].clone();
    assert!(same["message"].as_str().unwrap().contains("a.yaml"), "{same}");
    assert!(same["place"]["file"].as_str().unwrap().ends_with("b.yaml"), "{same}");
    served.until(|event| event["finding"]["code"] == "TP0111");
    let begin = served.until(|event| event["event"] == "serving");
    for (key, count) in [("flows", 2), ("leftOut", 3), ("unscheduled", 1)] {
        assert_eq!(begin[key], count, "{begin}");
    }
    let mut ran =
        [served.until(|it| it["event"] == "ran"), served.until(|it| it["event"] == "ran")];
    ran.sort_by_key(|ran| ran["flow"].to_string());
    let [good, locked] = ran;
    assert_eq!((&good["outcome"], &good["counts"]["delivered"]), (&"completed".into(), &5.into()));
    let error = locked["errors"][0].as_str().unwrap();
    assert!(error.contains("account \"locked\"") && error.contains("no-such-file"), "{error}");
    served.stop();
}

/// What a command prints beside a running service, which has to succeed.
#[track_caller]
fn beside(project: &Project, args: &[&str]) -> String {
    let out = project.towpath(args).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{args:?}: {said}");
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn commands_work_beside_a_running_service() {
    let project = Project::new();
    project.write("flows/a.yaml", &flow("a", "every: 366d"));
    let bad =
        flow("bad", "every: 366d").replace("\"identity\": metadata", "\"identiti\": metadata");
    project.write("flows/bad.yaml", &bad);
    project.write("flows/by-hand.yaml", &flow("by-hand", "every: 1h").replace("  every: 1h\n", ""));
    let mut served = project.serve(&["--json", "--listen", "127.0.0.1:0"]);
    let listening = served.until(|event| event["event"] == "listening");
    let address = listening["address"].as_str().unwrap().to_owned();
    for _ in ["a", "bad"] {
        served.until(|event| event["event"] == "ran");
    }
    assert!(!beside(&project, &["state", "show"]).contains("by-hand"));
    assert!(beside(&project, &["state", "show", "a"]).contains("5 delivered"));
    beside(&project, &["flow", "run", "by-hand"]);
    assert_eq!(served.event("ran", "by-hand")["counts"]["records"], 5);
    beside(&project, &["flow", "pause", "a", "--reason", "the shop moves"]);
    let listed = beside(&project, &["flow", "list"]);
    assert!(listed.contains("paused") && listed.contains("by-hand"), "{listed}");
    assert!(beside(&project, &["state", "show", "a"]).contains("the shop moves"));
    beside(&project, &["flow", "run", "a"]);
    let ran = served.event("ran", "a");
    assert_eq!((&ran["counts"]["delivered"], &ran["next"]), (&0.into(), &Value::Null));

    let letters = beside(&project, &["dead-letters", "list", "--json"]);
    assert_eq!(letters.lines().count(), 5, "{letters}");
    let id = serde_json::from_str::<Value>(letters.lines().next().unwrap()).unwrap()["id"].clone();
    let id = id.as_str().unwrap();
    assert!(beside(&project, &["why", id]).contains("refused by profiles"));
    let replayed = beside(&project, &["dead-letters", "replay", id]);
    assert!(replayed.contains("refused again"), "{replayed}");
    assert!(beside(&project, &["dead-letters", "drop", id, "--yes"]).contains("dropped 1"));
    let rewound = beside(&project, &["state", "rewind", "a", "--by", "1h", "--yes"]);
    assert!(rewound.contains("take it back"), "{rewound}");
    assert!(beside(&project, &["state", "reset", "a"]).contains("state rewind a --to-entry"));
    assert!(beside(&project, &["state", "history", "a"]).contains("reset"));
    assert!(beside(&project, &["accounts"]).contains("in use"));

    assert!(beside(&project, &["secret", "list"]).contains("no secrets"));
    let mut set = project.towpath(&["secret", "set", "extra"]);
    let mut set = set.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    set.stdin.take().unwrap().write_all(b"not-a-real-secret\n").unwrap();
    assert!(set.wait().unwrap().success());
    assert!(beside(&project, &["secret", "list"]).contains("extra"));
    assert!(beside(&project, &["secret", "rm", "extra"]).contains("removed"));

    // A token opens what it is for, and nothing once it is revoked.
    let token = beside(&project, &["token", "create", "laptop", "--scope", "read"]);
    let ask = |path: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
             Connection: close\r\n\r\n",
            token.trim()
        );
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("/ready").starts_with("HTTP/1.1 200"));
    assert!(ask("/api/v1/flows").contains("by-hand"));
    assert!(ask("/api/v1/tokens").starts_with("HTTP/1.1 403"));
    assert!(beside(&project, &["token", "list"]).contains("laptop"));
    beside(&project, &["token", "revoke", "laptop"]);
    assert!(ask("/api/v1/flows").starts_with("HTTP/1.1 401"));
    assert!(beside(&project, &["open"]).starts_with(&format!("http://{address}/login?code=")));
    served.stop();

    // A pause outlives the service, and its end needs none.
    assert!(!project.path(".towpath/store.service.json").exists());
    let mut served = project.serve(&["--json", "--listen", "off"]);
    assert_eq!(served.event("paused", "a")["flow"], "a");
    served.stop();
    assert!(beside(&project, &["flow", "resume", "a"]).contains("on its schedule again"));
    let out = project.command(&["--listen", "0.0.0.0:0"]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(4) && said.contains("towpath token create"), "{said}");
}

#[test]
fn a_restart_does_not_run_everything_again() {
    let project = Project::new();
    project.write("flows/a.yaml", &flow("a", "every: 1h"));
    let mut served = project.serve(&[]);
    let mut line = || served.lines.next().unwrap().unwrap();
    let begin = line();
    assert!(begin.contains(" serving 1 flow of flows; next a at 20"), "{begin}");
    let ran = line();
    assert!(ran.contains(" a: completed in ") && ran.contains("5 delivered; next at "), "{ran}");
    let next = ran.rsplit_once("next at ").unwrap().1.to_owned();
    served.stop();
    let mut served = project.serve(&["--json"]);
    let begin = served.until(|event| event["event"] == "serving");
    let at = |text: &str| connector::Timestamp::parse(text).unwrap();
    let again = at(begin["next"]["at"].as_str().unwrap());
    assert!(at(&next).since(again).as_secs() <= 30, "{begin} {next}");
    assert!(again.since(at(&next).minus(std::time::Duration::from_secs(60))).as_secs() > 0);
    assert_eq!(served.stop(), [""; 0]);
}

#[test]
fn a_paused_account_is_shown_and_resumed_beside_the_service() {
    let project = Project::new();
    project.write("flows/a.yaml", &flow("a", "every: 1s"));
    let mut command = project.command(&["--json"]);
    command.env("CR_SECRET", "obviously-not-the-secret");
    let mut served = Served::start(command);
    served.until(|event| event["event"] == "accountPaused");
    let ask = |args: &[&str]| -> Vec<Value> {
        let answer = project.towpath(args).output().unwrap();
        assert!(answer.status.success(), "{}", String::from_utf8(answer.stderr).unwrap());
        let lines = String::from_utf8(answer.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let paused = |accounts: &[Value]| {
        let newsletter = accounts.iter().find(|it| it["account"] == "newsletter").unwrap();
        !newsletter["paused"].is_null()
    };
    assert!(paused(&ask(&["accounts", "--json"])));
    assert_eq!(ask(&["accounts", "resume", "newsletter", "--json"])[0]["resumed"], true);
    served.until(|event| event["event"] == "accountResumed");
    // The next run asks at once, and finds the secret as wrong as before.
    served.until(|event| event["event"] == "accountPaused");
    served.stop();
}

#[test]
fn the_engine_of_few_is_warned_of_once() {
    let project = Project::new();
    let other =
        |name: &str| format!("{}\nmapping: {{ engine: jsonata-rs }}\n", flow(name, "every: 1h"));
    for name in ["one", "two"] {
        project.write(&format!("flows/{name}.yaml"), &other(name));
    }
    project.write("flows/three.yaml", &flow("three", "every: 1h"));
    let said = project.path("said");
    let mut command = project.command(&["--json"]);
    command.stderr(std::fs::File::create(&said).unwrap());
    let mut served = Served::start(command);
    served.until(|event| event["event"] == "serving");
    project.write("flows/four.yaml", &other("four"));
    served.event("added", "four");
    served.stop();
    let said = std::fs::read_to_string(said).unwrap();
    assert_eq!(said.matches("jsonata-rs evaluates").count(), 1, "{said}");
    assert!(said.contains("jsonata-rs evaluates one and two. It loses"), "{said}");
}

#[test]
fn where_nothing_can_run_it_says_why() {
    let project = Project::new();
    std::fs::create_dir(project.path("flows")).unwrap();
    let ends = |code: i32, text: &str| {
        let ended = project.command(&["flows"]).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{said}");
        assert!(said.contains(text), "no `{text}` in {said}");
    };
    project.write("flows/a.yaml", &flow("a", "every: soon"));
    ends(3, "TP0111");
    std::fs::remove_dir_all(project.path("flows")).unwrap();
    ends(4, "could not list flows");
}

#[test]
fn a_service_without_flows_serves_and_takes_up_what_comes() {
    let project = Project::new();
    std::fs::create_dir(project.path("flows")).unwrap();
    let mut served = project.serve(&["--json", "--listen", "127.0.0.1:0"]);
    let nothing = served.until(|event| event["event"] == "nothingToRun");
    assert_eq!((&nothing["folder"], &nothing["flows"]), (&"flows".into(), &0.into()));
    assert!(beside(&project, &["flow", "list"]).contains("no flow"));
    assert!(beside(&project, &["account", "test", "engagement"]).contains("the test passed"));
    let by_hand = flow("a", "every: 1h").replace("  every: 1h\n", "");
    project.write("flows/a.yaml", &by_hand);
    served.event("added", "a");
    beside(&project, &["flow", "run", "a"]);
    assert_eq!(served.event("ran", "a")["counts"]["delivered"], 5);
    project.write("flows/b.yaml", &flow("b", "every: 1h"));
    assert_eq!(served.event("ran", "b")["counts"]["delivered"], 5);
    served.stop();
    std::fs::remove_file(project.path("flows/b.yaml")).unwrap();
    let mut served = project.serve(&["--json", "--listen", "off"]);
    assert_eq!(served.until(|event| event["event"] == "nothingToRun")["flows"], 1);
    served.stop();
}

#[test]
fn a_service_logs_for_machines() {
    let project = Project::new();
    project.write("flows/a.yaml", &flow("a", "every: 366d"));
    for (args, variable) in [(&["--log-level", "verbose"][..], None), (&[], Some("verbose"))] {
        let mut refused = project.command(args);
        let out = refused.envs(variable.map(|it| ("TOWPATH_LOG", it))).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(2) && said.contains("error, warn, info"), "{said}");
    }

    let mut command = project.command(&["--listen", "127.0.0.1:0"]);
    command.args(["--log", "json", "--log-level", "warn,towpath_service=debug"]);
    // What it prints is read by nobody but the test's end, and is little.
    let mut served = Served::start_with(command.stderr(Stdio::piped()));
    let mut log = BufReader::new(served.child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut lines: Vec<Value> = vec![];
    while lines.last().is_none_or(|line| line["event"] != "ran") {
        let line = log.next().unwrap_or_else(|| panic!("it ended after {lines:#?}"));
        lines.push(serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}")));
    }
    let doctor = project.towpath(&["doctor", "--json"]).output().unwrap();
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert_eq!(served.stop(), [""; 0], "all that it says is in its log");
    lines.extend(log.map(|line| serde_json::from_str::<Value>(&line).unwrap()));

    let of = |event: &str| {
        let found = lines.iter().find(|line| line["event"] == event);
        found.unwrap_or_else(|| panic!("no {event} in {lines:#?}")).clone()
    };
    let run = of("runStarted")["run"].as_str().unwrap().to_owned();
    for event in ["committed", "called", "ran"] {
        let line = of(event);
        assert_eq!((&line["run"], &line["flow"]), (&run.as_str().into(), &"a".into()), "{line}");
    }
    assert_eq!(of("ran")["counts"]["delivered"], 5);
    assert_eq!((&of("ran")["level"], &of("called")["level"]), (&"info".into(), &"debug".into()));
    assert_eq!(of("called")["account"], "engagement");
    assert!(of("said")["text"].as_str().unwrap().contains("stopping"), "{lines:#?}");
    assert!(lines.iter().all(|line| line["time"].is_string() && line["target"].is_string()));
    let secret = &project.sandbox.credentials().client_secret;
    assert!(!format!("{lines:?}").contains(secret.as_str()));
    assert!(
        doctor.contains("in use by the service") && doctor.contains("\"1 flow with state"),
        "{doctor}"
    );
}
