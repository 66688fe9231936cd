//! What answers mean that no source shows: which of them say that a profile is gone, that an account is
//! unknown, that a message is refused, and which say nothing at all.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;
use connector::{ErasedAction, ErasedItem, Services};
use sandbox::{Action as Failure, Fault, Options, Sandbox, Vendor};

const PROFILE: &str = "/1/profile.json";
const DELETE: &str = "/1/delete";

struct World {
    sandbox: Sandbox,
    api: Api,
}

impl World {
    async fn new() -> Self {
        let sandbox = Sandbox::start(Options { receivers: 0, ..Options::default() }).await.unwrap();
        let known = sandbox.credentials();
        let values = [("projectId", &known.project_id), ("passcode", &known.passcode)];
        let values: BTreeMap<_, _> =
            values.map(|(name, value)| (name.to_owned(), value.clone())).into();
        let connector = towpath_clevertap::connector();
        let account = connector.account("engagement", Some(&sandbox.clevertap_url()), values);
        let api = Api::new(&connector, account.unwrap(), &BTreeMap::new(), Services::bare());
        Self { sandbox, api: api.unwrap() }
    }

    /// The next request there is answered so; what was to be before is not any more.
    fn answers(&self, path: &str, (status, body): (u16, &str)) {
        self.sandbox.clear_faults();
        let answer = Failure::Body { status, body: body.to_owned() };
        self.sandbox.fault(Fault::new(Vendor::CleverTap, path, answer));
    }

    async fn run(&self, action: &str, fields: Value, input: Value) -> String {
        let action = configured(action, fields);
        let item = ErasedItem {
            id: Arc::from("message"),
            key: Arc::from("1"),
            input: action.prepare(input).unwrap(),
        };
        let outcomes = action.run(&self.api, &[item]).await;
        shown(outcomes.map(|outcomes| outcomes.into_vec().remove(0)))
    }

    fn asked(&self) -> u64 {
        self.sandbox.stats().clevertap.requests_to("GET /1/profile.json")
    }
}

fn configured(action: &str, fields: Value) -> Arc<dyn ErasedAction> {
    let connector = towpath_clevertap::connector();
    (connector.find_action(action).unwrap().configure)(fields).unwrap()
}

/// What became of a message, in a word or by the code of its refusal.
fn shown(outcome: Result<Option<Outcome>>) -> String {
    let word = match outcome {
        Ok(None) => "unset",
        Ok(Some(Outcome::Done { value, .. })) => match value.get("delete") {
            Some(delete) => return delete.as_str().unwrap().to_owned(),
            None => "done",
        },
        Ok(Some(Outcome::Parked { .. })) => "parked",
        Ok(Some(Outcome::Retry { .. })) | Err(Error::Retry { .. }) => "retry",
        Ok(Some(Outcome::Rejected { code, .. })) | Err(Error::Reject { code, .. }) => return code,
        Err(Error::Unauthorized { .. }) => "unauthorized",
        Err(Error::Unknown { .. }) => "unknown",
        Err(other) => panic!("{other:?}"),
    };
    word.to_owned()
}

/// A failure with these words.
fn failed(words: &str) -> String {
    json!({ "status": "fail", "error": words }).to_string()
}

#[tokio::test]
async fn a_deletion_is_confirmed_where_nobody_is_there_and_nobody_was_found() {
    let world = World::new().await;
    world.sandbox.add_device("21", "__g21");
    let submitted = json!({ "completion": "submitted" });
    let coded = r#"{"status":"fail","error":"Profile not found","code":404}"#;
    let words = failed("No such profile found");
    for (identity, fields, answer, expected) in [
        // It was found a moment before: it is still there.
        ("21", json!({}), (404, coded), "http404"),
        ("21", json!({}), (200, coded), "http404"),
        ("21", json!({}), (400, &words), "http400"),
        // Nobody was found, or looked for, and there is nobody.
        ("8", json!({}), (404, coded), "confirmed"),
        ("8", json!({}), (200, &words), "confirmed"),
        ("8", json!({}), (400, &words), "confirmed"),
        ("8", submitted, (400, &words), "confirmed"),
        ("8", json!({}), (400, &failed("Malformed request")), "http400"),
    ] {
        world.answers(DELETE, answer);
        let told = world.run("deleteProfiles", fields, json!({ "identity": identity })).await;
        assert_eq!(told, expected, "{identity} {answer:?}");
    }
}

