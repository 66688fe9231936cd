//! `towpath account hooks` at the real binary: registered with the service that is called, listed,
//! believed, taken away.

use std::time::{Duration, Instant};

use sandbox::{Touch, What};
use serde_json::Value;

use crate::folder::{Folder, Vendors};
use crate::hooks::{Served, ask, connect};

const FLOW: &str = "
flow: told
trigger:
  use: cleverreach.receiverEvents
  account: newsletter
  every: 24h
  sweep: 24h
  fields: { groupName: Newsletter }
steps:
  - id: profiles
    use: clevertap.uploadProfiles
    account: engagement
";

fn project(vendors: &Vendors) -> Folder {
    let folder = Folder::empty();
    let credentials = vendors.sandbox.credentials();
    folder.write("client-secret", &credentials.client_secret);
    folder.write("passcode", &credentials.passcode);
    let config = vendors.config("{ file: client-secret }", "{ file: passcode }");
    folder.write("towpath.yaml", &config);
    folder.write("flows/told.yaml", FLOW);
    folder
}

/// Waits until so many records were delivered in all.
fn delivered(vendors: &Vendors, count: usize) {
    let end = Instant::now() + Duration::from_secs(60);
    while vendors.sandbox.delivered_count() < count {
        assert!(Instant::now() < end, "{} of {count}", vendors.sandbox.delivered_count());
        std::thread::yield_now();
    }
}

fn statuses(vendors: &Vendors) -> Vec<u16> {
    vendors.runtime.block_on(vendors.sandbox.hooks_called())
}

#[test]
fn a_flow_is_registered_called_and_taken_away() {
    let vendors = Vendors::with(5);
    let folder = project(&vendors);
    let hooks = ["account", "hooks"];
    let register = [&hooks[..], &["register", "newsletter", "told"]].concat();

    // Nobody would answer the challenge.
    folder.run(&register).exits(4).says("nobody would answer").says("towpath serve");

    let served = Served::start(&folder, None);
    delivered(&vendors, 5);
    let listed = [&hooks[..], &["list", "newsletter"]].concat();
    folder.run(&listed).exits(0).says("newsletter: nothing is registered");
    let other = [&hooks[..], &["register", "engagement", "told"]].concat();
    folder.run(&other).says("told is called for the account newsletter");
    let unknown = [&hooks[..], &["register", "newsletter", "tld"]].concat();
    assert_ne!(folder.run(&unknown).says("tld").code(), 0);

    // An address where nobody answers is refused by the system, and nothing is registered.
    let nowhere = [&register[..], &["--url", "http://127.0.0.1:9/hooks/told"]].concat();
    assert_ne!(folder.run(&nowhere).code(), 0);
    folder.run(&listed).exits(0).says("nothing is registered");

    let url = format!("http://{}/hooks/told", served.address);
    folder.run(&register).exits(0).says(&format!("its system calls told at {url} from now on"));
    folder.run(&listed).exits(0).says("receiver").says(&url);
    let lines = folder.run(&[&listed[..], &["--json"]].concat()).exits(0).json();
    assert_eq!(lines.iter().map(|it| &it["url"]).collect::<Vec<_>>(), [url.as_str()]);

    // The attribute's edit has no date: without the call only tomorrow's sweep would find it.
    let id = vendors.sandbox.receivers().remove(2).id;
    let edit = Touch::ids([&id]).only(What::Attributes).attribute("lastname", "Told");
    vendors.sandbox.touch(&edit);
    assert_eq!(statuses(&vendors).last(), Some(&202));
    delivered(&vendors, 6);
    let profile = vendors.sandbox.profile(&id).unwrap();
    assert!(profile["Name"].as_str().unwrap().ends_with("Told"), "{profile:?}");

    // A call without the token is nobody's.
    let body =
        r#"{"condition":"1","event":"receiver.updated","payload":{"pool_id":1,"group_id":1}}"#;
    let (status, _) =
        ask(&mut connect(&served.address), "POST /hooks/told HTTP/1.1\r\n", body).unwrap();
    assert_eq!(status, 401);

    let remove = [&hooks[..], &["remove", "newsletter", "told"]].concat();
    folder.run(&remove).exits(0).says("its system calls told no more");
    folder.run(&remove).exits(0).says("nothing was registered for told");
    folder.run(&listed).exits(0).says("nothing is registered");
    let calls = statuses(&vendors).len();
    vendors.sandbox.touch(&Touch::ids([&id]).only(What::Attributes).attribute("lastname", "Lost"));
    assert_eq!(statuses(&vendors).len(), calls, "it was called after its registration ended");
}

#[test]
fn the_api_registers_as_the_command_does() {
    let vendors = Vendors::with(2);
    let folder = project(&vendors);
    let served = Served::start(&folder, None);
    let token = folder
        .run(&["token", "create", "ops", "--scope", "read", "--scope", "connect"])
        .exits(0)
        .out;
    let token = token.lines().last().unwrap_or_default().trim().to_owned();
    let call = |line: &str, body: &str| {
        let head = format!(
            "{line} HTTP/1.1\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n"
        );
        let (status, answer) = ask(&mut connect(&served.address), &head, body).unwrap();
        (status, serde_json::from_str::<Value>(&answer).unwrap_or_default())
    };
    let hooks = "/api/v1/accounts/newsletter/hooks";
    let (status, answer) = call(&format!("POST {hooks}"), r#"{"flow":"told"}"#);
    assert_eq!(status, 201, "{answer}");
    let url = format!("http://{}/hooks/told", served.address);
    assert_eq!((answer["flow"].as_str(), answer["url"].as_str()), (Some("told"), Some(&*url)));
    let (status, answer) = call(&format!("GET {hooks}"), "");
    assert_eq!((status, answer["hooks"].as_array().unwrap().len()), (200, 1), "{answer}");
    assert_eq!(answer["hooks"][0]["url"], url);
    let (status, answer) = call(&format!("DELETE {hooks}/told"), "");
    assert_eq!((status, &answer["was"]), (200, &Value::Bool(true)));
    let (status, answer) = call(&format!("DELETE {hooks}/told"), "");
    assert_eq!((status, &answer["was"]), (200, &Value::Bool(false)));
    let (status, _) = call(&format!("POST {hooks}"), r#"{"flow":"nobody"}"#);
    assert!((400..500).contains(&status), "{status}");
}
