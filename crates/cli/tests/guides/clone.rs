//! A clone of this workspace to work in, as the reader of a guide would have.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a clone with what the workspace holds now, committed or not. Gives its folder, and the
/// target directory in which third-party crates are compiled already.
///
/// The folder is the same each time, and files keep their times: what did not change since the
/// last run is not compiled again.
pub(crate) fn make() -> (PathBuf, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let clone = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide");
    if clone.exists() {
        std::fs::remove_dir_all(&clone).unwrap();
    }
    let mut list = Command::new("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = list.current_dir(&root).output().unwrap();
    assert!(listed.status.success(), "git cannot list the files of {}", root.display());
    let listed = String::from_utf8(listed.stdout).unwrap();
    for path in listed.split('\0').filter(|path| root.join(path).is_file()) {
        let (from, to) = (root.join(path), clone.join(path));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&from, &to).unwrap();
        let modified = std::fs::metadata(&from).unwrap().modified().unwrap();
        std::fs::File::options().append(true).open(&to).unwrap().set_modified(modified).unwrap();
    }
    let target = Path::new(env!("CARGO_BIN_EXE_towpath")).ancestors().nth(2).unwrap();
    (clone, target.to_str().unwrap().to_owned())
}
