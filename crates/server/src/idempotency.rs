//! Requests that are repeated under the same key are done once, and answered as the first time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::problem::Problem;

/// How long a key is remembered.
const LASTS: Duration = Duration::from_secs(24 * 3600);
/// So many keys are remembered; beyond that the oldest are forgotten.
const MOST: usize = 10_000;
/// So many bytes of answers are remembered.
const BYTES: usize = 16 * 1024 * 1024;
/// A key has so many characters at most.
const LONGEST: usize = 255;

/// What was answered under which key, in memory: a restart forgets it.
#[derive(Default)]
pub(crate) struct Keys(Mutex<Known>);

#[derive(Default)]
struct Known {
    answers: HashMap<[u8; 32], Entry>,
    /// In the order in which they came.
    order: VecDeque<[u8; 32]>,
    bytes: usize,
}

struct Entry {
    /// The hash of the request, so that a key is not taken for another request.
    request: [u8; 32],
    since: Duration,
    /// `None` as long as the first one is under way.
    answer: Option<Answer>,
}

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    kind: Option<HeaderValue>,
    body: Bytes,
}

/// What is to be done with a request.
pub(crate) enum Turn<'a> {
    /// It is the first: what it answers is to be kept.
    First(First<'a>),
    /// It was done: this was answered.
    Done(Response),
}

/// The first request under a key; one that breaks off frees the key again.
pub(crate) struct First<'a> {
    keys: &'a Keys,
    key: [u8; 32],
    kept: bool,
}

/// The key of a request, if it has one.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=LONGEST).contains(&key.len()));
    key.map(Some).ok_or_else(|| {
        Problem::bad(format!("`Idempotency-Key` has 1 to {LONGEST} printable characters"))
    })
}

impl Keys {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a key of somebody for a request, of which `request` is the hash.
    pub(crate) fn take(
        &self,
        (who, key): (&str, &str),
        request: [u8; 32],
        now: Duration,
    ) -> Result<Turn<'_>, Problem> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(who.len() as u64).to_le_bytes()).update(who.as_bytes());
        let key = *hasher.update(key.as_bytes()).finalize().as_bytes();
        let mut known = self.lock();
        known.forget(now);
        if let Some(entry) = known.answers.get(&key) {
            if entry.request != request {
                let detail = "this `Idempotency-Key` was used for another request";
                return Err(Problem::unprocessable("idempotencyKey", detail));
            }
            let Some(answer) = entry.answer.clone() else {
                let detail = "the first request with this `Idempotency-Key` is under way";
                return Err(Problem::conflict("underWay", detail).after(1));
            };
            return Ok(Turn::Done(answer.into_response()));
        }
        known.answers.insert(key, Entry { request, since: now, answer: None });
        known.order.push_back(key);
        Ok(Turn::First(First { keys: self, key, kept: false }))
    }
}

impl Known {
    fn forget(&mut self, now: Duration) {
        while let Some(oldest) = self.order.front() {
            let ended = self.answers.get(oldest).is_none_or(|entry| entry.since + LASTS <= now);
            if !ended && self.order.len() < MOST && self.bytes <= BYTES {
                return;
            }
            if let Some(oldest) = self.order.pop_front() {
                let answer = self.answers.remove(&oldest).and_then(|entry| entry.answer);
                self.bytes -= answer.map_or(0, |answer| answer.body.len());
            }
        }
    }
}

impl First<'_> {
    /// Keeps what was answered, unless it was a failure of ours: then the key is free again.
    pub(crate) async fn keep(mut self, response: Response) -> Response {
        if response.status().is_server_error() {
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
            return Problem::internal().into_response();
        };
        let kind = parts.headers.get(CONTENT_TYPE).cloned();
        let answer = Answer { status: parts.status, kind, body: body.clone() };
        {
            let mut known = self.keys.lock();
            if let Some(entry) = known.answers.get_mut(&self.key) {
                entry.answer = Some(answer);
                known.bytes += body.len();
            }
        }
        self.kept = true;
        Response::from_parts(parts, Body::from(body))
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let mut known = self.keys.lock();
            known.answers.remove(&self.key);
            let key = self.key;
            known.order.retain(|it| *it != key);
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        headers.remove(CONTENT_TYPE);
        headers.extend(self.kind.map(|kind| (CONTENT_TYPE, kind)));
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(turn: Result<Turn<'_>, Problem>) -> u16 {
        match turn {
            Ok(Turn::First(_)) => 0,
            Ok(Turn::Done(response)) => response.status().as_u16(),
            Err(problem) => problem.status().as_u16(),
        }
    }

    #[tokio::test]
    async fn the_same_request_under_a_key_is_done_once() {
        let keys = Keys::default();
        let at = Duration::from_secs;
        let take = |who, request: u8, now| keys.take((who, "k"), [request; 32], at(now));
        let Ok(Turn::First(first)) = take("ada", 1, 0) else { panic!("it is the first") };
        assert_eq!(status(take("ada", 1, 0)), 409, "under way");
        first.keep((StatusCode::ACCEPTED, "done").into_response()).await;
        assert_eq!(status(take("ada", 1, 1)), 202);
        assert_eq!(status(take("ada", 2, 1)), 422, "another request");
        assert_eq!(status(take("eve", 2, 1)), 0, "somebody else's key");
        assert_eq!(status(take("ada", 1, 24 * 3600)), 0, "a day later");
        // A failure of ours may be tried again.
        let Ok(Turn::First(first)) = take("ada", 1, 24 * 3600) else { panic!("it is the first") };
        first.keep(StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
        assert_eq!(status(take("ada", 1, 24 * 3600)), 0);
    }
}
