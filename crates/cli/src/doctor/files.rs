//! What is written: towpath.yaml and the flow files.

use std::collections::BTreeMap;

use super::Sheet;
use crate::commands::check::counted;
use crate::project::{Checked, Project};

/// What is known of the flows that files have.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) flows: BTreeMap<String, Written>,
}

/// A flow without mistakes.
#[derive(Debug)]
pub(super) struct Written {
    /// Whether other systems call it.
    pub(super) called: bool,
}

impl Known {
    /// The flows that other systems call.
    pub(super) fn called(&self) -> Vec<&str> {
        let called = self.flows.iter().filter(|(_, flow)| flow.called);
        called.map(|(name, _)| name.as_str()).collect()
    }
}

pub(super) fn look(sheet: &mut Sheet, project: &Project, checked: &Checked) -> Known {
    sheet.group("files");
    let file = project.config_path().display().to_string();
    let check = project.command("check");
    let shows = format!("`{check}` shows each at its line");
    let (errors, warnings) = (checked.errors(), checked.findings.len() - checked.errors());
    match project.config() {
        _ if errors > 0 => sheet.error("config", &file, counted(errors, "mistake"), &shows),
        None => sheet.ok("config", &file, "not there: no accounts, and flows can be checked"),
        Some(_) if warnings > 0 => {
            sheet.warning("config", &file, counted(warnings, "warning"), &shows);
        }
        Some(config) => sheet.ok("config", &file, counted(config.accounts.len(), "account")),
    }
    let folder = project.folder().display().to_string();
    let files = match project.flow_files(&[]) {
        Ok(files) => files,
        Err(failed) => {
            let new = project.command("new");
            let way_out = format!("`{new}` makes a flow; name the project's file by --config");
            sheet.warning("flowFiles", folder, format!("{:#}", failed.error), way_out);
            return Known::default();
        }
    };
    let mut known = Known::default();
    let (mut mistakes, mut warnings, mut wrong) = (0, 0, vec![]);
    for path in &files {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let (flow, mut checked) = match project.check(path) {
            Ok(checked) => checked,
            Err(failed) => {
                sheet.error("flowFiles", name, format!("{:#}", failed.error), "let it be read");
                continue;
            }
        };
        if let Some(flow) = flow {
            let written = Written { called: flow.trigger.is_called() };
            if known.flows.insert(flow.name.clone(), written).is_some() {
                checked.add_same_name(path, path);
            }
        }
        let errors = checked.errors();
        mistakes += errors;
        warnings += checked.findings.len() - errors;
        wrong.extend((errors > 0).then_some(name));
    }
    let says = format!("{}, {}", counted(files.len(), "flow file"), counted(mistakes, "mistake"));
    match (mistakes, warnings) {
        (0, 0) => sheet.ok("flowFiles", folder, counted(files.len(), "flow file")),
        (0, _) => {
            let says = format!("{says}, {}", counted(warnings, "warning"));
            sheet.warning("flowFiles", folder, says, shows);
        }
        _ => {
            let more = if wrong.len() > 5 { ", …" } else { "" };
            wrong.truncate(5);
            let says = format!("{says} in {}{more}", wrong.join(", "));
            sheet.error("flowFiles", folder, says, shows);
        }
    }
    known
}
