//! The test of an account against the sandbox.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use connector::prelude::async_trait;
use connector::{Api, Limit, Limiter, Permit, Services, Tested, Verdict};
use sandbox::{BadCredentials, MissingProfile, Options, Sandbox, Switches};
use towpath_clevertap as clevertap;

const NO_PARTNER: &[(&str, &str)] = &[];
const PARTNER: &[(&str, &str)] = &[("partnerName", "Example"), ("token", "NOT-REAL-TOKEN")];

async fn tested(switches: Switches, more: &[(&str, &str)]) -> (Tested, Sandbox) {
    let options = Options { receivers: 0, switches, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let api = api(&sandbox, more, Services::bare());
    (clevertap::connector().test_account(&api).await.unwrap(), sandbox)
}

fn api(sandbox: &Sandbox, more: &[(&str, &str)], services: Services) -> Api {
    let known = sandbox.credentials();
    let values = [("projectId", known.project_id.as_str()), ("passcode", known.passcode.as_str())];
    let values = values.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let values: BTreeMap<_, _> = values.collect();
    let connector = clevertap::connector();
    let account = connector.account("engagement", Some(&sandbox.clevertap_url()), values).unwrap();
    Api::new(&connector, account, &BTreeMap::new(), services).unwrap()
}

/// Notes what each class of requests is limited to.
#[derive(Default)]
struct Noted(Mutex<BTreeMap<&'static str, (usize, Option<u32>)>>);

#[async_trait]
impl Limiter for Noted {
    async fn acquire(&self, _identity: &str, limit: Limit) -> connector::Result<Permit> {
        let noted = (limit.concurrency.get(), limit.per_second.map(NonZeroU32::get));
        self.0.lock().unwrap().insert(limit.class, noted);
        Ok(Permit::new(()))
    }
}

#[tokio::test]
async fn uploads_are_fifteen_at_once_and_all_else_is_three_at_the_accounts_pace() {
    for (pace, expected) in [(&[][..], None), (&[("requestsPerSecond", "3")], Some(3))] {
        let sandbox = Sandbox::start(Options { receivers: 0, ..Options::default() }).await.unwrap();
        let noted = Arc::new(Noted::default());
        let services = Services { limiter: noted.clone(), ..Services::bare() };
        let api = api(&sandbox, pace, services);
        clevertap::connector().test_account(&api).await.unwrap();
        let noted = noted.0.lock().unwrap().clone();
        assert_eq!(noted, BTreeMap::from([("default", (3, expected)), ("upload", (15, None))]));
    }
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
    for (partner, connect_missing) in [(NO_PARTNER, false), (PARTNER, false), (PARTNER, true)] {
        let (good, sandbox) =
            tested(Switches { connect_missing, ..Switches::default() }, partner).await;
        // A partner that may not connect is told beside what could be tested.
        let checks = if connect_missing { 5 } else { 4 };
        assert_eq!((good.checks.len(), failures(&good)), (checks, vec![]));
        assert_eq!((sandbox.delivered_count(), sandbox.profile_count()), (0, 0));
        let stats = sandbox.stats().clevertap;
        let asked = ["GET /v1/connect", "GET /1/profile.json"].map(|it| stats.requests_to(it));
        let expected = match (partner.is_empty(), connect_missing) {
            (true, _) => [0, 1],
            (false, false) => [1, 0],
            (false, true) => [1, 1],
        };
        assert_eq!(asked, expected, "partner {partner:?}");
    }
    use BadCredentials::{BadRequest, Forbidden, Unauthorized};
    for bad_credentials in [BadRequest, Forbidden, Unauthorized] {
        for partner in [NO_PARTNER, PARTNER] {
            let switches = Switches { bad_credentials, ..Switches::default() };
            let wrong = [partner, &[("passcode", "AAA-BBB-CCCC")]].concat();
            let (wrong, _) = tested(switches, &wrong).await;
            assert_eq!(failures(&wrong), [("credentials", "The credentials are refused")]);
            // The right ones look the same in another region: the paragraph names it, too.
            let switches = Switches { bad_credentials, wrong_region: true, ..Switches::default() };
            let (elsewhere, _) = tested(switches, partner).await;
            assert_eq!(failures(&elsewhere), [("credentials", "The credentials are refused")]);
            let about = clevertap::connector().documentation();
            let paragraph = format!("{:?}", about.trouble("The credentials are refused"));
            assert!(paragraph.contains("looks the same"), "{paragraph}");
        }
    }
    let switches = Switches { uploads_refused: true, ..Switches::default() };
    let (narrow, _) = tested(switches, NO_PARTNER).await;
    assert_eq!(failures(&narrow), [("uploading", "Uploads are refused")]);
}

#[tokio::test]
async fn the_token_cannot_be_tested_and_the_test_says_so() {
    for (partner, says) in [(PARTNER, "attribution alone: the first one"), (NO_PARTNER, "none")] {
        let (good, _) = tested(Switches::default(), partner).await;
        let untested = good.checks.iter().find_map(|check| match &check.verdict {
            Verdict::Untested { why } => Some((check.what, why.as_str())),
            _ => None,
        });
        let (what, why) = untested.unwrap();
        assert!(what == "token" && why.contains(says), "{why}");
    }
}

#[tokio::test]
async fn a_profile_that_is_not_there_is_no_failure_however_it_is_said() {
    use MissingProfile::{EmptySuccess, Fail, FailWithoutCode, NotFound};
    for missing_profile in [Fail, FailWithoutCode, NotFound, EmptySuccess] {
        let switches = Switches { missing_profile, ..Switches::default() };
        assert_eq!(failures(&tested(switches, NO_PARTNER).await.0), []);
    }
}
