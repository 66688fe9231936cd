//! Commands killed with SIGKILL in the middle: nothing is lost, and nothing is sent twice unasked.

use serde_json::json;

use crate::folder::{FLOW, Folder, NAME, Vendors};

const EVENTS: &str = "events";
const RECEIVERS: u64 = 5;

/// Raises an event for every receiver, with this name; an empty one is refused.
fn events(name: &str) -> String {
    format!(
        r#"
flow: events
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  fields: {{ groupName: Newsletter }}
steps:
  - id: joined
    use: clevertap.uploadEvents
    account: engagement
    fields:
      event: Newsletter changed
      source: ExamplePartner
      customMapping: |
        {{ "identity": metadata.recordUid, "evtName": {name} }}
"#
    )
}

pub(crate) fn project(vendors: &Vendors, flow: &str, name: &str) -> Folder {
    let folder = Folder::empty();
    let credentials = vendors.sandbox.credentials();
    folder.write("towpath.yaml", &vendors.config("{ file: reach }", "{ file: tap }"));
    folder.write("reach", &credentials.client_secret);
    folder.write("tap", &credentials.passcode);
    folder.write(&format!("flows/{name}.yaml"), flow);
    folder
}

/// Deletes everybody for good, and notes who is gone.
pub(crate) const LEAVERS: &str = r#"
flow: leavers
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  fields: { groupName: Newsletter }
steps:
  - id: gone
    use: clevertap.deleteProfiles
    account: engagement
  - id: noted
    use: file.append
    account: files
    fields:
      path: gone.ndjson
      customMapping: '{ "record": $steps.gone.identity & " " & $steps.gone.delete }'
"#;

/// The flow of deletions, and CleverTap with a device of everybody.
pub(crate) fn leaving(vendors: &Vendors, flow: &str) -> Folder {
    let folder = project(vendors, flow, "leavers");
    let config = folder.read("towpath.yaml");
    let files = format!("  files: {{ connector: file, folder: {:?} }}\n", folder.path(""));
    folder.write("towpath.yaml", &(config + &files));
    for receiver in vendors.sandbox.receivers() {
        vendors.sandbox.add_device(&receiver.id, &format!("__g{}", receiver.id));
    }
    folder
}

/// Who is noted as gone, sorted.
pub(crate) fn gone(folder: &Folder) -> Vec<String> {
    let noted = std::fs::read_to_string(folder.path("gone.ndjson")).unwrap_or_default();
    let mut noted: Vec<_> = noted.lines().map(str::to_owned).collect();
    noted.sort();
    noted
}

/// Where a flow of deletions is killed, and whether anything was kept by then.
const DELETED: &[(&str, bool)] = &[
    ("engine.batch.answered:1", false),
    ("engine.commit.done:1", true),
    ("engine.check.next:1", true),
    ("engine.check.answered:1", true),
    ("engine.check.kept:1", true),
    ("engine.parked.delivered:1", true),
    ("engine.parked.settled:1", true),
];

#[test]
fn a_verified_deletion_survives_being_killed_while_it_waits() {
    for (point, was_kept) in DELETED {
        let vendors = Vendors::with(5);
        let mut switches = vendors.sandbox.switches();
        switches.deletion_seconds = 3_600;
        vendors.sandbox.set_switches(switches);
        let folder = leaving(&vendors, LEAVERS);
        let people: Vec<_> = vendors.sandbox.receivers().into_iter().map(|it| it.id).collect();
        let run = ["run", "leavers", "--once"];
        let gone = || gone(&folder);
        let waits = !point.starts_with("engine.batch") && !point.starts_with("engine.commit");
        if waits {
            folder.run(&run).exits(0).says("5 not finished yet");
        }
        let is_gone = waits && !point.starts_with("engine.check.kept");
        if is_gone {
            vendors.sandbox.advance_clock(3_600);
        }
        // What waits is asked after when it is time: a run before that comes to no such point.
        while !folder.killed_at(&run, point) {}
        // While CleverTap still has the profile, nothing is taken for done.
        if !is_gone {
            folder.run(&run).exits(0);
            assert_eq!(gone(), [""; 0], "{point}");
            vendors.sandbox.advance_clock(3_600);
        }
        while gone().len() < 5 {
            folder.run(&run).exits(0);
        }
        let mut expected: Vec<_> = people.iter().map(|id| format!("\"{id} confirmed\"")).collect();
        expected.sort();
        // What was noted before it was killed is settled now, and not noted again.
        while !folder.run(&run).exits(0).all().contains("0 delivered") {}
        assert_eq!(gone(), expected, "{point}");
        let orders = vendors.sandbox.ordered().len();
        assert_eq!(orders, if *was_kept { 1 } else { 2 }, "{point}");
    }
}

