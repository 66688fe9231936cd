//! Receivers of several groups: one message for each, with all its groups, and every kind of change.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use connector::Timestamp;
use engine::{Report, Snapshot};
use sandbox::{Action, Fault, GroupSeed, Options, Stamp, Switches, Touch, Vendor, What};
use serde_json::{Map, Value, json};
use towpath_tests::{World, world::START};

const FILTER: &str = "POST /v3/receivers/filter";
const LIST: &str = "GET /v3/groups/{id}/receivers";
const GROUPS: &str = "GET /v3/groups";
const MEMBERSHIPS: &str = "GET /v3/receivers/{id}/groups";
const VIEW: &str = "GET /v3/groups/{id}/receivers/{id}";

const FLOW: &str = r#"
flow: everybody
about: A profile for each receiver, with the names of its groups.
trigger:
  use: cleverreach.getReceivers
  account: newsletter
  every: 5m
  sweep: 1h
  fields:
    skipTransformation: true
    pageSize: 100
steps:
  - id: profiles
    use: clevertap.uploadProfiles
    account: engagement
    fields:
      customMapping: |
        {
          "identity": metadata.recordUid,
          "profileData": {
            "Groups": $join(data.groups.name, "+"),
            "Own": $join(data.groups.(attributes.nick ? attributes.nick : "-"), ""),
            "Name": data.global_attributes.lastname
          }
        }
"#;

const DELETES: &str = r#"
  - id: gone
    use: clevertap.uploadProfiles
    account: engagement
    after: trigger
    for: deletes
    fields:
      customMapping: |
        { "identity": metadata.recordUid, "profileData": { "Groups": "none" } }
"#;

/// Newsletter has everybody, Customers every second, Partners every fifth; Events has nobody yet.
fn groups() -> Vec<GroupSeed> {
    vec![
        GroupSeed::new(11, "Newsletter", 1),
        GroupSeed::new(12, "Customers", 2),
        GroupSeed::new(13, "Partners", 5),
        GroupSeed::new(14, "Events", 0),
    ]
}

struct Story {
    world: World,
    flow: Arc<flow::Flow>,
}

impl Story {
    /// A flow that has moved all of these receivers once.
    async fn of(receivers: usize, text: &str) -> Self {
        let story = Self::beginning(receivers, text, Switches::default()).await;
        assert_eq!(story.run().await, receivers as u64);
        story
    }

    async fn beginning(receivers: usize, text: &str, switches: Switches) -> Self {
        let options = Options { receivers, groups: groups(), switches, ..Options::default() };
        let world = World::of(options).await;
        let flow = world.flow(text);
        Self { world, flow }
    }

    async fn report(&self) -> Report {
        self.world.sandbox.reset_stats();
        let report = self.world.run(&self.flow).await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        report
    }

    /// Runs the flow; says how many messages arrived.
    async fn run(&self) -> u64 {
        self.report().await.counts.delivered
    }

    /// The same when the next sweep is due.
    async fn sweep(&self) -> u64 {
        self.pass(3600);
        let delivered = self.run().await;
        assert!(self.asked(LIST) > 0, "it swept");
        delivered
    }

    fn pass(&self, seconds: i64) {
        self.world.sandbox.advance_clock(seconds);
        self.world.clock.advance(Duration::from_secs(seconds.unsigned_abs()));
    }

    fn asked(&self, template: &str) -> u64 {
        self.world.sandbox.stats().cleverreach.requests_to(template)
    }

    fn total(&self) -> u64 {
        self.world.sandbox.stats().cleverreach.total_requests()
    }

    fn id(&self, at: usize) -> String {
        self.world.sandbox.receivers()[at].id.clone()
    }

    fn profile(&self, id: &str, property: &str) -> Value {
        self.world.sandbox.profile(id).unwrap()[property].clone()
    }
}

