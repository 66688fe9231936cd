//! Answers, and what their failures mean to the caller.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, Redactor, Result, Timestamp};

/// Excerpts of what a system said are cut to this many characters.
const EXCERPT: usize = 200;
/// A system may ask to wait so long; one that asks for more is asked again after that.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 60 * 60);

/// An answer of a system, read whole.
#[derive(Clone, Debug)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) label: String,
    pub(crate) safe: bool,
    pub(crate) redactor: Redactor,
}

impl Response {
    /// The HTTP status, or the one that a failure inside a 200 stands for.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The body as it came.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Reads the body as JSON of a type. Anything else is worth another try after a question,
    /// and leaves it unknown whether it was carried out after anything else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let problem = if self.body.is_empty() {
                "with an empty body".to_owned()
            } else {
                // The message of serde_json may quote the value; the position is enough.
                let (line, column) = (error.line(), error.column());
                match error.classify() {
                    serde_json::error::Category::Data => {
                        format!("with JSON of another shape, at line {line} column {column}")
                    }
                    _ => format!("with something that is not JSON, at line {line} column {column}"),
                }
            };
            self.nonsense(&problem)
        })
    }

    /// The error for an answer that makes no sense.
    pub fn nonsense(&self, problem: &str) -> Error {
        let problem = self.redact(problem);
        let reason = format!("{} answered {} {problem}", self.label, self.status.as_u16());
        if self.safe { Error::retry(reason) } else { Error::Unknown { reason } }
    }

    /// The message in an error body, or an excerpt of it.
    pub fn message(&self) -> String {
        message(&self.body, &self.redactor)
    }

    /// `text` of the answer without the account's secrets, which a system may echo.
    pub fn redact(&self, text: &str) -> String {
        self.redactor.redact(text)
    }
}

/// Maps an answer that is no success to what the caller may do.
///
/// A failure on the system's side may come after its work was done: unless the request is `safe`,
/// only those answers say that nothing was, which mean so (RFC 9110, RFC 6585, RFC 8470): 408, 425,
/// 429, and 503 where it says when to come again. A gateway says 503 of requests that it passed on.
pub(crate) fn failure(
    status: StatusCode,
    message: &str,
    after: Option<Duration>,
    label: &str,
    safe: bool,
) -> Error {
    let said = if message.is_empty() { String::new() } else { format!(": {message}") };
    let reason = format!("{label} answered {}{said}", status.as_u16());
    match status.as_u16() {
        401 => Error::Unauthorized { reason },
        403 | 404 => Error::Config { reason },
        300..=399 => Error::Config {
            reason: format!("{reason}; redirects are not followed, correct the base URL"),
        },
        413 => Error::TooLarge { reason },
        408 | 425 | 429 => Error::Retry { reason, after },
        500.. if safe || (status == StatusCode::SERVICE_UNAVAILABLE && after.is_some()) => {
            Error::Retry { reason, after }
        }
        500.. => Error::Unknown { reason },
        code => Error::Reject { code: format!("http{code}"), reason },
    }
}

/// What an error body says: the vendors' envelopes, OAuth2's, or the beginning of the text.
/// Redacted before it is cut, so that no half of a secret is left.
pub(crate) fn message(body: &[u8], redactor: &Redactor) -> String {
    let text = serde_json::from_slice::<Value>(body).ok().and_then(|body| {
        ["/error/message", "/error_description", "/message", "/errorMessage", "/error"]
            .iter()
            .find_map(|place| body.pointer(place).and_then(Value::as_str).map(str::to_owned))
    });
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let text = redactor.redact(&text);
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(EXCERPT) {
        words.truncate(end);
        words.push('…');
    }
    words
}

/// How long `Retry-After` asks to wait: seconds, or a date against the answer's own `Date`, without
/// one against our clock. No wait is longer than a day: a system whose clock is wrong must not stop
/// a flow for ever.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Timestamp::parse_http(text)?.since(date(headers).unwrap_or(now)),
    };
    Some(asked.min(LONGEST_ASKED))
}

/// The system's own time of its answer.
pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    Timestamp::parse_http(headers.get(header::DATE)?.to_str().ok()?)
}

/// Maps a failure of the transport. `safe` requests may simply be sent again.
pub(crate) fn transport_error(error: reqwest::Error, label: &str, safe: bool) -> Error {
    let sent = !error.is_connect() && !error.is_builder();
    let error = error.without_url();
    let mut reason = format!("{label} got no answer: {error}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        source = cause.source();
    }
    if safe || !sent { Error::retry(reason) } else { Error::Unknown { reason } }
}

