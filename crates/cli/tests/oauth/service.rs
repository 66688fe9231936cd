//! Logins by a running service: who may end one, how often, and what is said otherwise.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::folder::Folder;
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
pub(crate) struct Service(Child);

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
    ends(400, "another browser began this login", Browser::default().open(&back, ""));
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
