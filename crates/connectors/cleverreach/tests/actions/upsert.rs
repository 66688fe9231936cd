//! What `upsertReceiver` does beyond attributes and states: tags, orders, modifiers, consent and
//! deletion.

use crate::stage::{NEWSLETTER, NOW, Stage, reason, shown};
use connector::prelude::*;
use sandbox::Action as Failure;

const UPSERT: &str = "POST /v3/groups/{id}/receivers/upsert";
const PLUS: &str = "POST /v3/groups/{id}/receivers/upsertplus";

fn fields(more: Value) -> Value {
    let mut fields = json!({ "groupId": NEWSLETTER, "activation": "keep" });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

fn input(name: &str, more: Value) -> Value {
    let mut input = json!({ "email": format!("{name}@example.com") });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

impl Stage {
    async fn upsert(&self, more: Value, inputs: Vec<Value>) -> Vec<Option<Outcome>> {
        self.send("upsertReceiver", fields(more), inputs).await
    }
}

#[tokio::test]
async fn tags_are_taken_away_where_the_message_says_so() {
    let stage = Stage::new().await;
    let inputs = || {
        vec![
            input("active", json!({ "tags": ["new"], "remove_tags": ["old", "none"] })),
            input("gone", json!({ "tags": ["new"] })),
            input("fresh", json!({ "tags": ["new"], "remove_tags": ["old"] })),
        ]
    };
    for _ in 0..2 {
        assert_eq!(shown(&stage.upsert(json!({}), inputs()).await), ". . .");
        assert_eq!(stage.member("active").tags, ["new"]);
        assert_eq!(stage.member("gone").tags, ["old", "new"]);
        // What is gone is not taken away again.
        assert_eq!(stage.requests(PLUS), 1);
    }
    let same = json!({ "replaceTags": true });
    for _ in 0..2 {
        let inputs =
            vec![input("gone", json!({ "tags": ["new", "vip"] })), input("active", json!({}))];
        assert_eq!(shown(&stage.upsert(same.clone(), inputs).await), ". .");
        assert_eq!(stage.member("gone").tags, ["new", "vip"]);
        assert_eq!(stage.member("active").tags, [""; 0]);
        assert_eq!(stage.requests(PLUS), 2);
    }
}

#[tokio::test]
async fn orders_come_with_their_receiver_and_only_once() {
    let stage = Stage::new().await;
    let order = json!({ "order_id": 7, "product": "Jeans", "price": 59.9, "quantity": 2,
        "product_category": ["trousers", "men"], "source": "Shop" });
    for name in ["active", "fresh"] {
        for _ in 0..2 {
            let inputs = vec![input(name, json!({ "orders": [order] }))];
            assert_eq!(shown(&stage.upsert(json!({}), inputs).await), ".");
        }
        let expected = json!([{ "order_id": "7", "product": "Jeans", "price": 59.9, "quantity": 2,
            "amount": 2, "product_category": "trousers,men", "source": "Shop",
            "product_source": "Shop", "stamp": NOW }]);
        assert_eq!(json!(stage.member(name).orders), expected);
    }
    let lacking = vec![input("active", json!({ "orders": [{ "order_id": 7 }] }))];
    let outcomes = stage.upsert(json!({}), lacking).await;
    assert_eq!(shown(&outcomes), "badOrder");
    assert_eq!(reason(outcomes.first()), "an item of the order 7 has no `product`");
}

#[tokio::test]
async fn modifiers_change_values_where_the_step_allows_it() {
    let stage = Stage::new().await;
    stage.sandbox.define_attribute(None, "visits");
    let add = |value: Value| vec![input("active", json!({ "modifiers": { "Visits": value } }))];
    let allowed = json!({ "increments": true });
    for (change, value) in [(json!(3), "3"), (json!("-1"), "2"), (json!(0), "2"), (json!(null), "")]
    {
        assert_eq!(shown(&stage.upsert(allowed.clone(), add(change)).await), ".");
        assert_eq!(stage.member("active").global_attributes.get("visits"), Some(&json!(value)));
    }
    for (change, code) in
        [(json!(1), "noIncrements"), (json!("1"), "badModifier"), (json!(null), ".")]
    {
        assert_eq!(shown(&stage.upsert(json!({}), add(change)).await), code);
    }
    let outcomes =
        stage.upsert(allowed, vec![input("active", json!({ "modifiers": { "shoe": 1 } }))]);
    let outcomes = outcomes.await;
    let Some(Some(Outcome::Done { value, .. })) = outcomes.first() else { panic!("{outcomes:?}") };
    assert_eq!(value.get("leftOut"), Some(&json!(["shoe"])));
    // A phone number is no modifier, however it begins.
    let phone = json!({ "attributes": { "phone": "+4915112345678" }, "remove_tags": ["old"] });
    stage.upsert(json!({}), vec![input("active", phone)]).await;
    let phone = stage.member("active").global_attributes.get("phone").cloned();
    assert_eq!(phone, Some(json!("+4915112345678")));
    assert_eq!(stage.member("active").registered, NOW - 9_000);
}

#[tokio::test]
async fn what_was_added_without_an_answer_is_left_open() {
    let stage = Stage::new().await;
    stage.sandbox.define_attribute(None, "visits");
    let inputs = || {
        vec![
            input("active", json!({ "modifiers": { "visits": 1 } })),
            input("gone", json!({ "remove_tags": ["old"] })),
            input("pending", json!({})),
        ]
    };
    let allowed = json!({ "increments": true });
    stage.fault("/upsertplus", Failure::CloseConnection { process: true });
    assert_eq!(shown(&stage.upsert(allowed.clone(), inputs()).await), "? ? .");
    assert_eq!(stage.member("active").global_attributes.get("visits"), Some(&json!("1")));
    // Who is missing in an answer was refused; of an increment nothing is to be seen.
    stage.put("gone2", &[NEWSLETTER], 1, 0);
    stage.fault("/upsertplus", Failure::body("[]"));
    let mut inputs = inputs();
    inputs.push(input("gone2", json!({ "remove_tags": ["old"] })));
    assert_eq!(shown(&stage.upsert(allowed, inputs).await), "? . . notTaken");
}

#[tokio::test]
async fn a_refused_receiver_is_not_sent_again_for_its_orders() {
    let stage = Stage::new().await;
    stage.switch(|it| it.refused_addresses = vec!["no@example.com".to_owned()]);
    let order = json!([{ "order_id": 7, "product": "Jeans" }]);
    let inputs = vec![input("no", json!({ "orders": order }))];
    assert_eq!(shown(&stage.upsert(json!({}), inputs).await), "invalidAddress");
    assert_eq!((stage.requests(UPSERT), stage.requests(PLUS)), (1, 0));
}

#[tokio::test]
async fn a_state_follows_the_consent_but_nobody_is_resubscribed() {
    for (consent, states) in [
        (json!("given"), ["active", "active", "gone", "active"]),
        (json!("pending"), ["active", "pending", "gone", "pending"]),
        (json!(null), ["active", "pending", "gone", "pending"]),
        (json!("withdrawn"), ["gone", "gone", "gone", "gone"]),
    ] {
        let stage = Stage::new().await;
        let names = ["active", "pending", "gone", "fresh"];
        for _ in 0..2 {
            let inputs = names.map(|name| input(name, json!({ "consent": consent }))).to_vec();
            let outcomes = stage.upsert(json!({ "activation": "consent" }), inputs).await;
            assert_eq!(shown(&outcomes), ". . . .");
            let found = names.map(|name| {
                let it = stage.member(name);
                match (it.activated, it.deactivated) {
                    (_, 1..) => "gone",
                    (0, _) => "pending",
                    _ => "active",
                }
            });
            assert_eq!(found, states, "{consent}");
            // What is so already keeps its date.
            stage.sandbox.advance_clock(60);
        }
        let expected = if consent == "withdrawn" { NOW } else { 0 };
        assert_eq!(stage.member("active").deactivated, expected);
        assert_eq!(stage.member("gone").deactivated, NOW - 80);
    }
}

#[tokio::test]
async fn a_request_for_deletion_is_carried_out_or_refused_but_never_written() {
    let stage = Stage::new().await;
    let delete = |name| input(name, json!({ "delete": true }));
    let outcomes = stage.upsert(json!({}), vec![delete("active"), input("fresh", json!({}))]).await;
    assert_eq!(shown(&outcomes), "deletesNotAllowed .");
    let allowed = json!({ "deletes": true });
    let id = stage.member("gone").id;
    let inputs = vec![
        delete("active"),
        delete("nobody"),
        // Written and deleted by one batch: deleted.
        delete("fresh"),
        input("fresh", json!({ "tags": ["x"] })),
        json!({ "delete": true, "id": id }),
        json!({ "delete": true }),
    ];
    let outcomes = stage.upsert(allowed, inputs).await;
    assert_eq!(shown(&outcomes), ". . . . . noEmail");
    let Some(Some(Outcome::Done { value, .. })) = outcomes.first() else { panic!("{outcomes:?}") };
    let expected =
        json!({ "delete": "confirmed", "timestamp": NOW * 1000, "email": "active@example.com" });
    assert_eq!(value, &expected);
    let left: Vec<String> = stage.sandbox.receivers().into_iter().map(|it| it.email).collect();
    assert_eq!(left, ["pending@example.com"]);
}
