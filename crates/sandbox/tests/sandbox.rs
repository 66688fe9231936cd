//! The sandbox as its clients see it: over HTTP, on loopback.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use reqwest::{Client, Response};
use serde_json::{Value, json};
use towpath_sandbox::{
    Action, EmptyGroup, Fault, GroupSeed, Options, OversizedPage, Receiver, Sandbox, Stamp,
    Switches, Touch, Vendor, What,
};

const NOW: i64 = 1_790_000_000;

struct World {
    sandbox: Sandbox,
    client: Client,
    token: String,
}

impl World {
    async fn new(receivers: usize, switches: Switches) -> Self {
        // A second test in the same process finds the provider already there.
        drop(rustls::crypto::ring::default_provider().install_default());
        let groups = vec![
            GroupSeed::new(1_123_825, "Newsletter", 1),
            GroupSeed::new(1_123_826, "Customers", 50),
            GroupSeed::new(7, "Nobody", 0),
        ];
        let options = Options { receivers, now: Some(NOW), groups, switches, ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        let client = Client::builder().build().unwrap();
        let mut world = Self { sandbox, client, token: String::new() };
        let known = world.sandbox.credentials().clone();
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            known.client_id, known.client_secret
        );
        let (status, answer) = world.token(&form).await;
        assert_eq!(status, 200);
        world.token = answer["access_token"].as_str().unwrap().to_owned();
        world
    }

    async fn token(&self, form: &str) -> (u16, Value) {
        let url = self.sandbox.cleverreach_url().replace("/v3", "/oauth/token.php");
        let request = self
            .client
            .post(url)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        read(request.send().await.unwrap()).await
    }

    async fn send(&self, path: &str) -> reqwest::Result<Response> {
        let url = format!("{}{path}", self.sandbox.cleverreach_url());
        self.client.get(url).bearer_auth(&self.token).send().await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(self.send(path).await.unwrap()).await
    }

    async fn filter(&self, body: Value) -> (u16, Value) {
        let url = format!("{}/receivers/filter.json", self.sandbox.cleverreach_url());
        let request = self.client.post(url).bearer_auth(&self.token).json(&body);
        read(request.send().await.unwrap()).await
    }

    async fn upload(&self, query: &str, records: Value) -> (u16, Value) {
        let known = self.sandbox.credentials();
        let request = self
            .client
            .post(format!("{}/1/upload{query}", self.sandbox.clevertap_url()))
            .header("X-CleverTap-Account-Id", &known.project_id)
            .header("X-CleverTap-Passcode", &known.passcode)
            .json(&json!({ "d": records }));
        read(request.send().await.unwrap()).await
    }
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|receiver| receiver["id"].as_str().unwrap()).collect()
}

fn profile(identity: &str, data: Value) -> Value {
    json!({ "identity": identity, "type": "profile", "profileData": data })
}

