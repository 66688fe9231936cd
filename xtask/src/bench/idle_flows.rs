//! `cargo xtask bench idle-flows`: a service with ten thousand flows, of which few are due.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::contender::write_config;
use super::idle_report::{Idle, Punctual, Report};
use super::measured::{cpu_of, resident};
use super::sandbox::{Access, Sandbox};
use crate::cargo::{cargo, metadata, output, succeed};

/// What every flow of the benchmark is made of.
const FLOW: &str = include_str!("../../../flows/newsletter-to-clevertap.yaml");
const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];
/// First runs of flows that are taken up together spread over so much for each
/// (docs/reference/serve.md).
const ROOM: f64 = 0.1;
/// An interval's jitter is at most so many seconds.
const LONGEST_JITTER: f64 = 30.0;
/// No run begins so soon after the window, in seconds.
const MARGIN: f64 = 30.0;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many flows the service has.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    flows: usize,
    /// How many of them are due every 10 seconds in the second measurement.
    #[arg(long, default_value_t = 300, value_name = "N")]
    due: usize,
    /// How long the service is watched, in seconds.
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    window: u64,
    /// How often it is started; the median counts.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.rounds == 0 || args.due > args.flows {
        bail!("at least one round, and no more flows due than there are");
    }
    succeed(&mut cargo(["build", "--release", "-p", "towpath"]))?;
    let target = metadata()?.target_directory;
    let towpath = target.join("release/towpath");
    let sandbox = Sandbox::start(&towpath, 10)?;
    let bench = Bench { towpath: &towpath, target: &target, access: &sandbox.access, args };
    let mut idle = vec![];
    for round in 1..=args.rounds {
        let home = bench.home(args.flows)?;
        let measured = bench.idle(home.path()).with_context(|| format!("round {round}"))?;
        eprintln!("{} flows, round {round}: {measured:?}", args.flows);
        idle.push(measured);
    }
    let home = bench.home(args.flows - args.due)?;
    for at in 0..args.due {
        write_flow(home.path(), &format!("due-{at}"), "every: 10s")?;
    }
    let punctual = bench.punctual(home.path())?;
    let report = Report { flows: args.flows, idle, punctual };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report.to_json())?);
    } else {
        print!("{report}");
    }
    Ok(())
}

struct Bench<'a> {
    towpath: &'a Path,
    target: &'a Path,
    access: &'a Access,
    args: &'a Args,
}

