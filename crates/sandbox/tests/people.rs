//! Whom CleverTap takes somebody for: devices, erasures and what becomes of properties.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use reqwest::Client;
use serde_json::{Value, json};
use towpath_sandbox::{Options, Sandbox, Switches};

// 2026-09-21T14:13:20Z
const NOW: i64 = 1_790_000_000;
const YEAR: i64 = 365 * 86_400;

struct World {
    sandbox: Sandbox,
    client: Client,
}

impl World {
    async fn new(switches: Switches) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let options = Options { receivers: 0, now: Some(NOW), switches, ..Options::default() };
        let client = Client::builder().build().unwrap();
        Self { sandbox: Sandbox::start(options).await.unwrap(), client }
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let known = self.sandbox.credentials();
        let url = format!("{}{path}", self.sandbox.clevertap_url());
        let request = self
            .client
            .request(method.parse().unwrap(), url)
            .header("X-CleverTap-Account-Id", &known.project_id)
            .header("X-CleverTap-Passcode", &known.passcode)
            .body(body.to_string());
        let answer = request.send().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    /// Uploads an event; null as its time says none.
    async fn raise(&self, owner: (&str, &str), name: &str, ts: Option<i64>) {
        let record = json!({ "type": "event", (owner.0): owner.1, "evtName": name, "ts": ts });
        let answer = self.send("POST", "/1/upload", &json!({ "d": [record] })).await;
        assert_eq!(answer["status"], "success", "{answer}");
    }

    async fn say(&self, owner: (&str, &str), data: Value) {
        let record = json!({ "type": "profile", (owner.0): owner.1, "profileData": data });
        let answer = self.send("POST", "/1/upload", &json!({ "d": [record] })).await;
        assert_eq!(answer["status"], "success", "{answer}");
    }

    async fn attribute(&self, query: &str) {
        let known = self.sandbox.credentials();
        let keys = format!(
            "account_id={}&account_token={}&account_passcode={}",
            known.project_id, known.token, known.passcode
        );
        let url = format!("{}/attribution?{keys}&{query}", self.sandbox.clevertap_url());
        assert_eq!(self.client.get(url).send().await.unwrap().status(), 200);
    }

    /// The record of somebody; null where there is none.
    async fn show(&self, query: &str) -> Value {
        let answer = self.send("GET", &format!("/1/profile.json?{query}"), &json!(null)).await;
        answer["record"].clone()
    }

    /// Each event of an export: who, and when.
    async fn exported(&self, name: &str) -> Vec<(Value, u64)> {
        let query = json!({ "event_name": name, "from": 20_200_101, "to": 20_301_231 });
        let opened = self.send("POST", "/1/events.json", &query).await;
        let path = format!("/1/events.json?cursor={}", opened["cursor"].as_str().unwrap());
        let page = self.send("GET", &path, &json!(null)).await;
        let records = page["records"].as_array().unwrap().iter();
        records.map(|it| (it["profile"]["identity"].clone(), it["ts"].as_u64().unwrap())).collect()
    }

    async fn count(&self, query: &Value) -> Value {
        self.send("POST", "/1/counts/profiles.json", query).await["count"].clone()
    }

    async fn erase(&self, whom: Value) {
        let answer = self.send("POST", "/1/delete/profiles.json", &whom).await;
        assert_eq!(answer["status"], "success");
        self.sandbox.advance_clock(60);
    }
}