#[tokio::test]
async fn oauth_gives_tokens_that_end_and_refuses_as_documented() {
    let switches = Switches { client_credentials_refresh: true, ..Switches::default() };
    let world = World::new(3, switches).await;
    let (status, answer) = world.token("grant_type=bogus").await;
    assert_eq!((status, &answer["error"]), (400, &json!("unsupported_grant_type")));
    let wrong = "grant_type=client_credentials&client_id=a&client_secret=b";
    let (status, answer) = world.token(wrong).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_client")));

    let known = world.sandbox.credentials();
    let url = world.sandbox.cleverreach_url().replace("/v3", "/oauth/token.php");
    let basic = |body: Value| {
        let request = world.client.post(&url).json(&body);
        request.basic_auth(&known.client_id, Some(&known.client_secret)).send()
    };
    let grant = json!({ "grant_type": "client_credentials" });
    let (_, issued) = read(basic(grant).await.unwrap()).await;
    assert_eq!(issued["expires_in"], 31_536_000);
    let refresh =
        json!({ "grant_type": "refresh_token", "refresh_token": issued["refresh_token"] });
    assert_eq!(basic(refresh.clone()).await.unwrap().status(), 200);
    let (status, answer) = read(basic(refresh).await.unwrap()).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));

    let bare = world.client.get(format!(
        "{}/groups.json?token={}",
        world.sandbox.cleverreach_url(),
        world.token
    ));
    let (status, groups) = read(bare.send().await.unwrap()).await;
    assert_eq!((status, ids(&groups)), (200, vec!["1123825", "1123826", "7"]));
    assert_eq!(world.get("/debug/ttl.json").await.1, json!({ "ttl": 31_536_000 }));
    world.sandbox.advance_clock(31_536_000);
    let unauthorized = json!({ "error": { "code": 401, "message": "Unauthorized" } });
    assert_eq!(world.get("/debug/whoami.json").await, (401, unauthorized));
    assert_eq!(world.sandbox.stats().cleverreach.tokens_issued, 3);
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_or_overlap() {
    let world = World::new(230, Switches::default()).await;
    let path = "/groups/1123825/receivers?pagesize=100&order_by=registered%20desc";
    let mut seen = Vec::new();
    for page in 0..3 {
        let (_, list) = world.get(&format!("{path}&page={page}")).await;
        seen.extend(list.as_array().unwrap().clone());
    }
    assert_eq!(seen.len(), 230);
    let stamps: Vec<i64> = seen.iter().map(|it| it["registered"].as_i64().unwrap()).collect();
    assert!(stamps.is_sorted_by(|a, b| a >= b));
    assert!(stamps.iter().all(|stamp| (NOW - 30 * 86_400..=NOW).contains(stamp)));
    assert_eq!(world.get(&format!("{path}&page=3")).await, (200, json!([])));
    assert_eq!(world.get("/groups.json/1123826/receivers").await.1.as_array().unwrap().len(), 5);
    assert_eq!(world.get("/groups/1123825/receivers").await.1.as_array().unwrap().len(), 50);

    let first = &seen[0];
    assert_eq!(first["group_id"], "1123825");
    assert_eq!(first["global_attributes"].as_object().unwrap().len(), 13);
    assert!(first.get("tags").is_none() && first.get("last_changed").is_none());
    let (_, detailed) = world.get("/groups/1123825/receivers?detail=5&pagesize=1").await;
    assert!(detailed[0]["tags"].is_array() && detailed[0]["events"].is_array());
    let one = world.get(&format!("/receivers.json/{}", first["id"].as_str().unwrap())).await.1;
    assert_eq!(one["email"], first["email"]);
    let length = first.to_string().len();
    assert!((550..900).contains(&length), "a receiver has {length} bytes");
}

#[tokio::test]
async fn lists_are_refused_or_empty_as_the_switches_say() {
    let switches = Switches {
        oversized_page: OversizedPage::Refuse,
        empty_group: EmptyGroup::NoContent,
        integer_ids: true,
        receiver_as_list: true,
        ..Switches::default()
    };
    let world = World::new(2, switches).await;
    let path = "/groups/1123825/receivers";
    for query in ["pagesize=5001", "pagesize=0", "order_by=shoe desc", "detail=8", "type=odd"] {
        assert_eq!(world.get(&format!("{path}?{query}")).await.0, 400, "{query}");
    }
    let missing = json!({ "error": { "code": 404, "message": "Not Found" } });
    assert_eq!(world.get("/groups/99/receivers").await, (404, missing));
    assert_eq!(world.get("/groups/7/receivers").await, (204, Value::Null));
    assert!(world.get(path).await.1[0]["group_id"].is_u64());
    let id = world.sandbox.receivers()[1].id.clone();
    assert_eq!(world.get(&format!("/receivers/{id}")).await.1[0]["id"].to_string(), id);
    assert!(world.sandbox.delete_receiver(&id));
    assert_eq!(world.get(path).await.1.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_filter_finds_what_changed_and_refuses_fields() {
    let world = World::new(500, Switches::default()).await;
    let since = world.sandbox.advance_clock(600);
    let mut touched = world.sandbox.touch(&Touch::count(20).field(Stamp::Activated).at(since));
    touched.extend(world.sandbox.touch(&Touch::count(3).field(Stamp::Bounced).at(since + 1)));
    touched.sort();
    touched.dedup();
    let rule = |field: &str| json!({ "field": field, "logic": "bg", "condition": since - 1 });
    let body = json!({
        "groups": ["1123825"], "operator": "OR", "orderby": "activated desc", "pagesize": 1000,
        "rules": [rule("registered"), rule("activated"), rule("deactivated"), rule("bounced")],
    });
    let (status, list) = world.filter(body.clone()).await;
    let mut found = ids(&list);
    found.sort_unstable();
    assert_eq!((status, found), (200, touched.iter().map(String::as_str).collect()));

    let refused_filter_fields = vec!["bounced".to_owned()];
    world.sandbox.set_switches(Switches { refused_filter_fields, ..Switches::default() });
    let (status, answer) = world.filter(body).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(400)));
    assert!(answer["error"]["message"].as_str().unwrap().contains("'bounced'"));
}

