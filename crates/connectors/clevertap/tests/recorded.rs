//! Uploads: recorded answers are understood, what the documentation refuses is not sent, and a dry run
//! stores nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;
use connector::{ErasedAction, ErasedItem, Services};
use sandbox::{Action as Failure, Fault, Options, Sandbox, Vendor};

struct World {
    sandbox: Sandbox,
    api: Api,
}

impl World {
    async fn new(partner_id: &str) -> Self {
        let sandbox = Sandbox::start(Options { receivers: 0, ..Options::default() }).await.unwrap();
        let credentials = sandbox.credentials();
        let values = BTreeMap::from([
            ("projectId".to_owned(), credentials.project_id.clone()),
            ("passcode".to_owned(), credentials.passcode.clone()),
            ("partnerId".to_owned(), partner_id.to_owned()),
        ]);
        let connector = towpath_clevertap::connector();
        let account = connector.account("engagement", Some(&sandbox.clevertap_url()), values);
        let api = Api::new(&connector, account.unwrap(), &BTreeMap::new(), Services::bare());
        Self { sandbox, api: api.unwrap() }
    }

    async fn run(&self, action: &str, fields: Value, inputs: &[Value]) -> Vec<Option<Outcome>> {
        let action = configured(action, fields).unwrap();
        let items: Vec<_> = inputs
            .iter()
            .enumerate()
            .map(|(index, input)| ErasedItem {
                id: Arc::from(format!("message-{index}")),
                key: Arc::from(format!("{index}")),
                input: action.prepare(input.clone()).unwrap(),
            })
            .collect();
        action.run(&self.api, &items).await.unwrap().into_vec()
    }
}

fn configured(action: &str, fields: Value) -> Result<Arc<dyn ErasedAction>, String> {
    (towpath_clevertap::connector().find_action(action).unwrap().configure)(fields)
}

