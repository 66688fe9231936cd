//! The account's folder: names below it become paths that do not leave it.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Component, Path, PathBuf};

use connector::prelude::*;

/// A place in the account's folder.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// As the fields name it, for messages.
    pub(crate) name: String,
}

/// Whether a name stays below a folder by itself.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let parts: Vec<_> = Path::new(name).components().collect();
    let plain = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    let hidden =
        Path::new(name).file_name().is_some_and(|it| it.as_encoded_bytes().starts_with(b"."));
    if parts.is_empty() || !plain || name.contains('\\') || name.ends_with('/') {
        Err("`path` is the name of a file below the account's folder, without `..`".to_owned())
    } else if hidden {
        Err("`path` begins with a full stop: such files are the connector's own".to_owned())
    } else {
        Ok(())
    }
}

/// The place of a name in the account's folder. No part of the way may be a symbolic link.
pub(crate) fn place(folder: &str, name: &str) -> Result<Place> {
    check(name).map_err(Error::config)?;
    // The folder itself may lie behind links: it is the operator who names it.
    let root = std::fs::canonicalize(folder)
        .map_err(|error| Error::config(format!("the account's folder cannot be used: {error}")))?;
    let mut path = root;
    let mut parts = Path::new(name).components().peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        if parts.peek().is_none() {
            break;
        }
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(Error::config(format!("{name}: a part of it is no folder"))),
            Err(error) => return Err(failed(name, "a folder of it cannot be used", &error)),
        }
    }
    Ok(Place { path, name: name.to_owned() })
}

impl Place {
    /// What is there, if anything: a regular file, or it is an error.
    pub(crate) fn look(&self) -> Result<Option<Metadata>> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_file() => Ok(Some(found)),
            Ok(_) => Err(Error::config(format!("{} is no regular file", self.name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&self.name, "it cannot be looked at", &error)),
        }
    }

    /// Opens it; a link that somebody put there in between is an error too.
    pub(crate) fn open(&self, options: &OpenOptions) -> Result<File> {
        self.look()?;
        let file = options.open(&self.path);
        let file = file.map_err(|error| failed(&self.name, "it cannot be opened", &error))?;
        let opened = file.metadata().map_err(|error| failed(&self.name, "it is lost", &error))?;
        match self.look()? {
            Some(found) if identity(&found) == identity(&opened) => Ok(file),
            // It was moved away in this moment: the next try finds what is there then.
            _ => Err(Error::retry(format!("{} was replaced while it was opened", self.name))),
        }
    }

    /// A file beside it that is the connector's own.
    pub(crate) fn beside(&self, ending: &str) -> Self {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let path = self.path.with_file_name(format!(".{name}.{ending}"));
        Self { path, name: format!("{} ({ending})", self.name) }
    }
}

/// What a file is known by, whatever it is called: zero where the system tells nothing.
#[cfg(unix)]
pub(crate) fn identity(found: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (found.dev(), found.ino())
}

/// What a file is known by, whatever it is called: zero where the system tells nothing.
#[cfg(not(unix))]
pub(crate) fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// What an operation on a file failed by: a disk may be well again by itself, rights are not.
pub(crate) fn failed(name: &str, what: &str, error: &io::Error) -> Error {
    let reason = format!("{name}: {what}: {error}");
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::InvalidFilename => Error::config(reason),
        _ => Error::retry(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_the_folder_are_taken() {
        for good in ["a.csv", "in/a.csv", "a..b", "ä.ndjson"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../a",
            "a/../../b",
            "a/..",
            ".",
            "./a",
            "a/",
            "a\\b",
            ".a",
            "in/.a",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_nowhere() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("file"))
            .unwrap();
        let root = folder.path().to_str().unwrap();
        assert!(matches!(place(root, "out/secret"), Err(Error::Config { .. })));
        let file = place(root, "file").unwrap();
        assert!(matches!(file.look(), Err(Error::Config { .. })));
        assert!(file.open(OpenOptions::new().read(true)).is_err());
        assert!(place("/no/such/folder", "a").is_err());
    }
}
