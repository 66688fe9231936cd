//! `uploadProfiles` against the sandbox: which record was taken, which refused, which is unknown.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;
use connector::{ErasedItem, Services};
use sandbox::{Action as Failure, BadCredentials, Fault, Options, Sandbox, Vendor};

const PATH: &str = "/1/upload";

struct World {
    sandbox: Sandbox,
    api: Api,
}

impl World {
    async fn new() -> Self {
        Self::with(Options::default(), None).await
    }

    async fn with(options: Options, passcode: Option<&str>) -> Self {
        let sandbox = Sandbox::start(Options { receivers: 0, ..options }).await.unwrap();
        let credentials = sandbox.credentials();
        let values = BTreeMap::from([
            ("projectId".to_owned(), credentials.project_id.clone()),
            ("passcode".to_owned(), passcode.unwrap_or(&credentials.passcode).to_owned()),
        ]);
        let connector = towpath_clevertap::connector();
        let account = connector.account("engagement", Some(&sandbox.clevertap_url()), values);
        let api = Api::new(&connector, account.unwrap(), &BTreeMap::new(), Services::bare());
        Self { sandbox, api: api.unwrap() }
    }

    fn fault(&self, action: Failure) {
        self.sandbox.fault(Fault::new(Vendor::CleverTap, PATH, action));
    }

