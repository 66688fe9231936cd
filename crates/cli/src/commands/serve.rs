//! `towpath serve`: all flows of a folder on their schedules, until a signal.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use connector::{Clock, SystemClock};
use engine::Silent;
use engine::service::{Options, Service};
use flow::Flow;

use crate::args::{Durability, Serve};
use crate::commands::check::counted;
use crate::exit::{Exit, Failed, Result};
use crate::progress::say;
use crate::project::{Project, Workshop};
use crate::serve::{Begin, Lines, Looks, Office, Reload, Shelf};
use crate::signals;

pub(crate) async fn run(config: Option<&Path>, args: &Serve, json: bool) -> Result {
    let project = Arc::new(Project::read(config)?);
    let lines = Arc::new(Lines::new(json));
    let path = args.folder.clone().unwrap_or_else(|| project.folder());
    // What changes from here on is found, even while the files are read for the first time.
    let clock = Arc::new(SystemClock);
    let (looks, unwatched) = Looks::start(clock.clone(), &path, project.config_path());
    let mut reload = Reload::new(project.clone(), lines.clone(), path.clone());
    let first = reload
        .first(clock.now())
        .with_context(|| format!("could not list {}", path.display()))
        .map_err(Failed::config)?;
    let (left_out, warnings) = (first.left_out, first.warnings);
    if first.flows() == 0 {
        return Err(nothing_to_run(&path, left_out));
    }
    let none = std::iter::empty::<&Flow>();
    let engine = Workshop::open(&project, none, Durability::Full).await?.engine;
    let shelf = Arc::new(Shelf::new(project, engine.clone(), lines.clone()));
    let office = Office { shelf: shelf.clone(), store: engine.store().clone(), clock };
    let flows = first.flows();
    let planned = office.first(first).await;
    let scheduled = planned.len();
    if scheduled == 0 {
        return Err(Failed::config(anyhow!(
            "no flow in {} has a schedule: give a trigger `every` or `cron`, or run flows by \
             `towpath run FLOW --once`",
            path.display()
        )));
    }
    let stop = signals::stop_on_signal(args.grace);
    let now = engine.clock().now();
    let options =
        Options { engine, host: shelf, watch: Arc::new(Silent), most_runs: args.max_runs };
    let (service, handle) = Service::new(options, planned);
    if let Some(error) = unwatched {
        say(&format!("cannot watch {}: {error}; looking every 10 s instead", path.display()));
    }
    lines.begin(
        now,
        &Begin {
            flows: scheduled,
            left_out,
            unscheduled: flows - scheduled,
            warnings,
            folder: &path,
            next: service.next(),
        },
    );
    let reloading = tokio::spawn(reload.run(looks, office, handle));
    service.run(stop).await;
    reloading.abort();
    // It has no end of its own; what it was telling concerns nobody any more.
    drop(reloading.await);
    Ok(Exit::Done)
}

fn nothing_to_run(folder: &Path, left_out: usize) -> Failed {
    let folder = folder.display();
    if left_out == 0 {
        return Failed::config(anyhow!("there is no flow file in {folder}"));
    }
    let error = anyhow!("nothing to run: {} in {folder}", counted(left_out, "file with mistakes"));
    Failed { exit: Exit::Findings, error }
}
