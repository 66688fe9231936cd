//! OAuth2 logins against a small server that rotates refresh tokens and takes each of them once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::Semaphore;
use towpath_connector::prelude::*;
use towpath_connector::{ManualClock, Revoked, Secret, Services, Slot, Token, Tokens, Unlimited};

/// Keeps tokens as a store does: what was saved is there after a restart, slots are not.
#[derive(Default)]
struct Vault {
    kept: Mutex<BTreeMap<String, Vec<u8>>>,
    slots: Mutex<BTreeMap<String, Slot>>,
    full: AtomicBool,
}

impl Vault {
    /// What is on the disk when the process is killed now.
    fn after_a_kill(&self) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::new(self.kept.lock().unwrap().clone()), ..Self::default() })
    }
}

#[async_trait]
impl Tokens for Vault {
    async fn load(&self, identity: &str) -> Result<Option<Token>> {
        Ok(self.kept.lock().unwrap().get(identity).and_then(|bytes| Token::from_bytes(bytes)))
    }

    async fn save(&self, identity: &str, token: &Token) -> Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(Error::config("the disk is full"));
        }
        self.kept.lock().unwrap().insert(identity.to_owned(), token.to_bytes());
        Ok(())
    }

    async fn remove(&self, identity: &str) -> Result<()> {
        self.kept.lock().unwrap().remove(identity);
        Ok(())
    }

    fn slot(&self, identity: &str) -> Slot {
        self.slots.lock().unwrap().entry(identity.to_owned()).or_default().clone()
    }
}

/// Gives out `access-N` and `refresh-N`; only the newest pair is good.
struct Server {
    issued: AtomicUsize,
    requests: AtomicUsize,
    revoked: AtomicUsize,
    away: AtomicBool,
    /// The lifetime of tokens in seconds.
    lasts: AtomicUsize,
    /// Lets answers of the token endpoint leave.
    gate: Semaphore,
    bodies: Mutex<Vec<String>>,
}

impl Server {
    async fn start(gate: usize) -> (Arc<Self>, String) {
        let it = Arc::new(Self {
            issued: 0.into(),
            requests: 0.into(),
            revoked: 0.into(),
            away: false.into(),
            lasts: 3600.into(),
            gate: Semaphore::new(gate),
            bodies: Mutex::default(),
        });
        let router = Router::new()
            .route("/token", post(Self::token))
            .route("/revoke", post(Self::revoke))
            .fallback(Self::guard)
            .with_state(it.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (it, url)
    }

    async fn token(State(it): State<Arc<Self>>, body: String) -> Response {
        it.requests.fetch_add(1, Ordering::SeqCst);
        if it.away.load(Ordering::SeqCst) {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        let newest = it.issued.load(Ordering::SeqCst);
        let good = body.contains("grant_type=authorization_code")
            || body.ends_with(&format!("refresh_token=refresh-{newest}"));
        it.bodies.lock().unwrap().push(body);
        let answer = if good {
            let number = it.issued.fetch_add(1, Ordering::SeqCst) + 1;
            json!({
                "access_token": format!("access-{number}"), "token_type": "bearer",
                "refresh_token": format!("refresh-{number}"),
                "expires_in": it.lasts.load(Ordering::SeqCst),
            })
        } else {
            json!({ "error": "invalid_grant", "error_description": "used before" })
        };
        it.gate.acquire().await.unwrap().forget();
        let status = if good { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        (status, [("content-type", "application/json")], answer.to_string()).into_response()
    }

    async fn revoke(State(it): State<Arc<Self>>) -> StatusCode {
        it.revoked.fetch_add(1, Ordering::SeqCst);
        StatusCode::OK
    }

    async fn guard(State(it): State<Arc<Self>>, request: Request) -> Response {
        let good = format!("Bearer access-{}", it.issued.load(Ordering::SeqCst));
        let given = request.headers().get("authorization").map(|v| v.to_str().unwrap());
        if given == Some(&good) {
            "[]".into_response()
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        }
    }
}

fn connector() -> Connector {
    let login = Login::at("/authorize")
        .with(&[("grant", "basic")])
        .scopes(&["read", "write"])
        .revoked_by(Revocation::Post("/revoke"));
    Connector::new("crm", "https://crm.test/v1", Auth::authorization_code("/token", login))
}

struct World {
    clock: Arc<ManualClock>,
    url: String,
}

impl World {
    fn api(&self, name: &str, vault: &Arc<Vault>) -> Api {
        let values = [("clientId", "an-app"), ("clientSecret", "not-a-real-secret")];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let connector = connector();
        let account = connector.account(name, Some(&self.url), values).unwrap();
        let services = Services {
            clock: self.clock.clone(),
            limiter: Arc::new(Unlimited),
            tokens: vault.clone(),
        };
        Api::new(&connector, account, &BTreeMap::new(), services).unwrap()
    }
}

async fn logged_in(gate: usize) -> (World, Arc<Server>, Arc<Vault>, Api) {
    let (server, url) = Server::start(gate).await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_600_000_000)));
    let (world, vault) = (World { clock, url }, Arc::<Vault>::default());
    let api = world.api("crm", &vault);
    let code = Secret::new("a-code");
    let token = api.redeem(&code, "http://127.0.0.1:7070/callback/oauth2", None).await.unwrap();
    api.log_in(token).await.unwrap();
    server.requests.store(0, Ordering::SeqCst);
    (world, server, vault, api)
}

