//! Does something again whenever the files that it is about change.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector::{Clock, SystemClock};

use crate::exit::{Exit, Result};
use crate::progress::{print, say};
use crate::project::Project;
use crate::serve::Looks;
use crate::signals;

/// Forgets what a terminal shows, and what it showed before.
const CLEAR: &str = "\x1b[2J\x1b[3J\x1b[H";

/// Calls `work` now and whenever the configuration or a flow file that `flows` means has another
/// content, is new or gone, until a signal. What goes wrong is said, and does not end it.
pub(crate) async fn whenever_changed(
    config: Option<&Path>,
    flows: &[PathBuf],
    work: impl Fn() -> Result,
) -> Result {
    let mut signalled = tokio::spawn(signals::signal());
    let (project, _) = Project::load(config)?;
    let clock = Arc::new(SystemClock);
    // The project's folder of flows may be made, or go and come back, meanwhile.
    let made_later = flows.is_empty().then(|| project.root().join("flows"));
    let watched: BTreeSet<PathBuf> =
        folders(&project, flows).into_iter().chain(made_later).collect();
    let paths: Vec<&Path> = watched.iter().map(PathBuf::as_path).collect();
    // What changes from here on is found, even while the files are read.
    let (mut looks, unwatched) = Looks::start(clock.clone(), &paths, project.config_path());
    if let Some(error) = unwatched {
        say(&format!("cannot watch the files: {error}; looking every 10 s instead"));
    }
    loop {
        let before = contents(&project, flows);
        if std::io::stdout().is_terminal() {
            print(CLEAR);
        }
        if let Err(failed) = work() {
            say(&format!("error: {:#}", failed.error));
        }
        let waiting = waiting(&folders(&project, flows), project.config_path());
        say(&format!("looked at {}; {waiting}", clock.now()));
        loop {
            let look = tokio::select! {
                look = looks.next() => look,
                _ = &mut signalled => return Ok(Exit::Done),
            };
            if look.all || contents(&project, flows) != before {
                break;
            }
        }
    }
}

/// The folders that hold what `flows` means.
fn folders(project: &Project, flows: &[PathBuf]) -> BTreeSet<PathBuf> {
    if flows.is_empty() {
        return [project.folder()].into();
    }
    let folder = |path: &PathBuf| match path.parent() {
        _ if path.is_dir() => path.clone(),
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    flows.iter().map(folder).collect()
}

fn waiting(folders: &BTreeSet<PathBuf>, config: &Path) -> String {
    let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let (folders, config) = (folders.join(", "), config.display());
    format!("waiting for a change in {folders} or of {config} (ctrl-c ends)")
}

/// What is in the files; one that cannot be read has nothing.
fn contents(project: &Project, flows: &[PathBuf]) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut files = project.flow_files(flows).unwrap_or_default();
    files.push(project.config_path().to_owned());
    let read = |path: PathBuf| (std::fs::read(&path).ok(), path);
    files.into_iter().map(read).map(|(content, path)| (path, content)).collect()
}
