//! Answers that were seen at CleverTap and that its stand-in does not give: an event with all that is
//! known of its device, and a failure that has no HTTP status.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;
use connector::{ErasedItem, Services};
use mapping::{Limits, Mapping, Moment, Variables};
use sandbox::{Action as Answer, Fault, Options, Sandbox, Vendor};

struct World {
    sandbox: Sandbox,
    api: Api,
}

impl World {
    async fn new() -> Self {
        let sandbox = Sandbox::start(Options { receivers: 0, ..Options::default() }).await.unwrap();
        let known = sandbox.credentials();
        let values = [
            ("projectId", known.project_id.as_str()),
            ("passcode", &known.passcode),
            ("timezone", "Asia/Kolkata"),
        ];
        let values: BTreeMap<_, _> =
            values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let connector = towpath_clevertap::connector();
        let account = connector.account("engagement", Some(&sandbox.clevertap_url()), values);
        let api = Api::new(&connector, account.unwrap(), &BTreeMap::new(), Services::bare());
        Self { sandbox, api: api.unwrap() }
    }

    fn answers(&self, method: &str, path: &str, body: impl Into<String>) {
        let fault = Fault::new(Vendor::CleverTap, path, Answer::body(body)).method(method);
        self.sandbox.fault(fault.forever());
    }

    async fn run(&self, action: &str, fields: Value, inputs: &[Value]) -> Result<Outcomes> {
        let connector = towpath_clevertap::connector();
        let action = (connector.find_action(action).unwrap().configure)(fields).unwrap();
        let items = inputs.iter().enumerate().map(|(index, input)| ErasedItem {
            id: Arc::from(format!("message-{index}")),
            key: Arc::from(format!("{index}")),
            input: action.prepare(input.clone()).unwrap(),
        });
        action.run(&self.api, &items.collect::<Vec<_>>()).await
    }
}

/// The vendor's sample, with what a recorded export has beside it.
fn event() -> Value {
    json!({
        "profile": {
            "objectId": "a8ffcbc9-a747-4ee3-a791-c5e58ad03097", "platform": "Web",
            "email": "peter@foo.com", "profileData": { "favoriteColor": "blue" },
            "identity": "5555555555", "id": 33, "df": { "k": 1 }, "os_version": "10.2",
            "app_version": "6.1.3", "make": "Apple", "model": "iPhone7,2",
            "events": { "Charged": { "count": 2, "first_seen": 1_457_962_417, "last_seen": 1_458_041_276 } },
        },
        "ts": 20_151_023_140_416_u64,
        "event_props": { "value": "pizza" },
        "session_props": {
            "utm_source": "Foo", "utm_medium": "Bar", "utm_campaign": "FooBar",
            "session_source": "Direct", "session_referrer": "https://example.com/",
        },
    })
}

#[tokio::test]
async fn a_recorded_event_is_found_once_with_its_person_and_its_session() {
    let world = World::new().await;
    let connector = towpath_clevertap::connector();
    let descriptor = connector.find_trigger("eventsPolling").unwrap();
    let trigger = (descriptor.configure)(json!({ "event": "choseNewFavoriteFood" })).unwrap();
    let mut later = event();
    later["profile"]["events"]["Charged"]["count"] = json!(3);
    let page = json!({
        "status": "success", "previous_cursor": "ZyZjfwYE", "records": [event(), later],
    });
    let cursor = "ZiZiNwMEBQBkaWZzY2MuO20BBQFlYmN7ZG5hewYBTQVjb2BzZmphfwEABQUra2Jmeg%3D%3D";
    let opened = json!({ "status": "success", "cursor": cursor });
    world.answers("POST", "/1/events.json", opened.to_string());
    world.answers("GET", "/1/events.json", page.to_string());
    let mut scan = Scan { want: Want::All, partition: None, cursor: None };
    let records = loop {
        let page = trigger.poll(&world.api, &scan).await.unwrap();
        scan.cursor = page.next;
        if scan.cursor.is_none() {
            break page.records;
        }
    };
    let [first, second] = &records[..] else { panic!("{records:?}") };
    // What is known of the person meanwhile makes no event new.
    assert_eq!(first.key, second.key);
    assert_eq!(first.version, Timestamp::parse("2015-10-23T08:34:16Z"));
    let mut expected = event();
    expected["at"] = json!("2015-10-23T08:34:16Z");
    let found: Value = serde_json::from_str(first.data.get()).unwrap();
    assert_eq!(found, expected);
    let mapping = Mapping::compile(descriptor.mapping).unwrap();
    let message = json!({ "metadata": { "recordUid": first.key }, "data": found });
    let fields = Variables::new().with("fields", json!({ "event": "choseNewFavoriteFood" }));
    let at = Moment { now_ms: 1_763_700_000_000, seed: 1 };
    let message = mapping.evaluate(&message.to_string(), &fields, &at, &Limits::default());
    let message = message.unwrap().unwrap();
    let data = message.get("data").unwrap_or(&message);
    assert_eq!(data["session"]["session_referrer"], "https://example.com/");
    assert_eq!(
        (&data["event"], &data["properties"]["value"]),
        (&json!("choseNewFavoriteFood"), &json!("pizza"))
    );
}

#[tokio::test]
async fn an_incorrect_usage_refuses_what_was_ordered_and_nothing_else() {
    let world = World::new().await;
    let usage = r#"{"status":"fail","error":"Incorrect Usage","code":3}"#;
    world.answers("POST", "/1/send/", usage);
    world.answers("POST", "/1/targets/create.json", usage);
    let to = |id: &str, text: &str| json!({ "identity": id, "content": { "body": text } });
    let sms = json!({ "channel": "sms" });
    let messages = [to("1", "hello"), to("2", "hello"), to("3", "good-bye")];
    // Those who get the same, each half of them, and the one who gets something else.
    for batch in [&messages[..2], &messages[..1], &messages[1..2], &messages[2..]] {
        let error = world.run("sendToUsers", sms.clone(), batch).await.unwrap_err();
        let Error::Reject { code, reason } = &error else { panic!("{error:?}") };
        assert!(code == "http400" && reason.contains("Incorrect Usage"), "{reason}");
    }
    assert_eq!(world.sandbox.stats().clevertap.total_requests(), 4);
    let campaign = json!({
        "name": "Spring", "target_mode": "email", "segment": 1, "when": "now",
        "content": { "subject": "s", "body": "b" },
    });
    let error = world.run("createCampaign", json!({}), &[campaign]).await.unwrap_err();
    let Error::Reject { code, reason } = &error else { panic!("{error:?}") };
    assert!(code == "http400" && reason.contains("Incorrect Usage"), "{reason}");
    assert!(world.sandbox.ordered().is_empty());
}
