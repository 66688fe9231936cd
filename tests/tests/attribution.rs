//! CleverTap's attribution and its events, through the engine: what is never sent twice, what pauses
//! the account, and what polls find of a system that gives no ids.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use connector::Clock;
use flow::Flow;
use sandbox::{Action, AttributionSwitches, Fault, ReadingSwitches, Switches, Vendor};
use store::DeadLetterSummary;
use towpath_tests::World;

const FLOW: &str = r#"
flow: installs
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  fields: { groupName: Newsletter }
steps:
  - id: told
    use: clevertap.sendAttribution
    account: engagement
    fields:
      customMapping: |
        { "event_type": "inorganic_install", "device_identifier": "__g" & metadata.recordUid,
          "platform": "Android", "utm_source": "newsletter", "utm_medium": "email",
          "utm_campaign": "spring" }
"#;

async fn world(receivers: usize) -> (World, Arc<Flow>) {
    let world = World::with(receivers).await;
    let flow = world.flow(FLOW);
    (world, flow)
}

fn asked(world: &World) -> u64 {
    world.sandbox.stats().clevertap.requests_to("GET /attribution")
}

async fn letters(world: &World) -> Vec<DeadLetterSummary> {
    world.store.dead_letters(None).await.unwrap()
}

fn partners(names: &[&str]) -> Switches {
    let partners = names.iter().map(|name| (*name).to_owned()).collect();
    let attribution = AttributionSwitches { partners, ..AttributionSwitches::default() };
    Switches { attribution, ..Switches::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_is_not_on_the_list_pauses_the_account_and_loses_nothing() {
    let (world, flow) = world(1).await;
    world.sandbox.set_switches(partners(&["somebody else"]));
    let report = world.run(&flow).await;
    assert_eq!(report.outcome(), "failed");
    let said = report.errors.first().unwrap().to_string();
    assert!(said.contains("not whitelisted") && said.contains("attribution partner"), "{said}");
    for _ in 0..3 {
        assert_eq!(world.run(&flow).await.outcome(), "paused");
    }
    assert_eq!(asked(&world), 1, "a paused account is not asked");
    world.sandbox.set_switches(partners(&["attribution partner"]));
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.run(&flow).await.outcome(), "completed");
    assert_eq!(world.run(&flow).await.outcome(), "completed");
    let stored = world.sandbox.delivered();
    assert_eq!((stored.len(), asked(&world)), (1, 2));
    assert_eq!(stored.first().unwrap().record()["evtName"], "UTM Visited");
    assert!(letters(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_the_server_are_tried_again_with_growing_waits() {
    let (world, flow) = world(1).await;
    let down = Fault::new(Vendor::CleverTap, "/attribution", Action::status(500)).times(3);
    world.sandbox.fault(down);
    let before = world.clock.elapsed().as_secs();
    assert_eq!(world.run(&flow).await.outcome(), "completed");
    assert_eq!((asked(&world), world.sandbox.delivered_count()), (4, 1));
    // 1 + 2 + 4 s, each at most doubled by chance.
    let waited = world.clock.elapsed().as_secs() - before;
    assert!((7..=14).contains(&waited), "{waited}");
    for status in [400, 401, 403] {
        let (world, flow) = self::world(1).await;
        let refuse = Fault::new(Vendor::CleverTap, "/attribution", Action::status(status));
        world.sandbox.fault(refuse.forever());
        world.run(&flow).await;
        assert_eq!(asked(&world), 1, "{status} is never tried again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_without_an_answer_is_in_doubt_and_never_sent_again_unasked() {
    let (world, flow) = world(1).await;
    let lost = Action::CloseConnection { process: true };
    world.sandbox.fault(Fault::new(Vendor::CleverTap, "/attribution", lost));
    for _ in 0..3 {
        world.run(&flow).await;
    }
    assert_eq!((asked(&world), world.sandbox.delivered_count()), (1, 1));
    let letters = letters(&world).await;
    assert_eq!(letters.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(), ["inDoubt"]);
    let shown = format!("{letters:?}");
    let known = world.sandbox.credentials();
    assert!(!shown.contains(&known.token) && !shown.contains(&known.passcode), "{shown}");
}

const EVENTS: &str = r#"
flow: charges
trigger:
  use: clevertap.eventsPolling
  account: engagement
  fields: { event: UTM Visited, batchSize: 2 }
steps:
  - id: seen
    use: clevertap.uploadProfiles
    account: engagement
    fields:
      customMapping: |
        { "identity": data.person.id & "-" & data.at, "profileData": { "Seen": data.event } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_without_ids_are_emitted_once_and_late_ones_are_found() {
    let (world, installs) = world(3).await;
    let reading = ReadingSwitches { pending: 1, ..ReadingSwitches::default() };
    world.sandbox.set_switches(Switches { reading, ..Switches::default() });
    let events = world.flow(EVENTS);
    assert_eq!(world.run(&installs).await.outcome(), "completed");
    let first = world.run(&events).await;
    assert_eq!((first.outcome(), first.counts.delivered), ("completed", 3));
    for _ in 0..2 {
        assert_eq!(world.run(&events).await.counts.delivered, 0, "nothing is new");
    }
    // Told two hours late, which a day's overlap covers.
    let late = FLOW.replace("\"utm_source\"", "\"timestamp\": 1772366400 - 7200, \"utm_source\"");
    let late = late.replace("flow: installs", "flow: late");
    assert_eq!(world.run(&world.flow(&late)).await.outcome(), "completed");
    assert_eq!(world.run(&events).await.counts.delivered, 3);
    assert_eq!(world.run(&events).await.counts.delivered, 0);
}

/// CleverTap's own event of an install has no properties: what it was attributed to is its session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_differ_in_their_session_alone_are_two_and_stay_two() {
    let world = World::with(2).await;
    let same = FLOW.replace("\"__g\" & metadata.recordUid", "\"__g1\", \"timestamp\": 1772366000");
    let same = same.replace("\"utm_source\": \"newsletter\"", "\"utm_source\": metadata.recordUid");
    assert_eq!(world.run(&world.flow(&same)).await.counts.delivered, 2);
    let events = world.flow(EVENTS);
    assert_eq!(world.run(&events).await.counts.delivered, 2);
    for _ in 0..2 {
        assert_eq!(world.run(&events).await.counts.delivered, 0, "nothing is new");
    }
}
