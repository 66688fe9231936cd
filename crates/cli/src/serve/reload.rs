//! Looks at the files and tells the service what changed.

use std::path::PathBuf;
use std::sync::Arc;

use connector::{Clock, Timestamp};
use engine::service::{Handle, Planned};
use engine::{Report, Unfinished};
use serde_json::json;
use store::Store;

use super::catalogue::{Catalogue, Change};
use super::lines::Lines;
use super::shelf::Shelf;
use super::watch::{Look, Looks};
use crate::engines;
use crate::folder::Folder;
use crate::progress::say;
use crate::project::{Checked, Project};
use crate::vault::Vault;

/// The files of a service, and everything that has to hear of their changes.
pub(crate) struct Reload {
    project: Arc<Project>,
    lines: Arc<Lines>,
    folder: Folder,
    catalogue: Catalogue,
    /// The configuration as last seen; `None` if it cannot be read.
    config: Option<String>,
    /// A towpath.yaml with other accounts, which nobody was told of yet.
    renewed: Option<Arc<Project>>,
    /// Whether it was said that the folder cannot be listed.
    unlisted: bool,
}

/// What the first look found.
pub(crate) struct First {
    changes: Vec<Change>,
    pub(crate) left_out: usize,
    pub(crate) warnings: usize,
}

impl First {
    /// How many flows can be run, with a schedule or without.
    pub(crate) fn flows(&self) -> usize {
        self.changes.iter().filter(|change| matches!(change, Change::Runs { .. })).count()
    }
}

/// What flows are kept in, as long as the service runs.
pub(crate) struct Office {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Reload {
    pub(crate) fn new(project: Arc<Project>, lines: Arc<Lines>, folder: PathBuf) -> Self {
        let config = std::fs::read_to_string(project.config_path()).ok();
        let (folder, catalogue) = (Folder::new(folder), Catalogue::default());
        Self { project, lines, folder, catalogue, config, renewed: None, unlisted: false }
    }

    /// Looks at all files for the first time, and says what is wrong with them.
    pub(crate) fn first(&mut self, now: Timestamp) -> std::io::Result<First> {
        let found = self.folder.look(&Look::default().named, true)?;
        let changes = self.catalogue.update(&self.project, found);
        let mut warnings = 0;
        for change in &changes {
            match change {
                Change::Refused { checked, .. } => self.lines.findings(checked),
                Change::Unreadable { .. } => self.tell(now, change),
                Change::Runs { checked, .. } => {
                    warnings += checked.as_ref().map_or(0, |checked| checked.findings.len());
                }
                Change::Gone { .. } => {}
            }
        }
        warn_of_engines(&changes);
        let left_out = self.catalogue.files() - self.catalogue.flows();
        Ok(First { changes, left_out, warnings })
    }

    /// Looks whenever it is time to, for ever.
    pub(crate) async fn run(mut self, mut looks: Looks, office: Office, handle: Handle) {
        loop {
            let look = looks.next().await;
            let now = office.clock.now();
            // Reading and checking thousands of files takes a while.
            let changes = tokio::task::block_in_place(|| self.look(&look, now));
            if look.all && changes.is_empty() {
                self.lines.change(now, "looked", &json!({}), "looked at all files: no change");
            }
            if let Some(project) = self.renewed.take() {
                office.renew(project).await;
            }
            for change in &changes {
                self.tell(now, change);
            }
            warn_of_engines(&changes);
            let (planned, gone) = office.take(changes).await;
            gone.into_iter().for_each(|flow| handle.remove(flow));
            if !planned.is_empty() {
                handle.put(planned);
            }
        }
    }

    /// Takes up a towpath.yaml that differs in its accounts alone: files that had mistakes are
    /// checked again. Of everything else it is said that it needs a restart.
    fn accounts_changed(&mut self, now: Timestamp) -> Option<Vec<Change>> {
        let path = self.project.config_path();
        let of = json!({ "file": path.display().to_string() });
        let file = path.display();
        let loaded = Project::load(Some(path)).ok().filter(|(_, checked)| checked.errors() == 0);
        let rest = |project: &Project| {
            project.config().map(|config| format!("{:?}", config.without_accounts()))
        };
        let Some((project, _)) = loaded.filter(|(it, _)| rest(it) == rest(&self.project)) else {
            let words = format!("{file} changed: it is used after a restart");
            self.lines.change(now, "restartNeeded", &of, &words);
            return None;
        };
        let words = format!("{file} changed: its accounts are used from the next runs on");
        self.lines.change(now, "accountsChanged", &of, &words);
        let project = Arc::new(project);
        self.project = project.clone();
        self.renewed = Some(project);
        Some(self.catalogue.check_again(&self.project))
    }

