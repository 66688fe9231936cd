//! `towpath dead-letters drop`.

use anyhow::anyhow;
use engine::{Answer, LetterFilter, Request};
use serde_json::json;

use crate::commands::check::counted;
use crate::commands::state::ask;
use crate::exit::{Exit, Failed, Result};
use crate::held::Held;
use crate::progress::{print, print_json};
use crate::project::{Project, Workshop};
use crate::question;

pub(super) async fn run(
    project: &Project,
    held: Held,
    filter: LetterFilter,
    yes: bool,
    json: bool,
) -> Result {
    let request = Request::DeadLetters { filter: filter.clone(), limit: Some(0), after: None };
    let Answer::DeadLetters { more, .. } = ask(&held, request).await? else {
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
    let dropped = match held {
        Held::Here(_, store) => {
            let workshop = Workshop::on(project, [], store).await?;
            workshop.engine.drop_letters(&filter).await.map_err(Failed::run)?
        }
        Held::There(_) => match ask(&held, Request::Drop { filter }).await? {
            Answer::Dropped { dropped } => dropped,
            _ => 0,
        },
    };
    if json {
        print_json(&json!({ "dropped": dropped }));
    } else {
        print(&format!("dropped {}", counted(dropped, "dead letter")));
    }
    Ok(Exit::Done)
}
