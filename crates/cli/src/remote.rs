//! The service that has the project's store open, asked over HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use connector::Secret;
use engine::{Answer, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::exit::{Exit, Failed, Result};

/// How long a service on this machine may take to take a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// What a service leaves beside its store for the commands of whoever may read it.
#[derive(Serialize, Deserialize)]
struct Left {
    address: SocketAddr,
    token: String,
    version: String,
    pid: u32,
}

/// The file of a service; removed when the service ends.
pub(crate) struct Note {
    path: PathBuf,
    text: Vec<u8>,
}

impl Note {
    /// Says where the service with this store is, to nobody but the user that runs it.
    pub(crate) fn leave(
        store: &Path,
        address: SocketAddr,
        token: &Secret,
    ) -> std::io::Result<Self> {
        let path = note(store);
        let left = Left {
            address: reachable(address),
            token: token.expose().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
        };
        let text = serde_json::to_vec(&left)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        // A file of tempfile is readable to its owner alone from the beginning.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, &text)?;
        file.persist(&path)?;
        Ok(Self { path, text })
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // Another service may have left its own by now.
        if std::fs::read(&self.path).is_ok_and(|text| text == self.text) {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Beside the store's folder: what is in that is the store's own.
pub(crate) fn note(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".service.json");
    name.into()
}

/// An address that listens on all is reached on this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Asks a service.
pub(crate) struct Client {
    address: SocketAddr,
    token: Secret,
    version: String,
    pid: u32,
}

impl Client {
    /// The service that has this store open; `None` if none says so, or it is gone.
    pub(crate) async fn find(store: &Path) -> Option<Self> {
        let text = std::fs::read(note(store)).ok()?;
        let left: Left = serde_json::from_slice(&text).ok()?;
        let connected = tokio::time::timeout(CONNECT, TcpStream::connect(left.address)).await;
        // What was killed left its file behind.
        connected.ok()?.ok()?;
        let token = Secret::new(left.token);
        Some(Self { address: left.address, token, version: left.version, pid: left.pid })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its version of towpath.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Its process.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks what the engine's handle answers.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Answer> {
        if self.version != env!("CARGO_PKG_VERSION") {
            let error = anyhow!(
                "the service that has the store open is towpath {}, and this is {}: restart it, or \
                 use the same version",
                self.version,
                env!("CARGO_PKG_VERSION")
            );
            return Err(Failed { exit: Exit::Store, error });
        }
        let request = serde_json::to_value(request)?;
        let answer = self.call("POST", "/api/v1/handle", Some(&request)).await?;
        Ok(serde_json::from_value(answer)?)
    }

    /// Asks a route of the API; an answer without a body is null.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let asked = self.send(method, path, body).await;
        let (status, answer) = asked
            .with_context(|| format!("the service at {} did not answer", self.address))
            .map_err(|error| Failed { exit: Exit::Unavailable, error })?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let text = |key: &str| answer.get(key).and_then(Value::as_str);
        let detail = text("detail").unwrap_or("it was not said why").to_owned();
        let exit = match text("code") {
            Some("store") => Exit::Store,
            Some("accountPaused") => Exit::Unauthorized,
            Some("unavailable") => Exit::Unavailable,
            _ if status >= 500 => Exit::Unexpected,
            _ => Exit::Config,
        };
        Err(Failed { exit, error: anyhow!(detail) })
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect(self.address)).await??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driving = tokio::spawn(connection);
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("authorization", format!("Bearer {}", self.token.expose()));
        let mut bytes = Bytes::new();
        if let Some(body) = body {
            bytes = serde_json::to_vec(body)?.into();
            request = request.header("content-type", "application/json");
        }
        let response = sender.send_request(request.body(Full::new(bytes))?).await?;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await?.to_bytes();
        driving.abort();
        let answer = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok((status, answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_service_is_found_as_long_as_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        assert!(Client::find(&store).await.is_none());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let left = Note::leave(&store, address, &Secret::new("not-a-token")).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(note(&store)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(Client::find(&store).await.unwrap().address, address);
        drop(listener);
        assert!(Client::find(&store).await.is_none(), "its file is left of one that was killed");
        drop(left);
        assert!(!note(&store).exists());
    }

    #[test]
    fn what_listens_on_all_addresses_is_reached_on_this_machine() {
        for (address, reached) in [
            ("0.0.0.0:7070", "127.0.0.1:7070"),
            ("[::]:7070", "[::1]:7070"),
            ("10.0.0.1:7070", "10.0.0.1:7070"),
        ] {
            assert_eq!(reachable(address.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
