//! Logins under way: signed, bound to a browser, short-lived, ended once. The account is one of a
//! small system in this process that takes every code.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Json;
use axum::Router;
use axum::routing::post;
use connector::{
    Api, Auth, Clock, Connector, Login, ManualClock, Secret, Services, Tested, Timestamp, Unlimited,
};
use serde_json::json;
use store::{MasterKey, MemoryStore, Store};
use towpath_server::accounts::{
    Added, Host, Line, LoginError, Logins, New, Refusal, Removed, Return,
};

/// One account, whose test fails if it is told to.
struct One {
    connectors: Vec<Connector>,
    api: Api,
    used_again: Mutex<u32>,
}

#[async_trait]
impl Host for One {
    fn connectors(&self) -> &[Connector] {
        &self.connectors
    }

    async fn list(&self) -> Result<Vec<Line>, Refusal> {
        Ok(vec![])
    }

    async fn add(&self, new: New) -> Result<Added, Refusal> {
        Err(Refusal::Exists(new.name))
    }

    async fn test(&self, _name: &str) -> Result<Tested, Refusal> {
        self.connectors[0].test_account(&self.api).await.map_err(Refusal::of_call)
    }

    async fn remove(&self, name: &str, _although_used: bool) -> Result<Removed, Refusal> {
        Err(Refusal::NoSuch(name.to_owned()))
    }

    async fn access(&self, name: &str) -> Result<Api, Refusal> {
        if name == "crm" { Ok(self.api.clone()) } else { Err(Refusal::NoSuch(name.to_owned())) }
    }

    async fn used_again(&self, _name: &str) -> Result<(), Refusal> {
        *self.used_again.lock().unwrap() += 1;
        Ok(())
    }
}

struct World {
    logins: Logins,
    clock: Arc<ManualClock>,
    host: Arc<One>,
    store: Arc<dyn Store>,
}

async fn world(test: connector::Test) -> World {
    let token = json!({ "access_token": "access", "token_type": "bearer", "expires_in": 3600 });
    let router = Router::new().route("/token", post(async move || Json(token)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let auth = Auth::authorization_code("/token", Login::at("/authorize"));
    let connector = Connector::new("crm", "https://crm.test/v1", auth).test(test);
    let values = [("clientId", "an-app"), ("clientSecret", "not-a-real-secret")];
    let values = values.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let account = connector.account("crm", Some(&url), values).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_790_000_000)));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MasterKey::generate()));
    let services = Services {
        clock: clock.clone(),
        limiter: Arc::new(Unlimited),
        tokens: engine::tokens(store.clone()),
    };
    let api = Api::new(&connector, account, &BTreeMap::new(), services).unwrap();
    let host = Arc::new(One { connectors: vec![connector], api, used_again: Mutex::default() });
    let base = "https://towpath.test/";
    let logins = Logins::new(host.clone(), store.clone(), clock.clone(), base);
    World { logins, clock, host, store }
}

fn good(_: &Api) -> std::pin::Pin<Box<dyn Future<Output = connector::Result<Tested>> + Send + '_>> {
    Box::pin(async {
        let mut tested = Tested::default();
        tested.passed("credentials", "known");
        Ok(tested)
    })
}

fn bad(_: &Api) -> std::pin::Pin<Box<dyn Future<Output = connector::Result<Tested>> + Send + '_>> {
    Box::pin(async {
        let mut tested = Tested::default();
        tested.failed("reading", "answered 403", "Nothing may be read");
        Ok(tested)
    })
}

impl World {
    /// A login whose browser is at the system: its state, and what the browser holds.
    async fn away(&self) -> (String, Secret) {
        let url = self.logins.begin("crm").await.unwrap();
        let ticket = url.strip_prefix("https://towpath.test/callback/oauth2?start=").unwrap();
        let away = self.logins.depart(ticket).await.unwrap();
        let again = self.logins.depart(ticket).await.unwrap_err();
        assert!(matches!(again, LoginError::Used), "{again}");
        let state = away.url.query_pairs().find(|(name, _)| name == "state");
        (state.unwrap().1.into_owned(), away.binding)
    }

    async fn back(&self, state: &str, binding: Option<&Secret>) -> Result<(), LoginError> {
        let code = Some(Secret::new("a code"));
        let back = Return { state: Some(state.to_owned()), code, ..Return::default() };
        self.logins.arrive(back, binding.map(Secret::expose)).await.map(drop)
    }

    async fn is_kept(&self) -> bool {
        self.host.api.login_state().await.unwrap().is_some()
    }
}

#[tokio::test]
async fn a_login_is_ended_once_in_time_and_by_its_own_browser() {
    let world = world(good).await;
    let (state, own) = world.away().await;
    let (other_state, other) = world.away().await;
    for (state, binding) in [(&state, None), (&state, Some(&other)), (&other_state, Some(&own))] {
        let foreign = world.back(state, binding).await.unwrap_err();
        assert!(matches!(foreign, LoginError::Foreign), "{foreign}");
    }
    let forged = [String::new(), "A".repeat(110), format!("A{}", state.get(1..).unwrap())];
    for forged in forged {
        let error = world.back(&forged, Some(&own)).await.unwrap_err();
        assert!(matches!(error, LoginError::Forged), "{forged}: {error}");
    }
    // Signed by another store's key.
    let elsewhere = self::world(good).await;
    let error = elsewhere.back(&state, Some(&own)).await.unwrap_err();
    assert!(matches!(error, LoginError::Forged), "{error}");
    assert!(!world.is_kept().await);

    world.back(&state, Some(&own)).await.unwrap();
    assert!(world.is_kept().await);
    assert_eq!(*world.host.used_again.lock().unwrap(), 1);
    let replayed = world.back(&state, Some(&own)).await.unwrap_err();
    assert!(matches!(replayed, LoginError::Used), "{replayed}");

    world.clock.advance(Duration::from_secs(601));
    let late = world.back(&other_state, Some(&other)).await.unwrap_err();
    assert!(matches!(late, LoginError::Expired), "{late}");
    let url = world.logins.begin("crm").await.unwrap();
    world.clock.advance(Duration::from_secs(601));
    let late = world.logins.depart(url.rsplit_once('=').unwrap().1).await.unwrap_err();
    assert!(matches!(late, LoginError::Expired), "{late}");
}

#[tokio::test]
async fn what_the_system_refuses_and_what_its_test_refuses_is_not_kept() {
    let world = world(bad).await;
    let (state, own) = world.away().await;
    let back = Return {
        state: Some(state),
        error: Some("access_denied".to_owned()),
        error_description: Some("the user\u{7} said no".to_owned()),
        ..Return::default()
    };
    let refused = world.logins.arrive(back, Some(own.expose())).await.unwrap_err().to_string();
    assert!(refused.contains("(access_denied: the user said no): nothing was kept"), "{refused}");
    let ended = world.logins.ended().borrow().clone().unwrap();
    assert_eq!((ended.account.as_str(), ended.result.is_err()), ("crm", true));

    let (state, own) = world.away().await;
    let failed = world.back(&state, Some(&own)).await.unwrap_err().to_string();
    assert!(failed.contains("Nothing may be read"), "{failed}");
    assert!(!world.is_kept().await);
    let unknown = world.logins.begin("nobody").await.unwrap_err();
    assert!(matches!(unknown, Refusal::NoSuch(_)), "{unknown}");
    // What is kept of a login under way is in memory alone.
    assert_eq!(world.store.vault_names("").await.unwrap(), Vec::<String>::new());
    assert!(world.clock.now() > Timestamp::default());
}
