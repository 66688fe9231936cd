//! The test of an account against the sandbox.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use connector::{Api, Services, Tested};
use sandbox::{BadCredentials, Options, Sandbox, Switches};
use towpath_clevertap as clevertap;

async fn tested(switches: Switches, passcode: Option<&str>) -> (Tested, Sandbox) {
    let options = Options { receivers: 0, switches, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let known = sandbox.credentials();
    let passcode = passcode.unwrap_or(&known.passcode);
    let values = [("projectId", known.project_id.as_str()), ("passcode", passcode)];
    let values: BTreeMap<_, _> = values.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let connector = clevertap::connector();
    let account = connector.account("engagement", Some(&sandbox.clevertap_url()), values).unwrap();
    let api = Api::new(&connector, account, &BTreeMap::new(), Services::bare()).unwrap();
    (connector.test_account(&api).await.unwrap(), sandbox)
}

/// What failed, each with the heading of its paragraph, which is there.
fn failures(tested: &Tested) -> Vec<(&'static str, &'static str)> {
    let about = clevertap::connector().documentation();
    let failures = tested.failures().map(|(what, _, trouble)| {
        assert!(!about.trouble(trouble).is_empty(), "no paragraph {trouble}");
        (what, trouble)
    });
    failures.collect()
}

#[tokio::test]
async fn a_test_uploads_nothing_and_tells_what_the_passcode_may_do() {
    for connect_missing in [false, true] {
        let switches = Switches { connect_missing, ..Switches::default() };
        let (good, sandbox) = tested(switches, None).await;
        assert_eq!((good.checks.len(), failures(&good)), (2, vec![]));
        assert_eq!((sandbox.delivered_count(), sandbox.profile_count()), (0, 0));
    }
    use BadCredentials::{BadRequest, Forbidden, Unauthorized};
    for bad_credentials in [BadRequest, Forbidden, Unauthorized] {
        let switches = Switches { bad_credentials, ..Switches::default() };
        let (wrong, _) = tested(switches, Some("AAA-BBB-CCCC")).await;
        assert_eq!(failures(&wrong), [("credentials", "The credentials are refused")]);
    }
    let switches = Switches { uploads_refused: true, ..Switches::default() };
    let (narrow, _) = tested(switches, None).await;
    assert_eq!(failures(&narrow), [("uploading", "Uploads are refused")]);
}
