//! Codes, proof keys and renewals at a real OAuth2 server that takes each refresh token once.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use connector::prelude::*;
use connector::{ManualClock, Secret, Services, Timestamp, Unlimited};
use store::{MasterKey, MemoryStore};

use crate::provider::{Provider, SECRET};
use crate::web::Browser;
use crate::{callback, free_port, project};

/// The address that the browser is led to, in the parts that count.
fn brought_back(url: &str, name: &str) -> Option<Secret> {
    let query = url::Url::parse(url).unwrap();
    let found = query.query_pairs().find(|(key, _)| key == name).map(|(_, it)| it.into_owned());
    found.map(Secret::new)
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_two_hundred_users_of_a_login_with_a_proof_key_renew_it_once() {
    let back = callback(free_port());
    let Some(provider) = Provider::start(std::slice::from_ref(&back)) else { return };
    let auth = Auth::authorization_code("/oauth/token.php", Login::at("/oauth/authorize.php"));
    let connector = Connector::new("crm", "https://crm.test/v3", auth);
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_790_000_000)));
    let services = Services {
        clock: clock.clone(),
        limiter: Arc::new(Unlimited),
        tokens: engine::tokens(Arc::new(MemoryStore::new(MasterKey::generate()))),
    };
    let api = || {
        let values = [("clientId", "an-app-with-proof-key"), ("clientSecret", SECRET)];
        let values: BTreeMap<_, _> = values.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let account = connector.account("crm", Some(&format!("{}/v3", provider.url)), values);
        Api::new(&connector, account.unwrap(), &BTreeMap::new(), services.clone()).unwrap()
    };
    let state = Secret::new("a state");
    let code = || {
        let begun = api().begin_login(&back, &state).unwrap();
        let end = Browser::default().log_in(begun.url.as_str(), &back, true).url;
        assert_eq!(brought_back(&end, "state").unwrap().expose(), "a state");
        (brought_back(&end, "code").unwrap_or_else(|| panic!("{end}")), begun.verifier.unwrap())
    };
    let (first, _) = code();
    let (second, verifier) = code();
    let wrong = api().redeem(&first, &back, Some(&verifier)).await.unwrap_err();
    assert!(matches!(wrong, Error::Unauthorized { .. }), "{wrong}");
    let token = api().redeem(&second, &back, Some(&verifier)).await.unwrap();
    api().log_in(token).await.unwrap();
    for _ in 0..2 {
        clock.advance(Duration::from_secs(3600));
        let renewed = provider.count("renewed");
        let users = (0..200).map(|_| {
            let api = api();
            tokio::spawn(async move { api.get(["groups"]).send().await.map(drop) })
        });
        for user in users.collect::<Vec<_>>() {
            user.await.unwrap().unwrap();
        }
        assert_eq!(provider.count("renewed"), renewed + 1);
    }
}

#[test]
fn slow_a_kill_between_rotation_and_answer_asks_for_a_login_and_any_other_for_nothing() {
    let port = free_port();
    let Some(provider) = Provider::start(&[callback(port)]) else { return };
    let folder = project(&provider, port);
    let log_in = || {
        let mut command = folder.command(env!("CARGO_BIN_EXE_towpath"));
        command.args(["account", "login", "newsletter"]).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = std::io::BufReader::new(child.stderr.as_mut().unwrap());
        let mut lines = std::io::BufRead::lines(said).map(Result::unwrap);
        let url = lines.find(|line| line.contains("?start=")).unwrap();
        let page = Browser::default().log_in(url.trim(), "", true);
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(page.body.contains("is connected") && page.body.contains("Example of ada"));
        assert!(child.wait().unwrap().success());
    };
    log_in();
    folder.run(&["account", "refresh", "newsletter"]).exits(0).says("renewed by itself");
    folder.run(&["account", "test", "newsletter"]).exits(0).says("Example of ada");
    assert_eq!(provider.count("renewed"), 1);

    provider.hold(true);
    let mut command = folder.command(env!("CARGO_BIN_EXE_towpath"));
    command.args(["account", "refresh", "newsletter"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    while provider.count("renewed") < 2 {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    provider.hold(false);
    folder.run(&["account", "status", "newsletter"]).exits(0).says("its last renewal broke off");
    let lost = folder.run(&["account", "refresh", "newsletter"]).exits(6);
    let lost = lost.says("invalid_grant").says("a renewal broke off before its answer was kept");
    lost.says("run `towpath account login newsletter`");
    log_in();
    folder.run(&["account", "refresh", "newsletter"]).exits(0);
    folder.run(&["account", "logout", "newsletter"]).exits(0).says("ended at the system");
}
