//! What reads CleverTap, against the sandbox: exports page by page, counts that take their time,
//! profiles that are there or not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;
use connector::{
    ErasedAction, ErasedItem, ErasedTrigger, ManualClock, Services, Unkept, Unlimited,
};
use sandbox::{
    Action as Failure, Fault, MissingProfile, NoReport, Options, ReadingSwitches, Sandbox,
    Switches, Vendor,
};

/// 2016-12-24T12:00:00Z
const NOW: i64 = 1_482_580_800;

struct World {
    sandbox: Sandbox,
    api: Api,
}

impl World {
    async fn new(reading: ReadingSwitches) -> Self {
        let timezone = reading.timezone.to_string();
        let switches = Switches { reading, ..Switches::default() };
        let options = Options { receivers: 0, switches, now: Some(NOW), ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        let known = sandbox.credentials().clone();
        let values = [
            ("projectId", known.project_id.as_str()),
            ("passcode", &known.passcode),
            ("timezone", &timezone),
        ];
        let values: BTreeMap<_, _> =
            values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let connector = towpath_clevertap::connector();
        let account = connector.account("engagement", Some(&sandbox.clevertap_url()), values);
        let services = Services {
            clock: Arc::new(ManualClock::new(Timestamp::from_secs(NOW))),
            limiter: Arc::new(Unlimited),
            tokens: Arc::new(Unkept),
        };
        let api = Api::new(&connector, account.unwrap(), &BTreeMap::new(), services);
        Self { sandbox, api: api.unwrap() }
    }

    /// Uploads a person and so many events, a second apart, the first at this time.
    async fn charged(&self, identity: &str, from: i64, times: i64) {
        let profile = json!({ "identity": identity, "profileData": { "Name": "Ada Lovelace" } });
        self.run(&action("uploadProfiles", json!({})), &[profile]).await.unwrap();
        let events = (0..times).map(|at| {
            let data = json!({ "Amount": at });
            json!({ "identity": identity, "ts": from + at, "evtName": "Charged", "evtData": data })
        });
        let events: Vec<_> = events.collect();
        let upload = action("uploadEvents", json!({ "event": "Charged" }));
        self.run(&upload, &events).await.unwrap();
    }

    async fn run(&self, of: &Arc<dyn ErasedAction>, inputs: &[Value]) -> Result<Outcomes> {
        let items = inputs.iter().enumerate().map(|(index, input)| ErasedItem {
            id: Arc::from(format!("message-{index}")),
            key: Arc::from(format!("{index}")),
            input: of.prepare(input.clone()).unwrap(),
        });
        of.run(&self.api, &items.collect::<Vec<_>>()).await
    }

    async fn one(&self, name: &str, fields: Value, input: Value) -> Outcome {
        let outcomes = self.run(&action(name, fields), &[input]).await.unwrap();
        outcomes.into_vec().remove(0).unwrap()
    }

    /// The pages of one scan; a page that is still being prepared is asked for again.
    async fn scan(&self, name: &str, fields: Value, want: Want) -> Vec<Vec<Record>> {
        let (pages, failed) = self.try_scan(name, fields, want).await;
        assert_eq!(failed, None);
        pages
    }

    /// The same up to a page that fails, and its error.
    async fn try_scan(
        &self,
        name: &str,
        fields: Value,
        want: Want,
    ) -> (Vec<Vec<Record>>, Option<Error>) {
        let trigger = trigger(name, fields);
        let (mut pages, mut cursor) = (vec![], None);
        loop {
            let scan = Scan { want, partition: None, cursor: cursor.clone() };
            match trigger.poll(&self.api, &scan).await {
                Ok(page) => {
                    pages.push(page.records);
                    cursor = page.next;
                }
                Err(Error::Retry { reason, after: Some(_) }) if reason.contains("prepared") => {}
                Err(error) => return (pages, Some(error)),
            }
            if cursor.is_none() {
                return (pages, None);
            }
        }
    }
}

fn action(name: &str, fields: Value) -> Arc<dyn ErasedAction> {
    let connector = towpath_clevertap::connector();
    (connector.find_action(name).unwrap().configure)(fields).unwrap()
}

fn trigger(name: &str, fields: Value) -> Arc<dyn ErasedTrigger> {
    let connector = towpath_clevertap::connector();
    (connector.find_trigger(name).unwrap().configure)(fields).unwrap()
}

const DAY: i64 = 86_400;

#[tokio::test]
async fn events_come_page_by_page_with_keys_that_stay_and_times_that_are_instants() {
    let reading = ReadingSwitches {
        pending: 3,
        timezone: "Asia/Kolkata".parse().unwrap(),
        ..Default::default()
    };
    let world = World::new(reading).await;
    world.charged("7", NOW - DAY, 5).await;
    let fields = json!({ "event": "Charged", "batchSize": 2 });
    let pages = world.scan("eventsPolling", fields.clone(), Want::All).await;
    // The first one was not ready: its cursor is kept, and asked with again.
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [0, 2, 2, 1]);
    let requests = world.sandbox.stats().clevertap;
    assert_eq!(requests.requests_to("POST /1/events.json"), 1);
    assert_eq!(requests.requests_to("GET /1/events.json"), 3 + 3);
    let found: Vec<_> = pages.into_iter().flatten().collect();
    let versions: Vec<_> = found.iter().map(|it| it.version.unwrap().secs()).collect();
    assert_eq!(versions, (0..5).map(|at| NOW - DAY + at).collect::<Vec<_>>());
    let keys = |records: &[Record]| records.iter().map(|it| it.key.clone()).collect::<Vec<_>>();
    // The person changes, and what was done does not.
    let profile = json!({ "identity": "7", "profileData": { "Name": "Ada King" } });
    world.run(&action("uploadProfiles", json!({})), &[profile]).await.unwrap();
    let again: Vec<_> = world
        .scan("eventsPolling", fields.clone(), Want::All)
        .await
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(keys(&again), keys(&found));
    assert!(again.first().unwrap().data.get().contains("Ada King"));
    // With a first device the events are shown by that; they say what they were known by.
    world.sandbox.add_device("7", "__g7");
    let shown: Vec<_> = world
        .scan("eventsPolling", fields.clone(), Want::All)
        .await
        .into_iter()
        .flatten()
        .collect();
    let polled = trigger("eventsPolling", fields);
    let were: Vec<_> = shown.iter().map(|it| polled.earlier_key(it).unwrap()).collect();
    assert_eq!(were, keys(&found));
    assert_ne!(keys(&shown), keys(&found));
}

