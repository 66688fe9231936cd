//! Which file has which flow: what of a change is taken up, and what is left out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::check::{self, Good, Outcome};
use crate::folder::Read;
use crate::project::{Checked, Project};

/// What follows from changes of files.
pub(crate) enum Change {
    /// A flow runs in this version from now on.
    Runs {
        path: PathBuf,
        text: Arc<str>,
        good: Good,
        /// Whether another version of the same file ran before.
        known: bool,
        /// Warnings.
        checked: Option<Checked>,
    },
    /// A flow is not run any more.
    Gone { path: PathBuf, flow: Arc<str> },
    /// A file has mistakes; the flow that it ran before goes on as it was.
    Refused { path: PathBuf, running: Option<Arc<str>>, checked: Checked },
    /// A file cannot be read; the flow that it ran before goes on as it was.
    Unreadable { path: PathBuf, running: Option<Arc<str>>, error: io::Error },
}

/// The flow files of a folder and the flows that are run of them.
#[derive(Default)]
pub(crate) struct Catalogue {
    files: BTreeMap<PathBuf, File>,
    /// Invariant: a flow is here exactly if its file says that it runs it.
    flows: HashMap<Arc<str>, PathBuf>,
}

#[derive(Default)]
struct File {
    /// As last checked; `None` if it could not be read so far.
    text: Option<Arc<str>>,
    runs: Option<Arc<str>>,
    /// The flow that it would run if no other file did.
    wants: Option<Arc<str>>,
    unreadable: bool,
}

