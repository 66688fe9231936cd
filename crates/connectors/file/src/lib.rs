//! Files on this machine: JSON lines and CSV, read as they grow, and appended to whole.
//!
//! Start with [`connector`]; `read` and `append` are the trigger and the action. `folder` keeps them
//! inside the account's folder, `lines` and `csv` know where a record ends, `ledger` is what makes
//! an append whole.
//!
//! Must not know: engine, stores, flows. It holds no state between calls: where a reader is, is in
//! its cursor, and what was appended is in a file beside the file.

mod append;
mod csv;
mod folder;
mod ledger;
mod lines;
mod read;

use connector::prelude::*;

use append::Append;
use read::Read;

/// A machine's own files have no base URL. No name of this domain leads anywhere (RFC 2606).
const NOWHERE: &str = "https://no-base-url.invalid";

/// From a record to a message.
const READ: &str = include_str!("read.jsonata");

/// From a message to a record.
const APPEND: &str = include_str!("append.jsonata");

/// The account's folder.
pub(crate) const FOLDER: &str = "folder";

/// The trigger and the action of files.
pub fn connector() -> Connector {
    let folder = Setting::plain(
        FOLDER,
        "The folder, as an absolute path: nothing outside of it is read or written.",
    );
    Connector::new("file", NOWHERE, Auth::None)
        .about("Files on this machine: JSON lines and CSV.")
        .page(include_str!("about.md"))
        .privacy(Handling::ByHand, Handling::ByHand)
        .setting(folder.checked(is_absolute))
        .polling::<Read>("read", READ)
        .action::<Append>("append", APPEND)
}

fn is_absolute(path: &str) -> Result<(), String> {
    if std::path::Path::new(path).is_absolute() {
        Ok(())
    } else {
        Err("an absolute path is needed, such as /var/lib/example".to_owned())
    }
}
