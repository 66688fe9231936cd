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

pub(crate) async fn run(config: Option<&Path>, command: State, json: bool) -> Result {
    let project = Project::read(config)?;
    match command {
        State::Show { flow } => {
            let Some(store) = project.existing_store().await? else {
                if !json {
                    print("nothing has run here yet, so nothing is remembered");
                }
                return Ok(Exit::Done);
            };
            let handle = Handle::new(store);
            if let Some(name) = flow {
                let name = project.flow_name(&name)?;
                let answer = ask(&handle, Request::State { flow: name.clone() }).await?;
                show(&name, answer, json);
                return Ok(Exit::Done);
            }
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
        State::Keep { flow } => {
            let (handle, flow, source) = with_source(&project, &flow).await?;
            let request = Request::Keep { flow: flow.clone(), source };
            change(&handle, &flow, request, "goes on from the stored snapshot", json).await?;
        }
        State::Reset { flow } => {
            let (handle, flow, source) = with_source(&project, &flow).await?;
            let request = Request::Reset { flow: flow.clone(), source };
            change(&handle, &flow, request, "reads and sends everything", json).await?;
        }
    }
    Ok(Exit::Done)
}

/// Changes what a flow remembers, and says what its next run does then.
async fn change(
    handle: &Handle,
    flow: &str,
    request: Request,
    next: &str,
    json: bool,
) -> Result<()> {
    let known = matches!(
        ask(handle, Request::State { flow: flow.to_owned() }).await?,
        Answer::State { snapshot: Some(_), .. }
    );
    ask(handle, request).await?;
    let next = if known { next } else { "is its first: there was nothing to change" };
    if json {
        print_json(&json!({ "flow": flow, "changed": known, "next": next }));
    } else {
        print(&format!("{flow}: the next run {next}"));
    }
    Ok(())
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
