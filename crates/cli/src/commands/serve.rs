//! `towpath serve`: all flows of a folder on their schedules, until a signal.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use connector::{Clock, SystemClock};
use engine::service::{self, Options, Service};
use engine::{Event, Stop, Stopper, Watch};
use flow::Flow;
use serde_json::json;
use server::Events;
use tokio::task::JoinHandle;

use crate::args::{Durability, Serve};
use crate::commands::check::counted;
use crate::commands::plan;
use crate::exit::{Exit, Failed, Result};
use crate::log::Form;
use crate::progress::say;
use crate::project::{Project, Workshop, without_login};
use crate::serve::{Begin, Door, Follow, Lines, Looks, OfShelf, Office, Reload, Shelf, Told};
use crate::signals;

pub(crate) async fn run(config: Option<&Path>, args: &Serve, json: bool) -> Result {
    let project = Arc::new(Project::read(config)?);
    if args.plan {
        return plan::run(&project, args, json).await;
    }
    let lines = Arc::new(Lines::new(json, args.log == Form::Json));
    let path = args.folder.clone().unwrap_or_else(|| project.folder());
    // What changes from here on is found, even while the files are read for the first time.
    let clock = Arc::new(SystemClock);
    let (looks, unwatched) = Looks::start(clock.clone(), &[&path], project.config_path());
    let mut reload = Reload::new(project.clone(), lines.clone(), path.clone());
    let first = reload
        .first(clock.now())
        .with_context(|| format!("could not list {}", path.display()))
        .map_err(Failed::config)?;
    let (left_out, warnings) = (first.left_out, first.warnings);
    if first.flows() == 0 && left_out > 0 {
        return Err(nothing_is_right(&path, left_out));
    }
    // What cannot be listened on is said before anything is opened.
    let door = Door::open(args, &project).await?;
    let none = std::iter::empty::<&Flow>();
    let workshop = Workshop::open(&project, none, Durability::Full).await?;
    let engine = workshop.engine.clone();
    let events = Events::new(clock.clone());
    engine.tell_of_accounts(Arc::new(Accounts {
        lines: lines.clone(),
        clock: clock.clone(),
        events: events.watch(),
    }));
    let logins = workshop.logins(&project, &door.base_url(&project)?);
    say_who_needs_a_login(&project, &workshop, &lines).await?;
    let told = Arc::new(Told::new(events.watch(), traces(clock.clone())?));
    let shelf = Shelf::new(project.clone(), workshop, lines.clone(), events.clone(), told.clone());
    let shelf = Arc::new(shelf);
    engine.knows_flows_by(Arc::new(OfShelf(Arc::downgrade(&shelf))));
    let office = Office { shelf: shelf.clone(), store: engine.store().clone(), clock };
    let flows = first.flows();
    let planned = office.first(first).await;
    let scheduled = planned.len();
    let signalled = signals::stop_on_signal(args.grace);
    let (stopper, stop) = Stop::new(args.grace);
    let now = engine.clock().now();
    let paused = service::pauses(&**engine.store()).await.map_err(Failed::run)?;
    let (host, watch) = (shelf.clone(), told.clone());
    let options = Options { engine, host, watch, most_runs: args.max_runs };
    let (service, handle) = Service::new(options, planned);
    let service = service.with_paused(paused.iter().map(|pause| pause.flow.as_str().into()));
    let face =
        door.serve(&project, (shelf, handle.clone()), (events, logins), stop.clone()).await?;
    if let Some(error) = unwatched {
        say(&format!("cannot watch {}: {error}; looking every 10 s instead", path.display()));
    }
    lines.listening(now, face.address, face.public);
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
    if scheduled == 0 {
        lines.nothing_to_run(now, &path, flows, &project.command("new"));
    }
    for pause in &paused {
        let words = format!("{} is paused since {} by {}", pause.flow, pause.since, pause.by);
        lines.change(now, "paused", &json!({ "flow": pause.flow, "since": pause.since }), &words);
    }
    let mut reloading = tokio::spawn(reload.run(looks, office, handle));
    let followed = async {
        let followed = follow(signalled, &mut reloading, stopper).await;
        face.is_ending();
        followed
    };
    let (followed, ()) = tokio::join!(followed, service.run(stop));
    face.end().await;
    told.end().await;
    if followed.is_ok() {
        reloading.abort();
        // What it was telling concerns nobody any more.
        drop(reloading.await);
    }
    followed.map(|()| Exit::Done)
}

