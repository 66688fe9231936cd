//! The endpoints of CleverReach that change things, as their clients see them.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use reqwest::{Client, Method};
use serde_json::{Value, json};
use towpath_sandbox::{DeleteAnswer, MailKind, Options, OrderAgain, Receiver, Sandbox, Switches};

const NOW: i64 = 1_790_000_000;
const GROUP: &str = "1123825";
const OTHER: &str = "1123826";

struct World {
    sandbox: Sandbox,
    client: Client,
    token: String,
}

impl World {
    /// A receiver in two groups.
    async fn new(switches: Switches) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let options = Options { receivers: 0, now: Some(NOW), switches, ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        sandbox.put_receiver(&Receiver {
            id: "42".to_owned(),
            email: "ada@example.com".to_owned(),
            registered: NOW - 100,
            activated: NOW - 90,
            groups: vec![GROUP.to_owned(), OTHER.to_owned()],
            tags: vec!["old".to_owned(), "shop.buyer".to_owned()],
            ..Receiver::default()
        });
        let client = Client::builder().build().unwrap();
        let known = sandbox.credentials().clone();
        let form = json!({
            "grant_type": "client_credentials", "client_id": known.client_id,
            "client_secret": known.client_secret,
        });
        let url = sandbox.cleverreach_url().replace("/v3", "/oauth/token.php");
        let answer = client
            .post(url)
            .header("content-type", "application/json")
            .body(form.to_string())
            .send()
            .await
            .unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let token = answer["access_token"].as_str().unwrap().to_owned();
        Self { sandbox, client, token }
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}{path}", self.sandbox.cleverreach_url());
        let request = self.client.request(method, url).bearer_auth(&self.token);
        let answer = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, body).await
    }

    async fn plus(&self, rows: Value) -> Value {
        let (status, answer) =
            self.post(&format!("/groups.json/{GROUP}/receivers/upsertplus"), rows).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

fn refused(code: u16, message: &str) -> (u16, Value) {
    (code, json!({ "error": { "code": code, "message": message } }))
}

#[tokio::test]
async fn upsertplus_answers_profiles_and_leaves_out_what_it_refuses() {
    let world = World::new(Switches::default()).await;
    world.sandbox.define_attribute(None, "visits");
    let rows = json!([
        { "email": "ada@example.com", "tags": ["-old", "-shop.*", "trade fair"],
          "global_attributes": { "visits": "+3", "phone": "+49 441" },
          "orders": [{ "order_id": "1", "product": "Jeans" }] },
        { "email": "nobody" },
        { "email": "bob@example.com", "orders": [{ "order_id": "2" }] },
        { "email": "new@example.com" },
    ]);
    let profiles = world.plus(rows).await;
    let emails: Vec<&str> =
        profiles.as_array().unwrap().iter().map(|it| it["email"].as_str().unwrap()).collect();
    assert_eq!(emails, ["ada@example.com", "new@example.com"]);
    let ada = &profiles[0];
    assert_eq!((&ada["id"], &ada["tags"]), (&json!("42"), &json!(["trade_fair"])));
    let item = json!({ "order_id": "1", "product": "Jeans", "stamp": NOW });
    assert_eq!(ada["orders"], json!([item]));
    // What is no number is written as it is.
    let global = &ada["global_attributes"];
    assert_eq!((&global["visits"], &global["phone"]), (&json!("3"), &json!("+49 441")));
    // Nothing was said of the state, so the new one is active, with every attribute of the account.
    assert_eq!((&profiles[1]["active"], &profiles[1]["activated"]), (&json!(true), &json!(NOW)));
    assert_eq!(profiles[1]["global_attributes"]["visits"], "");

    for (change, value) in [("-1", "2"), ("-0.5", "1.5"), ("5", "5")] {
        let rows =
            json!([{ "email": "ada@example.com", "global_attributes": { "visits": change } }]);
        assert_eq!(world.plus(rows).await[0]["global_attributes"]["visits"], value);
    }
    // Plain upsert writes what it is given, and looks at no orders.
    let row = json!({ "email": "ada@example.com", "global_attributes": { "visits": "+1" },
        "orders": [{ "order_id": "9", "product": "Hat" }] });
    let path = format!("/groups/{GROUP}/receivers/upsert");
    let (_, alone) = world.post(&path, row).await;
    assert_eq!(alone["global_attributes"]["visits"], "+1");
    let (_, listed) = world
        .send(
            Method::GET,
            &format!("/groups/{GROUP}/receivers?detail=2&email_list=ada@example.com"),
            json!(null),
        )
        .await;
    assert_eq!(listed[0]["orders"], json!([item]));
}

#[tokio::test]
async fn an_order_again_is_added_or_replaced() {
    for (order_again, count) in [(OrderAgain::Added, 2), (OrderAgain::Replaced, 1)] {
        let world = World::new(Switches { order_again, ..Switches::default() }).await;
        let path = format!("/groups/{GROUP}/receivers/42/orders");
        for price in [1, 2] {
            let item = json!({ "order_id": 1, "product": "Jeans", "price": price });
            assert_eq!(world.post(&path, item).await.0, 200);
        }
        let (_, orders) = world.send(Method::GET, &path, json!(null)).await;
        assert_eq!(orders.as_array().unwrap().len(), count);
        assert_eq!(orders[count - 1]["price"], 2);
        assert_eq!(world.post(&path, json!({})).await.0, 400);
    }
}

#[tokio::test]
async fn deletions_answer_true_and_tell_one_group_from_all() {
    let world = World::new(Switches::default()).await;
    let delete = async |path: &str| world.send(Method::DELETE, path, json!(null)).await;
    let in_other = || world.sandbox.member(OTHER, "ada@example.com").is_some();
    let path = format!("/groups.json/{GROUP}/receivers/ada%40example.com");
    assert_eq!(delete(&path).await, (200, json!(true)));
    assert!(in_other() && world.sandbox.member(GROUP, "ada@example.com").is_none());
    assert_eq!(delete(&path).await, refused(404, "Not Found"));
    assert_eq!(delete("/receivers.json/42").await, (200, json!(true)));
    assert_eq!(world.sandbox.receiver_count(), 0);

    let world = World::new(Switches {
        delete_answer: DeleteAnswer::List,
        missing_is_false: true,
        ..Switches::default()
    })
    .await;
    let body = json!({ "receivers": ["nobody@example.com", "ADA@example.com"] });
    let answer = world.post("/receivers/delete", body.clone()).await;
    assert_eq!(answer, (200, json!([false, true])));
    let again = world.send(Method::DELETE, "/receivers/42", json!(null)).await;
    assert_eq!(again, (200, json!(false)));
    // Who joined a group by an upsert leaves it alone.
    let world = World::new(Switches::default()).await;
    let join = json!({ "email": "bob@example.com" });
    for group in [GROUP, OTHER] {
        world.post(&format!("/groups/{group}/receivers/upsert"), join.clone()).await;
    }
    let path = format!("/receivers/bob@example.com?group_id={GROUP}");
    assert_eq!(world.send(Method::DELETE, &path, json!(null)).await, (200, json!(true)));
    let (status, bob) = world.send(Method::GET, "/receivers/bob@example.com", json!(null)).await;
    assert_eq!((status, &bob["group_id"]), (200, &json!(OTHER)));
    assert_eq!(world.sandbox.receiver_count(), 2);
}

#[tokio::test]
async fn a_receiver_is_switched_off_and_on() {
    for (unsubscribed_stay, active) in [(false, true), (true, false)] {
        let world = World::new(Switches { unsubscribed_stay, ..Switches::default() }).await;
        for (verb, expected) in [("deactivate", false), ("activate", active)] {
            let path = format!("/groups.json/{GROUP}/receivers/42/{verb}");
            let answer = world.send(Method::PUT, &path, json!(null)).await;
            assert_eq!(answer, (200, json!(true)));
            let found = world.sandbox.member(GROUP, "ada@example.com").unwrap();
            assert_eq!(found.deactivated == 0, expected, "{verb}");
        }
        let path = format!("/groups.json/{GROUP}/receivers/43/activate");
        let answer = world.send(Method::PUT, &path, json!(null)).await;
        assert_eq!(answer, refused(404, "Not Found"));
    }
}

#[tokio::test]
async fn groups_and_attributes_are_created_once() {
    let world = World::new(Switches { most_attributes: 18, ..Switches::default() }).await;
    let (status, group) = world.post("/groups.json", json!({ "name": " Partners " })).await;
    assert_eq!(
        (status, &group["id"], &group["name"]),
        (200, &json!("1123827"), &json!("Partners"))
    );
    assert_eq!(world.post("/groups", json!({ "name": "" })).await.0, 400);
    let (status, _) = world.send(Method::DELETE, "/groups/1123827", json!(null)).await;
    assert_eq!((status, world.sandbox.group_names().len()), (200, 2));

    let path = format!("/groups/{GROUP}/attributes");
    let shoe = json!({ "name": "Shoe Size", "type": "number" });
    let (status, made) = world.post(&path, shoe.clone()).await;
    assert_eq!(
        (status, &made["name"], &made["type"]),
        (200, &json!("shoe_size"), &json!("number"))
    );
    assert_eq!(world.post(&path, shoe).await, refused(409, "Conflict: duplicate attribute"));
    assert_eq!(world.post(&path, json!({ "name": "x", "type": "list" })).await.0, 400);
    assert_eq!(world.post("/attributes", json!({ "name": "points" })).await.0, 200);
    let (_, ada) = world.send(Method::GET, "/receivers/42", json!(null)).await;
    assert_eq!(ada["global_attributes"]["points"], "");
    let one_more = world.post(&path, json!({ "name": "one_more" })).await;
    assert_eq!(one_more, refused(400, "Bad Request: too many attributes"));
}

#[tokio::test]
async fn addresses_are_blacklisted_and_mails_ask_to_leave() {
    for (blacklist_conflict, again) in [(false, 200), (true, 409)] {
        let world = World::new(Switches { blacklist_conflict, ..Switches::default() }).await;
        let entry = json!({ "email": "Eve@example.com", "comment": "no mail" });
        assert_eq!(world.post("/blacklist.json", entry.clone()).await.0, 200);
        assert_eq!(world.post("/blacklist", entry).await.0, again);
        let found = world.send(Method::GET, "/blacklist/eve%40example.com", json!(null)).await;
        assert_eq!(found, (200, json!({ "email": "eve@example.com", "comment": "no mail" })));
        let of_group = format!("/groups/{GROUP}/blacklist");
        assert_eq!(world.send(Method::GET, &of_group, json!(null)).await, (200, json!([])));
        let path = "/blacklist.json/eve@example.com";
        assert_eq!(world.send(Method::DELETE, path, json!(null)).await, (200, json!(true)));
        assert_eq!(world.send(Method::DELETE, path, json!(null)).await.0, 404);
    }
    let world = World::new(Switches::default()).await;
    let body = json!({ "email": "ada@example.com" });
    let path = "/forms.json/135790/send/deactivate";
    assert_eq!(world.post(path, body).await, (200, json!(true)));
    assert_eq!(world.sandbox.mails().first().unwrap().kind, MailKind::Deactivate);
}
