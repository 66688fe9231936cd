//! `towpath completions`: what a shell needs to complete commands and options.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::{Exit, Result};
use crate::progress::print;

pub(crate) fn run(shell: Shell) -> Result {
    let mut script = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "towpath", &mut script);
    print(String::from_utf8(script)?.trim_end());
    Ok(Exit::Done)
}
