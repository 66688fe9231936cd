//! `towpath flow`, as clap reads it.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Flow {
    /// Lists the flows of a running service: when each runs next, and which are paused.
    List,
    /// Pauses a flow: a service runs it only when somebody says so, also after a restart.
    ///
    /// A run under way goes on to its end. Without a running service it is kept for the next one.
    Pause {
        /// The flow's name or file.
        #[arg(value_name = "FLOW")]
        flow: String,
        /// Why, for whoever wonders later.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Lets a paused flow run on its schedule again.
    Resume {
        /// The flow's name or file.
        #[arg(value_name = "FLOW")]
        flow: String,
    },
    /// Has a running service run a flow now, also if it is paused or has no schedule.
    ///
    /// Without a service, `towpath run FLOW --once` runs it.
    Run {
        /// The flow's name or file.
        #[arg(value_name = "FLOW")]
        flow: String,
    },
}
