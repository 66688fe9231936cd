//! Pages: a frame around what they say, and what a browser needs to sign in.

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use ring::digest;

use crate::problem::Problem;
use crate::routes::{Access, Route, get};
use crate::shell::POLICY;

const STYLE: &str = include_str!("page.css");

/// A page.
#[derive(Clone, Debug)]
pub struct Page {
    status: StatusCode,
    html: String,
    /// What browsers may load for it, where that is not the same as for all pages.
    policy: Option<HeaderValue>,
}

impl Page {
    /// A page with a title, which is escaped here, and a body of HTML, which is not.
    pub fn new(status: StatusCode, title: &str, body: &str) -> Self {
        let style = "<link rel=\"stylesheet\" href=\"/assets/page.css\">";
        Self { status, html: framed(title, style, body), policy: None }
    }

    /// The same with its style in it, and what comes on top of that: for where nothing else of ours
    /// is served.
    pub(crate) fn alone(status: StatusCode, title: &str, style: &str, body: &str) -> Self {
        let style = format!("{STYLE}{style}");
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, style.as_bytes()));
        // The policy allows this very style and no other one.
        let policy = POLICY.replace("style-src 'self'", &format!("style-src 'sha256-{hash}'"));
        let html = framed(title, &format!("<style>{style}</style>"), body);
        Self { status, html, policy: HeaderValue::from_str(&policy).ok() }
    }
}

fn framed(title: &str, style: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · Towpath</title>{style}\
         </head><body><main><h1>{title}</h1>\n{body}\n</main></body></html>\n"
    )
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.html).into_response();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, html);
        response.headers_mut().extend(self.policy.map(|it| (CONTENT_SECURITY_POLICY, it)));
        response
    }
}

/// Text as it may stand in HTML, between tags and in quoted attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A name as a segment of a path, and in a query.
pub(crate) fn segment(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

/// The page that whoever has no session gets in the place of another one.
pub(crate) fn sign_in(problem: &Problem, next: &str) -> Page {
    let (detail, next) = (escape(problem.detail()), escape(next));
    let body = format!(
        "<p>{detail}.</p>\n<p>Run <code>towpath open</code> where the service runs, and follow the \
         link that it prints. Or give a token:</p>\n\
         <form method=\"post\" action=\"/login\"><input type=\"hidden\" name=\"next\" value=\"{next}\">\
         <label>Token <input type=\"password\" name=\"token\" required autocomplete=\"off\"></label>\
         <button>Sign in</button></form>"
    );
    Page::new(problem.status(), "Sign in", &body)
}

/// The style of all pages.
pub(crate) fn style() -> Route {
    get("/assets/page.css", Access::Anyone, async || {
        ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
    })
}
