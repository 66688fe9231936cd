//! The API against its own document: a real service, asked by schemathesis whatever comes to its
//! mind. `cargo xtask test` and `cargo xtask schemathesis` say where schemathesis is.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "what is skipped is said")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use sandbox::{Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;

const FLOW: &str = include_str!("../../../flows/newsletter-to-clevertap.yaml");
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// No failure of ours, and no answer that the document does not have.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn slow_schemathesis() {
    let Some(tool) = std::env::var_os("TOWPATH_SCHEMATHESIS") else {
        eprintln!("SKIPPED: schemathesis; `cargo xtask schemathesis` installs and runs it");
        return;
    };
    let seconds = std::env::var("TOWPATH_SCHEMATHESIS_SECONDS");
    let seconds: u64 = seconds.map_or(60, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = Options { receivers: 5, ..Options::default() };
    let sandbox = runtime.block_on(Sandbox::start(options)).unwrap();
    let folder = TempDir::new().unwrap();
    let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
    let credentials = sandbox.credentials();
    std::fs::create_dir(folder.path().join("flows")).unwrap();
    let config = format!(
        "accounts:\n  newsletter:\n    connector: cleverreach\n    baseUrl: {}\n    clientId: {}\n    \
         clientSecret: {{ env: CR }}\n  engagement:\n    connector: clevertap\n    baseUrl: {}\n    \
         projectId: {}\n    passcode: {{ env: CT }}\n  spare:\n    \
         connector: clevertap\n    baseUrl: {}\n    projectId: {}\n    \
         passcode: {{ env: CT }}\n",
        sandbox.cleverreach_url(),
        credentials.client_id,
        sandbox.clevertap_url(),
        credentials.project_id,
        sandbox.clevertap_url(),
        credentials.project_id,
    );
    write("towpath.yaml", &config);
    let flow = |name: &str| FLOW.replace("newsletter-to-clevertap", name).replace("5m", "366d");
    write("flows/good.yaml", &flow("good"));
    let bad = flow("bad").replace("\"identity\": metadata", "\"identiti\": metadata");
    write("flows/bad.yaml", &bad);
    let towpath = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command
            .args(args)
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .env("TOWPATH_KEY", KEY)
            .env("CR", &credentials.client_secret)
            .env("CT", &credentials.passcode);
        command
    };
    let mut serve = towpath(&["serve", "--json", "--listen", "127.0.0.1:0"]);
    let mut serving = Ended(serve.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(serving.0.stdout.take().unwrap()).lines();
    let mut until = |kind: &str| loop {
        let line = lines.next().unwrap().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["event"] == kind {
            return event;
        }
    };
    let address = until("listening")["address"].as_str().unwrap().to_owned();
    until("ran");
    until("ran");
    // Nobody reads them any more, and a full pipe would stop the service.
    std::thread::spawn(move || lines.for_each(drop));
    let made = towpath(&["token", "create", "schemathesis", "--scope", "admin"]).output().unwrap();
    let token = String::from_utf8(made.stdout).unwrap();
    let letters = towpath(&["dead-letters", "list", "--json"]).output().unwrap();
    let letters = String::from_utf8(letters.stdout).unwrap();
    let letter: Value = serde_json::from_str(letters.lines().next().unwrap()).unwrap();
    // First with names of its own, then with names of what is there.
    write("none.toml", "");
    let known = format!(
        "[parameters]\n\"path.flow\" = \"good\"\n\"path.name\" = \"spare\"\n\
         \"path.connector\" = \"cleverreach\"\n\"path.id\" = {}\n",
        letter["id"]
    );
    write("known.toml", &known);
    for (config, share) in [("none.toml", seconds / 2), ("known.toml", seconds / 2)] {
        let status = Command::new(&tool)
            .args(["--config-file", config, "run", "--no-color", "--checks", CHECKS])
            .args(["--phases", "coverage,fuzzing", "--request-timeout", "30"])
            // A stream answers for as long as it is listened to.
            .args(["--exclude-operation-id", "streamEvents"])
            .args(["--max-time", &share.max(10).to_string()])
            .args(["-H", &format!("Authorization: Bearer {}", token.trim())])
            .arg(format!("http://{address}/api/v1/openapi.json"))
            .current_dir(folder.path())
            .status();
        assert!(status.unwrap().success(), "{config}: schemathesis found something");
    }
    assert!(serving.0.try_wait().unwrap().is_none(), "the service goes on");
}
