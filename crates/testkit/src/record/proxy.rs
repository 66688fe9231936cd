//! Stands between the connector and the system, hands everything on and keeps it in memory.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use url::Url;

use crate::http::{Answer, Answers, Asked};
use crate::tape::ORIGIN;

/// One request and its answer, as they went over the wire.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) asked: Asked,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    taken: Vec<Taken>,
    problem: Option<String>,
}

/// Hands requests on to one origin.
#[derive(Debug)]
pub(super) struct Proxy {
    http: reqwest::Client,
    origin: String,
    /// Where it stands itself: addresses that the system gives lead there too.
    own: OnceLock<String>,
    state: Mutex<State>,
}

/// What belongs to one connection alone.
const HOP: &[&str] =
    &["host", "connection", "content-length", "accept-encoding", "transfer-encoding", "keep-alive"];
/// What of an answer's headers means something to a connector.
const TOLD: &[&str] = &["content-type", "date", "retry-after"];

impl Proxy {
    pub(super) fn new(base_url: &Url) -> Result<Self, String> {
        // Whoever installs a provider first wins; any of them will do.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(60));
        if base_url.scheme() == "http" {
            builder = builder.tls_certs_only([]).no_proxy();
        }
        let http = builder.build().map_err(|error| format!("no HTTP client: {error}"))?;
        let origin = base_url.origin().ascii_serialization();
        Ok(Self { http, origin, own: OnceLock::new(), state: Mutex::default() })
    }

    /// Says where it stands.
    pub(super) fn stands_at(&self, own: &str) {
        drop(self.own.set(own.to_owned()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What went over the wire since the start, or since it was forgotten; where it stands is
    /// `{origin}`.
    pub(super) fn placed(&self) -> Vec<Taken> {
        let own = self.own.get().map_or("", String::as_str);
        let placed = |it: &Taken| {
            let asked = Asked { body: replaced(&it.asked.body, own, ORIGIN), ..it.asked.clone() };
            Taken { asked, body: replaced(&it.body, own, ORIGIN), ..it.clone() }
        };
        self.state().taken.iter().map(placed).collect()
    }

    /// Forgets what went over the wire: it was no part of the story.
    pub(super) fn forget(&self) {
        self.state().taken.clear();
    }

    /// Why the system could not be reached, if it could not.
    pub(super) fn problem(&self) -> Option<String> {
        self.state().problem.clone()
    }

    async fn hand_on(&self, asked: &Asked) -> Result<Taken, reqwest::Error> {
        let method = reqwest::Method::from_bytes(asked.method.as_bytes()).unwrap_or_default();
        let url = format!("{}{}", self.origin, asked.target);
        let mut request = self.http.request(method, url);
        for (name, value) in asked.headers.iter().filter(|(name, _)| !HOP.contains(&name.as_str()))
        {
            request = request.header(name, value);
        }
        if !asked.body.is_empty() {
            request = request.body(asked.body.clone());
        }
        let answer = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = answer.status().as_u16();
        let told = answer.headers().iter().filter(|(name, _)| TOLD.contains(&name.as_str()));
        let headers = told
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        let body = answer.bytes().await.map_err(reqwest::Error::without_url)?.to_vec();
        let own = self.own.get().map_or(self.origin.as_str(), String::as_str);
        let body = replaced(&body, &self.origin, own);
        Ok(Taken { asked: asked.clone(), status, headers, body })
    }
}

#[async_trait::async_trait]
impl Answers for Proxy {
    async fn answer(&self, asked: Asked) -> Answer {
        match self.hand_on(&asked).await {
            Ok(taken) => {
                let (status, headers, body) =
                    (taken.status, taken.headers.clone(), taken.body.clone());
                self.state().taken.push(taken);
                Answer::Given { status, headers, body, cut: false }
            }
            Err(error) => {
                let mut problem = error.to_string();
                let mut source = std::error::Error::source(&error);
                while let Some(cause) = source {
                    problem.push_str(&format!(": {cause}"));
                    source = cause.source();
                }
                self.state().problem = Some(format!("{} is not reached: {problem}", self.origin));
                Answer::Hangup
            }
        }
    }
}

/// A body with one text in place of another; one that is no text stays as it is.
fn replaced(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    match std::str::from_utf8(body) {
        Ok(text) if !from.is_empty() => text.replace(from, to).into_bytes(),
        _ => body.to_vec(),
    }
}
