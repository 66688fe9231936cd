//! `towpath check`: every mistake of flow files and towpath.yaml, at its line.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use crate::again;
use crate::args::{Check, Format};
use crate::around::Alert;
use crate::exit::{Exit, Result};
use crate::progress::{print, print_json};
use crate::project::{Checked, Project};

pub(crate) async fn run(config: Option<&Path>, args: &Check, json: bool) -> Result {
    let flows = &args.files.flows;
    let format = args.format.unwrap_or(if json { Format::Json } else { Format::Text });
    if args.watch {
        again::whenever_changed(config, flows, || check(config, flows, format)).await
    } else {
        check(config, flows, format)
    }
}

fn check(config: Option<&Path>, flows: &[PathBuf], format: Format) -> Result {
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
    let mut alerts = vec![];
    for file in &files {
        let (flow, mut checked) = project.check(file)?;
        if let Some(flow) = flow {
            if let Some(alert) = Alert::of(&flow) {
                alerts.push((all.len(), file, alert, flow.name.clone()));
            }
            match names.entry(flow.name) {
                Entry::Vacant(name) => drop(name.insert(file)),
                Entry::Occupied(name) => checked.add_same_name(file, name.get()),
            }
        }
        all.push(checked);
    }
    let told = alerts.iter().map(|(.., name)| name.clone()).collect();
    let around = project.around(names.into_keys().collect(), told, alerts.iter().map(|it| &it.2));
    for (at, file, alert, _) in &alerts {
        if let Some(checked) = all.get_mut(*at) {
            checked.add_misnamed(file, alert, &around);
        }
    }
    let errors: usize = all.iter().map(Checked::errors).sum();
    let findings: usize = all.iter().map(|checked| checked.findings.len()).sum();
    match format {
        Format::Text => {
            for checked in all.iter().filter(|checked| !checked.findings.is_empty()) {
                print(&checked.render(std::io::stdout().is_terminal()));
            }
            print(&format!(
                "{}, {}, {}",
                counted(files.len(), "flow file"),
                counted(errors, "mistake"),
                counted(findings - errors, "warning")
            ));
        }
        Format::Json => {
            for finding in all.iter().flat_map(|checked| &checked.findings) {
                print_json(&serde_json::to_value(finding)?);
            }
        }
        Format::Sarif => {
            print_json(&flow::sarif(all.iter().map(|it| (&it.findings[..], it.text()))));
        }
    }
    Ok(if errors == 0 { Exit::Done } else { Exit::Findings })
}

/// A number of things, in words.
pub(crate) fn counted(count: impl TryInto<u64>, what: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
