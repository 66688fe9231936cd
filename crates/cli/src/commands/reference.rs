//! `towpath reference`: the pages of the reference, for whoever writes them to files.

use serde_json::json;

use crate::exit::{Exit, Result};
use crate::progress::{print, print_json};
use crate::{reference, registry};

/// Prints every page; with `json` one value a line, `{ name, text }`.
pub(crate) fn run(json: bool) -> Result {
    for page in reference::pages(&registry::connectors()) {
        if json {
            print_json(&json!({ "name": page.name, "text": page.text }));
        } else {
            print(&page.text);
        }
    }
    Ok(Exit::Done)
}
