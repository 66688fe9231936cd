//! Accounts: added after a test, logged in for, told of where they cannot be used, removed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use crate::folder::{FLOW, Folder, NAME, Vendors};

/// What no answer, log or file may show.
const CANARY: &str = "CANARY-1f4c-secret-of-the-account";

#[test]
fn an_account_is_kept_after_its_test_and_not_before() {
    let vendors = Vendors::with(3);
    let known = vendors.sandbox.credentials().clone();
    let folder = Folder::empty();
    let before = "# ours\nvars: { country: DE }\n";
    folder.write("towpath.yaml", before);
    let url = vendors.sandbox.clevertap_url();
    let project = format!("projectId={}", known.project_id);
    let add = ["account", "add", "engagement", "--connector", "clevertap", "--base-url", &url];

    let argument = [&add[..], &["--set", &project, "--set", "passcode=CANARY-1f4c"]].concat();
    let argument = folder.run(&argument).exits(4).says("never an argument").says("--env passcode=");
    assert!(!argument.all().contains("CANARY"), "{}", argument.all());
    let missing = folder.run_with(&add, b"region=EU!\n").exits(4);
    missing.says("`passcode`: a value is needed").says("`projectId`").says("`region`: a region is");
    let wrong = [&add[..], &["--set", &project]].concat();
    let failed = folder.run_with(&wrong, b"passcode = CANARY-1f4c\n").exits(6);
    let failed = failed.says("The credentials are refused").says("Troubleshooting of clevertap");
    let failed = failed.says("Compare the first two").says("nothing was kept");
    assert!(!failed.all().contains("CANARY"), "{}", failed.all());
    assert_eq!(folder.read("towpath.yaml"), before);
    assert!(!folder.path(".towpath").exists(), "an account that is refused made a store");

    let passcode = format!("{{ \"passcode\": \" {}\\n\" }}", known.passcode);
    let added = folder.run_with(&wrong, passcode.as_bytes());
    added.exits(0).says("passed      credentials: region eu").says("engagement: added");
    let written = folder.read("towpath.yaml");
    let expected = format!(
        "{before}\naccounts:\n  engagement:\n    connector: clevertap\n    baseUrl: \"{url}\"\n    \
         projectId: {}\n    passcode: {{ secret: engagement-passcode }}\n",
        known.project_id
    );
    assert_eq!(written, expected);
    folder.run_with(&wrong, passcode.as_bytes()).exits(4).says("there is an account engagement");
    folder.run(&["account", "test", "engagement"]).exits(0).says("uploading: validated");
    folder.run(&["secret", "set", "engagement-passcode"]).exits(4);
    folder.run_with(&["secret", "set", "engagement-passcode"], b"AAA-BBB-CCCC").exits(0);
    folder.run(&["account", "test", "engagement"]).exits(6).says("The credentials are refused");
    folder.run(&["account", "test", "engagment"]).exits(4).says("engagement");

    folder.write(&format!("flows/{NAME}.yaml"), FLOW);
    let used = folder.run(&["account", "remove", "engagement"]).exits(4);
    used.says(NAME).says("--although-used");
    folder.run(&["account", "remove", "engagement", "--although-used"]).exits(0).says(NAME);
    assert_eq!(folder.read("towpath.yaml"), format!("{before}\naccounts: {{}}\n"));
    folder.run(&["secret", "list"]).exits(0).says("no secrets");
}

/// Gives where a browser is sent that opens an address of the sandbox.
fn sent_on(url: &str) -> String {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
    location.unwrap_or_else(|| panic!("{answer}")).trim().to_owned()
}

/// A login that waits for its address.
struct Pasting(Child, String);

