//! `cargo xtask bench main-job`: each contender does the job in turn, round by round.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::contender::{Contender, Programs, in_turns, write_config};
use super::delivered;
use super::measured::{Measured, measure};
use super::report::{Figures, Report};
use super::sandbox::Sandbox;
use crate::cargo::{cargo, metadata, root, succeed};

/// How often the flow polls once more in each round, behind the first poll after the job.
const POLLS: usize = 5;

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

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.rounds == 0 || args.receivers.contains(&0) {
        bail!("at least one round and one receiver");
    }
    succeed(&mut cargo(["build", "--release", "-p", "towpath", "-p", "main-job-by-hand"]))?;
    let target = metadata()?.target_directory;
    let programs = Programs {
        towpath: target.join("release/towpath"),
        by_hand: target.join("release/main-job-by-hand"),
        folder: root().join("benches/main-job"),
    };
    let mut report = Report { rounds: args.rounds, jobs: vec![] };
    for &receivers in &args.receivers {
        let mut figures = Figures { receivers, ..Figures::default() };
        for round in 1..=args.rounds {
            run_round(&programs, &target, round, &mut figures)
                .with_context(|| format!("{receivers} receivers, round {round}"))?;
        }
        report.jobs.push(figures);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report.to_json())?);
    } else {
        print!("{report}");
    }
    Ok(())
}

fn run_round(
    programs: &Programs,
    target: &Path,
    round: usize,
    figures: &mut Figures,
) -> Result<()> {
    let receivers = figures.receivers;
    let mut first: Option<BTreeMap<_, _>> = None;
    for contender in in_turns(programs.contenders(), round) {
        // A sandbox for each, so that nobody finds its pages warm; state beside the build, since
        // the folder for temporary files may be memory, where a commit costs nothing.
        let sandbox = Sandbox::start(&programs.towpath, receivers)?;
        let home = tempfile::Builder::new().prefix("bench-").tempdir_in(target)?;
        write_config(home.path(), &sandbox.access)?;
        let command = || programs.command(contender, &sandbox.access, home.path());
        let log = home.path().join("log");
        let measured = finish(contender, command(), &log)?;
        eprintln!(
            "{receivers} receivers, round {round}: {}: {:.3} s CPU, {:.3} s wall",
            contender.name(),
            measured.cpu,
            measured.wall
        );
        figures.runs.entry(contender).or_default().push(measured);
        delivered::check_counts(&sandbox, receivers).context(contender.name())?;
        if round == 1 {
            let arrived = delivered::fetch(&sandbox).context(contender.name())?;
            match &first {
                None => first = Some(arrived),
                Some(first) => delivered::compare(first, &arrived).context(contender.name())?,
            }
        }
        if contender == Contender::Towpath {
            figures.reopened.push(finish(contender, command(), &log)?);
            for _ in 0..POLLS {
                figures.nothing_new.push(finish(contender, command(), &log)?);
            }
            // Had it sent anything again, there were more by now.
            delivered::check_counts(&sandbox, receivers).context("a second run")?;
        }
    }
    Ok(())
}

/// Measures a contender; what it said is shown if it fails.
fn finish(contender: Contender, mut command: Command, log: &Path) -> Result<Measured> {
    let said = File::create(log)?;
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    let (measured, status) = measure(&mut command)?;
    if !status.success() {
        bail!("{} failed ({status}):\n{}", contender.name(), std::fs::read_to_string(log)?);
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    /// A flow file includes no other file, so what is pinned stands in it a second time.
    #[test]
    fn the_flow_holds_what_is_pinned() {
        macro_rules! pinned {
            ($name:literal) => {
                include_str!(concat!("../../../benches/main-job/", $name))
            };
        }
        let plain = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        let flow = plain(pinned!("flow.yaml"));
        assert!(flow.contains(&plain(pinned!("contact-to-profile.jsonata"))), "the mapping");
        assert!(flow.contains(&plain(pinned!("record.json"))), "the record");
        assert!(flow.contains(&plain(pinned!("profile.json"))), "the profile");
    }
}
