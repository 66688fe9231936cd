//! The example flows: each is right, passes its own tests, and moves what it says it moves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use connector::prelude::*;
use sandbox::{GroupSeed, Options, Receiver};
use store::Counts;
use towpath_tests::World;

/// A world with 60 receivers, a group for each of two tags, and no member in "Customers" yet.
async fn world() -> World {
    let groups = vec![
        GroupSeed::new(1, "Newsletter", 1),
        GroupSeed::new(2, "Customers", 0),
        GroupSeed::new(3, "vip", 0),
        GroupSeed::new(4, "b2b", 0),
    ];
    World::of(Options { receivers: 60, groups, ..Options::default() }).await
}

fn text(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flows");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

async fn run(world: &World, name: &str) -> Counts {
    let flow = world.flow(&text(name));
    assert_eq!(format!("{}.yaml", flow.name), name);
    let report = world.run(&flow).await;
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let again = world.run(&flow).await;
    assert_eq!((again.counts.emitted, again.errors.len()), (0, 0), "nothing changed");
    report.counts
}

/// The newsletter's receivers before the flow ran.
fn receivers(world: &World) -> Vec<Receiver> {
    world.sandbox.receivers().into_iter().filter(|it| it.groups.contains(&"1".to_owned())).collect()
}

#[test]
fn every_example_is_tested_here_and_passes_its_own_tests() {
    let connectors = towpath_tests::world::connectors();
    let context = flow::Context { connectors: &connectors, config: None };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flows");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let mut names: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    for name in &names {
        let (flow, findings) = flow::check(name, &text(name), &context);
        assert!(findings.is_empty(), "{name}: {findings:#?}");
        let results = flow.unwrap().run_tests();
        assert!(results.len() > usize::from(name != "newsletter-to-customers.yaml"), "{name}");
        for result in results {
            assert!(result.passed(), "{name}: {:#?}", result.failures);
        }
    }
    let expected = [
        "customers-by-category.yaml",
        "events-to-file.yaml",
        "installs-by-webhook.yaml",
        "left-the-newsletter.yaml",
        "newsletter-events.yaml",
        "newsletter-to-clevertap.yaml",
        "newsletter-to-customers.yaml",
        "order-log-to-api.yaml",
        "orders-by-webhook.yaml",
        "raw-receivers-to-clevertap.yaml",
        "tell-ops.yaml",
        "unsubscribes.yaml",
        "welcome-customers.yaml",
    ];
    assert_eq!(names, expected);
}

/// Actions that are about installs: no mapping of contacts fits them.
const OF_NO_CONTACT: &[&str] = &["sendAttribution"];

/// Triggers that tell what happened: what they give is no contact, and no action of contacts takes it.
const OF_EVENTS: &[&str] = &["eventsPolling"];

/// Triggers that know of people less than the contact model has: what their mapping leaves out when it is
/// written out, an action's misses.
const OF_A_PART: &[&str] = &["profilesByEvent"];

