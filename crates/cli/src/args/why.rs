//! `towpath why`, as clap reads it.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The record's key in the system that it comes from, or the id of a message or a dead letter.
    #[arg(value_name = "RECORD")]
    pub(crate) record: String,
    /// Only in this flow: its name or file.
    #[arg(long, value_name = "FLOW")]
    pub(crate) flow: Option<String>,
    /// How much of what happened is shown at most, the newest of it.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: usize,
}
