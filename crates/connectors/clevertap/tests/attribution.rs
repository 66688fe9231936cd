//! `sendAttribution` against the sandbox: what is stored, what is refused by whom, and what is never
//! said.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;
use connector::{ErasedItem, Services};
use sandbox::{
    Action as Failure, AttributionSwitches, Disabled, Fault, Options, Sandbox, Switches,
    TakenAnswer, Utms, Vendor,
};

struct World {
    sandbox: Sandbox,
    api: Api,
}

impl World {
    async fn new(attribution: AttributionSwitches) -> Self {
        Self::with(attribution, &[]).await
    }

    /// A sandbox, and an account of it whose settings are changed so.
    async fn with(attribution: AttributionSwitches, changed: &[(&str, &str)]) -> Self {
        let switches = Switches { attribution, ..Switches::default() };
        let now = Some(1_763_700_000);
        let options = Options { receivers: 0, switches, now, ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        let known = sandbox.credentials().clone();
        let values = [
            ("projectId", known.project_id.as_str()),
            ("passcode", &known.passcode),
            ("token", &known.token),
            ("partnerName", "attribution partner"),
        ];
        let values = values.iter().chain(changed);
        let values: BTreeMap<_, _> =
            values.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let connector = towpath_clevertap::connector();
        let account = connector.account("engagement", Some(&sandbox.clevertap_url()), values);
        let api = Api::new(&connector, account.unwrap(), &BTreeMap::new(), Services::bare());
        Self { sandbox, api: api.unwrap() }
    }

    async fn send(&self, input: Value) -> Result<Option<Outcome>> {
        let connector = towpath_clevertap::connector();
        let descriptor = connector.find_action("sendAttribution").unwrap();
        let action = (descriptor.configure)(json!({})).unwrap();
        assert!(!action.idempotent());
        let input = action.prepare(input).unwrap();
        let item = ErasedItem { id: Arc::from("message"), key: Arc::from("7"), input };
        Ok(action.run(&self.api, &[item]).await?.into_vec().remove(0))
    }

    /// The names and properties of the events that were stored.
    fn stored(&self) -> Vec<(String, Value)> {
        let records = self.sandbox.delivered();
        let records = records.iter().map(sandbox::Delivered::record);
        records
            .map(|it| (it["evtName"].as_str().unwrap().to_owned(), it["evtData"].clone()))
            .collect()
    }
}

fn event(name: &str) -> Value {
    json!({
        "event_type": name, "device_identifier": "__g1234abc", "platform": "Android",
        "timestamp": 1_660_717_763, "utm_source": "google",
        "parameters": { "items": "shoes & socks", "price": 12.5 },
    })
}

fn code(outcome: Result<Option<Outcome>>) -> String {
    match outcome {
        Ok(Some(Outcome::Done { .. })) => "done".to_owned(),
        Ok(Some(Outcome::Rejected { code, .. })) => code,
        Err(Error::Unauthorized { .. }) => "unauthorized".to_owned(),
        Err(Error::Config { .. }) => "config".to_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn installs_are_stored_as_visits_and_events_with_the_partners_prefix() {
    let world = World::new(AttributionSwitches::default()).await;
    for name in ["organic_install", "inorganic_install", "Checkout"] {
        assert_eq!(code(world.send(event(name)).await), "done");
    }
    let properties = json!({ "items": "shoes & socks", "price": "12.5" });
    let names = ["UTM Visited", "UTM Visited", "AP_Checkout"];
    let expected: Vec<_> =
        names.into_iter().map(|name| (name.to_owned(), properties.clone())).collect();
    assert_eq!(world.stored(), expected);
    let first = world.sandbox.delivered().remove(0).record();
    assert_eq!((&first["objectId"], &first["ts"]), (&json!("__g1234abc"), &json!(1_660_717_763)));
    assert_eq!(first["session"], json!({ "utm_source": "google" }));
    let stats = world.sandbox.stats().clevertap;
    assert_eq!((stats.attributions, stats.requests_to("GET /attribution")), (3, 3));
}

#[tokio::test]
async fn who_is_not_on_the_list_or_not_known_is_the_accounts_trouble() {
    let partners = vec!["somebody else".to_owned()];
    let world = World::new(AttributionSwitches { partners, ..Default::default() }).await;
    let error = world.send(event("Checkout")).await.unwrap_err();
    let Error::Unauthorized { reason } = &error else { panic!("{error:?}") };
    assert!(reason.contains("not whitelisted") && reason.contains("\"attribution partner\""));
    for refused in [401, 403] {
        let switches = AttributionSwitches { refused, ..Default::default() };
        let wrong = World::with(switches, &[("token", "not-this-one")]).await;
        let error = wrong.send(event("Checkout")).await.unwrap_err();
        let Error::Unauthorized { reason } = &error else { panic!("{error:?}") };
        assert!(reason.contains("Invalid Account Info") && reason.contains("check the account"));
        assert!(!reason.contains("not-this-one") && !reason.contains("ABC-DEF-GHIJ"), "{reason}");
    }
    let elsewhere = World::new(AttributionSwitches::default()).await;
    let switches = Switches { wrong_region: true, ..Switches::default() };
    elsewhere.sandbox.set_switches(switches);
    assert_eq!(code(elsewhere.send(event("Checkout")).await), "unauthorized");
    for (missing, name) in [("token", "`token`"), ("partnerName", "`partnerName`")] {
        let bare = World::with(AttributionSwitches::default(), &[(missing, "")]).await;
        let error = bare.send(event("Checkout")).await.unwrap_err();
        assert!(matches!(&error, Error::Config { reason } if reason.contains(name)), "{error:?}");
        assert_eq!(bare.sandbox.stats().clevertap.total_requests(), 0);
    }
}

#[tokio::test]
async fn what_is_not_enabled_is_dropped_or_refused() {
    let off = |disabled| AttributionSwitches {
        organic: false,
        custom: false,
        disabled,
        ..Default::default()
    };
    for (disabled, expected) in [(Disabled::Dropped, "done"), (Disabled::Refused, "http400")] {
        let world = World::new(off(disabled)).await;
        for name in ["organic_install", "Checkout"] {
            assert_eq!(code(world.send(event(name)).await), expected);
        }
        assert_eq!(code(world.send(event("inorganic_install")).await), "done");
        assert_eq!(world.sandbox.delivered_count(), 1);
    }
}

#[tokio::test]
async fn an_install_without_all_utms_says_so_and_is_refused_where_all_are_needed() {
    let world = World::new(AttributionSwitches::default()).await;
    let outcome = world.send(event("organic_install")).await.unwrap();
    let Some(Outcome::Done { value, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(value["lacking"], json!(["utm_medium", "utm_campaign"]));
    for (utms, sent, missing) in [
        (Utms::All, event("organic_install"), "utm_medium"),
        (
            Utms::AnyOfAll,
            json!({ "event_type": "Checkout", "device_identifier": "__g1",
            "platform": "Android" }),
            "utm_source",
        ),
    ] {
        let strict = AttributionSwitches { utms, ..Default::default() };
        let outcome = World::new(strict).await.send(sent).await.unwrap();
        let reason = format!("GET /attribution answered 400: {missing} is missing");
        assert_eq!(outcome, Some(Outcome::rejected("http400", reason)));
    }
    // An install is one however it is written; CleverTap would take it for an event of that name.
    let mut odd = event("organic_install");
    odd["event_type"] = "Organic Install".into();
    let outcome = world.send(odd).await.unwrap();
    assert!(
        matches!(outcome, Some(Outcome::Done { value, .. }) if value["event_type"] == "organic_install")
    );
}

#[tokio::test]
async fn what_does_not_say_that_it_was_taken_was_not() {
    let world = World::new(AttributionSwitches::default()).await;
    for (answer, taken) in [
        ("", true),
        ("OK", true),
        ("ok - success", true),
        ("\"Success\"", true),
        ("{}", true),
        (r#"{"status":"ok"}"#, true),
        (r#"{"code":200,"message":"OK"}"#, true),
        (r#"{"status":"success","error":false}"#, true),
        (r#"{"error":"quota"}"#, false),
        (r#"{"code":400}"#, false),
        (r#"{"message":"away"}"#, false),
        ("okapi", false),
        ("[]", false),
    ] {
        let answered = Failure::Body { status: 200, body: answer.to_owned() };
        world.sandbox.fault(Fault::new(Vendor::CleverTap, "/attribution", answered));
        let sent = world.send(event("Checkout")).await;
        assert_eq!(sent.is_ok(), taken, "{answer}: {sent:?}");
        assert!(taken || matches!(sent, Err(Error::Unknown { .. })));
    }
}

#[tokio::test]
async fn failures_of_the_server_are_tried_again_and_no_answer_is_unknown() {
    let quiet = AttributionSwitches { taken: TakenAnswer::Empty, ..Default::default() };
    let world = World::new(quiet).await;
    assert_eq!(code(world.send(event("Checkout")).await), "done");
    let fault = |failure| Fault::new(Vendor::CleverTap, "/attribution", failure);
    for status in [500, 503] {
        let (headers, body) = (BTreeMap::new(), String::new());
        world.sandbox.fault(fault(Failure::Status { status, headers, body }));
        let error = world.send(event("Checkout")).await.unwrap_err();
        let Error::Retry { reason, .. } = &error else { panic!("{error:?}") };
        assert!(reason.contains("more than 10 minutes"), "{reason}");
    }
    let page = "<html>maintenance</html>".to_owned();
    for failure in
        [Failure::CloseConnection { process: true }, Failure::Body { status: 200, body: page }]
    {
        world.sandbox.fault(fault(failure));
        let error = world.send(event("Checkout")).await.unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("ABC-DEF-GHIJ"));
    }
}