impl Pasting {
    fn begin(folder: &Folder) -> Self {
        let mut command = folder.command(env!("CARGO_BIN_EXE_towpath"));
        command.args(["account", "login", "newsletter", "--paste"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.as_mut().unwrap());
        let mut lines = said.lines().map(Result::unwrap);
        let url = lines.find(|line| line.contains("/oauth/authorize.php"));
        Self(child, url.unwrap().trim().to_owned())
    }

    fn paste(mut self, address: &str) -> (Option<i32>, String) {
        writeln!(self.0.stdin.take().unwrap(), "{address}").unwrap();
        let ended = self.0.wait_with_output().unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        (ended.status.code(), String::from_utf8(said).unwrap())
    }
}

#[test]
fn somebody_logs_in_before_an_account_is_used() {
    let vendors = Vendors::with(4);
    let known = vendors.sandbox.credentials().clone();
    let folder = Folder::empty();
    let passcode = format!("{{ env: {} }}", "PASSCODE");
    let config = vendors.config("{ env: CLIENT_SECRET }", &passcode);
    let engagement = config.split_once("  engagement:").unwrap().1;
    folder.write("towpath.yaml", &format!("accounts:\n  engagement:{engagement}"));
    folder.write(&format!("flows/{NAME}.yaml"), FLOW);
    let url = vendors.sandbox.cleverreach_url();
    let id = format!("clientId={}", known.client_id);
    let add = ["account", "add", "newsletter", "--connector", "cleverreach", "--base-url", &url];
    let add = [&add[..], &["--set", &id, "--set", "grant=authorizationCode"]].concat();
    let secret = format!("clientSecret={}\n", known.client_secret);
    let added = folder.run_with(&add, secret.as_bytes()).exits(0);
    added.says("now log in: towpath account login newsletter");

    let run =
        |folder: &Folder| folder.run_env(&["run", NAME, "--once"], "PASSCODE", &known.passcode);
    run(&folder).exits(6).says("has no login: run `towpath account login newsletter`");
    folder.run(&["account"]).exits(0).says("needs a login");

    // Nobody agrees; a state of somebody else's; an address that is none.
    let refuse = |refused| {
        let mut switches = vendors.sandbox.switches();
        switches.login_refused = refused;
        vendors.sandbox.set_switches(switches);
    };
    refuse(true);
    let pasting = Pasting::begin(&folder);
    let back = sent_on(&pasting.1);
    let (code, said) = pasting.paste(&back);
    assert!(code == Some(6) && said.contains("access_denied"), "{said}");
    refuse(false);
    for address in [back.as_str(), "https://evil.test/x?code=CANARY", "CANARY"] {
        let (code, said) = Pasting::begin(&folder).paste(address);
        assert!(code != Some(0) && !said.contains("CANARY"), "{said}");
    }
    // A login that may not do what is needed is not kept.
    let mut narrow = vendors.sandbox.switches();
    narrow.missing_scopes = vec!["receivers".to_owned()];
    vendors.sandbox.set_switches(narrow);
    let pasting = Pasting::begin(&folder);
    let back = sent_on(&pasting.1);
    let (code, said) = pasting.paste(&back);
    assert!(code == Some(6) && said.contains("Receivers may not be read"), "{said}");
    vendors.sandbox.set_switches(Default::default());
    folder.run(&["account", "status", "newsletter"]).exits(0).says("missing");

    let pasting = Pasting::begin(&folder);
    let back = sent_on(&pasting.1);
    let (code, said) = pasting.paste(&back);
    assert!(code == Some(0) && said.contains("newsletter: logged in"), "{said}");
    assert!(!said.contains(back.rsplit_once("code=").unwrap().1), "{said}");
    folder.run(&["account", "status", "newsletter"]).exits(0).says("renewed by itself");
    run(&folder).exits(0).says("4 delivered");
    folder.run(&["account", "refresh", "newsletter"]).exits(0).says("token until");

    // A login that the system forgot pauses the account, and the way out is named.
    vendors.sandbox.forget_logins();
    let dead = run(&folder).exits(6);
    dead.says("run `towpath account login newsletter`").says("invalid_grant");
    folder.run(&["account", "list"]).exits(0).says("paused");
    let pasting = Pasting::begin(&folder);
    let back = sent_on(&pasting.1);
    assert_eq!(pasting.paste(&back).0, Some(0));
    run(&folder).exits(0);
    folder.run(&["account", "logout", "newsletter"]).exits(0).says("ended at the system");
    run(&folder).exits(6);
}

#[test]
fn a_secret_that_is_planted_is_found_nowhere() {
    let vendors = Vendors::with(2);
    let folder = Folder::empty();
    let config = vendors.config("{ secret: reach }", "{ secret: tap }");
    folder.write("towpath.yaml", &config);
    folder.write(&format!("flows/{NAME}.yaml"), FLOW);
    let passcode = CANARY.replace("secret-of-the-account", "SECRET");
    folder.run_with(&["secret", "set", "reach"], CANARY.as_bytes()).exits(0);
    folder.run_with(&["secret", "set", "tap"], passcode.as_bytes()).exits(0);
    let archive = "all.towpath";
    for args in [
        &["run", NAME, "--once"][..],
        &["account", "test", "newsletter"],
        &["account", "test", "engagement", "--json"],
        &["account", "status", "newsletter"],
        &["account", "refresh", "newsletter"],
        &["account", "list", "--json"],
        &["account", "logout", "engagement"],
        &["secret", "list"],
        &["dead-letters", "list", "--json"],
        &["state", "show", NAME, "--json"],
        &["check"],
        &["store", "backup", archive],
        &["account", "remove", "newsletter", "--although-used"],
    ] {
        let ran = folder.run_env(args, "TOWPATH_LOG", "trace");
        assert!(!ran.all().contains("CANARY"), "{args:?}:\n{}", ran.all());
    }
    let files =
        [folder.files(".towpath"), folder.files(".config"), vec![folder.path("towpath.yaml")]];
    for file in files.concat().into_iter().chain([folder.path(archive)]) {
        let bytes = std::fs::read(&file).unwrap();
        let holds = bytes.windows(6).any(|window| window == b"CANARY");
        assert!(!holds, "it lies open in {}", file.display());
    }
}
