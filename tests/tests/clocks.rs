//! CleverTap's events through the changes of a project's clocks: it writes times as its clocks show
//! them, so that an hour comes twice in autumn, and none in spring.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use connector::prelude::*;
use connector::{Api, Services};
use sandbox::{Options, ReadingSwitches, Switches};
use towpath_tests::World;

const ZONE: &str = "Europe/Berlin";
const HOUR: i64 = 3_600;

const FLOW: &str = r#"
flow: charges
trigger:
  use: clevertap.eventsPolling
  account: berlin
  OVERLAP
  fields: { event: Charged, batchSize: 3 }
steps:
  - id: seen
    use: clevertap.uploadProfiles
    account: berlin
    fields:
      customMapping: |
        { "identity": "seen-" & data.properties.number, "profileData": { "At": data.at } }
"#;

/// A world that begins at a moment, with a project whose clocks are those of Berlin.
async fn world(now: i64) -> (World, Api) {
    let reading = ReadingSwitches { timezone: ZONE.parse().unwrap(), ..ReadingSwitches::default() };
    let switches = Switches { reading, ..Switches::default() };
    let options = Options { receivers: 0, now: Some(now), switches, ..Options::default() };
    let mut world = World::of(options).await;
    world.clock.set(Timestamp::from_secs(now));
    let known = world.sandbox.credentials();
    let values = [
        ("projectId", known.project_id.as_str()),
        ("passcode", &known.passcode),
        ("timezone", ZONE),
    ];
    let values: BTreeMap<_, _> = values.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let connector = clevertap::connector();
    let account =
        connector.account("berlin", Some(&world.sandbox.clevertap_url()), values).unwrap();
    let api = Api::new(&connector, account.clone(), &BTreeMap::new(), Services::bare()).unwrap();
    let account = engine::Account { account, limits: BTreeMap::new() };
    world.more.insert("berlin".to_owned(), account);
    (world, api)
}

/// Somebody does something at a moment, which CleverTap is told now.
async fn charged(api: &Api, number: usize, at: i64) {
    let event = json!({
        "type": "event", "identity": "7", "evtName": "Charged", "ts": at,
        "evtData": { "number": number },
    });
    let told = json!({ "d": [event] });
    let answer = api.post(["1", "upload"]).json(&told).send().await.unwrap();
    assert_eq!(answer.json::<Value>().unwrap()["status"], "success");
}

/// Polls every 20 minutes from two hours before clocks change until three hours after that, and then
/// every three hours for more than a day, with an event before each poll and one told late before
/// some; gives how often each was emitted.
async fn polled_over(change: &str, overlap: &str, late: i64) -> (usize, BTreeMap<String, usize>) {
    let change = Timestamp::parse(change).unwrap().secs();
    let (world, api) = world(change - 2 * HOUR).await;
    let flow = world.flow(&FLOW.replace("OVERLAP", overlap));
    let mut number = 0;
    for (turn, step) in [[HOUR / 3; 15].as_slice(), &[3 * HOUR; 9]].concat().into_iter().enumerate()
    {
        let now = world.sandbox.now();
        charged(&api, number, now).await;
        number += 1;
        if late > 0 && turn % 3 == 0 {
            charged(&api, number, now - late).await;
            number += 1;
        }
        let report = world.run(&flow).await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        world.sandbox.advance_clock(step);
        world.clock.advance(Duration::from_secs(step.unsigned_abs()));
    }
    let mut emitted = BTreeMap::new();
    for delivered in world.sandbox.delivered() {
        let record = delivered.record();
        let seen = record["identity"].as_str().unwrap().to_owned();
        if seen.starts_with("seen-") {
            *emitted.entry(seen).or_default() += 1;
        }
    }
    (number, emitted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_emitted_once_through_both_changes_of_a_year() {
    // When it is 1:00 UTC, clocks go from 2:00 to 3:00 and from 3:00 to 2:00.
    for change in ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"] {
        // Told at once, or late: a day of overlap finds what is less than that behind.
        for (overlap, late) in [("overlap: 1m", 0), ("", 6 * HOUR), ("", 23 * HOUR)] {
            let (raised, emitted) = polled_over(change, overlap, late).await;
            let times: Vec<_> = emitted.values().copied().collect();
            assert_eq!(times, vec![1; raised], "{change} {overlap} {late}: {emitted:?}");
        }
    }
}