#[tokio::test]
async fn an_export_that_is_lost_is_opened_anew_and_an_empty_one_has_no_list() {
    let world = World::new(ReadingSwitches { forgotten: 2, ..Default::default() }).await;
    world.charged("7", NOW - DAY, 3).await;
    let fields = json!({ "event": "Charged", "batchSize": 2 });
    let page = |answer| Fault::new(Vendor::CleverTap, "/1/events.json", answer).method("GET");
    let found = world.scan("eventsPolling", fields.clone(), Want::All).await;
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2, 1]);
    assert_eq!(world.sandbox.stats().clevertap.requests_to("POST /1/events.json"), 3);
    let empty = Failure::body(r#"{"status":"success"}"#);
    world.sandbox.fault(page(empty));
    let none = world.scan("eventsPolling", fields, Want::All).await;
    assert_eq!(none.iter().map(Vec::len).collect::<Vec<_>>(), [0]);
}

#[tokio::test]
async fn an_export_that_is_lost_again_and_again_or_goes_in_a_circle_ends_the_scan() {
    for trigger in ["eventsPolling", "profilesByEvent"] {
        let fields = json!({ "event": "Charged", "batchSize": 1 });
        let lost = ReadingSwitches { forgotten: 99, ..Default::default() };
        let circle = |pages| ReadingSwitches { circle: pages, ..Default::default() };
        for (reading, expected, says) in [
            (lost, 3, "Invalid cursor"),
            // A circle is noticed however long it is, after a few rounds at most.
            (circle(1), 0, "in a circle"),
            (circle(2), 2, "in a circle"),
            (circle(3), 5, "in a circle"),
        ] {
            let world = World::new(reading.clone()).await;
            for identity in ["a", "b", "c", "d", "e"] {
                world.charged(identity, NOW - DAY, 1).await;
            }
            let (pages, failed) = world.try_scan(trigger, fields.clone(), Want::All).await;
            let failed = failed.unwrap().to_string();
            assert!(failed.contains(says), "{trigger} {reading:?}: {failed}");
            assert_eq!(pages.len(), expected, "{trigger} {reading:?}");
        }
    }
}

#[tokio::test]
async fn a_poll_asks_for_whole_days_of_the_project() {
    let reading =
        ReadingSwitches { timezone: "Asia/Kolkata".parse().unwrap(), ..Default::default() };
    let world = World::new(reading).await;
    // 17:30 and 19:30 UTC: the same day in London, two days in India.
    let evening = NOW - DAY + 5 * 3600;
    world.charged("7", evening + 1800, 1).await;
    world.charged("7", evening + 2 * 3600 + 1800, 1).await;
    let since = Want::Changed { since: Timestamp::from_secs(evening + 2 * 3600) };
    let fields = json!({ "event": "Charged" });
    let found: Vec<_> =
        world.scan("eventsPolling", fields, since).await.into_iter().flatten().collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found.first().unwrap().version, Some(Timestamp::from_secs(evening + 9000)));
}

