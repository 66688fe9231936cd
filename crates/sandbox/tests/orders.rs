//! CleverTap's stand-in as its clients see it: recorded answers to the byte, and what is ordered.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use reqwest::Client;
use serde_json::{Value, json};
use towpath_sandbox::{Options, Sandbox, Switches};

const NOW: i64 = 1_790_000_000;

struct World {
    sandbox: Sandbox,
    client: Client,
}

impl World {
    async fn new(switches: Switches) -> Self {
        // A second test in the same process finds the provider already there.
        drop(rustls::crypto::ring::default_provider().install_default());
        let options = Options { receivers: 0, now: Some(NOW), switches, ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        Self { sandbox, client: Client::builder().build().unwrap() }
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let known = self.sandbox.credentials();
        let url = format!("{}{path}", self.sandbox.clevertap_url());
        let request = self
            .client
            .request(method.parse().unwrap(), url)
            .header("X-CleverTap-Account-Id", &known.project_id)
            .header("X-CleverTap-Passcode", &known.passcode)
            .body(body.to_owned());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, text) = self.send("POST", path, &body.to_string()).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    async fn status_of(&self, path: &str, body: Value) -> u16 {
        self.post(path, body).await.0
    }

    async fn is_there(&self, query: &str) -> bool {
        let (_, text) = self.send("GET", &format!("/1/profile.json?{query}"), "").await;
        text.contains(r#""record""#)
    }
}

/// The recorded answers: the code, its words, and a record that is refused so.
const RECORDED: &[(u16, &str, &str)] = &[
    (
        513,
        "Event Name is incorrect. ErrorCode: 513 - Trying to raise a restricted system event. ",
        r#"{"type":"event","identity":"1","evtName":"Web Page Viewed","evtData":{}}"#,
    ),
    (
        515,
        "Profile data is incorrect. Email is not valid.",
        r#"{"type":"profile","identity":"1","profileData":{"Email":"jack@gmail"}}"#,
    ),
    (
        516,
        "Profile data is incorrect. Phone number is not valid.",
        r#"{"type":"profile","identity":"1","profileData":{"Phone":"14155551234"}}"#,
    ),
    (
        517,
        "Profile data is incorrect. Employed needs to be Y/N.",
        r#"{"type":"profile","identity":"1","profileData":{"Employed":"Yes"}}"#,
    ),
    (
        518,
        "Profile data is incorrect. Education needs to be School/College/Graduate..",
        r#"{"type":"profile","identity":"1","profileData":{"Education":"PhD"}}"#,
    ),
    (
        520,
        "Profile data is incorrect. Age is invalid.",
        r#"{"type":"profile","identity":"1","profileData":{"Age":"old"}}"#,
    ),
    (
        525,
        "Timestamp should be present in the Unix Epoch format. ",
        r#"{"type":"profile","identity":"1","ts":1468308340000,"profileData":{}}"#,
    ),
];

#[tokio::test]
async fn recorded_answers_are_given_to_the_byte() {
    let world = World::new(Switches::default()).await;
    let good = r#"{"type":"profile","identity":"2","profileData":{"Name":"Jack"}}"#;
    let answer = world.send("POST", "/1/upload", &format!(r#"{{"d":[{good},{good}]}}"#)).await;
    let success = r#"{ "status" : "success" , "processed" : 2 , "unprocessed" : [ ]}"#;
    assert_eq!(answer, (200, success.to_owned()));
    for (code, words, record) in RECORDED {
        let refusal = |number: u8| {
            format!(
                r#"{{"status":"fail","code":{code},"error":"{words}Skipped record number : {number}","record":{record}}}"#
            )
        };
        let answer = world.send("POST", "/1/upload", &format!(r#"{{"d":[{record}]}}"#)).await;
        let fail = format!(r#"{{"status":"fail","processed":0,"unprocessed":[{}]}}"#, refusal(1));
        assert_eq!(answer, (200, fail));
        let body = format!(r#"{{"d":[{good},{record}]}}"#);
        let answer = world.send("POST", "/1/upload", &body).await;
        let partial =
            format!(r#"{{"status":"partial","processed":1,"unprocessed":[{}]}}"#, refusal(2));
        assert_eq!(answer, (200, partial));
    }
    let (status, text) = world.send("POST", "/1/upload", "not JSON").await;
    let malformed = r#"{"status":"fail","error":"Malformed request","code":400}"#;
    assert_eq!((status, text.as_str()), (400, malformed));
}

#[tokio::test]
async fn a_deletion_is_taken_at_once_and_carried_out_later() {
    let world = World::new(Switches { deletion_seconds: 3_600, ..Switches::default() }).await;
    for (id, device) in [("1", "__g1"), ("2", "__g2"), ("3", "__g3")] {
        world.sandbox.add_device(id, device);
    }
    let path = "/1/delete/profiles.json";
    let taken = (200, json!({ "status": "success" }));
    assert_eq!(world.post(path, json!({ "identity": ["1", 4] })).await, taken);
    assert_eq!(world.post(path, json!({ "guid": "__g2" })).await, taken);
    for query in ["identity=1", "identity=2", "objectId=__g2"] {
        assert!(world.is_there(query).await, "{query}");
    }
    world.sandbox.advance_clock(3_600);
    for query in ["identity=1", "identity=2", "objectId=__g2", "identity=4"] {
        assert!(!world.is_there(query).await, "{query}");
    }
    assert!(world.is_there("objectId=__g3").await);

    let ids: Vec<String> = (0..101).map(|id| id.to_string()).collect();
    for refused in [
        json!({}),
        json!({ "identity": [] }),
        json!({ "identity": "" }),
        json!({ "identity": ids }),
        json!({ "identity": "1", "guid": "__g1" }),
    ] {
        assert_eq!(world.status_of(path, refused.clone()).await, 400, "{refused}");
    }
    let mut switches = world.sandbox.switches();
    (switches.deletion_seconds, switches.recreate_deleted) = (0, true);
    world.sandbox.set_switches(switches);
    assert_eq!(world.post(path, json!({ "identity": "3" })).await, taken);
    assert!(!world.is_there("objectId=__g3").await);
    let (_, anew) = world.send("GET", "/1/profile.json?identity=3", "").await;
    let anew: Value = serde_json::from_str(&anew).unwrap();
    assert_eq!(anew["record"]["platformInfo"][0]["objectId"], "__new1");
    assert_eq!(anew["record"]["events"]["App Launched"]["first_seen"], NOW + 3_600);
    assert_eq!(world.sandbox.ordered().len(), 3);
}

#[tokio::test]
async fn lists_are_counted_as_uploads_are_or_answered_barely() {
    let world = World::new(Switches::default()).await;
    let good = json!({ "type": "phone", "value": "+14155551234", "status": "Unsubscribe" });
    let bad = json!({ "type": "fax", "value": "+14155551234", "status": "Unsubscribe" });
    let (status, answer) = world.post("/1/subscribe", json!({ "d": [good, bad] })).await;
    assert_eq!(
        (status, &answer["status"], &answer["processed"]),
        (200, &json!("partial"), &json!(1))
    );
    assert_eq!(answer["unprocessed"][0]["record"], bad);
    let off = json!({ "d": [{ "type": "phone", "value": "+14155551234" }] });
    let (_, answer) = world.post("/1/disassociate", off.clone()).await;
    assert_eq!(answer, json!({ "status": "success", "processed": 1, "unprocessed": [] }));
    let many = json!({ "d": vec![good; 1_001] });
    assert_eq!(world.status_of("/1/subscribe", many).await, 400);
    world.sandbox.set_switches(Switches { bare_lists: true, ..Switches::default() });
    let bare = (200, json!({ "status": "success" }));
    assert_eq!(world.post("/1/disassociate", off).await, bare);
    let path = "/1/demerge/profiles.json";
    assert_eq!(world.post(path, json!({ "identities": ["1", "2"] })).await, bare);
    for refused in [json!({ "identities": [] }), json!({ "identities": vec!["1"; 101] })] {
        assert_eq!(world.status_of(path, refused).await, 400);
    }
}

#[tokio::test]
async fn campaigns_are_created_stopped_and_set_off() {
    let world = World::new(Switches::default()).await;
    let campaign = json!({ "name": "A", "target_mode": "push", "segment": 7, "when": "now" });
    let (_, created) = world.send("POST", "/1/targets/create.json", &campaign.to_string()).await;
    let expected = r#"{"status":"success","id":1457433898,"estimates":{"android":0,"ios":0}}"#;
    assert_eq!(created, expected);
    let stop = |id: u64| world.status_of("/1/targets/stop.json", json!({ "id": id }));
    assert_eq!((stop(1_457_433_898).await, stop(1).await), (200, 400));
    let mail = json!({ "to": { "Email": ["a@example.com"] }, "content": { "subject": "A" } });
    let (_, sent) = world.send("POST", "/1/send/email.json", &mail.to_string()).await;
    assert_eq!(sent, r#"{"status":"success","message":"Added to queue for processing"}"#);
    let cause = json!({ "to": { "email": ["a@example.com"] }, "campaign_id": "1457433898" });
    assert_eq!(world.status_of("/1/send/externaltrigger.json", cause).await, 200);
    let event = json!({ "business_event": "Match", "name": "Final", "properties": { "a": "b" } });
    assert_eq!(world.status_of("/1/targets/trigger.json", event).await, 200);
    let crowd = json!({ "to": { "Identity": vec!["1"; 1_001] }, "content": {} });
    for (path, refused) in [
        ("/1/targets/create.json", json!({ "name": "A", "target_mode": "fax", "segment": 7 })),
        ("/1/targets/create.json", json!({ "name": "A", "target_mode": "sms" })),
        (
            "/1/targets/trigger.json",
            json!({ "business_event": "M", "name": "F", "properties": { "a": 1 } }),
        ),
        ("/1/send/sms.json", crowd),
        ("/1/send/sms.json", json!({ "to": { "phone": ["1"] }, "content": {} })),
        ("/1/send/sms.json", json!({ "to": { "Identity": ["1"] } })),
    ] {
        assert_eq!(world.status_of(path, refused.clone()).await, 400, "{path} {refused}");
    }
    let ordered: Vec<_> = world.sandbox.ordered().into_iter().map(|it| it.to).collect();
    assert_eq!(ordered.len(), 5);
    assert_eq!(ordered.first(), Some(&"POST /1/targets/create.json"));
}

#[tokio::test]
async fn a_file_goes_to_its_address_without_credentials_while_it_holds() {
    let world = World::new(Switches::default()).await;
    let (_, given) = world.post("/get_catalog_url", json!({})).await;
    let url = given["presignedS3URL"].as_str().unwrap();
    assert_eq!(given["expiryEpoch"]["$date"], (NOW + 86_400) * 1000);
    let told = json!({ "name": "A", "creator": "Jane", "email": "a@example.com", "url": url });
    assert_eq!(world.status_of("/upload_catalog_completed", told.clone()).await, 400);
    let csv = "Identity,Name,ImageURL,Category\n1,n,u,c\n";
    let put = |url: String| async {
        let request = world.client.put(url).body(csv).send();
        request.await.unwrap().status().as_u16()
    };
    let bare = url.split('?').next().unwrap().to_owned();
    assert_eq!((put(bare).await, put(url.to_owned()).await), (403, 200));
    let taken = (200, json!({ "status": "success" }));
    assert_eq!(world.post("/upload_catalog_completed", told).await, taken);
    world.sandbox.advance_clock(86_400);
    assert_eq!(put(url.to_owned()).await, 403);
}