    fn look(&mut self, look: &Look, now: Timestamp) -> Vec<Change> {
        let config = std::fs::read_to_string(self.project.config_path()).ok();
        if config.is_some() && config != self.config {
            self.config = config;
            if let Some(changes) = self.accounts_changed(now) {
                return changes;
            }
        }
        match self.folder.look(&look.named, look.all) {
            Ok(found) => {
                self.unlisted = false;
                self.catalogue.update(&self.project, found)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unlisted, true) {
                    let path = self.folder.path().display();
                    let words = format!("could not list {path}: {error}; all flows go on");
                    let of = json!({ "file": path.to_string(), "error": error.to_string() });
                    self.lines.change(now, "unreadable", &of, &words);
                }
                vec![]
            }
        }
    }

    fn tell(&self, now: Timestamp, change: &Change) {
        let stays = |running: &Option<Arc<str>>| {
            running.as_ref().map_or_else(
                || "left out".to_owned(),
                |flow| format!("{flow} goes on in the version before"),
            )
        };
        match change {
            Change::Runs { path, good, known, checked, .. } => {
                let file = path.display().to_string();
                let event = if *known { "changed" } else { "added" };
                let mut words = format!("{}: {event} ({file})", good.flow);
                if good.schedule.is_none() {
                    words.push_str("; it has no schedule and runs by `towpath run` only");
                }
                let of = json!({ "flow": good.flow, "file": file });
                self.lines.change(now, event, &of, &words);
                checked.iter().for_each(|checked| self.lines.findings(checked));
            }
            Change::Gone { path, flow } => {
                let file = path.display().to_string();
                let words = format!("{flow}: removed ({file}), it is not run any more");
                self.lines.change(now, "removed", &json!({ "flow": flow, "file": file }), &words);
            }
            Change::Refused { path, running, checked } => {
                let file = path.display().to_string();
                let (mistakes, stays) = (mistakes(checked), stays(running));
                let words = format!("{file}: {mistakes}, {stays}");
                let of = json!({ "file": file, "running": running, "mistakes": checked.errors() });
                self.lines.change(now, "refused", &of, &words);
                self.lines.findings(checked);
            }
            Change::Unreadable { path, running, error } => {
                let file = path.display().to_string();
                let words = format!("{file}: could not be read: {error}; {}", stays(running));
                let of = json!({ "file": file, "running": running, "error": error.to_string() });
                self.lines.change(now, "unreadable", &of, &words);
            }
        }
    }
}

/// Warns, once a process, of the engines of flows that are going to run.
fn warn_of_engines(changes: &[Change]) {
    let names = changes.iter().filter_map(|change| match change {
        Change::Runs { good, .. } if good.warned_of && good.schedule.is_some() => {
            Some(good.flow.as_ref())
        }
        _ => None,
    });
    engines::warn_of(&names.collect::<Vec<_>>());
}

fn mistakes(checked: &Checked) -> String {
    crate::commands::check::counted(checked.errors(), "mistake")
}

impl Office {
    /// Hands on a towpath.yaml with other accounts.
    async fn renew(&self, project: Arc<Project>) {
        match Vault::open(&*self.store, project.secrets_used().into_keys()).await {
            Ok(vault) => self.shelf.renew(project.clone(), vault),
            Err(failed) => say(&format!("the accounts stay as they were: {:#}", failed.error)),
        }
    }

    /// Puts what runs onto the shelf, and gives what the service has to know: flows that run in
    /// a new version, and flows that it lets go of before that.
    async fn take(&self, changes: Vec<Change>) -> (Vec<Planned>, Vec<Arc<str>>) {
        let (mut planned, mut gone) = (vec![], vec![]);
        for change in changes {
            match change {
                Change::Runs { path, text, good, known, .. } => {
                    let schedule = good.schedule.clone();
                    self.shelf.put(
                        good.flow.clone(),
                        path,
                        text,
                        (schedule, good.alert, good.ends),
                    );
                    match good.schedule {
                        Some(schedule) => {
                            let last = if known { None } else { self.last(&good.flow).await };
                            let check = if known { None } else { self.check(&good.flow).await };
                            let (flow, called) = (good.flow, good.called);
                            planned.push(Planned { flow, schedule, called, last, check });
                        }
                        None => gone.push(good.flow),
                    }
                }
                Change::Gone { flow, .. } => {
                    self.shelf.remove(&flow);
                    gone.push(flow);
                }
                Change::Refused { .. } | Change::Unreadable { .. } => {}
            }
        }
        (planned, gone)
    }

    /// The same for the first look.
    pub(crate) async fn first(&self, first: First) -> Vec<Planned> {
        self.take(first.changes).await.0
    }

    /// When the first of what systems finish later for a flow is asked after.
    async fn check(&self, flow: &str) -> Option<Timestamp> {
        Unfinished::read(&*self.store, flow).await.ok()?.next
    }

    /// When a flow's last run began; one that failed or was stopped does not count, because it
    /// left something to do. What cannot be read is told by the flow's next run.
    async fn last(&self, flow: &str) -> Option<Timestamp> {
        let run = self.store.last_run(flow).await.ok().flatten();
        let completed = run.filter(|run| run.outcome == Report::COMPLETED);
        completed.map(|run| Timestamp::from_millis(run.started))
    }
}
