//! `upsertReceiver` against the sandbox: which group, what is written, what becomes of whom.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;
use connector::{ErasedAction, ErasedItem, Services};
use sandbox::{
    Action as Failure, Fault, GroupSeed, Options, Receiver, Sandbox, Switches, UnknownAttribute,
    Vendor,
};

const NOW: i64 = 1_763_700_000;
const NEWSLETTER: &str = "1123825";
const CUSTOMERS: &str = "1123826";
const UPSERT: &str = "POST /v3/groups/{id}/receivers/upsert";
const LIST: &str = "GET /v3/groups/{id}/receivers";

struct World {
    sandbox: Sandbox,
    api: Api,
}

impl World {
    /// A group with one active receiver, one that never confirmed and one that unsubscribed.
    async fn new() -> Self {
        let options = Options { receivers: 0, now: Some(NOW), ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        for (name, activated, deactivated) in
            [("active", NOW - 90, 0), ("pending", 0, 0), ("gone", NOW - 90, NOW - 80)]
        {
            sandbox.put_receiver(&Receiver {
                email: format!("{name}@example.com"),
                registered: NOW - 9_000,
                activated,
                deactivated,
                groups: vec![NEWSLETTER.to_owned()],
                tags: vec!["old".to_owned()],
                ..Receiver::default()
            });
        }
        let values = BTreeMap::from([
            ("clientId".to_owned(), sandbox.credentials().client_id.clone()),
            ("clientSecret".to_owned(), sandbox.credentials().client_secret.clone()),
        ]);
        let connector = towpath_cleverreach::connector();
        let account = connector.account("newsletter", Some(&sandbox.cleverreach_url()), values);
        let api = Api::new(&connector, account.unwrap(), &BTreeMap::new(), Services::bare());
        Self { sandbox, api: api.unwrap() }
    }

    fn switch(&self, change: impl FnOnce(&mut Switches)) {
        let mut switches = self.sandbox.switches();
        change(&mut switches);
        self.sandbox.set_switches(switches);
    }

    fn fault(&self, path: &str, action: Failure) {
        self.sandbox.fault(Fault::new(Vendor::CleverReach, path, action));
    }

    fn requests(&self, template: &str) -> u64 {
        self.sandbox.stats().cleverreach.requests_to(template)
    }

    fn member(&self, email: &str) -> Receiver {
        self.sandbox.member(NEWSLETTER, email).unwrap()
    }

    /// Whom mails went to.
    fn mailed(&self) -> Vec<String> {
        self.sandbox.mails().into_iter().map(|mail| mail.email).collect()
    }

    async fn try_send(&self, fields: Value, inputs: Vec<Value>) -> Result<Vec<Option<Outcome>>> {
        let action = configure(fields).unwrap();
        let items: Vec<_> = inputs
            .into_iter()
            .enumerate()
            .map(|(index, input)| ErasedItem {
                id: Arc::from(format!("message-{index}")),
                key: Arc::from(format!("{index}")),
                input: action.prepare(input).unwrap(),
            })
            .collect();
        Ok(action.run(&self.api, &items).await?.into_vec())
    }

    async fn send(&self, fields: Value, inputs: Vec<Value>) -> Vec<Option<Outcome>> {
        self.try_send(fields, inputs).await.unwrap()
    }

    /// Sends addresses to the newsletter.
    async fn to_newsletter(&self, mut fields: Value, emails: &[&str]) -> Vec<Option<Outcome>> {
        fields.as_object_mut().unwrap().insert("groupId".to_owned(), json!(NEWSLETTER));
        self.send(fields, emails.iter().map(|email| json!({ "email": email })).collect()).await
    }
}

fn configure(fields: Value) -> Result<Arc<dyn ErasedAction>, String> {
    let connector = towpath_cleverreach::connector();
    (connector.find_action("upsertReceiver").unwrap().configure)(fields)
}

/// `.` done, `?` unknown, otherwise the code of the refusal.
fn shown(outcomes: &[Option<Outcome>]) -> String {
    let words = outcomes.iter().map(|outcome| match outcome {
        None => "?".to_owned(),
        Some(Outcome::Done { .. }) => ".".to_owned(),
        Some(Outcome::Rejected { code, .. }) => code.clone(),
        Some(Outcome::Retry { .. }) => "retry".to_owned(),
        Some(Outcome::Parked { .. }) => "parked".to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn reason(outcome: Option<&Option<Outcome>>) -> &str {
    match outcome {
        Some(Some(Outcome::Rejected { reason, .. } | Outcome::Retry { reason, .. })) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_receiver_is_created_then_changed_under_the_same_key() {
    let world = World::new().await;
    let fields = json!({ "groupId": 1_123_825, "activation": "active" });
    let input = json!({
        "email": " ada@example.com ",
        "attributes": { "Firstname": "Ada", "lastname": "Lovelace", "name": "Lovelace", "shoe": 38 },
        "global_attributes": { "firstname": "Augusta" },
        "tags": ["vip", "trade fair"],
    });
    let outcomes = world.send(fields.clone(), vec![input]).await;
    let ada = world.member("ada@example.com");
    let value = json!({ "id": ada.id, "email": "ada@example.com", "groupId": NEWSLETTER,
        "created": true, "activated": NOW, "deactivated": 0, "leftOut": ["shoe"] });
    let done = Outcome::Done { value, target_key: Some(ada.id.clone()) };
    assert_eq!(outcomes, [Some(done)]);
    // The group has `firstname` and `name`, the account `firstname` and `lastname`.
    assert_eq!(Value::from(ada.attributes), json!({ "firstname": "Ada", "name": "Lovelace" }));
    assert_eq!(ada.global_attributes.get("firstname").unwrap(), "Augusta");
    assert_eq!(ada.global_attributes.get("lastname").unwrap(), "Lovelace");
    assert_eq!(ada.tags, ["vip", "trade_fair"]);
    assert_eq!((ada.registered, ada.activated, ada.source.as_str()), (NOW, NOW, "Towpath"));

    world.sandbox.advance_clock(60);
    let input = json!({ "email": "ADA@example.com", "attributes": { "firstname": "Ada King" } });
    let outcomes = world.send(fields, vec![input]).await;
    let Some(Some(Outcome::Done { value, target_key })) = outcomes.first() else { panic!() };
    assert_eq!(target_key.as_deref(), Some(ada.id.as_str()));
    assert_eq!(value.get("created"), Some(&json!(false)));
    let changed = world.member("ada@example.com");
    assert_eq!(changed.attributes.get("firstname").unwrap(), "Ada King");
    // An active receiver keeps its times, or every upsert would be a change to whoever polls.
    assert_eq!((changed.registered, changed.activated), (NOW, NOW));
    assert!(configure(json!({ "groupId": 1 })).unwrap().idempotent());
}

#[tokio::test]
async fn a_batch_is_one_request_and_every_refusal_finds_its_receiver() {
    let world = World::new().await;
    world.switch(|it| it.refused_addresses = vec!["no@example.com".to_owned()]);
    let mut inputs: Vec<Value> =
        (0..495).map(|n| json!({ "email": format!("some.body.{n}@example.com") })).collect();
    inputs.insert(3, json!({ "email": "NO@example.com" }));
    inputs.insert(0, json!({ "attributes": { "firstname": "Nobody" } }));
    inputs.insert(1, json!({ "email": "a@example.com, b@example.com" }));
    inputs.push(json!({ "email": "list@example.com", "attributes": { "firstname": ["A"] } }));
    inputs.push(json!({ "email": "nowhere@localhost" }));
    let outcomes = world.send(json!({ "groupName": " newsLETTER " }), inputs).await;
    let mut expected = vec!["."; 500];
    for (place, code) in [
        (0, "noEmail"),
        (1, "invalidAddress"),
        (5, "invalidAddress"),
        (498, "badAttribute"),
        (499, "invalidAddress"),
    ] {
        *expected.get_mut(place).unwrap() = code;
    }
    assert_eq!(shown(&outcomes), expected.join(" "));
    assert_eq!(reason(outcomes.get(5)), "invalid address 'NO@example.com'");
    assert!(reason(outcomes.get(498)).contains("`firstname`"));
    assert_eq!(world.requests(UPSERT), 1);
    assert_eq!(world.requests("GET /v3/groups"), 1);
    // Which of them are new is asked in lines of a length that servers take.
    assert_eq!(world.requests(LIST), 3);
    assert_eq!(world.sandbox.stats().cleverreach.receivers_upserted, 495);
}

#[tokio::test]
async fn an_address_that_comes_twice_ends_as_the_later_one() {
    let world = World::new().await;
    let input = |email: &str, name: &str| json!({ "email": email, "attributes": { "name": name } });
    let inputs =
        vec![input("a@example.com", "1"), input("b@example.com", "2"), input("A@example.com", "3")];
    let outcomes = world.send(json!({ "groupId": NEWSLETTER }), inputs).await;
    assert_eq!(shown(&outcomes), ". . .");
    assert_eq!(world.requests(UPSERT), 2);
    assert_eq!(world.member("a@example.com").attributes.get("name").unwrap(), "3");
}

#[tokio::test]
async fn the_group_is_given_in_one_of_three_ways() {
    let problem = |fields: Value| configure(fields).err().unwrap();
    for (fields, expected) in [
        (json!({}), "the group is not given"),
        (json!({ "groupName": " " }), "`groupName` is empty"),
        (json!({ "groupId": 1, "groupFromCategories": true }), "exclude each other"),
        (json!({ "groupId": 1, "groupName": "x" }), "exclude each other"),
        (json!({ "groupId": 1, "firstMatch": true }), "`groupFromCategories: true` only"),
        (json!({ "groupId": 1, "formId": 1, "activation": "keep" }), "no mail is sent"),
        (json!({ "groupId": 1, "group": 1 }), "unknown field `group`"),
    ] {
        let problem = problem(fields);
        assert!(problem.contains(expected), "{problem}");
    }

    let world = World::new().await;
    let input = json!({ "email": "a@example.com", "attributes": { "name": "A" } });
    for fields in [json!({ "groupId": "99" }), json!({ "groupName": "News" })] {
        let error = world.try_send(fields, vec![input.clone()]).await.unwrap_err();
        let Error::Config { reason } = &error else { panic!("{error:?}") };
        assert!(reason.contains("CleverReach has no group"), "{reason}");
    }
    assert_eq!(world.requests(UPSERT), 0);
}

#[tokio::test]
async fn the_group_may_be_one_of_the_categories() {
    let world = World::new().await;
    world.sandbox.add_group(GroupSeed::new(7, "Customers", 0));
    let input = |n: usize, categories: Value| json!({ "email": format!("{n}@example.com"), "categories": categories });
    let inputs = vec![
        input(0, json!(["vip", " NEWSletter"])),
        input(1, json!(["vip"])),
        input(2, json!([])),
        input(3, json!(["customers"])),
        input(4, json!(["Newsletter"])),
    ];
    let fields = json!({ "groupFromCategories": true });
    let outcomes = world.send(fields, inputs.clone()).await;
    assert_eq!(shown(&outcomes), ". noGroup noGroup severalGroups .");
    assert_eq!(
        reason(outcomes.get(1)),
        "no group is called like a category of the contact (\"vip\"); there are \"Newsletter\" \
         (1123825), \"Customers\" (1123826), \"Customers\" (7)"
    );
    assert!(reason(outcomes.get(2)).contains("no categories"));
    let several = reason(outcomes.get(3));
    assert!(several.contains("(1123826)") && several.contains("(7)"), "{several}");
    assert_eq!((world.requests("GET /v3/groups"), world.requests(UPSERT)), (1, 1));

    let fields = json!({ "groupFromCategories": true, "firstMatch": true });
    let mut inputs = inputs;
    inputs.push(input(5, json!(["Customers", "Newsletter"])));
    inputs.push(input(4, json!(["Customers"])));
    let outcomes = world.send(fields, inputs).await;
    assert_eq!(shown(&outcomes), ". noGroup noGroup . . . .");
    for n in [3, 4, 5] {
        let email = format!("{n}@example.com");
        assert!(world.sandbox.member(CUSTOMERS, &email).is_some(), "{email}");
        assert_eq!(world.sandbox.member(NEWSLETTER, &email).is_some(), n == 4);
    }
    // In a further group it is the same receiver.
    let id = |group| world.sandbox.member(group, "4@example.com").unwrap().id;
    assert_eq!(id(CUSTOMERS), id(NEWSLETTER));
}

#[tokio::test]
async fn what_is_empty_erases_nothing_unless_asked() {
    let world = World::new().await;
    let full = json!({ "email": "a@example.com",
        "attributes": { "firstname": "Ada", "name": "Lovelace", "phone": "123" } });
    let empty = json!({ "email": "a@example.com",
        "attributes": { "firstname": "", "name": null, "phone": " ", "shoe": "" } });
    let send = |erase: bool, input: &Value| {
        let fields = json!({ "groupId": NEWSLETTER, "activation": "keep", "eraseEmpty": erase });
        world.send(fields, vec![input.clone()])
    };
    send(false, &full).await;
    let before = world.member("a@example.com");
    assert_eq!(shown(&send(false, &empty).await), ".");
    assert_eq!(world.member("a@example.com"), before);

    send(true, &empty).await;
    let after = world.member("a@example.com");
    assert_eq!(Value::from(after.attributes), json!({ "firstname": "", "name": "" }));
    assert_eq!(after.global_attributes.get("phone").unwrap(), "");
    // Where nothing is asked about, nothing is asked: no state, so no lookup.
    assert_eq!(world.requests(LIST), 0);
}

#[tokio::test]
async fn what_the_group_does_not_have_is_not_sent() {
    let world = World::new().await;
    world.switch(|it| it.unknown_attribute = UnknownAttribute::Refuse);
    world.sandbox.define_attribute(Some(1_123_825), "shoe");
    let input = json!({ "email": "a@example.com",
        "attributes": { "shoe": 38, "hat": "57" }, "global_attributes": { "shoe": 39 } });
    let fields = json!({ "groupId": NEWSLETTER, "activation": "keep" });
    let outcomes = world.send(fields, vec![input]).await;
    let Some(Some(Outcome::Done { value, .. })) = outcomes.first() else { panic!("{outcomes:?}") };
    assert_eq!(value.get("leftOut"), Some(&json!(["hat", "shoe"])));
    assert_eq!(world.member("a@example.com").attributes.get("shoe").unwrap(), "38");
}

#[tokio::test]
async fn no_tag_that_is_given_takes_one_away() {
    let world = World::new().await;
    let tags = json!(["-old", " - -old", "-*", "o*", "-", " ", "new"]);
    let input = json!({ "email": "active@example.com", "tags": tags });
    let fields = json!({ "groupId": NEWSLETTER, "activation": "keep" });
    assert_eq!(shown(&world.send(fields, vec![input]).await), ".");
    assert_eq!(world.member("active@example.com").tags, ["old", "_", "o_", "new"]);
}

#[tokio::test]
async fn a_value_is_text_or_a_number() {
    let world = World::new().await;
    let input = |value: Value| json!({ "email": "a@example.com", "attributes": { "name": value } });
    let inputs = vec![input(json!(true)), input(json!([])), input(json!({})), input(json!(7))];
    let outcomes = world.send(json!({ "groupId": NEWSLETTER }), inputs).await;
    assert_eq!(shown(&outcomes), "badAttribute badAttribute badAttribute .");
    assert!(reason(outcomes.first()).contains("`name`"));
}

#[tokio::test]
async fn a_state_changes_only_as_the_activation_says() {
    let all = ["active@example.com", "pending@example.com", "gone@example.com", "new@example.com"];
    for (activation, expected) in [
        ("doubleOptIn", [true, false, false, false]),
        ("active", [true, true, true, true]),
        ("keep", [true, false, false, true]),
    ] {
        let world = World::new().await;
        let before = world.member("active@example.com");
        let outcomes = world.to_newsletter(json!({ "activation": activation }), &all).await;
        assert_eq!(shown(&outcomes), ". . . .", "{activation}");
        let active = all.map(|email| {
            let receiver = world.member(email);
            receiver.activated > 0 && receiver.deactivated == 0
        });
        assert_eq!(active, expected, "{activation}");
        assert_eq!(world.member("active@example.com"), before, "{activation}");
        assert_eq!(world.sandbox.mails(), []);
    }
}

#[tokio::test]
async fn new_receivers_are_asked_to_confirm_once() {
    let world = World::new().await;
    let fields = json!({ "formId": 135_790 });
    let emails = ["new@example.com", "pending@example.com", "gone@example.com"];
    let outcomes = world.to_newsletter(fields.clone(), &emails).await;
    let Some(Some(Outcome::Done { value, .. })) = outcomes.first() else { panic!("{outcomes:?}") };
    assert_eq!(value.get("confirmation"), Some(&json!("sent")));
    let mailed = || world.mailed();
    assert_eq!(mailed(), ["new@example.com"]);
    assert_eq!(world.member("new@example.com").activated, 0);

    // Later changes of one that has not confirmed yet send no mail, however soon.
    assert_eq!(world.member("new@example.com").source, "Towpath");
    for seconds in [0, 60, 3_600] {
        world.sandbox.advance_clock(seconds);
        assert_eq!(shown(&world.to_newsletter(fields.clone(), &emails).await), ". . .");
        assert_eq!(mailed(), ["new@example.com"]);
    }
}

#[tokio::test]
async fn an_address_that_comes_often_gets_one_mail() {
    let world = World::new().await;
    let input = |email: &str, group: &str| json!({ "email": email, "categories": [group] });
    let inputs = vec![
        input("a@example.com", "Newsletter"),
        input("A@example.com", "Newsletter"),
        input("a@example.com", "Customers"),
        input("b@example.com", "Customers"),
    ];
    let fields = json!({ "groupFromCategories": true, "formId": 135_790 });
    assert_eq!(shown(&world.send(fields.clone(), inputs.clone()).await), ". . . .");
    assert_eq!(world.mailed(), ["a@example.com", "b@example.com"]);
}

#[tokio::test]
async fn a_mail_that_does_not_leave_is_no_success() {
    let world = World::new().await;
    let fields = json!({ "formId": 135_790 });
    world.fault("/send/activate", Failure::status(502));
    let emails = ["a@example.com", "b@example.com", "active@example.com"];
    let outcomes = world.to_newsletter(fields.clone(), &emails).await;
    assert_eq!(shown(&outcomes), "retry retry .");
    // Both are there now, and still get their mail.
    assert_eq!(shown(&world.to_newsletter(fields, &emails).await), ". . .");
    assert_eq!(world.sandbox.mails().len(), 2);

    world.switch(|it| it.doidata_needed = true);
    let doidata = json!({ "user_ip": "198.51.100.7", "referer": "https://shop.example.com/",
        "user_agent": "Example" });
    let inputs = vec![
        json!({ "email": "e@example.com" }),
        json!({ "email": "f@example.com", "doidata": doidata }),
    ];
    let fields = json!({ "groupId": NEWSLETTER, "formId": 135_790 });
    assert_eq!(shown(&world.send(fields, inputs).await), "confirmation .");
    assert_eq!(world.sandbox.mails().last().unwrap().doidata, doidata);
}

#[tokio::test]
async fn a_mail_that_never_left_is_told_after_an_hour() {
    let world = World::new().await;
    let fields = json!({ "formId": 135_790 });
    world.fault("/send/activate", Failure::status(502));
    let send = || world.to_newsletter(fields.clone(), &["a@example.com"]);
    assert_eq!(shown(&send().await), "retry");
    assert_eq!(world.member("a@example.com").source, "Towpath (mail pending)");
    world.sandbox.advance_clock(3_600);
    for _ in 0..2 {
        let outcomes = send().await;
        assert_eq!(shown(&outcomes), "confirmation");
        let id = world.member("a@example.com").id;
        let reason = reason(outcomes.first());
        assert!(reason.contains(&format!("(id {id})")) && reason.contains("delete it"), "{reason}");
    }
    assert_eq!(world.mailed(), [""; 0]);
    // Once it is active nobody waits for a mail.
    let outcomes = world.to_newsletter(json!({ "activation": "active" }), &["a@example.com"]);
    assert_eq!(shown(&outcomes.await), ".");
    assert_eq!(world.member("a@example.com").source, "Towpath");
    assert_eq!(shown(&send().await), ".");
}

#[tokio::test]
async fn a_mail_that_left_is_told_even_if_that_could_not_be_noted() {
    let world = World::new().await;
    let fault = Fault::new(Vendor::CleverReach, "/upsert", Failure::status(502)).after(1);
    world.sandbox.fault(fault);
    let send = || world.to_newsletter(json!({ "formId": 135_790 }), &["a@example.com"]);
    assert_eq!(shown(&send().await), ".");
    assert_eq!(world.member("a@example.com").source, "Towpath (mail pending)");
    // Rather a second mail than none, but not a third.
    for _ in 0..2 {
        assert_eq!(shown(&send().await), ".");
        assert_eq!(world.mailed().len(), 2);
    }
    // The note creates nobody who could be active.
    assert_eq!(world.member("a@example.com").activated, 0);
}

#[tokio::test]
async fn where_the_source_stays_nothing_is_refused_for_it() {
    let world = World::new().await;
    world.switch(|it| it.upsert_keeps_source = true);
    let send = || world.to_newsletter(json!({ "formId": 135_790 }), &["a@example.com"]);
    assert_eq!(shown(&send().await), ".");
    assert_eq!(world.member("a@example.com").source, "Towpath (mail pending)");
    world.sandbox.advance_clock(3_600);
    assert_eq!(shown(&send().await), ".");
    assert_eq!(world.mailed().len(), 1);
}

#[tokio::test]
async fn a_form_that_is_not_there_stops_the_call() {
    let world = World::new().await;
    let (new, both) = (["c@example.com", "d@example.com"], ["c@example.com", "active@example.com"]);
    let fields = json!({ "groupId": NEWSLETTER, "formId": 1 });
    let inputs = |emails: [&str; 2]| emails.map(|email| json!({ "email": email })).into();
    let error = world.try_send(fields.clone(), inputs(new)).await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    // What stands against one stands against all, and what was done stays told.
    assert_eq!(world.requests("POST /v3/forms/{id}/send/activate"), 1);
    assert_eq!(shown(&world.send(fields, inputs(both)).await), "? .");
    assert_eq!(shown(&world.to_newsletter(json!({ "formId": 135_790 }), &new).await), ". .");
    assert_eq!(world.mailed(), new);
}

#[tokio::test]
async fn a_double_opt_in_that_nobody_is_asked_for_is_warned_of() {
    let warnings = |fields| configure(fields).unwrap().warnings();
    let said = warnings(json!({ "groupId": 1 }));
    assert_eq!(said.len(), 1);
    assert!(said.concat().contains("created inactive, and no mail asks them"));
    for fields in [
        json!({ "groupId": 1, "formId": "7" }),
        json!({ "groupId": 1, "activation": "active" }),
        json!({ "groupId": 1, "activation": "keep" }),
    ] {
        assert_eq!(warnings(fields), [""; 0]);
    }
}

#[tokio::test]
async fn a_call_that_is_too_large_is_said_to_be() {
    let world = World::new().await;
    world.switch(|it| it.upsert_rows = 2);
    let inputs: Vec<_> = ["a", "b", "c"].map(|n| json!({ "email": format!("{n}@x.test") })).into();
    let error = world.try_send(json!({ "groupId": NEWSLETTER }), inputs).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert_eq!(world.sandbox.stats().cleverreach.receivers_upserted, 0);
}

#[tokio::test]
async fn an_answer_that_does_not_tell_leaves_it_unknown() {
    let world = World::new().await;
    let emails = ["a@example.com", "b@example.com"];
    for (action, whole) in [
        (Failure::CutBody { after_bytes: 40 }, true),
        (Failure::CloseConnection { process: true }, true),
        (Failure::body(""), true),
        (Failure::body("<html>"), true),
        (Failure::body("true"), false),
        (Failure::body(r#"[{"id":"1"}]"#), false),
        (Failure::body(r#"[{"id":"2","email":"b@example.com"},{"id":"1"}]"#), false),
    ] {
        world.fault("/upsert", action.clone());
        let fields = json!({ "groupId": NEWSLETTER, "activation": "keep" });
        let inputs = emails.iter().map(|email| json!({ "email": email })).collect();
        match world.try_send(fields, inputs).await {
            Err(error) => {
                assert!(whole && matches!(error, Error::Unknown { .. }), "{action:?}: {error:?}");
            }
            Ok(outcomes) => {
                assert!(!whole, "{action:?}");
                assert_eq!(outcomes, [None, None], "{action:?}");
            }
        }
    }
    let outcomes = world.to_newsletter(json!({}), &emails).await;
    assert_eq!(shown(&outcomes), ". .");
}

#[tokio::test]
async fn known_receivers_are_never_taken_for_new_ones() {
    let world = World::new().await;
    let elsewhere = r#"[{"id":"9","email":"else@example.com","activated":5}]"#;
    let odd = r#"[{"id":"9","email":"active@example.com","activated":"yesterday"}]"#;
    for body in [elsewhere, odd, "{}", ""] {
        world.fault("email_list", Failure::body(body));
        let inputs = vec![json!({ "email": "active@example.com" })];
        let error = world.try_send(json!({ "groupId": NEWSLETTER }), inputs).await.unwrap_err();
        assert!(matches!(error, Error::Retry { .. }), "{body}: {error:?}");
    }
    assert_eq!(world.requests(UPSERT), 0);
}

#[tokio::test]
async fn what_was_carried_out_stays_told_when_a_later_call_fails() {
    let world = World::new().await;
    let inputs = |categories: [&str; 3]| -> Vec<Value> {
        let rows = categories.iter().enumerate();
        rows.map(|(n, it)| json!({ "email": format!("{n}@example.com"), "categories": [it] }))
            .collect()
    };
    let fields = json!({ "groupFromCategories": true, "formId": 135_790 });
    let groups = ["Newsletter", "Customers", "Newsletter"];
    let path = format!("{CUSTOMERS}/receivers/upsert");
    world.fault(&path, Failure::TooManyRequests { retry_after: Some(7) });
    let outcomes = world.send(fields.clone(), inputs(groups)).await;
    assert_eq!(shown(&outcomes), ". retry .");
    world.fault(&path, Failure::CutBody { after_bytes: 3 });
    let outcomes = world.send(fields, inputs(groups)).await;
    assert_eq!(shown(&outcomes), ". ? .");
}
