//! `cargo xtask bench uploads`: whether every upload that the vendor allows at once is under way,
//! and whether a large file takes more memory than a small one.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::contender::{Contender, Programs};
use super::measured::{Measured, measure};
use super::report::{MEMORY_GROWTH, bytes, count};
use super::sandbox::{Access, Sandbox};
use crate::cargo::{cargo, metadata, root, succeed};

/// The requests that the sandbox counts, as it names them.
const UPLOAD: &str = "POST /1/upload";
/// So many uploads the vendor lets one project have under way.
const AT_ONCE: u64 = 15;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many records, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000", value_name = "N,N")]
    records: Vec<usize>,
    /// How long the sandbox takes for an upload, as a vendor far away does, in milliseconds.
    #[arg(long, default_value_t = 500, value_name = "MS")]
    answer: u64,
    /// Another build of towpath, instead of a release build of this tree.
    #[arg(long, value_name = "FILE")]
    towpath: Option<PathBuf>,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured for one number of records.
struct Figures {
    records: usize,
    used: Measured,
    uploads: u64,
    most_at_once: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(!args.records.is_empty() && !args.records.contains(&0), "at least one record");
    let target = metadata()?.target_directory;
    let towpath = match &args.towpath {
        Some(path) => path.clone(),
        None => {
            succeed(&mut cargo(["build", "--release", "-p", "towpath"]))?;
            target.join("release/towpath")
        }
    };
    let folder = root().join("benches/uploads");
    let programs = Programs { towpath, by_hand: PathBuf::new(), folder };
    let mut all = vec![];
    for &records in &args.records {
        let figures = measured(&programs, &target, records, args.answer);
        let figures = figures.with_context(|| format!("{records} records"))?;
        let Measured { cpu, wall, .. } = figures.used;
        eprintln!("{records} records: {cpu:.3} s CPU, {wall:.3} s wall");
        all.push(figures);
    }
    if args.json {
        let jobs: Vec<_> = all.iter().map(Figures::to_json).collect();
        let growth = json!({ "value": growth(&all), "budget": MEMORY_GROWTH });
        let report =
            json!({ "answerMillis": args.answer, "jobs": jobs, "peakMemoryGrowth": growth });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report(&all, args.answer));
    }
    for figures in &all {
        let most = figures.most_at_once;
        ensure!(most == AT_ONCE, "{most} uploads were under way at most, and not {AT_ONCE}");
    }
    let growth = growth(&all).unwrap_or_default();
    ensure!(growth <= MEMORY_GROWTH, "memory grows with the records by {:.1} %", growth * 100.0);
    Ok(())
}

/// Runs the flow over a file of so many records; every one has to arrive once.
fn measured(programs: &Programs, target: &Path, records: usize, answer: u64) -> Result<Figures> {
    let sandbox = Sandbox::start(&programs.towpath, 0)?;
    let slow = json!({
        "vendor": "clevertap", "path": "/1/upload", "action": { "delay": { "ms": answer } },
        "times": "forever",
    });
    sandbox.post("/_sandbox/faults", &slow)?;
    // State beside the build, since the folder for temporary files may be memory.
    let home = tempfile::Builder::new().prefix("bench-").tempdir_in(target)?;
    write_people(&home.path().join("people.ndjson"), records)?;
    write_config(home.path(), &sandbox.access)?;
    let mut command = programs.command(Contender::Towpath, &sandbox.access, home.path());
    let log = home.path().join("log");
    let said = File::create(&log)?;
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    let (used, status) = measure(&mut command)?;
    if !status.success() {
        bail!("the run failed ({status}):\n{}", fs::read_to_string(log)?);
    }
    let Stats { clevertap: counts } = sandbox.get("/_sandbox/stats")?;
    let Profiles { total } = sandbox.get("/_sandbox/profiles")?;
    let Counts { records_accepted: accepted, records_refused: refused, over_limit, .. } = counts;
    // As many as there are, and as many profiles: each came once.
    ensure!(
        accepted == records as u64 && total == records && refused == 0,
        "of {records} records {accepted} were accepted, {refused} refused, and there are {total} \
         profiles"
    );
    ensure!(over_limit == 0, "{over_limit} requests came while {AT_ONCE} were under way");
    let most_at_once = counts.most_at_once_to.get(UPLOAD).copied().unwrap_or_default();
    Ok(Figures { records, used, uploads: counts.uploads, most_at_once })
}

