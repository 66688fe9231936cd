//! CleverTap's attribution and its events, through the engine: what is never sent twice, what pauses
//! the account, and what polls find of a system that gives no ids.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use connector::Clock;
use engine::{AccountState, Answer, Handle, Request};
use flow::Flow;
use sandbox::{
    Action, AttributionSwitches, BadCredentials, Fault, ReadingSwitches, Switches, Vendor,
};
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

/// Lets go of the account, as an operator does.
async fn resume(world: &World) {
    let request = Request::Resume { account: "engagement".to_owned() };
    let resumed = Handle::new(world.store.clone()).ask(request).await.unwrap();
    assert!(matches!(resumed, Answer::Resumed { was: true }));
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
    resume(&world).await;
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
}

/// Runs the flow for a day, once an hour, and gives how often CleverTap was asked.
async fn asked_in_a_day(world: &World, flow: &Arc<Flow>) -> u64 {
    for _ in 0..24 {
        world.run(flow).await;
        world.clock.advance(Duration::from_secs(3_600));
    }
    asked(world)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_never_sent_again_by_itself() {
    let (world, flow) = self::world(1).await;
    let bare = Fault::new(Vendor::CleverTap, "/attribution", Action::status(400));
    world.sandbox.fault(bare.forever());
    assert_eq!(asked_in_a_day(&world, &flow).await, 1);
    let refused = letters(&world).await;
    assert_eq!(refused.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(), ["http400"]);
    // Refused as a partner, or by the credentials: the account waits for somebody, and its probe is
    // no event that was refused.
    let known = |refused| AttributionSwitches { refused, ..AttributionSwitches::default() };
    let of = |attribution| Switches { attribution, ..Switches::default() };
    let unprocessed =
        Switches { bad_credentials: BadCredentials::BadRequest, ..Switches::default() };
    for (switches, token, passcode, says) in [
        (partners(&["somebody else"]), None, None, "not whitelisted"),
        (of(known(401)), Some("not-the-token"), None, "401: Invalid Account Info"),
        (of(known(403)), Some("not-the-token"), None, "403: Invalid Account Info"),
        (of(known(400)), Some("not-the-token"), None, "400: Invalid Account Info"),
        (of(known(400)), None, Some("NOT-THE-PASS"), "400: Invalid Account Info"),
        (unprocessed, None, Some("NOT-THE-PASS"), "400: Failed to process request"),
    ] {
        let (mut world, flow) = self::world(1).await;
        let right = (world.token.clone(), world.passcode.clone());
        world.token = token.unwrap_or(&right.0).to_owned();
        world.passcode = passcode.unwrap_or(&right.1).to_owned();
        world.sandbox.set_switches(switches);
        // Recorded of another question; the stand-in has other words for attribution.
        if says.contains("process") {
            let body = r#"{"status":"fail","error":"Failed to process request","code":400}"#;
            let answer = Action::Body { status: 400, body: body.to_owned() };
            world.sandbox.fault(Fault::new(Vendor::CleverTap, "/attribution", answer).times(2));
        }
        let report = world.run(&flow).await;
        let said = report.errors.first().unwrap().to_string();
        assert!(said.contains(says), "{said}");
        for secret in [&world.token, &world.passcode] {
            assert!(!said.contains(secret.as_str()), "{said}");
        }
        assert_eq!(world.run(&flow).await.outcome(), "paused");
        assert_eq!(asked_in_a_day(&world, &flow).await, 1, "{says}");
        assert!(letters(&world).await.is_empty(), "{says}: nothing is lost");
        // The same as before, once somebody says so.
        resume(&world).await;
        world.run(&flow).await;
        assert_eq!(asked(&world), 2, "{says}");
        // Other settings end the pause, too.
        (world.token, world.passcode) = right;
        world.sandbox.set_switches(Switches::default());
        if token.is_none() && passcode.is_none() {
            resume(&world).await;
        }
        assert_eq!(world.run(&flow).await.outcome(), "completed", "{says}");
        assert_eq!((asked(&world), world.sandbox.delivered_count()), (3, 1), "{says}");
    }
}

async fn state(world: &World) -> AccountState {
    let answer = Handle::new(world.store.clone()).ask(Request::Accounts).await.unwrap();
    let Answer::Accounts { accounts } = answer else { panic!("{answer:?}") };
    accounts.into_iter().find(|it| it.account == "engagement").unwrap_or_default()
}

/// A request of another kind does no harm if it is refused once more, and says nothing of what was
/// refused if it passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_end_the_pause_and_let_nothing_go_that_was_refused() {
    for (switches, token) in
        [(partners(&["somebody else"]), None), (Switches::default(), Some("not-the-token"))]
    {
        let (mut world, installs) = self::world(1).await;
        let uploads = world.flow(include_str!("../../flows/newsletter-to-clevertap.yaml"));
        let right = world.token.clone();
        world.token = token.unwrap_or(&right).to_owned();
        world.sandbox.set_switches(switches);
        assert_eq!(world.run(&installs).await.outcome(), "failed");
        assert_eq!(world.run(&uploads).await.outcome(), "paused");
        for _ in 0..24 {
            world.clock.advance(Duration::from_secs(3_600));
            assert_eq!(world.run(&installs).await.outcome(), "paused");
            assert_eq!(world.run(&uploads).await.outcome(), "completed");
            assert_eq!(world.run(&installs).await.outcome(), "paused");
        }
        assert_eq!((asked(&world), world.uploaded()), (1, 1));
        let left = state(&world).await;
        assert!(left.paused.is_none() && left.held.is_some(), "{left:?}");
        assert!(letters(&world).await.is_empty());
        world.sandbox.set_switches(Switches::default());
        world.token = right;
        if token.is_none() {
            resume(&world).await;
        }
        assert_eq!(world.run(&installs).await.outcome(), "completed");
        assert_eq!((asked(&world), state(&world).await), (2, AccountState::default()));
    }
}

