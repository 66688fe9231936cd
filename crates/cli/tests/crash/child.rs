//! One process of the binary: run to its end, to a named point, or to a moment.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::plan::Kill;

/// No process may take longer.
const LIMIT: Duration = Duration::from_secs(120);

/// How often each point was come to.
pub(crate) type Passed = BTreeMap<String, u64>;

/// What became of a process.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// The code that it exited with; `None` if it was killed.
    pub(crate) code: Option<i32>,
    /// What it said on standard error, without the points.
    pub(crate) said: Vec<String>,
    /// The points that it told of, up to its last moment.
    pub(crate) passed: Passed,
}

impl Ran {
    /// How many calls it left in the journal without an answer, at most.
    pub(crate) fn open_calls(&self) -> u64 {
        let passed = |name| self.passed.get(name).copied().unwrap_or(0);
        passed("engine.intent.next").saturating_sub(passed("engine.outcome.kept"))
    }

    /// Notes a line; gives the number of points so far if it tells of one.
    fn note(&mut self, line: String) -> Option<u64> {
        let Some(point) = line.strip_prefix("towpath: at ") else {
            self.said.push(line);
            return None;
        };
        let name = point.rsplit_once(':').map_or(point, |(name, _)| name);
        *self.passed.entry(name.to_owned()).or_default() += 1;
        Some(self.passed.values().sum())
    }
}

/// Runs a process to its end, or kills it where the plan says so.
pub(crate) fn run(mut command: Command, kill: Option<&Kill>) -> Ran {
    command.env_remove("TOWPATH_HOLD_AT").stdout(Stdio::null()).stderr(Stdio::piped());
    match kill {
        Some(Kill::At(place)) => command.env("TOWPATH_HOLD_AT", place),
        Some(Kill::After { .. }) => command.env("TOWPATH_HOLD_AT", "none"),
        None => &mut command,
    };
    listen(Running::start(command), kill)
}

/// Runs a process to its end and counts its points.
pub(crate) fn count(mut command: Command) -> Ran {
    command.env("TOWPATH_HOLD_AT", "none").stdout(Stdio::null()).stderr(Stdio::piped());
    listen(Running::start(command), None)
}

fn listen(mut running: Running, kill: Option<&Kill>) -> Ran {
    let mut ran = Ran::default();
    let end = Instant::now() + LIMIT;
    let mut until = end;
    loop {
        let line = match running.lines.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) if until < end => break,
            Err(RecvTimeoutError::Timeout) => panic!("a process took too long: {:?}", ran.said),
            Err(RecvTimeoutError::Disconnected) => {
                ran.code = running.child.wait().unwrap().code();
                return ran;
            }
        };
        if line.starts_with("towpath: holds at ") {
            break;
        }
        let points = ran.note(line);
        if let Some(Kill::After { points: after, wait }) = kill
            && points == Some(*after)
        {
            until = Instant::now() + *wait;
        }
    }
    running.kill();
    // What it still said is on its way.
    for line in running.lines.iter() {
        ran.note(line);
    }
    ran
}

/// A child whose lines come as they are said; dropping it kills it with SIGKILL.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let (say, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // A line that nobody waits for any more ends it, as the end of the child does.
            said.lines().map_while(Result::ok).try_for_each(|line| say.send(line))
        });
        Self { child, lines }
    }

    fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