#[tokio::test]
async fn a_touch_without_a_stamp_shows_in_lists_and_filters_alike() {
    let world = World::new(3, Switches::default()).await;
    let id = world.sandbox.receivers()[1].id.clone();
    let path = format!("/groups/1123825/receivers?detail=5&id_list={id}");
    let body = json!({ "groups": ["1123825"], "detail": 5, "orderby": "registered desc",
        "rules": [{ "field": "id", "logic": "eq", "condition": id }] });
    let mut before = world.get(&path).await.1[0].clone();
    let opened = [
        "last_ip",
        "last_location",
        "last_client",
        "points",
        "stars",
        "conversion_rate",
        "open_rate",
        "click_rate",
        "events",
    ];
    for (touch, moved) in [
        (Touch::ids([&id]).only(What::Attributes), &["attributes", "global_attributes"][..]),
        (Touch::ids([&id]).only(What::Tags), &["tags"]),
        (Touch::ids([&id]).only(What::Opens), &opened),
    ] {
        world.sandbox.advance_clock(60);
        assert_eq!(world.sandbox.touch(&touch), [id.as_str()]);
        let after = world.get(&path).await.1[0].clone();
        assert_eq!(world.filter(body.clone()).await.1[0], after, "{touch:?}");
        for (name, value) in before.as_object().unwrap() {
            assert_eq!(after[name] != *value, moved.contains(&name.as_str()), "{touch:?} {name}");
        }
        before = after;
    }
}