    async fn upload(&self, inputs: Vec<Value>) -> Result<Vec<Option<Outcome>>> {
        let connector = towpath_clevertap::connector();
        let action = (connector.find_action("uploadProfiles").unwrap().configure)(json!({}));
        let action = action.unwrap();
        assert!(action.idempotent());
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
}

fn profile(identity: &str, data: Value) -> Value {
    json!({ "identity": identity, "profileData": data })
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
async fn a_profile_arrives() {
    let world = World::new().await;
    let input = json!({ "identity": 279, "ts": 1_763_700_000, "profileData": { "Name": "Ada" } });
    let outcomes = world.upload(vec![input]).await.unwrap();
    let value = json!({ "identity": "279" });
    let done = Outcome::Done { value, target_key: Some("279".to_owned()) };
    assert_eq!(outcomes, [Some(done)]);
    assert_eq!(world.sandbox.profile("279").unwrap().get("Name").unwrap(), "Ada");
    let sent = world.sandbox.delivered().first().unwrap().record();
    let record = json!({ "identity": "279", "type": "profile", "ts": 1_763_700_000,
        "profileData": { "Name": "Ada" } });
    assert_eq!(sent, record);
}

#[tokio::test]
async fn a_thousand_go_in_one_request_and_the_refused_find_their_record() {
    let world = World::new().await;
    let inputs = (0..1000).map(|index| {
        let email = if index % 100 == 7 { "nobody" } else { "ada@example.com" };
        profile(&format!("{index}"), json!({ "Email": email }))
    });
    let outcomes = world.upload(inputs.collect()).await.unwrap();
    for (index, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Some(Outcome::Rejected { code, reason }) if index % 100 == 7 => {
                assert_eq!(code, "515");
                assert_eq!(reason, "Profile data is incorrect. Email is not valid.");
            }
            Some(Outcome::Done { .. }) if index % 100 != 7 => {}
            other => panic!("{index}: {other:?}"),
        }
    }
    assert_eq!(world.sandbox.profile_count(), 990);
    assert_eq!(world.sandbox.stats().clevertap.uploads, 1);
}

#[tokio::test]
async fn all_may_be_refused() {
    let world = World::new().await;
    let bad = json!({ "Phone": "0441 1234" });
    let outcomes = world.upload(vec![profile("1", bad.clone()), profile("2", bad)]).await.unwrap();
    assert_eq!(shown(&outcomes), "516 516");
}

#[tokio::test]
async fn a_profile_without_one_identity_is_not_sent() {
    let world = World::new().await;
    let data = json!({ "Name": "Ada" });
    let outcomes = world
        .upload(vec![
            json!({ "profileData": data }),
            profile(" ", data.clone()),
            json!({ "identity": "1", "objectId": "__g1", "profileData": data }),
            json!({ "FBID": "34322423", "profileData": data }),
            // The number in a refusal counts what was sent, not what was handed over.
            profile("2", json!({ "Gender": "X" })),
        ])
        .await
        .unwrap();
    assert_eq!(shown(&outcomes), "noIdentity noIdentity severalIdentities . 514");
    assert_eq!(world.sandbox.stats().clevertap.records_accepted, 1);

    let outcomes = world.upload(vec![json!({ "profileData": data })]).await.unwrap();
    assert_eq!(shown(&outcomes), "noIdentity");
    assert_eq!(world.sandbox.stats().clevertap.uploads, 1);
}

#[tokio::test]
async fn inputs_are_checked() {
    let connector = towpath_clevertap::connector();
    let descriptor = connector.find_action("uploadProfiles").unwrap();
    let action = (descriptor.configure)(json!({ "identity": "email" })).unwrap();
    for (input, expected) in [
        (json!({ "identity": "1" }), "missing field `profileData`"),
        (json!({ "identity": "1", "type": "event", "profileData": {} }), "expected `profile`"),
        (json!({ "identity": "1", "profileData": {}, "evtName": "x" }), "unknown field `evtName`"),
        (json!({ "identity": 1.5, "profileData": {} }), "a string or an integer"),
    ] {
        let problem = action.prepare(input).unwrap_err();
        assert!(problem.contains(expected), "{problem}");
    }
    let problem = (descriptor.configure)(json!({ "identity": "id" })).map(drop).unwrap_err();
    assert!(problem.contains("expected `recordUid` or `email`"), "{problem}");
}

#[tokio::test]
async fn nothing_is_done_that_the_answer_leaves_open() {
    let world = World::new().await;
    let refusal = |number: usize, identity: &str| {
        let error = format!("Email is not valid.Skipped record number : {number}");
        let record = json!({ "identity": identity });
        json!({ "status": "fail", "code": 515, "error": error, "record": record })
    };
    for (answer, expected) in [
        (json!({ "status": "success", "processed": 3, "unprocessed": [] }), ". . ."),
        (json!({ "status": "success", "processed": 3 }), ". . ."),
        (
            json!({ "status": "partial", "processed": 2, "unprocessed": [refusal(2, "b")] }),
            ". 515 .",
        ),
        // Counted from another position than was sent: the echo decides.
        (
            json!({ "status": "partial", "processed": 2, "unprocessed": [refusal(2, "c")] }),
            ". . 515",
        ),
        // Somebody else's refusal.
        (json!({ "status": "partial", "processed": 2, "unprocessed": [refusal(2, "x")] }), "? ? ?"),
        // Twice the same.
        (
            json!({ "status": "partial", "processed": 1,
                "unprocessed": [refusal(1, "a"), refusal(1, "a")] }),
            "515 ? ?",
        ),
        // Counts that do not add up.
        (json!({ "status": "success", "processed": 2, "unprocessed": [] }), "? ? ?"),
        (json!({ "status": "success", "unprocessed": [] }), "? ? ?"),
        (
            json!({ "status": "partial", "processed": 1, "unprocessed": [refusal(3, "c")] }),
            "? ? 515",
        ),
    ] {
        world.fault(Failure::body(answer.to_string()));
        let inputs = ["a", "b", "c"].map(|identity| profile(identity, json!({}))).into();
        assert_eq!(shown(&world.upload(inputs).await.unwrap()), expected, "{answer}");
    }
}

#[tokio::test]
async fn a_failure_of_the_call_is_not_the_records() {
    let world = World::new().await;
    let failed = |code: u16, error: &str| {
        Failure::body(json!({ "status": "fail", "error": error, "code": code }).to_string())
    };
    let kind = |error: Error| match error {
        Error::Retry { .. } | Error::HeldBack { .. } => "retry",
        Error::Unauthorized { .. } => "unauthorized",
        Error::TooLarge { .. } => "too large",
        Error::Unknown { .. } => "unknown",
        Error::Reject { .. } => "reject",
        Error::Config { .. } => "config",
    };
    for (action, expected) in [
        (failed(401, "Invalid Credentials"), "unauthorized"),
        (failed(403, "Forbidden"), "config"),
        (failed(429, "Too many concurrent requests"), "retry"),
        (failed(400, "Malformed request"), "reject"),
        // Of good credentials it is the request that is refused.
        (failed(400, "Failed to process request"), "reject"),
        (failed(3, "Incorrect Usage"), "reject"),
        // Without a code it says nothing of the records: to refuse them could be to refuse all.
        (Failure::body(r#"{"status":"fail"}"#), "retry"),
        (Failure::body(r#"{"status":"fail","error":"no","code":null}"#), "retry"),
        (Failure::body(r#"{"status":"fail","message":"Too many concurrent requests"}"#), "retry"),
        (Failure::status(413), "too large"),
        (Failure::TooManyRequests { retry_after: None }, "retry"),
        (Failure::status(503), "unknown"),
        (Failure::CloseConnection { process: true }, "unknown"),
        (Failure::CutBody { after_bytes: 5 }, "unknown"),
        (Failure::body("<html>"), "unknown"),
        (Failure::body(""), "unknown"),
        (Failure::body(r#"{"status":"pending","processed":1}"#), "unknown"),
    ] {
        world.fault(action.clone());
        let error = world.upload(vec![profile("1", json!({}))]).await.unwrap_err();
        assert_eq!(kind(error), expected, "{action:?}");
    }
}

#[tokio::test]
async fn refused_credentials_are_said_to_be_refused_whatever_the_status() {
    use BadCredentials::{BadRequest, Forbidden, Unauthorized};
    for bad_credentials in [Unauthorized, BadRequest, Forbidden] {
        let mut options = Options::default();
        options.switches.bad_credentials = bad_credentials;
        let world = World::with(options, Some("WRO-NGP-ASSC")).await;
        let error = world.upload(vec![profile("1", json!({}))]).await.unwrap_err();
        let (Error::Unauthorized { reason } | Error::Config { reason }) = error else {
            panic!("{error:?}")
        };
        assert!(reason.ends_with("check the account's projectId, passcode and region"), "{reason}");
        assert!(!reason.contains("WRO-NGP-ASSC"), "{reason}");
    }
}