/// `.` done, otherwise the code of the refusal.
fn shown(outcomes: &[Option<Outcome>]) -> String {
    let words = outcomes.iter().map(|outcome| match outcome {
        Some(Outcome::Done { .. }) => ".".to_owned(),
        Some(Outcome::Rejected { code, .. }) => code.clone(),
        other => panic!("{other:?}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn profile(data: Value) -> Value {
    json!({ "identity": "1", "profileData": data })
}

/// The texts of recorded answers, before the number of the record.
const RECORDED: &[(&str, &str)] = &[
    (
        "513",
        "Event Name is incorrect. ErrorCode: 513 - Trying to raise a restricted system event. ",
    ),
    ("515", "Profile data is incorrect. Email is not valid."),
    ("516", "Profile data is incorrect. Phone number is not valid."),
    ("517", "Profile data is incorrect. Employed needs to be Y/N."),
    ("518", "Profile data is incorrect. Education needs to be School/College/Graduate.."),
    ("520", "Profile data is incorrect. Age is invalid."),
    ("525", "Timestamp should be present in the Unix Epoch format. "),
];

#[tokio::test]
async fn recorded_answers_are_understood() {
    let world = World::new("").await;
    let answered = |body: String| {
        world.sandbox.fault(Fault::new(Vendor::CleverTap, "/1/upload", Failure::body(body)));
    };
    let two = [profile(json!({ "Name": "Ada" })), profile(json!({}))];
    answered(r#"{ "status" : "success" , "processed" : 2 , "unprocessed" : [ ]}"#.to_owned());
    assert_eq!(shown(&world.run("uploadProfiles", json!({}), &two).await), ". .");
    for (code, words) in RECORDED {
        let refusal = |number: usize| {
            let record = r#"{"type":"profile","identity":"1","profileData":{}}"#;
            format!(
                r#"[{{"status":"fail","code":{code},"error":"{words}Skipped record number : {number}","record":{record}}}]"#
            )
        };
        let (first, second) = (refusal(1), refusal(2));
        answered(format!(r#"{{"status":"partial","processed":1,"unprocessed":{second}}}"#));
        let outcomes = world.run("uploadProfiles", json!({}), &two).await;
        assert_eq!(shown(&outcomes), format!(". {code}"));
        answered(format!(r#"{{"status":"fail","processed":0,"unprocessed":{first}}}"#));
        let outcomes = world.run("uploadProfiles", json!({}), &two[..1]).await;
        assert_eq!(outcomes, [Some(Outcome::rejected(*code, words.trim()))]);
    }
}

#[tokio::test]
async fn what_is_refused_is_not_sent_and_the_others_go() {
    let world = World::new("").await;
    let inputs = [
        profile(json!({ "Name": "Ada" })),
        profile(json!({ "Phone": "0441 1234" })),
        profile(json!({ "a.b": 1 })),
        profile(json!({ "Score": { "$incr": 1 } })),
        json!({ "identity": "1", "ts": 1_468_308_340_000_u64, "profileData": {} }),
        // What we do not look at CleverTap does, and counts by what was sent.
        profile(json!({ "Gender": "X" })),
    ];
    let outcomes = world.run("uploadProfiles", json!({}), &inputs).await;
    assert_eq!(shown(&outcomes), ". 516 badKey noIncrements 525 514");
    let event = |name: &str| json!({ "identity": "1", "evtName": name });
    let inputs = [event("Viewed"), event("App Launched"), event("a;b"), event("Charged")];
    let outcomes = world.run("uploadEvents", json!({ "event": "-" }), &inputs).await;
    assert_eq!(shown(&outcomes), ". 513 badKey .");
    assert_eq!((world.sandbox.delivered_count(), world.sandbox.refused().len()), (3, 1));
}

#[tokio::test]
async fn a_dry_run_stores_nothing_and_may_be_repeated() {
    let world = World::new("").await;
    for (action, more, input) in [
        ("uploadProfiles", json!({}), profile(json!({ "Gender": "X" }))),
        ("uploadEvents", json!({ "event": "-" }), json!({ "identity": "1", "evtName": "" })),
        ("uploadDeviceTokens", json!({}), json!({ "objectId": "", "tokenData": { "id": "x" } })),
    ] {
        let mut good = input.clone();
        match action {
            "uploadProfiles" => good["profileData"] = json!({}),
            "uploadEvents" => good["evtName"] = json!("Viewed"),
            _ => good = json!({ "objectId": "__g", "tokenData": { "id": "x", "type": "fcm" } }),
        }
        let mut fields = more;
        fields["dryRun"] = json!(true);
        assert!(configured(action, fields.clone()).unwrap().idempotent());
        let outcomes = world.run(action, fields, &[good, input]).await;
        let [Some(Outcome::Done { value, .. }), Some(Outcome::Rejected { .. })] = &outcomes[..]
        else {
            panic!("{action}: {outcomes:?}")
        };
        assert_eq!(value["dryRun"], true, "{action}");
    }
    let stats = world.sandbox.stats().clevertap;
    assert_eq!((stats.uploads, stats.dry_runs, world.sandbox.delivered_count()), (0, 3, 0));
    let counts = json!({ "increments": true });
    assert!(!configured("uploadProfiles", counts).unwrap().idempotent());
}

#[tokio::test]
async fn events_name_the_accounts_partner_unless_they_or_the_step_name_another() {
    let world = World::new("AccountPartner").await;
    let event = json!({ "identity": "1", "evtName": "Viewed" });
    let mut own = event.clone();
    own["$source"] = json!("OwnPartner");
    world.run("uploadEvents", json!({ "event": "-" }), &[event.clone(), own]).await;
    world.run("uploadEvents", json!({ "event": "-", "source": "StepPartner" }), &[event]).await;
    let sources: Vec<_> =
        world.sandbox.delivered().iter().map(|it| it.record()["$source"].clone()).collect();
    assert_eq!(sources, ["AccountPartner", "OwnPartner", "StepPartner"]);
}
