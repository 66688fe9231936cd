//! Attribution killed with SIGKILL in the middle: no install is told twice, and none is lost without a
//! word.

use serde_json::Value;

use crate::folder::{Folder, Vendors};

/// Tells of an install for the one receiver.
const INSTALLS: &str = r#"
flow: installs
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  fields: { groupName: Newsletter }
steps:
  - id: told
    use: clevertap.sendAttribution
    account: engagement
    fields:
      customMapping: |
        { "event_type": "inorganic_install", "device_identifier": "__g" & metadata.recordUid,
          "platform": "Android", "utm_source": "newsletter" }
"#;

/// Where it is killed; how often CleverTap was asked in the end, and whether the install is in doubt
/// then.
const POINTS: &[(&str, u64, bool)] = &[
    ("engine.run.leased:1", 1, false),
    ("engine.intent.next:1", 1, false),
    // From here on it may have left, as far as anybody knows.
    ("engine.intent.kept:1", 0, true),
    ("engine.batch.next:1", 0, true),
    ("engine.batch.answered:1", 1, true),
    // Its answer is known.
    ("engine.outcome.kept:1", 1, false),
    ("engine.commit.next:1", 1, false),
    ("store.head.next:1", 1, false),
    ("engine.commit.done:1", 1, false),
];

/// A folder with the flow, and `token` as the account's.
fn folder(vendors: &Vendors, token: &str) -> Folder {
    let folder = Folder::empty();
    let known = vendors.sandbox.credentials();
    let more = "    token: { file: token }\n    partnerName: attribution partner\n";
    let config = vendors.config("{ file: reach }", "{ file: tap }") + more;
    folder.write("towpath.yaml", &config);
    folder.write("flows/installs.yaml", INSTALLS);
    let secrets = [("reach", &*known.client_secret), ("tap", &known.passcode), ("token", token)];
    for (file, secret) in secrets {
        folder.write(file, secret);
    }
    folder
}

const RUN: [&str; 3] = ["run", "installs", "--once"];

fn letters(folder: &Folder) -> Vec<Value> {
    folder.run(&["dead-letters", "list", "--json"]).exits(0).json()
}

fn codes(letters: &[Value]) -> Vec<&str> {
    letters.iter().map(|it| it["code"].as_str().unwrap()).collect()
}

#[test]
fn an_install_whose_process_is_killed_is_told_once_or_in_doubt() {
    for (point, asked, in_doubt) in POINTS {
        let vendors = Vendors::with(1);
        let known = vendors.sandbox.credentials();
        let folder = folder(&vendors, &known.token);
        assert!(folder.killed_at(&RUN, point), "{point}");
        for _ in 0..3 {
            folder.run(&RUN);
        }
        let stats = vendors.sandbox.stats().clevertap;
        assert_eq!(stats.requests_to("GET /attribution"), *asked, "{point}");
        assert_eq!(stats.attributions, *asked, "{point}");
        let letters = letters(&folder);
        assert_eq!(codes(&letters), if *in_doubt { vec!["inDoubt"] } else { vec![] }, "{point}");
        let said = format!("{letters:?}");
        assert!(!said.contains(&known.token) && !said.contains(&known.passcode), "{point}: {said}");
    }
}

/// Where it is killed once it was refused, and whether the install is in doubt then.
const REFUSED: &[(&str, bool)] = &[
    // What was answered is not written down yet.
    ("engine.batch.answered:1", true),
    ("engine.outcome.next:1", true),
    ("engine.outcome.kept:1", false),
    ("engine.run.done:1", false),
];

#[test]
fn an_install_that_was_refused_is_not_sent_again_after_a_kill() {
    for (point, in_doubt) in REFUSED {
        let vendors = Vendors::with(1);
        let folder = folder(&vendors, "not-the-token");
        let asked = || vendors.sandbox.stats().clevertap.requests_to("GET /attribution");
        assert!(folder.killed_at(&RUN, point), "{point}");
        for _ in 0..3 {
            folder.run(&RUN);
        }
        assert_eq!(asked(), 1, "{point}");
        let listed = folder.run(&["account", "list", "--json"]).exits(0).json();
        assert!(listed.iter().any(|it| !it["held"].is_null()), "{point}: {listed:?}");
        // Nobody knows of what is in doubt, whatever its credentials are; the rest is sent.
        folder.write("token", &vendors.sandbox.credentials().token);
        for _ in 0..2 {
            folder.run(&RUN);
        }
        let (sent, letters) = if *in_doubt { (1, &["inDoubt"][..]) } else { (2, &[][..]) };
        assert_eq!(asked(), sent, "{point}");
        assert_eq!(codes(&self::letters(&folder)), letters, "{point}");
    }
}
