//! `towpath import`, as clap reads it.

use std::path::PathBuf;

use clap::Args;

pub(crate) const HELP: &str = "\
Known are components whose functions have the names of triggers and actions here, such as those of
CleverReach's. Of another one, `--component` says which connector it is; what stays unknown is in
the file all the same, where `towpath check` finds it.

Credentials are never copied: the account that takes their place is told, with the command that adds
it. What the flow remembers comes over by `towpath state import`.

Exit codes: 0 if the flow files pass `towpath check` once their accounts are there, 3 if something in
them has no counterpart, 4 if there is no flow in the file.";

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The flow as the flow repository gives it, or several; `-` reads standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Prints the flow file instead of writing it beside FILE; so it is with `-`.
    #[arg(long)]
    pub(crate) stdout: bool,
    /// Which connector a component is, by its id there.
    #[arg(long, value_name = "ID=CONNECTOR", value_parser = component)]
    pub(crate) component: Vec<(String, String)>,
}

fn component(text: &str) -> Result<(String, String), String> {
    let (id, connector) = text.split_once('=').ok_or("write ID=CONNECTOR")?;
    Ok((id.trim().to_owned(), connector.trim().to_owned()))
}