const HOUR: Duration = Duration::from_secs(3600);

async fn ask(api: &Api) -> Result<()> {
    api.get(["things"]).send().await.map(drop)
}

#[tokio::test]
async fn the_address_of_a_login_holds_what_the_server_wants() {
    let (_, server, _, api) = logged_in(1).await;
    let state = Secret::new("the-state");
    let begun = api.begin_login("https://towpath.test/callback/oauth2", &state).unwrap();
    assert_eq!(begun.url.path(), "/authorize");
    let query: BTreeMap<_, _> = begun.url.query_pairs().into_owned().collect();
    let asked = |name: &str| query[name].as_str();
    assert_eq!([asked("response_type"), asked("client_id")], ["code", "an-app"]);
    assert_eq!(
        [asked("scope"), asked("grant"), asked("state")],
        ["read write", "basic", "the-state"]
    );
    assert_eq!(asked("redirect_uri"), "https://towpath.test/callback/oauth2");
    assert_eq!(asked("code_challenge_method"), "S256");
    assert_eq!(asked("code_challenge").len(), 43);
    assert!(!begun.url.as_str().contains(begun.verifier.unwrap().expose()));
    let body = server.bodies.lock().unwrap().remove(0);
    assert!(
        body.contains("code=a-code") && body.contains("redirect_uri=http%3A%2F%2F127"),
        "{body}"
    );
}

#[tokio::test]
async fn two_hundred_users_of_one_account_renew_once() {
    let (world, server, vault, api) = logged_in(10).await;
    world.clock.advance(HOUR);
    // Half of them by an access of their own, as of a second flow.
    let second = world.api("crm", &vault);
    let users = (0..200).map(|n| {
        let api = if n % 2 == 0 { api.clone() } else { second.clone() };
        tokio::spawn(async move { ask(&api).await })
    });
    for user in users.collect::<Vec<_>>() {
        user.await.unwrap().unwrap();
    }
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
    // Another account of the same app is somebody else's login.
    let other = ask(&world.api("other", &vault)).await.unwrap_err();
    let Error::Unauthorized { reason } = other else { panic!("{other:?}") };
    assert!(
        reason.contains("nobody logged in yet") && reason.contains("towpath account login other")
    );
}

