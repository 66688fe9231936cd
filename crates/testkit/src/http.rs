//! One request read from a connection, and one answer written to it: just enough HTTP/1.1 for a
//! client that asks from the same machine.
//!
//! Written out rather than taken from a server's library because an answer must be able to break
//! off at an exact byte.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const LARGEST_HEAD: usize = 64 * 1024;
const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query, as sent.
    pub(crate) target: String,
    /// Names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn query(&self) -> BTreeMap<String, String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        pairs(query.as_bytes())
    }
}

/// The pairs of a query or form; values of a name that comes again are joined by commas.
pub(crate) fn pairs(text: &[u8]) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::<String, String>::new();
    for (name, value) in url::form_urlencoded::parse(text) {
        match pairs.get_mut(&*name) {
            Some(known) => {
                known.push(',');
                known.push_str(&value);
            }
            None => drop(pairs.insert(name.into_owned(), value.into_owned())),
        }
    }
    pairs
}

/// A part of a path without its escapes.
pub(crate) fn unescaped(part: &str) -> String {
    let form = format!("a={}", part.replace('+', "%2B").replace('&', "%26"));
    pairs(form.as_bytes()).remove("a").unwrap_or_default()
}

/// What is written back.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// An answer, of whose body only the beginning is sent if `cut`.
    Given { status: u16, headers: Vec<(String, String)>, body: Vec<u8>, cut: bool },
    /// Nothing: the connection closes.
    Hangup,
}

/// What answers requests.
#[async_trait::async_trait]
pub(crate) trait Answers: Send + Sync + 'static {
    async fn answer(&self, asked: Asked) -> Answer;
}

/// A listener on a free loopback port; it ends with its drop.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(answers: Arc<impl Answers>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut under_way = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answers = answers.clone();
                // A connection that breaks off is the client's own affair: it sees it.
                under_way.spawn(async move { drop(converse(stream, &*answers).await) });
                while under_way.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, task })
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(mut stream: TcpStream, answers: &impl Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let asked = read(&mut stream).await?;
    let Answer::Given { status, headers, body, cut } = answers.answer(asked).await else {
        return Ok(());
    };
    let mut head = format!("HTTP/1.1 {status} -\r\nconnection: close\r\n");
    // No body goes with these, not even an empty one.
    if status != 204 && status != 304 {
        let promised = if cut { body.len() + 1 } else { body.len() };
        head.push_str(&format!("content-length: {promised}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    let sent = if cut { body.len() / 2 } else { body.len() };
    stream.write_all(body.get(..sent).unwrap_or_default()).await?;
    stream.shutdown().await
}

async fn read(stream: &mut TcpStream) -> io::Result<Asked> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let mut bytes = vec![];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if bytes.len() > LARGEST_HEAD || stream.read_buf(&mut bytes).await? == 0 {
            return Err(malformed());
        }
    };
    let mut body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).map_err(|_| malformed())?;
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(malformed());
    };
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers: BTreeMap<_, _> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let length = headers.get("content-length").map_or(Ok(0), |it| it.parse::<usize>());
    let length = length.ok().filter(|it| *it <= LARGEST_BODY).ok_or_else(malformed)?;
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(malformed());
        }
    }
    Ok(Asked { method: method.to_owned(), target: target.to_owned(), headers, body })
}
