//! What alerts name, held against what there is beside their files.

use std::collections::BTreeSet;
use std::path::Path;

/// What a flow is to be told of: read from its file alone, as `check` does everything.
pub(crate) use engine::builtin::Alert;

use crate::project::{Checked, Project};

/// What there is around a flow file.
pub(crate) struct Around<'a> {
    /// The flows of the project.
    pub(crate) flows: BTreeSet<String>,
    /// Those of them that the runtime tells of others.
    pub(crate) told: BTreeSet<String>,
    /// The accounts of towpath.yaml.
    pub(crate) accounts: Vec<&'a str>,
}

impl Project {
    /// What there is around the flows that are checked: these, what others alerts name that are in
    /// the project's folder, and the accounts.
    pub(crate) fn around<'a>(
        &self,
        mut flows: BTreeSet<String>,
        mut told: BTreeSet<String>,
        alerts: impl Iterator<Item = &'a Alert>,
    ) -> Around<'_> {
        let named: BTreeSet<&String> = alerts.filter_map(Alert::flows).flatten().collect();
        for name in named {
            if !flows.contains(name)
                && let Some(path) = self.flow_file(name)
                && let Ok((Some(flow), _)) = self.check(&path)
            {
                told.extend(Alert::of(&flow).map(|_| flow.name.clone()));
                flows.insert(flow.name);
            }
        }
        let accounts = self.config().into_iter().flat_map(|config| config.accounts.keys());
        Around { flows, told, accounts: accounts.map(String::as_str).collect() }
    }
}

impl Checked {
    /// Warns of the flows and accounts that an alert names, and that there are not.
    pub(crate) fn add_misnamed(&mut self, path: &Path, alert: &Alert, around: &Around<'_>) {
        let path = path.to_string_lossy();
        if alert.flows().is_some() {
            self.findings.extend(flow::misnamed(&path, self.text(), "flows", |name| {
                if around.told.contains(name) {
                    let message =
                        format!("`{name}` is told by the runtime itself: nothing of it is told");
                    return Some((message, Some("leave it out".to_owned())));
                }
                let message = || format!("there is no flow `{name}`");
                (!around.flows.contains(name)).then(|| {
                    let known = around.flows.difference(&around.told).map(String::as_str);
                    (message(), flow::did_you_mean(name, known))
                })
            }));
        }
        if alert.accounts().is_some() {
            self.findings.extend(flow::misnamed(&path, self.text(), "accounts", |name| {
                let message = || format!("there is no account `{name}`");
                (!around.accounts.contains(&name))
                    .then(|| (message(), flow::did_you_mean(name, around.accounts.iter().copied())))
            }));
        }
    }
}
