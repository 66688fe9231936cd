//! Which file has which flow: what of a change is taken up, and what is left out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::check::{self, Good};
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
    /// The flow that it would run if no other file did, in its text.
    wants: Option<Good>,
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

    /// Checks those files again that no flow is run of, against another towpath.yaml.
    pub(crate) fn check_again(&mut self, project: &Project) -> Vec<Change> {
        let idle = self.files.iter_mut().filter(|(_, file)| file.runs.is_none());
        let found = idle.filter_map(|(path, file)| {
            file.text.take().map(|text| (path.clone(), Read::Text(text)))
        });
        let found = found.collect();
        self.update(project, found)
    }

    /// Takes in what was found, and gives what follows from it.
    pub(crate) fn update(&mut self, project: &Project, found: Vec<(PathBuf, Read)>) -> Vec<Change> {
        let mut changes = vec![];
        let mut changed = vec![];
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
                        self.release(path, flow, &mut changes);
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
        for ((path, _), outcome) in changed.iter().zip(&outcomes) {
            if let Some(file) = self.files.get_mut(path) {
                let good = outcome.good.clone();
                file.wants = good.filter(|good| file.runs.as_ref() != Some(&good.flow));
            }
        }
        let mut moving = self.moving();
        // Names are let go of before others take them: files may have changed places.
        for path in &moving {
            if let Some(flow) = self.files.get_mut(path).and_then(|file| file.runs.take()) {
                self.release(path.clone(), flow, &mut changes);
            }
        }
        for ((path, text), outcome) in changed.into_iter().zip(outcomes) {
            changes.push(match outcome.good {
                Some(good) if moving.remove(&path) => self.run(path, text, good, outcome.checked),
                good => self.stay(path, text, good, outcome.checked),
            });
        }
        // What is left was right before, and waited for a name that is free now.
        for path in moving {
            let file = self.files.get_mut(&path);
            let waited = file.and_then(|file| Some((file.text.clone()?, file.wants.clone()?)));
            if let Some((text, good)) = waited {
                changes.push(self.run(path, text, good, None));
            }
        }
        changes
    }

    /// The files that can have the name that they want: it is free, or the file that has it moves
    /// on as well. Of several that want the same one, the first has it.
    fn moving(&self) -> BTreeSet<PathBuf> {
        let wants = |file: &File| file.wants.as_ref().map(|good| good.flow.clone());
        let mut wanted: BTreeMap<&PathBuf, Arc<str>> =
            self.files.iter().filter_map(|(path, file)| Some((path, wants(file)?))).collect();
        loop {
            let mut taken = HashSet::new();
            let free = |flow: &Arc<str>, wanted: &BTreeMap<&PathBuf, Arc<str>>| {
                self.flows.get(flow).is_none_or(|owner| wanted.contains_key(owner))
            };
            let left: BTreeMap<&PathBuf, Arc<str>> = wanted
                .iter()
                .filter(|(_, flow)| free(flow, &wanted) && taken.insert((*flow).clone()))
                .map(|(path, flow)| (*path, flow.clone()))
                .collect();
            // Who stays keeps a name that another may have counted on.
            if left.len() == wanted.len() {
                return left.into_keys().cloned().collect();
            }
            wanted = left;
        }
    }

    /// A file takes the name that it wants.
    fn run(
        &mut self,
        path: PathBuf,
        text: Arc<str>,
        good: Good,
        checked: Option<Checked>,
    ) -> Change {
        self.flows.insert(good.flow.clone(), path.clone());
        if let Some(file) = self.files.get_mut(&path) {
            file.wants = None;
            file.runs = Some(good.flow.clone());
        }
        Change::Runs { path, text, good, known: false, checked }
    }

    /// A file keeps the name that it has, if any: it runs in a new version, or it is left out.
    fn stay(
        &self,
        path: PathBuf,
        text: Arc<str>,
        good: Option<Good>,
        checked: Option<Checked>,
    ) -> Change {
        let running = self.files.get(&path).and_then(|file| file.runs.clone());
        match good {
            Some(good) if running.as_ref() == Some(&good.flow) => {
                Change::Runs { path, text, good, known: true, checked }
            }
            Some(good) => {
                let mut checked = checked.unwrap_or_else(|| Checked::new(text.to_string(), vec![]));
                if let Some(owner) = self.flows.get(&good.flow) {
                    checked.add_same_name(&path, owner);
                }
                Change::Refused { path, running, checked }
            }
            None => Change::Refused { path, running, checked: checked.unwrap_or_default() },
        }
    }

    fn release(&mut self, path: PathBuf, flow: Arc<str>, changes: &mut Vec<Change>) {
        self.flows.remove(&flow);
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
        assert_eq!(swapped, ["-one", "-two", "+two", "+one"]);
        // One after the other: the first waits, in the version before.
        assert_eq!(desk.update(vec![("0", flow("one"))]), ["!0 two"]);
        assert_eq!(desk.update(vec![("b", flow("two"))]), ["-two", "-one", "+two", "+one"]);
        // Each takes the next one's name, and the last a new one.
        let moved = desk.update(vec![("0", flow("two")), ("b", flow("three"))]);
        assert_eq!(moved, ["-one", "-two", "+two", "+three"]);
    }

    #[test]
    fn a_name_that_another_file_has_keeps_what_runs() {
        let mut desk = Desk::new();
        desk.update(vec![("a", flow("one")), ("b", flow("two"))]);
        assert_eq!(desk.update(vec![("b", flow("one"))]), ["!b two"]);
        assert_eq!(desk.update(vec![("b", bad())]), ["!b two"]);
        assert_eq!(desk.update(vec![("a", Read::Gone)]), ["-one"]);
        assert_eq!(desk.update(vec![("b", flow("two"))]), ["~two"]);
        // A third file cannot have the name of one that does not move after all.
        desk.update(vec![("a", flow("one"))]);
        assert_eq!(
            desk.update(vec![("b", flow("one")), ("c", flow("two"))]),
            ["!b two", "!c nothing"]
        );
        assert_eq!(desk.update(vec![("a", Read::Gone)]), ["-one", "-two", "+one", "+two"]);
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
