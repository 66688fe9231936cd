//! Orders killed with SIGKILL in the middle: deletions that are undone while they wait, and batches that
//! take several calls.

use crate::folder::Vendors;
use crate::killed::{LEAVERS, gone, leaving, project};

/// Where a flow of deletions is killed whose people are created anew while they wait, what becomes of
/// such, and how many are noted as gone.
const RECREATED: &[(&str, &str, usize)] = &[
    ("engine.commit.done:1", "confirm", 5),
    ("engine.check.next:1", "confirm", 5),
    ("engine.check.answered:1", "confirm", 5),
    ("engine.parked.settled:1", "confirm", 5),
    ("engine.commit.done:1", "refuse", 0),
    ("engine.check.answered:1", "refuse", 0),
    ("engine.check.kept:1", "refuse", 0),
];

#[test]
fn a_deletion_after_which_somebody_is_created_anew_is_told_once_although_it_was_killed() {
    for (point, recreated, done) in RECREATED {
        let vendors = Vendors::with(5);
        let mut switches = vendors.sandbox.switches();
        switches.recreate_deleted = true;
        vendors.sandbox.set_switches(switches);
        let own = "account: engagement\n  - id: noted";
        let fields = format!("account: engagement\n    fields: {{ recreated: {recreated} }}");
        let flow = LEAVERS.replace(own, &format!("{fields}\n  - id: noted"));
        let folder = leaving(&vendors, &flow);
        let run = ["run", "leavers", "--once"];
        if point.starts_with("engine.commit") {
            assert!(folder.killed_at(&run, point), "{point}");
            vendors.sandbox.advance_clock(60);
        } else {
            folder.run(&run).exits(0).says("5 not finished yet");
            vendors.sandbox.advance_clock(60);
            // What waits is asked after when it is time.
            while !folder.killed_at(&run, point) {}
        }
        let letters = || folder.run(&["dead-letters", "list", "--json"]).exits(0).json();
        while gone(&folder).len() + letters().len() < 5 {
            folder.run(&run).exits(0);
        }
        // What was noted before it was killed is settled now, and not noted again.
        folder.run(&run).exits(0);
        assert_eq!(gone(&folder).len(), *done, "{point} {recreated}");
        let letters = letters();
        let codes: Vec<_> = letters.iter().filter_map(|it| it["code"].as_str()).collect();
        assert_eq!(codes, vec!["recreated"; 5 - *done], "{point} {recreated}");
        assert_eq!(vendors.sandbox.ordered().len(), 1, "{point} {recreated}");
    }
}

/// Sends each receiver a message; two of five get the same.
const LETTERS: &str = r#"
flow: letters
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  fields: { groupName: Newsletter }
steps:
  - id: written
    use: clevertap.sendToUsers
    account: engagement
    fields:
      channel: email
      customMapping: |
        { "identity": metadata.recordUid,
          "content": { "subject": "Hello", "body": "You are " & ($number(metadata.recordUid) % 4) } }
"#;

/// Raises a business event for each receiver.
const BULLETINS: &str = r#"
flow: bulletins
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  fields: { groupName: Newsletter }
steps:
  - id: raised
    use: clevertap.triggerCampaign
    account: engagement
    fields:
      businessEvent: Joined
      customMapping: '{ "name": metadata.recordUid }'
"#;

#[test]
fn a_kill_between_two_calls_of_a_batch_leaves_in_doubt_what_was_under_way_alone() {
    // What is killed, where; the calls that were taken by then and those in the end, and what is in
    // doubt. The first call of the letters is for two.
    let table = [
        ("letters", LETTERS, "engine.intent.next:1", 0, 4, 0),
        ("letters", LETTERS, "engine.batch.answered:1", 1, 4, 2),
        ("letters", LETTERS, "engine.outcome.kept:1", 1, 4, 0),
        ("letters", LETTERS, "engine.intent.kept:3", 2, 3, 1),
        ("letters", LETTERS, "engine.batch.answered:3", 3, 4, 1),
        ("letters", LETTERS, "engine.batch.answered:4", 4, 4, 1),
        ("bulletins", BULLETINS, "engine.batch.answered:3", 3, 5, 1),
        ("bulletins", BULLETINS, "engine.outcome.kept:3", 3, 5, 0),
    ];
    for (name, flow, point, by_then, in_the_end, in_doubt) in table {
        let vendors = Vendors::with(5);
        let folder = project(&vendors, flow, name);
        let run = ["run", name, "--once"];
        assert!(folder.killed_at(&run, point), "{point}");
        assert_eq!(vendors.sandbox.ordered().len(), by_then, "{name} {point}");
        folder.run(&run);
        folder.run(&run).exits(0).says("0 delivered");
        let orders: Vec<_> = vendors.sandbox.ordered().into_iter().map(|it| it.body).collect();
        let different: std::collections::BTreeSet<_> =
            orders.iter().map(ToString::to_string).collect();
        assert_eq!((orders.len(), different.len()), (in_the_end, in_the_end), "{name} {point}");
        let letters = folder.run(&["dead-letters", "list", "--json"]).exits(0).json();
        assert!(letters.iter().all(|it| it["code"] == "inDoubt"), "{letters:?}");
        assert_eq!(letters.len(), in_doubt, "{name} {point}");
    }
}
