//! `cargo xtask bench webhooks`: how many webhooks a service accepts in a second, each on the disk
//! before it is answered, and whether every one that was answered is delivered once.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::measured::{cpu_of, resident};
use crate::cargo::{cargo, metadata, root, succeed};

/// The token of the senders: no secret.
const TOKEN: &str = "not-a-real-webhook-token";
/// The body of a request has so many bytes.
const BODY: usize = 1024;
/// So long may it take until everything is delivered.
const LONGEST: Duration = Duration::from_secs(300);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many connections send at once, each one request after the other.
    #[arg(long, default_value_t = 64, value_name = "N")]
    connections: usize,
    /// How long they send, in seconds.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    window: u64,
    /// How often; the median counts.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// Another build of towpath, instead of a release build of this tree.
    #[arg(long, value_name = "FILE")]
    towpath: Option<PathBuf>,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// The figures of a round.
#[derive(Clone, Debug)]
struct Round {
    /// Requests that were answered with 202, in a second.
    accepted: f64,
    /// From the first byte of a request to the last of its answer, in milliseconds.
    median: f64,
    slowest: f64,
    /// Records that were delivered in a second, until all were.
    delivered: f64,
    /// Seconds of CPU for a thousand webhooks, delivery included.
    cpu: f64,
    /// Resident at most, in bytes.
    memory: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.rounds > 0 && args.connections > 0, "at least one round and one connection");
    let target = metadata()?.target_directory;
    let towpath = match &args.towpath {
        Some(path) => path.clone(),
        None => {
            succeed(&mut cargo(["build", "--release", "-p", "towpath"]))?;
            target.join("release/towpath")
        }
    };
    let mut rounds = vec![];
    for at in 1..=args.rounds {
        let measured = round(&towpath, &target, args).with_context(|| format!("round {at}"))?;
        eprintln!("round {at}: {measured:?}");
        rounds.push(measured);
    }
    let median = |of: fn(&Round) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    let accepted = median(|it| it.accepted);
    let (fast, slow) = (median(|it| it.median), median(|it| it.slowest));
    let (delivered, cpu) = (median(|it| it.delivered), median(|it| it.cpu));
    let memory = rounds.iter().map(|it| it.memory).max().unwrap_or_default();
    if args.json {
        let figures = json!({
            "acceptedPerSecond": accepted, "millisMedian": fast, "millis99": slow,
            "deliveredPerSecond": delivered, "cpuSecondsPerThousand": cpu, "peakBytes": memory,
        });
        println!("{}", serde_json::to_string_pretty(&figures)?);
        return Ok(());
    }
    let kept = if accepted >= 2_000.0 { "kept" } else { "missed" };
    println!("| webhooks of 1 KB, {} connections | | budget |\n|---|---|---|", args.connections);
    println!("| accepted, on the disk | {accepted:.0} a second | ≥ 2,000: {kept} |");
    println!("| answered after, median and 99 % | {fast:.1} ms, {slow:.1} ms | |");
    println!("| delivered, each once | {delivered:.0} a second | |");
    println!("| CPU for a thousand, delivery included | {cpu:.2} s | |");
    println!("| peak memory | {:.0} MB | |", memory_in_megabytes(memory));
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn memory_in_megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn round(towpath: &Path, target: &Path, args: &Args) -> Result<Round> {
    // Beside the build, since the folder for temporary files may be memory.
    let home = tempfile::Builder::new().prefix("bench-").tempdir_in(target)?;
    let out = home.path().join("out");
    std::fs::create_dir(&out)?;
    std::fs::create_dir(home.path().join("flows"))?;
    let flow = std::fs::read_to_string(root().join("benches/webhooks/flow.yaml"))?;
    std::fs::write(home.path().join("flows/orders.yaml"), flow)?;
    let config = format!(
        "accounts:\n  hooks: {{ connector: http, webhookSecret: {{ env: TOKEN }} }}\n  \
         files: {{ connector: file, folder: {} }}\n",
        serde_json::to_string(&out)?
    );
    std::fs::write(home.path().join("towpath.yaml"), config)?;
    let service = Service::start(towpath, home.path())?;
    let cpu = cpu_of(service.child.id()).context("Linux is needed")?;
    let until = Instant::now() + Duration::from_secs(args.window);
    let started = Instant::now();
    let sent = thread::scope(|scope| {
        let address = service.address.as_str();
        let senders = (0..args.connections)
            .map(|sender| scope.spawn(move || send(address, sender, until)))
            .collect::<Vec<_>>();
        let sent = senders.into_iter().map(|it| match it.join() {
            Ok(sent) => sent,
            Err(_) => bail!("a sender broke off"),
        });
        sent.collect::<Result<Vec<Sent>>>()
    })?;
    let took = started.elapsed().as_secs_f64();
    let mut millis: Vec<f64> = sent.iter().flat_map(|it| it.millis.iter().copied()).collect();
    let ids: Vec<String> = sent.into_iter().flat_map(|it| it.ids).collect();
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| millis.get((millis.len() as f64 * share) as usize).copied();
    let (median, slowest) = (at(0.5).unwrap_or_default(), at(0.99).unwrap_or_default());
    delivered(&out.join("orders.ndjson"), &ids)?;
    let all = started.elapsed().as_secs_f64();
    let cpu = cpu_of(service.child.id()).context("it ended")? - cpu;
    let memory = resident(service.child.id()).context("it ended")?.peak;
    let count = ids.len() as f64;
    Ok(Round {
        accepted: count / took,
        median,
        slowest,
        delivered: count / all,
        cpu: cpu / count * 1000.0,
        memory,
    })
}

