//! `cargo xtask schemathesis`: the API of a real service against its own document.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{cargo, metadata, succeed};

/// What is installed from PyPI, into a folder of the target directory.
const VERSION: &str = "schemathesis==4.32.5";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long it asks.
    #[arg(long, value_name = "M", default_value_t = 5)]
    minutes: u64,
}

/// Runs the test that `cargo xtask test` runs for a minute.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(tool) = tool()? else {
        anyhow::bail!("schemathesis cannot be installed here: it needs Python 3 with venv and pip");
    };
    let mut command = cargo(["test", "-p", "towpath", "--test", "schemathesis"]);
    command
        .args(["--", "--nocapture"])
        .env("TOWPATH_SCHEMATHESIS", tool)
        .env("TOWPATH_SCHEMATHESIS_SECONDS", (args.minutes * 60).to_string());
    succeed(&mut command)
}

/// Where schemathesis is, installed if it is not yet; `None` where that cannot be done.
pub(crate) fn tool() -> Result<Option<PathBuf>> {
    let folder = metadata()?.target_directory.join("schemathesis");
    let tool = folder.join("bin").join("schemathesis");
    if tool.is_file() {
        return Ok(Some(tool));
    }
    println!("xtask: installs {VERSION} from PyPI into {}", folder.display());
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(&folder);
    let mut pip = Command::new(folder.join("bin").join("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", VERSION]);
    let done = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    Ok((done(&mut venv) && done(&mut pip) && tool.is_file()).then_some(tool))
}
