//! `towpath demo`: a flow at work, against sandboxes on this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use engine::{Handle, Report, Request};
use indicatif::HumanCount;
use sandbox::{Options, Sandbox, Touch};
use store::MasterKey;

use crate::args;
use crate::commands::check::counted;
use crate::exit::{Exit, Result};
use crate::progress::{Progress, print, summary};
use crate::project::{Project, Workshop};
use crate::signals;

const FLOW: &str = include_str!("../../../../flows/newsletter-to-clevertap.yaml");
const FLOW_FILE: &str = "flows/newsletter-to-clevertap.yaml";
/// So many receivers change between the two runs.
const TOUCHED: usize = 25;
/// Time passes between them, so that the changes are later than what was read.
const LATER_SECONDS: i64 = 120;

pub(crate) async fn run(args: args::Demo, json: bool) -> Result {
    let sandbox =
        Sandbox::start(Options { receivers: args.receivers, ..Options::default() }).await?;
    let home = Home::make(&sandbox)?;
    let project = Project::read(Some(&home.path.join("towpath.yaml")))?;
    let flow = Arc::new(project.flow(&home.path.join(FLOW_FILE).to_string_lossy())?);
    let workshop = Workshop::with_key(&project, [&*flow], home.key).await?;
    let stop = signals::stop_on_signal(Duration::from_secs(30));
    say(
        json,
        &format!(
            "A sandbox of CleverReach with {} receivers and one of CleverTap are up on this machine.",
            HumanCount(args.receivers as u64)
        ),
    );
    let mut failed = Exit::Done;
    for what in ["First run: everything.", "Second run: only what changed."] {
        say(json, "");
        say(json, what);
        sandbox.reset_stats();
        let progress = Arc::new(Progress::new(json));
        let report = workshop.engine.run(&flow, stop.clone(), progress.clone()).await;
        if json {
            progress.finish(&flow.name, &report);
        } else {
            progress.clear();
            explain(&sandbox, &report);
        }
        failed = Exit::of_run(&report.errors);
        if failed != Exit::Done || report.stopped {
            break;
        }
        if what.starts_with("First") {
            sandbox.advance_clock(LATER_SECONDS);
            let touched = sandbox.touch(&Touch::count(TOUCHED)).len();
            say(json, "");
            say(json, &format!("{touched} receivers change in CleverReach."));
        }
    }
    let remembered = Handle::new(workshop.engine.store().clone());
    let state = remembered.ask(Request::State { flow: flow.name.clone() }).await;
    if let Ok(engine::Answer::State { snapshot: Some(snapshot), .. }) = state {
        say(json, "");
        say(json, &format!("The flow remembers: lastUpdated {}", snapshot["lastUpdated"]));
    }
    say(json, &format!("The state lies in {}", home.path.join("state").display()));
    say(json, &format!("The flow is       {}", home.path.join(FLOW_FILE).display()));
    say(json, "Next: `towpath sandbox` keeps both stand-ins up, for flows of your own.");
    sandbox.stop().await;
    Ok(failed)
}

fn say(json: bool, line: &str) {
    if !json {
        print(line);
    }
}

/// What the two systems saw of a run.
fn explain(sandbox: &Sandbox, report: &Report) {
    let stats = sandbox.stats();
    print(&format!("  {}", summary(report)));
    for error in &report.errors {
        print(&format!("  error: {error}"));
    }
    print(&format!(
        "  CleverReach was asked {}; CleverTap took {} profiles in {}.",
        counted(stats.cleverreach.total_requests(), "time"),
        HumanCount(stats.clevertap.records_accepted),
        counted(stats.clevertap.uploads, "upload")
    ));
}

/// The demo's own directory.
struct Home {
    path: PathBuf,
    key: MasterKey,
}

impl Home {
    fn make(sandbox: &Sandbox) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("towpath-demo-").tempdir();
        let path = directory.context("could not make a directory for the demo")?.keep();
        let credentials = sandbox.credentials();
        let key = MasterKey::load_or_create(&path.join("key"))?.key;
        let config = format!(
            "accounts:\n  newsletter:\n    connector: cleverreach\n    baseUrl: {}\n    \
             clientId: {}\n    clientSecret: {{ file: secrets/client-secret }}\n  engagement:\n    \
             connector: clevertap\n    baseUrl: {}\n    projectId: {}\n    \
             passcode: {{ file: secrets/passcode }}\nstore: {{ path: state }}\n",
            sandbox.cleverreach_url(),
            credentials.client_id,
            sandbox.clevertap_url(),
            credentials.project_id,
        );
        write(&path.join("towpath.yaml"), &config)?;
        write(&path.join(FLOW_FILE), FLOW)?;
        write(&path.join("secrets/client-secret"), &credentials.client_secret)?;
        write(&path.join("secrets/passcode"), &credentials.passcode)?;
        Ok(Self { path, key })
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(path, text)
    };
    write().with_context(|| format!("could not write {}", path.display()))
}
