//! `towpath token`, as clap reads it.

use std::time::Duration;

use clap::Subcommand;
use server::Scope;

use crate::times;

pub(crate) const HELP: &str = "\
Scopes, each of which also opens what `read` does:
  read      look at everything but secrets and tokens
  operate   run, pause and change flows, their state and dead letters
  connect   connect accounts: add, test, log in, remove
  admin     everything, tokens and the vault's secrets included

A token is sent with every request: `Authorization: Bearer TOKEN`. Only its hash is kept.";

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Makes a token and prints it, this once.
    Create {
        /// What it is for: letters, digits, `-`, `_` and `.`, at most 100.
        #[arg(value_name = "NAME")]
        name: String,
        /// What it opens; may be given several times.
        #[arg(long = "scope", required = true, value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// How long it opens anything, such as 90d or 12h [default: for ever]
        #[arg(long, value_name = "DURATION", value_parser = times::duration)]
        expires: Option<Duration>,
    },
    /// Lists tokens: what each opens, and when it ends.
    List,
    /// Revokes a token: from now on it opens nothing, and its sessions end.
    Revoke {
        /// What it is called.
        #[arg(value_name = "NAME")]
        name: String,
    },
}
