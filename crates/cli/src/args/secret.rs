//! `towpath secret`, as clap reads it.

use clap::Subcommand;

pub(crate) const HELP: &str = "\
An account in towpath.yaml names a secret instead of holding it:
  accounts:
    newsletter:
      connector: cleverreach
      clientId: your-client-id
      clientSecret: { secret: newsletter-client-secret }

Its value is given once, by hand or by a program, and sealed into the project's store:
  towpath secret set newsletter-client-secret
  pass show newsletter | towpath secret set newsletter-client-secret";

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Keeps a secret; one that is there already is replaced.
    ///
    /// On a terminal it asks for the value without showing it; otherwise it reads standard input
    /// to its end, less one line break. The value is never an argument: those are seen by every
    /// program of the machine.
    Set {
        /// What accounts call it: letters, digits, `-`, `_` and `.`, at most 100.
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
        /// What should have been typed or piped in: taken, so that no message repeats it.
        #[arg(hide = true)]
        value: Vec<std::ffi::OsString>,
    },
    /// Lists secrets: when each was set, and which accounts of towpath.yaml use it.
    ///
    /// Those that accounts use and nobody set are listed as missing. Values are not shown.
    List,
    /// Removes a secret, also if accounts use it.
    Rm {
        /// What accounts call it.
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
    },
}

fn name(text: &str) -> Result<String, String> {
    if flow::config::is_secret_name(text) {
        return Ok(text.to_owned());
    }
    Err("a name has letters, digits, `-`, `_` and `.`, at most 100".to_owned())
}
