//! The door: nobody gets in without a credential, and every answer keeps browsers in bounds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use common::{House, body, request, text};
use connector::{Clock, ManualClock, SystemClock, Timestamp};
use futures_util::StreamExt;
use http::{Method, StatusCode};
use store::{Delivery, Room};
use towpath_server::{NewToken, Scope, Scopes};

#[tokio::test]
async fn problems_are_problems_everywhere() {
    let house = House::new().await;
    for (asked, status, code) in [
        (request("GET", "/nothing"), 404, "notFound"),
        (request("DELETE", "/live"), 405, "methodNotAllowed"),
        (request("DELETE", "/logout"), 405, "methodNotAllowed"),
    ] {
        let answered = house.ask(house.with_token(asked)).await;
        assert_eq!(answered.status().as_u16(), status);
        assert_eq!(answered.headers()["content-type"], "application/problem+json");
        if status == 405 {
            assert!(answered.headers().contains_key("allow"));
        }
        let problem = body(answered).await;
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], status);
    }
}

#[tokio::test]
async fn whoever_guesses_waits_and_a_scope_opens_no_other() {
    let house = House::new().await;
    let guess = || {
        let mut asked = request("POST", "/api/v1/login-links");
        asked.headers_mut().insert("authorization", "Bearer towpath_guessed".parse().unwrap());
        asked
    };
    for _ in 0..10 {
        assert_eq!(house.ask(guess()).await.status(), StatusCode::UNAUTHORIZED);
    }
    let answered = house.ask(guess()).await;
    assert_eq!(answered.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answered.headers()["retry-after"], "61");
    // Public paths go on.
    assert_eq!(house.ask(request("GET", "/live")).await.status(), StatusCode::OK);
    house.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(house.ask(guess()).await.status(), StatusCode::UNAUTHORIZED);

    let house = House::with_scopes(&[Scope::Connect]).await;
    let asked = house.with_token(request("GET", "/operated"));
    assert_eq!(house.ask(asked).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_browser_signs_in_once_by_a_link_and_no_other_site_uses_its_session() {
    let house = House::new().await;
    let link =
        body(house.ask(house.with_token(request("POST", "/api/v1/login-links"))).await).await;
    let url = link["url"].as_str().unwrap();
    let path = url.strip_prefix("http://127.0.0.1:7070").unwrap().to_owned();
    // Who only looks whether the link leads anywhere does not use it up.
    assert_eq!(house.ask(request("HEAD", &path)).await.status(), StatusCode::OK);
    let outside = format!("{path}&next=//evil.test/");
    let answered = house.ask(request("GET", &outside)).await;
    assert_eq!(answered.status(), StatusCode::SEE_OTHER);
    assert_eq!(answered.headers()["location"], "/");
    let cookie = answered.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    assert_eq!(house.ask(request("GET", &path)).await.status(), StatusCode::UNAUTHORIZED);

    let with = |headers: &[(&'static str, &str)]| {
        let mut asked = request("POST", "/operated");
        for (name, value) in [("cookie", cookie.as_str())].iter().chain(headers) {
            asked.headers_mut().insert(*name, value.parse().unwrap());
        }
        asked
    };
    let mut look = request("GET", "/csrf");
    look.headers_mut().insert("cookie", cookie.parse().unwrap());
    let csrf = body(house.ask(look).await).await;
    let csrf = csrf.as_str().unwrap();
    let (ours, theirs) = ("http://towpath.test", "http://evil.test");
    let host = ("host", "towpath.test");
    for (headers, status) in [
        (vec![], 403),
        (vec![("x-csrf-token", csrf)], 403),
        (vec![host, ("origin", theirs), ("x-csrf-token", csrf)], 403),
        (vec![host, ("origin", ours)], 403),
        (vec![host, ("origin", ours), ("x-csrf-token", "guessed")], 403),
        (vec![("sec-fetch-site", "cross-site"), ("x-csrf-token", csrf)], 403),
        (vec![host, ("origin", ours), ("x-csrf-token", csrf)], 200),
        (vec![("sec-fetch-site", "same-origin"), ("x-csrf-token", csrf)], 200),
    ] {
        let answered = house.ask(with(&headers)).await;
        assert_eq!(answered.status().as_u16(), status, "{headers:?}");
    }
    // A form carries it in its body, and the handler still reads that.
    let form =
        [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    for (csrf, status) in [(csrf, 200), ("guessed", 403)] {
        let mut asked = with(&form);
        *asked.body_mut() = axum::body::Body::from(format!("a=b&csrf={csrf}"));
        let answered = house.ask(asked).await;
        assert_eq!(answered.status().as_u16(), status);
    }
    let log = house.audit();
    assert!(log.contains("\"what\":\"sign in\"") && log.contains("/operated"), "{log}");
    assert!(!log.contains(csrf) && !log.contains(cookie.split('=').nth(1).unwrap()), "{log}");
}

#[tokio::test]
async fn a_session_ends_with_the_token_that_it_came_of() {
    let mut house = House::new().await;
    let lasts = Some(std::time::Duration::from_secs(60));
    let new = NewToken { name: "short".to_owned(), scopes: Scopes::all(), lasts };
    let made = house.server.tokens().create(new, house.clock.now()).await.unwrap();
    house.token = Some(made);
    let (cookie, _) = house.session().await;
    let look = |cookie: &str| {
        let mut asked = request("GET", "/");
        asked.headers_mut().insert("cookie", cookie.parse().unwrap());
        asked
    };
    assert_eq!(house.ask(look(&cookie)).await.status(), StatusCode::OK);
    house.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(house.ask(look(&cookie)).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_browser_lands_on_a_page_that_leads_on() {
    let house = House::new().await;
    let mut asked = request("GET", "/");
    asked.headers_mut().insert("accept", "text/html".parse().unwrap());
    let answered = house.ask(asked).await;
    assert_eq!(answered.status(), StatusCode::UNAUTHORIZED);
    let page = text(answered).await;
    assert!(page.contains("<code>towpath open</code>"), "{page}");
    let (cookie, csrf) = house.session().await;
    let mut asked = request("GET", "/");
    asked.headers_mut().insert("cookie", cookie.parse().unwrap());
    let page = text(house.ask(asked).await).await;
    for part in ["3 flows", "<strong>test</strong> (admin)", "href=\"/accounts/m\"", &csrf] {
        assert!(page.contains(part), "no `{part}` in {page}");
    }
    for link in page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let mut asked = request("GET", link);
        asked.headers_mut().insert("cookie", cookie.parse().unwrap());
        assert_eq!(house.ask(asked).await.status(), StatusCode::OK, "{link}");
    }
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_token() {
    let refused = House::open("0.0.0.0:7070", &[]).await.err().unwrap().to_string();
    assert!(refused.contains("towpath token create"), "{refused}");
    assert!(House::open("0.0.0.0:7070", &[Scope::Read]).await.is_ok());
    assert!(House::open("[::1]:7070", &[]).await.is_ok());
}

#[tokio::test]
async fn a_webhook_whose_body_takes_too_long_is_given_up() {
    let clock = Arc::new(ManualClock::new(Timestamp::default()));
    let flows: (&[&str], &str) = (&["hooked"], "");
    let house = House::of("127.0.0.1:7070", &[], flows, Arc::new(SystemClock), clock);
    let house = house.await.unwrap();
    let send = |body: Body| {
        let mut asked = request("POST", "/hooks/hooked");
        asked.headers_mut().insert("content-type", "application/json".parse().unwrap());
        *asked.body_mut() = body;
        house.ask_outside(asked)
    };
    let begun = futures_util::stream::iter([Ok::<_, std::io::Error>("{")]);
    let never = Body::from_stream(begun.chain(futures_util::stream::pending()));
    let answered = send(never).await;
    assert_eq!(answered.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(body(answered).await["code"], "timeout");
    assert_eq!(house.clock.elapsed().as_secs(), 20);
    assert_eq!(send(Body::from("{}")).await.status(), StatusCode::ACCEPTED);
    let broken = futures_util::stream::iter([Ok("{"), Err(std::io::Error::other("gone"))]);
    assert_eq!(send(Body::from_stream(broken)).await.status(), StatusCode::BAD_REQUEST);
}

/// What waits for a flow is bounded: what comes beyond that is not taken, and is told when to come
/// again.
#[tokio::test]
async fn a_webhook_that_finds_the_inbox_full_is_told_to_come_again() {
    let clock = Arc::new(ManualClock::new(Timestamp::default()));
    let flows: (&[&str], &str) = (&["hooked"], "");
    let house = House::of("127.0.0.1:7070", &[], flows, Arc::new(SystemClock), clock);
    let house = house.await.unwrap();
    let most = Room { entries: 1, bytes: u64::MAX, remember: Duration::ZERO };
    let all = Delivery { at: 0, key: None, bytes: vec![b' '; 256 << 20] };
    house.store.accept("hooked", all, most).await.unwrap();
    let mut asked = request("POST", "/hooks/hooked");
    asked.headers_mut().insert("content-type", "application/json".parse().unwrap());
    *asked.body_mut() = Body::from("{}");
    let answered = house.ask_outside(asked).await;
    assert_eq!(answered.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answered.headers()["retry-after"], "10");
    assert_eq!(body(answered).await["code"], "inboxFull");
    assert_eq!(house.store.inbox_state("hooked").await.unwrap().waiting, 1);
}

#[tokio::test]
async fn what_breaks_or_is_too_large_is_a_problem() {
    let house = House::new().await;
    let answered = house.ask(house.with_token(request("GET", "/breaks"))).await;
    assert_eq!(answered.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body(answered).await["code"], "internal");
    for (text, media, status, code) in [
        ("{}".to_owned(), "text/plain", 415, "mediaType"),
        ("\"".to_owned(), "application/json", 400, "badRequest"),
        ("[]".to_owned(), "application/json", 422, "body"),
        (format!("\"{}\"", "x".repeat(1024 * 1024)), "application/json", 413, "tooLarge"),
    ] {
        let mut asked = house.with_token(request(Method::POST.as_str(), "/read"));
        asked.headers_mut().insert("content-type", media.parse().unwrap());
        *asked.body_mut() = axum::body::Body::from(text);
        let answered = house.ask(asked).await;
        assert_eq!(answered.status().as_u16(), status);
        assert_eq!(body(answered).await["code"], code);
    }
}
