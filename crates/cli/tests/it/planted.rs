//! A project with an account of every kind, in each of which a secret is planted, and what is asked
//! of it.

use serde_json::json;

use crate::echo::Echo;
use crate::folder::Folder;

/// What every planted secret begins with.
pub(crate) const MARK: &str = "CANARY7Q";

/// A secret with whatever has to be escaped somewhere.
pub(crate) fn canary(name: &str) -> String {
    format!("{MARK}-{name}-a+b/c%d\"e=")
}

/// One of the characters alone that CleverTap has in its keys.
pub(crate) fn plain(name: &str) -> String {
    format!("{MARK}-{name}")
}

const HOOK: &str = "\
flow: in-NAME
trigger:
  use: http.received
  account: HOOKS
  fields: { AUTH, recordsAt: /items, keyAt: /id }
steps:
  - id: first
    use: http.request
    account: TO
    fields:
      path: /any/{status}
      customMapping: '{ \"path\": { \"status\": data.status }, \"body\": data }'
  - id: second
    use: http.request
    account: TO
    fields:
      path: /then/400
      customMapping: '{ \"body\": data }'
";

/// Tells of installs and events, each of which is answered as it is named.
const TOLD: &str = "\
flow: in-told
trigger:
  use: http.received
  account: hooks
  fields: { authentication: header, recordsAt: /items, keyAt: /id }
steps:
  - id: told
    use: clevertap.sendAttribution
    account: partner
    fields:
      platform: Android
      customMapping: |
        { \"event_type\": $string(data.status), \"device_identifier\": \"__g1\", \"platform\": \"iOS\" }
";

const POLL: &str = "\
flow: poll-NAME
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: FROM
  every: 366d
  fields: { groupId: \"GROUP\", messages: perGroup }
steps:
  - id: sent
    use: clevertap.uploadMANY
    account: tap
    fields: FIELDS
";

/// What is asked beside the service.
pub(crate) const BESIDE: &str = "
state show
account list
account status person
account test reach
account test tap
account test partner
account test person
account refresh person
account resume bearer
flow list
dead-letters list
dead-letters replay --all
secret list
token list
check
test
schedule
connectors
doctor
why header-200
why basic-400
why 1
serve --plan
store show
store backup all.towpath
state show in-header
state history in-header
state export in-header
state show in-basic
state history in-basic
state export in-basic
state show in-hmac
state history in-hmac
state export in-hmac
state show in-told
state history in-told
state export in-told
state show poll-profiles
state history poll-profiles
state export poll-profiles
state show poll-person
state history poll-person
state export poll-person
state show upsert
state history upsert
state export upsert
";

/// What is asked when no service holds the store.
pub(crate) const ALONE: &str = "
run poll-refused --once
run poll-person --dry-run
run poll-profiles --dry-run
run poll-events --once
map poll-profiles --poll
state show in-basic
state show in-told
dead-letters list
store verify
doctor
account logout person
account remove bearer --although-used
";

pub(crate) fn listed(commands: &str) -> Vec<Vec<&str>> {
    let lines = commands.lines().filter(|line| !line.is_empty());
    lines.map(|line| line.split(' ').collect()).collect()
}

pub(crate) fn project(echo: &Echo) -> Folder {
    let folder = Folder::empty();
    let url = &echo.url;
    let out = json!(folder.path("out")).to_string();
    folder.write(
        "towpath.yaml",
        &format!(
            "accounts:
  reach: {{ connector: cleverreach, baseUrl: '{url}/v3', clientId: app, clientSecret: {{ secret: reach }} }}
  refused: {{ connector: cleverreach, baseUrl: '{url}/v3', clientId: refused, clientSecret: {{ env: REFUSED }} }}
  person:
    connector: cleverreach
    baseUrl: '{url}/v3'
    grant: authorizationCode
    clientId: person
    clientSecret: {{ file: person }}
  tap: {{ connector: clevertap, baseUrl: '{url}', projectId: TES-T00-000Z, passcode: {{ file: tap }} }}
  partner:
    connector: clevertap
    baseUrl: '{url}'
    projectId: TES-T00-000Z
    passcode: {{ file: partner }}
    token: {{ secret: token }}
    partnerName: attribution partner
  bearer: {{ connector: http, baseUrl: '{url}', bearerToken: {{ secret: bearer }} }}
  basic: {{ connector: http, baseUrl: '{url}', user: ada, password: {{ env: BASIC }} }}
  key: {{ connector: http, baseUrl: '{url}', keyHeader: X-Key, apiKey: {{ file: key }} }}
  hooks: {{ connector: http, webhookUser: ada, webhookSecret: {{ secret: hooks }} }}
  files: {{ connector: file, folder: {out} }}
"
        ),
    );
    for name in ["person", "key"] {
        folder.write(name, &canary(name));
    }
    for name in ["tap", "partner"] {
        folder.write(name, &plain(name));
    }
    folder.write("flows/in-told.yaml", TOLD);
    folder.write("out/README", "");
    for (name, auth, to) in [
        ("header", "authentication: header", "bearer"),
        ("basic", "authentication: basic", "basic"),
        ("hmac", "authentication: hmac", "key"),
    ] {
        let flow = HOOK.replace("NAME", name).replace("HOOKS", "hooks");
        folder
            .write(&format!("flows/in-{name}.yaml"), &flow.replace("AUTH", auth).replace("TO", to));
    }
    let events = "{ event: Joined, source: Example, customMapping: \
                  '{ \"identity\": metadata.recordUid, \"evtName\": \"Joined\" }' }";
    let profiles = "{ customMapping: '{ \"identity\": metadata.recordUid, \"profileData\": {} }' }";
    for (name, from, group, many, fields) in [
        ("profiles", "reach", "1", "Profiles", profiles),
        ("events", "reach", "1", "Events", events),
        ("refused", "refused", "1", "Profiles", profiles),
        ("person", "person", "9", "Profiles", profiles),
    ] {
        let flow = POLL.replace("NAME", name).replace("FROM", from).replace("GROUP", group);
        let flow = flow.replace("MANY", many).replace("FIELDS", fields);
        // One waits until it is told to run.
        let flow = if name == "events" { flow.replace("  every: 366d\n", "") } else { flow };
        folder.write(&format!("flows/poll-{name}.yaml"), &flow);
    }
    folder.write(
        "flows/upsert.yaml",
        "flow: upsert\ntrigger: { use: http.received, account: hooks, fields: { authentication: none } }\n\
         steps:\n  - id: written\n    use: cleverreach.upsertReceiver\n    account: reach\n    fields:\n      \
         groupId: \"9\"\n      customMapping: '{ \"email\": data.email }'\n  - id: kept\n    \
         use: file.append\n    account: files\n    fields: { path: kept.ndjson }\n",
    );
    folder
}
