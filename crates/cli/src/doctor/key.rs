//! The key of the store, and who else can read it, the store, and the files with secrets.

use std::path::Path;

use flow::config::Given;

use super::Sheet;
use crate::project::Project;
use crate::{keys, remote, serve};

pub(super) fn look(sheet: &mut Sheet, project: &Project) {
    sheet.group("key");
    let store = project.store_path();
    match keys::file() {
        Err(error) => sheet.error(
            "keyFile",
            "key",
            error.to_string(),
            "the key of the store has to come from somewhere",
        ),
        Ok(None) => sheet.ok("keyFile", "key", "in the environment: TOWPATH_KEY"),
        Ok(Some(file)) if !file.exists() => {
            if store::SledStore::exists(&store) {
                sheet.error(
                    "keyFile",
                    file.display().to_string(),
                    "it is not there, and the store cannot be read without its key",
                    "bring the key back, or name it by TOWPATH_KEY_FILE or TOWPATH_KEY",
                );
            } else {
                sheet.ok("keyFile", "key", format!("{}: made by the first run", file.display()));
            }
        }
        Ok(Some(file)) => {
            private(sheet, "keyFile", &file, "chmod 600");
            if beside(&file, &store) {
                sheet.warning(
                    "keyPlace",
                    file.display().to_string(),
                    "the key lies in the store's own folder: who copies that can read everything",
                    "move it elsewhere, and name it by TOWPATH_KEY_FILE",
                );
            }
        }
    }
    if store.exists() {
        private(sheet, "storeFolder", &store, "chmod 700");
    }
    for file in [remote::note(&store), serve::audit_file(&store)] {
        if file.exists() {
            private(sheet, "storeFiles", &file, "chmod 600");
        }
    }
    let accounts = project.config().into_iter().flat_map(|config| config.accounts.values());
    let given = accounts.flat_map(|it| it.settings.values());
    for file in given.filter_map(|given| match given {
        Given::File(path) => Some(project.root().join(path)),
        _ => None,
    }) {
        // One that cannot be read is told with its account.
        if file.exists() {
            private(sheet, "secretFiles", &file, "chmod 600");
        }
    }
}

/// Whether the key would be copied along with the data.
fn beside(key: &Path, store: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole(key).starts_with(whole(store))
}

/// Says whether a file or folder is its owner's alone.
#[cfg(unix)]
fn private(sheet: &mut Sheet, check: &'static str, path: &Path, change: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let name = path.display().to_string();
    match std::fs::metadata(path).map(|it| it.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o077 == 0 => sheet.ok(check, name, "its owner's alone"),
        Ok(mode) => {
            let who = if mode & 0o007 == 0 { "its group" } else { "everybody on this machine" };
            let says = format!("mode {mode:04o}: {who} can get at it");
            sheet.warning(check, &name, says, format!("{change} {name}"));
        }
        Err(error) => {
            sheet.error(check, name, error.to_string(), "run this as the user that runs flows");
        }
    }
}

#[cfg(not(unix))]
fn private(sheet: &mut Sheet, check: &'static str, path: &Path, _: &str) {
    sheet.ok(check, path.display().to_string(), "there");
}
