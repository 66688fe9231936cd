//! `towpath new`, as clap reads it.

use std::path::PathBuf;

use clap::Args;

pub(crate) const HELP: &str = "\
`towpath connectors` shows what there is to choose from. `towpath check` and `towpath test` find
nothing wrong with the new files.";

#[derive(Debug, Args)]
pub(crate) struct New {
    /// The folder, made if it is not there; without one this folder.
    #[arg(value_name = "FOLDER", default_value = ".", hide_default_value = true)]
    pub(crate) folder: PathBuf,
    /// What finds the records.
    #[arg(
        long,
        value_name = "CONNECTOR.NAME",
        default_value = "cleverreach.getReceiversByGroupIdPolling"
    )]
    pub(crate) trigger: String,
    /// What is done with each.
    #[arg(long, value_name = "CONNECTOR.NAME", default_value = "clevertap.uploadProfiles")]
    pub(crate) action: String,
    /// What the flow is called: small letters, digits and hyphens [default: the two systems]
    #[arg(long, value_name = "FLOW")]
    pub(crate) name: Option<String>,
    /// Points the accounts at `towpath sandbox`, with what it knows: all of it can be run on this
    /// machine, without an account anywhere.
    #[arg(long)]
    pub(crate) sandbox: bool,
}
