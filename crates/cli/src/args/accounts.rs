//! `towpath accounts`, as clap reads it.

use clap::{Args, Subcommand};

pub(crate) const HELP: &str = "\
An account is paused when its credentials are refused: flows that use it ask and send nothing. A
request probes it after a minute, then after twice as long, up to an hour. It is used again when a
probe passes, when one of its settings is another one, or after `towpath accounts resume`.

A circuit breaker opens when, of at least 20 requests of one class in a minute, three quarters
failed: no answer, 429 or 5xx. A request probes after 10 s, then after twice as long, up to 5
minutes or as long as the system asks.";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Accounts {
    #[command(subcommand)]
    pub(crate) command: Option<Change>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Uses an account again: ends its pause and closes its circuit breakers.
    ///
    /// The next run that needs it asks at once. What was refused before is refused again unless
    /// the account's settings or the system changed.
    Resume {
        /// The account's name in towpath.yaml.
        #[arg(value_name = "NAME")]
        name: String,
    },
}
