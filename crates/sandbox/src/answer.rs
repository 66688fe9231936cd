//! An answer, and the body that can stop half-way.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use serde::Serialize;
use serde_json::json;

const CHUNK: usize = 16 * 1024;

/// What a stand-in answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Answers JSON text that is already written.
    pub(crate) fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// Answers a value as JSON.
    pub(crate) fn json(status: u16, value: &impl Serialize) -> Self {
        Self::text(status, serde_json::to_vec(value).unwrap_or_default())
    }

    /// Answers 204.
    pub(crate) fn nothing() -> Self {
        Self::text(204, Bytes::new())
    }

    /// Sends a browser somewhere else.
    pub(crate) fn redirect(to: &str) -> Self {
        Self::text(302, Bytes::new()).with_header(header::LOCATION.as_str(), to)
    }

    /// Answers with the error envelope of CleverReach.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "error": { "code": status, "message": message } }))
    }

    /// Answers with the failure body of CleverTap.
    pub(crate) fn fail(status: u16, message: &str) -> Self {
        Self::fail_with(status, status, message)
    }

    /// Answers with the failure body of CleverTap whose code is not the status.
    pub(crate) fn fail_with(status: u16, code: u16, message: &str) -> Self {
        Self::json(status, &json!({ "status": "fail", "error": message, "code": code }))
    }

    pub(crate) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Turns into a response whose body comes whole, cut or made up.
    pub(crate) fn into_response(self, ending: Ending, date: Option<String>) -> Response<Body> {
        let body = Body::new(self.body, ending);
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        if self.status != 204 {
            let json = HeaderValue::from_static("application/json; charset=utf-8");
            headers.insert(header::CONTENT_TYPE, json);
        }
        if let Some(date) = date.and_then(|date| HeaderValue::from_str(&date).ok()) {
            headers.insert(header::DATE, date);
        }
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) =
                (name.parse::<HeaderName>(), HeaderValue::from_str(&value))
            {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    /// The connection closes after so many bytes although `Content-Length` promised all.
    CutAfter(usize),
    /// The body is one JSON string of so many bytes.
    Huge(usize),
}

/// A response body with a declared length that it may fail to reach.
#[derive(Debug)]
pub(crate) struct Body {
    data: Bytes,
    declared: u64,
    ending: Ending,
    sent: usize,
    /// Whether head and chunks handed over had a chance to be flushed; an error right behind them
    /// would drop them too.
    flushed: bool,
}

impl Body {
    fn new(data: Bytes, ending: Ending) -> Self {
        let declared = match ending {
            // A cut that lies behind the end still has to be one.
            Ending::CutAfter(after) => data.len().max(after.min(data.len()) + 1),
            Ending::Huge(size) => size,
            Ending::Whole => data.len(),
        };
        Self { data, declared: declared as u64, ending, sent: 0, flushed: false }
    }

    fn huge_chunk(&self, size: usize) -> Option<Bytes> {
        let left = size.checked_sub(self.sent).filter(|left| *left > 0)?;
        let mut chunk = vec![b'x'; left.min(CHUNK)];
        if self.sent == 0
            && let Some(first) = chunk.first_mut()
        {
            *first = b'"';
        }
        if left <= CHUNK
            && let Some(last) = chunk.last_mut()
        {
            *last = b'"';
        }
        Some(Bytes::from(chunk))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let chunk = match self.ending {
            Ending::Whole => (!self.data.is_empty()).then(|| std::mem::take(&mut self.data)),
            Ending::Huge(size) => self.huge_chunk(size),
            Ending::CutAfter(after) => {
                if !self.flushed {
                    self.flushed = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let end = after.min(self.data.len());
                if self.sent >= end {
                    let cut = std::io::Error::other("the body is cut here on purpose");
                    return Poll::Ready(Some(Err(cut)));
                }
                self.flushed = false;
                Some(self.data.slice(self.sent..end.min(self.sent + CHUNK)))
            }
        };
        self.sent += chunk.as_ref().map_or(0, Bytes::len);
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.ending == Ending::Whole && self.data.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.declared - self.sent as u64)
    }
}