#[tokio::test]
async fn a_renewal_is_kept_also_when_who_asked_for_it_is_gone() {
    let (world, server, vault, api) = logged_in(1).await;
    world.clock.advance(HOUR);
    let asking = tokio::spawn({
        let api = api.clone();
        async move { ask(&api).await }
    });
    while server.issued.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    // The server has rotated, and its answer is on its way.
    asking.abort();
    asking.await.unwrap_err();
    server.gate.add_permits(10);
    ask(&api).await.unwrap();
    ask(&world.api("crm", &vault.after_a_kill())).await.unwrap();
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_kill_before_or_behind_a_rotation_loses_nothing_and_one_between_is_told() {
    let (world, server, vault, api) = logged_in(1).await;
    world.clock.advance(HOUR);
    let before = vault.after_a_kill();
    let asking = tokio::spawn({
        let api = api.clone();
        async move { ask(&api).await }
    });
    while server.issued.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    let between = vault.after_a_kill();
    server.gate.add_permits(50);
    asking.await.unwrap().unwrap();
    let behind = vault.after_a_kill();
    ask(&world.api("crm", &behind)).await.unwrap();

    let lost = ask(&world.api("crm", &between)).await.unwrap_err();
    let Error::Unauthorized { reason } = lost else { panic!("{lost:?}") };
    for said in ["a renewal broke off", "invalid_grant", "run `towpath account login crm`"] {
        assert!(reason.contains(said), "{reason}");
    }
    assert!(!reason.contains("refresh-"), "{reason}");
    let state = world.api("crm", &between).login_state().await.unwrap().unwrap();
    assert!(state.renewing && state.renewable);
    // A system that did not rotate before the kill takes the same token again.
    server.issued.store(1, Ordering::SeqCst);
    ask(&world.api("crm", &before)).await.unwrap();
}

#[tokio::test]
async fn a_token_that_could_not_be_kept_is_kept_before_it_is_used() {
    let (world, server, vault, api) = logged_in(10).await;
    world.clock.advance(HOUR);
    let asking = tokio::spawn({
        let (api, vault) = (api.clone(), vault.clone());
        async move {
            // The disk fills up between the mark and the new token.
            let failed = ask(&api).await;
            vault.full.store(false, Ordering::SeqCst);
            failed
        }
    });
    while server.requests.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    vault.full.store(true, Ordering::SeqCst);
    assert!(matches!(asking.await.unwrap(), Err(Error::Config { .. })));
    ask(&api).await.unwrap();
    ask(&world.api("crm", &vault.after_a_kill())).await.unwrap();
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn while_the_server_is_away_a_token_serves_until_it_ends() {
    let (world, server, _, api) = logged_in(10).await;
    server.away.store(true, Ordering::SeqCst);
    world.clock.advance(HOUR - Duration::from_secs(30));
    ask(&api).await.unwrap();
    world.clock.advance(Duration::from_secs(30));
    assert!(matches!(ask(&api).await, Err(Error::Retry { .. })));
    server.away.store(false, Ordering::SeqCst);
    ask(&api).await.unwrap();
}

#[tokio::test]
async fn a_token_of_a_year_is_renewed_a_week_ahead_and_serves_while_that_fails() {
    let (world, server, vault, api) = logged_in(10).await;
    server.lasts.store(365 * 24 * 3600, Ordering::SeqCst);
    api.renew().await.unwrap();
    let asked = || server.requests.swap(0, Ordering::SeqCst);
    assert_eq!(asked(), 1);
    world.clock.advance(358 * 24 * HOUR - Duration::from_secs(1));
    ask(&api).await.unwrap();
    assert_eq!(asked(), 0);
    server.away.store(true, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(1));
    // One of those that ask tries it, and again a minute later; a restart forgets no token.
    ask(&api).await.unwrap();
    ask(&api).await.unwrap();
    assert_eq!(asked(), 1);
    world.clock.advance(Duration::from_secs(60));
    ask(&api).await.unwrap();
    ask(&world.api("crm", &vault.after_a_kill())).await.unwrap();
    assert_eq!(asked(), 2);
    server.away.store(false, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(60));
    ask(&api).await.unwrap();
    ask(&api).await.unwrap();
    assert_eq!(asked(), 1);
}

#[tokio::test]
async fn a_logout_ends_the_token_there_and_here() {
    let (world, server, vault, api) = logged_in(10).await;
    assert_eq!(api.log_out().await.unwrap(), Revoked::Yes);
    assert_eq!(server.revoked.load(Ordering::SeqCst), 1);
    assert!(vault.kept.lock().unwrap().is_empty());
    assert_eq!(api.log_out().await.unwrap(), Revoked::Nothing);
    assert!(matches!(ask(&api).await, Err(Error::Unauthorized { .. })));
    assert_eq!(world.api("crm", &vault).login_state().await.unwrap(), None);
}
