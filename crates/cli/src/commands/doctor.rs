//! `towpath doctor`: everything that an operator would look at, and what to do about it.

use std::io::IsTerminal;
use std::path::Path;

use serde_json::json;

use crate::args::Doctor;
use crate::doctor::{self, Verdict, Words};
use crate::exit::{Exit, Result};
use crate::progress::{print, print_json};
use crate::project::Project;
use crate::reference;

pub(crate) async fn run(config: Option<&Path>, args: &Doctor, json: bool) -> Result {
    let (project, checked) = Project::load(config)?;
    let sheet = doctor::look(&project, &checked, args.online).await?;
    if json {
        sheet.lines().iter().for_each(|line| print_json(&json!(line)));
    } else {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        print(&Words { width: reference::width(), colour }.of(&sheet));
    }
    Ok(if sheet.count(Verdict::Error) > 0 { Exit::Unwell } else { Exit::Done })
}
