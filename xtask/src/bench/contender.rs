//! The programs that do the main job, and how each is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use super::sandbox::Access;

/// A program that does the main job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Contender {
    /// The flow, as anybody would run it.
    Towpath,
    /// The same with commits that a power cut may take.
    TowpathNotDurable,
    /// The smallest Rust program that does the job.
    ByHand,
    /// A lean Node script with the JavaScript implementation of JSONata.
    Node,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Towpath => "towpath",
            Self::TowpathNotDurable => "towpath, not durable",
            Self::ByHand => "by hand, Rust",
            Self::Node => "by hand, Node",
        }
    }
}

/// The contenders of a round in their order: every other round runs them backwards, since who comes
/// after a long one finds a warmer machine than who comes first.
pub(crate) fn in_turns(mut contenders: Vec<Contender>, round: usize) -> Vec<Contender> {
    if round.is_multiple_of(2) {
        contenders.reverse();
    }
    contenders
}

/// Where the programs are.
pub(crate) struct Programs {
    pub(crate) towpath: PathBuf,
    pub(crate) by_hand: PathBuf,
    /// `benches/main-job`.
    pub(crate) folder: PathBuf,
}

impl Programs {
    /// Those that can run here: Node needs `npm install` in its folder first.
    pub(crate) fn contenders(&self) -> Vec<Contender> {
        let mut contenders =
            vec![Contender::Towpath, Contender::TowpathNotDurable, Contender::ByHand];
        if self.folder.join("node/node_modules/jsonata").is_dir() {
            contenders.push(Contender::Node);
        }
        contenders
    }

    /// The command that does the job once, with its state in `home`, a folder of its own.
    pub(crate) fn command(&self, contender: Contender, access: &Access, home: &Path) -> Command {
        self.command_with(contender, &self.folder.join("flow.yaml"), access, home)
    }

    /// The same with another flow file.
    pub(crate) fn command_with(
        &self,
        contender: Contender,
        flow: &Path,
        access: &Access,
        home: &Path,
    ) -> Command {
        let mut command = match contender {
            Contender::Towpath | Contender::TowpathNotDurable => Command::new(&self.towpath),
            Contender::ByHand => Command::new(&self.by_hand),
            Contender::Node => Command::new("node"),
        };
        match contender {
            Contender::Towpath | Contender::TowpathNotDurable => {
                command.arg("run").arg(flow);
                command.args(["--once", "--json", "--config"]).arg(home.join(CONFIG));
                if contender == Contender::TowpathNotDurable {
                    command.args(["--durability", "none"]);
                }
                // Its key is made in the configuration directory, so that has to be its own too.
                command.env("XDG_CONFIG_HOME", home.join("config"));
                command.env_remove("TOWPATH_KEY").env_remove("TOWPATH_KEY_FILE");
            }
            Contender::Node => {
                command.arg(self.folder.join("node/main-job.js"));
            }
            Contender::ByHand => {}
        }
        command
            .current_dir(home)
            .env("CLEVERREACH_URL", &access.cleverreach)
            .env("CLEVERREACH_CLIENT_ID", &access.client_id)
            .env("CLEVERREACH_CLIENT_SECRET", &access.client_secret)
            .env("CLEVERTAP_URL", &access.clevertap)
            .env("CLEVERTAP_PROJECT_ID", &access.project_id)
            .env("CLEVERTAP_PASSCODE", &access.passcode);
        command
    }
}

const CONFIG: &str = "towpath.yaml";

/// Writes the accounts of the flow.
pub(crate) fn write_config(home: &Path, access: &Access) -> Result<()> {
    let config = format!(
        "accounts:
  newsletter:
    connector: cleverreach
    baseUrl: {}
    clientId: {:?}
    clientSecret: {{ env: CLEVERREACH_CLIENT_SECRET }}
  engagement:
    connector: clevertap
    baseUrl: {}
    projectId: {:?}
    passcode: {{ env: CLEVERTAP_PASSCODE }}
store:
  path: {:?}
",
        access.cleverreach,
        access.client_id,
        access.clevertap,
        access.project_id,
        home.join("state").display().to_string(),
    );
    std::fs::write(home.join(CONFIG), config).context("could not write the accounts")
}
