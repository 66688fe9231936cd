//! The API, as its callers meet it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::world::CANARY;
use common::{House, request};
use futures_util::StreamExt;
use serde_json::{Value, json};
use towpath_server::Scope;

#[tokio::test(flavor = "multi_thread")]
async fn flows_are_listed_page_by_page_run_paused_and_resumed() {
    let house = House::new().await;
    let (status, first) = house.call("GET", "/api/v1/flows?limit=2", None).await;
    assert_eq!(status, 200);
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|it| it["flow"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&first), ["alpha", "beta"]);
    let next = format!("/api/v1/flows?limit=2&after={}", first["next"].as_str().unwrap());
    let (_, second) = house.call("GET", &next, None).await;
    assert_eq!((names(&second), &second["next"]), (vec!["gamma".to_owned()], &Value::Null));

    let reason = json!({ "reason": "maintenance" });
    let (status, pause) = house.call("POST", "/api/v1/flows/alpha/pause", Some(reason)).await;
    assert_eq!(
        (status, &pause["by"], &pause["reason"]),
        (200, &json!("test"), &json!("maintenance"))
    );
    // Again, without a body: it stays as it was.
    let (_, again) = house.call("POST", "/api/v1/flows/alpha/pause", None).await;
    assert_eq!(again, pause);
    let (_, paused) = house.call("GET", "/api/v1/flows?paused=true", None).await;
    assert_eq!(names(&paused), ["alpha"]);
    let (_, flow) = house.call("GET", "/api/v1/flows/alpha", None).await;
    assert_eq!(flow["pause"]["reason"], "maintenance");
    assert_eq!(flow["trigger"], json!({ "use": "memory.found", "account": "m" }));
    assert_eq!(flow["steps"][0]["use"], "memory.take");
    assert_eq!(flow["line"].get("next"), None);

    // Paused, and run all the same because somebody says so.
    house.run("alpha").await;
    let (_, runs) = house.call("GET", "/api/v1/flows/alpha/runs", None).await;
    assert_eq!(runs["items"][0]["outcome"], "completed");
    assert_eq!(runs["items"][0]["counts"]["delivered"], 5);
    let (_, state) = house.call("GET", "/api/v1/flows/alpha/state", None).await;
    assert_eq!(state["paused"]["by"], "test");
    assert!(state["commit"].as_u64().unwrap() > 0);

    for was in [true, false] {
        let (status, resumed) = house.call("POST", "/api/v1/flows/alpha/resume", None).await;
        assert_eq!((status, &resumed["was"]), (200, &json!(was)));
    }
    for path in ["", "/runs", "/state", "/history"] {
        let (status, problem) = house.call("GET", &format!("/api/v1/flows/none{path}"), None).await;
        assert_eq!((status, &problem["code"]), (404, &json!("notFound")), "{path}");
    }
    for verb in ["run", "pause", "resume"] {
        let (status, _) = house.call("POST", &format!("/api/v1/flows/none/{verb}"), None).await;
        assert_eq!(status, 404, "{verb}");
    }
    for query in ["limit=0", "limit=501", "limit=many", "paused=perhaps"] {
        let (status, problem) = house.call("GET", &format!("/api/v1/flows?{query}"), None).await;
        assert_eq!(status, 400, "{query}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_edited_sent_again_and_dropped() {
    let house = House::new().await;
    house.run("alpha").await;
    house.run("beta").await;
    let (_, page) = house.call("GET", "/api/v1/dead-letters?limit=1&state=open", None).await;
    let next = page["next"].as_str().unwrap();
    let (_, more) =
        house.call("GET", &format!("/api/v1/dead-letters?limit=1&after={next}"), None).await;
    assert_eq!(more["items"].as_array().unwrap().len(), 1);
    assert_ne!(page["items"][0]["id"], more["items"][0]["id"]);
    assert_eq!(more.get("next"), None);
    let (_, of) = house.call("GET", "/api/v1/dead-letters?flow=alpha&code=BAD&key=0-1", None).await;
    let id = of["items"][0]["id"].as_str().unwrap();
    let path = format!("/api/v1/dead-letters/{id}");
    let (_, letter) = house.call("GET", &path, None).await;
    assert_eq!((&letter["reason"], &letter["recordKey"]), (&json!("it is bad"), &json!("0-1")));

    let mut message = letter["payload"]["message"].clone();
    message["metadata"]["recordUid"] = json!("another");
    let (status, problem) =
        house.call("PUT", &format!("{path}/message"), Some(message.clone())).await;
    assert_eq!((status, &problem["code"]), (422, &json!("refused")), "{problem}");
    message["metadata"]["recordUid"] = json!("0-1");
    message["data"]["bad"] = json!(false);
    let (status, edited) = house.call("PUT", &format!("{path}/message"), Some(message)).await;
    assert_eq!(status, 200, "{edited}");
    assert!(edited["line"]["edited"].is_string());
    let (status, replayed) = house.call("POST", &format!("{path}/replay"), None).await;
    assert_eq!(
        (status, &replayed["outcomes"][0]["fate"]),
        (200, &json!("delivered")),
        "{replayed}"
    );
    // The other one is as bad as it was.
    let (_, replayed) = house.call("POST", "/api/v1/dead-letters/replay", Some(json!({}))).await;
    assert_eq!(replayed["outcomes"].as_array().unwrap().len(), 1);
    assert_eq!(replayed["outcomes"][0]["fate"], "refused");
    let (_, dropped) = house.call("POST", "/api/v1/dead-letters/drop", Some(json!({}))).await;
    assert_eq!(dropped["dropped"], 1);
    assert_eq!(house.call("DELETE", &path, None).await.0, 204);
    assert_eq!(house.call("DELETE", &path, None).await.0, 404);
    let (_, why) = house.call("GET", "/api/v1/why?record=0-1&flow=alpha", None).await;
    let happened = why["timelines"][0]["happened"].as_array().unwrap();
    assert!(happened.iter().any(|it| it["what"].to_string().contains("dropped")), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_changed_once_under_a_key_and_taken_back() {
    let house = House::new().await;
    house.run("alpha").await;
    let path = "/api/v1/flows/alpha/state";
    let key = [("idempotency-key", "one")];
    let reset = json!({ "change": "reset" });
    let (status, first) = house.call_with("POST", path, Some(reset.clone()), &key).await;
    assert_eq!(status, 200, "{first}");
    assert!(first["changed"]["entry"].is_u64(), "{first}");
    let (_, second) = house.call_with("POST", path, Some(reset), &key).await;
    assert_eq!(first, second, "it was done once");
    let other = json!({ "change": "keep" });
    let (status, problem) = house.call_with("POST", path, Some(other), &key).await;
    assert_eq!((status, &problem["code"]), (422, &json!("idempotencyKey")));
    let (_, history) = house.call("GET", "/api/v1/flows/alpha/history?limit=1", None).await;
    assert_eq!(history["items"][0]["cause"], "reset");
    let before = &first["changed"]["before"];
    let back = json!({ "change": "rewind", "entry": before });
    let (status, back) = house.call("POST", path, Some(back)).await;
    assert_eq!((status, back["rewound"].is_object()), (200, true), "{back}");
    for wrong in [json!({ "change": "rewind" }), json!({ "change": "rewind", "by": 1, "entry": 1 })]
    {
        assert_eq!(house.call("POST", path, Some(wrong)).await.0, 422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_by_tokens_and_end_at_once() {
    let house = House::new().await;
    let new = json!({ "name": "reader", "scopes": ["read"], "expiresIn": 60 });
    let (status, made) = house.call("POST", "/api/v1/tokens", Some(new.clone())).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(house.call("POST", "/api/v1/tokens", Some(new)).await.0, 409);
    let token = made["token"].as_str().unwrap();
    let as_reader = |method: &str, path: &str| {
        let mut asked = request(method, path);
        asked.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        asked
    };
    let status = |answered: axum::response::Response| answered.status().as_u16();
    assert_eq!(status(house.ask(as_reader("GET", "/api/v1/flows")).await), 200);
    assert_eq!(status(house.ask(as_reader("POST", "/api/v1/flows/alpha/run")).await), 403);
    assert_eq!(status(house.ask(as_reader("GET", "/api/v1/tokens")).await), 403);
    let (_, listed) = house.call("GET", "/api/v1/tokens", None).await;
    assert!(!listed.to_string().contains(token));
    assert_eq!(house.call("DELETE", "/api/v1/tokens/reader", None).await.0, 204);
    assert_eq!(status(house.ask(as_reader("GET", "/api/v1/flows")).await), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_shows_a_secret() {
    let house = House::new().await;
    house.run("alpha").await;
    let mut asked = 0;
    for (method, path, _) in house.server.routes().iter() {
        if *method != "GET" || path == "/api/v1/events" {
            continue;
        }
        let path = path.replace("{flow}", "alpha").replace("{name}", "m");
        let path = path.replace("{connector}", "memory");
        let (_, answer) = house.call("GET", &format!("{path}?record=0-1"), None).await;
        assert!(!answer.to_string().contains(CANARY), "{path}");
        asked += 1;
    }
    assert!(asked > 10);
    let (_, account) = house.call("GET", "/api/v1/accounts/m", None).await;
    let (_, listed) = house.call("GET", "/api/v1/accounts?paused=false", None).await;
    assert_eq!(listed, json!({ "items": [account] }));
    let unhindered = json!({ "account": "m", "connector": "memory", "open": [], "outages": [] });
    assert_eq!(account, unhindered);
    let mut asked = house.with_token(request("POST", "/api/v1/handle"));
    asked.headers_mut().insert("content-type", "application/json".parse().unwrap());
    *asked.body_mut() = axum::body::Body::from(r#"{"request":"accounts"}"#);
    assert_eq!(house.ask(asked).await.status().as_u16(), 200);
    let audit = house.audit();
    assert!(!audit.contains(CANARY) && audit.contains("\"what\":\"accounts\""), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_flows_run_with_a_stream_open_and_no_event_is_dropped() {
    let names: Vec<String> = (0..200).map(|n| format!("flow-{n:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let clock = std::sync::Arc::new(connector::ManualClock::new(connector::Timestamp::default()));
    let engines = std::sync::Arc::new(connector::SystemClock);
    let flows = (&names[..], "every: 366d");
    let house =
        House::of("127.0.0.1:7070", &[Scope::Operate], flows, engines, clock).await.unwrap();
    let answered = house.ask(house.with_token(request("GET", "/api/v1/events"))).await;
    assert_eq!(answered.headers()["content-type"], "text/event-stream");
    let mut stream = answered.into_body().into_data_stream();
    for name in &names {
        let (status, _) = house.call("POST", &format!("/api/v1/flows/{name}/run"), None).await;
        assert_eq!(status, 202);
    }
    let (mut text, mut started, mut ended, mut pages) = (String::new(), 0, 0, 0);
    let mut last = 0;
    while ended < names.len() {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| {
                let mut fields = event.lines().filter_map(|line| line.split_once(": "));
                fields.find_map(|(found, value)| (found == name).then_some(value)).unwrap_or("")
            };
            let number: u64 = field("id").split_once('-').unwrap().1.parse().unwrap();
            assert_eq!(number, last + 1, "{event}");
            last = number;
            match field("event") {
                "runStarted" => started += 1,
                "runEnded" => ended += 1,
                "committed" => pages += 1,
                "deadLetter" => {}
                other => panic!("{other}: {event}"),
            }
            text = rest.to_owned();
        }
    }
    assert_eq!((started, pages), (200, 600));
    // Whoever comes back goes on where it was.
    let (status, _) = house.call("POST", "/api/v1/flows/flow-000/run", None).await;
    assert_eq!(status, 202);
    let mut asked = house.with_token(request("GET", "/api/v1/events?flow=flow-000"));
    let boot = "0";
    asked.headers_mut().insert("last-event-id", format!("{boot}-{last}").parse().unwrap());
    let mut stream = house.ask(asked).await.into_body().into_data_stream();
    let first = stream.next().await.unwrap().unwrap();
    let first = std::str::from_utf8(&first).unwrap();
    assert!(
        first.contains("event: runStarted") && first.contains(&format!("0-{}", last + 1)),
        "{first}"
    );
}

#[test]
fn the_document_names_every_route_once() {
    let document = towpath_server::Server::document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = std::collections::BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(operations.insert(id.to_owned()), "{method} {path}: {id} is there twice");
            assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{id}");
        }
    }
    assert!(operations.len() >= 29, "{operations:?}");
    // Whatever is referred to is there.
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}