#[derive(Deserialize)]
struct Stats {
    clevertap: Counts,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    uploads: u64,
    records_accepted: u64,
    records_refused: u64,
    over_limit: u64,
    most_at_once_to: std::collections::BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Profiles {
    total: usize,
}

/// Writes as many people as there are records, about 500 bytes each.
fn write_people(path: &Path, records: usize) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for id in 1..=records {
        let person = json!({
            "id": id,
            "firstName": format!("Ada {id}"),
            "lastName": "Lovelace",
            "email": format!("Ada.Lovelace.{id}@example.com"),
            "phone": format!("+4915{:09}", id % 1_000_000_000),
            "birthday": format!("19{:02}-{:02}-{:02}", id % 100, id % 12 + 1, id % 28 + 1),
            "language": "de",
            "address": {
                "street": format!("Hauptstraße {}", id % 200), "zip": format!("{:05}", id % 100_000),
                "city": "Oldenburg", "country": "DE",
            },
            "tags": ["vip", "b2b"],
            "points": id % 1_000,
            "note": "met at the fair and asked for the catalogue, which was sent the week after; wants to \
                     be told of workshops, in the mornings only, and not by telephone",
        });
        writeln!(file, "{person}")?;
    }
    file.flush().context("could not write the people")
}

fn write_config(home: &Path, access: &Access) -> Result<()> {
    let config = format!(
        "accounts:
  files: {{ connector: file, folder: {:?} }}
  engagement:
    connector: clevertap
    baseUrl: {}
    projectId: {:?}
    passcode: {{ env: CLEVERTAP_PASSCODE }}
store:
  path: {:?}
",
        home.display().to_string(),
        access.clevertap,
        access.project_id,
        home.join("state").display().to_string(),
    );
    fs::write(home.join("towpath.yaml"), config).context("could not write the accounts")
}

/// How much more memory the most records take than the fewest, as a share.
fn growth(all: &[Figures]) -> Option<f64> {
    let fewest = all.iter().min_by_key(|it| it.records)?;
    let most = all.iter().max_by_key(|it| it.records)?;
    let grown = bytes(most.used.memory) / bytes(fewest.used.memory) - 1.0;
    (fewest.records < most.records).then_some(grown)
}

impl Figures {
    fn to_json(&self) -> Value {
        json!({
            "records": self.records,
            "cpuSeconds": self.used.cpu,
            "wallSeconds": self.used.wall,
            "peakMemoryBytes": self.used.memory,
            "uploads": self.uploads,
            "mostAtOnce": { "value": self.most_at_once, "budget": AT_ONCE },
        })
    }
}

fn report(all: &[Figures], answer: u64) -> String {
    let mut text = format!(
        "\nuploads, each answered after {answer} ms\n  {:>10}{:>10}{:>10}{:>12}{:>14}{:>10}{:>16}\n",
        "records", "CPU s", "wall s", "memory MB", "records/s", "uploads", "most at once"
    );
    for Figures { records, used, uploads, most_at_once } in all {
        text.push_str(&format!(
            "  {records:>10}{:>10.3}{:>10.3}{:>12.1}{:>14.0}{uploads:>10}{most_at_once:>16}\n",
            used.cpu,
            used.wall,
            bytes(used.memory) / 1e6,
            count(*records) / used.wall,
        ));
    }
    if let Some(growth) = growth(all) {
        let verdict = if growth <= MEMORY_GROWTH { "kept" } else { "MISSED" };
        text.push_str(&format!(
            "  peak memory, the most against the fewest: {:.2} % more (budget {} %: {verdict})\n",
            growth * 100.0,
            MEMORY_GROWTH * 100.0,
        ));
    }
    text
}
