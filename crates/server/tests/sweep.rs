//! One sweep over every route of both addresses: each credential gets the answer that the route's
//! own declaration says, and nothing else is to be had.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{House, request, text};
use connector::Clock;
use http::HeaderMap;
use towpath_server::listen::{Bounds, serve};
use towpath_server::{Access, NewToken, Peer, Scope, Scopes};

const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"];

/// What a request proves itself by.
type Credential = Vec<(&'static str, String)>;

/// An answer as it is compared.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Every request comes from an address of its own, so that no guess of one delays another.
fn another_peer() -> Peer {
    static NEXT: AtomicU32 = AtomicU32::new(0x0a00_0000);
    Peer(IpAddr::V4(Ipv4Addr::from(NEXT.fetch_add(1, Ordering::Relaxed))))
}

async fn ask(house: &House, outside: bool, of: (&str, &str), with: &Credential) -> Answer {
    let mut asked = request(of.0, of.1);
    asked.extensions_mut().insert(another_peer());
    for (name, value) in with {
        asked.headers_mut().insert(*name, value.parse().unwrap());
    }
    let answered = if outside { house.ask_outside(asked).await } else { house.ask(asked).await };
    let (status, headers) = (answered.status().as_u16(), answered.headers().clone());
    let streams = headers.get("content-type").is_some_and(|it| it == "text/event-stream");
    let body = if streams { String::new() } else { text(answered).await };
    Answer { status, headers, body }
}

fn bearer(token: &str) -> Credential {
    vec![("authorization", format!("Bearer {token}"))]
}

async fn token(house: &House, name: &str, scopes: Scopes, lasts: Option<Duration>) -> Credential {
    let new = NewToken { name: name.to_owned(), scopes, lasts };
    bearer(house.server.tokens().create(new, house.clock.now()).await.unwrap().expose())
}

/// What proves nothing, each in its way; the first is nothing at all.
async fn worthless(house: &House) -> Vec<Credential> {
    let expired = token(house, "expired", Scopes::all(), Some(Duration::from_secs(60))).await;
    house.clock.advance(Duration::from_secs(60));
    let revoked = token(house, "revoked", Scopes::all(), None).await;
    assert!(house.server.tokens().revoke("revoked").await.unwrap());
    let good = house.token.as_ref().unwrap().expose();
    let (head, _) = good.split_at(good.len() - 1);
    vec![
        vec![],
        bearer("towpath_guessed"),
        bearer(head),
        bearer(""),
        vec![("authorization", format!("Basic {good}"))],
        vec![("authorization", good.to_owned())],
        expired,
        revoked,
        vec![("cookie", "towpath_session=guessed".to_owned())],
        vec![("cookie", format!("towpath_session={good}"))],
        vec![("x-csrf-token", "guessed".to_owned()), ("sec-fetch-site", "same-origin".to_owned())],
    ]
}

/// The paths of all routes, filled in, each with the methods that it has.
fn paths(house: &House) -> BTreeMap<String, Vec<(String, Access)>> {
    let mut paths: BTreeMap<String, Vec<(String, Access)>> = BTreeMap::new();
    // One route of the test's own does nothing but break.
    for (method, path, access) in house.server.routes().iter().filter(|it| it.1 != "/breaks") {
        let part =
            |part: &str| if part.starts_with('{') { "x".to_owned() } else { part.to_owned() };
        let path: Vec<String> = path.split('/').map(part).collect();
        paths.entry(path.join("/")).or_default().push((method.to_string(), access));
    }
    assert!(paths.len() > 40, "{paths:?}");
    paths
}

/// Who may use a method of a path; HEAD is GET without the body.
fn access(methods: &[(String, Access)], method: &str) -> Option<Access> {
    let method = if method == "HEAD" { "GET" } else { method };
    methods.iter().find(|(it, _)| it == method).map(|(_, access)| *access)
}

/// Whether a path, as it stands in a request, is one of a route with such an access.
fn fits(house: &House, path: &str, wanted: impl Fn(Access) -> bool) -> bool {
    let parts: Vec<&str> = path.split('?').next().unwrap().split('/').collect();
    house.server.routes().iter().any(|(_, route, access)| {
        let route: Vec<&str> = route.split('/').collect();
        let fits = |(own, part): (&&str, &&str)| {
            if own.starts_with('{') { !part.is_empty() } else { own == part }
        };
        wanted(access) && route.len() == parts.len() && route.iter().zip(&parts).all(fits)
    })
}

/// The same path as somebody writes it who looks for a way around the door.
fn odd(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches('/');
    vec![
        format!("/{path}"),
        format!("{path}/"),
        format!("/{}", inner.replace('/', "//")),
        format!("/.{path}"),
        format!("/x/..{path}"),
        format!("/live/..{path}"),
        format!("/hooks/..{path}"),
        format!("/hooks/x/../..{path}"),
        format!("{path}/."),
        format!("{path}/.."),
        format!("{path}/../live"),
        format!("/%2e%2e{path}"),
        format!("/{}", inner.replace('/', "%2f")),
        format!("/hooks%2f..%2f{inner}"),
        format!("/hooks/..%2f{}", inner.replace('/', "%2f")),
        format!("/{}", inner.replace('/', "\\")),
        path.to_uppercase(),
        format!("{path};x"),
        format!("{path}%00"),
        format!("{path}%ff"),
        format!("{path}%0d%0ax"),
        format!("{path}.json"),
        format!("{path}?token=guessed&access_token=guessed"),
    ]
}

#[tokio::test]
async fn without_a_credential_there_is_401_or_the_public_answer() {
    let house = House::new().await;
    let worthless = worthless(&house).await;
    for (path, methods) in paths(&house) {
        for method in METHODS {
            let of = (method, path.as_str());
            let access = access(&methods, method);
            let plain = ask(&house, false, of, &vec![]).await;
            for with in &worthless {
                let answer = ask(&house, false, of, with).await;
                let case = format!("{method} {path} with {with:?}: {answer:?}");
                for header in ["content-security-policy", "x-content-type-options"] {
                    assert!(answer.headers.contains_key(header), "{header}: {case}");
                }
                match access {
                    Some(Access::Needs(_)) => {
                        assert_eq!(answer.status, 401, "{case}");
                        assert!(answer.headers.contains_key("www-authenticate"), "{case}");
                        assert!(!answer.headers.contains_key("set-cookie"), "{case}");
                    }
                    // A credential changes nothing of what everybody gets.
                    Some(Access::Anyone | Access::Outside) => {
                        assert!(answer.status < 500, "{case}");
                        assert_eq!(answer.status, plain.status, "{case}");
                    }
                    None if fits(&house, &path, |it| !matches!(it, Access::Needs(_))) => {
                        assert_eq!(answer.status, 405, "{case}");
                    }
                    None => assert_eq!(answer.status, 401, "{case}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn odd_paths_lead_nowhere_else() {
    let house = House::new().await;
    let admin = bearer(house.token.as_ref().unwrap().expose());
    for (path, _) in paths(&house) {
        for path in odd(&path) {
            for method in ["GET", "POST", "OPTIONS"] {
                let of = (method, path.as_str());
                let answer = ask(&house, false, of, &vec![]).await;
                let public = fits(&house, &path, |it| !matches!(it, Access::Needs(_)));
                assert!(
                    answer.status == 401 || (public && answer.status < 500),
                    "{method} {path}: {answer:?}"
                );
            }
            let answer = ask(&house, false, ("GET", &path), &admin).await;
            assert!(answer.status < 500, "GET {path} by an admin: {answer:?}");
            if !fits(&house, &path, |_| true) {
                assert_eq!(answer.status, 404, "GET {path} by an admin: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_scope_opens_what_it_is_for_and_nothing_else() {
    let house = House::new().await;
    let mut others = BTreeMap::new();
    for scope in Scope::ALL {
        let rest = Scope::ALL.into_iter().filter(|it| ![scope, Scope::Admin].contains(it));
        let name = format!("not-{scope}");
        others.insert(scope, token(&house, &name, rest.collect(), None).await);
    }
    for (path, methods) in paths(&house) {
        for (method, access) in &methods {
            let Access::Needs(scope) = access else { continue };
            let of = (method.as_str(), path.as_str());
            // Each scope opens reading too, so there is none that is too small for it.
            if *scope != Scope::Read {
                let answer = ask(&house, false, of, &others[scope]).await;
                let got = (answer.status, answer.code());
                assert_eq!(got, (403, "scope".to_owned()), "{method} {path}: {answer:?}");
            }
            // A browser's session opens as much, and changes only what its own pages ask for.
            let (cookie, csrf) = house.session().await;
            let mut session = vec![("cookie", cookie)];
            let changes = !matches!(of.0, "GET" | "HEAD");
            let answer = ask(&house, false, of, &session).await;
            if changes {
                let got = (answer.status, answer.code());
                assert_eq!(got, (403, "forged".to_owned()), "{method} {path}: {answer:?}");
            }
            session.push(("sec-fetch-site", "same-origin".to_owned()));
            if changes {
                let answer = ask(&house, false, of, &session).await;
                assert_eq!(answer.code(), "forged", "{method} {path}: {answer:?}");
            }
            session.push(("x-csrf-token", csrf));
            let answer = ask(&house, false, of, &session).await;
            assert!(!matches!(answer.status, 401 | 403), "{method} {path}: {answer:?}");
            assert_ne!(answer.status, 500, "{method} {path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn the_public_address_has_webhooks_and_the_callback_and_looks_at_no_credential() {
    let house = House::new().await;
    let admin = bearer(house.token.as_ref().unwrap().expose());
    let (cookie, csrf) = house.session().await;
    let session = vec![
        ("cookie", cookie),
        ("x-csrf-token", csrf),
        ("sec-fetch-site", "same-origin".to_owned()),
    ];
    let before = house.audit();
    let nothing = ask(&house, true, ("GET", "/no-such-path"), &vec![]).await;
    assert_eq!((nothing.status, nothing.code().as_str()), (404, "notFound"));
    for (path, methods) in paths(&house) {
        let tried: Vec<String> = std::iter::once(path.clone()).chain(odd(&path)).collect();
        for (at, path) in tried.into_iter().enumerate() {
            for method in if at == 0 { &METHODS[..] } else { &["GET", "POST", "OPTIONS"] } {
                let of = (*method, path.as_str());
                let plain = ask(&house, true, of, &vec![]).await;
                for with in [&admin, &session, &bearer("towpath_guessed")] {
                    let answer = ask(&house, true, of, with).await;
                    assert_eq!(answer, plain, "{method} {path} with {with:?}");
                }
                if !fits(&house, &path, |it| it == Access::Outside) {
                    let empty = Answer { body: String::new(), ..nothing_like(&nothing) };
                    let same = plain == nothing || (*method == "HEAD" && plain == empty);
                    assert!(same, "{method} {path}: {plain:?}");
                    continue;
                }
                assert!(plain.status < 500 && plain.status != 401, "{method} {path}: {plain:?}");
                if access(&methods, method).is_none() {
                    assert!(matches!(plain.status, 404 | 405), "{method} {path}: {plain:?}");
                }
            }
        }
    }
    // Only what came to the callback is told of.
    let told = house.audit();
    let told = told.strip_prefix(before.as_str()).unwrap();
    assert!(told.lines().all(|line| line.contains("/callback/oauth2")), "{told}");
}

fn nothing_like(answer: &Answer) -> Answer {
    Answer { status: answer.status, headers: answer.headers.clone(), body: String::new() }
}

/// The table says itself who may do what; these are the rules that it keeps.
#[tokio::test]
async fn few_routes_are_public_and_what_changes_something_needs_more_than_reading() {
    let house = House::new().await;
    for (method, path, access) in house.server.routes().iter() {
        let case = format!("{method} {path} for {access:?}");
        match access {
            Access::Outside => {
                assert!(path.starts_with("/hooks/") || path == "/callback/oauth2", "{case}");
            }
            Access::Anyone => {
                let known = matches!(path, "/live" | "/ready" | "/login");
                assert!(known || path.starts_with("/assets/"), "{case}");
            }
            // Nobody makes more of these than they have: a link has their own scopes.
            Access::Needs(Scope::Read) => {
                let own = matches!(path, "/logout" | "/api/v1/login-links");
                assert!(method == "GET" || own, "{case}");
            }
            Access::Needs(_) => {}
        }
        let admins = ["/api/v1/tokens", "/api/v1/secrets", "/api/v1/handle"];
        if admins.iter().any(|it| path.starts_with(it)) {
            assert_eq!(access, Access::Needs(Scope::Admin), "{case}");
        }
    }
}

/// What only a connection can say: other forms of the target, and methods that proxies know.
#[tokio::test]
async fn odd_targets_on_the_wire_lead_nowhere() {
    let house = House::new().await;
    for (router, allowed) in
        [(house.server.router(), &[400, 401][..]), (house.server.public_router(), &[400, 404])]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving =
            tokio::spawn(serve(listener, router, std::future::pending(), Bounds::default()));
        for head in [
            "GET /api/v1/flows HTTP/1.0",
            "GET http://elsewhere.test/api/v1/flows HTTP/1.1\r\nHost: elsewhere.test",
            "GET /../api/v1/flows HTTP/1.1\r\nHost: x",
            "GET api/v1/flows HTTP/1.1\r\nHost: x",
            "OPTIONS * HTTP/1.1\r\nHost: x",
            "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x",
            "TRACE /accounts HTTP/1.1\r\nHost: x\r\nX-Secret: echoed",
            "GET /accounts HTTP/1.1\r\nHost: x\r\nX-Original-URL: /live\r\nX-Rewrite-URL: /live",
            "GET /accounts HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1",
            "POST /accounts HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 0",
        ] {
            let sent = format!("{head}\r\nConnection: close\r\n\r\n");
            let answer = tokio::task::spawn_blocking(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                stream.write_all(sent.as_bytes()).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            });
            let answer = answer.await.unwrap();
            let status = answer.split(' ').nth(1).and_then(|it| it.parse::<u16>().ok());
            assert!(status.is_some_and(|it| allowed.contains(&it)), "{head}: {answer}");
            assert!(!answer.contains("echoed"), "{head}: {answer}");
        }
        serving.abort();
    }
}
