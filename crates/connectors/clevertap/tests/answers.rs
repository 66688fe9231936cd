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
    let refused = r#"{"status":"fail","error":"Account id not found","code":404}"#;
    for status in [200, 400, 404] {
        let answer = Failure::Body { status, body: refused.to_owned() };
        world.sandbox.clear_faults();
        world.sandbox.fault(Fault::new(Vendor::CleverTap, PROFILE, answer).forever());
        let told = world.run("getProfile", json!({}), json!({ "identity": "8" })).await;
        assert_eq!(told, "unauthorized", "{status}");
        let token = r#"{"identity":"21","at":1763699000}"#;
        let waits = configured("deleteProfiles", json!({})).check(&world.api, token).await;
        assert_eq!(shown(waits.map(Some)), "unauthorized", "{status}");
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
