//! `towpath state`: what flows remember.

use std::path::Path;

use comfy_table::{Table, presets};
use connector::Timestamp;
use engine::{Answer, Handle, Request};
use serde_json::json;

use crate::args::{Durability, State};
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json};
use crate::project::{Project, Workshop};

pub(crate) async fn run(config: &Path, command: State, json: bool) -> Result {
    let project = Project::read(config)?;
    match command {
        State::Show { flow: None } => {
            let handle = Handle::new(project.store(Durability::Full).await?);
            if let Answer::Flows { flows } = ask(&handle, Request::Flows).await? {
                if json {
                    print_json(&json!(flows));
                } else if flows.is_empty() {
                    print("no flow has state yet");
                } else {
                    flows.iter().for_each(|flow| print(flow));
                }
            }
        }
        State::Show { flow: Some(name) } => {
            let name = project.flow_name(&name)?;
            let handle = Handle::new(project.store(Durability::Full).await?);
            let answer = ask(&handle, Request::State { flow: name.clone() }).await?;
            show(&name, answer, json);
        }
        State::Keep { flow } => {
            let (handle, flow, source) = with_source(&project, &flow).await?;
            ask(&handle, Request::Keep { flow: flow.clone(), source }).await?;
            print(&format!("{flow}: the next run goes on from the stored snapshot"));
        }
        State::Reset { flow } => {
            let (handle, flow, source) = with_source(&project, &flow).await?;
            ask(&handle, Request::Reset { flow: flow.clone(), source }).await?;
            print(&format!("{flow}: the next run reads and sends everything"));
        }
    }
    Ok(Exit::Done)
}

/// The flow's name, and the fingerprint of what it reads now.
async fn with_source(project: &Project, flow: &str) -> Result<(Handle, String, String)> {
    let flow = project.flow(flow)?;
    let workshop = Workshop::open(project, [&flow], Durability::Full).await?;
    let source = workshop.engine.source(&flow).map_err(Failed::config)?;
    Ok((Handle::new(workshop.engine.store().clone()), flow.name, source))
}

pub(crate) async fn ask(handle: &Handle, request: Request) -> Result<Answer> {
    let answer = handle.ask(request).await;
    answer.map_err(|error| Failed {
        exit: Exit::of_run(std::slice::from_ref(&error)),
        error: error.into(),
    })
}

fn show(flow: &str, answer: Answer, json: bool) {
    let Answer::State { snapshot, counts, runs } = answer else { return };
    if json {
        print_json(&json!({ "flow": flow, "snapshot": snapshot, "counts": counts, "runs": runs }));
        return;
    }
    match snapshot {
        None => print(&format!("{flow} has not committed anything yet")),
        Some(snapshot) => print(&format!("{flow}\n{snapshot:#}")),
    }
    print(&format!(
        "so far: {} found, {} delivered, {} unchanged, {} filtered out, {} dead letters",
        counts.records, counts.delivered, counts.unchanged, counts.filtered, counts.dead_lettered
    ));
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["run", "took", "outcome", "found", "delivered"]);
    for run in runs.iter().take(10) {
        let took = Timestamp::from_millis(run.finished).since(Timestamp::from_millis(run.started));
        table.add_row([
            Timestamp::from_millis(run.started).to_string(),
            format!("{:.2} s", took.as_secs_f64()),
            match &run.error {
                None => run.outcome.clone(),
                Some(error) => format!("{}: {error}", run.outcome),
            },
            run.counts.records.to_string(),
            run.counts.delivered.to_string(),
        ]);
    }
    print(&table.trim_fmt());
}
