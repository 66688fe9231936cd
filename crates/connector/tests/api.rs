//! `Api` against small servers on loopback: tokens, failures, caps, escapes, redaction.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use towpath_connector::prelude::*;
use towpath_connector::{
    Admission, Answer, Failure, Limit, Limiter, ManualClock, Permit, Services, Token, Tokens,
    Unlimited,
};

#[derive(Default)]
struct Kept(Mutex<Option<Token>>);

#[async_trait]
impl Tokens for Kept {
    async fn load(&self, _identity: &str) -> Result<Option<Token>> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn save(&self, _identity: &str, token: &Token) -> Result<()> {
        *self.0.lock().unwrap() = Some(token.clone());
        Ok(())
    }

    async fn remove(&self, _identity: &str) -> Result<()> {
        *self.0.lock().unwrap() = None;
        Ok(())
    }
}

struct World {
    clock: Arc<ManualClock>,
    kept: Arc<Kept>,
    limiter: Arc<dyn Limiter>,
}

/// What requests showed of their system.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<Answer>>>);

impl Admission for Shown {
    fn learn(&mut self, answer: &Answer) {
        self.0.lock().unwrap().push(answer.clone());
    }
}

#[async_trait]
impl Limiter for Shown {
    async fn acquire(&self, _identity: &str, _limit: Limit) -> Result<Permit> {
        Ok(Permit::new(self.clone()))
    }
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_600_000_000)));
        Self { clock, kept: Arc::default(), limiter: Arc::new(Unlimited) }
    }

    fn api(&self, connector: &Connector, base_url: &str, values: &[(&str, &str)]) -> Api {
        let values: BTreeMap<_, _> =
            values.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let account = connector.account("test", Some(base_url), values).unwrap();
        let services = Services {
            clock: self.clock.clone(),
            limiter: self.limiter.clone(),
            tokens: self.kept.clone(),
        };
        Api::new(connector, account, &BTreeMap::new(), services).unwrap()
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    (listener, url)
}

