//! The other side of a benchmark: the sandbox as a process of its own, so that what it uses is
//! not counted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A running sandbox; it ends when this is dropped.
pub(crate) struct Sandbox {
    child: Child,
    pub(crate) access: Access,
}

/// Where the sandbox is and what it accepts; its first line says so.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Access {
    /// The base URL of CleverReach, with `/v3`.
    pub(crate) cleverreach: String,
    /// The base URL of CleverTap.
    pub(crate) clevertap: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) project_id: String,
    pub(crate) passcode: String,
}

impl Sandbox {
    /// Starts a sandbox with that many receivers and waits until it is ready.
    pub(crate) fn start(towpath: &Path, receivers: usize) -> Result<Self> {
        let mut command = Command::new(towpath);
        command.args(["sandbox", "--json", "--receivers", &receivers.to_string()]);
        command.args(["--cleverreach-port", "0", "--clevertap-port", "0"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start the sandbox")?;
        let mut line = String::new();
        if let Some(out) = child.stdout.as_mut() {
            BufReader::new(out).read_line(&mut line)?;
        }
        match serde_json::from_str(&line) {
            Ok(access) => Ok(Self { child, access }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(anyhow!(error).context(format!("the sandbox is not ready: it said {line:?}")))
            }
        }
    }

    /// Tells the sandbox to do something.
    pub(crate) fn post(&self, path: &str, body: &serde_json::Value) -> Result<()> {
        let host = self.access.clevertap.trim_start_matches("http://");
        let done = exchange(host, &format!("POST {path}"), &body.to_string());
        done.with_context(|| format!("POST {path} of the sandbox"))?;
        Ok(())
    }

    /// Asks CleverTap's side of the sandbox.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let host = self.access.clevertap.trim_start_matches("http://");
        let body = exchange(host, &format!("GET {path}"), "");
        let body = body.with_context(|| format!("GET {path} of the sandbox"))?;
        serde_json::from_slice(&body).with_context(|| format!("GET {path} of the sandbox"))
    }
}

/// One request in HTTP/1.0, whose answer ends where the connection ends: an HTTP client would be
/// most of what `cargo xtask` has to compile.
fn exchange(host: &str, request: &str, body: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(host)?;
    let length = body.len();
    let head = format!("{request} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.context("the answer has no end of its head")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        bail!("{status}");
    }
    Ok(body)
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
