//! `cargo xtask bench seen`: what it takes to remember every record, and to find nothing new in a
//! sweep over all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::contender::{Contender, Programs, write_config};
use super::measured::{Measured, measure};
use super::report::{ENTRY, MEMORY};
use super::sandbox::Sandbox;
use crate::cargo::{cargo, metadata, root, succeed};

/// What a flow over this many records takes is shown beside what one over more does.
const SMALL: usize = 10_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many records are remembered.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    receivers: usize,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// One run of the flow: what it is called, how many messages it must send, what it used.
struct Step {
    name: &'static str,
    sent: u64,
    used: Measured,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.receivers < SMALL {
        bail!("at least {SMALL} receivers");
    }
    succeed(&mut cargo(["build", "--release", "-p", "towpath"]))?;
    let target = metadata()?.target_directory;
    let programs = Programs {
        towpath: target.join("release/towpath"),
        by_hand: PathBuf::new(),
        folder: root().join("benches/main-job"),
    };
    let small = story(&programs, &target, SMALL)?;
    let large = story(&programs, &target, args.receivers)?;
    if args.json {
        let figures = |steps: &[Step]| -> Vec<Value> { steps.iter().map(figures).collect() };
        let report = json!({ "small": figures(&small), "large": figures(&large) });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report(&small, &large, args.receivers));
    }
    Ok(())
}

/// Reads everything once, sweeps over what did not change, over one edit of a tag and over opens,
/// and polls for one dated change.
fn story(programs: &Programs, target: &Path, receivers: usize) -> Result<Vec<Step>> {
    let sandbox = Sandbox::start(&programs.towpath, receivers)?;
    let home = tempfile::Builder::new().prefix("bench-").tempdir_in(target)?;
    write_config(home.path(), &sandbox.access)?;
    let flow = fs::read_to_string(programs.folder.join("flow.yaml"))?;
    let write = |sweep: &str| -> Result<PathBuf> {
        let path = home.path().join("main-job.yaml");
        let text = flow.replacen("  fields:\n", &format!("  sweep: {sweep}\n  fields:\n"), 1);
        fs::write(&path, text)?;
        Ok(path)
    };
    let mut sent = 0;
    let mut steps = vec![];
    let all = receivers as u64;
    let opens = json!({ "count": receivers / 10, "what": "opens" });
    for (name, sweep, touch, expected) in [
        ("first scan", "off", None, all),
        ("sweep, nothing changed", "1s", None, 0),
        ("sweep once more", "1s", None, 0),
        ("sweep, one tag changed", "1s", Some(json!({ "count": 1, "what": "tags" })), 1),
        ("sweep, a tenth opened", "1s", Some(opens), 0),
        ("poll, one change", "off", Some(json!({ "count": 1 })), 1),
        ("poll, nothing new", "off", None, 0),
    ] {
        if let Some(touch) = touch {
            sandbox.post("/_sandbox/touch", &touch)?;
        }
        if sweep != "off" {
            // Until it is due again: no interval is shorter than a second.
            std::thread::sleep(Duration::from_millis(1_100));
        }
        let (access, flow) = (&sandbox.access, write(sweep)?);
        let mut command = programs.command_with(Contender::Towpath, &flow, access, home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let (used, status) = measure(&mut command)?;
        if !status.success() {
            bail!("{name}: the run failed ({status})");
        }
        let before = std::mem::replace(&mut sent, accepted(&sandbox)?);
        if sent - before != expected {
            bail!("{name}: {} messages instead of {expected}", sent - before);
        }
        eprintln!("{receivers} receivers, {name}: {:.3} s CPU, {:.3} s wall", used.cpu, used.wall);
        steps.push(Step { name, sent: sent - before, used });
    }
    Ok(steps)
}

fn accepted(sandbox: &Sandbox) -> Result<u64> {
    #[derive(Deserialize)]
    struct Stats {
        clevertap: Counts,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Counts {
        records_accepted: u64,
    }
    Ok(sandbox.get::<Stats>("/_sandbox/stats")?.clevertap.records_accepted)
}

fn figures(step: &Step) -> Value {
    json!({
        "name": step.name,
        "sent": step.sent,
        "cpuSeconds": step.used.cpu,
        "wallSeconds": step.used.wall,
        "peakMemoryBytes": step.used.memory,
    })
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn report(small: &[Step], large: &[Step], receivers: usize) -> String {
    let mut text = format!(
        "\nseen, {receivers} records\n  {:<26}{:>8}{:>10}{:>10}{:>12}{:>18}{:>12}\n",
        "", "sent", "CPU s", "wall s", "memory MB", "budget MB", "of 10,000"
    );
    for (small, large) in small.iter().zip(large) {
        let budget = ENTRY.mul_add(receivers as f64, MEMORY) / 1e6;
        let memory = large.used.memory as f64 / 1e6;
        let verdict = if memory <= budget { "kept" } else { "MISSED" };
        let entries = ENTRY * (receivers - SMALL) as f64;
        let without = (large.used.memory as f64 - entries) / small.used.memory as f64;
        text.push_str(&format!(
            "  {:<26}{:>8}{:>10.3}{:>10.3}{memory:>12.1}{:>18}{:>11.0}%\n",
            large.name,
            large.sent,
            large.used.cpu,
            large.used.wall,
            format!("{budget:.1}: {verdict}"),
            100.0 * without,
        ));
    }
    text.push_str(
        "  memory may be 64 MB and 40 bytes a record; the last column is what it takes less these\n  \
         bytes, against the same with 10,000 records\n",
    );
    text
}
