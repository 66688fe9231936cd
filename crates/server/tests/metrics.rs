//! The metrics, as who scrapes them gets them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{House, request};
use serde_json::json;

async fn metrics(house: &House) -> String {
    let (status, page) = house.call("GET", "/metrics", None).await;
    assert_eq!(status, 200);
    page.as_str().unwrap().to_owned()
}

/// The value of a line.
fn value(page: &str, line: &str) -> Option<String> {
    let found = page.lines().find_map(|it| it.strip_prefix(line));
    found.map(|it| it.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_told_as_it_is() {
    let house = House::new().await;
    let open = r#"towpath_dead_letters_open{flow="alpha"}"#;
    assert_eq!(value(&metrics(&house).await, open), None, "it never committed");
    house.run("alpha").await;
    for _ in 0..2 {
        assert_eq!(value(&metrics(&house).await, open).as_deref(), Some("1"));
    }
    let filter = json!({ "flow": "alpha" });
    let (status, dropped) = house.call("POST", "/api/v1/dead-letters/drop", Some(filter)).await;
    assert_eq!(status, 200, "{dropped}");
    let page = metrics(&house).await;
    assert_eq!(value(&page, open).as_deref(), Some("0"));
    assert!(!page.contains("towpath_inbox_waiting"), "nobody calls these flows: {page}");
    let delivery = store::Delivery { at: 0, key: None, bytes: b"{}".to_vec() };
    let room =
        store::Room { entries: 10, bytes: 1_000, remember: std::time::Duration::from_secs(60) };
    house.server.store().accept("beta", delivery, room).await.unwrap();
    let page = metrics(&house).await;
    assert_eq!(value(&page, r#"towpath_inbox_waiting{flow="beta"}"#).as_deref(), Some("1"));
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let house = House::new().await;
    for path in ["/api/v1/flows/alpha", "/api/v1/flows/beta", "/api/v1/flows/none", "/breaks"] {
        house.call("GET", path, None).await;
    }
    for path in ["/nowhere/1", "/nowhere/2", "/api/v1/flows/alpha"] {
        house.ask(request("GET", path)).await;
    }
    let page = metrics(&house).await;
    for (route, status, count) in [
        ("/api/v1/flows/{flow}", 200, "2"),
        ("/api/v1/flows/{flow}", 404, "1"),
        ("/api/v1/flows/{flow}", 401, "1"),
        ("/breaks", 500, "1"),
        ("_none", 401, "2"),
    ] {
        let line = format!(r#"towpath_http_requests_total{{route="{route}",status="{status}"}}"#);
        assert_eq!(value(&page, &line).as_deref(), Some(count), "{line} in\n{page}");
    }
    let took = r#"towpath_http_request_duration_seconds_count{route="/api/v1/flows/{flow}"}"#;
    assert_eq!(value(&page, took).as_deref(), Some("4"));
    assert!(!page.contains("nowhere") && !page.contains("flows/none"), "{page}");
}
