//! What reads CleverTap, and attribution, as their clients see them: the envelopes of the vendor's
//! samples and its words, around what was uploaded here.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::collections::BTreeMap;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use towpath_sandbox::{
    AttributionSwitches, NoDevice, NoReport, Options, ReadingSwitches, Sandbox, Switches,
};

struct World {
    sandbox: Sandbox,
    client: Client,
}

impl World {
    async fn new(switches: Switches) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        // 2016-12-24T12:00:00Z
        let now = Some(1_482_580_800);
        let options = Options { receivers: 0, now, switches, ..Options::default() };
        let client = Client::builder().build().unwrap();
        Self { sandbox: Sandbox::start(options).await.unwrap(), client }
    }

    /// Status and body of an answer, the body as it came.
    async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, String) {
        let known = self.sandbox.credentials();
        let request = self
            .client
            .request(method, format!("{}{path}", self.sandbox.clevertap_url()))
            .header("X-CleverTap-Account-Id", &known.project_id)
            .header("X-CleverTap-Passcode", &known.passcode);
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.ask(Method::GET, path, &Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, String) {
        self.ask(Method::POST, path, &body).await
    }

    async fn attribute(&self, query: &str) -> (u16, String) {
        let url = format!("{}/attribution?{query}", self.sandbox.clevertap_url());
        let answer = self.client.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Uploads a person and so many events of one name, a second apart.
    async fn charged(&self, identity: &str, times: i64) {
        let mut records = vec![json!({
            "identity": identity, "type": "profile",
            "profileData": { "Name": "Ada Lovelace", "Customer Type": "Gold" },
        })];
        records.extend((0..times).map(|at| {
            json!({
                "identity": identity, "type": "event", "ts": 1_482_537_600 + at,
                "evtName": "Charged", "evtData": { "Amount": 10 * (at + 1) },
            })
        }));
        self.post("/1/upload", json!({ "d": records })).await;
    }
}

fn sent(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

const QUERY: &str = r#"{"event_name":"Charged","from":20161224,"to":20161224}"#;

fn query() -> Value {
    serde_json::from_str(QUERY).unwrap()
}

#[tokio::test]
async fn attribution_answers_in_the_vendors_words() {
    let attribution = AttributionSwitches {
        partners: vec!["airbridge".to_owned()],
        ..AttributionSwitches::default()
    };
    let world = World::new(Switches { attribution, ..Switches::default() }).await;
    let known = world.sandbox.credentials().clone();
    let keys = format!(
        "account_id={}&account_token={}&account_passcode={}",
        known.project_id, known.token, known.passcode
    );
    let device = "device_identifier=__g1234abc&platform=android";
    let install = format!("partner_name=airbridge&event_type=organic_install&{device}&{keys}");
    assert_eq!(
        world.attribute(&install).await,
        sent(400, r#"{"status":"fail","error":"utm_source is missing","code":400}"#)
    );
    let wrong = format!("{install}&utm_source=a").replace(&known.token, "aca-061");
    assert_eq!(
        world.attribute(&wrong).await,
        sent(401, r#"{"status":"fail","error":"Invalid Account Info","code":401}"#)
    );
    let typo = install.replace("airbridge", "airbirdge");
    let (status, body) = world.attribute(&typo).await;
    assert!(status == 400 && body.contains("Partner name not whitelisted"), "{body}");
    for empty in ["device_identifier", "platform", "event_type", "partner_name", "account_token"] {
        let rest: Vec<_> = install.split('&').filter(|pair| !pair.starts_with(empty)).collect();
        for query in [rest.join("&"), format!("{}&{empty}=", rest.join("&"))] {
            let expected =
                format!(r#"{{"status":"fail","error":"{empty} is missing","code":400}}"#);
            assert_eq!(world.attribute(&query).await, sent(400, &expected));
        }
    }
    // The vendor's sample has its time twice; the last one counts.
    let twice = format!(
        "partner_name=airbridge&event_type=Add_to_cart&timestamp=1656317838&{device}&items=shoes\
         &price=12.00&{keys}&timestamp=1660717763"
    );
    assert_eq!(world.attribute(&twice).await, sent(200, r#"{"status":"success"}"#));
    let stored = world.sandbox.delivered().remove(0).record();
    assert_eq!(
        stored,
        json!({
            "objectId": "__g1234abc", "type": "event", "ts": 1_660_717_763,
            "evtName": "A_Add_to_cart", "evtData": { "items": "shoes", "price": "12.00" },
        })
    );
    // The page says both that it is refused without a device and that it is not processed.
    let mut switches = world.sandbox.switches();
    switches.attribution.no_device = NoDevice::Dropped;
    world.sandbox.set_switches(switches);
    let nobody = format!("{install}&utm_source=a").replace("__g1234abc", "");
    assert_eq!(world.attribute(&nobody).await.0, 200);
    assert_eq!(world.sandbox.delivered_count(), 1);
}

#[tokio::test]
async fn an_export_goes_from_page_to_page_until_there_is_no_next_cursor() {
    let reading = ReadingSwitches {
        pending: 1,
        timezone: "Asia/Kolkata".parse().unwrap(),
        ..Default::default()
    };
    let world = World::new(Switches { reading, ..Switches::default() }).await;
    world.charged("5555555555", 3).await;
    let (_, opened) = world.post("/1/events.json?batch_size=2", query()).await;
    let opened: Value = serde_json::from_str(&opened).unwrap();
    assert_eq!(opened["status"], "success");
    // The cursor is taken as a query carries it: encoded once.
    let given = opened["cursor"].as_str().unwrap();
    let page = format!("/1/events.json?cursor={given}");
    let (status, body) = world.get(&page).await;
    assert!(status == 200 && body.contains("\"fail\"") && body.contains("still in progress"));
    let (_, first) = world.get(&page).await;
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["records"].as_array().unwrap().len(), 2);
    assert!(first.get("previous_cursor").is_none());
    // 00:00 UTC is half past five in India.
    assert_eq!(first["records"][0]["ts"], 20_161_224_053_000_u64);
    assert_eq!(first["records"][0]["event_props"], json!({ "Amount": 10 }));
    let next = first["next_cursor"].as_str().unwrap();
    let (_, last) = world.get(&format!("/1/events.json?cursor={next}")).await;
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last["records"].as_array().unwrap().len(), 1);
    assert!(last.get("next_cursor").is_none());
    // One that was encoded twice is none.
    let twice = format!("/1/events.json?cursor={}", next.replace('%', "%25"));
    assert_eq!(
        world.get(&twice).await,
        sent(400, r#"{"status":"fail","error":"Invalid cursor","code":400}"#)
    );
    assert_eq!(
        world
            .post(
                "/1/events.json",
                json!({ "event_name": "Notification Sent", "from": 20_161_224, "to": 20_161_224 })
            )
            .await,
        sent(400, r#"{"status":"fail","error":"Export not allowed for this event","code":400}"#)
    );
    assert_eq!(
        world.post("/1/events.json", json!({ "event_name": "Charged" })).await,
        sent(400, r#"{"status":"fail","error":"Incorrect Usage","code":3}"#)
    );
}

#[tokio::test]
async fn people_are_found_by_what_they_did_and_did_not_do() {
    let world = World::new(Switches::default()).await;
    for (identity, times) in [("a", 1), ("b", 3), ("c", 0)] {
        world.charged(identity, times).await;
    }
    let count = async |extra: Value| {
        let mut asked = query();
        asked.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (_, body) = world.post("/1/counts/profiles.json", asked).await;
        serde_json::from_str::<Value>(&body).unwrap()["count"].as_u64().unwrap()
    };
    let amount = |operator: &str, value: Value| json!({ "event_properties": [{ "name": "Amount", "operator": operator, "value": value }] });
    assert_eq!(count(json!({})).await, 2);
    assert_eq!(count(amount("greater_than", json!(10))).await, 1);
    assert_eq!(count(amount("between", json!([5, 15]))).await, 2);
    assert_eq!(count(amount("equals", json!([40, 50]))).await, 0);
    let none = json!({ "advanced_query": { "did_none": [{ "event_name": "charged",
        "event_properties": [{ "name": "Amount", "value": 30 }] }] } });
    assert_eq!(count(none).await, 1);
    let alone = json!({ "from": 20_161_224, "to": 20_161_224, "advanced_query": {
        "did_none": [{ "event_name": "Charged" }] } });
    let (_, body) = world.post("/1/counts/profiles.json", alone).await;
    assert_eq!(body, r#"{"status":"success","count":1}"#);
    // How often, by each or together; of sessions, of people, and of what is not known of anybody.
    let times = |operator: &str, value: u64| json!({ "event_name": "Charged", "operator": operator, "value": value });
    let all = |deed: Value| json!({ "advanced_query": { "did_all": [deed] } });
    assert_eq!(count(all(times("equals", 3))).await, 1);
    assert_eq!(count(all(times("less_than", 3))).await, 1);
    assert_eq!(count(all(times("greater_than", 3))).await, 0);
    let any = json!({ "advanced_query": { "did_any": {
        "any_events": [{ "event_name": "Charged" }, { "event_name": "charged" }],
        "operator": "greater_than_equals", "value": 6 } } });
    assert_eq!(count(any).await, 1);
    let session = |value: &str| json!({ "session_properties": [{ "name": "session_source", "value": value }] });
    assert_eq!((count(session("Direct")).await, count(session("Others")).await), (2, 0));
    let common = |name: &str, value: &str| json!({ "common_profile_properties": { name: [{ "name": "Customer Type", "value": value }] } });
    assert_eq!(count(common("profile_fields", "Gold")).await, 2);
    assert_eq!(count(common("demographics", "Silver")).await, 0);
    assert_eq!(count(common("technographics", "Gold")).await, 0);
    assert_eq!(
        count(json!({ "common_profile_properties": { "geo_radius": [[35, 42.5, 5.2]] } })).await,
        0
    );
    for wrong in [
        amount("is", json!(1)),
        amount("between", json!(1)),
        json!({ "event_properties": [{ "operator": "equals", "value": 1 }] }),
        json!({ "event_properties": {} }),
        json!({ "advanced_query": { "did_some": [] } }),
        all(json!({ "event": "Charged" })),
        json!({ "common_profile_properties": { "fields": [] } }),
        json!({ "common_profile_properties": { "geo_fields": "India" } }),
        json!({ "event_propertys": [] }),
        json!({ "groups": {} }),
    ] {
        let mut asked = query();
        asked.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let refused = sent(400, r#"{"status":"fail","error":"Incorrect Usage","code":3}"#);
        assert_eq!(world.post("/1/counts/profiles.json", asked).await, refused, "{wrong}");
    }
}

#[tokio::test]
async fn counts_trends_and_top_properties_are_the_vendors_samples() {
    let reading = ReadingSwitches { pending: 1, ..Default::default() };
    let world = World::new(Switches { reading, ..Switches::default() }).await;
    world.charged("a", 10).await;
    assert_eq!(
        world.post("/1/counts/events.json", query()).await,
        sent(200, r#"{"req_id":384649162721759,"status":"partial"}"#)
    );
    assert_eq!(
        world.get("/1/counts/events.json?req_id=384649162721759").await,
        sent(200, r#"{"status":"success","count":10}"#)
    );
    let switches = Switches::default();
    world.sandbox.set_switches(switches);
    let mut trends = query();
    trends["groups"] =
        json!({ "foo": { "trend_type": "daily" }, "foobar": { "trend_type": "monthly" } });
    assert_eq!(
        world.post("/1/counts/trends.json", trends).await,
        sent(200, r#"{"status":"success","foo":{"20161224":10},"foobar":{"201612":10}}"#)
    );
    let mut top = query();
    top["groups"] = json!({
        "foo": { "property_type": "event_properties", "name": "Amount" },
        "bar": { "property_type": "profile_fields", "name": "Customer Type" },
    });
    let told = r#"{"status":"success","foo":{"NUMBER":{"0-100":9,"100-200":1}},"bar":{"STR":{"Gold":10}}}"#;
    assert_eq!(world.post("/1/counts/top.json", top.clone()).await, sent(200, told));
    // How ranges are made is not known.
    let reading = ReadingSwitches { ranges: 0, ..Default::default() };
    world.sandbox.set_switches(Switches { reading, ..Switches::default() });
    let (_, body) = world.post("/1/counts/top.json", top).await;
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&told["foo"]["NUMBER"]["10"], &told["foo"]["NUMBER"]["100"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn people_are_asked_for_by_a_word_that_the_profile_has_not() {
    let world = World::new(Switches::default()).await;
    for (identity, gender) in [("a", "F"), ("b", "M")] {
        world.charged(identity, 1).await;
        let data =
            json!({ "identity": identity, "type": "profile", "profileData": { "Gender": gender } });
        world.post("/1/upload", json!({ "d": [data] })).await;
    }
    for (asked, count) in
        [(json!("Female"), 1), (json!("M"), 1), (json!(["Female", "Male"]), 2), (json!("Other"), 0)]
    {
        let mut query = query();
        query["common_profile_properties"] =
            json!({ "demographics": [{ "name": "Gender", "value": asked }] });
        let counted = format!(r#"{{"status":"success","count":{count}}}"#);
        assert_eq!(world.post("/1/counts/profiles.json", query).await, sent(200, &counted));
    }
}

#[tokio::test]
async fn a_campaign_without_a_result_is_told_as_each_source_tells_it() {
    let result = "{\"result\":{\"clicked\":28,\"sent\":82},\"status\":\"success\"}";
    let figures = BTreeMap::from([("clicked".to_owned(), 28), ("sent".to_owned(), 82)]);
    for (no_report, expected) in [
        (
            NoReport::Conflict,
            sent(
                409,
                r#"{"status":"fail","error":"This target has no result as of yet","code":409}"#,
            ),
        ),
        (
            NoReport::Failure,
            sent(
                500,
                r#"{"status":"fail","error":"This target has no result as of yet","code":500}"#,
            ),
        ),
        (
            NoReport::Incomplete,
            sent(
                200,
                r#"{"status":"success","error":"This target hasn't been completed","code":200}"#,
            ),
        ),
        (
            NoReport::IncompleteFail,
            sent(
                200,
                r#"{"status":"fail","error":"This target hasn't been completed","code":200}"#,
            ),
        ),
    ] {
        let reports = BTreeMap::from([(1_457_432_766, figures.clone())]);
        let reading = ReadingSwitches { no_report, reports, ..Default::default() };
        let world = World::new(Switches { reading, ..Switches::default() }).await;
        let path = "/1/targets/result.json";
        assert_eq!(world.post(path, json!({ "id": 1 })).await, expected);
        assert_eq!(world.post(path, json!({ "id": 1_457_432_766 })).await, sent(200, result));
    }
}
