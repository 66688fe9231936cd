//! Attribution killed with SIGKILL in the middle: no install is told twice, and none is lost without a
//! word.

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

#[test]
fn an_install_whose_process_is_killed_is_told_once_or_in_doubt() {
    for (point, asked, in_doubt) in POINTS {
        let vendors = Vendors::with(1);
        let folder = Folder::empty();
        let known = vendors.sandbox.credentials();
        let more = "    token: { file: token }\n    partnerName: attribution partner\n";
        let config = vendors.config("{ file: reach }", "{ file: tap }") + more;
        folder.write("towpath.yaml", &config);
        folder.write("flows/installs.yaml", INSTALLS);
        let secrets =
            [("reach", &known.client_secret), ("tap", &known.passcode), ("token", &known.token)];
        for (file, secret) in secrets {
            folder.write(file, secret);
        }
        let run = ["run", "installs", "--once"];
        assert!(folder.killed_at(&run, point), "{point}");
        for _ in 0..3 {
            folder.run(&run);
        }
        let stats = vendors.sandbox.stats().clevertap;
        assert_eq!(stats.requests_to("GET /attribution"), *asked, "{point}");
        assert_eq!(stats.attributions, *asked, "{point}");
        let letters = folder.run(&["dead-letters", "list", "--json"]).exits(0).json();
        let codes: Vec<_> = letters.iter().map(|it| it["code"].as_str().unwrap()).collect();
        assert_eq!(codes, if *in_doubt { vec!["inDoubt"] } else { vec![] }, "{point}");
        let said = format!("{letters:?}");
        assert!(!said.contains(&known.token) && !said.contains(&known.passcode), "{point}: {said}");
    }
}
