//! Who did what: a log of its own, kept in a file of bounded size.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use connector::Timestamp;
use serde::Serialize;

/// From this size on a new file is begun; the one before is kept as `NAME.1`.
const LARGEST: u64 = 8 * 1024 * 1024;

/// Whoever runs the service and its commands on the same machine.
pub(crate) const LOCAL: &str = "local";
/// Whoever came with a credential that is none.
pub(crate) const NOBODY: &str = "nobody";

/// The log of who did what, one JSON value a line.
///
/// It has every request that changes something, every credential that was refused, and every
/// sign-in; never a secret, a body or a query. At most two files of 8 MiB are kept. The same goes
/// to the log of the process under the target `audit`.
#[derive(Debug, Default)]
pub struct Audit {
    file: Option<(PathBuf, Mutex<Option<Open>>)>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
}

/// What a request was about, where its path does not say it: a handler leaves it with its answer.
#[derive(Clone, Debug)]
pub(crate) struct What(pub(crate) String);

/// A line.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) at: Timestamp,
    pub(crate) who: &'a str,
    pub(crate) from: IpAddr,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) what: Option<&'a str>,
}

impl Audit {
    /// A log that is kept in this file.
    pub fn file(path: &Path) -> Self {
        Self { file: Some((path.to_owned(), Mutex::default())) }
    }

    pub(crate) fn write(&self, line: &Line<'_>) {
        let Line { who, from, method, path, status, what, .. } = line;
        tracing::info!(target: "audit", who, %from, method, path, status, what, "request");
        let Some((path, open)) = &self.file else { return };
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = append(path, &mut open, &text) {
            // Opened anew for the next line: the file may be writable by then.
            tracing::error!(%error, file = %path.display(), "the audit log cannot be written");
        }
    }
}

fn append(path: &Path, open: &mut Option<Open>, text: &[u8]) -> std::io::Result<()> {
    let mut into = match open.take() {
        Some(into) => into,
        None => Open::file(path)?,
    };
    if into.size + text.len() as u64 > LARGEST && into.size > 0 {
        std::fs::rename(path, with_one(path))?;
        into = Open::file(path)?;
    }
    into.file.write_all(text)?;
    into.size += text.len() as u64;
    *open = Some(into);
    Ok(())
}

impl Open {
    fn file(path: &Path) -> std::io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

fn with_one(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_kept_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let long = "x".repeat(1024 * 1024);
        for round in 0..20 {
            // Every other time as a process that starts again.
            let audit = Audit::file(&path);
            for status in [200, 201] {
                audit.write(&Line {
                    at: Timestamp::from_secs(round),
                    who: "laptop",
                    from: [127, 0, 0, 1].into(),
                    method: "POST",
                    path: &long,
                    status,
                    what: None,
                });
            }
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((&last["at"], &last["status"]), (&"1970-01-01T00:00:19Z".into(), &201.into()));
        assert!(text.len() as u64 <= LARGEST);
        assert!(std::fs::metadata(with_one(&path)).unwrap().len() <= LARGEST);
    }
}