#[tokio::test]
async fn an_upsert_takes_and_refuses_each_of_a_list() {
    let world = World::new(2, Switches::default()).await;
    let known = world.sandbox.receivers()[0].clone();
    let upsert = |group: &str, body: Value| {
        let url =
            format!("{}/groups.json/{group}/receivers/upsert", world.sandbox.cleverreach_url());
        let request = world.client.post(url).bearer_auth(&world.token).json(&body);
        async { read(request.send().await.unwrap()).await }
    };
    let list = json!([
        { "email": "ada@example.com", "attributes": { "firstname": "Ada", "shoe": "38" } },
        { "email": "nobody" },
        { "email": "ADA@example.com" },
        { "email": known.email, "activated": 0, "global_attributes": { "city": null } },
        { "email": "later@example.com", "registered": NOW, "activated": 0 },
    ]);
    let (status, answer) = upsert("1123825", list).await;
    assert_eq!((status, answer.as_array().unwrap().len()), (200, 5));
    // Whoever says nothing creates somebody active.
    assert_eq!((&answer[0]["activated"], &answer[0]["active"]), (&json!(NOW), &json!(true)));
    assert_eq!(answer[0]["attributes"], json!({ "firstname": "Ada" }));
    assert_eq!(answer[1], "invalid address 'nobody'");
    assert_eq!(answer[2], "duplicate address 'ADA@example.com'");
    assert_eq!((&answer[3]["id"], &answer[3]["active"]), (&json!(known.id), &json!(false)));
    assert_eq!(answer[3]["global_attributes"]["city"], "");
    assert_eq!(answer[4]["active"], false);

    // One that unsubscribed comes back only if that is taken back.
    world.sandbox.touch(&Touch::ids([&known.id]).field(Stamp::Deactivated).at(NOW));
    let email = &known.email;
    let (_, one) = upsert("1123825", json!({ "email": email, "activated": NOW })).await;
    assert_eq!(one["active"], false);
    let back = json!([{ "email": email, "activated": NOW, "deactivated": 0 }]);
    assert_eq!(upsert("1123825", back).await.1[0]["active"], true);

    // In a further group it has attributes and times of its own, under the same id.
    let (_, further) = upsert("7", json!([{ "email": email, "activated": 0 }])).await;
    assert_eq!((&further[0]["id"], &further[0]["active"]), (&json!(known.id), &json!(false)));
    assert!(world.sandbox.member("1123825", email).unwrap().activated > 0);
    assert_eq!(ids(&world.get("/groups/7/receivers").await.1), [known.id.as_str()]);
    assert!(world.sandbox.delete_receiver(&known.id));
    assert_eq!(world.get("/groups/7/receivers").await.1, json!([]));

    assert_eq!(upsert("99", json!([])).await.0, 404);
    assert_eq!(upsert("7", json!("a@example.com")).await.0, 400);
    world.sandbox.set_switches(Switches { upsert_bytes: 10, ..Switches::default() });
    assert_eq!(upsert("7", json!([{ "email": "x@example.com" }])).await.0, 413);
    let stats = world.sandbox.stats().cleverreach;
    assert_eq!((stats.receivers_upserted, stats.receivers_refused), (6, 2));
}

#[tokio::test]
async fn attributes_are_listed_by_group_and_account_wide() {
    let world = World::new(0, Switches::default()).await;
    let (_, group) = world.get("/groups/7/attributes").await;
    assert_eq!(group, world.get("/attributes.json?group_id=7").await.1);
    let names: Vec<_> = group.as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["firstname", "name", "customer_number"]);
    assert_eq!((&group[0]["groups_id"], &group[0]["tag"]), (&json!("7"), &json!("{FIRSTNAME}")));
    let (_, account) = world.get("/attributes.json").await;
    assert_eq!(account.as_array().unwrap().len(), 13);
    assert_eq!(account[0]["groups_id"], 0);
}

#[tokio::test]
async fn a_touch_changes_the_content_and_a_receiver_can_be_set() {
    let world = World::new(40, Switches::default()).await;
    let before = world.sandbox.receivers();
    let touched = world.sandbox.touch(&Touch::count(10).field(Stamp::Registered));
    assert_eq!(touched.len(), 10);
    for receiver in &before {
        let after = world.sandbox.receiver(&receiver.id).unwrap();
        let changed = after.global_attributes["lastname"] != receiver.global_attributes["lastname"];
        assert_eq!(changed, touched.contains(&receiver.id));
        assert_eq!(changed && after.registered == NOW, touched.contains(&receiver.id));
    }
    let id = world.sandbox.put_receiver(&Receiver {
        email: "ada@example.com".to_owned(),
        registered: NOW + 9,
        groups: vec!["1123825".to_owned()],
        tags: vec!["vip".to_owned()],
        ..Receiver::default()
    });
    let (_, shown) = world.get("/groups/1123825/receivers/ada%40example.com").await;
    assert_eq!((&shown["id"], &shown["tags"]), (&json!(id), &json!(["vip"])));
    assert_eq!(shown["active"], false);
    assert_eq!(shown["global_attributes"]["city"], "");
}

