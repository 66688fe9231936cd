//! `towpath schema`: what editors and other programs read of the formats of towpath.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::args::Schema;
use crate::exit::{Exit, Failed, Result};
use crate::progress::print;
use crate::project::Project;
use crate::registry;

/// The folder of a project's schemas, where new files expect them.
const FOLDER: &str = ".towpath";

pub(crate) fn run(config: Option<&Path>, of: Schema, files: bool) -> Result {
    if files {
        let (project, _) = Project::load(config)?;
        for path in write(project.root()).map_err(Failed::config)? {
            print(&format!("wrote {}", path.display()));
        }
    } else {
        print(&serde_json::to_string_pretty(&schema(of))?);
    }
    Ok(Exit::Done)
}

fn schema(of: Schema) -> Value {
    let connectors = registry::connectors();
    match of {
        Schema::Flow => flow::schema::flow(&connectors),
        Schema::Config => flow::schema::config(&connectors),
        Schema::Api => server::Server::document(),
    }
}

/// Writes both schemas of a project, in the place of older ones.
pub(crate) fn write(root: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let folder = root.join(FOLDER);
    let failed = || format!("could not write the schemas into {}", folder.display());
    std::fs::create_dir_all(&folder).with_context(failed)?;
    let mut written = vec![];
    for (of, name) in [(Schema::Flow, "flow"), (Schema::Config, "towpath")] {
        let path = folder.join(format!("{name}.schema.json"));
        let text = serde_json::to_string_pretty(&schema(of))?;
        std::fs::write(&path, text + "\n").with_context(failed)?;
        written.push(path);
    }
    Ok(written)
}
