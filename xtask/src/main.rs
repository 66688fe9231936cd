//! `cargo xtask`: what developers run, in a few verbs.
//!
//! One verb a file; `cargo.rs` starts the tools. Nothing has to be installed but the Rust
//! toolchain. It knows nothing of the crates' insides: it looks at files, at `cargo metadata` and
//! at the finished programs, as anybody could.

// A tool for the terminal: printing is what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to a terminal")]

mod bench;
mod cargo;
mod check;
mod crash;
mod new_connector;
mod record;
mod schema;
mod schemathesis;
mod simulate;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What developers run.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs all tests. Needs the Rust toolchain; where there is Python, schemathesis runs too.
    Test(test::Args),
    /// Checks format, lints, arrows between crates, generated files, bans and file sizes.
    Check,
    /// Writes the generated files.
    Schema(schema::Args),
    /// Measures against the budgets.
    Bench(bench::Args),
    /// Kills the binary at named points and random moments; nothing may be lost.
    Crash(crash::Args),
    /// Runs the engine in made-up worlds, one a seed, in which everything goes wrong.
    Simulate(simulate::Args),
    /// Asks the API of a real service whatever comes to schemathesis' mind.
    Schemathesis(schemathesis::Args),
    /// Records a connector's stories against its sandbox or a real account.
    Record(record::Args),
    /// Writes a new connector, its acceptance test and its line in the registry.
    NewConnector(new_connector::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Test(args) => test::run(&args),
        Verb::Check => check::run(),
        Verb::Schema(args) => schema::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Crash(args) => crash::run(&args),
        Verb::Simulate(args) => simulate::run(&args),
        Verb::Schemathesis(args) => schemathesis::run(&args),
        Verb::Record(args) => record::run(&args),
        Verb::NewConnector(args) => new_connector::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
