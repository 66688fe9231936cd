//! The way to a collector: plain HTTP, driven by the runtime of the service.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// How long a collector may take; spans wait meanwhile, and the oldest are let go of.
const DEADLINE: Duration = Duration::from_secs(10);
/// No more of an answer is read.
const LARGEST: usize = 64 * 1024;

/// Sends what the exporter gives it.
#[derive(Debug)]
pub(super) struct Collector(Handle);

impl Collector {
    pub(super) fn new() -> Self {
        Self(Handle::current())
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The exporter has a thread of its own, on which nothing of tokio runs.
        let within = async { tokio::time::timeout(DEADLINE, exchange(request)).await };
        let sent = self.0.spawn(within);
        sent.await??
    }
}

async fn exchange(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut parts, body) = request.into_parts();
    let host = parts.uri.host().ok_or("the collector's URL has no host")?.to_owned();
    let port = parts.uri.port_u16().unwrap_or(80);
    let named = HeaderValue::from_str(&format!("{host}:{port}"))?;
    parts.headers.insert(HOST, named);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse::<Uri>()?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let answered = sender.send_request(Request::from_parts(parts, Full::new(body))).await?;
    let (parts, body) = answered.into_parts();
    let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
    driving.abort();
    Ok(Response::from_parts(parts, body))
}