#[tokio::test]
async fn profiles_are_found_by_what_was_done_in_the_last_days_and_what_was_not() {
    let world = World::new(ReadingSwitches { pending: 1, ..Default::default() }).await;
    for (identity, days) in [("a", 1), ("b", 10), ("c", 40)] {
        world.charged(identity, NOW - days * DAY, 2).await;
    }
    let found = async |fields: Value| {
        let pages = world.scan("profilesByEvent", fields, Want::All).await;
        pages.into_iter().flatten().map(|it| it.key).collect::<Vec<_>>()
    };
    assert_eq!(found(json!({ "event": "Charged" })).await, ["a", "b"]);
    assert_eq!(found(json!({ "event": "Charged", "lastDays": 5 })).await, ["a"]);
    let none = json!({ "lastDays": 30, "query": { "advanced_query": { "did_none": [
        { "event_name": "Charged" }] } } });
    assert_eq!(found(none).await, ["c"]);
}

#[tokio::test]
async fn a_profile_is_looked_up_and_one_that_is_missing_is_refused_or_goes_on() {
    let world = World::new(ReadingSwitches::default()).await;
    world.charged("7", NOW, 1).await;
    let Outcome::Done { value, .. } =
        world.one("getProfile", json!({}), json!({ "identity": "7" })).await
    else {
        panic!("the profile is there")
    };
    assert_eq!((&value["found"], &value["record"]["name"]), (&json!(true), &json!("Ada Lovelace")));
    use MissingProfile::{EmptySuccess, Fail, FailWithoutCode, NotFound};
    for missing_profile in [Fail, FailWithoutCode, NotFound, EmptySuccess] {
        world.sandbox.set_switches(Switches { missing_profile, ..Switches::default() });
        for by in ["identity", "email", "objectId"] {
            let refused = world.one("getProfile", json!({}), json!({ by: "8" })).await;
            assert!(matches!(refused, Outcome::Rejected { code, .. } if code == "notFound"));
        }
        let on = json!({ "missing": "goOn" });
        let outcome = world.one("getProfile", on, json!({ "identity": "8" })).await;
        assert_eq!(outcome, Outcome::done(json!({ "found": false })));
    }
    let both = world.one("getProfile", json!({}), json!({ "identity": "8", "email": "a" })).await;
    assert!(matches!(both, Outcome::Rejected { code, .. } if code == "severalIdentities"));
}

#[tokio::test]
async fn a_count_that_takes_its_time_is_asked_after_until_it_is_there() {
    let world = World::new(ReadingSwitches { pending: 2, ..Default::default() }).await;
    world.charged("7", NOW, 4).await;
    let counts = action("counts", json!({ "of": "events" }));
    let question = json!({ "query": { "event_name": "charged" } });
    let outcomes = world.run(&counts, std::slice::from_ref(&question)).await.unwrap();
    let Some(Outcome::Parked { token, .. }) = outcomes.into_vec().remove(0) else {
        panic!("the count is not there yet")
    };
    let again = counts.check(&world.api, &token).await.unwrap();
    assert!(matches!(again, Outcome::Parked { token: same, .. } if same == token));
    let done = counts.check(&world.api, &token).await.unwrap();
    assert_eq!(done, Outcome::done(json!({ "count": 4 })));
    let empty = world.one("counts", json!({}), json!({ "query": {} })).await;
    assert!(matches!(empty, Outcome::Rejected { code, .. } if code == "noQuestion"));
    // Days are filled in: forty days ago is not among the last thirty.
    world.sandbox.set_switches(Switches::default());
    world.charged("8", NOW - 40 * DAY, 1).await;
    for (fields, expected) in
        [(json!({ "of": "events" }), 4), (json!({ "of": "events", "lastDays": 60 }), 5)]
    {
        let outcome = world.one("counts", fields, question.clone()).await;
        assert_eq!(outcome, Outcome::done(json!({ "count": expected })));
    }
}

#[tokio::test]
async fn a_report_waits_for_its_figures_however_that_is_told() {
    use NoReport::{Conflict, Failure, Incomplete, IncompleteFail};
    for no_report in [Conflict, Failure, Incomplete, IncompleteFail] {
        let world = World::new(ReadingSwitches { no_report, ..Default::default() }).await;
        let report = action("campaignReport", json!({}));
        let outcomes = world.run(&report, &[json!({ "id": 1_457_432_766 })]).await.unwrap();
        let Some(Outcome::Parked { token, .. }) = outcomes.into_vec().remove(0) else {
            panic!("there is no report yet: {no_report:?}")
        };
        let figures = BTreeMap::from([("sent".to_owned(), 82)]);
        let reports = BTreeMap::from([(1_457_432_766, figures)]);
        let reading = ReadingSwitches { no_report, reports, ..Default::default() };
        world.sandbox.set_switches(Switches { reading, ..Switches::default() });
        let done = report.check(&world.api, &token).await.unwrap();
        assert_eq!(done, Outcome::done(json!({ "sent": 82 })));
    }
}