/// Uploads a file for every receiver, and notes which is there.
fn files(action: &str, row: &str) -> String {
    format!(
        r#"
flow: files
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  fields: {{ groupName: Newsletter }}
steps:
  - id: file
    use: clevertap.{action}
    account: engagement
    fields:
      name: Spring
      creator: Jane
      email: jane@example.com
      customMapping: |
        {{ "rows": [{row}] }}
  - id: noted
    use: file.append
    account: files
    fields:
      path: there.ndjson
      customMapping: '{{ "record": $steps.file.name }}'
"#
    )
}

const PRODUCT: &str =
    r#"{ "Identity": "1", "Name": "Jeans", "ImageURL": "i", "Category": "Wear" }"#;

/// Where an upload in stages is killed; how often its file was written and told of in the end. In the
/// middle of a stage that stage is done once more: the same file goes to the same address, and what
/// CleverTap heard of it is told again.
const STAGED: &[(&str, usize, usize)] = &[
    ("engine.batch.answered:1", 1, 1),
    ("engine.commit.done:1", 1, 1),
    ("engine.check.next:1", 1, 1),
    ("engine.check.answered:1", 2, 1),
    ("engine.check.kept:1", 1, 1),
    ("engine.check.answered:2", 1, 1),
    ("engine.check.kept:2", 1, 1),
    ("engine.check.next:3", 1, 1),
    ("engine.check.answered:3", 1, 2),
    ("engine.parked.delivered:1", 1, 2),
    ("engine.parked.settled:1", 1, 1),
];

#[test]
fn an_upload_in_stages_that_is_killed_goes_on_at_its_stage() {
    let uploads = [
        ("uploadCatalog", PRODUCT, "POST /upload_catalog_completed"),
        (
            "uploadCustomList",
            r#"{ "identity": metadata.recordUid }"#,
            "POST /upload_custom_list_segment_completed",
        ),
    ];
    for ((action, row, completed), (point, written, told)) in
        uploads.iter().flat_map(|upload| STAGED.iter().map(move |killed| (upload, killed)))
    {
        let vendors = Vendors::with(1);
        let folder = project(&vendors, &files(action, row), "files");
        let config = folder.read("towpath.yaml");
        let files = format!("  files: {{ connector: file, folder: {:?} }}\n", folder.path(""));
        folder.write("towpath.yaml", &(config + &files));
        let run = ["run", "files", "--once"];
        // What waits is asked after when it is time: a run before that comes to no such point.
        while !folder.killed_at(&run, point) {}
        while folder.run(&run).exits(0).all().contains("not finished yet") {}
        let there = std::fs::read_to_string(folder.path("there.ndjson")).unwrap();
        assert_eq!(there, "\"Spring\"\n", "{action} {point}");
        let letters = folder.run(&["dead-letters", "list", "--state", "any", "--json"]).exits(0);
        assert!(letters.json().is_empty(), "{action} {point}: {}", letters.all());
        let stats = vendors.sandbox.stats().clevertap;
        let asked = |what: &str| {
            let counts = stats.requests.iter().filter(|(to, _)| to.starts_with(what));
            usize::try_from(counts.map(|(_, count)| count).sum::<u64>()).unwrap()
        };
        let counts = (asked("PUT /files/"), asked(completed));
        assert_eq!(counts, (*written, *told), "{action} {point}");
        let ordered = vendors.sandbox.ordered();
        let of = |what: &str| {
            let of = ordered.iter().filter(|it| it.to.starts_with(what));
            of.map(|it| it.body.clone()).collect::<Vec<_>>()
        };
        // One file, at one address, and one list of it.
        let mut files = of("PUT /files/");
        files.dedup();
        assert_eq!(files.len(), 1, "{action} {point}: {files:?}");
        let mut told = of(completed);
        told.dedup();
        assert_eq!(told.len(), 1, "{action} {point}: {told:?}");
        assert_eq!(vendors.sandbox.uploaded().len(), 1, "{action} {point}");
    }
}

