//! The command line, as clap reads it.

mod accounts;
mod completions;
mod dead_letters;
mod doctor;
mod flow;
mod import;
mod map;
mod new;
mod partner_kit;
mod secret;
mod state;
mod store;
mod token;
mod why;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ::flow::config::Listen;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use connector::Timestamp;

pub(crate) use accounts::{
    Accounts, Add as AccountAdd, Change as AccountChange, Hooks as HooksCommand,
};
pub(crate) use dead_letters::{DeadLetters, Standing, Which};
pub(crate) use doctor::Doctor;
pub(crate) use flow::Flow;
pub(crate) use import::Import;
pub(crate) use map::Map;
pub(crate) use new::New;
pub(crate) use partner_kit::PartnerKit;
pub(crate) use secret::Secret;
pub(crate) use state::{Rewind, State};
pub(crate) use store::Store;
pub(crate) use token::Token;
pub(crate) use why::Why;

use crate::log::{Form, levels};
use crate::{exit, times};

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
    /// Makes a project: towpath.yaml, a commented flow and a test of it.
    ///
    /// In a folder with a towpath.yaml it adds a flow and tells which accounts that needs. A file
    /// that is there already is left alone: then nothing is written.
    #[command(after_help = new::HELP)]
    New(New),
    /// Makes flow files of flows of Open Integration Hub.
    ///
    /// Its graph becomes a trigger and steps, with its schedule, fields and mappings. What has no
    /// counterpart is noted, in the file and here. Reads files only.
    #[command(after_help = import::HELP)]
    Import(Import),
    /// Checks flow files and towpath.yaml: every mistake at its line. Reads files only.
    Check(Check),
    /// Runs the tests in flow files: what would be sent for which record. Reads files only.
    Test(Test),
    /// Tries a flow's mappings on records: what would be sent, or where a mapping fails.
    ///
    /// Of each record it shows the record, the message that the trigger's mapping makes of it, and
    /// for each step whether its condition lets the message pass and what would be sent. Nothing is
    /// sent. Where a mapping fails, its place in the flow file is shown, and the exit code is 7.
    #[command(after_help = map::HELP)]
    Map(Map),
    /// Shows when flows run next, in their time zone and in UTC. Reads files only.
    ///
    /// A flow's run begins a little after its tick, by its jitter: always the same for the same
    /// flow, so that flows with the same schedule spread over time. After failures and where a
    /// system asks to wait, ticks are skipped.
    #[command(after_help = SCHEDULES)]
    Schedule(Schedule),
    /// Runs a flow, once or on its schedule.
    ///
    /// The first signal (ctrl-c) lets it finish and commit what it fetched; a second one ends it
    /// at once. Either way nothing is lost: the next run goes on from the last commit.
    #[command(after_help = exit::HELP)]
    Run(Run),
    /// Runs all flows of a folder on their schedules, until a signal.
    ///
    /// One line a run. Files that change are checked: the next run is of the new version, or of
    /// the one before if the new one has mistakes. Files that are new or gone are taken up or let
    /// go. A hang-up signal looks at all files at once. Accounts that change in towpath.yaml are
    /// used from the next runs on; anything else there needs a restart.
    #[command(after_help = exit::HELP)]
    Serve(Serve),
    /// Runs, pauses and resumes the flows of a service.
    #[command(subcommand)]
    Flow(Flow),
    /// Makes, lists and revokes the tokens that a service's API takes.
    #[command(subcommand, after_help = token::HELP)]
    Token(Token),
    /// Prints a link that signs a browser in to the running service.
    Open,
    /// Serves stand-ins of CleverReach and CleverTap on loopback ports, until a signal.
    Sandbox(Sandbox),
    /// Shows and changes what flows remember.
    #[command(subcommand)]
    State(State),
    /// Connects accounts: adds, tests and lists them, and logs in for them.
    #[command(name = "account", visible_alias = "accounts", after_help = accounts::HELP)]
    Accounts(Accounts),
    /// Lists messages that were refused, and sends, changes or drops them.
    #[command(subcommand, name = "dead-letters", after_help = dead_letters::HELP)]
    DeadLetters(DeadLetters),
    /// Tells what happened to one record: delivered, filtered out, refused, unchanged, waiting.
    ///
    /// Newest last, with the answers of systems in short, as far back as that is kept: 30 days, or
    /// the newest 64 MiB of each flow.
    Why(Why),
    /// Looks at everything that may keep flows from running, and says what to do about it.
    ///
    /// Files, the key, the store and its disk, the service, accounts, flows, and the machine.
    /// Nothing is changed, and no system is asked unless `--online` says so. While a service runs,
    /// it is asked for what the store knows.
    #[command(after_help = exit::HELP)]
    Doctor(Doctor),
    /// Keeps secrets in the project's sealed vault.
    #[command(subcommand, after_help = secret::HELP)]
    Secret(Secret),
    /// Looks after what flows remember: backups, checks, compaction, new keys.
    #[command(subcommand, after_help = store::HELP)]
    Store(Store),
    /// Prints what a shell needs to complete commands and options.
    #[command(after_help = completions::HELP)]
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Shows which systems there are, and what each offers. Reads nothing.
    Connectors {
        /// A connector, or one of its triggers and actions: `cleverreach.upsertReceiver`.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Writes the document that a partner of a system hands in there, and checks its logo.
    #[command(after_help = partner_kit::HELP)]
    PartnerKit(PartnerKit),
    /// Prints the pages of the reference.
    #[command(hide = true)]
    Reference,
    /// Prints the JSON Schema of a file, for editors.
    Schema {
        /// Which file.
        #[arg(value_enum, default_value_t = Schema::Flow)]
        of: Schema,
        /// Writes both into `.towpath` beside towpath.yaml instead, where the first line of new
        /// files leads editors; after an update of towpath, or in a fresh clone.
        #[arg(long)]
        write: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many receivers the sandbox holds.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub(crate) receivers: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) files: Files,
    /// How findings are printed [default: text, or json with --json]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Checks again whenever one of the files changes, until a signal.
    #[arg(long)]
    pub(crate) watch: bool,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: the line of each finding, and a caret under its place.
    Text,
    /// A JSON value a line and finding.
    Json,
    /// SARIF 2.1.0, which code hosts and editors read.
    Sarif,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Runs the tests again whenever one of the files changes, until a signal.
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Flow files or folders of them; without any, the folder `flows` or this one.
    #[arg(value_name = "FLOW")]
    pub(crate) flows: Vec<PathBuf>,
}

