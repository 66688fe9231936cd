//! Secrets: sealed, listed without their values, and found by the accounts that name them.

use serde_json::json;

use crate::folder::{FLOW, Folder, NAME, Vendors};

/// A project whose accounts name their secrets in the vault.
fn project(vendors: &Vendors) -> Folder {
    let folder = Folder::empty();
    folder.write("towpath.yaml", &vendors.config("{ secret: reach }", "{ secret: tap }"));
    folder.write(&format!("flows/{NAME}.yaml"), FLOW);
    folder
}

#[test]
fn a_flow_runs_with_the_secrets_of_the_vault() {
    let vendors = Vendors::with(5);
    let credentials = vendors.sandbox.credentials();
    let folder = project(&vendors);
    // Neither looks anything up.
    folder.run(&["check"]).exits(0).says("0 mistakes");
    folder.run(&["test"]).exits(0);
    let missing = folder.run(&["run", NAME, "--once"]).exits(4).says("account \"newsletter\"");
    missing.says("`clientSecret`").says("run `towpath secret set reach`");
    assert!(!folder.path(".towpath").exists(), "a run that lacks a secret made a store");

    let set = folder.run_with(&["secret", "set", "reach"], credentials.client_secret.as_bytes());
    set.exits(0).says("made a new key").says("reach: set");
    folder.run(&["run", NAME, "--once"]).exits(4).says("`towpath secret set tap`");
    let passcode = format!("{}\r\n", credentials.passcode);
    folder.run_with(&["secret", "set", "tap"], passcode.as_bytes()).exits(0);
    folder.run(&["run", NAME, "--once"]).exits(0).says("5 delivered");

    // A wrong one is refused by the system, and can be replaced.
    folder.run_with(&["secret", "set", "tap"], b"AAA-BBB-CCCC\n").exits(0).says("tap: replaced");
    let config = folder.read("towpath.yaml");
    folder.write("other.yaml", &config.replace("secret: tap", "secret: nowhere"));
    let other = folder.run(&["--config", "other.yaml", "run", NAME, "--once"]).exits(4);
    other.says("`towpath secret set nowhere --config other.yaml`");
    folder.run(&["state", "reset", NAME]).exits(0);
    folder.run(&["run", NAME, "--once"]).exits(6).says("step \"profiles\"");
}

#[test]
fn secrets_are_listed_by_name_with_who_uses_them() {
    let vendors = Vendors::with(1);
    let folder = project(&vendors);
    let nothing = folder.run(&["secret", "list"]).exits(0);
    nothing.says("missing").says("towpath secret set reach");
    assert!(!folder.path(".towpath").exists(), "who only looks made a store");
    folder.run_with(&["secret", "set", "reach"], b"not-a-real-secret\n").exits(0);
    let unused = folder.run_with(&["secret", "set", "old.one"], b"not-used\n").exits(0);
    unused.says("no account of towpath.yaml uses it yet").says("{ secret: old.one }");

    let listed = folder.run(&["secret", "list", "--json"]).exits(0);
    assert!(!listed.all().contains("not-"), "{}", listed.all());
    let lines = listed.json();
    let names: Vec<_> = lines.iter().map(|line| line["secret"].as_str().unwrap()).collect();
    assert_eq!(names, ["old.one", "reach", "tap"]);
    let accounts: Vec<_> = lines.iter().map(|line| line["accounts"].clone()).collect();
    assert_eq!(accounts, [json!([]), json!(["newsletter"]), json!(["engagement"])]);
    assert!(lines[1]["set"].as_str().unwrap().ends_with('Z') && lines[2]["set"].is_null());

    folder.run(&["secret", "rm", "reach"]).exits(0).says("reach: removed").says("newsletter");
    folder.run(&["secret", "rm", "old.one"]).exits(0);
    folder.run(&["secret", "rm", "old.one"]).exits(4).says("there is no secret old.one");
    folder.run(&["run", NAME, "--once"]).exits(4).says("towpath secret set reach");
}

#[test]
fn what_is_no_secret_is_refused_and_what_is_one_lies_sealed() {
    let folder = Folder::empty();
    folder.run_with(&["secret", "set", "crm"], b"value").exits(4).says("no towpath.yaml here");
    folder.write("towpath.yaml", "accounts: {}\n");
    let argument = folder.run(&["secret", "set", "crm", "hunter2"]).exits(2);
    let argument = argument.says("never an argument").says("`towpath secret set crm`");
    assert!(!argument.all().contains("hunter2"), "{}", argument.all());
    folder.run_with(&["secret", "set", "crm"], b"\n").exits(4).says("empty");
    folder.run_with(&["secret", "set", "crm"], b"two\nlines\n").exits(4).says("line break");
    folder.run_with(&["secret", "set", "no name"], b"x").exits(2).says("at most 100");
    assert!(!folder.path(".towpath").exists(), "a value that is refused made a store");
    let (name, value) = ("name-of-a-secret", "not-a-real-but-findable-secret");
    for value in [value.to_owned(), format!("{value}-replaced")] {
        let set = folder.run_with(&["secret", "set", name], value.as_bytes()).exits(0);
        assert!(!set.all().contains("findable"), "{}", set.all());
    }
    folder.run(&["secret", "list"]).exits(0).says(name);
    for file in folder.files(".towpath") {
        let bytes = std::fs::read(&file).unwrap();
        for text in ["findable", name] {
            let holds = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!holds, "{text} lies open in {}", file.display());
        }
    }
}