#[tokio::test]
async fn an_upload_reports_each_refused_record_in_the_recorded_words() {
    let world = World::new(0, Switches::default()).await;
    let good = profile("1", json!({ "Name": "Ada", "Email": "ada@example.com" }));
    let bad = profile("2", json!({ "Email": "nowhere" }));
    let (status, answer) = world.upload("", json!([good, bad])).await;
    let expected = json!({
        "status": "partial", "processed": 1,
        "unprocessed": [{
            "status": "fail", "code": 515,
            "error": "Profile data is incorrect. Email is not valid.Skipped record number : 2",
            "record": bad,
        }],
    });
    assert_eq!((status, answer), (200, expected));
    let (_, answer) = world.upload("", json!([profile("1", json!({ "Age": 36 }))])).await;
    assert_eq!(answer, json!({ "status": "success", "processed": 1, "unprocessed": [] }));
    let (_, answer) = world.upload("?dryRun=1", json!([bad])).await;
    assert_eq!((&answer["status"], &answer["processed"]), (&json!("fail"), &json!(0)));
    let many: Vec<Value> = (0..1_001).map(|n| profile(&n.to_string(), json!({}))).collect();
    assert_eq!(world.upload("", json!(many)).await.0, 400);

    let merged = world.sandbox.profile("1").unwrap();
    assert_eq!(
        Value::from(merged),
        json!({ "Name": "Ada", "Email": "ada@example.com", "Age": 36 })
    );
    assert_eq!(world.sandbox.refused().len(), 1);
    let delivered = world.sandbox.delivered();
    let places: Vec<_> = delivered.iter().map(|it| (it.number, it.upload, it.identity())).collect();
    assert_eq!(places, [(1, 1, "1".to_owned()), (3, 2, "1".to_owned())]);
    let stats = world.sandbox.stats().clevertap;
    assert_eq!((stats.uploads, stats.dry_runs), (2, 1));
    assert_eq!((stats.records_accepted, stats.records_refused), (2, 1));
    assert_eq!(stats.requests_to("POST /1/upload"), 4);
}

#[tokio::test]
async fn clevertap_wants_its_headers_and_limits_concurrency() {
    let world = World::new(0, Switches::default()).await;
    let base = world.sandbox.clevertap_url();
    let (status, answer) =
        read(world.client.post(format!("{base}/1/upload")).body("{}").send().await.unwrap()).await;
    let invalid = json!({ "status": "fail", "error": "Invalid Credentials", "code": 401 });
    assert_eq!((status, answer), (401, invalid));
    let gone = world.client.get(format!("{base}/2/upload")).send().await.unwrap();
    assert_eq!(read(gone).await.0, 404);

    // Fifteen uploads are held back, so the sixteenth finds every place taken.
    let hold = Action::Delay { ms: 60_000 };
    world.sandbox.fault(Fault::new(Vendor::CleverTap, "/1/upload", hold).times(15));
    let mut held = tokio::task::JoinSet::new();
    for _ in 0..15 {
        let request = world.client.post(format!("{base}/1/upload")).body("{}");
        held.spawn(request.send());
    }
    while world.sandbox.faults()[0].applied < 15 {
        tokio::task::yield_now().await;
    }
    let (status, answer) = world.upload("", json!([])).await;
    assert_eq!((status, &answer["error"]), (429, &json!("Too many concurrent requests")));
    held.shutdown().await;
    let stats = world.sandbox.stats().clevertap;
    assert_eq!((stats.over_limit, stats.most_at_once), (1, 16));
}