#[tokio::test]
async fn what_a_device_does_is_its_persons_whichever_was_told_first() {
    let world = World::new(Switches::default()).await;
    // One device is known before it does something, the other does something before.
    world.sandbox.add_device("21", "__g1");
    world.raise(("objectId", "__g1"), "Charged", None).await;
    world.say(("objectId", "__g2"), json!({ "Shoes": 42, "City": "Bremen" })).await;
    world
        .attribute(
            "device_identifier=__g2&platform=Android&partner_name=a&event_type=organic_install\
             &utm_source=b",
        )
        .await;
    world.say(("identity", "21"), json!({ "City": "Oldenburg" })).await;
    world.sandbox.add_device("21", "__g2");
    let record = world.show("identity=21").await;
    assert_eq!(record["profileData"], json!({ "Shoes": 42, "City": "Oldenburg" }));
    for (name, times) in [("Charged", 1), ("UTM Visited", 1)] {
        assert_eq!(record["events"][name]["count"], times, "{record}");
    }
    for device in ["__g1", "__g2"] {
        assert_eq!(world.show(&format!("objectId={device}")).await, record);
    }
    assert_eq!(world.sandbox.profile_count(), 1);
    assert_eq!(world.exported("UTM Visited").await, [(json!("21"), 20_260_921_141_320)]);
    let never = json!({ "from": 20_200_101, "to": 20_301_231,
        "advanced_query": { "did_none": [{ "event_name": "Charged" }] } });
    assert_eq!(world.count(&never).await, 0);

    for whom in [json!({ "guid": "__g1" }), json!({ "identity": "21" })] {
        world.erase(whom).await;
        for query in ["identity=21", "objectId=__g1", "objectId=__g2"] {
            assert_eq!(world.show(query).await, Value::Null, "{query}");
        }
        assert_eq!(world.sandbox.profile_count(), 0);
        world.sandbox.add_device("21", "__g1");
        world.raise(("objectId", "__g1"), "Charged", None).await;
    }
    // Who was to go as a device goes, too, after it turned out whose it is.
    let ghost = json!({ "guid": "__g9" });
    world.raise(("objectId", "__g9"), "Charged", None).await;
    world.send("POST", "/1/delete/profiles.json", &ghost).await;
    world.sandbox.add_device("29", "__g9");
    world.sandbox.advance_clock(60);
    assert_eq!(world.show("identity=29").await, Value::Null);
}

#[tokio::test]
async fn an_event_begins_at_its_own_time() {
    let world = World::new(Switches::default()).await;
    for ts in [Some(NOW - YEAR), None, Some(NOW - 2 * YEAR)] {
        world.raise(("identity", "21"), "Charged", ts).await;
    }
    let seen = json!({ "count": 3, "first_seen": NOW - 2 * YEAR, "last_seen": NOW });
    assert_eq!(world.show("identity=21").await["events"]["Charged"], seen);
    world
        .attribute(
            "device_identifier=__g1&platform=iOS&partner_name=a&event_type=b&timestamp=1700000000",
        )
        .await;
    let events = &world.show("objectId=__g1").await["events"];
    assert_eq!(events["A_b"]["first_seen"], 1_700_000_000);
}

#[tokio::test]
async fn the_events_of_the_erased_do_not_come_back_with_the_new() {
    for recreate_deleted in [false, true] {
        let world = World::new(Switches { recreate_deleted, ..Switches::default() }).await;
        world.sandbox.add_device("21", "__g21");
        world.raise(("identity", "21"), "Charged", None).await;
        world.raise(("objectId", "__g21"), "Charged", None).await;
        world.raise(("identity", "22"), "Charged", None).await;
        assert_eq!(world.exported("Charged").await.len(), 3);
        world.erase(json!({ "identity": "21" })).await;
        world.raise(("identity", "21"), "Charged", Some(NOW + 60)).await;
        world.sandbox.add_device("21", "__g21");
        let (old, new) = ((json!("22"), 20_260_921_141_320), (json!("21"), 20_260_921_141_420));
        assert_eq!(world.exported("Charged").await, [old, new]);
        let seen = json!({ "count": 1, "first_seen": NOW + 60, "last_seen": NOW + 60 });
        assert_eq!(world.show("identity=21").await["events"]["Charged"], seen);
    }
}

#[tokio::test]
async fn operators_are_carried_out_and_long_lists_lose_what_came_first() {
    let world = World::new(Switches::default()).await;
    let add = json!({ "Score": { "$incr": 1 }, "Tags": { "$add": ["a", "b"] } });
    for data in [add.clone(), add, json!({ "Tags": { "$remove": ["a"] } })] {
        world.say(("identity", "21"), data).await;
    }
    let known = json!({ "Score": 2, "Tags": ["b"] });
    assert_eq!(world.show("identity=21").await["profileData"], known);
    let found = json!({ "event_name": "Charged", "from": 20_200_101, "to": 20_301_231,
        "common_profile_properties": { "profile_fields": [{ "name": "Score", "value": 2 }] } });
    world.raise(("identity", "21"), "Charged", None).await;
    assert_eq!(world.count(&found).await, 1);
    let long: Vec<_> = (0..101).collect();
    world.say(("identity", "21"), json!({ "Tags": long })).await;
    let kept = &world.show("identity=21").await["profileData"]["Tags"];
    assert_eq!(*kept, json!(long[1..]));
}
