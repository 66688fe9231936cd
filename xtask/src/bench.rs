//! `cargo xtask bench`: measures against the budgets.

mod contender;
mod delivered;
mod main_job;
mod measured;
mod report;
mod sandbox;
mod seen;

use anyhow::Result;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// All receivers of a group to profiles, beside the smallest program written by hand.
    MainJob(main_job::Args),
    /// Remembering every record of a large group, and sweeping over them.
    Seen(seen::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::MainJob(args) => main_job::run(args),
        What::Seen(args) => seen::run(args),
    }
}
