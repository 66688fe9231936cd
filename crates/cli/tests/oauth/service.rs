//! Logins by a running service: who may end one, how often, and what is said otherwise.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::folder::{Folder, Vendors};
use crate::provider::Provider;
use crate::web::Browser;
use crate::{callback, free_port, project};

/// A flow that is never due, so that the service has one.
const FLOW: &str = "\
flow: newsletter
trigger:
  use: cleverreach.getReceiversPolling
  account: newsletter
  cron: \"0 0 1 1 *\"
  fields: {}
steps:
  - id: back
    use: cleverreach.upsertReceiver
    account: newsletter
    fields: { groupName: Newsletter, activation: keep }
";

/// A service that ends with the test.
pub(crate) struct Service(pub(crate) Child);

impl Service {
    pub(crate) fn start(folder: &Folder) -> Self {
        folder.write("flows/newsletter.yaml", FLOW);
        let mut command = folder.command(env!("CARGO_BIN_EXE_towpath"));
        command.args(["serve", "--json"]).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let listening = lines.find(|line| line.contains("\"listening\"")).expect("it listens");
        assert!(listening.contains("127.0.0.1"), "{listening}");
        // What it says later is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn slow_a_login_is_ended_once_by_the_browser_that_began_it() {
    let port = free_port();
    let Some(provider) = Provider::start(&[callback(port)]) else { return };
    let folder = project(&provider, port);
    let _service = Service::start(&folder);
    let begin = || {
        let begun = folder.run(&["account", "login", "newsletter", "--json"]).exits(0).json();
        assert_eq!(begun[0]["redirectUrl"], callback(port).as_str());
        begun[0]["url"].as_str().unwrap().to_owned()
    };
    let ends = |status: u16, said: &str, page: crate::web::Answered| {
        assert!(
            page.status == status && page.body.contains(said),
            "{}: {}",
            page.status,
            page.body
        );
    };
    // Who cancels, and who takes an address a second time.
    let start = begin();
    ends(403, "access_denied", Browser::default().log_in(&start, "", false));
    ends(400, "ended already", Browser::default().open(&start, ""));
    // What another browser brings back takes nothing away from the one that began.
    let mut own = Browser::default();
    let back = own.log_in(&begin(), &callback(port), true).url;
    assert!(back.contains("code="), "{back}");
    ends(400, "Another browser began this login", Browser::default().open(&back, ""));
    ends(200, "Example of ada", own.open(&back, ""));
    ends(400, "ended already", own.open(&back, ""));
    let changed = back.replace("state=", "state=A");
    ends(400, "was not made by this service", own.open(&changed, ""));
    ends(400, "was not made by this service", own.open(&callback(port), ""));
    folder.run(&["account", "status", "newsletter"]).exits(0).says("renewed by itself");
    folder.run(&["account", "test", "newsletter"]).exits(0).says("reading groups: 1 group");
    folder.run(&["account", "refresh", "newsletter"]).exits(0);
    folder.run(&["account", "logout", "newsletter"]).exits(0).says("ended at the system");
}

#[test]
fn a_secret_that_is_planted_shows_in_no_page_and_no_answer() {
    const CANARY: &str = "CANARY-77ae-of-an-account";
    let port = free_port();
    let vendors = Vendors::with(1);
    let folder = Folder::empty();
    let config = vendors.config("{ secret: reach }", "{ file: passcode }");
    folder.write("towpath.yaml", &format!("server:\n  listen: 127.0.0.1:{port}\n{config}"));
    folder.write("passcode", "CANARY-77ae-PASSCODE");
    folder.run_with(&["secret", "set", "reach"], CANARY.as_bytes()).exits(0);
    let service = Service::start(&folder);
    let note = folder.files(".towpath").into_iter().find(|it| it.ends_with("store.service.json"));
    let note: Value =
        serde_json::from_str(&std::fs::read_to_string(note.unwrap()).unwrap()).unwrap();
    let mut program = Browser::with_token(note["token"].as_str().unwrap());
    let base = format!("http://127.0.0.1:{port}");
    let mut answered = vec![];
    for (method, path) in [
        ("GET", "/accounts"),
        ("GET", "/accounts/newsletter"),
        ("GET", "/accounts/engagement"),
        ("GET", "/api/v1/accounts"),
        ("GET", "/api/v1/accounts/newsletter"),
        ("GET", "/api/v1/accounts/newsletter/login"),
        ("POST", "/api/v1/accounts/newsletter/test"),
        ("POST", "/api/v1/accounts/engagement/test"),
        ("POST", "/api/v1/accounts/newsletter/refresh"),
        ("POST", "/api/v1/accounts/newsletter/login"),
        ("POST", "/api/v1/accounts/newsletter/logout"),
        ("GET", "/api/v1/connectors"),
        ("GET", "/api/v1/flows"),
        ("GET", "/api/v1/dead-letters"),
        ("GET", "/callback/oauth2?state=x&code=y"),
    ] {
        let page = program.ask(method, &format!("{base}{path}"), "");
        assert!(page.status < 500, "{method} {path}: {}", page.body);
        assert!(!page.body.contains("CANARY"), "{method} {path}: {}", page.body);
        answered.push(page.status);
    }
    // Each of them said something: the tests were made, and failed.
    assert!(answered.iter().filter(|status| **status == 200).count() >= 8, "{answered:?}");
    let programs = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for program in programs.filter(|it| it.file_name().to_string_lossy().parse::<u32>().is_ok()) {
        let line = std::fs::read(program.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains("CANARY-77ae"), "a program shows it");
    }
    drop(service);
    for file in folder.files(".towpath") {
        let bytes = std::fs::read(&file).unwrap();
        let holds = bytes.windows(6).any(|window| window == b"CANARY");
        assert!(!holds, "it lies open in {}", file.display());
    }
}
