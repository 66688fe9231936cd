//! What CleverTap's stand-in does where no source is certain, switched one way and the other, and what
//! it keeps.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::{Value, json};
use towpath_sandbox::{
    Action, AttributionSwitches, Fault, MissingProfile, Options, OrderAnswer, OrderSwitches,
    Prefix, ReadingSwitches, Sandbox, Switches, UnknownCampaign, UploadSwitches, UtmsIn, Vendor,
};

// 2016-12-24T12:00:00Z
const NOW: i64 = 1_482_580_800;

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

    /// Status and body of an answer, the body as it came.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let known = self.sandbox.credentials();
        let request = self
            .client
            .request(method.parse().unwrap(), format!("{}{path}", self.sandbox.clevertap_url()))
            .header("X-CleverTap-Account-Id", &known.project_id)
            .header("X-CleverTap-Passcode", &known.passcode);
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, &Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, String) {
        self.ask("POST", path, &body).await
    }

    /// Tells of an install and of an event with one parameter that the page does not list and a utm
    /// twice.
    async fn attribute(&self, method: &str) -> u16 {
        let known = self.sandbox.credentials();
        let keys = format!(
            "account_id={}&account_token={}&account_passcode={}",
            known.project_id, known.token, known.passcode
        );
        let rest = "device_identifier=__g1&platform=iOS&partner_name=attribution%20partner";
        let utms = "utm_source=old&utm_source=new&items=shoes";
        for event in ["organic_install", "Checkout"] {
            let path = format!("/attribution?{keys}&{rest}&{utms}&event_type={event}");
            let (status, _) = self.ask(method, &path, &Value::Null).await;
            if status != 200 {
                return status;
            }
        }
        200
    }

    /// Name, properties and session of each event that attribution told of.
    async fn exported(&self) -> Vec<(String, Value, Value)> {
        let mut told = Vec::new();
        for record in self.sandbox.delivered() {
            let name = record.record()["evtName"].as_str().unwrap().to_owned();
            let query = json!({ "event_name": name, "from": 20_161_224, "to": 20_161_224 });
            let (_, opened) = self.post("/1/events.json", query).await;
            let opened: Value = serde_json::from_str(&opened).unwrap();
            let path = format!("/1/events.json?cursor={}", opened["cursor"].as_str().unwrap());
            let (_, page) = self.get(&path).await;
            let page: Value = serde_json::from_str(&page).unwrap();
            let record = &page["records"][0];
            told.push((name, record["event_props"].clone(), record["session_props"].clone()));
        }
        told
    }

    /// Uploads a person and so many events of one name.
    async fn charged(&self, identity: &str, times: i64) {
        let mut records = vec![json!({
            "identity": identity, "type": "profile", "profileData": { "Name": "Ada Lovelace" },
        })];
        records.extend((0..times).map(
            |_| json!({ "identity": identity, "type": "event", "ts": NOW, "evtName": "Charged" }),
        ));
        self.post("/1/upload", json!({ "d": records })).await;
    }

    /// The codes of an upload's refusals.
    async fn codes(&self, records: &[Value]) -> Vec<u64> {
        let (_, answer) = self.post("/1/upload", json!({ "d": records })).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let refused = answer["unprocessed"].as_array().unwrap();
        refused.iter().map(|it| it["code"].as_u64().unwrap()).collect()
    }
}

