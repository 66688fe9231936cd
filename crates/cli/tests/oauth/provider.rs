//! A real OAuth2 server: oidc-provider from npm, installed below the target directory.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::web;

const SCRIPT: &str = include_str!("provider.mjs");
const PACKAGE: &str = include_str!("package.json");

pub(crate) const SECRET: &str = "not-a-real-client-secret";

/// A server that ends with the test.
pub(crate) struct Provider {
    child: Child,
    pub(crate) url: String,
}

impl Provider {
    /// Starts a server that sends people back to these addresses. `None` where there is no Node, or
    /// npm cannot install what is needed: that is said, and the test has nothing to test.
    pub(crate) fn start(redirects: &[String]) -> Option<Self> {
        let folder = match installed() {
            Ok(folder) => folder,
            Err(missing) => {
                eprintln!("SKIPPED: no OAuth2 server to test against: {missing}");
                return None;
            }
        };
        let mut command = Command::new("node");
        command.arg("provider.mjs").current_dir(folder);
        command.env("REDIRECTS", serde_json::to_string(redirects).unwrap());
        command.env_remove("NODE_OPTIONS").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://"), "the OAuth2 server did not start: {url}");
        Some(Self { child, url: url.trim().to_owned() })
    }

    /// What it granted, refused and renewed.
    pub(crate) fn count(&self, of: &str) -> u64 {
        let counts = web::get(&format!("{}/_counts", self.url)).body;
        serde_json::from_str::<Value>(&counts).unwrap()[of].as_u64().unwrap()
    }

    /// Lets no answer of the token endpoint leave, or all.
    pub(crate) fn hold(&self, held: bool) {
        web::get(&format!("{}/{}", self.url, if held { "_hold" } else { "_release" }));
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The folder with the server and what it needs, installed once.
fn installed() -> Result<PathBuf, String> {
    let runs = |program: &str| {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|it| it.status.success())
    };
    for program in ["node", "npm"] {
        if !runs(program) {
            return Err(format!("`{program}` is not installed"));
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oauth");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    std::fs::write(folder.join("provider.mjs"), SCRIPT).unwrap();
    std::fs::write(folder.join("package.json"), PACKAGE).unwrap();
    if !folder.join("node_modules/oidc-provider").is_dir() {
        eprintln!("installs oidc-provider from npm in {}", folder.display());
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock"]).current_dir(&folder);
        let done = npm.output().map_err(|error| error.to_string())?;
        if !done.status.success() {
            return Err(format!("npm: {}", String::from_utf8_lossy(&done.stderr)));
        }
    }
    Ok(folder)
}