async fn serve(router: Router) -> String {
    let (listener, url) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// An access without credentials to a server that answers everything with `answer`.
async fn plain<F, R>(answer: F) -> Api
where
    F: Fn(Request) -> R + Clone + Send + Sync + 'static,
    R: IntoResponse,
{
    let router = Router::new().fallback(any(move |request: Request| {
        let answer = answer(request).into_response();
        async move { answer }
    }));
    let connector = Connector::new("plain", "https://api.example.com", Auth::None);
    World::new().api(&connector, &serve(router).await, &[])
}

fn status(status: u16, body: &'static str) -> Response {
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

/// A server that gives out `token-1`, `token-2`, … and takes only the number in `valid`.
#[derive(Default)]
struct Guarded {
    issued: AtomicUsize,
    valid: AtomicUsize,
    refused: AtomicUsize,
    grants: Mutex<Vec<String>>,
}

impl Guarded {
    async fn start(self: &Arc<Self>) -> (World, Api) {
        let router = Router::new()
            .route("/oauth/token", post(Self::token))
            .fallback(Self::guard)
            .with_state(self.clone());
        let auth = Auth::client_credentials("/oauth/token");
        let connector = Connector::new("guarded", "https://api.example.com", auth);
        let world = World::new();
        let keys = [("clientId", "test-client"), ("clientSecret", "not-a-real-secret")];
        let api = world.api(&connector, &serve(router).await, &keys);
        (world, api)
    }

    async fn token(State(it): State<Arc<Self>>, body: String) -> Response {
        it.grants.lock().unwrap().push(body);
        let number = it.issued.fetch_add(1, Ordering::SeqCst) + 1;
        let token = json!({
            "access_token": format!("token-{number}"),
            "token_type": "bearer",
            "expires_in": 3600,
            "scope": ["read"],
        });
        ([("content-type", "application/json")], token.to_string()).into_response()
    }

    async fn guard(State(it): State<Arc<Self>>, request: Request) -> Response {
        let given = request.headers().get("authorization").map(|v| v.to_str().unwrap());
        let valid = format!("Bearer token-{}", it.valid.load(Ordering::SeqCst));
        if given == Some(&valid) {
            return status(200, "[]");
        }
        it.refused.fetch_add(1, Ordering::SeqCst);
        let said = format!("no good: {}, secret not-a-real-secret", given.unwrap_or("nothing"));
        (StatusCode::UNAUTHORIZED, said).into_response()
    }
}

#[tokio::test]
async fn ten_requests_at_once_share_one_token() {
    let server = Arc::new(Guarded { valid: 1.into(), ..Guarded::default() });
    let (world, api) = server.start().await;
    let requests = (0..10).map(|_| {
        let api = api.clone();
        tokio::spawn(async move { api.get(["things"]).send().await.map(drop) })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap().unwrap();
    }
    assert_eq!(server.issued.load(Ordering::SeqCst), 1);

    // Shortly before the token ends it is fetched anew.
    world.clock.advance(Duration::from_secs(3595));
    server.valid.store(2, Ordering::SeqCst);
    api.get(["things"]).send().await.unwrap();
    assert_eq!(server.refused.load(Ordering::SeqCst), 0);
    assert_eq!(server.issued.load(Ordering::SeqCst), 2);
    assert!(server.grants.lock().unwrap().iter().all(|g| g.contains("client_credentials")));
}

#[tokio::test]
async fn a_clock_that_is_set_costs_one_token_at_most() {
    let server = Arc::new(Guarded { valid: 1.into(), ..Guarded::default() });
    let (world, api) = server.start().await;
    let seen = || (server.issued.load(Ordering::SeqCst), server.refused.load(Ordering::SeqCst));
    api.get(["things"]).send().await.unwrap();
    // Ten years ahead it seems to have ended.
    server.valid.store(2, Ordering::SeqCst);
    world.clock.set(Timestamp::from_secs(1_915_360_000));
    api.get(["things"]).send().await.unwrap();
    assert_eq!(seen(), (2, 0));
    // Back again it seems to last ten years, and is used until the system says otherwise.
    world.clock.set(Timestamp::from_secs(1_600_000_000));
    api.get(["things"]).send().await.unwrap();
    assert_eq!(seen(), (2, 0));
    server.valid.store(3, Ordering::SeqCst);
    api.get(["things"]).send().await.unwrap();
    assert_eq!(seen(), (3, 1));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let server = Arc::new(Guarded { valid: 2.into(), ..Guarded::default() });
    let (_, api) = server.start().await;
    api.get(["things"]).send().await.unwrap();
    assert_eq!(server.issued.load(Ordering::SeqCst), 2);

    server.valid.store(99, Ordering::SeqCst);
    let error = api.get(["things"]).send().await.unwrap_err();
    assert_eq!(server.issued.load(Ordering::SeqCst), 3);
    // What the server echoes shows neither the token nor the client's secret.
    let reason =
        "GET /v1/things answered 401: no good: Bearer [secret], secret [secret]".to_owned();
    assert_eq!(error, Error::Unauthorized { reason });
}

#[tokio::test]
async fn refused_credentials_are_no_outage() {
    let router = Router::new().route(
        "/oauth/token",
        post(|| async {
            let body = r#"{"error":"invalid_client","error_description":"not-a-real-secret"}"#;
            status(400, body)
        }),
    );
    let auth = Auth::client_credentials("/oauth/token");
    let connector = Connector::new("guarded", "https://api.example.com", auth);
    let keys = [("clientId", "test-client"), ("clientSecret", "not-a-real-secret")];
    let api = World::new().api(&connector, &serve(router).await, &keys);
    let error = api.get(["things"]).send().await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    assert!(!error.to_string().contains("not-a-real"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let followed = Arc::new(AtomicUsize::new(0));
    let counter = followed.clone();
    let api = plain(move |request| match request.uri().path() {
        "/v1/elsewhere" => {
            counter.fetch_add(1, Ordering::SeqCst);
            status(200, "[]")
        }
        _ => (StatusCode::FOUND, [("location", "/v1/elsewhere")]).into_response(),
    })
    .await;
    let error = api.get(["things"]).send().await.unwrap_err();
    assert!(matches!(&error, Error::Config { reason } if reason.contains("302")), "{error:?}");
    assert_eq!(followed.load(Ordering::SeqCst), 0);
}

/// Answers each connection with `answer`, followed by spaces as long as somebody reads them if
/// it is `endless`, and closes it.
async fn raw(answer: &'static str, endless: bool) -> Api {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            assert_ne!(stream.read(&mut asked).await.unwrap(), 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
            let chunk = vec![b' '; 1024 * 1024];
            while endless && stream.write_all(&chunk).await.is_ok() {}
        }
    });
    let connector = Connector::new("plain", "https://api.example.com", Auth::None);
    World::new().api(&connector, &url, &[])
}

#[tokio::test]
async fn a_cut_answer_is_worth_another_question_but_leaves_a_write_unknown() {
    let api = raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[{", false).await;
    let asked = api.get(["things"]).send().await.unwrap_err();
    assert!(matches!(asked, Error::Retry { .. }), "{asked:?}");
    let searched = api.post(["things"]).json(&json!({})).safe().send().await.unwrap_err();
    assert!(matches!(searched, Error::Retry { .. }), "{searched:?}");
    let written = api.post(["things"]).json(&json!({})).send().await.unwrap_err();
    assert!(matches!(written, Error::Unknown { .. }), "{written:?}");
}

#[tokio::test]
async fn a_get_that_orders_is_no_question_and_its_query_may_prove_who_asks() {
    let silent = raw("", false).await;
    let error = silent.get(["told"]).order().query("key", "k").send().await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
    let failing = plain(|_| status(500, "{}")).await;
    let kind = |error: Error| match error {
        Error::Retry { .. } => "retry",
        Error::Unknown { .. } => "unknown",
        _ => "other",
    };
    assert_eq!(kind(failing.get(["told"]).order().send().await.unwrap_err()), "unknown");
    let undone = failing.get(["told"]).order().undone_by_5xx();
    assert_eq!(kind(undone.send().await.unwrap_err()), "retry");
    // The account's header is left out, and the query is in no error.
    let connector = Connector::new("keyed", "https://keyed.test", Auth::api_key("X-Api-Key"));
    let seen: Arc<Mutex<Vec<bool>>> = Arc::default();
    let noted = seen.clone();
    let router = Router::new().fallback(any(move |request: Request| {
        noted.lock().unwrap().push(request.headers().contains_key("X-Api-Key"));
        async { status(400, "not-a-real-key is refused") }
    }));
    let url = serve(router).await;
    let api = World::new().api(&connector, &url, &[("apiKey", "not-a-real-key")]);
    let asked = api.get(["told"]).unsigned().query("key", "not-a-real-key").send().await;
    let error = asked.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("not-a-real-key"), "{error:?}");
    assert!(api.get(["told"]).send().await.is_err());
    assert_eq!(*seen.lock().unwrap(), [false, true]);
}

#[tokio::test]
async fn nobody_there_is_worth_another_try_even_for_a_write() {
    let (listener, url) = listen().await;
    drop(listener);
    let connector = Connector::new("plain", "https://api.example.com", Auth::None);
    let api = World::new().api(&connector, &url, &[]);
    let error = api.post(["things"]).send().await.unwrap_err();
    assert!(matches!(error, Error::Retry { .. }), "{error:?}");
}

#[tokio::test]
async fn a_huge_body_is_not_read() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n[";
    let unannounced = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    for (answer, endless) in [(announced, false), (unannounced, true)] {
        let api = raw(answer, endless).await;
        let error = api.get(["things"]).send().await.unwrap_err();
        let Error::Config { reason } = error else { panic!("{error:?}") };
        assert!(reason.contains("more than 64 MiB"), "{reason}");
    }
}

#[tokio::test]
async fn a_body_of_the_largest_size_is_read_and_one_byte_more_is_not() {
    const MIB: usize = 1024 * 1024;
    let sized = Router::new().fallback(any(|request: Request| async move {
        let size: usize = request.uri().path().rsplit('/').next().unwrap().parse().unwrap();
        vec![b' '; size]
    }));
    let url = serve(sized).await;
    let whole = Connector::new("plain", "https://api.example.com", Auth::None);
    let small = whole.clone().largest_answer_of(MIB);
    for (connector, largest, says) in [(whole, 64 * MIB, "64 MiB"), (small, MIB, "1 MiB")] {
        let api = World::new().api(&connector, &url, &[]);
        let ask = |size: usize| {
            let api = api.clone();
            async move { Ok::<_, Error>(api.get([size.to_string()]).send().await?.body().len()) }
        };
        assert_eq!(ask(largest).await, Ok(largest));
        let Err(Error::Config { reason }) = ask(largest + 1).await else { panic!("{says}") };
        assert!(reason.contains(says) && reason.contains("smaller page"), "{reason}");
        // Whether an order was carried out nobody knows then.
        let error = api.post([(largest + 1).to_string()]).send().await.unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn segments_are_escaped() {
    let api = plain(|request| request.uri().to_string()).await;
    let asked = |segment: &'static str| {
        let api = api.clone();
        async move {
            let answer = api.get(["things", segment]).query("q", "ä&b=c d").send().await?;
            Ok::<_, Error>(String::from_utf8(answer.body().to_vec()).unwrap())
        }
    };
    for (segment, path) in [
        ("a/b", "/v1/things/a%2Fb?q=%C3%A4%26b%3Dc+d"),
        ("ä", "/v1/things/%C3%A4?q=%C3%A4%26b%3Dc+d"),
        ("a?b#c%2F", "/v1/things/a%3Fb%23c%252F?q=%C3%A4%26b%3Dc+d"),
        ("a@example.com", "/v1/things/a@example.com?q=%C3%A4%26b%3Dc+d"),
    ] {
        assert_eq!(asked(segment).await.unwrap(), path);
    }
    for segment in ["", ".", ".."] {
        let error = asked(segment).await.unwrap_err();
        assert!(matches!(&error, Error::Reject { code, .. } if code == "path"), "{error:?}");
    }
}

#[tokio::test]
async fn an_accepted_status_is_the_callers() {
    let api = plain(|_| status(404, r#"{"error":{"message":"Not Found"}}"#)).await;
    let error = api.get(["things"]).send().await.unwrap_err();
    assert_eq!(error, Error::config("GET /v1/things answered 404: Not Found"));
    let answer = api.get(["things"]).accept(StatusCode::NOT_FOUND).send().await.unwrap();
    assert_eq!((answer.status(), &*answer.message()), (StatusCode::NOT_FOUND, "Not Found"));
}

#[tokio::test]
async fn a_failure_inside_a_200_is_a_failure() {
    let find = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).ok()?;
        let status = u16::try_from(body.get("fail")?.as_u64()?).ok()?;
        Some(Failure { status, message: "no".to_owned() })
    };
    let connector = Connector::new("plain", "https://api.example.com", Auth::None);
    let connector = connector.failure_inside_200(find);
    let router = Router::new().fallback(|request: Request| async move {
        format!(r#"{{"fail":{}}}"#, request.uri().path().rsplit('/').next().unwrap())
    });
    let api = World::new().api(&connector, &serve(router).await, &[]);
    let sent = |code: &'static str| {
        let api = api.clone();
        async move { api.get([code]).send().await }
    };
    assert!(matches!(sent("429").await, Err(Error::Retry { .. })));
    assert!(matches!(sent("401").await, Err(Error::Unauthorized { .. })));
    assert!(matches!(sent("404").await, Err(Error::Config { .. })));
    // A code that is no HTTP status of a failure: the system did not do what was asked.
    assert!(matches!(sent("3").await, Err(Error::Retry { .. })));
    let accepted = api.get(["404"]).accept(StatusCode::NOT_FOUND).send().await.unwrap();
    assert_eq!(accepted.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_systems_time_is_that_of_the_first_answer() {
    let dates = ["Sun, 13 Sep 2020 12:26:40 GMT", "Sun, 13 Sep 2020 12:30:00 GMT"];
    let answered = Arc::new(AtomicUsize::new(0));
    let api = plain(move |_| {
        let date = dates.get(answered.fetch_add(1, Ordering::SeqCst)).copied().unwrap();
        ([("date", date)], "[]")
    })
    .await;
    let (api, observed) = api.observed();
    assert_eq!(observed.date(), None);
    for _ in dates {
        api.get(["things"]).send().await.unwrap();
        assert_eq!(observed.date(), Some(Timestamp::from_secs(1_600_000_000)));
    }
}

#[tokio::test]
async fn nonsense_is_worth_another_question_but_leaves_a_write_unknown() {
    for body in ["<html>", "[1,", "", r#"{"of":"another shape"}"#] {
        let api = plain(move |_| body).await;
        let asked = api.get(["things"]).send().await.unwrap().json::<Vec<u8>>();
        assert!(matches!(asked, Err(Error::Retry { .. })), "{asked:?}");
        let written = api.post(["things"]).send().await.unwrap().json::<Vec<u8>>();
        assert!(matches!(written, Err(Error::Unknown { .. })), "{written:?}");
    }
}

#[tokio::test]
async fn a_failure_that_a_connector_reads_shows_nothing_of_the_system() {
    let codes = [200, 404, 500, 503];
    let router = Router::new().fallback(any(|request: Request| async move {
        let code = request.uri().path().trim_start_matches("/v1/").parse().unwrap();
        status(code, "{}")
    }));
    let url = serve(router).await;
    let shown = Shown::default();
    let world = World { limiter: Arc::new(shown.clone()), ..World::new() };
    let connector = Connector::new("plain", "https://api.example.com", Auth::None);
    let api = world.api(&connector, &url, &[]);
    for code in codes {
        let accepted = StatusCode::from_u16(code).unwrap();
        let answer = api.get([code.to_string()]).accept(accepted).send().await.unwrap();
        assert_eq!(answer.status(), accepted);
    }
    assert_eq!(*shown.0.lock().unwrap(), [Answer::Taken, Answer::Taken]);
    assert!(api.get(["503"]).send().await.is_err());
    assert!(matches!(&shown.0.lock().unwrap()[..], [_, _, Answer::Failed { .. }]));
    // Nor does what answers at an address that the system gave.
    for code in [200, 403, 503] {
        let request = api.to_given(Method::PUT, &format!("{url}/{code}")).unwrap();
        assert_eq!(request.send().await.is_ok(), code == 200);
    }
    assert_eq!(shown.0.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_failure_of_the_system_is_one_though_its_answer_breaks_off() {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let read = stream.read(&mut [0; 1024]).await.unwrap();
        assert!(read > 0);
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\n{";
        stream.write_all(answer).await.unwrap();
    });
    let shown = Shown::default();
    let world = World { limiter: Arc::new(shown.clone()), ..World::new() };
    let connector = Connector::new("plain", "https://api.example.com", Auth::None);
    let api = world.api(&connector, &url, &[]);
    assert!(matches!(api.get(["things"]).send().await, Err(Error::Retry { .. })));
    let shown = shown.0.lock().unwrap();
    assert!(matches!(&shown[..], [Answer::Failed { status: Some(503), .. }]), "{shown:?}");
}
