//! `towpath run`: a flow once, on its schedule, or dry.

use std::path::Path;
use std::sync::Arc;

use engine::{Beat, DryRun, Schedule};

use crate::args::Run;
use crate::commands::backfill;
use crate::exit::{Exit, Failed, Result};
use crate::left_alone;
use crate::progress::{Progress, print_json, say};
use crate::project::{Project, Workshop};
use crate::signals;

/// A dry run shows so many messages.
const SHOWN: usize = 10;

pub(crate) async fn run(config: Option<&Path>, args: &Run, json: bool) -> Result {
    let project = Project::read(config)?;
    let mut flow = project.flow(&args.flow)?;
    if args.allow_deletes {
        if flow.trigger.deletes.is_none() {
            return Err(Failed::config(anyhow::anyhow!(
                "flow \"{}\" deletes nothing: its trigger has no `emitDeletes: true`",
                flow.name
            )));
        }
        flow.trigger.allow_deletes();
    }
    let flow = Arc::new(flow);
    let workshop = Workshop::open(&project, [&*flow], args.durability).await;
    let workshop = workshop.map_err(|failed| match failed.exit {
        Exit::Store => failed.at(format!("flow \"{}\"", flow.name)),
        _ => failed,
    })?;
    if args.dry_run {
        return dry_run(&workshop, &flow).await;
    }
    let engine = workshop.engine.clone();
    if args.stop_backfill {
        return backfill::stop(engine, &flow.name, json).await;
    }
    if let Some(from) = args.from {
        backfill::begin(engine, &flow, from, args.until, json).await?;
    }
    let stop = signals::stop_on_signal(args.grace);
    let progress = Arc::new(Progress::new(json));
    workshop.engine.tell_of_accounts(progress.clone());
    if args.once || args.from.is_some() || args.allow_deletes {
        let report = workshop.engine.run(&flow, stop, progress.clone()).await;
        progress.finish(&flow.name, &report);
        return Ok(Exit::of_run(&report.errors));
    }
    let Some(schedule) = flow.trigger.schedule.clone() else {
        return Err(Failed::config(anyhow::anyhow!(
            "flow \"{}\" has no schedule: run it with --once, or give its trigger `every` or `cron`",
            flow.name
        )));
    };
    let mut exit = Exit::Done;
    let now = workshop.engine.clock().now();
    let beat = Beat::new(&flow.name, schedule, now);
    if beat.at() > now {
        // A cron expression waits for its first tick.
        progress.say(&format!("{}: next run at {}", flow.name, beat.at()));
    }
    let schedule = Schedule::new(workshop.engine.clone(), flow.clone(), beat);
    let on_run = |report: engine::Report, next| {
        progress.finish(&flow.name, &report);
        if report.is_refused()
            && let Err(failed) = left_alone::look_again(&project, &workshop, &flow)
        {
            progress.say(&format!("{}: {:#}", flow.name, failed.error));
        }
        if report.needs_change {
            exit = Exit::of_run(&report.errors);
            return false;
        }
        if !report.stopped && !json {
            say(&format!("{}: next run at {next}", flow.name));
        }
        true
    };
    schedule.run(stop, progress.clone(), on_run).await;
    Ok(exit)
}

async fn dry_run(workshop: &Workshop, flow: &Arc<flow::Flow>) -> Result {
    let progress = Arc::new(Progress::new(false));
    let dry_run = DryRun { engine: &workshop.engine, flow, limit: SHOWN };
    let done = dry_run.run(progress, |input| print_json(&input)).await;
    done.map_err(|error| Failed {
        exit: Exit::of_run(std::slice::from_ref(&error)),
        error: error.into(),
    })?;
    Ok(Exit::Done)
}
