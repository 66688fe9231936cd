//! `towpath check`: every mistake of flow files and towpath.yaml, at its line.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Result};
use crate::progress::{print, print_json};
use crate::project::{Checked, Project};

pub(crate) fn run(config: Option<&Path>, flows: &[PathBuf], json: bool) -> Result {
    let (project, checked) = Project::load(config)?;
    let files = match project.flow_files(flows) {
        // What is wrong with the configuration is said even if there is no flow to check.
        Err(failed) => {
            checked.report()?;
            return Err(failed);
        }
        Ok(files) => files,
    };
    let mut all = vec![checked];
    let mut names = HashMap::new();
    for file in &files {
        let (flow, mut checked) = project.check(file)?;
        if let Some(flow) = flow {
            match names.entry(flow.name) {
                Entry::Vacant(name) => drop(name.insert(file)),
                Entry::Occupied(name) => checked.add_same_name(file, name.get()),
            }
        }
        all.push(checked);
    }
    let errors: usize = all.iter().map(Checked::errors).sum();
    let findings: usize = all.iter().map(|checked| checked.findings.len()).sum();
    for checked in all.iter().filter(|checked| !checked.findings.is_empty()) {
        if json {
            for finding in &checked.findings {
                print_json(&serde_json::to_value(finding)?);
            }
        } else {
            print(&checked.render(std::io::stdout().is_terminal()));
        }
    }
    if !json {
        print(&format!(
            "{}, {}, {}",
            counted(files.len(), "flow file"),
            counted(errors, "mistake"),
            counted(findings - errors, "warning")
        ));
    }
    Ok(if errors == 0 { Exit::Done } else { Exit::Findings })
}

/// A number of things, in words.
pub(crate) fn counted(count: impl TryInto<u64>, what: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