impl Catalogue {
    /// How many files there are.
    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }

    /// How many flows are run or could be, if they had a schedule.
    pub(crate) fn flows(&self) -> usize {
        self.flows.len()
    }

    /// Takes in what was found, and gives what follows from it.
    pub(crate) fn update(&mut self, project: &Project, found: Vec<(PathBuf, Read)>) -> Vec<Change> {
        let mut changes = vec![];
        let mut changed = vec![];
        // What is gone comes first: its names may be those of files that were renamed.
        let mut freed = vec![];
        for (path, read) in found {
            match read {
                Read::Text(text) => {
                    let file = self.files.entry(path.clone()).or_default();
                    file.unreadable = false;
                    if file.text.as_deref() != Some(&*text) {
                        file.text = Some(text.clone());
                        changed.push((path, text));
                    }
                }
                Read::Gone => {
                    if let Some(flow) = self.files.remove(&path).and_then(|file| file.runs) {
                        self.release(path, flow, &mut freed, &mut changes);
                    }
                }
                Read::Unreadable(error) => {
                    let file = self.files.entry(path.clone()).or_default();
                    if !std::mem::replace(&mut file.unreadable, true) {
                        let running = file.runs.clone();
                        changes.push(Change::Unreadable { path, running, error });
                    }
                }
            }
        }
        let outcomes = check::all(project, &changed);
        let mut queue: VecDeque<_> = changed.into_iter().zip(outcomes).collect();
        loop {
            while let Some(((path, text), outcome)) = queue.pop_front() {
                self.take(path, text, outcome, &mut freed, &mut changes);
            }
            // A name that is free again goes to the first file that was left out for it.
            let Some(flow) = freed.pop() else { return changes };
            if !self.flows.contains_key(&flow)
                && let Some((path, file)) =
                    self.files.iter().find(|(_, file)| file.wants.as_ref() == Some(&flow))
                && let Some(text) = &file.text
            {
                let again = vec![(path.clone(), text.clone())];
                let outcomes = check::all(project, &again);
                queue.extend(again.into_iter().zip(outcomes));
            }
        }
    }

    /// Takes in one file that was checked.
    fn take(
        &mut self,
        path: PathBuf,
        text: Arc<str>,
        outcome: Outcome,
        freed: &mut Vec<Arc<str>>,
        changes: &mut Vec<Change>,
    ) {
        let Some(file) = self.files.get_mut(&path) else { return };
        file.wants = None;
        let Outcome { good: Some(good), checked } = outcome else {
            let running = file.runs.clone();
            let checked = outcome.checked.unwrap_or_default();
            changes.push(Change::Refused { path, running, checked });
            return;
        };
        let known = file.runs.as_ref() == Some(&good.flow);
        if !known && let Some(flow) = file.runs.take() {
            self.release(path.clone(), flow, freed, changes);
        }
        let owner = self.flows.get(&good.flow).filter(|owner| **owner != path);
        if let Some(owner) = owner {
            let mut checked = Checked::new(text.to_string(), vec![]);
            checked.add_same_name(&path, owner);
            changes.push(Change::Refused { path: path.clone(), running: None, checked });
            if let Some(file) = self.files.get_mut(&path) {
                file.wants = Some(good.flow);
            }
            return;
        }
        self.flows.insert(good.flow.clone(), path.clone());
        if let Some(file) = self.files.get_mut(&path) {
            file.runs = Some(good.flow.clone());
        }
        changes.push(Change::Runs { path, text, good, known, checked });
    }

    fn release(
        &mut self,
        path: PathBuf,
        flow: Arc<str>,
        freed: &mut Vec<Arc<str>>,
        changes: &mut Vec<Change>,
    ) {
        self.flows.remove(&flow);
        freed.push(flow.clone());
        changes.push(Change::Gone { path, flow });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a flow with that name.
    fn flow(name: &str) -> Read {
        let text = include_str!("../../../../flows/newsletter-to-clevertap.yaml");
        Read::Text(text.replace("newsletter-to-clevertap", name).into())
    }

    fn bad() -> Read {
        Read::Text("flow: 1".into())
    }

    struct Desk {
        project: Project,
        catalogue: Catalogue,
    }

    impl Desk {
        fn new() -> Self {
            let project = Project::load(None).unwrap_or_else(|_| unreachable!()).0;
            Self { project, catalogue: Catalogue::default() }
        }

        /// The changes that follow, one word each: `+` runs, `~` runs in a new version, `-` gone,
        /// `!` refused, with what goes on.
        fn update(&mut self, found: Vec<(&str, Read)>) -> Vec<String> {
            let found = found.into_iter().map(|(path, read)| (PathBuf::from(path), read)).collect();
            let changes = self.catalogue.update(&self.project, found).into_iter();
            let shown = changes.map(|change| match change {
                Change::Runs { good, known: false, .. } => format!("+{}", good.flow),
                Change::Runs { good, known: true, .. } => format!("~{}", good.flow),
                Change::Gone { flow, .. } => format!("-{flow}"),
                Change::Refused { path, running, checked } => {
                    assert!(checked.errors() > 0);
                    format!("!{} {}", path.display(), running.as_deref().unwrap_or("nothing"))
                }
                Change::Unreadable { path, .. } => format!("?{}", path.display()),
            });
            shown.collect()
        }
    }

    #[test]
    fn a_bad_change_keeps_what_runs() {
        let mut desk = Desk::new();
        assert_eq!(desk.update(vec![("a", flow("one")), ("b", bad())]), ["+one", "!b nothing"]);
        assert_eq!(desk.update(vec![("a", flow("one"))]), [""; 0]);
        assert_eq!(desk.update(vec![("a", bad()), ("b", flow("two"))]), ["!a one", "+two"]);
        assert_eq!(desk.update(vec![("a", bad())]), [""; 0]);
        assert_eq!(desk.update(vec![("a", flow("one"))]), ["~one"]);
        assert_eq!(desk.update(vec![("a", bad())]), ["!a one"]);
        assert_eq!(desk.update(vec![("a", Read::Gone), ("b", Read::Gone)]), ["-one", "-two"]);
    }

    #[test]
    fn one_file_has_a_name_and_another_takes_over() {
        let mut desk = Desk::new();
        let found = vec![("a", flow("one")), ("b", flow("one")), ("c", flow("one"))];
        assert_eq!(desk.update(found), ["+one", "!b nothing", "!c nothing"]);
        assert_eq!(desk.update(vec![("a", flow("other"))]), ["-one", "+other", "+one"]);
        assert_eq!(desk.update(vec![("b", Read::Gone)]), ["-one", "+one"]);
        assert_eq!(desk.update(vec![("c", Read::Gone)]), ["-one"]);
    }

    #[test]
    fn files_that_are_renamed_or_change_places_keep_their_flows() {
        let mut desk = Desk::new();
        desk.update(vec![("a", flow("one")), ("b", flow("two"))]);
        assert_eq!(desk.update(vec![("0", flow("one")), ("a", Read::Gone)]), ["-one", "+one"]);
        let swapped = desk.update(vec![("0", flow("two")), ("b", flow("one"))]);
        assert_eq!(swapped, ["-one", "!0 nothing", "-two", "+one", "+two"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_said_once() {
        let mut desk = Desk::new();
        let denied = || Read::Unreadable(io::ErrorKind::PermissionDenied.into());
        desk.update(vec![("a", flow("one"))]);
        assert_eq!(desk.update(vec![("a", denied())]), ["?a"]);
        assert_eq!(desk.update(vec![("a", denied())]), [""; 0]);
        assert_eq!(desk.update(vec![("a", flow("one"))]), [""; 0]);
        assert_eq!(desk.update(vec![("a", denied())]), ["?a"]);
    }
}
