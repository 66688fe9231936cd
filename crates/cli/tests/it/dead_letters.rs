//! Dead letters at the command line: listed, shown, edited, replayed, dropped, and why.

use serde_json::{Value, json};

use crate::folder::{Folder, NAME, Vendors};

/// Refuses the first of the sandbox's receivers, keeps the second one back, takes the others.
const FLOW: &str = r#"
flow: newsletter-to-clevertap
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  fields: { groupName: Newsletter }
steps:
  - id: profiles
    use: clevertap.uploadProfiles
    account: engagement
    when: metadata.recordUid != "279002"
    fields:
      customMapping: |
        { "identity": metadata.recordUid = "279001" ? [1] : metadata.recordUid, "profileData": {} }
"#;

fn project(vendors: &Vendors) -> Folder {
    let folder = Folder::empty();
    let credentials = vendors.sandbox.credentials();
    folder.write("towpath.yaml", &vendors.config("{ file: reach }", "{ file: tap }"));
    folder.write("reach", &credentials.client_secret);
    folder.write("tap", &credentials.passcode);
    folder.write(&format!("flows/{NAME}.yaml"), FLOW);
    folder
}

#[test]
fn a_refused_message_is_shown_edited_replayed_and_told() {
    let vendors = Vendors::with(3);
    let folder = project(&vendors);
    folder.run(&["dead-letters", "list"]).exits(0).says("nothing has run here yet");
    folder.run(&["run", NAME, "--once"]).exits(0).says("1 delivered").says("1 refused");
    let listed = folder.run(&["dead-letters", "list", NAME, "--json"]).exits(0).json();
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(
        (listed.len(), &listed[0]["state"], &listed[0]["tries"]),
        (1, &json!("open"), &json!(1))
    );

    let shown = folder.run(&["dead-letters", "show", id.get(..6).unwrap()]).exits(0);
    let shown = shown.says("reason       ").says("state        open").says("next:");
    shown.says(&format!("dead-letters replay {id}"));

    // Nothing is done to all there are because somebody forgot to say to which.
    folder.run(&["dead-letters", "replay"]).exits(2).says("which ones?");
    folder.run(&["dead-letters", "drop", id]).exits(2).says("--yes");
    folder.run(&["dead-letters", "replay", "ffff"]).exits(4).says("`ffff`");

    // Refused again: an attempt more.
    let again = folder.run(&["dead-letters", "replay", id]).exits(0);
    again.says("refused again").says("1 dead letter: 1 refused again");
    folder.run(&["dead-letters", "list"]).exits(0).says("  2  ");

    let message = folder.run(&["dead-letters", "show", id, "--json"]).exits(0).json();
    let message = &message[0]["payload"]["message"];
    folder
        .run_with(&["dead-letters", "edit", id, "--file", "-"], b"{ no")
        .exits(4)
        .says("not JSON");
    let same = message.to_string();
    let same = folder.run_with(&["dead-letters", "edit", id, "--file", "-"], same.as_bytes());
    same.exits(0).says("nothing differs");
    folder.run(&["dead-letters", "edit", id]).exits(4).says("needs a terminal");
    let mut edited: Value = message.clone();
    edited["data"]["firstName"] = json!("Augusta");
    let edited = edited.to_string();
    let edited = folder.run_with(&["dead-letters", "edit", id, "--file", "-"], edited.as_bytes());
    edited.exits(0).says("firstName").says("Augusta").says(&format!("replay {id} sends it"));
    folder.run(&["dead-letters", "list"]).exits(0).says("open, edited");

    // By the flow as it is now.
    folder.write(&format!("flows/{NAME}.yaml"), &FLOW.replace("? [1]", "? \"one\""));
    let sent = folder.run(&["dead-letters", "replay", "--code", "input.shape", "--json"]).exits(0);
    let sent = sent.json();
    assert_eq!(
        (sent.len(), &sent[0]["fate"], &sent[0]["recordKey"]),
        (1, &json!("delivered"), &json!("279001"))
    );
    folder
        .run(&["dead-letters", "list"])
        .exits(0)
        .says("no dead letters")
        .says("1 more are not open");
    folder.run(&["dead-letters", "replay", id]).exits(0).says("sent before");
    let uploaded = vendors.sandbox.stats().clevertap.records_accepted;
    assert_eq!(uploaded, 2);

    let why = folder.run(&["why", "279001"]).exits(0);
    let told: Vec<&str> = why.out.lines().map(without_time).collect();
    let id = id.to_owned();
    assert_eq!(
        told[..told.len() - 1],
        [
            format!("record 279001, flow {NAME}"),
            format!(
                "first seen, refused by profiles: input.shape (dead letter {id}, replayed since)"
            ),
            format!("refused by profiles: input.shape (dead letter {id}, replayed since)"),
            format!("edited: dead letter {id}"),
            "delivered by profiles as one: {\"identity\":\"one\"}".to_owned(),
            format!("replayed: dead letter {id}"),
        ]
    );
    assert!(why.out.contains("unchanged since"), "{}", why.out);
    folder.run(&["why", id.get(..8).unwrap()]).exits(0).says("record 279001,").says("edited");
    let other = folder.run(&["why", "279002", "--flow", NAME]).exits(0);
    other.says(
        "filtered out by the condition of profiles; now it is `metadata.recordUid != \"279002\"`",
    );
    folder.run(&["why", "no such record"]).exits(4).says("nothing is known");
    let json = folder.run(&["why", "279003", "--json"]).exits(0).json();
    assert_eq!(json[0]["happened"][0]["what"], "delivered");

    let dropped = folder.run(&["dead-letters", "drop", "--state", "replayed", "--yes"]).exits(0);
    dropped.says("dropped 1 dead letter");
    folder.run(&["dead-letters", "list", "--state", "any"]).exits(0).says("no dead letters");
    folder.run(&["why", "279001"]).exits(0).says("its dead letter was dropped");
}

/// A line of a timeline without what differs from run to run.
fn without_time(line: &str) -> &str {
    line.trim_start().split_once("Z  ").map_or(line, |(_, what)| what)
}
