//! `towpath doctor`, as clap reads it.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Also asks the system of each account whether it takes the credentials.
    #[arg(long)]
    pub(crate) online: bool,
}
