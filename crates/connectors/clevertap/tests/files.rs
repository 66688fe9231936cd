//! `uploadCatalog` and `uploadCustomList` against the sandbox: stage by stage, and from where they
//! broke off.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;
use connector::{ErasedAction, ErasedItem, Services};
use sandbox::{Action as Failure, Fault, Options, Sandbox, Switches, Vendor};

struct World {
    sandbox: Sandbox,
    api: Api,
    action: Arc<dyn ErasedAction>,
}

const NAMED: &str = r#"{ "name": "Spring", "creator": "Jane", "email": "jane@example.com" }"#;

impl World {
    async fn new(action: &str) -> Self {
        let options = Options { receivers: 0, now: Some(1_763_700_000), ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        let credentials = sandbox.credentials();
        let values = BTreeMap::from([
            ("projectId".to_owned(), credentials.project_id.clone()),
            ("passcode".to_owned(), credentials.passcode.clone()),
        ]);
        let connector = towpath_clevertap::connector();
        let account = connector.account("engagement", Some(&sandbox.clevertap_url()), values);
        let api = Api::new(&connector, account.unwrap(), &BTreeMap::new(), Services::bare());
        let fields = serde_json::from_str(NAMED).unwrap();
        let action = (connector.find_action(action).unwrap().configure)(fields).unwrap();
        Self { sandbox, api: api.unwrap(), action }
    }

    async fn begin(&self, input: Value) -> Outcome {
        let input = self.action.prepare(input).unwrap();
        let item = ErasedItem { id: Arc::from("message"), key: Arc::from("1"), input };
        let outcomes = self.action.run(&self.api, &[item]).await.unwrap();
        outcomes.into_vec().pop().unwrap().unwrap()
    }

    async fn check(&self, token: &str) -> Result<Outcome> {
        self.action.check(&self.api, token).await
    }

    /// Asks by what was kept just now.
    async fn first_check(&self, token: &str) -> Result<Outcome> {
        self.action.first_check(&self.api, token).await
    }

    /// Takes a file to its address and notes that CleverTap is told of it.
    async fn written(&self, put: &str) -> String {
        let written = token(self.check(put).await.unwrap());
        token(self.first_check(&written).await.unwrap())
    }

    fn ordered(&self) -> Vec<(&'static str, Value)> {
        self.sandbox.ordered().into_iter().map(|it| (it.to, it.body)).collect()
    }
}

fn token(outcome: Outcome) -> String {
    let Outcome::Parked { token, .. } = outcome else { panic!("{outcome:?}") };
    token
}

#[tokio::test]
async fn a_file_goes_stage_by_stage_and_is_told_of_once() {
    let row = json!({ "Identity": "1", "Name": "n", "ImageURL": "u", "Category": "c" });
    let csv = "Identity,Name,ImageURL,Category\n1,n,u,c\n";
    for (action, input, csv, told) in [
        ("uploadCatalog", json!({ "rows": [row] }), csv, "POST /upload_catalog_completed"),
        (
            "uploadCustomList",
            json!({ "rows": [{ "identity": 7 }, { "guid": "__g" }] }),
            "Type,Identity\ni,7\ng,__g\n",
            "POST /upload_custom_list_segment_completed",
        ),
    ] {
        let world = World::new(action).await;
        let put = token(world.begin(input).await);
        assert!(world.ordered().is_empty());
        // An outage leaves it where it is.
        for spoilt in [Failure::status(500), Failure::CloseConnection { process: false }] {
            world.sandbox.fault(Fault::new(Vendor::CleverTap, "/files/", spoilt));
            assert!(matches!(world.check(&put).await, Err(Error::Retry { .. })));
        }
        let complete = world.written(&put).await;
        assert!(!complete.contains("csv"), "{complete}");
        // What is refused before anything was done says so; it is noted anew then.
        world.sandbox.fault(Fault::new(Vendor::CleverTap, "/upload_", Failure::status(429)));
        assert!(matches!(world.first_check(&complete).await, Err(Error::Retry { .. })));
        assert_eq!(world.ordered().len(), 1);
        let Outcome::Done { value, .. } = world.first_check(&complete).await.unwrap() else {
            panic!()
        };
        assert_eq!(value, json!({ "name": "Spring", "uploaded": true }));
        let ordered = world.ordered();
        assert_eq!(ordered.first(), Some(&("PUT /files/{number}", json!(csv))));
        assert_eq!(ordered.get(1).map(|(to, _)| *to), Some(told));
        assert_eq!(ordered.len(), 2);
    }
}

#[tokio::test]
async fn an_address_that_ended_is_asked_for_anew_and_a_name_is_taken_once() {
    let world = World::new("uploadCustomList").await;
    let people = json!({ "rows": [{ "identity": "7" }] });
    let put = token(world.begin(people.clone()).await);
    world.sandbox.advance_clock(24 * 3600);
    let anew = token(world.check(&put).await.unwrap());
    assert!(anew.contains("/files/2") && anew.contains("csv"), "{anew}");
    let complete = world.written(&anew).await;
    assert!(matches!(world.first_check(&complete).await, Ok(Outcome::Done { .. })));
    // An address that is refused though it holds is not tried again and again.
    let denied =
        "<Error><Code>SignatureDoesNotMatch</Code><Message>Not signed so</Message></Error>";
    let put = token(world.begin(people.clone()).await);
    let mut spoilt = Failure::status(403);
    if let Failure::Status { body, .. } = &mut spoilt {
        denied.clone_into(body);
    }
    world.sandbox.fault(Fault::new(Vendor::CleverTap, "/files/", spoilt));
    let Outcome::Rejected { code, reason } = world.check(&put).await.unwrap() else { panic!() };
    assert!(code == "http403" && reason.contains("Not signed so"), "{code} {reason}");
    // Nor one that ends at once, for ever.
    let mut waits = put;
    let code = loop {
        world.sandbox.advance_clock(48 * 3600);
        match world.check(&waits).await.unwrap() {
            Outcome::Parked { token, .. } => waits = token,
            Outcome::Rejected { code, .. } => break code,
            other => panic!("{other:?}"),
        }
    };
    assert!(code == "addressEnded" && waits.contains("\"anew\":3"), "{code} {waits}");
    let Outcome::Rejected { code, .. } = world.check("{}").await.unwrap() else { panic!() };
    assert_eq!(code, "badToken");
    for (rows, expected) in [(json!([]), "noRows"), (json!([{}]), "badRow")] {
        let Outcome::Rejected { code, .. } = world.begin(json!({ "rows": rows })).await else {
            panic!()
        };
        assert_eq!(code, expected);
    }
}

#[tokio::test]
async fn a_name_that_a_message_gives_is_one() {
    let row = json!({ "Identity": "1", "Name": "n", "ImageURL": "u", "Category": "c" });
    for (action, row) in [("uploadCatalog", row), ("uploadCustomList", json!({ "identity": "7" }))]
    {
        let world = World::new(action).await;
        for name in ["", "  "] {
            let blank = world.begin(json!({ "name": name, "rows": [row] })).await;
            let refused = matches!(&blank, Outcome::Rejected { code, .. } if code == "noName");
            assert!(refused, "{action}: {blank:?}");
        }
        let asked = world.sandbox.stats().clevertap.total_requests();
        assert_eq!(asked, 0, "{action}");
        let own = token(world.begin(json!({ "name": "Own", "rows": [row] })).await);
        assert!(own.contains("\"name\":\"Own\""), "{own}");
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_unless_this_very_file_may_have_taken_it() {
    let product = json!({ "Identity": "1", "Name": "n", "ImageURL": "u", "Category": "c" });
    for (action, row, words) in [
        ("uploadCustomList", json!({ "identity": "7" }), Some("Duplicate segment name")),
        ("uploadCatalog", product.clone(), Some("Catalog already exists")),
        ("uploadCatalog", product, None),
    ] {
        let world = World::new(action).await;
        let catalogs_once = words.is_some();
        world.sandbox.set_switches(Switches { catalogs_once, ..Switches::default() });
        let file = json!({ "rows": [row] });
        let complete = world.written(&token(world.begin(file.clone()).await)).await;
        // CleverTap heard it, and its answer is lost.
        let lost = Failure::CloseConnection { process: true };
        world.sandbox.fault(Fault::new(Vendor::CleverTap, "/upload_", lost));
        let lost = world.first_check(&complete).await;
        assert!(matches!(lost, Err(Error::Unknown { .. })), "{lost:?}");
        let Outcome::Done { value, target_key } = world.check(&complete).await.unwrap() else {
            panic!()
        };
        assert_eq!(target_key.as_deref(), Some("Spring"));
        let noted = value["wasThere"].as_str();
        assert_eq!(noted.is_some(), words.is_some(), "{value}");
        // The name may be another file's all the same: then nobody says that this one was uploaded.
        assert_eq!(value.get("uploaded"), words.is_none().then_some(&json!(true)), "{value}");
        assert!(noted.unwrap_or_default().contains(words.unwrap_or_default()), "{value}");
        // Another file of this name was not told of before.
        let other = world.written(&token(world.begin(file).await)).await;
        match (world.first_check(&other).await.unwrap(), words) {
            (Outcome::Rejected { code, reason }, Some(words)) => {
                assert!(code == "duplicateName" && reason.contains(words), "{code} {reason}");
            }
            (Outcome::Done { .. }, None) => {}
            (other, _) => panic!("{other:?}"),
        }
        assert_eq!(world.sandbox.uploaded().len(), 1);
    }
}

#[tokio::test]
async fn a_file_goes_nowhere_else() {
    let world = World::new("uploadCatalog").await;
    for url in ["https://evil.test/1", "http://127.0.0.1:1/files/1", "file:///etc/passwd"] {
        let token = json!({ "stage": "put", "url": url, "until": 0, "name": "n", "csv": "c" });
        let token = token.to_string();
        let refused = world.check(&token).await;
        assert!(matches!(refused, Err(Error::Config { .. })), "{url} {refused:?}");
    }
}