/// What was not refused itself waits for the pause alone, and where nothing may probe, for others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attribution_that_was_not_refused_goes_on_when_uploads_pass() {
    let (world, installs) = self::world(1).await;
    let uploads = world.flow(include_str!("../../flows/newsletter-to-clevertap.yaml"));
    let upload = "  - id: known\n    use: clevertap.uploadProfiles\n    account: engagement\n";
    let both = FLOW.replace("steps:\n", &format!("steps:\n{upload}"));
    let both = world.flow(&both.replace("flow: installs", "flow: both"));
    let refused = Fault::new(Vendor::CleverTap, "/1/upload", Action::status(401)).times(2);
    world.sandbox.fault(refused);
    assert_eq!(world.run(&uploads).await.outcome(), "failed");
    world.clock.advance(Duration::from_secs(60));
    for (flow, outcome) in [(&installs, "paused"), (&uploads, "failed"), (&installs, "paused")] {
        assert_eq!(world.run(flow).await.outcome(), outcome);
    }
    world.clock.advance(Duration::from_secs(120));
    assert_eq!(world.run(&installs).await.outcome(), "paused");
    assert_eq!(asked(&world), 0);
    // A step before it asks with the same account: that is the probe.
    assert_eq!(world.run(&both).await.outcome(), "completed");
    assert_eq!(world.run(&installs).await.outcome(), "completed");
    assert_eq!(asked(&world), 2);
}

/// Its page may fail for another one: what was refused is a dead letter once that is committed. Mapped
/// otherwise it is another message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_not_sent_again_with_its_page() {
    let once = "account: engagement\n    retry: { attempts: 1 }\n    concurrency: 1\n";
    let text = FLOW.replace("account: engagement\n", once);
    for (last, delivered, refused) in [(&text, 1, 1), (&text.replace("Android", "iOS"), 2, 0)] {
        let (world, _) = self::world(2).await;
        let (flow, last) = (world.flow(&text), world.flow(last));
        let answer = |status| Fault::new(Vendor::CleverTap, "/attribution", Action::status(status));
        world.sandbox.fault(answer(400));
        world.sandbox.fault(answer(503).forever());
        for times in 2..5 {
            assert_eq!(world.run(&flow).await.outcome(), "failed");
            assert_eq!(asked(&world), times, "the other one of the page alone");
        }
        world.sandbox.clear_faults();
        assert_eq!(world.run(&last).await.outcome(), "completed");
        assert_eq!(world.sandbox.delivered_count(), delivered);
        let codes: Vec<_> = letters(&world).await.into_iter().map(|it| it.code).collect();
        assert_eq!(codes, vec!["http400"; refused]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_cannot_be_told_apart_is_held() {
    let (world, flow) = self::world(1).await;
    let body = r#"{"status":"fail","error":"Failed to process request","code":400}"#;
    let answer = Action::Body { status: 400, body: body.to_owned() };
    world.sandbox.fault(Fault::new(Vendor::CleverTap, "/attribution", answer));
    let away = Fault::new(Vendor::CleverTap, "/1/profile.json", Action::status(503));
    world.sandbox.fault(away.forever());
    assert_eq!(asked_in_a_day(&world, &flow).await, 1);
    assert!(letters(&world).await.is_empty() && state(&world).await.held.is_some());
    world.sandbox.clear_faults();
    resume(&world).await;
    assert_eq!(world.run(&flow).await.outcome(), "completed");
}

/// Time goes on by itself where nothing else happens.
#[tokio::test]
async fn one_that_is_not_answered_within_60_seconds_is_in_doubt() {
    let (world, flow) = world(1).await;
    let two = std::num::NonZeroU64::new(2).unwrap();
    let never = Action::Gather { requests: two };
    world.sandbox.fault(Fault::new(Vendor::CleverTap, "/attribution", never).forever());
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    world.run(&flow).await;
    let waited = begun.elapsed().as_secs();
    assert!((60..65).contains(&waited), "{waited}");
    tokio::time::resume();
    for _ in 0..2 {
        assert_eq!(world.run(&flow).await.counts.delivered, 0);
    }
    assert_eq!(asked(&world), 1, "it is never sent again unasked");
    let letters = letters(&world).await;
    assert_eq!(letters.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(), ["inDoubt"]);
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
    for told in world.sandbox.delivered() {
        assert_eq!(told.record()["evtData"], serde_json::json!({}));
    }
    let events = world.flow(EVENTS);
    assert_eq!(world.run(&events).await.counts.delivered, 2);
    for _ in 0..2 {
        assert_eq!(world.run(&events).await.counts.delivered, 0, "nothing is new");
    }
}