fn nick(nick: &str) -> Map<String, Value> {
    Map::from_iter([("nick".to_owned(), json!(nick))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_receiver_is_one_message_with_all_its_groups() {
    let story = Story::of(120, FLOW).await;
    assert_eq!(story.profile(&story.id(0), "Groups"), "Newsletter+Customers+Partners");
    assert_eq!(story.profile(&story.id(2), "Groups"), "Newsletter+Customers");
    assert_eq!(story.profile(&story.id(1), "Groups"), "Newsletter");
    // Of many at once the groups are asked, not each receiver: 6 pages of lists (100 and 20, 60 and
    // none, 24, none), and for the 2 with news each of the 3 other groups, by ids.
    assert_eq!((story.asked(MEMBERSHIPS), story.asked(VIEW)), (0, 0));
    assert_eq!((story.asked(LIST), story.asked(GROUPS)), (6 + 2 * 3, 1 + 2));
    assert_eq!(story.sweep().await, 0, "a sweep of the same sends nothing");
    assert_eq!((story.asked(LIST), story.asked(GROUPS), story.asked(MEMBERSHIPS)), (6, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_what_all_groups_show_is_one_message() {
    let story = Story::of(40, FLOW).await;
    let id = story.id(0);
    story.world.sandbox.touch(&Touch::ids([&id]).only(What::Attributes).attribute("lastname", "X"));
    assert_eq!(story.run().await, 0, "no time shows it");
    assert_eq!(story.sweep().await, 1);
    assert_eq!(story.asked(MEMBERSHIPS), 1);
    assert_eq!(story.profile(&id, "Name"), "X");
    story.world.sandbox.touch(&Touch::ids([&id]).field(Stamp::Activated));
    assert_eq!(story.run().await, 1);
    assert_eq!(story.sweep().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_a_group_or_changes_in_one_is_found() {
    let story = Story::of(40, FLOW).await;
    let id = story.id(1);
    story.pass(300);
    assert!(story.world.sandbox.join_group(&id, 14, &nick("a")));
    assert_eq!(story.run().await, 1, "the new group dates it");
    assert_eq!(story.profile(&id, "Groups"), "Newsletter+Events");
    assert_eq!(story.profile(&id, "Own"), "-a");
    // What one group alone has of it is dated nowhere.
    assert!(story.world.sandbox.join_group(&id, 14, &nick("b")));
    assert_eq!(story.sweep().await, 1);
    assert_eq!(story.profile(&id, "Own"), "-b");
    assert_eq!(story.sweep().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_a_group_is_a_change_and_who_leaves_all_is_gone() {
    let text = FLOW.replace("  sweep: 1h\n", "  sweep: 1h\n  emitDeletes: true\n")
        + DELETES.trim_start_matches('\n');
    let story = Story::of(40, &text).await;
    let (leaves, goes) = (story.id(0), story.id(10));
    let sandbox = &story.world.sandbox;
    assert!(sandbox.leave_group(&leaves, 12));
    assert!(sandbox.delete_receiver(&goes));
    assert_eq!(story.sweep().await, 0, "one scan may have passed them over");
    let report = {
        story.pass(3600);
        story.report().await
    };
    assert_eq!((report.deletes, report.counts.delivered), (1, 2));
    assert_eq!(story.profile(&leaves, "Groups"), "Newsletter+Partners");
    assert_eq!(story.profile(&goes, "Groups"), "none");
    for _ in 0..2 {
        assert_eq!(story.sweep().await, 0);
    }
    // Back again, it is a change again.
    assert!(sandbox.join_group(&leaves, 12, &Map::new()));
    assert_eq!(story.run().await, 1);
    assert_eq!(story.profile(&leaves, "Groups"), "Newsletter+Customers+Partners");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_of_100_000_with_10_changes_asks_no_more_than_it_has_to() {
    let text = FLOW.replace("pageSize: 100", "from: 2026-03-01T12:00:00Z");
    let story = Story::beginning(100_000, &text, Switches::default()).await;
    // What is older than the beginning is neither read nor sent.
    assert_eq!((story.run().await, story.asked(LIST), story.asked(FILTER)), (0, 0, 1));
    let ids = story.world.sandbox.receivers().into_iter().skip(1).step_by(10_000).map(|it| it.id);
    let ids: Vec<String> = ids.collect();
    let odd = |count: usize| ids.iter().take(count).cloned();
    // What changed is one request, which groups there are is one, and each of these is one, by ids,
    // but the one in which all of them were found.
    story.pass(300);
    story.world.sandbox.touch(&Touch::ids(odd(10)));
    assert_eq!(story.run().await, 10);
    let asked = [FILTER, GROUPS, LIST, MEMBERSHIPS, VIEW].map(|template| story.asked(template));
    assert_eq!((asked, story.total()), ([1, 1, 3, 0, 0], 5));
    // Of few, each is asked for its groups.
    story.pass(300);
    story.world.sandbox.touch(&Touch::ids(odd(3)));
    assert_eq!(story.run().await, 3);
    assert_eq!((story.asked(MEMBERSHIPS), story.total()), (3, 4));
    // So they are where there are more groups than changes.
    (20..40).for_each(|id| story.world.sandbox.add_group(GroupSeed::new(id, format!("{id}"), 0)));
    story.pass(300);
    story.world.sandbox.touch(&Touch::ids(odd(10)));
    assert_eq!(story.run().await, 10);
    assert_eq!((story.asked(MEMBERSHIPS), story.total()), (10, 12));
    story.pass(300);
    assert_eq!((story.run().await, story.total()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_the_beginning_is_never_sent() {
    let text = FLOW.replace("pageSize: 100", "from: 2026-02-20");
    let story = Story::beginning(200, &text, Switches::default()).await;
    let from = Timestamp::parse("2026-02-20T00:00:00Z").unwrap().secs();
    let receivers = story.world.sandbox.receivers();
    let newest = |it: &sandbox::Receiver| {
        [it.registered, it.activated, it.deactivated, it.bounced].into_iter().max().unwrap()
    };
    let young = receivers.iter().filter(|it| newest(it) >= from).count() as u64;
    assert!((20..180).contains(&young), "{young}");
    assert_eq!(story.run().await, young);
    assert_eq!(story.sweep().await, 0);
    // What is settled is compared by sweeps as ever, and what changes comes.
    let (old, new): (Vec<_>, Vec<_>) = receivers.iter().partition(|it| newest(it) < from);
    let edit = Touch::ids([&old[0].id, &new[0].id]).only(What::Tags);
    story.world.sandbox.touch(&edit);
    assert_eq!(story.sweep().await, 1);
    story.world.sandbox.touch(&Touch::ids([&old[0].id]));
    assert_eq!(story.run().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_filter_does_with_groups_is_not_known_and_does_not_matter() {
    for (per_receiver, needs_groups, as_ids, refused) in [
        (true, false, false, vec![]),
        (false, true, true, vec![]),
        (true, true, false, vec!["activated".to_owned()]),
    ] {
        let switches = Switches {
            filter_per_receiver: per_receiver,
            filter_needs_groups: needs_groups,
            memberships_as_ids: as_ids,
            refused_filter_fields: refused,
            ..Switches::default()
        };
        let shown = format!("{switches:?}");
        let story = Story::beginning(150, FLOW, switches).await;
        assert_eq!(story.run().await, 150);
        story.pass(300);
        let id = story.id(1);
        assert!(story.world.sandbox.join_group(&id, 14, &nick("a")));
        story.world.sandbox.touch(&Touch::ids([story.id(2), story.id(3)]).field(Stamp::Bounced));
        assert_eq!(story.run().await, 3, "{shown}");
        assert_eq!(story.profile(&id, "Groups"), "Newsletter+Events", "{shown}");
        story.pass(300);
        assert_eq!(story.run().await, 0, "{shown}");
        assert_eq!(story.sweep().await, 0, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_cannot_be_asked_are_a_failed_poll() {
    let story = Story::of(40, FLOW).await;
    story.pass(300);
    story.world.sandbox.touch(&Touch::ids([story.id(0), story.id(1)]));
    let down = Fault::new(Vendor::CleverReach, "/groups", Action::status(403)).forever();
    story.world.sandbox.fault(down);
    let before = snapshot(&story).await;
    let report = story.world.run(&story.flow).await;
    assert_eq!((report.errors.len(), report.counts.delivered), (1, 0), "{:?}", report.errors);
    assert_eq!(snapshot(&story).await, before);
    story.world.sandbox.clear_faults();
    assert_eq!(story.run().await, 2);
}

async fn snapshot(story: &Story) -> Snapshot {
    story.world.snapshot("everybody").await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_for_each_group_is_a_choice() {
    let text = FLOW.replace("pageSize: 100", "messages: perGroup");
    let story = Story::beginning(40, &text, Switches::default()).await;
    assert_eq!(story.run().await, 40 + 20 + 8);
    assert_eq!((story.asked(MEMBERSHIPS), story.asked(VIEW)), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_group_each_receiver_is_as_it_has_it_and_has_all_its_groups() {
    let text = FLOW
        .replace("getReceivers\n", "getReceiversByGroup\n")
        .replace("pageSize: 100", "groupName: Events")
        .replace("data.global_attributes.lastname", "data.attributes.nick");
    let story = Story::beginning(40, &text, Switches::default()).await;
    let ids: Vec<String> = (0..20).map(|at| story.id(2 * at)).collect();
    for id in &ids {
        assert!(story.world.sandbox.join_group(id, 14, &nick("e")));
    }
    let id = &ids[0];
    assert_eq!(story.run().await, 20);
    assert_eq!(story.profile(id, "Groups"), "Newsletter+Customers+Partners+Events");
    assert_eq!((story.profile(id, "Own"), story.profile(id, "Name")), (json!("---e"), json!("e")));
    // Where the other groups are nobody's concern, nothing is asked of them.
    let alone = text.replace("    groupName", "    messages: perGroup\n    groupName");
    let flow = story.world.flow(&alone.replace("flow: everybody", "flow: alone"));
    let story = Story { flow, ..story };
    assert_eq!((story.run().await, story.profile(id, "Name")), (20, json!("e")));
    assert_eq!((story.asked(LIST), story.asked(GROUPS)), (1, 1));
    // A poll: the group, what changed in it, which groups there are, and each other one by ids.
    let customers =
        text.replace("Events", "Customers").replace("flow: everybody", "flow: customers");
    let flow = story.world.flow(&customers);
    let story = Story { flow, ..story };
    assert_eq!(story.run().await, 20);
    story.pass(300);
    story.world.sandbox.touch(&Touch::ids(ids.into_iter().take(5)));
    assert_eq!(story.run().await, 5);
    let asked = [FILTER, GROUPS, LIST, MEMBERSHIPS, VIEW].map(|template| story.asked(template));
    assert_eq!((asked, story.total()), ([1, 2, 3, 0, 0], 6));
    assert_eq!(story.sweep().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_message_of_the_contact_model_names_the_groups_too() {
    let text = FLOW
        .replace("    skipTransformation: true\n", "")
        .replace("data.groups.name", "metadata.groups.name")
        .replace("data.groups.(attributes.nick ? attributes.nick : \"-\")", "metadata.groups.id")
        .replace("data.global_attributes.lastname", "data.lastName");
    let story = Story::of(12, &text).await;
    assert_eq!(story.profile(&story.id(0), "Groups"), "Newsletter+Customers+Partners");
    assert_eq!(story.profile(&story.id(1), "Own"), "11");
    assert!(story.profile(&story.id(1), "Name").is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_reads_the_same_source() {
    let story = Story::of(10, FLOW).await;
    let real = FLOW.replace("getReceivers\n", "getReceiversPolling\n");
    let flow = story.world.flow(&real);
    let engine = story.world.engine(story.world.store.clone());
    assert_eq!(engine.source(&flow).unwrap(), engine.source(&story.flow).unwrap());
    assert_eq!(flow.trigger.name, "getReceiversPolling");
    assert!(START > 0 && story.world.run(&flow).await.errors.is_empty());
}
