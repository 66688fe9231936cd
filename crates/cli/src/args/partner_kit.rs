//! `towpath partner-kit`, as clap reads it.

use std::path::PathBuf;

use clap::Args;

pub(crate) const HELP: &str = "\
Each place of the document has a name; `--set` fills it in, and what is open is listed. The document is
yours to change before it is handed in: the wording of the system's own pages is not in it.";

#[derive(Debug, Args)]
pub(crate) struct PartnerKit {
    /// The connector whose system it is for.
    #[arg(value_name = "CONNECTOR")]
    pub(crate) connector: String,
    /// What kind of partner; needed where there are several.
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// What a place of the document says: `company=Example Ltd`.
    #[arg(long = "set", value_name = "NAME=TEXT", value_parser = place)]
    pub(crate) set: Vec<(String, String)>,
    /// A logo to check: an SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) logo: Option<PathBuf>,
    /// The file to write; standard output without it. One that is there is not replaced.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

fn place(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("NAME=TEXT is meant, such as `company=Example Ltd`".to_owned()),
    }
}