#[tokio::test]
async fn what_is_not_said_of_a_profile_is_no_profile_that_is_missing() {
    let world = World::new().await;
    for (answer, expected) in [
        (failed("Profile not found"), "notFound"),
        (failed("No record for this identity"), "notFound"),
        (failed("The user does not exist"), "notFound"),
        (failed("User identifier doesn't exist"), "notFound"),
        (failed("Endpoint not found"), "http400"),
        (failed("Account id not found"), "http400"),
        (failed("Project of the user does not exist"), "http400"),
        // Trouble of its own is asked again.
        (failed("Internal error"), "retry"),
        (failed("Profile store timed out, please try again"), "retry"),
    ] {
        for status in [200, 400] {
            world.answers(PROFILE, (status, &answer));
            let told = world.run("getProfile", json!({}), json!({ "identity": "8" })).await;
            let expected = if expected == "retry" && status == 400 { "http400" } else { expected };
            assert_eq!(told, expected, "{status} {answer}");
        }
    }
    // Credentials are refused to everybody, whatever was asked for.
    let uncoded = failed("Account id not found");
    let coded = r#"{"status":"fail","error":"Account id not found","code":404}"#;
    for (status, refused, says) in [
        (200, &*uncoded, "with a failure"),
        (200, coded, "404"),
        (400, coded, "400"),
        (404, coded, "404"),
    ] {
        let answer = Failure::Body { status, body: refused.to_owned() };
        world.sandbox.clear_faults();
        world.sandbox.fault(Fault::new(Vendor::CleverTap, PROFILE, answer).forever());
        let told = world.run("getProfile", json!({}), json!({ "identity": "8" })).await;
        assert_eq!(told, "unauthorized", "{status}");
        let token = r#"{"identity":"21","at":1763699000}"#;
        let waits = configured("deleteProfiles", json!({})).check(&world.api, token).await;
        let Err(Error::Unauthorized { reason }) = waits else { panic!("{status}: {waits:?}") };
        assert!(reason.contains(&format!("answered {says}: Account id")), "{reason}");
        let tested = towpath_clevertap::connector().test_account(&world.api).await.unwrap();
        assert!(!tested.is_good(), "{status}: {tested:?}");
    }
}

#[tokio::test]
async fn one_odd_id_is_not_the_accounts_trouble() {
    let world = World::new().await;
    for words in ["Failed to process request", "Bad credential: identity"] {
        let before = world.asked();
        world.answers(PROFILE, (400, &failed(words)));
        let told = world.run("getProfile", json!({}), json!({ "identity": "\u{1F600}" })).await;
        // Nobody is asked for, and that is answered.
        assert_eq!((told.as_str(), world.asked() - before), ("http400", 2), "{words}");
    }
}

