//! The folder that a service runs: which files are there, and which of them may have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// What tells without reading that a file is another one: its length and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// A file as it is now.
#[derive(Debug)]
pub(crate) enum Read {
    /// Its text.
    Text(Arc<str>),
    /// It is not there any more.
    Gone,
    /// It is there and cannot be read.
    Unreadable(io::Error),
}

/// A folder of flow files, and what was last seen of each.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// `None` is one that has to be read again.
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
}

impl Folder {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path, stamps: BTreeMap::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the files that are new, gone or have another stamp than at the last look, and those
    /// of `named` whatever their stamp; `all` reads every one. A file that could not be read is
    /// tried again.
    ///
    /// A folder that cannot be listed is an error, and then nothing counts as gone.
    pub(crate) fn look(
        &mut self,
        named: &BTreeSet<PathBuf>,
        all: bool,
    ) -> io::Result<Vec<(PathBuf, Read)>> {
        let mut found = vec![];
        let mut left: BTreeSet<PathBuf> = self.stamps.keys().cloned().collect();
        for path in flow_files(&self.path)? {
            left.remove(&path);
            let stamp = std::fs::metadata(&path).ok().map(|metadata| Stamp::of(&metadata));
            let known = self.stamps.get(&path).is_some_and(|known| *known == stamp);
            if known && stamp.is_some() && !all && !named.contains(&path) {
                continue;
            }
            let seen = match std::fs::read_to_string(&path) {
                Ok(text) => {
                    found.push((path.clone(), Read::Text(text.into())));
                    stamp
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    left.insert(path);
                    continue;
                }
                // Tried again at every look: what is in the way need not show in the stamp.
                Err(error) => {
                    found.push((path.clone(), Read::Unreadable(error)));
                    None
                }
            };
            self.stamps.insert(path, seen);
        }
        for path in left {
            if self.stamps.remove(&path).is_some() {
                found.push((path, Read::Gone));
            }
        }
        Ok(found)
    }
}

/// The flow files of a folder, in the order of their names.
pub(crate) fn flow_files(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if is_flow_file(&path) {
            files.insert(path);
        }
    }
    Ok(files)
}

/// Whether a file of that name is taken for a flow file.
pub(crate) fn is_flow_file(path: &Path) -> bool {
    let yaml = path.extension().is_some_and(|it| it == "yaml" || it == "yml");
    yaml && path.file_name().is_some_and(|it| it != "towpath.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_could_not_be_read_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), [0xff]).unwrap();
        let mut watched = Folder::new(folder.path().to_owned());
        for _ in 0..2 {
            let found = watched.look(&BTreeSet::new(), false).unwrap();
            assert!(matches!(found[..], [(_, Read::Unreadable(_))]), "{found:?}");
        }
    }

    #[test]
    fn only_what_changed_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        write("a.yaml", "a").unwrap();
        write("b.yml", "b").unwrap();
        write("towpath.yaml", "accounts: {}").unwrap();
        write("notes.txt", "c").unwrap();
        let mut watched = Folder::new(folder.path().to_owned());
        let mut look = |named: &[&str], all| {
            let named = named.iter().map(|name| folder.path().join(name)).collect();
            let found = watched.look(&named, all).unwrap();
            let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
            let shown = found.iter().map(|(path, read)| match read {
                Read::Text(text) => format!("{}: {text}", name(path)),
                other => format!("{}: {other:?}", name(path)),
            });
            shown.collect::<Vec<_>>()
        };
        assert_eq!(look(&[], false), ["a.yaml: a", "b.yml: b"]);
        assert_eq!(look(&[], false), [""; 0]);
        write("a.yaml", "other").unwrap();
        assert_eq!(look(&[], false), ["a.yaml: other"]);
        assert_eq!(look(&["b.yml"], false), ["b.yml: b"]);
        assert_eq!(look(&[], true), ["a.yaml: other", "b.yml: b"]);
        std::fs::remove_file(folder.path().join("a.yaml")).unwrap();
        assert_eq!(look(&[], false), ["a.yaml: Gone"]);
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert!(watched.look(&BTreeSet::new(), true).is_err());
    }
}
