//! `cargo xtask bench`: measures against the budgets.

mod contender;
mod delivered;
mod idle_flows;
mod idle_report;
mod journal;
mod main_job;
mod measured;
mod report;
mod sandbox;
mod seen;
mod uploads;
mod webhooks;

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
    /// Events, each batch in the journal before it is sent.
    Journal(journal::Args),
    /// Remembering every record of a large group, and sweeping over them.
    Seen(seen::Args),
    /// A service with 10,000 flows: its start, what it takes while none is due, how late runs are.
    IdleFlows(idle_flows::Args),
    /// How many webhooks are accepted in a second, each on the disk before it is answered.
    Webhooks(webhooks::Args),
    /// A million profiles: fifteen uploads at once, and no more memory than for fewer.
    Uploads(uploads::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::MainJob(args) => main_job::run(args),
        What::Journal(args) => journal::run(args),
        What::Seen(args) => seen::run(args),
        What::IdleFlows(args) => idle_flows::run(args),
        What::Webhooks(args) => webhooks::run(args),
        What::Uploads(args) => uploads::run(args),
    }
}
