//! The command line, as clap reads it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit;

/// Runs integration flows: what changed in one system is mapped and written to others.
///
/// A flow is a YAML file; accounts are in towpath.yaml. Start with `towpath demo`.
#[derive(Debug, Parser)]
#[command(name = "towpath", version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// The file with accounts, vars and limits [default: towpath.yaml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Prints JSON, one value a line, for machines.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows a flow at work, against sandboxes on this machine.
    ///
    /// Makes a new directory with a key, a store and a flow of its own, starts a sandbox of
    /// CleverReach with 10,000 receivers and one of CleverTap, runs the flow, changes 25
    /// receivers, and runs it again.
    Demo(Demo),
    /// Checks flow files and towpath.yaml: every mistake at its line. Reads files only.
    Check(Files),
    /// Runs the tests in flow files: what would be sent for which record. Reads files only.
    Test(Files),
    /// Runs a flow, once or on its schedule.
    ///
    /// The first signal (ctrl-c) lets it finish and commit what it fetched; a second one ends it
    /// at once. Either way nothing is lost: the next run goes on from the last commit.
    #[command(after_help = exit::HELP)]
    Run(Run),
    /// Serves stand-ins of CleverReach and CleverTap on loopback ports, until a signal.
    Sandbox(Sandbox),
    /// Shows and changes what flows remember.
    #[command(subcommand)]
    State(State),
    /// Lists and shows messages that were refused.
    #[command(subcommand, name = "dead-letters")]
    DeadLetters(DeadLetters),
    /// Prints the JSON Schema of a file, for editors.
    Schema {
        /// Which file.
        #[arg(value_enum, default_value_t = Schema::Flow)]
        of: Schema,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many receivers the sandbox holds.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub(crate) receivers: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Flow files or folders of them; without any, the folder `flows` or this one.
    #[arg(value_name = "FLOW")]
    pub(crate) flows: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The flow file, or the name of a flow in `flows`.
    #[arg(value_name = "FLOW")]
    pub(crate) flow: String,
    /// Runs it once now, whatever its schedule.
    #[arg(long)]
    pub(crate) once: bool,
    /// Polls from the stored snapshot and prints the first 10 inputs of each step, one JSON value
    /// a line; sends and commits nothing.
    #[arg(long, conflicts_with = "once")]
    pub(crate) dry_run: bool,
    /// How long fetched pages may take to be delivered after the first signal, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) grace: Duration,
    /// For comparison only: what is committed may be lost when the machine stops.
    #[arg(long, hide = true, value_enum, default_value_t = Durability::Full)]
    pub(crate) durability: Durability,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    Full,
    None,
}

#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    /// How many receivers CleverReach holds.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub(crate) receivers: usize,
    /// The port of CleverReach; 0 takes any that is free.
    #[arg(long, default_value_t = 4010, value_name = "PORT")]
    pub(crate) cleverreach_port: u16,
    /// The port of CleverTap; 0 takes any that is free.
    #[arg(long, default_value_t = 4020, value_name = "PORT")]
    pub(crate) clevertap_port: u16,
    /// Answers without a `Date` header.
    #[arg(long)]
    pub(crate) no_date: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum State {
    /// Shows a flow's snapshot, counts and last runs; without a name, which flows have state.
    Show {
        /// The flow's name or file.
        #[arg(value_name = "FLOW")]
        flow: Option<String>,
    },
    /// Goes on from the stored snapshot although the flow reads another source now.
    Keep {
        /// The flow file, or the name of a flow in `flows`.
        #[arg(value_name = "FLOW")]
        flow: String,
    },
    /// Forgets the snapshot: the next run reads and sends everything again.
    Reset {
        /// The flow file, or the name of a flow in `flows`.
        #[arg(value_name = "FLOW")]
        flow: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// Lists refused messages, newest first.
    List {
        /// Only those of this flow.
        #[arg(value_name = "FLOW")]
        flow: Option<String>,
    },
    /// Shows one with its reason and the whole message.
    Show {
        /// Its id, or the beginning of it.
        #[arg(value_name = "ID")]
        id: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Schema {
    /// A flow file.
    Flow,
    /// towpath.yaml.
    Config,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: u64 = text.parse().map_err(|_| "a whole number of seconds".to_owned())?;
    Ok(Duration::from_secs(seconds))
}
