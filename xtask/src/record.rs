//! `cargo xtask record`: plays a connector's stories and writes down what goes over the wire.

use std::path::PathBuf;

use anyhow::Result;

use crate::cargo::{cargo, metadata, succeed};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The connector: the name of its folder.
    connector: String,
    /// The stories to record, by the names of their files; all of them if none is given.
    stories: Vec<String>,
    /// Records a real account of towpath.yaml. Secrets and personal data are replaced before
    /// anything is written.
    #[arg(long, value_name = "NAME", conflicts_with = "base_url")]
    account: Option<String>,
    /// The file that has the account.
    #[arg(long, value_name = "PATH", requires = "account", default_value = "towpath.yaml")]
    config: PathBuf,
    /// Records a sandbox or stand-in that runs there, instead of the connector's own.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
}

/// Runs the test that records; it alone knows the connector and its sandbox.
pub(crate) fn run(args: &Args) -> Result<()> {
    let package = format!("towpath-{}", args.connector);
    if !metadata()?.packages.iter().any(|it| it.name == package) {
        anyhow::bail!("there is no connector {} in this workspace", args.connector);
    }
    // The test runs in the folder of its package.
    let config = std::path::absolute(&args.config)?;
    let mut command = cargo(["test", "--quiet", "-p", &package, "--test", "accept"]);
    command
        .args(["--", "--ignored", "--exact", "record"])
        .env("TOWPATH_RECORD_STORIES", args.stories.join(","))
        .env("TOWPATH_RECORD_ACCOUNT", args.account.as_deref().unwrap_or_default())
        .env("TOWPATH_RECORD_CONFIG", config)
        .env("TOWPATH_RECORD_BASE_URL", args.base_url.as_deref().unwrap_or_default());
    succeed(&mut command)?;
    println!("xtask: recorded; look at the changes before you commit them: `git diff`");
    Ok(())
}
