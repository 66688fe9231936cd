//! `cargo xtask bench journal`: what it costs that nothing is sent twice which is not idempotent.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::contender::{Contender, Programs, in_turns, write_config};
use super::delivered;
use super::measured::{Measured, measure};
use super::report::{DURABILITY, bytes, count, median};
use super::sandbox::Sandbox;
use crate::cargo::{cargo, metadata, root, succeed};

/// The size of the pages and of the batches.
const BATCH: usize = 1_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many receivers, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000", value_name = "N,N")]
    receivers: Vec<usize>,
    /// How often each contender does the job; the median counts.
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured for one number of receivers.
struct Figures {
    receivers: usize,
    durable: Vec<Measured>,
    not_durable: Vec<Measured>,
    /// How often the store waited for the disk, in the last durable run.
    syncs: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.rounds == 0 || args.receivers.contains(&0) {
        bail!("at least one round and one receiver");
    }
    succeed(&mut cargo(["build", "--release", "-p", "towpath"]))?;
    let target = metadata()?.target_directory;
    let programs = Programs {
        towpath: target.join("release/towpath"),
        by_hand: PathBuf::new(),
        folder: root().join("benches/journal"),
    };
    let mut all = vec![];
    for &receivers in &args.receivers {
        let mut figures = Figures { receivers, durable: vec![], not_durable: vec![], syncs: 0 };
        for round in 1..=args.rounds {
            run_round(&programs, &target, round, &mut figures)
                .with_context(|| format!("{receivers} receivers, round {round}"))?;
        }
        all.push(figures);
    }
    if args.json {
        let report: Vec<_> = all.iter().filter_map(Figures::to_json).collect();
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        all.iter().for_each(|figures| print!("{}", figures.report(args.rounds)));
    }
    Ok(())
}

fn run_round(
    programs: &Programs,
    target: &Path,
    round: usize,
    figures: &mut Figures,
) -> Result<()> {
    for contender in in_turns(vec![Contender::Towpath, Contender::TowpathNotDurable], round) {
        let sandbox = Sandbox::start(&programs.towpath, figures.receivers)?;
        let home = tempfile::Builder::new().prefix("bench-").tempdir_in(target)?;
        write_config(home.path(), &sandbox.access)?;
        let mut command = programs.command(contender, &sandbox.access, home.path());
        let log = home.path().join("log");
        let said = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let (measured, status) = measure(&mut command)?;
        if !status.success() {
            bail!("{} failed ({status}):\n{}", contender.name(), fs::read_to_string(log)?);
        }
        delivered::check_counts(&sandbox, figures.receivers).context(contender.name())?;
        eprintln!(
            "{} receivers: {}: {:.3} s CPU, {:.3} s wall",
            figures.receivers,
            contender.name(),
            measured.cpu,
            measured.wall
        );
        if contender == Contender::Towpath {
            figures.durable.push(measured);
            figures.syncs = syncs(home.path())?;
        } else {
            figures.not_durable.push(measured);
        }
    }
    Ok(())
}

/// How often a store waited for the disk: its mark says so.
fn syncs(home: &Path) -> Result<u64> {
    let mark = fs::read(home.join("state/mark")).context("could not read the store's mark")?;
    let number = mark.first_chunk().context("the store's mark is too short")?;
    Ok(u64::from_be_bytes(*number))
}

impl Figures {
    /// The medians, and the share of the wall that durability takes.
    fn result(&self) -> Option<(Measured, Measured, f64)> {
        let (durable, not_durable) = (median(&self.durable)?, median(&self.not_durable)?);
        Some((durable, not_durable, 1.0 - not_durable.wall / durable.wall))
    }

    /// Syncs for each batch of events.
    fn syncs_a_batch(&self) -> f64 {
        count(usize::try_from(self.syncs).unwrap_or(usize::MAX))
            / count(self.receivers.div_ceil(BATCH))
    }

    fn to_json(&self) -> Option<Value> {
        let (durable, not_durable, share) = self.result()?;
        let figures = |measured: Measured| {
            json!({
                "cpuSeconds": measured.cpu,
                "wallSeconds": measured.wall,
                "peakMemoryBytes": measured.memory,
            })
        };
        Some(json!({
            "receivers": self.receivers,
            "towpath": figures(durable),
            "towpathNotDurable": figures(not_durable),
            "durabilityShareOfWall": { "value": share, "budget": DURABILITY },
            "syncsABatch": self.syncs_a_batch(),
        }))
    }

    fn report(&self, rounds: usize) -> String {
        let Some((durable, not_durable, share)) = self.result() else { return String::new() };
        let mut text = format!(
            "\njournal, {} events in batches of {BATCH}, median of {rounds}\n  {:<22}{:>10}{:>10}{:>12}{:>14}{:>12}\n",
            self.receivers, "", "CPU s", "wall s", "memory MB", "events/s", "CPU µs each"
        );
        for (contender, measured) in
            [(Contender::Towpath, durable), (Contender::TowpathNotDurable, not_durable)]
        {
            text.push_str(&format!(
                "  {:<22}{:>10.3}{:>10.3}{:>12.1}{:>14.0}{:>12.1}\n",
                contender.name(),
                measured.cpu,
                measured.wall,
                bytes(measured.memory) / 1e6,
                count(self.receivers) / measured.wall,
                measured.cpu / count(self.receivers) * 1e6,
            ));
        }
        let verdict = if share <= DURABILITY { "kept" } else { "MISSED" };
        text.push_str(&format!(
            "  durability and journal, share of wall: {:.2} % (budget {} %: {verdict})\n  \
             syncs: {}, {:.2} a batch and its page\n",
            share * 100.0,
            DURABILITY * 100.0,
            self.syncs,
            self.syncs_a_batch(),
        ));
        text
    }
}
