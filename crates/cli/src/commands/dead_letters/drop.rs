//! `towpath dead-letters drop`.

use std::sync::Arc;

use anyhow::anyhow;
use engine::{Answer, Handle, LetterFilter, Request};
use serde_json::json;
use store::Store;

use crate::commands::check::counted;
use crate::commands::state::ask;
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json};
use crate::project::{Project, Workshop};
use crate::question;

pub(super) async fn run(
    project: &Project,
    store: Arc<dyn Store>,
    filter: LetterFilter,
    yes: bool,
    json: bool,
) -> Result {
    let handle = Handle::new(store.clone());
    let request = Request::DeadLetters { filter: filter.clone(), limit: Some(0) };
    let Answer::DeadLetters { more, .. } = ask(&handle, request).await? else {
        return Ok(Exit::Done);
    };
    if more > 0 && !yes {
        let what = format!("drop {} for good?", counted(more, "dead letter"));
        match question::asked(&what) {
            Some(true) => {}
            Some(false) => {
                print("nothing was dropped");
                return Ok(Exit::Done);
            }
            None => {
                let error = anyhow!("{what} Say so by --yes: nobody can be asked here");
                return Err(Failed { exit: Exit::Usage, error });
            }
        }
    }
    let workshop = Workshop::on(project, [], store).await?;
    let dropped = workshop.engine.drop_letters(&filter).await.map_err(Failed::run)?;
    if json {
        print_json(&json!({ "dropped": dropped }));
    } else {
        print(&format!("dropped {}", counted(dropped, "dead letter")));
    }
    Ok(Exit::Done)
}
