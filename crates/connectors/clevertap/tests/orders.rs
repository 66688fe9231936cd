//! What is ordered beside uploads, against the sandbox: deletions to their end, lists, campaigns.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;
use connector::{ErasedAction, ErasedItem, Services, by_call};
use sandbox::{
    Action as Failure, Fault, MissingProfile, Options, OrderAnswer, OrderSwitches, Sandbox,
    Switches, UnknownCampaign, Vendor,
};

const NOW: i64 = 1_763_700_000;

struct World {
    sandbox: Sandbox,
    api: Api,
}

impl World {
    async fn new(switches: Switches) -> Self {
        let options = Options { receivers: 0, now: Some(NOW), switches, ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        let credentials = sandbox.credentials();
        let values = BTreeMap::from([
            ("projectId".to_owned(), credentials.project_id.clone()),
            ("passcode".to_owned(), credentials.passcode.clone()),
        ]);
        let connector = towpath_clevertap::connector();
        let account = connector.account("engagement", Some(&sandbox.clevertap_url()), values);
        let api = Api::new(&connector, account.unwrap(), &BTreeMap::new(), Services::bare());
        Self { sandbox, api: api.unwrap() }
    }

    fn fault(&self, path: &str, action: Failure) -> Fault {
        Fault::new(Vendor::CleverTap, path, action)
    }

    async fn run(
        &self,
        action: &str,
        fields: Value,
        inputs: &[Value],
    ) -> Result<Vec<Option<Outcome>>> {
        let action = configured(action, fields).unwrap();
        Ok(action.run(&self.api, &items(&*action, inputs)).await?.into_vec())
    }

    /// Makes the calls that the messages go with, whatever comes of each, and shows them.
    async fn calls(&self, action: &str, fields: Value, inputs: &[Value]) -> String {
        let action = configured(action, fields).unwrap();
        let items = items(&*action, inputs);
        let mut called = vec![];
        for places in by_call(items.iter().map(|it| action.shares(it))) {
            let batch: Vec<_> = places.iter().map(|place| items[*place].clone()).collect();
            called.push(match action.run(&self.api, &batch).await {
                Ok(outcomes) => shown(&outcomes.into_vec()),
                Err(Error::Reject { code, .. }) => format!("Reject {code}"),
                Err(error) => {
                    let said = format!("{error:?}");
                    said.split(' ').next().unwrap().to_owned()
                }
            });
        }
        called.join(" | ")
    }

    /// Orders a deletion and gives the token of what waits.
    async fn ordered(&self, input: Value) -> String {
        match self.run("deleteProfiles", json!({}), &[input]).await.unwrap().pop().unwrap() {
            Some(Outcome::Parked { token, check_after, deadline }) => {
                assert!(check_after < deadline && deadline.as_secs() == 48 * 3600);
                token
            }
            other => panic!("{other:?}"),
        }
    }

    async fn check(&self, fields: Value, token: &str) -> Outcome {
        configured("deleteProfiles", fields).unwrap().check(&self.api, token).await.unwrap()
    }
}

fn items(action: &dyn ErasedAction, inputs: &[Value]) -> Vec<ErasedItem> {
    let item = |(index, input): (usize, &Value)| ErasedItem {
        id: Arc::from(format!("message-{index}")),
        key: Arc::from(format!("{index}")),
        input: action.prepare(input.clone()).unwrap(),
    };
    inputs.iter().enumerate().map(item).collect()
}

fn configured(action: &str, fields: Value) -> Result<Arc<dyn ErasedAction>, String> {
    (towpath_clevertap::connector().find_action(action).unwrap().configure)(fields)
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

#[tokio::test]
async fn a_deletion_waits_until_there_is_no_profile_however_that_is_said() {
    use MissingProfile::{EmptySuccess, Fail, FailWithoutCode, NotFound};
    for missing_profile in [Fail, FailWithoutCode, NotFound, EmptySuccess] {
        let switches = Switches { deletion_seconds: 3_600, missing_profile, ..Switches::default() };
        let world = World::new(switches).await;
        world.sandbox.add_device("21", "__g21");
        for input in [json!({ "identity": "21" }), json!({ "guid": "__g21" })] {
            world.sandbox.add_device("21", "__g21");
            let token = world.ordered(input.clone()).await;
            let waits = world.check(json!({}), &token).await;
            assert!(matches!(waits, Outcome::Parked { .. }), "{waits:?}");
            world.sandbox.advance_clock(3_600);
            let Outcome::Done { value, .. } = world.check(json!({}), &token).await else {
                panic!("{input}")
            };
            assert_eq!(value["delete"], "confirmed");
            assert_eq!(value["timestamp"], world.sandbox.now() * 1000);
            for (name, id) in input.as_object().unwrap() {
                assert_eq!(&value[name], id);
            }
        }
        let orders = world.sandbox.ordered();
        let bodies: Vec<_> = orders.iter().map(|it| it.body.clone()).collect();
        assert_eq!(bodies, [json!({ "identity": ["21"] }), json!({ "guid": ["__g21"] })]);
    }
}

#[tokio::test]
async fn a_profile_that_was_created_anew_is_not_the_old_one() {
    // The old one was active before, so its history tells, whatever device the new one has.
    let switches = Switches { recreate_deleted: true, ..Switches::default() };
    let same_device = Switches { recreated_keeps_devices: true, ..switches.clone() };
    for (switches, history) in [(switches, false), (same_device, true)] {
        let world = World::new(switches).await;
        world.sandbox.add_device("21", "__g21");
        if history {
            let seen = json!({ "identity": "21", "evtName": "Charged", "ts": NOW - 60 });
            world.run("uploadEvents", json!({ "event": "Charged" }), &[seen]).await.unwrap();
        }
        let token = world.ordered(json!({ "identity": "21" })).await;
        world.sandbox.advance_clock(60);
        recreated(&world, &token).await;
    }
    // One whose old events were imported afterwards looks like the old one, and is waited for.
    let world = World::new(Switches::default()).await;
    world.sandbox.add_device("21", "__g21");
    let token = world.ordered(json!({ "identity": "21" })).await;
    world.sandbox.advance_clock(60);
    let imported = json!({ "identity": "21", "evtName": "Charged", "ts": NOW - 60 });
    world.run("uploadEvents", json!({ "event": "Charged" }), &[imported]).await.unwrap();
    let waits = world.check(json!({}), &token).await;
    assert_eq!(shown(&[Some(waits)]), "parked");
    let unreadable = world.check(json!({}), "{}").await;
    assert_eq!(shown(&[Some(unreadable)]), "badToken");
}

async fn recreated(world: &World, token: &str) {
    let Outcome::Done { value, .. } = world.check(json!({}), token).await else {
        panic!("{token}")
    };
    assert_eq!((&value["delete"], &value["recreated"]), (&json!("confirmed"), &json!(true)));
    let refused = world.check(json!({ "recreated": "refuse" }), token).await;
    assert_eq!(shown(&[Some(refused)]), "recreated");
}

#[tokio::test]
async fn an_outage_is_no_profile_that_is_gone() {
    let world = World::new(Switches::default()).await;
    let action = configured("deleteProfiles", json!({})).unwrap();
    let token = r#"{"identity":"21","at":1763699000}"#;
    for failure in [
        Failure::status(500),
        Failure::Body { status: 404, body: "<html>no such page</html>".to_owned() },
        Failure::Body { status: 404, body: r#"{"message":"no route"}"#.to_owned() },
        Failure::Body { status: 502, body: r#"{"status":"fail"}"#.to_owned() },
        Failure::Body { status: 502, body: r#"{"status":"fail","message":"away"}"#.to_owned() },
        Failure::Body { status: 400, body: r#"{"status":"fail"}"#.to_owned() },
        Failure::body(r#"{"status":"fail","message":"Too many concurrent requests"}"#),
        Failure::body("{}"),
        Failure::body(r#"{"status":"success","error":"away"}"#),
        Failure::body(r#"{"status":"fail","error":"Incorrect Usage","code":3}"#),
        Failure::body(r#"{"status":"fail","error":"Invalid Credentials","code":401}"#),
        Failure::body(r#"{"status":"fail","error":"Too many concurrent requests","code":429}"#),
        Failure::CloseConnection { process: false },
    ] {
        world.sandbox.fault(world.fault("/1/profile.json", failure.clone()));
        let asked = action.check(&world.api, token).await;
        // Nor is it the end of the message: the deletion is ordered.
        let waits = !matches!(asked, Ok(_) | Err(Error::Reject { .. }));
        assert!(waits, "{failure:?}: {asked:?}");
    }
    for gone in [
        r#"{"status":"fail","error":"Profile not found"}"#,
        r#"{"status":"fail","message":"Profile not found"}"#,
        r#"{"status":"fail","error":"Profile not found","code":404}"#,
        r#"{"status":"fail","error":"No profile found","code":400}"#,
        r#"{"status":"success","record":{}}"#,
        r#"{"status":"success","record":null}"#,
    ] {
        world.sandbox.fault(world.fault("/1/profile.json", Failure::body(gone)));
        let asked = action.check(&world.api, token).await.unwrap();
        assert_eq!(shown(&[Some(asked)]), ".", "{gone}");
    }
    // What fits and does not say it has to come twice, with nothing else between.
    let bare =
        [Failure::body(r#"{"status":"fail"}"#), Failure::Body { status: 404, body: String::new() }];
    for doubtful in bare {
        let asked = async |token: &str, answer: Failure| {
            world.sandbox.fault(world.fault("/1/profile.json", answer));
            action.check(&world.api, token).await.unwrap()
        };
        let Outcome::Parked { token: missed, .. } = asked(token, doubtful.clone()).await else {
            panic!("{doubtful:?}")
        };
        let there = json!({ "status": "success", "record": { "identity": "21" } }).to_string();
        let Outcome::Parked { token: found, .. } = asked(&missed, Failure::body(&there)).await
        else {
            panic!("{doubtful:?}")
        };
        assert!(missed.contains("missed") && !found.contains("missed"));
        assert_eq!(shown(&[Some(asked(&missed, doubtful.clone()).await)]), ".", "{doubtful:?}");
    }
}

#[tokio::test]
async fn nobody_is_not_deleted_and_stops_nobody_elses_deletion() {
    let world = World::new(Switches::default()).await;
    let nobody = r#"{"status":"fail","error":"Profile not found","code":404}"#;
    for answer in [Failure::body(nobody), Failure::Body { status: 404, body: nobody.to_owned() }] {
        let (one, two) = ([json!({ "identity": 1 })], [1, 2].map(|id| json!({ "identity": id })));
        world.sandbox.fault(world.fault("/1/delete", answer.clone()).times(2));
        let outcomes = world.run("deleteProfiles", json!({}), &one).await.unwrap();
        assert_eq!(shown(&outcomes), ".", "{answer:?}");
        // The engine halves those.
        let several = world.run("deleteProfiles", json!({}), &two).await;
        assert!(matches!(several, Err(Error::Reject { .. })), "{several:?}");
    }
    // What is not CleverTap's own says nothing of a profile.
    world.sandbox.fault(world.fault("/1/delete", Failure::status(404)));
    let elsewhere = world.run("deleteProfiles", json!({}), &[json!({ "identity": 1 })]).await;
    assert!(matches!(elsewhere, Err(Error::Config { .. })), "{elsewhere:?}");
}

#[tokio::test]
async fn trouble_inside_a_200_refuses_no_message_that_may_be_sent_again() {
    let world = World::new(Switches::default()).await;
    let off = json!({ "type": "email", "value": "a@example.com", "status": "Unsubscribe" });
    for (path, action, input) in [
        ("/1/subscribe", "subscribe", off),
        ("/1/disassociate", "disassociatePhone", json!({ "value": "+14155551234" })),
        ("/1/demerge", "demergeProfiles", json!({ "identity": "1" })),
        ("/1/delete", "deleteProfiles", json!({ "identity": "1" })),
    ] {
        for trouble in [r#"{"status":"fail"}"#, r#"{"status":"fail","error":"Internal error"}"#] {
            world.sandbox.fault(world.fault(path, Failure::body(trouble)));
            let told = world.run(action, json!({}), std::slice::from_ref(&input)).await;
            assert!(matches!(told, Err(Error::Retry { .. })), "{action} {trouble}: {told:?}");
        }
        let wrong = Failure::body(r#"{"status":"fail","error":"Malformed request"}"#);
        world.sandbox.fault(world.fault(path, wrong));
        let told = world.run(action, json!({}), &[input]).await;
        assert!(matches!(told, Err(Error::Reject { .. })), "{action}: {told:?}");
    }
    // An entry that is refused among others is told.
    let one = r#"{"status":"partial","processed":1,"unprocessed":[
        {"status":"fail","code":520,"error":"No such profile","record":{"identity":"2"}}]}"#;
    world.sandbox.fault(world.fault("/1/demerge", Failure::body(one)));
    let inputs = ["1", "2"].map(|id| json!({ "identity": id }));
    let outcomes = world.run("demergeProfiles", json!({}), &inputs).await.unwrap();
    assert_eq!(shown(&outcomes), ". 520");
}

#[tokio::test]
async fn what_was_ordered_before_a_failure_stays_told() {
    let world = World::new(Switches::default()).await;
    let inputs = [json!({ "identity": 1 }), json!({ "guid": "__g2" }), json!({})];
    let lost = world.fault("/1/delete", Failure::CloseConnection { process: true }).after(1);
    world.sandbox.fault(lost);
    let submitted = json!({ "completion": "submitted" });
    let outcomes = world.run("deleteProfiles", submitted.clone(), &inputs).await.unwrap();
    assert_eq!(shown(&outcomes), ". ? noIdentity");
    world.sandbox.fault(world.fault("/1/delete", Failure::status(500)));
    assert!(world.run("deleteProfiles", submitted.clone(), &inputs).await.is_err());
    let outcomes = world.run("deleteProfiles", submitted, &inputs).await.unwrap();
    assert_eq!(shown(&outcomes), ". . noIdentity");
    for hours in [0, 721] {
        let fields = json!({ "deadlineHours": hours });
        let problem = configured("deleteProfiles", fields).err().unwrap();
        assert!(problem.contains("1 to 720"), "{problem}");
    }
}

#[tokio::test]
async fn lists_are_told_entry_by_entry_counted_or_barely() {
    for bare_lists in [false, true] {
        let world = World::new(Switches { bare_lists, ..Switches::default() }).await;
        let off = |value: &str| json!({ "type": "email", "value": value, "status": "Unsubscribe" });
        let inputs = [off(" a@example.com "), off(" "), off("b@example.com")];
        let outcomes = world.run("subscribe", json!({}), &inputs).await.unwrap();
        assert_eq!(shown(&outcomes), ". noValue .");
        let inputs = [json!({ "value": "+14155551234" }), json!({ "value": "0151" })];
        let outcomes = world.run("disassociatePhone", json!({}), &inputs).await.unwrap();
        assert_eq!(shown(&outcomes), ". 516");
        assert_eq!(world.sandbox.ordered().len(), 2);
    }
}

#[tokio::test]
async fn orders_are_taken_whatever_their_answers_hold() {
    use OrderAnswer::{Empty, NoContent, Queued, Success};
    let submitted = json!({ "completion": "submitted" });
    let business = json!({ "businessEvent": "Match won" });
    let orders = [
        ("deleteProfiles", submitted, json!({ "identity": "1" })),
        ("demergeProfiles", json!({}), json!({ "identity": "1" })),
        ("triggerCampaign", business, json!({ "name": "Final" })),
    ];
    for answer in [Success, Queued, Empty, NoContent] {
        let switches = OrderSwitches { answer, unknown_campaign: UnknownCampaign::Stopped };
        let world = World::new(Switches { orders: switches, ..Switches::default() }).await;
        for (action, fields, input) in &orders {
            let input = std::slice::from_ref(input);
            let outcomes = world.run(action, fields.clone(), input).await.unwrap();
            assert_eq!(shown(&outcomes), ".", "{action} {answer:?}");
        }
        assert_eq!(world.sandbox.ordered().len(), orders.len());
    }
    for unknown_campaign in [UnknownCampaign::Refused, UnknownCampaign::NotFound] {
        let orders = OrderSwitches { unknown_campaign, ..Default::default() };
        let world = World::new(Switches { orders, ..Switches::default() }).await;
        let refused = world.run("stopCampaign", json!({}), &[json!({ "id": 1 })]).await;
        assert!(matches!(refused, Err(Error::Reject { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn people_who_get_the_same_share_a_call_and_nobody_gets_it_twice() {
    let world = World::new(Switches::default()).await;
    let fields = json!({ "channel": "sms", "content": { "body": "Hello" } });
    let own = json!({ "identity": "3", "content": { "body": "Goodbye" } });
    let inputs = [json!({ "identity": "1" }), json!({ "email": "a@example.com" }), own];
    let called = world.calls("sendToUsers", fields.clone(), &inputs).await;
    assert_eq!(called, ". . | .");
    let bodies: Vec<_> = world.sandbox.ordered().into_iter().map(|it| it.body).collect();
    let first = json!({ "to": { "Identity": ["1"], "Email": ["a@example.com"] },
        "content": { "body": "Hello" } });
    let second = json!({ "to": { "Identity": ["3"] }, "content": { "body": "Goodbye" } });
    assert_eq!(bodies, [first, second]);
    // Nobody gets what another one's message says.
    let mixed = world.run("sendToUsers", fields.clone(), &inputs).await;
    assert!(matches!(mixed, Err(Error::Config { .. })), "{mixed:?}");
    assert_eq!(world.sandbox.ordered().len(), 2);

    let path = "/1/send/sms.json";
    for (failure, second, first) in [
        (Failure::CloseConnection { process: true }, ". . | Unknown", "Unknown | ."),
        (Failure::TooManyRequests { retry_after: None }, ". . | Retry", "Retry | ."),
        (Failure::status(413), ". . | TooLarge", "TooLarge | ."),
        // The engine halves the batch, and finds whoever is refused.
        (Failure::status(400), ". . | Reject http400", "Reject http400 | ."),
    ] {
        for (before, expected) in [(1, second), (0, first)] {
            world.sandbox.clear_faults();
            world.sandbox.fault(world.fault(path, failure.clone()).after(before));
            let called = world.calls("sendToUsers", fields.clone(), &inputs).await;
            assert_eq!(called, expected, "{failure:?}");
        }
    }
    // Of one call, too, only who was in it is in doubt.
    world.sandbox.clear_faults();
    world.sandbox.fault(world.fault(path, Failure::CloseConnection { process: true }));
    let nobody = [json!({ "identity": "1" }), json!({})];
    let outcomes = world.run("sendToUsers", fields.clone(), &nobody).await.unwrap();
    assert_eq!(shown(&outcomes), "? noIdentity");
    let silent = world.run("sendToUsers", json!({ "channel": "push" }), &inputs[..1]).await;
    assert_eq!(shown(&silent.unwrap()), "noContent");
}

#[tokio::test]
async fn a_business_event_is_raised_once_for_each_message() {
    let world = World::new(Switches::default()).await;
    let fields = json!({ "businessEvent": "Match won" });
    let named = |name: &str| json!({ "name": name });
    let inputs = [named("Final"), named(""), named("Cup")];
    let path = "/1/targets/trigger.json";
    for (failure, before, expected) in [
        (Failure::status(500), 1, ". | noName | Unknown"),
        (Failure::status(500), 0, "Unknown | noName | ."),
        (Failure::status(400), 0, "Reject http400 | noName | ."),
    ] {
        world.sandbox.fault(world.fault(path, failure).after(before));
        assert_eq!(world.calls("triggerCampaign", fields.clone(), &inputs).await, expected);
    }
    assert_eq!(world.calls("triggerCampaign", fields.clone(), &inputs).await, ". | noName | .");
    let together = world.run("triggerCampaign", fields, &inputs).await;
    assert!(matches!(together, Err(Error::Config { .. })), "{together:?}");
    for (fields, says) in
        [(json!({}), "is needed"), (json!({ "campaignId": "1", "businessEvent": "A" }), "two ways")]
    {
        assert!(configured("triggerCampaign", fields).err().unwrap().contains(says));
    }
}

#[tokio::test]
async fn a_campaign_is_created_once_and_stopped_as_often_as_it_takes() {
    let world = World::new(Switches::default()).await;
    assert!(!configured("createCampaign", json!({})).unwrap().idempotent());
    assert!(configured("stopCampaign", json!({})).unwrap().idempotent());
    let campaign = json!({ "name": "A", "target_mode": "email", "segment": 7, "when": "now" });
    let outcomes =
        world.run("createCampaign", json!({}), std::slice::from_ref(&campaign)).await.unwrap();
    let Some(Some(Outcome::Done { value, target_key })) = outcomes.first() else { panic!() };
    assert_eq!((target_key.as_deref(), &value["id"]), (Some("1457433898"), &json!(1_457_433_898)));
    for id in [json!(1_457_433_898), json!("1457433898")] {
        let outcomes = world.run("stopCampaign", json!({}), &[json!({ "id": id })]).await.unwrap();
        assert_eq!(shown(&outcomes), ".");
    }
    let mut both = campaign.clone();
    both["where"] = json!({});
    let neither = json!({ "name": "A", "target_mode": "email" });
    for refused in [both, neither] {
        let outcomes = world.run("createCampaign", json!({}), &[refused]).await.unwrap();
        assert_eq!(shown(&outcomes), "target");
    }
    assert_eq!(
        shown(&world.run("stopCampaign", json!({}), &[json!({})]).await.unwrap()),
        "noCampaign"
    );
    // Of an order whose answer is known it has to say so.
    for answer in [
        "",
        "{}",
        r#"{"status":"ok"}"#,
        r#"{"status":"partial"}"#,
        r#"{"error":"no"}"#,
        "<html>",
        "[]",
    ] {
        world.sandbox.fault(world.fault("/1/targets/stop.json", Failure::body(answer)));
        let stopped = world.run("stopCampaign", json!({}), &[json!({ "id": 1 })]).await;
        assert!(matches!(stopped, Err(Error::Unknown { .. })), "{answer}: {stopped:?}");
    }
    // Of one whose answer is shown nowhere the status tells, where the body says nothing else.
    let raise = async |answer: &str| {
        world.sandbox.fault(world.fault("/1/targets/trigger.json", Failure::body(answer)));
        let event = json!({ "businessEvent": "Match won" });
        world.run("triggerCampaign", event, &[json!({ "name": "Final" })]).await
    };
    for answer in ["", "{}", "OK"] {
        assert_eq!(shown(&raise(answer).await.unwrap()), ".", "{answer}");
    }
    for answer in [r#"{"error":"no"}"#, r#"{"message":"away"}"#, "<html>"] {
        let raised = raise(answer).await;
        assert!(matches!(raised, Err(Error::Unknown { .. })), "{answer}: {raised:?}");
    }
    // A success without an id is no campaign.
    world.sandbox.fault(world.fault("/1/targets", Failure::body(r#"{"status":"success"}"#)));
    let error = world.run("createCampaign", json!({}), &[campaign]).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
}
