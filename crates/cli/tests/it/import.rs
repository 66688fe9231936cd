//! Flows of Open Integration Hub become flow files, and what they remember comes along.

use insta::assert_snapshot;

use crate::folder::{Folder, Vendors};

/// A flow as its repository gives it, with the function names of CleverReach's component.
const FLOW: &str = r#"{ "data": {
  "id": "5d1f429dbbe76eeb57af028e",
  "name": "Newsletter → shop",
  "description": "Keeps the shop's group in step.",
  "type": "ordinary", "status": "inactive", "tenant": "t", "cron": "*/5 * * * *",
  "graph": {
    "nodes": [
      { "id": "step_1", "componentId": "5cc1", "function": "getReceiversByGroupIdPolling",
        "name": "Newsletter", "credentials_id": "5d01",
        "fields": { "groupId": "1123825", "groupName": "Newsletter", "devMode": true,
                    "accessToken": "canary-1", "apiUrl": "https://rest.example.com/v3" },
        "nodeSettings": { "storeRawRecord": true, "applicationUid": "canary-2" } },
      { "id": "step_2", "componentId": "5cc1", "function": "upsertReceiver",
        "credentials_id": "5d02",
        "fields": { "groupId": "1123826",
                    "customMapping": "{\n  \"metadata\": metadata,\n  \"data\": { \"email\": data.contactData[0].value }\n}" },
        "nodeSettings": { "idLinking": true } }
    ],
    "edges": [{ "id": "e1", "source": "step_1", "target": "step_2", "config": {} }]
  }
} }"#;

