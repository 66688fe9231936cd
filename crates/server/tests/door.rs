//! The door: nobody gets in without a credential, and every answer keeps browsers in bounds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{House, body, request};
use http::{Method, StatusCode};
use towpath_server::{Access, Scope};

#[tokio::test]
async fn every_route_without_a_credential_is_refused_or_public() {
    let house = House::new().await;
    let mut refused = 0;
    for (method, path, access) in house.server.routes().iter() {
        let path = path.replace(['{', '}'], "");
        let answered = house.ask(request(method.as_str(), &path)).await;
        let status = answered.status();
        match access {
            Access::Needs(_) => {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
                assert!(answered.headers().contains_key("www-authenticate"), "{method} {path}");
                refused += 1;
            }
            // What is public says nothing of what the service does.
            Access::Anyone | Access::Outside => {
                assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{method} {path}");
            }
        }
        for header in ["content-security-policy", "x-content-type-options", "referrer-policy"] {
            assert!(answered.headers().contains_key(header), "{method} {path}: {header}");
        }
    }
    assert!(refused > 0);
    for (method, path) in [("GET", "/"), ("GET", "/api/v1/nothing"), ("PATCH", "/logout")] {
        let status = house.ask(request(method, path)).await.status();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
}

#[tokio::test]
async fn the_public_router_has_nothing_but_public_paths() {
    let house = House::new().await;
    for (method, path, access) in house.server.routes().iter() {
        if access != Access::Outside {
            let path = path.replace(['{', '}'], "");
            let asked = house.with_token(request(method.as_str(), &path));
            let status = house.ask_outside(asked).await.status();
            assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
}

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
async fn an_address_that_others_reach_needs_a_token() {
    let refused = House::open("0.0.0.0:7070", &[]).await.err().unwrap().to_string();
    assert!(refused.contains("towpath token create"), "{refused}");
    assert!(House::open("0.0.0.0:7070", &[Scope::Read]).await.is_ok());
    assert!(House::open("[::1]:7070", &[]).await.is_ok());
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
