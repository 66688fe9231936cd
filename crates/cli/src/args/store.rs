//! `towpath store`, as clap reads it.

use std::path::PathBuf;

use clap::Subcommand;

pub(crate) const HELP: &str = "\
While `towpath serve` or `towpath run` has the store open, show, verify, backup and export are done
by it: runs go on meanwhile, and of each flow an archive holds one commit. The other commands need
the store for themselves.

An archive is sealed with the key of the store, and reading it needs that key: keep both, apart.";

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Shows what is kept: how much of which kind, for which flow, and since when.
    Show,
    /// Reads and unseals everything, and names each entry that is damaged. Changes nothing.
    ///
    /// The exit code is 8 if anything is damaged.
    Verify,
    /// Writes everything into one sealed file, also while flows run.
    Backup {
        /// The file; one that is there already is left alone.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Makes the store of a backup, where there is none.
    Restore {
        /// The backup.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The file with the key that the backup was sealed with, if the store's is another one.
        #[arg(long, value_name = "KEY")]
        key_file: Option<PathBuf>,
    },
    /// Writes some flows into one sealed file, without secrets, also while flows run.
    Export {
        /// The file; one that is there already is left alone.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Which flow; may be given more than once.
        #[arg(long, value_name = "FLOW", required = true)]
        flow: Vec<String>,
    },
    /// Takes flows out of a backup or export into this store, which must not have them.
    ///
    /// The file has to come from this store or from a copy of it: what flows have seen is kept as
    /// hashes that say nothing in another store.
    Import {
        /// The backup or export.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Which flow; may be given more than once [default: all in the file]
        #[arg(long, value_name = "FLOW")]
        flow: Vec<String>,
        /// The file with the key that it was sealed with, if the store's is another one.
        #[arg(long, value_name = "KEY")]
        key_file: Option<PathBuf>,
    },
    /// Builds the store anew without what no longer counts, beside the old one.
    ///
    /// The old one stays until the new one was read back whole. Killed at any moment, it leaves one
    /// good store, and the next command says which. It needs as much room as the store takes.
    Compact,
    /// Seals everything with a new key; the old one opens nothing of it any more.
    ///
    /// What was seen stays seen. Backups made before keep the old key: keep it as long as them.
    Rekey {
        /// The file of the new key, made if it is not there [default: a new file beside the key
        /// file in the configuration directory, which is found from then on]
        #[arg(long, value_name = "KEY")]
        new_key_file: Option<PathBuf>,
    },
}