const SCHEDULES: &str = "\
Schedules are in the flow files:
  every: 5m                     so long after a run began the next one does
  cron: \"30 6 * * MON-FRI\"      minute, hour, day, month, weekday
  timezone: Europe/Berlin       of cron; UTC without it

Where clocks change, a fixed time that is left out runs once, right after the gap, and one that
comes twice runs the first time. Where minute or hour begins with `*`, runs go on in real time.";

#[derive(Debug, Args)]
pub(crate) struct Schedule {
    /// Flow files, folders of them, or names of flows in `flows`; without any, the folder `flows`
    /// or this one.
    #[arg(value_name = "FLOW")]
    pub(crate) flows: Vec<PathBuf>,
    /// How many ticks of each flow are shown.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) next: u16,
    /// Shows the ticks after this moment instead of now, such as 2026-03-28T12:00:00Z or
    /// now-2h.
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    pub(crate) from: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The flow file, or the name of a flow in `flows`.
    #[arg(value_name = "FLOW")]
    pub(crate) flow: String,
    /// Runs it once now, whatever its schedule.
    #[arg(long)]
    pub(crate) once: bool,
    /// Runs it once now, reads everything, and sends all that is gone, also where it is more than
    /// the trigger's `maxDeletes` allows. What the reading before still found is not gone yet.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) allow_deletes: bool,
    /// Polls from the stored snapshot and prints the first 10 inputs of each step, one JSON value
    /// a line; sends and commits nothing, and does not sweep. Of a step that reads results of
    /// others it tells which, since there are none.
    #[arg(long, conflicts_with = "once")]
    pub(crate) dry_run: bool,
    /// Begins a backfill and runs the flow once: what changed since this time is sent again, page
    /// by page between those of what changes now. If it is stopped, the next run goes on with it.
    /// A time is 2026-03-28T12:00:00Z, 2026-03-28, now-2h, or seconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = times::moment, conflicts_with = "dry_run")]
    pub(crate) from: Option<Timestamp>,
    /// Leaves out of the backfill what changed later than this.
    #[arg(long, value_name = "TIME", value_parser = times::moment, requires = "from")]
    pub(crate) until: Option<Timestamp>,
    /// Ends the backfill under way, and runs nothing.
    #[arg(long, conflicts_with_all = ["once", "dry_run", "from"])]
    pub(crate) stop_backfill: bool,
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
pub(crate) struct Serve {
    /// The folder of flow files; without one, the folder `flows` or this one.
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// How many runs may be under way at once; a run that is due waits for its turn.
    #[arg(long, default_value = "64", value_name = "N")]
    pub(crate) max_runs: NonZeroUsize,
    /// The address of the API, or `off` [default: 127.0.0.1:7070, or a free port if that is taken]
    ///
    /// Any other than loopback needs a token first: `towpath token create`.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<Listen>,
    /// The address of webhooks and the OAuth callback alone, which everybody may reach.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) public_listen: Option<Listen>,
    /// How long fetched pages may take to be delivered after the first signal, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) grace: Duration,
    /// How standard error is written. With `json` all that the service says is there, an object a
    /// line, and only `--json` prints anything else.
    #[arg(long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    pub(crate) log: Form,
    /// What is logged: `off`, `error`, `warn`, `info`, `debug` or `trace`, also for parts:
    /// `warn,towpath_engine=debug` [default: TOWPATH_LOG, else warn, and info with `--log json`]
    #[arg(long, value_name = "LEVELS", value_parser = levels)]
    pub(crate) log_level: Option<String>,
    /// Says what the files as they are now would make of the state that is kept, and runs nothing.
    #[arg(long)]
    pub(crate) plan: bool,
}

/// Where the sandbox serves CleverReach by default.
pub(crate) const CLEVERREACH_PORT: u16 = 4010;
/// Where the sandbox serves CleverTap by default.
pub(crate) const CLEVERTAP_PORT: u16 = 4020;

#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    /// How many receivers CleverReach holds.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub(crate) receivers: usize,
    /// The port of CleverReach; 0 takes any that is free.
    #[arg(long, default_value_t = CLEVERREACH_PORT, value_name = "PORT")]
    pub(crate) cleverreach_port: u16,
    /// The port of CleverTap; 0 takes any that is free.
    #[arg(long, default_value_t = CLEVERTAP_PORT, value_name = "PORT")]
    pub(crate) clevertap_port: u16,
    /// Answers without a `Date` header.
    #[arg(long)]
    pub(crate) no_date: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Schema {
    /// A flow file.
    Flow,
    /// towpath.yaml.
    Config,
    /// The API of a service, as an OpenAPI 3.1 document.
    Api,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: u64 = text.parse().map_err(|_| "a whole number of seconds".to_owned())?;
    Ok(Duration::from_secs(seconds))
}
