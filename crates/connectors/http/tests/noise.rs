//! Bodies and headers that nobody meant: no panic, no belief, and nothing of them in what is said.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use connector::prelude::*;
use connector::{Account, ErasedTrigger};
use proptest::prelude::*;

const SECRET: &str = "not-a-real-webhook-secret";

fn account() -> Account {
    let values = BTreeMap::from([
        ("webhookUser".to_owned(), "example".to_owned()),
        ("webhookSecret".to_owned(), SECRET.to_owned()),
    ]);
    towpath_http::connector().account("hooks", None, values).unwrap()
}

fn trigger(fields: Value) -> std::sync::Arc<dyn ErasedTrigger> {
    (towpath_http::connector().find_trigger("received").unwrap().configure)(fields).unwrap()
}

fn request(headers: Vec<(&'static str, Vec<u8>)>, body: Vec<u8>) -> Received {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        if let Ok(value) = http::HeaderValue::from_bytes(&value) {
            map.append(name, value);
        }
    }
    let (at, query) = (Timestamp::from_secs(1_600_000_000), vec![]);
    Received { method: Method::POST, query, headers: map, body: body.into(), at }
}

fn media() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("application/json"),
        Just("application/x-ndjson"),
        Just("application/x-www-form-urlencoded"),
        Just("text/plain"),
    ]
}

/// Bytes that are sometimes nearly JSON.
fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[\\[\\]{}\":,a-z0-9 \n]{0,200}".prop_map(String::into_bytes),
        "\\{\"events\":\\[(\\{\"id\":(\"[a-z]{0,3}\"|[0-9]{1,20})\\},?){0,5}\\]\\}"
            .prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn no_body_breaks_the_reader(media in media(), body in body(), keyed in any::<bool>()) {
        let mut fields = json!({ "authentication": "none", "deliveryAt": "/id" });
        if keyed {
            fields["recordsAt"] = "/events".into();
            fields["keyAt"] = "/id".into();
        }
        let trigger = trigger(fields);
        let hook = trigger.webhook().unwrap();
        let request = request(vec![("content-type", media.into())], body);
        drop(hook.key(&request));
        match hook.receive(&request) {
            Ok(records) => {
                for record in records {
                    prop_assert!(serde_json::from_str::<Value>(record.data.get()).is_ok());
                    prop_assert!(!keyed || !record.key.is_empty());
                }
            }
            Err(refusal) => prop_assert!(refusal.status.is_client_error()),
        }
    }

    #[test]
    fn no_header_is_believed_by_chance(
        method in prop_oneof![Just("header"), Just("basic"), Just("hmac")],
        value in prop::collection::vec(any::<u8>(), 0..100),
        time in prop::collection::vec(any::<u8>(), 0..20),
        body in body(),
    ) {
        let mut fields = json!({ "authentication": method });
        if method == "hmac" {
            fields["timestampHeader"] = "x-time".into();
        }
        let trigger = trigger(fields);
        let hook = trigger.webhook().unwrap();
        let headers = vec![
            ("x-webhook-token", value.clone()),
            ("x-signature", value.clone()),
            ("authorization", [b"Basic ", &value[..]].concat()),
            ("x-time", if time.is_empty() { b"1600000000".to_vec() } else { time }),
        ];
        let unproven = hook.proof().check(&account(), &request(headers, body)).unwrap_err();
        prop_assert!(!unproven.to_string().contains(SECRET));
    }
}