impl Bench<'_> {
    /// A project with that many flows, none of which is due in the window: half of them by cron
    /// expressions, half by intervals.
    fn home(&self, flows: usize) -> Result<tempfile::TempDir> {
        // Beside the build, since the folder for temporary files may be memory.
        let home = tempfile::Builder::new().prefix("bench-").tempdir_in(self.target)?;
        write_config(home.path(), self.access)?;
        std::fs::create_dir(home.path().join("flows"))?;
        for at in 0..flows.div_ceil(2) {
            let zone = ZONES.get(at % ZONES.len()).copied().unwrap_or("UTC");
            let cron = format!("{} {} 29 2 *", at % 60, at / 60 % 24);
            let schedule = format!("cron: \"{cron}\"\n  timezone: {zone}");
            write_flow(home.path(), &format!("cron-{at}"), &schedule)?;
        }
        self.intervals(home.path(), flows / 2)?;
        Ok(home)
    }

    /// Flows by intervals whose first runs, which spread over some minutes, are not in the window.
    #[allow(clippy::cast_precision_loss, reason = "thousands of flows")]
    fn intervals(&self, home: &Path, flows: usize) -> Result<()> {
        let seconds = self.args.window as f64 + MARGIN;
        let earliest = seconds / (self.args.flows as f64 * ROOM);
        if earliest > 0.9 {
            bail!("with so few flows the first runs of all are in the window: more `--flows`");
        }
        let mut wanted = flows;
        let mut candidates = 0..;
        while wanted > 0 {
            let names: Vec<String> =
                candidates.by_ref().take(wanted).map(|at| format!("daily-{at}")).collect();
            for name in &names {
                write_flow(home, name, "every: 1d")?;
            }
            let due = self.due_before(home, &names, earliest)?;
            for name in &due {
                std::fs::remove_file(flow_file(home, name))?;
            }
            wanted = due.len();
        }
        Ok(())
    }

    /// Which flows have a share of the spread below `earliest`; their jitter shows it.
    fn due_before(&self, home: &Path, names: &[String], earliest: f64) -> Result<BTreeSet<String>> {
        let mut command = Command::new(self.towpath);
        command.args(["schedule", "--json", "--next", "2"]).current_dir(home);
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let listed = output(command.args(names.iter().map(|name| flow_file(home, name))))?;
        let mut due = BTreeSet::new();
        for line in listed.lines() {
            let flow: Scheduled = serde_json::from_str(line)?;
            let jitter = flow.next.last().map_or(0.0, |tick| tick.jitter_seconds);
            if jitter / LONGEST_JITTER < earliest {
                due.insert(flow.flow);
            }
        }
        Ok(due)
    }

    /// Starts the service and watches it while nothing is due.
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    fn idle(&self, home: &Path) -> Result<Idle> {
        let mut served = self.serve(home)?;
        let started = served.begin(self.args.flows)?;
        let id = served.child.id();
        let before = cpu_of(id).context("no figures of the service")?;
        let window = Duration::from_secs(self.args.window);
        let ran = served.events_until(Instant::now() + window)?;
        if !ran.is_empty() {
            bail!("{} flows ran in the window, none should", ran.len());
        }
        let after = cpu_of(id).context("no figures of the service")?;
        let memory = resident(id).context("no figures of the service")?;
        Ok(Idle {
            start: started.as_secs_f64(),
            start_cpu: before,
            memory: memory.now,
            peak: memory.peak,
            cpu: (after - before) / self.args.window as f64,
        })
    }

    /// Starts the service and looks how late the flows are that are due.
    fn punctual(&self, home: &Path) -> Result<Punctual> {
        let mut served = self.serve(home)?;
        served.begin(self.args.flows)?;
        let window = Duration::from_secs(self.args.window);
        let mut late = vec![];
        for event in served.events_until(Instant::now() + window)? {
            let ran: Ran = serde_json::from_value(event)?;
            if ran.outcome != "completed" {
                bail!("a run of {} ended {}: {:?}", ran.flow, ran.outcome, ran.errors);
            }
            late.push(ran.late_seconds);
        }
        Ok(Punctual::of(late))
    }

    fn serve(&self, home: &Path) -> Result<Served> {
        let mut command = Command::new(self.towpath);
        command
            .args(["serve", "--json"])
            .current_dir(home)
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env_remove("TOWPATH_KEY")
            .env_remove("TOWPATH_KEY_FILE")
            .env("CLEVERREACH_CLIENT_SECRET", &self.access.client_secret)
            .env("CLEVERTAP_PASSCODE", &self.access.passcode)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let began = Instant::now();
        let mut child = command.spawn().context("could not start the service")?;
        let (sender, lines) = channel();
        let out = child.stdout.take().context("the service has no output")?;
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Served { child, began, lines })
    }
}

#[derive(Deserialize)]
struct Scheduled {
    flow: String,
    next: Vec<Tick>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tick {
    jitter_seconds: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ran {
    flow: String,
    outcome: String,
    late_seconds: f64,
    errors: Vec<String>,
}

/// A running service; it ends when this is dropped.
struct Served {
    child: Child,
    began: Instant,
    lines: Receiver<(Instant, String)>,
}

impl Served {
    /// How long it took until it served that many flows.
    fn begin(&mut self, flows: usize) -> Result<Duration> {
        loop {
            let (at, line) = self.lines.recv().context("the service ended at once")?;
            let event: Value = serde_json::from_str(&line)?;
            match event.get("flows").and_then(Value::as_u64) {
                Some(served) if served == flows as u64 => return Ok(at.duration_since(self.began)),
                // Where it listens comes first.
                None if event.get("event").is_some_and(|it| it == "listening") => {}
                _ => bail!("the service said {line}"),
            }
        }
    }

    /// Everything it says up to a moment.
    fn events_until(&mut self, end: Instant) -> Result<Vec<Value>> {
        let mut events = vec![];
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok((_, line)) => events.push(serde_json::from_str(&line)?),
                Err(RecvTimeoutError::Timeout) => return Ok(events),
                Err(RecvTimeoutError::Disconnected) => bail!("the service ended by itself"),
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn flow_file(home: &Path, name: &str) -> PathBuf {
    home.join("flows").join(format!("{name}.yaml"))
}

fn write_flow(home: &Path, name: &str, schedule: &str) -> Result<()> {
    let text = FLOW.replace("newsletter-to-clevertap", name).replace("every: 5m", schedule);
    std::fs::write(flow_file(home, name), text).context("could not write a flow")
}