/// Written into a flow, a default mapping is held against what its connector declares.
#[test]
fn default_mappings_fit_what_connectors_declare() {
    let connectors = towpath_tests::world::connectors();
    let context = flow::Context { connectors: &connectors, config: None };
    // What cannot be left out, in any trigger or action that takes it.
    let fields = |schema: schemars::Schema, mapping: Option<&str>| {
        let schema = schema.to_value();
        let takes_group = schema.pointer("/properties/groupName").is_some();
        let mut fields = if takes_group { json!({ "groupName": "Newsletter" }) } else { json!({}) };
        if schema.pointer("/properties/event").is_some() {
            fields["event"] = "Newsletter changed".into();
        }
        if schema.pointer("/properties/authentication").is_some() {
            fields["authentication"] = "none".into();
        }
        if schema.pointer("/properties/path").is_some() {
            fields["path"] = "orders.ndjson".into();
        }
        if let Some(mapping) = mapping {
            fields["customMapping"] = mapping.into();
        }
        fields
    };
    let mut checked = 0;
    for (from, to) in connectors.iter().flat_map(|from| connectors.iter().map(move |to| (from, to)))
    {
        // What the runtime tells is no contact, and no mapping of contacts takes it.
        if !from.has_accounts() && ["cleverreach", "clevertap"].contains(&to.name()) {
            continue;
        }
        let triggers = from.triggers().iter().flat_map(|it| [(it, None), (it, Some(it.mapping))]);
        let triggers = triggers.filter(|(it, mapping)| {
            let of_a_part = mapping.is_some() && OF_A_PART.contains(&it.name);
            !of_a_part && !OF_EVENTS.contains(&it.name)
        });
        for (trigger, mapping) in triggers {
            let of_contacts = trigger.message.is_some();
            for action in to.actions() {
                if of_contacts && OF_NO_CONTACT.contains(&action.name) {
                    continue;
                }
                let mut own = fields((action.fields)(), None);
                // What needs more is given what its example has.
                if (action.configure)(own.clone()).is_err() {
                    own = (action.fields)().to_value()["examples"][0].clone();
                }
                own["customMapping"] = action.mapping.into();
                let mut text = json!({
                    "flow": "a",
                    "trigger": {
                        "use": format!("{}.{}", from.name(), trigger.name),
                        "fields": fields((trigger.fields)(), mapping),
                    },
                    "steps": [{
                        "id": "b",
                        "use": format!("{}.{}", to.name(), action.name),
                        "account": "b",
                        "fields": own,
                    }],
                });
                if from.has_accounts() {
                    text["trigger"]["account"] = "a".into();
                }
                let (flow, findings) = flow::check("a.yaml", &text.to_string(), &context);
                let of_mappings = findings.iter().filter(|it| it.code.starts_with("TP014"));
                assert!(flow.is_some() && of_mappings.count() == 0, "{findings:#?}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 8, "{checked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newsletter_to_clevertap() {
    let world = world().await;
    assert_eq!(run(&world, "newsletter-to-clevertap.yaml").await.delivered, 60);
    assert_eq!(world.sandbox.profile_count(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newsletter_events() {
    let world = world().await;
    assert_eq!(run(&world, "newsletter-events.yaml").await.delivered, 60);
    let stats = world.sandbox.stats().clevertap;
    assert_eq!((stats.events_accepted, stats.records_refused), (60, 0));
    assert!(world.sandbox.delivered().iter().all(|it| it.record()["$source"] == "ExamplePartner"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn left_the_newsletter() {
    let world = world().await;
    assert_eq!(run(&world, "left-the-newsletter.yaml").await.delivered, 60);
    let gone = receivers(&world).swap_remove(7);
    assert!(world.sandbox.delete_receiver(&gone.id));
    // The first time that it is missed says nothing yet.
    for deletes in [0, 1] {
        world.sandbox.advance_clock(6 * 3600);
        world.clock.advance(std::time::Duration::from_secs(6 * 3600));
        let report = world.run(&world.flow(&text("left-the-newsletter.yaml"))).await;
        let sent = (report.deletes, report.counts.delivered);
        assert_eq!((report.errors.len(), sent), (0, (deletes, deletes)));
    }
    let noted = |id: &str| world.sandbox.profile(id).unwrap()["Newsletter"].clone();
    assert_eq!(noted(&gone.id), json!(false));
    assert!(receivers(&world).iter().all(|it| noted(&it.id) == json!(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newsletter_to_customers() {
    let world = world().await;
    let before = receivers(&world);
    assert_eq!(run(&world, "newsletter-to-customers.yaml").await.delivered, 60);
    for receiver in before {
        let member = world.sandbox.member("2", &receiver.email).unwrap();
        assert_eq!(member.activated, 0, "it is asked to confirm first");
    }
    assert_eq!(world.sandbox.mails().len(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsubscribes() {
    let world = world().await;
    let mut left = 0;
    for (place, before) in receivers(&world).into_iter().enumerate().filter(|(at, _)| at % 2 == 0) {
        let tags = if place == 0 { vec!["no-mail".to_owned()] } else { vec![] };
        let deactivated = if place % 4 == 0 { before.registered + 60 } else { 0 };
        left += u64::from(deactivated > 0);
        // In the shop they are other receivers, by the same address, and active.
        let shop = Receiver {
            activated: before.registered,
            groups: vec!["2".to_owned()],
            ..before.clone()
        };
        world.sandbox.put_receiver(&Receiver { id: String::new(), deactivated: 0, ..shop });
        world.sandbox.put_receiver(&Receiver { deactivated, tags, ..before });
    }
    let off = |receiver: &Receiver| receiver.deactivated > 0;
    let newsletter = receivers(&world);
    let withdrawn = newsletter.iter().filter(|it| off(it)).count() as u64;
    let counts = run(&world, "unsubscribes.yaml").await;
    assert!(left > 0 && counts.delivered >= withdrawn, "{counts:?}");
    for receiver in newsletter {
        if let Some(member) = world.sandbox.member("2", &receiver.email) {
            assert_eq!(off(&member), off(&receiver), "{receiver:?}");
        }
    }
    assert_eq!(world.sandbox.blacklist().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_by_category() {
    let world = world().await;
    let before = receivers(&world);
    let counts = run(&world, "customers-by-category.yaml").await;
    let (mut sorted, mut without, mut unknown) = (0, 0, 0);
    for receiver in before {
        let found = receiver.tags.iter().find(|tag| ["vip", "b2b"].contains(&tag.as_str()));
        match found.map(String::as_str) {
            Some(tag) => {
                let group = if tag == "vip" { "3" } else { "4" };
                assert!(world.sandbox.member(group, &receiver.email).is_some(), "{receiver:?}");
                sorted += 1;
            }
            None if receiver.tags.is_empty() => without += 1,
            None => unknown += 1,
        }
    }
    // Who has categories that name no group is refused, not put anywhere.
    assert_eq!(
        (counts.delivered, counts.filtered, counts.dead_lettered),
        (sorted, without, unknown)
    );
    assert!(sorted > 0 && without > 0 && unknown > 0, "{sorted} {without} {unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_receivers_to_clevertap() {
    let world = world().await;
    let before = receivers(&world);
    let active = before.iter().filter(|it| it.activated > 0 && it.deactivated == 0).count() as u64;
    let counts = run(&world, "raw-receivers-to-clevertap.yaml").await;
    assert_eq!((counts.delivered, counts.filtered), (active, 60 - active));
    let receiver = before.iter().find(|it| it.activated > 0 && it.deactivated == 0).unwrap();
    let profile = world.sandbox.profile(&receiver.email.to_lowercase()).unwrap();
    assert_eq!(profile["Customer Number"], receiver.attributes["customer_number"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn welcome_customers() {
    let world = world().await;
    let before = receivers(&world);
    let counts = run(&world, "welcome-customers.yaml").await;
    let bought = |it: &&Receiver| it.tags.iter().any(|tag| tag == "shop.buyer" || tag == "b2b");
    let customers: Vec<_> = before.iter().filter(bought).collect();
    assert_eq!(counts.delivered, customers.len() as u64);
    assert_eq!(counts.filtered, 60 - customers.len() as u64);
    assert_eq!(world.sandbox.profile_count(), 60);
    for receiver in customers {
        let member = world.sandbox.member("2", &receiver.email).unwrap();
        let profile = world.sandbox.profile(&receiver.id).unwrap();
        assert_eq!(profile["Receiver in Customers"], json!(member.id), "the join saw both results");
    }
}

/// Purchases of the newsletter's receivers, so that there are events to read back.
const PURCHASES: &str = r#"
flow: purchases
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  fields: { groupName: Newsletter }
steps:
  - id: bought
    use: clevertap.uploadEvents
    account: engagement
    fields:
      event: Charged
      source: ExamplePartner
      customMapping: |
        { "identity": metadata.recordUid, "evtName": "Charged",
          "evtData": { "Amount": $number(metadata.recordUid) % 2 } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_to_file() {
    let mut world = world().await;
    let folder = tempfile::tempdir().unwrap();
    let values = [("folder".to_owned(), folder.path().to_str().unwrap().to_owned())];
    let account = file::connector().account("event-files", None, values.into()).unwrap();
    let account = engine::Account { account, limits: Default::default() };
    world.more.insert("event-files".to_owned(), account);
    let bought = world.run(&world.flow(PURCHASES)).await;
    assert!(bought.errors.is_empty(), "{:?}", bought.errors);
    // What cost nothing is none: CleverTap is asked for those that did.
    let found = run(&world, "events-to-file.yaml").await.delivered;
    let ends = ['1', '3', '5', '7', '9'];
    let odd = receivers(&world).into_iter().filter(|it| it.id.ends_with(ends));
    assert_eq!(found as usize, odd.count());
    let lines = std::fs::read_to_string(folder.path().join("purchases.ndjson")).unwrap();
    assert_eq!(lines.lines().count() as u64, found);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    // An uploaded event has no session, so that there is no source.
    assert_eq!((&first["amount"], &first["source"]), (&json!(1), &Value::Null));
}
