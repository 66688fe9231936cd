//! `towpath state`, as clap reads it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use connector::Timestamp;

use crate::times;

#[derive(Debug, Subcommand)]
pub(crate) enum State {
    /// Shows where a flow stands and how its last runs went; without a name, which flows have
    /// state.
    Show {
        /// The flow's name or file.
        #[arg(value_name = "FLOW")]
        flow: Option<String>,
    },
    /// Shows the last 50 snapshots of a flow: when each was made, and by what.
    History {
        /// The flow's name or file.
        #[arg(value_name = "FLOW")]
        flow: String,
    },
    /// Goes back: what was settled since then is sent again.
    ///
    /// Says what that means and asks first. Taken back by a rewind to the entry before.
    Rewind(Rewind),
    /// Puts a snapshot of your own in the place of the stored one.
    ///
    /// It is JSON, as `state export` shows under `snapshot`, or `{ "lastUpdated": TIME }` for all
    /// partitions. What is wrong with it is told field by field, and nothing is changed.
    Set {
        /// The flow file, or the name of a flow in `flows`.
        #[arg(value_name = "FLOW")]
        flow: String,
        /// The snapshot, or `-` for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
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
    /// Prints a flow's state as JSON, for `state import`.
    Export {
        /// The flow's name or file.
        #[arg(value_name = "FLOW")]
        flow: String,
        /// Adds every record that was settled, one a line, as keyed hashes: a store with the same
        /// key goes on from it without sending any again.
        #[arg(long)]
        seen: bool,
    },
    /// Takes over what `state export` wrote, or `{ "lastUpdated": seconds }` of Open Integration
    /// Hub.
    Import {
        /// The flow file, or the name of a flow in `flows`.
        #[arg(value_name = "FLOW")]
        flow: String,
        /// The document, or `-` for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("where").required(true).args(["to", "to_entry", "by"]))]
pub(crate) struct Rewind {
    /// The flow file, or the name of a flow in `flows`.
    #[arg(value_name = "FLOW")]
    pub(crate) flow: String,
    /// To a time: 2026-03-28T12:00:00Z, 2026-03-28, now-2h, or seconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    pub(crate) to: Option<Timestamp>,
    /// To an entry of `towpath state history`.
    #[arg(long, value_name = "N")]
    pub(crate) to_entry: Option<u64>,
    /// So far before its `lastUpdated`, such as 2h or 1d12h.
    #[arg(long, value_name = "DURATION", value_parser = times::duration)]
    pub(crate) by: Option<Duration>,
    /// Does not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}
