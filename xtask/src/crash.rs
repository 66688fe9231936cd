//! `cargo xtask crash`: kills the binary at named points and at random moments of a large run.

use anyhow::Result;

use crate::cargo::{cargo, succeed};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The points to kill at: `all`, `none`, or the name of one.
    #[arg(long, default_value = "all", value_name = "NAME")]
    points: String,
    /// How many times to kill at a random moment.
    #[arg(long, default_value_t = 10, value_name = "N")]
    random: usize,
    /// Plays so many rounds instead: a process is killed or not while the systems misbehave.
    #[arg(long, value_name = "N", conflicts_with_all = ["points", "random"])]
    rounds: Option<u64>,
    /// Plays one round again, by its number.
    #[arg(long, value_name = "N", conflicts_with_all = ["points", "random", "rounds"])]
    round: Option<u64>,
    /// What the random moments depend on: the same seed gives the same plans.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
    /// How many receivers there are.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    receivers: usize,
    /// How many pages are on their way at once.
    #[arg(long, default_value_t = 4, value_name = "N")]
    window: usize,
    /// Kills the release build.
    #[arg(long)]
    release: bool,
}

/// Runs the story that the ordinary tests run small.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = cargo(["test", "-p", "towpath", "--test", "crash"]);
    if args.release {
        command.arg("--release");
    }
    let rounds = args.rounds.or(args.round.map(|_| 1));
    let test = if rounds.is_some() { "whole::slow_rounds" } else { "whole::slow_whole" };
    command
        .args(["--", "--ignored", "--exact", "--nocapture", test])
        .env("TOWPATH_CRASH_ROUNDS", rounds.unwrap_or(0).to_string())
        .env("TOWPATH_CRASH_ROUND", args.round.unwrap_or(0).to_string())
        .env("TOWPATH_CRASH_POINTS", &args.points)
        .env("TOWPATH_CRASH_RANDOM", args.random.to_string())
        .env("TOWPATH_CRASH_SEED", args.seed.to_string())
        .env("TOWPATH_CRASH_WINDOW", args.window.to_string())
        .env("TOWPATH_CRASH_RECEIVERS", args.receivers.to_string());
    succeed(&mut command)
}