#[tokio::test]
async fn faults_break_answers_in_every_way() {
    let world = World::new(30, Switches::default()).await;
    let path = "/groups/1123825/receivers?pagesize=10&page=1";
    let fail = |action| {
        world.sandbox.clear_faults();
        world.sandbox.fault(Fault::new(Vendor::CleverReach, "page=1", action).method("GET"));
    };
    let (_, whole) = world.get(path).await;

    fail(Action::status(503));
    assert_eq!(world.get(path).await.0, 503);
    assert_eq!(world.get(path).await, (200, whole.clone()), "one fault, one failure");

    fail(Action::TooManyRequests { retry_after: Some(7) });
    let response = world.send(path).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["Retry-After"]),
        (429, &"7".parse().unwrap())
    );

    for after_bytes in [0, 100, 1_000_000] {
        fail(Action::CutBody { after_bytes });
        let response = world.send(path).await.unwrap();
        assert!(response.content_length().unwrap() > 100);
        assert!(response.text().await.is_err(), "cut after {after_bytes}");
    }

    for process in [false, true] {
        world.sandbox.reset_stats();
        fail(Action::CloseConnection { process });
        assert!(world.send(path).await.is_err());
        let listed = world.sandbox.stats().cleverreach.receivers_listed;
        assert_eq!(listed, if process { 10 } else { 0 });
    }

    fail(Action::RepeatPage);
    let (_, first) = world.get(&path.replace("page=1", "page=0")).await;
    assert_eq!(world.get(path).await.1, first);

    fail(Action::body(r#"{"error":{"code":401,"message":"Unauthorized"}}"#));
    let (status, answer) = world.get(path).await;
    assert_eq!((status, &answer["error"]["code"]), (200, &json!(401)));

    fail(Action::HugeBody { bytes: 1_000_000 });
    let text = world.send(path).await.unwrap().text().await.unwrap();
    assert_eq!(text.len(), 1_000_000);
    assert!(serde_json::from_str::<String>(&text).is_ok());

    fail(Action::ExpireTokens);
    assert_eq!(world.get(path).await.0, 401);
    assert_eq!(world.sandbox.stats().cleverreach.faults_applied, 5);
}

#[tokio::test]
async fn the_clock_and_the_controls_are_served_over_http() {
    let world = World::new(10, Switches::default()).await;
    let base = format!("{}/_sandbox", world.sandbox.clevertap_url());
    let put =
        |path: &str, body: Value| world.client.put(format!("{base}/{path}")).json(&body).send();
    let response = put("clock", json!({ "now": 784_111_777 })).await.unwrap();
    assert_eq!(response.headers()["Date"], "Sun, 06 Nov 1994 08:49:37 GMT");
    put("clock", json!({ "advance": 3 })).await.unwrap();
    assert_eq!(world.sandbox.now(), 784_111_780);

    let post =
        |path: &str, body: Value| world.client.post(format!("{base}/{path}")).json(&body).send();
    let touch = json!({ "count": 2, "field": "bounced", "attributes": { "city": "Leer" } });
    let (_, touched) = read(post("touch", touch).await.unwrap()).await;
    let id = touched["ids"][0].as_str().unwrap();
    assert_eq!(world.sandbox.receiver(id).unwrap().bounced, 784_111_780);
    assert_eq!(world.sandbox.receiver(id).unwrap().global_attributes["city"], "Leer");
    post("receivers", json!({ "seed": 5 })).await.unwrap();
    assert_eq!(world.sandbox.receiver_count(), 15);
    let fault = json!({
        "vendor": "cleverreach", "path": "/groups", "times": "forever",
        "action": { "body": { "body": "not json" } },
    });
    assert_eq!(post("faults", fault).await.unwrap().status(), 200);
    assert_eq!(world.get("/groups").await, (200, Value::Null));
    assert_eq!(post("faults", json!({ "vendor": "nobody" })).await.unwrap().status(), 400);
    let (_, stats) = read(world.client.get(format!("{base}/stats")).send().await.unwrap()).await;
    assert_eq!(stats["cleverreach"]["requests"]["GET /v3/groups"], 1);
    world.sandbox.stop().await;
    assert!(world.client.get(format!("{base}/stats")).send().await.is_err());
}

#[tokio::test]
async fn the_same_seed_gives_the_same_receivers_and_date_can_be_left_out() {
    let start = |receivers, seed| {
        let options =
            Options { receivers, seed, now: Some(NOW), date_header: false, ..Options::default() };
        Sandbox::start(options)
    };
    let (one, more, other) =
        (start(50, 1).await.unwrap(), start(60, 1).await.unwrap(), start(50, 2).await.unwrap());
    assert_eq!(one.receivers(), more.receivers()[..50]);
    assert_ne!(one.receivers(), other.receivers());
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = Client::builder().build().unwrap();
    let url = format!("{}/debug/ping.json", one.cleverreach_url());
    let response = client.get(url).send().await.unwrap();
    assert!(response.status().is_success() && response.headers().get("Date").is_none());
}
