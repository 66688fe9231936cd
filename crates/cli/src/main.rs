//! The binary `towpath`: reads the command line and wires everything together.

mod accounts;
mod again;
mod args;
mod around;
mod commands;
mod connect;
mod difference;
mod doctor;
mod engines;
mod examples;
mod exit;
mod folder;
mod held;
mod hold;
mod hub;
mod keeper;
mod keys;
mod left_alone;
mod log;
mod opposite;
mod progress;
mod project;
mod question;
mod reference;
mod registry;
mod remote;
mod scaffold;
mod serve;
mod signals;
mod times;
mod trial;
mod vault;

use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::exit::{Failed, Result};

/// Most of what a run does is allocating: this one takes a quarter less CPU than the usual
/// system's and holds less (docs/decisions/0009).
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Mappings run on blocking threads, where deep data needs room.
const STACK: usize = 8 * 1024 * 1024;

fn main() -> ExitCode {
    let cli = examples::parse();
    let (form, levels) = match &cli.command {
        Command::Serve(args) => (args.log, args.log_level.as_deref()),
        _ => (log::Form::Text, None),
    };
    if let Err(Failed { exit, error }) = log::start(form, levels) {
        progress::say(&format!("error: {error:#}"));
        return exit.into();
    }
    engines::quiet_caught_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()
        .map_err(Failed::from);
    let ready = hold::from_environment().and(runtime);
    let done = ready.and_then(|runtime| runtime.block_on(run(cli)));
    match done {
        Ok(exit) => exit.into(),
        Err(Failed { exit, error }) => {
            progress::say(&format!("error: {error:#}"));
            exit.into()
        }
    }
}

async fn run(cli: Cli) -> Result {
    let (config, json) = (cli.config.as_deref(), cli.json);
    match cli.command {
        Command::Demo(args) => commands::demo::run(args, json).await,
        Command::New(args) => commands::new::run(config, &args, json),
        Command::Import(args) => commands::import::run(config, &args, json),
        Command::Check(args) => commands::check::run(config, &args, json).await,
        Command::Test(args) => commands::test::run(config, &args, json).await,
        Command::Map(args) => commands::map::run(config, &args, json).await,
        Command::Schedule(args) => commands::schedule::run(config, &args, json),
        Command::Run(args) => commands::run::run(config, &args, json).await,
        Command::Serve(args) => commands::serve::run(config, &args, json).await,
        Command::Flow(command) => commands::flow::run(config, command, json).await,
        Command::Token(command) => commands::token::run(config, command, json).await,
        Command::Open => commands::open::run(config, json).await,
        Command::Sandbox(args) => commands::sandbox::run(args, json).await,
        Command::State(command) => commands::state::run(config, command, json).await,
        Command::Accounts(args) => commands::accounts::run(config, args, json).await,
        Command::DeadLetters(command) => commands::dead_letters::run(config, command, json).await,
        Command::Why(args) => commands::why::run(config, args, json).await,
        Command::Doctor(args) => commands::doctor::run(config, &args, json).await,
        Command::Secret(command) => commands::secret::run(config, command, json).await,
        Command::Store(command) => commands::store::run(config, command, json).await,
        Command::Completions { shell } => commands::completions::run(shell),
        Command::Schema { of, write } => commands::schema::run(config, of, write),
        Command::Connectors { name } => commands::connectors::run(name.as_deref(), json),
        Command::PartnerKit(args) => commands::partner_kit::run(&args, json),
        Command::Reference => commands::reference::run(json),
    }
}
