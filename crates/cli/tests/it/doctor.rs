//! The doctor: what is wrong is named, with its way out, and nothing is changed.

use serde_json::Value;

use crate::folder::{FLOW, Folder, NAME, Ran, Vendors};

const CANARY: &str = "CANARY-7d21-not-the-secret";

/// The verdict and words of a check about something.
#[track_caller]
fn check(ran: &Ran, check: &str, about: &str) -> (String, String) {
    let lines = ran.json();
    let is_it = |line: &&Value| line["check"] == check && line["about"] == about;
    let line = lines.iter().find(is_it).unwrap_or_else(|| panic!("no {check} in\n{}", ran.all()));
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    (text("verdict"), format!("{} {}", text("says"), text("wayOut")))
}

#[test]
fn what_is_wrong_is_named_with_its_way_out_and_stays_as_it_was() {
    let vendors = Vendors::with(3);
    let known = vendors.sandbox.credentials().clone();
    let folder = Folder::empty();
    folder.write("towpath.yaml", &vendors.config("{ file: secret }", "{ env: PASSCODE }"));
    folder.write("secret", &known.client_secret);
    folder.write(&format!("flows/{NAME}.yaml"), FLOW);
    let with = |args: &[&str]| folder.run_env(args, "PASSCODE", &known.passcode);

    // Before anything has run: no store and no key are made.
    let first = folder.run(&["doctor"]).exits(9).says("nothing has run here");
    first.says("PASSCODE is not set").says("→").says("1 error");
    assert!(!folder.path(".towpath").exists() && !folder.path(".config").exists());

    with(&["run", NAME, "--once"]).exits(0);
    let openings = || folder.run(&["store", "show", "--json"]).json()[0]["openings"].clone();
    let before = openings();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let owner = std::fs::Permissions::from_mode(0o600);
        let loose = with(&["doctor"]).exits(0);
        loose.says("everybody on this machine can get at it").says("chmod 600 secret");
        std::fs::set_permissions(folder.path("secret"), owner).unwrap();
    }
    with(&["doctor"]).exits(0).says("all is well");
    assert_eq!(openings(), before, "a look writes nothing");
    let online = with(&["doctor", "--online", "--json"]).exits(0);
    assert_eq!(check(&online, "online", "engagement").0, "ok");
    assert_eq!(check(&online, "state", "flows").0, "ok");

    // What a step names and its system has not.
    let lacking = FLOW.replace(NAME, "lacking").replace(
        "steps:\n",
        "steps:\n  - { id: visits, use: cleverreach.ensureAttributes, account: newsletter, fields: \
         { groupName: Newsletter, attributes: [{ name: visits }] } }\n",
    );
    folder.write("flows/lacking.yaml", &lacking);
    let lacking = with(&["doctor", "--online", "--json"]).exits(0);
    let (verdict, words) = check(&lacking, "lacking", "newsletter");
    assert!(verdict == "warning" && words.contains("lacking, step `visits`"), "{words}");
    assert!(words.contains("lacks `visits`") && words.contains("create: true"), "{words}");
    std::fs::remove_file(folder.path("flows/lacking.yaml")).unwrap();

    // Credentials that are refused, a file with a mistake, and a key that is gone.
    with(&["state", "reset", NAME]).exits(0);
    folder.run_env(&["run", NAME, "--once"], "PASSCODE", CANARY).exits(6);
    folder.write("flows/wrong.yaml", "flow: wrong\n");
    let args = ["doctor", "--online", "--json"];
    let ill = folder.run_env(&args, "PASSCODE", CANARY).exits(9);
    let (verdict, words) = check(&ill, "failing", NAME);
    assert!(verdict == "error" && words.contains("state show"), "{words}");
    let (verdict, words) = check(&ill, "paused", "engagement");
    assert!(verdict == "error" && words.contains("account resume engagement"), "{words}");
    let (verdict, words) = check(&ill, "flowFiles", "flows");
    assert!(verdict == "error" && words.contains("wrong.yaml"), "{words}");
    assert!(!ill.all().contains("CANARY") && !ill.all().contains(&known.client_secret));
    std::fs::remove_file(folder.path(".config/towpath/key")).unwrap();
    with(&["doctor"]).exits(9).says("bring the key back").says("no key was given");
    assert!(!folder.path(".config/towpath/key").exists(), "no new key is made");
}
