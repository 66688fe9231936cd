//! `towpath state`: what flows remember, in the operator's hands.

mod documents;
mod rewind;
mod show;

use std::path::Path;

use anyhow::anyhow;
use engine::{Answer, Changed, Request, StateChange};
use flow::Flow;
use serde_json::json;

use crate::args::{Durability, State};
use crate::exit::{Exit, Failed, Result};
use crate::held::Held;
use crate::progress::{print, print_json};
use crate::project::{Project, Workshop};

pub(crate) async fn run(config: Option<&Path>, command: State, json: bool) -> Result {
    let project = Project::read(config)?;
    match command {
        State::Show { flow } => show::show(&project, flow.as_deref(), json).await,
        State::History { flow } => show::history(&project, &flow, json).await,
        State::Export { flow, seen } => documents::export(&project, &flow, seen).await,
        State::Rewind(args) => rewind::rewind(&project, &args, json).await,
        State::Set { flow, file } => documents::set(&project, &flow, &file, json).await,
        State::Import { flow, file } => documents::import(&project, &flow, &file, json).await,
        State::Keep { flow } => {
            let state = Of::flow(&project, &flow).await?;
            let change = StateChange::Keep { source: state.source.clone() };
            let changed = state.change(change).await?;
            state.say(&changed, "goes on from the stored snapshot", json);
            Ok(Exit::Done)
        }
        State::Reset { flow } => {
            let state = Of::flow(&project, &flow).await?;
            let change = StateChange::Reset { source: state.source.clone() };
            let changed = state.change(change).await?;
            state.say(&changed, "reads and sends everything", json);
            Ok(Exit::Done)
        }
    }
}

/// The state of a flow that can be changed.
struct Of {
    held: Held,
    flow: Flow,
    /// The fingerprint of what it reads now.
    source: String,
    undo: String,
}

impl Of {
    async fn flow(project: &Project, name: &str) -> Result<Self> {
        let flow = project.flow(name)?;
        let undo = project.command(&format!("state rewind {name} --to-entry"));
        if let Some(client) = project.service().await {
            let held = Held::There(client);
            // By the version of the flow that the service runs.
            let request = Request::Source { flow: flow.name.clone() };
            let Answer::Source { source, .. } = ask(&held, request).await? else {
                return Err(Failed::config(anyhow!("{name}: the service did not say its source")));
            };
            return Ok(Self { held, flow, source, undo });
        }
        let workshop = Workshop::open(project, [&flow], Durability::Full).await?;
        let source = workshop.engine.source(&flow).map_err(Failed::config)?;
        Ok(Self { held: Held::of(workshop.engine), flow, source, undo })
    }

    /// Whether the trigger can be asked for what changed since a moment.
    fn by_time(&self) -> bool {
        use connector::Changes;
        matches!(self.flow.trigger.trigger.changes(), Changes::Timestamps | Changes::Both)
    }

    async fn ask(&self, change: StateChange) -> Result<Answer> {
        ask(&self.held, Request::Change { flow: self.flow.name.clone(), change }).await
    }

    async fn change(&self, change: StateChange) -> Result<Changed> {
        match self.ask(change).await? {
            Answer::Changed { changed }
            | Answer::Rewound { changed, .. }
            | Answer::Imported { changed, .. } => Ok(changed),
            _ => Ok(Changed::default()),
        }
    }

    /// Says what the next run does, and how the change is taken back.
    fn say(&self, changed: &Changed, next: &str, json: bool) {
        let flow = &self.flow.name;
        let next = match changed.entry {
            Some(_) => next,
            None => "is its first: there was nothing to change",
        };
        if json {
            print_json(&json!({
                "flow": flow, "changed": changed.entry.is_some(), "next": next,
                "entry": changed.entry, "before": changed.before,
            }));
            return;
        }
        print(&format!("{flow}: the next run {next}"));
        if let Some(before) = changed.before {
            print(&format!("to take it back: {} {before}", self.undo));
        }
    }
}

pub(crate) async fn ask(held: &Held, request: Request) -> Result<Answer> {
    held.ask(request).await
}
