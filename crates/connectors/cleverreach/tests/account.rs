//! The test of an account and its login, against the sandbox.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use connector::prelude::*;
use connector::{Revoked, Secret, Services, Tested, Verdict};
use sandbox::{Action, Fault, Options, Sandbox, Switches, Vendor};
use towpath_cleverreach as cleverreach;

const BACK: &str = "http://127.0.0.1:7070/callback/oauth2";

fn api(sandbox: &Sandbox, secret: &str, grant: &str) -> Api {
    let id = sandbox.credentials().client_id.clone();
    let values = [("clientId", id.as_str()), ("clientSecret", secret), ("grant", grant)];
    let values: BTreeMap<_, _> = values.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let connector = cleverreach::connector();
    let url = sandbox.cleverreach_url();
    let account = connector.account("newsletter", Some(&url), values).unwrap();
    Api::new(&connector, account, &BTreeMap::new(), Services::bare()).unwrap()
}

async fn tested(switches: Switches, secret: Option<&str>) -> Tested {
    let sandbox = Sandbox::start(Options { receivers: 5, switches, ..Options::default() }).await;
    let sandbox = sandbox.unwrap();
    let known = sandbox.credentials().client_secret.clone();
    let api = api(&sandbox, secret.unwrap_or(&known), "clientCredentials");
    cleverreach::connector().test_account(&api).await.unwrap()
}

/// What failed, each with the heading of its paragraph, which is there.
fn failures(tested: &Tested) -> Vec<(&'static str, &'static str)> {
    let about = cleverreach::connector().documentation();
    let failures = tested.failures().map(|(what, reason, trouble)| {
        assert!(!about.trouble(trouble).is_empty(), "no paragraph {trouble}");
        assert!(!reason.contains("not-a-"), "{reason}");
        (what, trouble)
    });
    failures.collect()
}

#[tokio::test]
async fn a_test_tells_what_the_app_may_do_and_what_it_cannot_tell() {
    let good = tested(Switches::default(), None).await;
    assert_eq!(failures(&good), []);
    let said = good.checks.iter().map(|check| match &check.verdict {
        Verdict::Passed { detail } => format!("{}: {detail}", check.what),
        _ => format!("{}: untested", check.what),
    });
    let said: Vec<_> = said.collect();
    assert_eq!(
        said,
        [
            "credentials: account 129148, Example GmbH",
            "token: good for 365 days",
            "reading groups: 2 groups",
            "reading receivers: ",
            "reading forms: ",
            "writing receivers: untested",
            "confirmation mails: untested",
        ]
    );
    let sandbox = Sandbox::start(Options { receivers: 5, ..Options::default() }).await.unwrap();
    let invalid = Fault::new(Vendor::CleverReach, "/debug/validate", Action::status(403));
    sandbox.fault(invalid);
    let api = api(&sandbox, &sandbox.credentials().client_secret, "clientCredentials");
    let invalid = cleverreach::connector().test_account(&api).await.unwrap();
    assert_eq!(failures(&invalid), [("token", "The credentials are refused")]);
    let wrong = tested(Switches::default(), Some("not-a-known-secret")).await;
    assert_eq!(failures(&wrong), [("credentials", "The credentials are refused")]);
    for (scope, failure) in [
        ("groups", ("reading groups", "Groups may not be read")),
        ("receivers", ("reading receivers", "Receivers may not be read")),
    ] {
        let narrow = Switches { missing_scopes: vec![scope.to_owned()], ..Switches::default() };
        assert_eq!(failures(&tested(narrow, None).await), [failure]);
    }
}

#[tokio::test]
async fn forms_that_may_not_be_read_are_told_and_fail_nothing() {
    let said = |tested: Tested| {
        assert_eq!(failures(&tested), []);
        let check = tested.checks.into_iter().find(|it| it.what == "reading forms").unwrap();
        let Verdict::Untested { why } = check.verdict else { panic!("{:?}", check.verdict) };
        why
    };
    let narrow = Switches { missing_scopes: vec!["forms".to_owned()], ..Switches::default() };
    let why = said(tested(narrow, None).await);
    assert!(why.contains("403") && why.contains("formId"), "{why}");
    let sandbox = Sandbox::start(Options { receivers: 5, ..Options::default() }).await.unwrap();
    let unknown = Fault::new(Vendor::CleverReach, "/forms", Action::status(404));
    sandbox.fault(unknown);
    let api = api(&sandbox, &sandbox.credentials().client_secret, "clientCredentials");
    let why = said(cleverreach::connector().test_account(&api).await.unwrap());
    assert!(why.contains("does not tell"), "{why}");
}

