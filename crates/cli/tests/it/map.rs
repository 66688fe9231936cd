//! A mapping tried on records: what would be sent, and errors at their place.

use serde_json::json;

use crate::folder::{FLOW, Folder, NAME};

const RECORD: &str = r#"{"id":"279","email":"ada@example.com","global_attributes":{"firstname":"Ada","lastname":"Lovelace","phone":5}}"#;

fn project() -> Folder {
    let folder = Folder::empty();
    folder.write(&format!("flows/{NAME}.yaml"), FLOW);
    folder
}

#[test]
fn records_of_a_file_show_what_would_be_sent() {
    let folder = project();
    folder.write("records.json", &format!("{RECORD}\n{{\"id\":280}}\n"));
    let args = ["map", NAME, "--record", "records.json"];
    let shown = folder.run(&args).exits(0).says("── 279").says("Name: Ada Lovelace");
    shown.says("── 280").says("profiles: `when` filters it out");
    let lines = folder.run(&[&args[..], &["--json"]].concat()).exits(0).json();
    assert_eq!(lines[0]["raw"]["email"], "ada@example.com");
    assert_eq!(lines[0]["message"]["data"]["firstName"], "Ada");
    assert_eq!(lines[0]["steps"][0]["input"]["identity"], "279");
    assert_eq!(lines[1]["steps"], json!([{ "step": "profiles", "filtered": true }]));

    let message = br#"[{"metadata":{"recordUid":"9"},"data":{"lastName":"Hopper","contactData":[{"type":"email","value":"g@example.com"}]}}]"#;
    let shown = folder.run_with(&["map", NAME, "--record", "-", "--message"], message).exits(0);
    shown.says("Name: Hopper");
    folder.run_with(&["map", NAME, "--record", "-"], b"{ no").exits(4).says("standard input:1:3");
    let marked = format!("\u{feff}{RECORD}");
    folder.run_with(&["map", NAME, "--record", "-"], marked.as_bytes()).exits(0).says("── 279");
    let one = br#"{"metadata":{"recordUid":"9"},"data":{"lastName":"Hopper"}}"#;
    let shown = folder.run_with(&["map", NAME, "--record", "-"], one).exits(0);
    shown.says("is it a message? then add --message");
    let both = ["map", NAME, "--record", "-", "--mapping", "-"];
    folder.run_with(&both, one).exits(4).says("not both");
    folder.run(&["map", NAME]).exits(2).says("--sandbox");
    folder.run(&["map", NAME, "--sandbox", "--step", "nosuch"]).exits(4).says("it has profiles");
}

#[test]
fn a_sandbox_in_the_process_needs_no_account() {
    let folder = project();
    let flow = FLOW.replace("groupName: Newsletter", "groupName: Friends of the house");
    folder.write(&format!("flows/{NAME}.yaml"), &flow);
    let args = ["map", NAME, "--sandbox", "--count", "3", "--json"];
    let lines = folder.run(&args).exits(0).json();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["steps"][0]["input"]["profileData"].is_object()));
    assert!(!folder.path(".towpath").exists(), "it made a store");
}

#[test]
fn a_mapping_that_fails_is_shown_at_its_place() {
    let folder = project();
    folder.write("records.json", RECORD);
    let name = r#"$trim(data.firstName & " " & data.lastName)"#;
    folder.write("flows/wrong.yaml", &FLOW.replace(name, "$uppercase(data.contactData)"));
    let args = ["map", "flows/wrong.yaml", "--record", "records.json"];
    let shown = folder.run(&args).exits(7).says("profiles: its mapping fails");
    insta::assert_snapshot!(shown.out.split_once("TP0161").unwrap().1, @r#"


      × argument 1 of function "uppercase" does not match function signature (T0410)
        ╭─[flows/wrong.yaml:27:25]
     26 │               {
     27 │                 "Name": $uppercase(data.contactData),
        ·                         ────────────────────────────
     28 │                 "Email": $email,
        ╰────
      help: it concerns `profileData.Name`
    "#);
    let lines = folder.run(&[&args[..], &["--json"]].concat()).exits(7).json();
    let error = &lines[0]["steps"][0]["error"];
    assert_eq!((&error["code"], &error["line"]), (&json!("T0410"), &json!(27)));

    // What is yielded may not be what the action takes; `when` has a place of its own.
    folder.write("flows/wrong.yaml", &FLOW.replace("\"profileData\":", "\"profile\":"));
    folder.run(&args).exits(7).says("unknown field `profile`").says("wrong.yaml:25:13");
    let when = "when: $number(data.firstName) > 1";
    let condition = r#"when: data.contactData[type = "email"]"#;
    folder.write("flows/wrong.yaml", &FLOW.replace(condition, when));
    folder.run(&args).exits(7).says("profiles: `when` fails").says("wrong.yaml:17:11");
}

#[test]
fn another_mapping_is_tried_from_its_own_file() {
    let folder = project();
    folder.write("records.json", RECORD);
    let base = ["map", NAME, "--record", "records.json", "--mapping", "try.jsonata"];
    let step = [&base[..], &["--step", "profiles"]].concat();
    folder.write(
        "try.jsonata",
        "{ \"identity\": \"x\",\n  \"profileData\": { \"A\": $trigger.data.lastName } }",
    );
    folder.run(&step).exits(0).says("A: Lovelace");
    folder.write(
        "try.jsonata",
        "{ \"identity\": 5,\n  \"profileData\": { \"A\": $number(data.lastName) } }",
    );
    folder.run(&step).exits(7).says("try.jsonata:2:25").says("it concerns `profileData.A`");
    folder.write("try.jsonata", "{ \"data\": (1 }");
    folder.run(&base).exits(3).says("TP0140").says("try.jsonata:1:14");
    // Of the trigger: what it makes goes on to the steps.
    folder.write("try.jsonata", "{ \"contactData\": [{ \"type\": \"email\", \"value\": data.email }], \"lastName\": \"L\" }");
    folder.run(&base).exits(0).says("Name: L");
    // The connector's own mapping is pointed at in its own text.
    folder.write("records.json", r#"{"id":1,"email":5}"#);
    let shown = folder.run(&["map", NAME, "--record", "records.json"]).exits(7);
    shown.says("default mapping of cleverreach.getReceiversByGroupIdPolling:7:13");
}