#[tokio::test]
async fn a_success_is_one_however_it_is_written() {
    let world = World::new().await;
    for answer in
        [r#"{"status":"Success"}"#, r#"{"status":"success","error":0}"#, r#"{"status":"SUCCESS "}"#]
    {
        world.answers("/1/targets/stop.json", (200, answer));
        assert_eq!(world.run("stopCampaign", json!({}), json!({ "id": 1 })).await, "done");
    }
    let report = r#"{"status":"success","error":false,"result":{"sent":1}}"#;
    world.answers("/1/targets/result.json", (200, report));
    assert_eq!(world.run("campaignReport", json!({}), json!({ "id": 1 })).await, "done");
    let found = r#"{"status":"Success","error":{},"record":{"identity":"8"}}"#;
    world.answers(PROFILE, (200, found));
    assert_eq!(world.run("getProfile", json!({}), json!({ "identity": "8" })).await, "done");
}

#[tokio::test]
async fn groups_have_no_name_that_the_answer_has_for_itself() {
    let world = World::new().await;
    for (action, group) in [
        ("topProperties", json!({ "property_type": "profile_fields", "name": "Plan" })),
        ("trends", json!({ "trend_type": "daily" })),
    ] {
        for name in ["error", "status", "code", "req_id"] {
            let asked =
                json!({ "query": { "event_name": "Charged" }, "groups": { (name): group } });
            let connector = towpath_clevertap::connector();
            let configured = connector.find_action(action).unwrap().configure;
            let problem = configured(asked.clone()).err().unwrap();
            assert!(problem.contains(&format!("`{name}`")), "{problem}");
            // A mapping may give them, too.
            assert_eq!(world.run(action, json!({}), asked).await, "noQuestion", "{name}");
        }
        let asked = json!({ "query": { "event_name": "Charged" }, "groups": { "errors": group } });
        assert_eq!(world.run(action, asked.clone(), asked).await, "done");
    }
}

#[tokio::test]
async fn trouble_inside_a_200_is_no_refusal_and_is_repeated_where_that_does_no_harm() {
    let world = World::new().await;
    let product = json!({ "Identity": "1", "Name": "n", "ImageURL": "u", "Category": "c" });
    let named = json!({ "name": "A", "creator": "Jane", "email": "jane@example.com" });
    let campaign = |estimate_only: bool| {
        json!({ "name": "A", "target_mode": "email", "segment": 7, "when": "now",
            "content": { "subject": "-", "body": "-" }, "estimate_only": estimate_only })
    };
    let event = json!({ "identity": "1", "evtName": "Viewed" });
    let profile = json!({ "identity": "1", "profileData": { "Name": "Ada" } });
    let message = json!({ "channel": "sms", "content": { "body": "Hello" } });
    let trouble = [
        r#"{"status":"fail","error":"Internal error"}"#,
        r#"{"status":"fail","error":"Request timed out"}"#,
    ];
    let upload = "/1/upload";
    for (path, action, fields, input, expected) in [
        ("/get_catalog_url", "uploadCatalog", named, json!({ "rows": [product] }), "retry"),
        ("/1/targets/create", "createCampaign", json!({}), campaign(true), "retry"),
        (upload, "uploadProfiles", json!({}), profile.clone(), "retry"),
        (upload, "uploadEvents", json!({ "event": "-", "dryRun": true }), event.clone(), "retry"),
        // Nobody knows whether it was carried out, and twice does harm.
        (upload, "uploadProfiles", json!({ "increments": true }), profile, "unknown"),
        (upload, "uploadEvents", json!({ "event": "-" }), event.clone(), "unknown"),
        ("/1/targets/create", "createCampaign", json!({}), campaign(false), "unknown"),
        ("/1/send/sms", "sendToUsers", message, json!({ "identity": "1" }), "unknown"),
    ] {
        for trouble in trouble {
            world.answers(path, (200, trouble));
            let told = world.run(action, fields.clone(), input.clone()).await;
            assert_eq!(told, expected, "{action} {fields} {trouble}");
        }
        world.answers(path, (200, r#"{"status":"fail","error":"Malformed request","code":400}"#));
        assert_eq!(world.run(action, fields, input).await, "http400", "{action}");
    }
    // That none was processed leaves no doubt; that it failed, without another word, does.
    for (answer, expected) in [
        (r#"{"status":"fail","error":"Request timed out","processed":0}"#, "retry"),
        (r#"{"status":"fail","processed":0,"unprocessed":[]}"#, "retry"),
        (r#"{"status":"fail","error":"no"}"#, "unknown"),
        (r#"{"status":"fail"}"#, "unknown"),
    ] {
        world.answers(upload, (200, answer));
        let told = world.run("uploadEvents", json!({ "event": "-" }), event.clone()).await;
        assert_eq!(told, expected, "{answer}");
    }
}

#[tokio::test]
async fn a_page_in_progress_is_asked_for_again_whatever_its_code() {
    let world = World::new().await;
    let connector = towpath_clevertap::connector();
    let fields = json!({ "event": "Charged" });
    let trigger = (connector.find_trigger("eventsPolling").unwrap().configure)(fields).unwrap();
    let early =
        r#"{"status":"fail","error":"Request still in progress, please retry later","code":400}"#;
    let answer = Failure::body(early);
    world.sandbox.fault(Fault::new(Vendor::CleverTap, "cursor=", answer).times(2));
    let scan = |cursor| Scan { want: Want::All, partition: None, cursor };
    let page = trigger.poll(&world.api, &scan(None)).await.unwrap();
    assert!(page.records.is_empty() && page.next.is_some());
    let again = trigger.poll(&world.api, &scan(page.next.clone())).await;
    assert!(matches!(again, Err(Error::Retry { after: Some(_), .. })), "{again:?}");
    assert!(trigger.poll(&world.api, &scan(page.next)).await.unwrap().next.is_none());
}