/// Where a replay of events is killed, and whether they were sent by then.
const REPLAYED: &[(&str, bool)] = &[
    ("engine.run.leased:1", false),
    ("engine.intent.next:1", false),
    ("engine.intent.kept:1", false),
    ("engine.batch.next:1", false),
    ("engine.batch.answered:1", true),
    ("engine.outcome.kept:1", true),
    ("engine.commit.next:1", true),
    ("store.head.next:1", true),
    ("engine.commit.done:1", true),
];

#[test]
fn a_replay_that_is_killed_anywhere_sends_nothing_twice_and_loses_nothing() {
    for (point, was_sent) in REPLAYED {
        let vendors = Vendors::with(5);
        let folder = project(&vendors, &events("[1]"), EVENTS);
        folder.run(&["run", EVENTS, "--once"]).exits(0).says("5 refused");
        folder.write(&format!("flows/{EVENTS}.yaml"), &events("\"Newsletter changed\""));
        let accepted = || vendors.sandbox.stats().clevertap.events_accepted;

        assert!(folder.killed_at(&["dead-letters", "replay", "--all"], point), "{point}");
        assert_eq!(accepted(), if *was_sent { RECEIVERS } else { 0 }, "{point}");
        // Asked for once more, those go that surely were not sent; the others are told.
        let again = folder.run(&["dead-letters", "replay", "--all"]);
        assert!(accepted() == 0 || accepted() == RECEIVERS, "{point}: {}", again.all());
        let listed = folder.run(&["dead-letters", "list", "--state", "any", "--json"]).exits(0);
        let listed = listed.json();
        assert_eq!(listed.len() as u64, RECEIVERS, "{point}");
        for letter in listed {
            let stands = (&letter["state"], &letter["code"]);
            let told = stands.0 == &json!("replayed") || stands.1 == &json!("inDoubt");
            assert!(told, "{point}: {stands:?}");
            assert!(stands.0 != &json!("replayed") || accepted() == RECEIVERS, "{point}");
        }
    }
}

#[test]
fn why_tells_what_is_in_the_journal_and_what_comes_of_it() {
    let says = [
        ("engine.intent.kept:1", "hold", "no answer yet: in doubt if no run is at work"),
        ("engine.batch.answered:1", "hold", "the next run makes it a dead letter (inDoubt: hold)"),
        ("engine.batch.answered:1", "resend", "the next run sends it again (inDoubt: resend)"),
        ("engine.outcome.kept:1", "hold", "and taken; its page is not committed"),
    ];
    for (point, in_doubt, says) in says {
        let vendors = Vendors::with(1);
        let flow = events("\"Newsletter changed\"") + &format!("    inDoubt: {in_doubt}\n");
        let folder = project(&vendors, &flow, EVENTS);
        assert!(folder.killed_at(&["run", EVENTS, "--once"], point), "{point}");
        let why = folder.run(&["why", "279001"]).exits(0);
        why.says("sent by joined at").says(says);
        folder.run(&["run", EVENTS, "--once"]);
        let why = folder.run(&["why", "279001"]).exits(0).all();
        assert!(!why.contains("no answer yet") && !why.contains("not committed"), "{why}");
        let held = in_doubt == "hold" && !point.starts_with("engine.outcome");
        assert_eq!(why.contains("open: dead letter"), held, "{why}");
    }
}

#[test]
fn a_compaction_that_is_killed_anywhere_leaves_one_whole_store() {
    let points = [
        ("store.opened", 1),
        ("store.copy.begun", 1),
        ("store.copy.written", 1),
        ("store.copy.decided", 1),
        ("store.copy.taken", 1),
    ];
    let vendors = Vendors::with(500);
    let folder = project(&vendors, FLOW, NAME);
    folder.run(&["run", NAME, "--once"]).exits(0).says("500 delivered");
    for command in ["compact", "rekey"] {
        for (point, number) in points {
            let place = format!("{point}:{number}");
            let held = folder.killed_at(&["store", command], &place);
            assert!(held || point == "store.opened", "{command} {place}");
            folder.run(&["store", "verify"]).exits(0).says("0 damaged");
            folder.run(&["run", NAME, "--once"]).exits(0).says("0 delivered");
            let left: Vec<_> = ["fresh", "old"]
                .into_iter()
                .filter(|part| folder.path(&format!(".towpath/store/{part}")).exists())
                .collect();
            assert!(left.is_empty(), "{command} {place}: {left:?}");
        }
    }
    folder.run(&["store", "compact"]).exits(0).says("kept and read back");
}