#[tokio::test]
async fn somebody_logs_in_and_out() {
    let sandbox = Sandbox::start(Options { receivers: 5, ..Options::default() }).await.unwrap();
    let api = api(&sandbox, &sandbox.credentials().client_secret, "authorizationCode");
    let begun = api.begin_login(BACK, &Secret::new("state")).unwrap();
    assert!(begun.verifier.is_none());
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
    let answer = http.unwrap().get(begun.url).send().await.unwrap();
    let back = answer.headers()["location"].to_str().unwrap();
    let code = back.strip_prefix(BACK).unwrap().strip_prefix("?state=state&code=").unwrap();
    let code = Secret::new(code);
    let token = api.redeem(&code, BACK, None).await.unwrap();
    let known = cleverreach::connector().test_account(&api.with_token(token.clone())).await;
    assert!(known.unwrap().is_good());
    api.log_in(token).await.unwrap();
    api.renew().await.unwrap();
    // A code is taken once.
    let again = api.redeem(&code, BACK, None).await.unwrap_err();
    assert!(matches!(again, Error::Unauthorized { .. }), "{again}");
    assert_eq!(api.log_out().await.unwrap(), Revoked::Yes);
    assert_eq!(sandbox.stats().cleverreach.requests_to("DELETE /v3/oauth/token"), 0);
    // The vendor's own clients end tokens at two different paths.
    sandbox.set_switches(sandbox::Switches { revoke_under_v3: true, ..sandbox.switches() });
    api.log_in(log_in(&api).await).await.unwrap();
    assert_eq!(api.log_out().await.unwrap(), Revoked::Yes);
    assert_eq!(sandbox.stats().cleverreach.requests_to("DELETE /v3/oauth/token"), 1);
}

#[tokio::test]
async fn whatever_refuses_a_refresh_ends_the_login_and_says_how_to_log_in_again() {
    for (status, body) in [
        (400, r#"{"error":"invalid_grant","error_description":"Invalid refresh token"}"#),
        (401, r#"{"error":{"code":401,"message":"Unauthorized"}}"#),
        (403, ""),
        (404, r#"{"error":{"code":404,"message":"Not Found"}}"#),
        (422, "<html>no</html>"),
    ] {
        let sandbox = Sandbox::start(Options { receivers: 5, ..Options::default() }).await.unwrap();
        let api = api(&sandbox, &sandbox.credentials().client_secret, "authorizationCode");
        api.log_in(log_in(&api).await).await.unwrap();
        let refused = Action::Body { status, body: body.to_owned() };
        sandbox.fault(Fault::new(Vendor::CleverReach, "/oauth/token.php", refused).forever());
        // A 401 asks for one refresh, whose refusal is the end.
        sandbox.expire_tokens();
        let error = api.get(["groups.json"]).send().await.unwrap_err();
        assert!(matches!(error, Error::Unauthorized { .. }), "{status}: {error:?}");
        assert!(error.to_string().contains("account login newsletter"), "{status}: {error}");
        let tokens = sandbox.stats().cleverreach.requests_to("POST /oauth/token.php");
        assert_eq!(tokens, 2, "{status}: the login and one refresh");
    }
}

/// Logs somebody in, as a browser does.
async fn log_in(api: &Api) -> connector::Token {
    let begun = api.begin_login(BACK, &Secret::new("state")).unwrap();
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
    let answer = http.unwrap().get(begun.url).send().await.unwrap();
    let back = answer.headers()["location"].to_str().unwrap();
    let code = back.strip_prefix(BACK).unwrap().strip_prefix("?state=state&code=").unwrap();
    api.redeem(&Secret::new(code), BACK, None).await.unwrap()
}
