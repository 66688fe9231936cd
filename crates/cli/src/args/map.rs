//! `towpath map`, as clap reads it.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

pub(crate) const HELP: &str = "\
A message that was refused is tried like this:
  towpath dead-letters show ID --json | jq .payload.message |
    towpath map newsletter --record - --message";

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("from").required(true).args(["record", "poll", "sandbox"]))]
pub(crate) struct Map {
    /// The flow file, or the name of a flow in `flows`.
    #[arg(value_name = "FLOW")]
    pub(crate) flow: String,
    /// Takes records from a file, or from standard input as `-`: one JSON value, an array of them,
    /// or one a line. A record is what the trigger's system gives.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Takes what is in the file for messages, `{ metadata, data }`: the trigger's mapping is left
    /// out.
    #[arg(long, requires = "record")]
    pub(crate) message: bool,
    /// Takes the records that the next run would find. The trigger's system is asked; nothing is
    /// sent or remembered.
    #[arg(long)]
    pub(crate) poll: bool,
    /// Takes made-up records from a sandbox of the trigger's system in this process.
    #[arg(long)]
    pub(crate) sandbox: bool,
    /// Shows this step alone.
    #[arg(long, value_name = "ID")]
    pub(crate) step: Option<String>,
    /// Tries the JSONata expression in this file in the place of that step's mapping, or without
    /// --step of the trigger's.
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
    /// How many records are tried.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
}
