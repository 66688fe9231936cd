//! A folder to run the binary in, and what came of a command.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sandbox::{Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const FLOW: &str = include_str!("../../../../flows/newsletter-to-clevertap.yaml");
pub(crate) const NAME: &str = "newsletter-to-clevertap";

/// A folder that is its own home, so that keys are made in it.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn empty() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    /// A program to run in the folder.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        command
    }

    /// Runs a command with a variable of the environment.
    pub(crate) fn run_env(&self, args: &[&str], name: &str, value: &str) -> Ran {
        let mut command = self.command(env!("CARGO_BIN_EXE_towpath"));
        Ran::of(command.args(args).env(name, value).output().unwrap())
    }

    /// Runs a command and kills it with SIGKILL when it comes to a point, `NAME:N`; says whether it
    /// came to it.
    pub(crate) fn killed_at(&self, args: &[&str], point: &str) -> bool {
        let mut command = self.command(env!("CARGO_BIN_EXE_towpath"));
        command.args(args).env("TOWPATH_HOLD_AT", point);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let holds = |line: &str| line.starts_with("towpath: holds at ");
        let held = said.lines().map_while(Result::ok).any(|line| holds(&line));
        // One that came to its end has nothing to be killed.
        drop(child.kill());
        child.wait().unwrap();
        held
    }

    /// Runs a command that reads `input`.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(env!("CARGO_BIN_EXE_towpath"));
        command.args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that refuses its arguments does not read.
        drop(child.stdin.take().unwrap().write_all(input));
        Ran::of(child.wait_with_output().unwrap())
    }

    /// All files below a folder.
    pub(crate) fn files(&self, folder: &str) -> Vec<PathBuf> {
        files(&self.path(folder))
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A sandbox of both vendors and the runtime that serves it.
pub(crate) struct Vendors {
    pub(crate) sandbox: Sandbox,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl Vendors {
    pub(crate) fn with(receivers: usize) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let options = Options { receivers, ..Options::default() };
        let sandbox = runtime.block_on(Sandbox::start(options)).unwrap();
        Self { sandbox, runtime }
    }

    /// A towpath.yaml for the flow, with these two secrets as written.
    pub(crate) fn config(&self, client_secret: &str, passcode: &str) -> String {
        let credentials = self.sandbox.credentials();
        format!(
            "accounts:\n  newsletter:\n    connector: cleverreach\n    baseUrl: {}\n    \
             clientId: {}\n    clientSecret: {client_secret}\n  engagement:\n    \
             connector: clevertap\n    baseUrl: {}\n    projectId: {}\n    passcode: {passcode}\n",
            self.sandbox.cleverreach_url(),
            credentials.client_id,
            self.sandbox.clevertap_url(),
            credentials.project_id,
        )
    }
}

/// What a command printed and how it exited.
pub(crate) struct Ran {
    code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    pub(crate) const fn code(&self) -> i32 {
        self.code
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.all());
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.all().contains(text), "no `{text}` in:\n{}", self.all());
        self
    }

    /// The lines of standard output, JSON values.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