fn sent(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

fn query() -> Value {
    json!({ "event_name": "Charged", "from": 20_161_224, "to": 20_161_224 })
}

fn event(name: &str, data: Value) -> Value {
    json!({ "identity": "1", "type": "event", "evtName": name, "evtData": data })
}

fn profile(data: Value) -> Value {
    json!({ "identity": "1", "type": "profile", "profileData": data })
}

#[tokio::test]
async fn events_and_profiles_keep_to_the_documented_limits_unless_that_is_switched_off() {
    let world = World::new(Switches::default()).await;
    let items = |count: usize| json!({ "Items": vec![json!({ "Category": "books" }); count] });
    let many: Value = (0..257).map(|n| (format!("p{n}"), json!(n))).collect();
    let beyond = [
        (event("Cart; opened", json!({})), 555),
        (event("Cart", json!({ "a.b": 1 })), 555),
        (event("Cart", json!({ "k".repeat(121): 1 })), 555),
        (event("Cart", json!({ "Note": "n".repeat(513) })), 555),
        (event("Charged", items(257)), 522),
        (event("Cart", many), 522),
        (profile(json!({ "a#b": 1 })), 555),
        (profile(json!({ "Note": "n".repeat(513) })), 555),
    ];
    for (record, code) in &beyond {
        assert_eq!(world.codes(std::slice::from_ref(record)).await, [*code], "{record}");
    }
    let list: Vec<_> = (0..101).collect();
    let fine = [
        event("Cart #1", json!({ "No #": "n".repeat(512), "Sizes": list })),
        event("Charged", items(256)),
        event("Cart", items(257)),
        profile(json!({ "ä".repeat(120): "ü".repeat(512), "Sizes": list })),
    ];
    assert_eq!(world.codes(&fine).await, [] as [u64; 0]);
    let uploads = UploadSwitches {
        limits_code: 512,
        bytes_count: true,
        long_lists_refused: true,
        ..Default::default()
    };
    world.sandbox.set_switches(Switches { uploads, ..Switches::default() });
    assert_eq!(world.codes(&[beyond[0].0.clone(), fine[0].clone()]).await, [512]);
    for data in
        [json!({ "ä".repeat(61): 1 }), json!({ "a": "ü".repeat(257) }), json!({ "a": list })]
    {
        assert_eq!(world.codes(&[profile(data)]).await, [512]);
    }
    world.sandbox.set_switches(Switches { strict_properties: false, ..Switches::default() });
    let all: Vec<_> = beyond.into_iter().map(|(record, _)| record).collect();
    assert_eq!(world.codes(&all).await, [] as [u64; 0]);
}

#[tokio::test]
async fn tokens_have_a_limit_of_their_own() {
    let world = World::new(Switches::default()).await;
    let token = |n: u32| json!({ "type": "token", "objectId": format!("__g{n}"), "tokenData": { "id": "a", "type": "fcm" } });
    let tokens: Vec<_> = (0..101).map(token).collect();
    let upload = |count: usize| world.post("/1/upload", json!({ "d": tokens[..count] }));
    assert_eq!((upload(100).await.0, upload(101).await.0), (200, 400));
    let uploads = UploadSwitches { tokens: 1_000, ..Default::default() };
    world.sandbox.set_switches(Switches { uploads, ..Switches::default() });
    assert_eq!(upload(101).await.0, 200);
}

#[tokio::test]
async fn what_was_begun_is_asked_after_where_it_was_begun() {
    let reading = ReadingSwitches { pending: 1, ..Default::default() };
    let world = World::new(Switches { reading, ..Switches::default() }).await;
    world.charged("a", 3).await;
    let cursor = async |path: &str| {
        let (_, opened) = world.post(path, query()).await;
        let opened: Value = serde_json::from_str(&opened).unwrap();
        opened["cursor"].as_str().unwrap().to_owned()
    };
    let events = cursor("/1/events.json").await;
    let lost = sent(400, r#"{"status":"fail","error":"Invalid cursor","code":400}"#);
    assert_eq!(world.get(&format!("/1/profiles.json?cursor={events}")).await, lost);
    world.post("/1/counts/profiles.json", query()).await;
    let id = "req_id=384649162721760";
    for elsewhere in ["events", "trends", "top"] {
        let unknown = sent(400, r#"{"status":"fail","error":"Invalid req_id","code":400}"#);
        assert_eq!(world.get(&format!("/1/counts/{elsewhere}.json?{id}")).await, unknown);
    }
    let counted = sent(200, r#"{"status":"success","count":1}"#);
    assert_eq!(world.get(&format!("/1/counts/profiles.json?{id}")).await, counted);
    // A place that nobody was given is beyond the end.
    let far =
        STANDARD.encode("export?1>18446744073709551615").replace('+', "%2B").replace('=', "%3D");
    world.get(&format!("/1/events.json?cursor={far}")).await;
    let (_, beyond) = world.get(&format!("/1/events.json?cursor={far}")).await;
    assert_eq!(serde_json::from_str::<Value>(&beyond).unwrap()["records"], json!([]));
    // The last ones are kept, and none once all is forgotten.
    for _ in 0..64 {
        cursor("/1/events.json").await;
    }
    assert_eq!(world.get(&format!("/1/events.json?cursor={events}")).await, lost);
    let last = cursor("/1/events.json").await;
    world.sandbox.clear_delivered();
    assert_eq!(world.get(&format!("/1/events.json?cursor={last}")).await, lost);
}

#[tokio::test]
async fn an_export_is_opened_as_the_sdk_for_node_does() {
    let world = World::new(Switches::default()).await;
    world.charged("a", 3).await;
    let asked = query().to_string();
    let asked = asked.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
    for path in ["events", "profiles"] {
        let (_, opened) = world.get(&format!("/1/{path}.json?batch_size=2&query={asked}")).await;
        let opened: Value = serde_json::from_str(&opened).unwrap();
        let cursor = opened["cursor"].as_str().unwrap();
        let (_, page) = world.get(&format!("/1/{path}.json?cursor={cursor}")).await;
        let page: Value = serde_json::from_str(&page).unwrap();
        let found = page["records"].as_array().unwrap().len();
        assert_eq!(found, if path == "events" { 2 } else { 1 });
    }
}

#[tokio::test]
async fn orders_are_answered_in_one_way_or_another() {
    for (answer, expected) in [
        (OrderAnswer::Success, sent(200, r#"{"status":"success"}"#)),
        (
            OrderAnswer::Queued,
            sent(200, r#"{"status":"success","message":"Added to queue for processing"}"#),
        ),
        (OrderAnswer::Empty, sent(200, "")),
        (OrderAnswer::NoContent, sent(204, "")),
    ] {
        let orders = OrderSwitches { answer, ..Default::default() };
        let world = World::new(Switches { orders, ..Switches::default() }).await;
        let campaign = json!({ "name": "A", "target_mode": "sms", "segment": 7 });
        world.post("/1/targets/create.json", campaign).await;
        for (path, body) in [
            ("/1/delete/profiles.json", json!({ "identity": "1" })),
            ("/1/demerge/profiles.json", json!({ "identities": ["1"] })),
            ("/1/targets/trigger.json", json!({ "business_event": "Match", "name": "Final" })),
        ] {
            assert_eq!(world.post(path, body).await, expected, "{path}");
        }
        // The answer to a stop is documented.
        let stopped = world.post("/1/targets/stop.json", json!({ "id": 1_457_433_898 })).await;
        assert_eq!(stopped, sent(200, r#"{"status":"success"}"#));
        assert_eq!(world.sandbox.ordered().len(), 5);
    }
    for (unknown_campaign, status) in [
        (UnknownCampaign::Refused, 400),
        (UnknownCampaign::NotFound, 404),
        (UnknownCampaign::Stopped, 200),
    ] {
        let orders = OrderSwitches { unknown_campaign, ..Default::default() };
        let world = World::new(Switches { orders, ..Switches::default() }).await;
        assert_eq!(world.post("/1/targets/stop.json", json!({ "id": 1 })).await.0, status);
    }
}

#[tokio::test]
async fn a_campaign_reaches_whom_its_query_finds() {
    let world = World::new(Switches::default()).await;
    world.charged("a", 1).await;
    world.charged("b", 0).await;
    let mut campaign = json!({ "name": "A", "target_mode": "email", "estimate_only": true,
        "where": query(), "content": { "subject": "A" }, "when": "now" });
    let path = "/1/targets/create.json";
    let told = sent(200, r#"{"status":"success","estimates":{"email":1}}"#);
    assert_eq!(world.post(path, campaign.clone()).await, told);
    for (name, wrong) in [
        ("where", json!({ "event_name": "Charged" })),
        ("where", json!(7)),
        ("content", json!("A")),
        ("when", json!(7)),
        ("estimate_only", json!("yes")),
    ] {
        let right = std::mem::replace(&mut campaign[name], wrong);
        assert_eq!(world.post(path, campaign.clone()).await.0, 400, "{campaign}");
        campaign[name] = right;
    }
}

#[tokio::test]
async fn attribution_is_stored_in_one_way_or_another() {
    let session = |value: &str| json!({ "utm_source": value, "session_source": "Direct" });
    let (items, direct) = (json!({ "items": "shoes" }), json!({ "session_source": "Direct" }));
    let both = json!({ "utm_source": "new", "items": "shoes" });
    type Change = fn(&mut AttributionSwitches);
    let cases: [(Change, &str, Value, Value); 6] = [
        (|_| {}, "AP_Checkout", items.clone(), session("new")),
        (|it| it.prefix = Prefix::None, "Checkout", items.clone(), session("new")),
        (
            |it| it.prefix = Prefix::Name,
            "attribution partner_Checkout",
            items.clone(),
            session("new"),
        ),
        (|it| it.utms_in = UtmsIn::Properties, "AP_Checkout", both.clone(), direct),
        (|it| it.utms_in = UtmsIn::Both, "AP_Checkout", both, session("new")),
        (
            |it| (it.extra, it.first_counts) = (false, true),
            "AP_Checkout",
            json!({}),
            session("old"),
        ),
    ];
    for (change, name, properties, session) in cases {
        let mut attribution = AttributionSwitches::default();
        change(&mut attribution);
        let world = World::new(Switches { attribution, ..Switches::default() }).await;
        assert_eq!(world.attribute("GET").await, 200);
        let expected = |name: &str| (name.to_owned(), properties.clone(), session.clone());
        assert_eq!(world.exported().await, [expected("UTM Visited"), expected(name)]);
    }
    for (post, status) in [(false, 405), (true, 200)] {
        let attribution = AttributionSwitches { post, ..Default::default() };
        let world = World::new(Switches { attribution, ..Switches::default() }).await;
        assert_eq!(world.attribute("POST").await, status);
    }
}

#[tokio::test]
async fn an_attribution_of_no_time_is_refused() {
    let world = World::new(Switches::default()).await;
    let known = world.sandbox.credentials().clone();
    let path = format!(
        "/attribution?account_id={}&account_token={}&account_passcode={}&device_identifier=__g1\
         &platform=iOS&partner_name=a&event_type=b&timestamp=",
        known.project_id, known.token, known.passcode
    );
    for wrong in ["9223372036854775807", "-1", "today"] {
        let refused = sent(400, r#"{"status":"fail","error":"timestamp is invalid","code":400}"#);
        assert_eq!(world.get(&format!("{path}{wrong}")).await, refused);
    }
    assert_eq!(world.get(&format!("{path}1482580800")).await.0, 200);
    assert_eq!(world.get("/1/profile.json?objectId=__g1").await.0, 200);
}

#[tokio::test]
async fn a_partner_and_a_missing_profile_are_told_as_the_switches_say() {
    let switches = Switches {
        connect_partners: vec!["towpath".to_owned()],
        missing_profile: MissingProfile::FailWithoutCode,
        ..Switches::default()
    };
    let world = World::new(switches).await;
    let known = sent(200, r#"{"status":"success"}"#);
    assert_eq!(world.get("/v1/connect?partner=towpath").await, known);
    let unknown = sent(200, r#"{"status":"fail","message":"Unknown partner"}"#);
    for path in ["/v1/connect?partner=someone", "/v1/connect"] {
        assert_eq!(world.get(path).await, unknown);
    }
    let missing = sent(200, r#"{"status":"fail","error":"Profile not found"}"#);
    assert_eq!(world.get("/1/profile.json?identity=1").await, missing);
}

#[tokio::test]
async fn three_at_once_are_those_of_an_api_and_files_are_nobodys() {
    for (limits_by_method, status) in [(false, 429), (true, 400)] {
        let world = World::new(Switches { limits_by_method, ..Switches::default() }).await;
        let hold = async |method: &str, path: &str, count: u64| {
            let delay = Action::Delay { ms: 60_000 };
            world.sandbox.clear_faults();
            world.sandbox.fault(Fault::new(Vendor::CleverTap, path, delay).times(count));
            let mut held = tokio::task::JoinSet::new();
            for _ in 0..count {
                let url = format!("{}{path}", world.sandbox.clevertap_url());
                held.spawn(world.client.request(method.parse().unwrap(), url).send());
            }
            while world.sandbox.faults()[0].applied < count {
                tokio::task::yield_now().await;
            }
            held
        };
        let opening = hold("POST", "/1/events.json", 3).await;
        assert_eq!(world.get("/1/events.json?cursor=a").await.0, status);
        assert_eq!(world.post("/1/profiles.json", query()).await.0, 200);
        drop(opening);
        let putting = hold("PUT", "/files/1", 4).await;
        assert_eq!(world.ask("PUT", "/files/1", &json!("a")).await.0, 403);
        drop(putting);
    }
}
