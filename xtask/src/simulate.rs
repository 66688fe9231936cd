//! `cargo xtask simulate`: runs the engine in made-up worlds, one a seed, and looks at every step.

use anyhow::Result;

use crate::cargo::{cargo, succeed};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds: 10,000, or with `--seed` alone that one; with `--minutes` as many as fit.
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed; told again, it is exactly as it was.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Stops after so many minutes.
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// Simulates with the release build, some times faster once it is built.
    #[arg(long)]
    release: bool,
}

/// Runs the simulation that the ordinary tests run for some hundred seeds.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = cargo(["test", "-p", "towpath-tests", "--test", "simulation"]);
    if args.release {
        command.arg("--release");
    }
    command.args(["--", "--ignored", "--exact", "--nocapture", "slow_simulate"]);
    let seeds = match (args.seeds, args.seed, args.minutes) {
        (Some(seeds), _, _) => seeds,
        (None, _, Some(_)) => u64::MAX,
        (None, Some(_), None) => 1,
        (None, None, None) => 10_000,
    };
    command
        .env("TOWPATH_SIMULATE_SEEDS", seeds.to_string())
        .env("TOWPATH_SIMULATE_SEED", args.seed.unwrap_or(0).to_string());
    if let Some(minutes) = args.minutes {
        command.env("TOWPATH_SIMULATE_MINUTES", minutes.to_string());
    }
    succeed(&mut command)
}
