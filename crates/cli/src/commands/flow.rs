//! `towpath flow`: flows in the operator's hands, beside a running service or before one.

use std::path::Path;

use anyhow::anyhow;
use comfy_table::{Table, presets};
use connector::{Clock, SystemClock};
use engine::service::{self, Pause};
use serde_json::{Value, json};

use crate::args::{Durability, Flow};
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json};
use crate::project::Project;
use crate::remote::Client;

pub(crate) async fn run(config: Option<&Path>, command: Flow, json: bool) -> Result {
    let project = Project::read(config)?;
    let client = project.service().await;
    match (command, client) {
        (Flow::List, Some(client)) => list(&client, json).await,
        (Flow::Run { flow }, Some(client)) => {
            let flow = project.flow_name(&flow)?;
            client.call("POST", &format!("/api/v1/flows/{flow}/run"), None).await?;
            done(&flow, "asked", "it runs as soon as there is room", json)
        }
        (Flow::Pause { flow, reason }, Some(client)) => {
            let flow = project.flow_name(&flow)?;
            let body = json!({ "reason": reason });
            client.call("POST", &format!("/api/v1/flows/{flow}/pause"), Some(&body)).await?;
            done(&flow, "paused", PAUSED, json)
        }
        (Flow::Resume { flow }, Some(client)) => {
            let flow = project.flow_name(&flow)?;
            let path = format!("/api/v1/flows/{flow}/resume");
            let was = client.call("POST", &path, None).await?.get("was") == Some(&true.into());
            done(&flow, "resumed", resumed(was), json)
        }
        (Flow::Pause { flow, reason }, None) => {
            // A name that no file has would be kept, and never be of use.
            let flow = project.flow(&flow)?.name;
            let store = project.store(Durability::Full).await?;
            let (since, by) = (SystemClock.now(), "local".to_owned());
            let pause = Pause { flow: flow.clone(), since, by, reason };
            service::pause(&*store, pause).await.map_err(Failed::run)?;
            done(&flow, "paused", PAUSED, json)
        }
        (Flow::Resume { flow }, None) => {
            let flow = project.flow_name(&flow)?;
            let was = match project.existing_store().await? {
                Some(store) => service::resume(&*store, &flow).await.map_err(Failed::run)?,
                None => false,
            };
            done(&flow, "resumed", resumed(was), json)
        }
        (Flow::List | Flow::Run { .. }, None) => {
            let serve = project.command("serve");
            let run = project.command("run FLOW --once");
            Err(Failed::config(anyhow!(
                "no service runs here: `{serve}` starts one, and `{run}` runs a flow without one"
            )))
        }
    }
}

const PAUSED: &str = "paused: it runs only when somebody says so";

const fn resumed(was: bool) -> &'static str {
    if was { "runs on its schedule again" } else { "it was not paused" }
}

fn done(flow: &str, what: &str, words: &str, json: bool) -> Result {
    if json {
        print_json(&json!({ "flow": flow, what: true, "words": words }));
    } else {
        print(&format!("{flow}: {words}"));
    }
    Ok(Exit::Done)
}

async fn list(client: &Client, json: bool) -> Result {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["flow", "schedule", "state", "next"]);
    let mut none = true;
    let mut after = String::new();
    loop {
        let page = client.call("GET", &format!("/api/v1/flows?limit=500{after}"), None).await?;
        let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
        for line in page.get("items").and_then(Value::as_array).into_iter().flatten() {
            none = false;
            if json {
                print_json(line);
                continue;
            }
            let paused = line.get("paused") == Some(&true.into());
            let state = match text(line, "running") {
                Some(since) => format!("runs since {since}"),
                None if paused => "paused".to_owned(),
                None => "waits".to_owned(),
            };
            table.add_row([
                text(line, "flow").unwrap_or_default(),
                text(line, "schedule").unwrap_or_else(|| "none".to_owned()),
                state,
                text(line, "next").unwrap_or_default(),
            ]);
        }
        match text(&page, "next") {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    if !json {
        print(&if none { "the service has no flow".to_owned() } else { table.trim_fmt() });
    }
    Ok(Exit::Done)
}
