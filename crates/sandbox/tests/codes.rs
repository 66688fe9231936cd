//! Every code that CleverTap's documentation has for a record of an upload is given to a client, each
//! with the record's number, and its dry run says the same.

use std::collections::BTreeSet;

use reqwest::Client;
use serde_json::{Map, Value, json};
use towpath_sandbox::{Options, Sandbox, Switches};

/// What the documentation lists: of events, of profiles, of tokens.
const DOCUMENTED: [u16; 23] = [
    509, 512, 513, 522, 523, 524, 525, 526, 528, 555, // events, and some profiles too
    514, 515, 516, 517, 518, 519, 520, // profiles
    530, 531, 532, 533, 534, 535, // tokens
];

fn profile(data: Value) -> Value {
    json!({ "type": "profile", "identity": "1", "profileData": data })
}

fn event(name: &str, data: Value) -> Value {
    json!({ "type": "event", "identity": "1", "evtName": name, "evtData": data })
}

fn token(data: Value) -> Value {
    json!({ "type": "token", "objectId": "__g1", "tokenData": data })
}

fn records() -> Vec<(u16, Value)> {
    let many: Map<String, Value> = (0..257).map(|n| (format!("p{n}"), json!(n))).collect();
    let nobody = json!({ "type": "profile", "profileData": {} });
    let no_event = json!({ "type": "event", "evtName": "Viewed" });
    let no_device = json!({ "type": "token", "tokenData": { "id": "x", "type": "fcm" } });
    let late = json!({ "type": "event", "identity": "1", "evtName": "Viewed", "ts": "today" });
    let no_object = json!({ "type": "profile", "objectId": "", "profileData": {} });
    let no_object_of_event = json!({ "type": "event", "objectId": " ", "evtName": "Viewed" });
    vec![
        (509, event("", json!({}))),
        (512, event("Viewed", json!(7))),
        (513, event("App Launched", json!({}))),
        (522, event("Viewed", Value::Object(many))),
        (523, nobody),
        (523, no_event),
        (524, json!({ "identity": "1", "profileData": {} })),
        (524, json!({ "type": "profile", "identity": "1" })),
        (525, late),
        (526, no_object),
        (526, no_object_of_event),
        (528, event("coupon seen", json!({}))),
        (555, profile(json!({ "a.b": 1 }))),
        (514, profile(json!({ "Gender": "X" }))),
        (515, profile(json!({ "Email": "ada" }))),
        (516, profile(json!({ "Phone": "0441 1234" }))),
        (517, profile(json!({ "Employed": true }))),
        (518, profile(json!({ "Education": "PhD" }))),
        (519, profile(json!({ "Married": "yes" }))),
        (520, profile(json!({ "Age": 0 }))),
        (530, no_device),
        (531, json!({ "type": "token", "objectId": "__g1" })),
        (532, token(json!({ "type": "fcm" }))),
        (533, token(json!({ "id": "x" }))),
        (534, token(json!({ "id": "x", "type": "fax" }))),
        (535, token(json!({ "id": "x", "type": "fcm", "keys": { "p256dh": "a", "auth": "b" } }))),
    ]
}

#[tokio::test]
async fn every_documented_code_is_given_and_belongs_to_its_record() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let switches =
        Switches { discarded_events: vec!["Coupon seen".to_owned()], ..Switches::default() };
    let options = Options { receivers: 0, switches, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let known = sandbox.credentials();
    let client = Client::builder().build().unwrap();
    let records = records();
    let d: Vec<_> = records.iter().map(|(_, record)| record).collect();
    for query in ["?dryRun=1", ""] {
        let answer = client
            .post(format!("{}/1/upload{query}", sandbox.clevertap_url()))
            .header("X-CleverTap-Account-Id", &known.project_id)
            .header("X-CleverTap-Passcode", &known.passcode)
            .body(json!({ "d": d }).to_string());
        let answer = answer.send().await.unwrap().bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((&answer["status"], &answer["processed"]), (&json!("fail"), &json!(0)));
        let refused = answer["unprocessed"].as_array().unwrap();
        assert_eq!(refused.len(), records.len());
        for (number, (refused, (code, record))) in (1..).zip(refused.iter().zip(&records)) {
            assert_eq!((&refused["code"], &refused["record"]), (&json!(code), record), "{refused}");
            let text = refused["error"].as_str().unwrap();
            assert!(text.ends_with(&format!("Skipped record number : {number}")), "{text}");
        }
    }
    assert_eq!(sandbox.delivered_count(), 0);
    let given: BTreeSet<_> = records.iter().map(|(code, _)| *code).collect();
    assert_eq!(given, BTreeSet::from(DOCUMENTED));
}