#[test]
fn a_flow_becomes_a_file_with_notes_and_passes_the_check() {
    let folder = Folder::empty();
    folder.write("flow.json", FLOW);
    let made = folder.run(&["import", "flow.json"]).exits(0);
    assert_snapshot!(made.all(), @r#"
    made newsletter-shop.yaml
      flow: schedules had no time zone there: `cron` is in UTC, unless `timezone` says other
      flow: the flow was not active: a flow file in the folder of a service runs; leave `cron` out to run it by hand only
      flow: `tenant` is left out: flows are files, and whoever may read them owns them
      trigger: the field `devMode` is left out: `cleverreach.getReceiversByGroupIdPolling` has none like it
      trigger: `accessToken` is not copied: credentials belong to the account
      trigger: `groupName` is left out: `groupId` went before it there too
      trigger: a receiver was a message of each group that was read; here it is one with all its groups, unless `messages: perGroup` says other
      trigger: nodeSettings.storeRawRecord is left out: raw records are not stored: `towpath map` shows them
      trigger: nodeSettings.applicationUid is left out: there is no data hub, and nothing that needs it
      step_2: new receivers became active at once, which `activation: keep` goes on with; with `doubleOptIn` and a `formId` they are asked to confirm
      step_2: nodeSettings.idLinking is left out: there is no data hub: actions find their records by what the systems know them by, such as the e-mail address
      add the account: towpath account add cleverreach --connector cleverreach --base-url 'https://rest.example.com/v3'
      add the account: towpath account add cleverreach-2 --connector cleverreach
    "#);
    assert_snapshot!(folder.read("newsletter-shop.yaml"), @r#"
    # Made of a flow of Open Integration Hub by `towpath import`.
    flow: newsletter-shop
    about: "Keeps the shop's group in step."
    # schedules had no time zone there: `cron` is in UTC, unless `timezone` says other
    # the flow was not active: a flow file in the folder of a service runs; leave `cron` out to run
    # it by hand only
    # `tenant` is left out: flows are files, and whoever may read them owns them

    trigger:
      # Newsletter
      # the field `devMode` is left out: `cleverreach.getReceiversByGroupIdPolling` has none like it
      # `accessToken` is not copied: credentials belong to the account
      # `groupName` is left out: `groupId` went before it there too
      # a receiver was a message of each group that was read; here it is one with all its groups,
      # unless `messages: perGroup` says other
      # nodeSettings.storeRawRecord is left out: raw records are not stored: `towpath map` shows
      # them
      # nodeSettings.applicationUid is left out: there is no data hub, and nothing that needs it
      use: cleverreach.getReceiversByGroupIdPolling
      account: cleverreach
      cron: "*/5 * * * *"
      fields:
        groupId: "1123825"

    steps:
      - id: step_2
        # new receivers became active at once, which `activation: keep` goes on with; with
        # `doubleOptIn` and a `formId` they are asked to confirm
        # nodeSettings.idLinking is left out: there is no data hub: actions find their records by
        # what the systems know them by, such as the e-mail address
        use: cleverreach.upsertReceiver
        account: cleverreach-2
        fields:
          groupId: "1123826"
          activation: keep
          customMapping: |
            (
            {
              "metadata": metadata,
              "data": { "email": data.contactData[0].value }
            }
            ).data
    "#);
    assert!(!folder.read("newsletter-shop.yaml").contains("canary"));
    folder.run(&["import", "flow.json"]).exits(4).says("newsletter-shop.yaml is there already");
    let account = |name: &str| {
        format!(
            "  {name}:\n    connector: cleverreach\n    clientId: a\n    clientSecret: {{ env: SECRET }}\n"
        )
    };
    let config = format!("accounts:\n{}{}", account("cleverreach"), account("cleverreach-2"));
    folder.write("towpath.yaml", &config);
    folder.run(&["check", "newsletter-shop.yaml"]).exits(0).says("0 mistakes, 0 warnings");
    let again = folder.run(&["import", "flow.json", "--stdout"]).exits(0);
    assert!(!again.err.contains("account add"), "{}", again.err);
    assert_eq!(again.out, folder.read("newsletter-shop.yaml"));
}

#[test]
fn what_is_not_known_is_in_the_file_and_found_there() {
    let folder = Folder::empty();
    let flow = FLOW
        .replace("upsertReceiver", "upsertPerson")
        .replace("5cc1\", \"function\": \"upsert", "snazzy\", \"function\": \"upsert");
    let made = folder.run_with(&["import", "-"], flow.as_bytes()).exits(3);
    let made = made.says("use: snazzy.upsertPerson").says("TP0120");
    made.says("step_2: no connector here has what the component snazzy calls `upsertPerson`");
    let renamed = flow.replace("upsertPerson", "request");
    let args = ["import", "-", "--component", "snazzy=http"];
    folder.run_with(&args, renamed.as_bytes()).says("use: http.request");
    let wrong = folder.run_with(&["import", "-", "--component", "snazzy=crm"], flow.as_bytes());
    wrong.exits(4).says("there is no connector crm");
    folder.run_with(&["import", "-"], b"{}").exits(4).says("no `graph`");
}

#[test]
fn a_flow_goes_on_where_it_was_there() {
    let vendors = Vendors::with(60);
    let folder = Folder::empty();
    let flow = FLOW.replace("\"cron\": \"*/5 * * * *\",", "").replace("customMapping", "nothing");
    folder.write("flow.json", &flow);
    folder.run(&["import", "flow.json"]).exits(0);
    let credentials = vendors.sandbox.credentials();
    let account = |name: &str| {
        format!(
            "  {name}:\n    connector: cleverreach\n    baseUrl: {}\n    clientId: {}\n    clientSecret: {{ env: SECRET }}\n",
            vendors.sandbox.cleverreach_url(),
            credentials.client_id
        )
    };
    folder.write(
        "towpath.yaml",
        &format!("accounts:\n{}{}", account("cleverreach"), account("cleverreach-2")),
    );
    let env = |args: &[&str]| folder.run_env(args, "SECRET", &credentials.client_secret);
    // What no time shows would be sent once: nothing is known of it.
    let file = folder.read("newsletter-shop.yaml");
    folder.write("newsletter-shop.yaml", &file.replacen("  fields:", "  sweep: off\n  fields:", 1));
    let now = vendors.sandbox.now();
    // As the service of snapshots has it.
    folder.write(
        "snapshot.json",
        &format!(
            r#"{{ "flowId": "5d1f", "stepId": "step_1", "snapshot": {{ "lastUpdated": {now} }} }}"#
        ),
    );
    env(&["state", "import", "newsletter-shop", "snapshot.json"])
        .exits(0)
        .says("goes on from there");
    env(&["run", "newsletter-shop", "--once"]).exits(0).says("completed").says(" 0 delivered");
}