/// Reads a body up to `cap` bytes.
pub(crate) async fn read_body(
    mut answer: reqwest::Response,
    cap: usize,
    label: &str,
    safe: bool,
) -> Result<Bytes> {
    let announced = answer.content_length().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let too_long = || {
        let reason = format!(
            "{label} answered with more than {} MiB; ask for less at a time, by a smaller page or \
             batch",
            cap / (1024 * 1024)
        );
        if safe { Error::Config { reason } } else { Error::Unknown { reason } }
    };
    if announced > cap {
        return Err(too_long());
    }
    let mut body = BytesMut::with_capacity(announced);
    loop {
        let chunk = answer.chunk().await;
        match chunk.map_err(|error| transport_error(error, label, safe))? {
            None => return Ok(body.freeze()),
            Some(chunk) if body.len() + chunk.len() > cap => return Err(too_long()),
            Some(chunk) => body.extend_from_slice(&chunk),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_the_caller_may_do() {
        let after = Some(Duration::from_secs(7));
        let failed = |status: u16, after, safe| {
            failure(StatusCode::from_u16(status).unwrap(), "no", after, "GET /x", safe)
        };
        let kind = |status: u16| match failed(status, after, true) {
            Error::Retry { after, .. } => format!("retry {}", after.unwrap().as_secs()),
            Error::HeldBack { .. } => "held back".to_owned(),
            Error::Unauthorized { .. } => "unauthorized".to_owned(),
            Error::TooLarge { .. } => "too large".to_owned(),
            Error::Config { .. } => "config".to_owned(),
            Error::Reject { code, .. } => code,
            Error::Unknown { .. } => "unknown".to_owned(),
        };
        let kinds: Vec<_> = [302, 400, 401, 403, 404, 413, 422, 429, 500, 503].map(kind).into();
        let expected = [
            "config",
            "http400",
            "unauthorized",
            "config",
            "config",
            "too large",
            "http422",
            "retry 7",
            "retry 7",
            "retry 7",
        ];
        assert_eq!(kinds, expected);

        // What may have been done is told apart from what surely was not.
        let unknown = |status, after| matches!(failed(status, after, false), Error::Unknown { .. });
        let table = [408, 425, 429, 500, 502, 503, 504].map(|status| unknown(status, None));
        assert_eq!(table, [false, false, false, true, true, true, true]);
        assert!(!unknown(503, after) && unknown(504, after));
    }

    #[test]
    fn the_message_is_found_in_every_envelope() {
        for (body, expected) in [
            (r#"{"error":{"code":404,"message":"Not Found"}}"#, "Not Found"),
            (r#"{"error":"invalid_client","error_description":"bad pair"}"#, "bad pair"),
            (r#"{"status":"fail","error":"Malformed request","code":400}"#, "Malformed request"),
            (r#"{"errorMessage":"Invalid card PIN.","errorCode":10}"#, "Invalid card PIN."),
            ("<html>\n  oops</html>", "<html> oops</html>"),
            ("", ""),
        ] {
            assert_eq!(message(body.as_bytes(), &Redactor::default()), expected);
        }
        let redactor = Redactor::new([crate::Secret::new("not-a-real-passcode")]);
        let long = format!("{} not-a-real-passcode", "ä".repeat(EXCERPT - 10));
        let excerpt = message(long.as_bytes(), &redactor);
        assert!(excerpt.ends_with("ä [secret]"), "{excerpt}");
        let cut = message("ä".repeat(500).as_bytes(), &redactor);
        assert_eq!(cut.chars().count(), EXCERPT + 1);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
        };
        let now = Timestamp::parse("2020-09-13T12:27:00Z").unwrap();
        let retry_after = |headers: &HeaderMap| super::retry_after(headers, now);
        assert_eq!(retry_after(&headers(&[("retry-after", "30")])), Some(Duration::from_secs(30)));
        let dated = headers(&[
            ("date", "Sun, 13 Sep 2020 12:26:40 GMT"),
            ("retry-after", "Sun, 13 Sep 2020 12:27:10 GMT"),
        ]);
        assert_eq!(retry_after(&dated), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(&headers(&[("retry-after", "soon")])), None);
        // Without a date of the answer it is ours that counts; what is over is no wait.
        for (text, seconds) in [
            ("Sun, 13 Sep 2020 12:27:10 GMT", 10),
            ("Sun, 13 Sep 2020 12:26:50 GMT", 0),
            ("Fri, 13 Sep 2120 12:26:50 GMT", 86_400),
            ("18446744073709551615", 86_400),
        ] {
            let asked = retry_after(&headers(&[("retry-after", text)]));
            assert_eq!(asked, Some(Duration::from_secs(seconds)), "{text}");
        }
    }
}
