//! A new project is right from the start, and nothing that is there is overwritten.

use crate::folder::{Folder, Vendors};

const NAME: &str = "cleverreach-to-clevertap";

#[test]
fn a_new_project_passes_its_own_check_and_test() {
    let folder = Folder::empty();
    let made = folder.run(&["new", "shop"]).exits(0);
    made.says("made shop/towpath.yaml").says("towpath secret set clevertap-passcode");
    let root = folder.path("shop");
    for args in [["check"], ["test"]] {
        let config = root.join("towpath.yaml");
        folder.run(&["--config", config.to_str().unwrap(), args[0]]).exits(0);
    }
    let flow = folder.read(&format!("shop/flows/{NAME}.yaml"));
    assert!(flow.starts_with("# yaml-language-server: $schema=../.towpath/flow.schema.json\n"));
    let schema = folder.read("shop/.towpath/flow.schema.json");
    assert!(schema.contains("cleverreach.getReceiversPolling"), "{schema}");
    assert_eq!(folder.read("shop/.gitignore"), ".towpath/\n");
}

#[test]
fn every_trigger_goes_with_every_action() {
    for action in ["clevertap.uploadProfiles", "cleverreach.upsertReceiver"] {
        for trigger in
            ["cleverreach.getReceiversPolling", "cleverreach.getReceiversByGroupIdPolling"]
        {
            let folder = Folder::empty();
            let args = ["new", "--trigger", trigger, "--action", action, "--name", "both"];
            folder.run(&args).exits(0);
            folder.run(&["check"]).exits(0).says("0 mistakes, 0 warnings");
            folder.run(&["test"]).exits(0).says("1 passed, 0 failed");
        }
    }
    let alerts = ["flowFailing", "deadLettered", "accountPaused"].map(|it| format!("towpath.{it}"));
    for trigger in alerts.iter().map(String::as_str).chain(["http.received"]) {
        let folder = Folder::empty();
        let args = ["new", "--trigger", trigger, "--action", "http.request", "--name", "both"];
        folder.run(&args).exits(0).says("towpath serve");
        assert!(!folder.read("towpath.yaml").contains("  towpath:\n"));
        let flow = folder.read("flows/both.yaml");
        assert_eq!(flow.contains("\n  account: "), trigger == "http.received", "{flow}");
        folder.run(&["check"]).exits(0).says("0 mistakes");
        folder.run(&["test"]).exits(0).says("1 passed, 0 failed");
    }
    let unknown = Folder::empty().run(&["new", "--trigger", "crm.changed"]).exits(4);
    unknown.says("no trigger crm.changed").says("cleverreach.getReceiversPolling");
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let folder = Folder::empty();
    folder.write(".gitignore", "target");
    folder.run(&["new"]).exits(0);
    assert_eq!(folder.read(".gitignore"), "target\n.towpath/\n");
    let before: Vec<_> = folder.files(".").iter().map(std::fs::read).map(Result::unwrap).collect();
    folder.run(&["new"]).exits(4).says(&format!("flows/{NAME}.yaml is there already"));
    folder.run(&["new", "--name", "Not a name"]).exits(4).says("cannot be called `Not a name`");
    let after: Vec<_> = folder.files(".").iter().map(std::fs::read).map(Result::unwrap).collect();
    assert!(before == after, "something was written");

    // Into a project that has no account of the other system yet: the flow alone, and what it lacks.
    folder.write(
        "towpath.yaml",
        "accounts:\n  shop: { connector: clevertap, projectId: A-1, passcode: { env: P } }\n",
    );
    let config = folder.read("towpath.yaml");
    let added = folder.run(&["new", "--name", "second"]).exits(0);
    added.says("made flows/second.yaml").says("Add to `accounts` in towpath.yaml");
    assert_eq!(folder.read("towpath.yaml"), config);
    assert!(folder.read("flows/second.yaml").contains("account: shop\n"));
    folder.run(&["check", "flows/second.yaml"]).exits(3).says("no account `cleverreach`");
}

#[test]
fn names_that_yaml_reads_otherwise_and_folders_with_spaces_are_quoted() {
    let folder = Folder::empty();
    folder.run(&["new", "my folder", "--name", "123"]).exits(0).says("cd 'my folder'");
    assert!(folder.read("my folder/flows/123.yaml").contains("\nflow: \"123\"\n"));
    folder.run(&["check", "--config", "my folder/towpath.yaml"]).exits(0);
}

#[test]
fn a_flow_for_the_sandbox_uses_no_account_of_the_real_system() {
    let folder = Folder::empty();
    folder.run(&["new"]).exits(0);
    let second = folder.run(&["new", "--name", "second", "--sandbox"]).exits(0);
    let second = second.says("Add to `accounts`").says("  cleverreach-sandbox:\n");
    second.says("echo not-a-secret | towpath secret set cleverreach-sandbox-client-secret");
    assert!(folder.read("flows/second.yaml").contains("account: cleverreach-sandbox "));

    let folder = Folder::empty();
    folder.run(&["new", "--sandbox"]).exits(0);
    folder.run(&["new", "--name", "second", "--sandbox"]).exits(0);
    assert!(folder.read("flows/second.yaml").contains("account: cleverreach "));
    folder.run(&["check"]).exits(0);
}

#[test]
fn a_project_for_the_sandbox_runs_with_what_is_printed() {
    let vendors = Vendors::with(7);
    let folder = Folder::empty();
    let made = folder.run(&["new", "--sandbox"]).exits(0);
    // What is typed next is taken from the output; only the ports are others here.
    let mut secrets = 0;
    for line in made.out.lines() {
        let Some((value, name)) = line
            .trim()
            .strip_prefix("echo ")
            .and_then(|rest| rest.split_once(" | towpath secret set "))
        else {
            continue;
        };
        folder.run_with(&["secret", "set", name], format!("{value}\n").as_bytes()).exits(0);
        secrets += 1;
    }
    assert_eq!(secrets, 2, "{}", made.out);
    let config = folder.read("towpath.yaml");
    let config = config.replace("http://127.0.0.1:4010/v3", &vendors.sandbox.cleverreach_url());
    folder.write(
        "towpath.yaml",
        &config.replace("http://127.0.0.1:4020", &vendors.sandbox.clevertap_url()),
    );
    folder.run(&["map", NAME, "--poll", "--count", "2"]).exits(0).says("would send");
    folder.run(&["run", NAME, "--once"]).exits(0).says("7 delivered");
    folder.run(&["map", NAME, "--poll"]).exits(0).says("nothing new");
}

#[test]
fn shells_learn_the_commands() {
    let folder = Folder::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        folder.run(&["completions", shell]).exits(0).says("dead-letters").says("mapping");
    }
    folder.run(&["completions", "tcsh"]).exits(2).says("elvish");
}

#[test]
fn schemas_are_written_again() {
    let folder = Folder::empty();
    folder.write(".towpath/flow.schema.json", "of an older version");
    folder.run(&["schema", "--write"]).exits(0).says("towpath.schema.json");
    let printed = folder.run(&["schema", "flow"]).exits(0).out;
    assert_eq!(folder.read(".towpath/flow.schema.json"), printed);
}