/// Who traces runs, if this program can and the environment names a collector.
#[cfg(feature = "otlp")]
fn traces(clock: Arc<SystemClock>) -> Result<Option<Arc<dyn Follow>>> {
    let traces = crate::serve::Traces::from_environment(clock)?;
    Ok(traces.map(|traces| traces as Arc<dyn Follow>))
}

#[cfg(not(feature = "otlp"))]
#[allow(clippy::unnecessary_wraps, reason = "as it is with the feature")]
fn traces(_: Arc<SystemClock>) -> Result<Option<Arc<dyn Follow>>> {
    Ok(None)
}

/// Says for which accounts somebody has to log in first: flows that use them fail until then.
async fn say_who_needs_a_login(
    project: &Project,
    workshop: &Workshop,
    lines: &Lines,
) -> Result<()> {
    let mut accounts = vec![];
    for name in project.config().into_iter().flat_map(|config| config.accounts.keys()) {
        // What else is wrong with an account is told by the flow that uses it.
        if let Ok(Some(account)) = project.account(name, Some(&workshop.vault)) {
            accounts.push(account);
        }
    }
    let now = workshop.engine.clock().now();
    for (name, login) in without_login(project, &workshop.engine, &accounts).await? {
        let of = json!({ "account": name, "command": login });
        let words = format!("account {name}: has no login, flows that use it fail: run `{login}`");
        lines.change(now, "loginNeeded", &of, &words);
    }
    Ok(())
}

/// Says what becomes of accounts.
struct Accounts {
    lines: Arc<Lines>,
    clock: Arc<SystemClock>,
    events: Arc<dyn Watch>,
}

impl Watch for Accounts {
    fn on(&self, event: &Event<'_>) {
        self.events.on(event);
        if let Event::Account { account, change } = event {
            self.lines.account(self.clock.now(), account, change);
        }
    }
}

/// Lets the service end after a signal; with an error if nobody looks at its files any more: its
/// flows would go on as they were for ever, and nobody would know.
async fn follow(
    mut signalled: Stop,
    reloading: &mut JoinHandle<()>,
    stopper: Stopper,
) -> Result<()> {
    let followed = tokio::select! {
        () = signalled.wait() => Ok(()),
        ended = reloading => {
            let reason = ended.err().map_or_else(String::new, |error| format!(": {error}"));
            let error = anyhow!(
                "stopped, because changes of files were not followed any more{reason}; nothing is \
                 lost, start it again"
            );
            Err(Failed { exit: Exit::Unexpected, error })
        }
    };
    stopper.stop();
    followed
}

/// What is there was to run, and cannot: better said by the exit code than by a service that waits.
fn nothing_is_right(folder: &Path, left_out: usize) -> Failed {
    let folder = folder.display();
    let error = anyhow!("nothing to run: {} in {folder}", counted(left_out, "file with mistakes"));
    Failed { exit: Exit::Findings, error }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_service_whose_files_nobody_looks_at_ends_with_an_error() {
        let (_signal, signalled) = Stop::new(Duration::ZERO);
        let (stopper, stop) = Stop::new(Duration::ZERO);
        let mut reloading = tokio::spawn(async { panic!("a mistake") });
        let failed = follow(signalled, &mut reloading, stopper).await.unwrap_err();
        assert_eq!(failed.exit, Exit::Unexpected);
        assert!(failed.error.to_string().contains("a mistake"), "{}", failed.error);
        assert!(stop.is_set());
    }
}
