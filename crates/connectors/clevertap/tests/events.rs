//! `uploadEvents` against the sandbox: who raises them, which are taken, and what is said at check.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;
use connector::{ErasedItem, Services};
use sandbox::{Action as Failure, Fault, Options, Sandbox, Vendor};

struct World {
    sandbox: Sandbox,
    api: Api,
}

impl World {
    async fn new() -> Self {
        let sandbox = Sandbox::start(Options { receivers: 0, ..Options::default() }).await.unwrap();
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

    async fn raise(&self, fields: Value, inputs: &[Value]) -> Result<Vec<Option<Outcome>>> {
        let action = configured(fields).unwrap();
        assert!(!action.idempotent());
        let items: Vec<_> = inputs
            .iter()
            .enumerate()
            .map(|(index, input)| ErasedItem {
                id: Arc::from(format!("message-{index}")),
                key: Arc::from(format!("{index}")),
                input: action.prepare(input.clone()).unwrap(),
            })
            .collect();
        Ok(action.run(&self.api, &items).await?.into_vec())
    }

    fn sources(&self) -> Vec<Value> {
        self.sandbox.delivered().iter().map(|it| it.record()["$source"].clone()).collect()
    }
}

fn configured(fields: Value) -> Result<Arc<dyn connector::ErasedAction>, String> {
    (towpath_clevertap::connector().find_action("uploadEvents").unwrap().configure)(fields)
}

fn event(identity: &str) -> Value {
    json!({ "identity": identity, "evtName": "Newsletter joined" })
}

#[tokio::test]
async fn every_event_names_its_partner_and_is_counted() {
    let world = World::new().await;
    let fields = json!({ "event": "Newsletter joined", "source": "ExamplePartner" });
    let mut named = event("8");
    named["$source"] = "OtherPartner".into();
    let outcomes = world.raise(fields, &[event("7"), named, event("7")]).await.unwrap();
    let value = json!({ "identity": "7" });
    let done = Outcome::Done { value, target_key: Some("7".to_owned()) };
    assert_eq!(outcomes.first(), Some(&Some(done)));
    assert_eq!(world.sources(), ["ExamplePartner", "OtherPartner", "ExamplePartner"]);
    let stats = world.sandbox.stats().clevertap;
    assert_eq!((stats.uploads, stats.events_accepted, stats.records_accepted), (1, 3, 3));
}

#[tokio::test]
async fn who_or_what_is_missing_is_refused_and_an_answer_that_is_lost_is_unknown() {
    let world = World::new().await;
    let fields = json!({ "event": "Newsletter joined" });
    let mut nobody = event("7");
    nobody.as_object_mut().unwrap().remove("identity");
    let mut both = event("7");
    both["FBID"] = "8".into();
    let inputs = [nobody, both, json!({ "identity": "7", "evtName": " " })];
    let outcomes = world.raise(fields.clone(), &inputs).await.unwrap();
    let codes = outcomes.iter().map(|outcome| match outcome {
        Some(Outcome::Rejected { code, .. }) => &**code,
        _ => "?",
    });
    assert_eq!(codes.collect::<Vec<_>>(), ["noIdentity", "severalIdentities", "509"]);
    let lost = Failure::CloseConnection { process: true };
    world.sandbox.fault(Fault::new(Vendor::CleverTap, "/1/upload", lost));
    let error = world.raise(fields, &[event("7")]).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
    assert_eq!(world.sandbox.stats().clevertap.events_accepted, 1);
    // What never left is not in doubt.
    let lost = Failure::CloseConnection { process: true };
    world.sandbox.fault(Fault::new(Vendor::CleverTap, "/1/upload", lost));
    let mut unnamed = event("8");
    unnamed["evtName"] = " ".into();
    let mut blank = event("9");
    blank["$source"] = " ".into();
    let fields = json!({ "event": "Newsletter joined", "source": "ExamplePartner" });
    let outcomes = world.raise(fields.clone(), &[event("7"), unnamed]).await.unwrap();
    assert!(matches!(&*outcomes, [None, Some(Outcome::Rejected { .. })]), "{outcomes:?}");
    // An empty source is none.
    world.raise(fields, &[blank]).await.unwrap();
    assert_eq!(world.sources().last().unwrap(), "ExamplePartner");
}

#[test]
fn a_missing_partner_is_warned_about_and_a_missing_name_refused() {
    let warnings = |fields: Value| configured(fields).unwrap().warnings();
    assert_eq!(warnings(json!({ "event": "Joined", "source": "ExamplePartner" })), [""; 0]);
    for fields in [json!({ "event": "Joined" }), json!({ "event": "Joined", "source": " " })] {
        assert!(warnings(fields).first().unwrap().contains("without `source`"));
    }
    assert!(configured(json!({ "event": "" })).err().unwrap().contains("`event` is empty"));
    assert!(configured(json!({})).err().unwrap().contains("event"));
}
