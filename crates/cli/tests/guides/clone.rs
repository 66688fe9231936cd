//! A clone of this workspace to work in, as the reader of a guide would have.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a clone with what the workspace holds now, committed or not, and gives its folder.
///
/// It has a target directory of its own: cargo takes a workspace that it finds elsewhere for the
/// same one. The folder is the same each time, and files keep their times, so that a second run
/// compiles only what changed.
pub(crate) fn make() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let clone = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide");
    clear(&clone);
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
    clone
}

/// Removes everything but what was compiled.
fn clear(clone: &Path) {
    for entry in std::fs::read_dir(clone).into_iter().flatten().map(Result::unwrap) {
        if entry.file_name() == "target" {
            continue;
        } else if entry.file_type().unwrap().is_dir() {
            std::fs::remove_dir_all(entry.path()).unwrap();
        } else {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}