/// What a sender was answered.
#[derive(Default)]
struct Sent {
    ids: Vec<String>,
    millis: Vec<f64>,
}

/// Sends one request after the other until it is time; every one has to be accepted.
fn send(address: &str, sender: usize, until: Instant) -> Result<Sent> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut sent = Sent::default();
    for number in 0.. {
        if Instant::now() >= until {
            break;
        }
        let id = format!("{sender}-{number}");
        let mut body = json!({ "id": id, "total": number, "note": "" }).to_string();
        let filling = "x".repeat(BODY.saturating_sub(body.len()));
        body = body.replace("\"note\":\"\"", &format!("\"note\":\"{filling}\""));
        let request = format!(
            "POST /hooks/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             x-webhook-token: {TOKEN}\r\nx-delivery: {id}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let begun = Instant::now();
        stream.write_all(request.as_bytes())?;
        let status = answer(&mut answers)?;
        ensure!(status == 202, "{id} was answered with {status}");
        sent.millis.push(begun.elapsed().as_secs_f64() * 1000.0);
        sent.ids.push(id);
    }
    Ok(sent)
}

/// Reads an answer to its end and gives its status.
fn answer(answers: &mut impl BufRead) -> Result<u16> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|it| it.parse().ok());
    let mut length = 0;
    loop {
        line.clear();
        answers.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body)?;
    status.context("no status")
}

/// Waits until every one that was answered is in the file, and each once.
fn delivered(file: &Path, ids: &[String]) -> Result<()> {
    let end = Instant::now() + LONGEST;
    loop {
        let lines = std::fs::read_to_string(file).unwrap_or_default();
        // Counting is cheap, reading is not: the file is read whole only once it is long enough.
        if lines.lines().count() >= ids.len() {
            let mut found: HashMap<String, usize> = HashMap::new();
            for line in lines.lines() {
                let line: Value = serde_json::from_str(line)?;
                *found.entry(line["id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
            for id in ids {
                ensure!(found.get(id) == Some(&1), "{id}: {:?} times", found.get(id));
            }
            return Ok(());
        }
        ensure!(Instant::now() < end, "{} of {} are there", lines.lines().count(), ids.len());
        thread::sleep(Duration::from_millis(100));
    }
}

/// A running service; it ends with this.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(towpath: &Path, home: &Path) -> Result<Self> {
        let log = std::fs::File::create(home.join("lines.json"))?;
        let mut child = Command::new(towpath)
            .args(["serve", "--json", "--listen", "127.0.0.1:0"])
            .current_dir(home)
            .env("HOME", home)
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("could not start towpath")?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?);
        loop {
            let mut line = String::new();
            ensure!(lines.read_line(&mut line)? > 0, "the service ended at once");
            let event: Value = serde_json::from_str(&line)?;
            if event["event"] == "listening" {
                let address = event["address"].as_str().context("no address")?.to_owned();
                // A pipe that is full would hold the service.
                thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
                return Ok(Self { child, address });
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
