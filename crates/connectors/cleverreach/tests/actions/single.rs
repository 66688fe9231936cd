//! The actions beside `upsertReceiver`, against the sandbox: what changes, what is refused, and that
//! nothing happens twice.

use crate::stage::{CUSTOMERS, NEWSLETTER, NOW, Stage, configure, reason, shown};
use connector::prelude::*;
use sandbox::{
    Action as Failure, BlacklistedUpsert, DeleteAnswer, GroupSeed, OrderAgain, Receiver,
};

const PLUS: &str = "POST /v3/groups/{id}/receivers/upsertplus";
const LIST: &str = "GET /v3/groups/{id}/receivers";

fn email(name: &str) -> Value {
    json!({ "email": format!("{name}@example.com") })
}

fn with(name: &str, field: &str, value: Value) -> Value {
    let mut input = email(name);
    input.as_object_mut().unwrap().insert(field.to_owned(), value);
    input
}

/// A field of what a message's outcome tells.
fn told(outcome: Option<&Option<Outcome>>, field: &str) -> Value {
    match outcome {
        Some(Some(Outcome::Done { value, .. })) => value.get(field).cloned().unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_deletion_is_of_one_group_or_of_all() {
    let stage = Stage::new().await;
    stage.put("both", &[NEWSLETTER, CUSTOMERS], 1, 0);
    let both = |group| stage.sandbox.member(group, "both@example.com").is_some();
    let from_group = json!({ "groupName": "newsletter" });
    let inputs = vec![email("both"), email("nobody"), json!({}), email("active")];
    let outcomes = stage.send("deleteReceiver", from_group.clone(), inputs.clone()).await;
    assert_eq!(shown(&outcomes), ". . noEmail .");
    assert_eq!((both(NEWSLETTER), both(CUSTOMERS)), (false, true));
    let confirmed = json!({ "delete": "confirmed", "timestamp": NOW * 1000,
        "email": "both@example.com", "groupId": NEWSLETTER });
    // Known by its address, where that named it.
    let target_key = Some("both@example.com".to_owned());
    let confirmed = Outcome::Done { value: confirmed, target_key };
    assert_eq!(outcomes.first(), Some(&Some(confirmed)));
    // Again is no different.
    let again = stage.send("deleteReceiver", from_group, inputs).await;
    assert_eq!(again, outcomes);

    let account = json!({ "fromAccount": true });
    let id = stage.sandbox.member(NEWSLETTER, "gone@example.com").unwrap().id;
    let inputs = vec![email("both"), email("pending"), json!({ "id": id }), json!({ "id": "1" })];
    assert_eq!(shown(&stage.send("deleteReceiver", account, inputs).await), ". . . .");
    assert_eq!(stage.sandbox.receiver_count(), 0);
    assert_eq!(stage.requests("POST /v3/receivers/delete"), 1);
    assert_eq!(stage.requests("DELETE /v3/receivers/{id}"), 2);
}

#[tokio::test]
async fn a_group_that_is_not_there_is_not_taken_for_receivers_that_are_not() {
    let stage = Stage::new().await;
    for (action, input) in
        [("deleteReceiver", email("active")), ("addTags", with("active", "tags", json!(["x"])))]
    {
        let sent = stage.try_send(action, json!({ "groupId": "99" }), vec![input]).await;
        assert!(matches!(sent, Err(Error::Config { .. })), "{action}: {sent:?}");
    }
    let fields = json!({ "groupId": "99", "operation": "remove" });
    let sent = stage.try_send("blacklist", fields, vec![email("active")]).await;
    assert!(matches!(sent, Err(Error::Config { .. })), "{sent:?}");
}

#[tokio::test]
async fn a_deletion_of_several_is_checked_where_the_answer_leaves_it_open() {
    let stage = Stage::new().await;
    stage.switch(|it| it.delete_answer = DeleteAnswer::List);
    let fields = json!({ "fromAccount": true });
    let inputs = vec![email("active"), email("nobody")];
    assert_eq!(shown(&stage.send("deleteReceiver", fields.clone(), inputs).await), ". .");
    // What is still there after an odd answer is deleted by its id.
    stage.fault("/receivers.json/delete", Failure::body("{}"));
    assert_eq!(
        shown(&stage.send("deleteReceiver", fields.clone(), vec![email("gone")]).await),
        "."
    );
    assert!(stage.sandbox.member(NEWSLETTER, "gone@example.com").is_none());
    stage.switch(|it| it.missing_is_false = true);
    let inputs = vec![json!({ "id": "1" })];
    assert_eq!(shown(&stage.send("deleteReceiver", fields, inputs).await), ".");
}

#[tokio::test]
async fn what_was_deleted_stays_told_when_the_next_deletion_fails() {
    let stage = Stage::new().await;
    let inputs = || vec![email("active"), email("pending"), email("gone")];
    let fields = json!({ "groupId": NEWSLETTER });
    stage.fault("pending", Failure::TooManyRequests { retry_after: Some(7) });
    let outcomes = stage.send("deleteReceiver", fields.clone(), inputs()).await;
    assert_eq!(shown(&outcomes), ". retry retry");
    stage.fault("active", Failure::status(503));
    let sent = stage.try_send("deleteReceiver", fields, inputs()).await;
    assert!(matches!(sent, Err(Error::Unknown { .. })), "{sent:?}");
}

#[tokio::test]
async fn a_status_is_set_once_and_nobody_is_resubscribed_unasked() {
    let stage = Stage::new().await;
    let status = |name, to: &str| with(name, "status", json!(to));
    let fields = json!({ "groupId": NEWSLETTER });
    let inputs = vec![
        status("active", "active"),
        status("pending", "active"),
        status("gone", "active"),
        status("nobody", "active"),
        status("nobody", "inactive"),
        email("active"),
    ];
    let outcomes = stage.send("setReceiverStatus", fields.clone(), inputs).await;
    assert_eq!(shown(&outcomes), ". . unsubscribed noReceiver . noStatus");
    let changed = [0, 1, 4].map(|at| told(outcomes.get(at), "changed"));
    assert_eq!(changed, [json!(false), json!(true), json!(false)]);
    assert_eq!(
        (stage.member("active").activated, stage.member("pending").activated),
        (NOW - 90, NOW)
    );
    assert_eq!(stage.requests(LIST), 1);
    assert_eq!(stage.requests("PUT /v3/groups/{id}/receivers/{id}/activate"), 1);

    let resubscribe = json!({ "groupId": NEWSLETTER, "resubscribe": true });
    let outcomes = stage.send("setReceiverStatus", resubscribe, vec![status("gone", "active")]);
    assert_eq!(shown(&outcomes.await), ".");
    assert_eq!(stage.member("gone").deactivated, 0);

    stage.sandbox.advance_clock(60);
    let off = || vec![status("active", "inactive"), status("pending", "inactive")];
    for _ in 0..2 {
        let outcomes = stage.send("setReceiverStatus", fields.clone(), off()).await;
        assert_eq!(shown(&outcomes), ". .");
        stage.sandbox.advance_clock(60);
    }
    assert_eq!(stage.member("active").deactivated, NOW + 60);
    assert_eq!(stage.requests("PUT /v3/groups/{id}/receivers/{id}/deactivate"), 2);
}

#[tokio::test]
async fn tags_are_added_and_taken_away_once() {
    let stage = Stage::new().await;
    let fields = json!({ "groupId": NEWSLETTER });
    let tags = |name, tags: Value| with(name, "tags", tags);
    let inputs = || {
        vec![
            tags("active", json!(["old", "shop.buyer", "trade fair", "-vip"])),
            tags("ACTIVE", json!(["later"])),
            tags("gone", json!(["old"])),
            tags("nobody", json!(["old"])),
            tags("pending", json!(["--"])),
        ]
    };
    let outcomes = stage.send("addTags", fields.clone(), inputs()).await;
    assert_eq!(shown(&outcomes), ". . . noReceiver noTags");
    assert_eq!(told(outcomes.get(2), "changed"), json!(false));
    let all = ["old", "shop.buyer", "trade_fair", "vip", "later"];
    assert_eq!(stage.member("active").tags, all);
    assert_eq!(stage.requests(PLUS), 2);
    let before = stage.member("active");
    assert_eq!(shown(&stage.send("addTags", fields.clone(), inputs()).await), shown(&outcomes));
    assert_eq!((stage.requests(PLUS), stage.member("active")), (2, before));
    assert_eq!(stage.sandbox.receiver_count(), 3);

    let inputs =
        || vec![tags("active", json!(["shop.*", "-vip", "none"])), tags("nobody", json!(["x"]))];
    for requests in [3, 3] {
        assert_eq!(shown(&stage.send("removeTags", fields.clone(), inputs()).await), ". .");
        assert_eq!(stage.member("active").tags, ["old", "trade_fair", "later"]);
        assert_eq!(stage.requests(PLUS), requests);
    }
}

#[tokio::test]
async fn an_order_is_noted_once_whatever_cleverreach_makes_of_a_second_time() {
    for again in [OrderAgain::Added, OrderAgain::Replaced] {
        let stage = Stage::new().await;
        stage.switch(|it| it.order_again = again);
        let item = |order: &str, product: &str| json!({ "order_id": order, "product": product });
        let fields = json!({ "groupId": NEWSLETTER });
        let inputs = || {
            vec![
                with("active", "orders", json!([item("1", "Jeans"), item("1", "Shirt")])),
                with("active", "orders", json!([item("1", "Jeans"), item("2", "Jeans")])),
                with("nobody", "orders", json!([item("3", "Jeans")])),
                with("gone", "orders", json!([{ "order_id": "4" }])),
                email("gone"),
            ]
        };
        // The answer is lost once: sent again, nothing is there twice.
        stage.fault("/upsertplus", Failure::CloseConnection { process: true });
        let sent = stage.try_send("addOrders", fields.clone(), inputs()).await;
        assert!(matches!(sent, Err(Error::Unknown { .. })), "{sent:?}");
        for _ in 0..2 {
            let outcomes = stage.send("addOrders", fields.clone(), inputs()).await;
            assert_eq!(shown(&outcomes), ". . noReceiver badOrder badOrder");
        }
        let orders = stage.member("active").orders;
        let named = |order: &Value| format!("{} {}", order["order_id"], order["product"]);
        let named: Vec<String> = orders.iter().map(named).collect();
        assert_eq!(named, [r#""1" "Jeans""#, r#""1" "Shirt""#, r#""2" "Jeans""#]);
        assert_eq!(orders.first().and_then(|order| order.get("stamp")), Some(&json!(NOW)));
    }
}

#[tokio::test]
async fn who_is_missing_in_an_answer_is_looked_up() {
    let stage = Stage::new().await;
    let fields = json!({ "groupId": NEWSLETTER });
    let inputs = || ["active", "gone"].map(|name| with(name, "tags", json!(["new"]))).to_vec();
    // Both are refused, though nobody says so.
    stage.fault("/upsertplus", Failure::body("[]"));
    let outcomes = stage.send("addTags", fields.clone(), inputs()).await;
    assert_eq!(shown(&outcomes), "notTaken notTaken");
    assert!(reason(outcomes.first()).contains("active@example.com"));
    // Whether they are cannot be seen.
    stage.fault("/upsertplus", Failure::body("[]"));
    stage.sandbox.fault(stage.later("email_list", Failure::status(502)));
    assert_eq!(shown(&stage.send("addTags", fields.clone(), inputs()).await), "? ?");
    stage.sandbox.clear_faults();
    // Nobody else can be meant.
    stage.fault("/upsertplus", Failure::body(r#"[{"id":"1","email":"else@example.com"}]"#));
    let sent = stage.try_send("addTags", fields, inputs()).await;
    assert!(matches!(sent, Err(Error::Unknown { .. })), "{sent:?}");
}

#[tokio::test]
async fn addresses_go_on_and_off_the_blacklist() {
    let stage = Stage::new().await;
    let listed = || {
        let all = stage.sandbox.blacklist();
        all.into_iter().map(|it| (it.email, it.comment, it.group)).collect::<Vec<_>>()
    };
    for conflict in [false, true] {
        stage.switch(|it| it.blacklist_conflict = conflict);
        let input = with("Active", "comment", json!(" no mail "));
        assert_eq!(shown(&stage.send("blacklist", json!({}), vec![input]).await), ".");
        assert_eq!(listed(), [("active@example.com".to_owned(), "no mail".to_owned(), 0)]);
    }
    let of_group = json!({ "groupName": "Newsletter" });
    assert_eq!(shown(&stage.send("blacklist", of_group, vec![email("gone")]).await), ".");
    assert_eq!(listed().len(), 2);
    let refused = stage.send("blacklist", json!({}), vec![json!({ "email": "nobody" })]).await;
    assert_eq!(shown(&refused), "invalidAddress");

    // An upsert of such an address is refused, or it gets no mail: the switch says which.
    stage.switch(|it| it.blacklisted = BlacklistedUpsert::Refused);
    let upsert = json!({ "groupId": NEWSLETTER, "activation": "keep" });
    let outcomes = stage.send("upsertReceiver", upsert, vec![email("gone")]).await;
    assert_eq!(shown(&outcomes), "invalidAddress");

    for missing_is_false in [false, true] {
        stage.switch(|it| it.missing_is_false = missing_is_false);
        for group in [json!({}), json!({ "groupId": NEWSLETTER })] {
            let mut fields = group;
            fields.as_object_mut().unwrap().insert("operation".to_owned(), json!("remove"));
            for name in ["active", "gone"] {
                let outcomes = stage.send("blacklist", fields.clone(), vec![email(name)]).await;
                assert_eq!(shown(&outcomes), ".");
                assert_eq!(told(outcomes.first(), "blacklisted"), json!(false));
            }
        }
    }
    assert_eq!(listed(), []);
}

#[tokio::test]
async fn a_group_is_created_once() {
    let stage = Stage::new().await;
    let named = |name: &str| json!({ "name": name });
    let inputs = || vec![named(" newsletter "), named("Partners"), named("PARTNERS"), named(" ")];
    let outcomes = stage.send("ensureGroup", json!({}), inputs()).await;
    assert_eq!(shown(&outcomes), ". . . noName");
    assert_eq!(told(outcomes.first(), "id"), json!(NEWSLETTER));
    assert_eq!(told(outcomes.get(1), "id"), told(outcomes.get(2), "id"));
    assert_eq!(told(outcomes.get(1), "created"), json!(true));
    let again = stage.send("ensureGroup", json!({}), inputs()).await;
    assert_eq!(told(again.get(1), "created"), json!(false));
    assert_eq!(stage.sandbox.group_names(), ["Newsletter", "Customers", "Partners"]);

    stage.sandbox.add_group(GroupSeed::new(7, "Customers", 0));
    let outcomes = stage.send("ensureGroup", json!({}), vec![named("customers")]).await;
    assert_eq!(shown(&outcomes), "severalGroups");
    assert!(reason(outcomes.first()).contains("(7)"));
}

#[tokio::test]
async fn a_group_that_two_batches_create_at_once_stays_one() {
    let stage = Stage::new().await;
    let send = || stage.send("ensureGroup", json!({}), vec![json!({ "name": "Partners" })]);
    // The other batch asked before this one created it.
    let before = r#"[{"id":"1","name":"Newsletter"}]"#;
    let first = send().await;
    stage.fault("/groups.json", Failure::body(before));
    let second = send().await;
    assert_eq!(told(first.first(), "id"), told(second.first(), "id"));
    assert_eq!(stage.sandbox.group_names(), ["Newsletter", "Customers", "Partners"]);
}

#[tokio::test]
async fn attributes_are_created_where_that_is_allowed() {
    let stage = Stage::new().await;
    let wanted = |all: Value| json!({ "attributes": all });
    let visits = json!([{ "name": "firstname" }, { "name": "visits", "type": "number" }]);
    let fields = |create: bool| json!({ "groupId": NEWSLETTER, "create": create });
    let outcomes =
        stage.send("ensureAttributes", fields(false), vec![wanted(visits.clone())]).await;
    assert_eq!(shown(&outcomes), "missingAttributes");
    assert_eq!(
        reason(outcomes.first()),
        "the group 1123825 lacks `visits`; `create: true` creates it"
    );
    // Somebody who looks before anything is sent is told the same, of the fields.
    let lacks = async |action: &str, fields: Value| {
        let action = configure(action, fields).unwrap();
        action.lacks(&stage.api).await.unwrap().concat()
    };
    let named = |create: bool| {
        let mut named = fields(create);
        named["attributes"] = visits.clone();
        named
    };
    let lacking = lacks("ensureAttributes", named(false)).await;
    assert_eq!(lacking, "the group 1123825 lacks `visits`; `create: true` creates it");
    assert_eq!(lacks("ensureAttributes", named(true)).await, "");
    for action in ["upsertReceiver", "addTags", "ensureAttributes"] {
        let lacking = lacks(action, json!({ "groupId": 4 })).await;
        assert!(lacking.contains("no group with the id 4"), "{lacking}");
        let lacking = lacks(action, json!({ "groupName": "Nobody" })).await;
        assert!(lacking.contains("Nobody"), "{lacking}");
        assert_eq!(lacks(action, json!({ "groupName": "newsletter " })).await, "");
    }
    for created in [json!(["visits"]), json!([])] {
        let inputs = vec![wanted(visits.clone()), wanted(visits.clone())];
        let outcomes = stage.send("ensureAttributes", fields(true), inputs).await;
        assert_eq!(shown(&outcomes), ". .");
        assert_eq!(told(outcomes.first(), "created"), created);
        assert_eq!(told(outcomes.get(1), "created"), json!([]));
    }
    assert_eq!(stage.requests("POST /v3/groups/{id}/attributes"), 1);

    stage.switch(|it| it.most_attributes = 18);
    let inputs = vec![
        wanted(json!([{ "name": "visits", "type": "date" }])),
        wanted(json!([{ "name": "Shoe Size" }])),
        wanted(json!([])),
        wanted(json!([{ "name": "a" }])),
        wanted(json!([{ "name": "b" }])),
    ];
    let outcomes = stage.send("ensureAttributes", fields(true), inputs).await;
    assert_eq!(shown(&outcomes), "otherType badName badName . refused");
    assert!(reason(outcomes.get(4)).contains("`b`"), "{:?}", outcomes.get(4));

    // One of the account is shown, empty, on everybody.
    stage.switch(|it| it.most_attributes = 40);
    let account = json!({ "create": true });
    let inputs = vec![wanted(json!([{ "name": "points", "type": "number" }]))];
    assert_eq!(shown(&stage.send("ensureAttributes", account, inputs).await), ".");
    assert_eq!(stage.member("active").global_attributes.get("points"), Some(&json!("")));
    // Another batch was faster.
    stage.fault("attributes", Failure::body("[]"));
    let inputs = vec![wanted(json!([{ "name": "visits", "type": "number" }]))];
    assert_eq!(shown(&stage.send("ensureAttributes", fields(true), inputs).await), ".");
}

#[tokio::test]
async fn fields_that_do_not_fit_are_found_before_anything_runs() {
    for (action, fields, expected) in [
        ("deleteReceiver", json!({}), "or `fromAccount: true`"),
        ("deleteReceiver", json!({ "groupId": 1, "fromAccount": true }), "leave the group out"),
        ("deleteReceiver", json!({ "groupId": 1, "groupName": "x" }), "exclude each other"),
        ("setReceiverStatus", json!({}), "`groupId` or `groupName` is needed"),
        ("setReceiverStatus", json!({ "groupName": " " }), "`groupName` is empty"),
        (
            "addTags",
            json!({ "groupId": 1, "tags": ["vip", "--"] }),
            "\"--\", of which no tag is left",
        ),
        ("removeTags", json!({ "groupId": 1, "tags": [""] }), "of which no tag is left"),
        ("addOrders", json!({}), "`groupId` or `groupName` is needed"),
        ("blacklist", json!({ "operation": "remove", "comment": "x" }), "`operation: add` only"),
        ("blacklist", json!({ "groupId": 1, "groupName": "x" }), "exclude each other"),
        ("ensureGroup", json!({ "groupName": "" }), "`groupName` is empty"),
        ("ensureAttributes", json!({ "attributes": [{ "name": "Größe" }] }), "\"Größe\" cannot be"),
        (
            "upsertReceiver",
            json!({ "groupId": 1, "deleteBy": "recordUid" }),
            "`deletes: true` only",
        ),
    ] {
        let problem = configure(action, fields).err().unwrap();
        assert!(problem.contains(expected), "{action}: {problem}");
    }
    let group = json!({ "groupId": 1 });
    for action in [
        "deleteReceiver",
        "setReceiverStatus",
        "addTags",
        "removeTags",
        "addOrders",
        "upsertReceiver",
    ] {
        assert!(configure(action, group.clone()).unwrap().idempotent(), "{action}");
    }
    for action in ["blacklist", "ensureGroup", "ensureAttributes"] {
        assert!(configure(action, json!({})).unwrap().idempotent(), "{action}");
    }
    let increments = json!({ "groupId": 1, "increments": true });
    assert!(!configure("upsertReceiver", increments).unwrap().idempotent());
}

#[tokio::test]
async fn a_receiver_that_left_a_group_is_still_in_the_others() {
    let stage = Stage::new().await;
    stage.put("both", &[NEWSLETTER, CUSTOMERS], 1, 0);
    let fields = json!({ "groupId": NEWSLETTER });
    stage.send("deleteReceiver", fields, vec![email("both")]).await;
    let both: Receiver = stage.sandbox.member(CUSTOMERS, "both@example.com").unwrap();
    assert_eq!(both.groups, [CUSTOMERS]);
}
