//! `towpath account hooks`: where systems call flows.

use std::path::Path;

use anyhow::anyhow;
use serde_json::Value;

use super::connect::{ask, ask_service};
use crate::args::HooksCommand;
use crate::connect::Ask;
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json};
use crate::project::Project;

pub(crate) async fn run(config: Option<&Path>, command: HooksCommand, json: bool) -> Result {
    let project = Project::read(config)?;
    match command {
        HooksCommand::List { name } => {
            let hooks = ask(&project, Ask::Hooks { account: name.clone() }).await?;
            list(&name, &hooks, json);
        }
        HooksCommand::Register { name, flow, url } => {
            // The system calls the flow before it answers, and only a service takes calls.
            let Err(failed) = project.existing_store().await else {
                return Err(Failed::config(anyhow!(
                    "nobody would answer: the system calls {flow} while it is registered, so \
                     `{}` has to run",
                    project.command("serve")
                )));
            };
            if !matches!(failed.error.downcast_ref(), Some(store::Error::Locked { .. })) {
                return Err(failed);
            }
            let wanted = Ask::Register { account: name.clone(), flow: flow.clone(), url };
            let registered = ask_service(&project, &wanted).await?;
            if json {
                print_json(&registered);
            } else {
                let url = registered["url"].as_str().unwrap_or_default();
                print(&format!("{name}: its system calls {flow} at {url} from now on"));
            }
        }
        HooksCommand::Remove { name, flow } => {
            let wanted = Ask::Unregister { account: name.clone(), flow: flow.clone() };
            let removed = ask(&project, wanted).await?;
            if json {
                print_json(&removed);
            } else if removed["was"] == true {
                print(&format!("{name}: its system calls {flow} no more"));
            } else {
                print(&format!("{name}: nothing was registered for {flow}"));
            }
        }
    }
    Ok(Exit::Done)
}

fn list(account: &str, hooks: &Value, json: bool) {
    let hooks = hooks.as_array().map(Vec::as_slice).unwrap_or_default();
    if json {
        hooks.iter().for_each(print_json);
        return;
    }
    if hooks.is_empty() {
        print(&format!("{account}: nothing is registered"));
    }
    for hook in hooks {
        let text = |key: &str| hook[key].as_str().unwrap_or_default();
        print(&format!("{}  {}  {}", text("event"), text("of"), text("url")));
    }
}
