//! `towpath account`, as clap reads it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(crate) const HELP: &str = "\
An account is named credentials of a connector. What is no secret stands in towpath.yaml, secrets and
logins lie sealed in the store.

An account is paused when its credentials are refused: flows that use it ask and send nothing. A
request probes it after a minute, then after twice as long, up to an hour. It is used again when a
probe passes, when one of its settings is another one, after a login, or after `towpath account
resume`.

What a system wants not to be asked again once it refused it, such as CleverTap's attribution, is held
besides: it goes on after `towpath account resume` or with other settings, and by nothing else.

A circuit breaker opens when, of at least 20 requests of one class in a minute, three quarters
failed: no answer, 429 or 5xx. A request probes after 10 s, then after twice as long, up to 5
minutes or as long as the system asks.

Where a connector says whom to tell of failures that go on, the list shows that once requests of one
class were answered with nothing but 5xx for so long.";

pub(crate) const ADD_HELP: &str = "\
On a terminal it asks for what is missing, for secrets without showing them. Otherwise the rest is
read from standard input, a setting a line, or as a JSON object:
  towpath account add engagement --connector clevertap --set projectId=AAA-AAA-AAAA < secrets
where the file `secrets` holds the line `passcode=…`. A secret is never an argument: every program of
the machine can see those.";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Accounts {
    #[command(subcommand)]
    pub(crate) command: Option<Change>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Lists accounts, and shows which are paused or left alone by a circuit breaker.
    List,
    /// Adds an account: its settings are tested, then kept. If the test fails nothing is kept.
    #[command(after_help = ADD_HELP)]
    Add(Add),
    /// Asks the system harmless questions: what the account may do there.
    Test {
        /// The account's name in towpath.yaml.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Takes an account out of towpath.yaml, and its secrets and its login out of the store.
    Remove {
        /// The account's name in towpath.yaml.
        #[arg(value_name = "NAME")]
        name: String,
        /// Also where flows use it, which cannot run then.
        #[arg(long)]
        although_used: bool,
    },
    /// Logs in for an account whose system wants a person to (OAuth2).
    ///
    /// It prints an address to open in a browser of this machine, within ten minutes, and waits
    /// until the login is done. While a service runs, the address is one of the service.
    Login {
        /// The account's name in towpath.yaml.
        #[arg(value_name = "NAME")]
        name: String,
        /// Prints the system's own address, for a browser anywhere, and asks for the address that
        /// the browser is led to afterwards, even if nothing is shown there.
        #[arg(long)]
        paste: bool,
    },
    /// Shows what is known of an account and its login.
    Status {
        /// The account's name in towpath.yaml.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Renews the token of an account now.
    Refresh {
        /// The account's name in towpath.yaml.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Ends the login of an account, at its system too where that is possible.
    Logout {
        /// The account's name in towpath.yaml.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Tells the account's system where flows are called, and lists or ends that.
    #[command(subcommand)]
    Hooks(Hooks),
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

#[derive(Debug, Subcommand)]
pub(crate) enum Hooks {
    /// Lists what is registered at the account's system, also what others registered.
    List {
        /// The account's name in towpath.yaml.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Registers a flow at the account's system, in the place of what was registered for the same.
    ///
    /// The service has to run and to be reached under its `publicUrl`: the system calls it before it
    /// takes the registration. What it gives is kept sealed in the store.
    Register {
        /// The account's name in towpath.yaml.
        #[arg(value_name = "NAME")]
        name: String,
        /// The flow, whose trigger is one that its system calls and that is polled too.
        #[arg(value_name = "FLOW")]
        flow: String,
        /// Another address than `publicUrl` with `/hooks/FLOW`.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Ends the registration of a flow, and forgets what was kept for it.
    Remove {
        /// The account's name in towpath.yaml.
        #[arg(value_name = "NAME")]
        name: String,
        /// The flow.
        #[arg(value_name = "FLOW")]
        flow: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What flow files will call it.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The connector.
    #[arg(long, value_name = "CONNECTOR")]
    pub(crate) connector: String,
    /// A setting that is no secret.
    #[arg(long, value_name = "SETTING=VALUE")]
    pub(crate) set: Vec<String>,
    /// A setting that an environment variable holds.
    #[arg(long, value_name = "SETTING=VARIABLE")]
    pub(crate) env: Vec<String>,
    /// A setting that a file holds.
    #[arg(long, value_name = "SETTING=FILE")]
    pub(crate) file: Vec<String>,
    /// Replaces the connector's own base URL.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
}

impl Add {
    /// `--file SETTING=FILE` in two.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, PathBuf)> {
        self.file.iter().filter_map(|it| it.split_once('=')).map(|(name, path)| (name, path.into()))
    }
}
