//! `towpath dead-letters`, as clap reads it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use connector::Timestamp;

use crate::times;

pub(crate) const HELP: &str = "\
A dead letter is open until it is sent after all (replayed) or a newer message of the same record is
settled (superseded). The usual way: correct the mapping or the record, then replay.
  towpath dead-letters list --flow newsletter --code T2001
  towpath map newsletter --sandbox            # the mapping, tried
  towpath dead-letters replay --flow newsletter --code T2001";

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// Lists refused messages, newest first.
    List {
        /// Only those of this flow: its name or file.
        #[arg(value_name = "FLOW", conflicts_with = "flow")]
        of: Option<String>,
        #[command(flatten)]
        which: Which,
        /// How many are listed at most [default: 50, or all with --json]
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Shows one with its reason, the whole message, and what to do next.
    Show {
        /// Its id, or the beginning of it.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Changes the message of one: a replay sends the changed one.
    ///
    /// Opens the message as JSON in the editor that $VISUAL or $EDITOR names, or takes it from a
    /// file. What differs is shown before it is kept. The message keeps its id and its record's
    /// key; results of earlier steps stay as they are.
    Edit {
        /// Its id, or the beginning of it.
        #[arg(value_name = "ID")]
        id: String,
        /// Takes the message, `{ metadata, data }`, from a file, or from standard input as `-`.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Sends messages again, from the step that refused each, by the flow as it is now.
    ///
    /// The oldest goes first. Results of earlier steps are those that were kept; what the trigger's
    /// mapping refused is mapped again. What is refused again stays open, with one more attempt.
    /// Each is marked in the commit that settles it: after a crash, the same command goes on.
    Replay {
        /// Ids, or beginnings of them; without any, options say which.
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        which: Which,
        /// All that are open.
        #[arg(long)]
        all: bool,
        /// Also those that a newer message of the same record overtook, and those that were sent
        /// already: older data goes over newer.
        #[arg(long)]
        force: bool,
    },
    /// Drops messages for good.
    ///
    /// Says how many and asks before it does.
    Drop {
        /// Ids, or beginnings of them; without any, options say which.
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        which: Which,
        /// All that are open.
        #[arg(long)]
        all: bool,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Which dead letters are meant: those that fit everything that is given.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Only those of this flow: its name or file.
    #[arg(long, value_name = "FLOW")]
    pub(crate) flow: Option<String>,
    /// Only those that this step refused; `trigger` is the trigger's mapping.
    #[arg(long, value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// Only those with this code.
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// Only those refused then or later, such as 2026-03-28T12:00:00Z or now-2h.
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    pub(crate) since: Option<Timestamp>,
    /// Only those refused before then.
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    pub(crate) until: Option<Timestamp>,
    /// Only those of the record with this key.
    #[arg(long, value_name = "RECORD")]
    pub(crate) key: Option<String>,
    /// Only those that stand so [default: open; of ids that are given, any]
    #[arg(long, value_enum, value_name = "STATE")]
    pub(crate) state: Option<Standing>,
}

impl Which {
    /// Whether nothing is given that says which.
    pub(crate) const fn is_empty(&self) -> bool {
        self.flow.is_none()
            && self.step.is_none()
            && self.code.is_none()
            && self.since.is_none()
            && self.until.is_none()
            && self.key.is_none()
            && self.state.is_none()
    }
}

/// Where dead letters stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Standing {
    /// Somebody has to decide.
    Open,
    /// Sent after all.
    Replayed,
    /// Overtaken by a newer message of the same record.
    Superseded,
    /// All three.
    Any,
}
