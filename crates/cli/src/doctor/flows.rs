//! Flows: which of them fail, wait for somebody, or do not get their turn.

use std::time::Duration;

use connector::Timestamp;
use engine::FlowHealth;
use serde_json::Value;

use super::files::Known;
use super::holder::{Health, Holder};
use super::{Sheet, Verdict};
use crate::commands::check::counted;
use crate::exit::Result;
use crate::project::Project;
use crate::remote::Client;
use crate::times::ago;

/// A message without an answer is on its way for so long at most.
const ON_ITS_WAY: Duration = Duration::from_secs(600);
/// From here on a run under way is told of.
const LONG: Duration = Duration::from_secs(3600);
/// So late a run may begin.
const LATE: Duration = Duration::from_secs(300);
/// From this share on, in percent, an inbox is told of.
const HALF_FULL: u8 = 50;

pub(super) async fn look(
    sheet: &mut Sheet,
    (project, known): (&Project, &Known),
    holder: &Holder,
    (health, now): (Option<&Result<Health>>, Timestamp),
) {
    sheet.group("flows");
    let health = match health {
        None => return,
        Some(Err(failed)) => {
            let show = project.command("state show");
            let way_out = format!("`{show}` asks the same");
            return sheet.error("state", "flows", format!("{:#}", failed.error), way_out);
        }
        Some(Ok(health)) => health,
    };
    for flow in &health.flows {
        one(sheet, (project, known), flow, now);
    }
    if let Some(client) = holder.service() {
        under_way(sheet, project, client, now).await;
    }
    let last = health.flows.iter().filter_map(|flow| flow.last_run).max();
    let last = last.map_or("none ran yet".to_owned(), |at| format!("last run {}", ago(at, now)));
    if sheet.is_well("flows") {
        let says = format!("{} with state, {last}", counted(health.flows.len(), "flow"));
        sheet.ok("state", "flows", says);
    }
}

fn one(
    sheet: &mut Sheet,
    (project, known): (&Project, &Known),
    health: &FlowHealth,
    now: Timestamp,
) {
    let name = health.flow.as_str();
    let command = |words: &str| project.command(&format!("{words} {name}"));
    if let Some(problem) = &health.unreadable {
        let verify = project.command("store verify");
        sheet.error("state", name, problem, format!("`{verify}` reads everything"));
    }
    if let Some(pause) = &health.paused {
        let why = pause.reason.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
        let since = ago(pause.since, now);
        sheet.ok("paused", name, format!("paused {since} by {}{why}", pause.by));
    }
    // One that no file has is not run, and cannot become well.
    if let Some(failing) = health.failing.as_ref().filter(|_| known.flows.contains_key(name)) {
        let runs = counted(failing.runs, "run");
        let why = failing.error.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
        let says = format!(
            "{} since {} ({}, {runs}){why}",
            if failing.outcome == "failed" { "fails" } else { &failing.outcome },
            failing.since,
            ago(failing.since, now)
        );
        let way_out = format!("`{}` shows its runs", command("state show"));
        sheet.error("failing", name, says, way_out);
    }
    letters(sheet, project, health, now);
    if let Some(at) = health.unanswered_since.filter(|at| now.since(*at) > ON_ITS_WAY) {
        let says = format!(
            "{} without an answer since {}: the next run settles that first",
            counted(health.unanswered, "message"),
            ago(at, now)
        );
        sheet.warning("inDoubt", name, says, format!("`{}`", command("run --once")));
    }
    if health.inbox.full >= HALF_FULL {
        let says = format!(
            "its inbox is {} % full, {} wait: once it is full senders are sent away",
            health.inbox.full,
            counted(health.inbox.waiting, "delivery").replace("deliverys", "deliveries")
        );
        sheet.warning("inbox", name, says, "see why its runs fail or cannot keep up");
    }
    if let Some(at) = health.next_check.filter(|at| now.since(*at) > LONG) {
        let says = format!(
            "{} to be asked after since {}",
            counted(health.parked, "message"),
            ago(at, now)
        );
        sheet.warning("parked", name, says, format!("`{}`", command("run --once")));
    }
}

fn letters(sheet: &mut Sheet, project: &Project, health: &FlowHealth, now: Timestamp) {
    let (name, open, doubt) =
        (health.flow.as_str(), health.dead_letters, health.dead_letters_in_doubt);
    if open == 0 {
        return;
    }
    let oldest = health.oldest_dead_letter.map(|at| format!(", the oldest {}", ago(at, now)));
    let mut says = format!("{}{}", counted(open, "open dead letter"), oldest.unwrap_or_default());
    if doubt > 0 {
        says = format!("{says}; of {doubt} nobody knows whether they arrived");
    }
    let list = project.command(&format!("dead-letters list {name}"));
    sheet.warning("deadLetters", name, says, format!("`{list}` shows why; replay or drop them"));
}

/// Runs that take long or come late, as the service knows them.
async fn under_way(sheet: &mut Sheet, project: &Project, client: &Client, now: Timestamp) {
    let before = sheet.count(Verdict::Error);
    let lines = match listed(client).await {
        Ok(lines) => lines,
        Err(failed) => {
            let way_out = "see the service's own log";
            return sheet.error("schedule", "service", format!("{:#}", failed.error), way_out);
        }
    };
    let time = |line: &Value, key: &str| line[key].as_str().and_then(Timestamp::parse);
    for line in &lines {
        let name = line["flow"].as_str().unwrap_or_default();
        if let Some(since) = time(line, "running") {
            if now.since(since) > LONG {
                let show = project.command(&format!("state show {name}"));
                let says = format!("its run began {}", ago(since, now));
                let way_out = format!("`{show}` tells how far it is: a first run may take long");
                sheet.warning("running", name, says, way_out);
            }
        } else if let Some(next) = time(line, "next").filter(|at| now.since(*at) > LATE) {
            let says = format!("due {}, and has not begun", ago(next, now));
            let way_out = "others are under way: see which take long, or raise --max-runs";
            sheet.warning("late", name, says, way_out);
        }
    }
    if sheet.count(Verdict::Error) == before && lines.is_empty() {
        sheet.warning("schedule", "service", "it runs no flow", "`towpath check` shows mistakes");
    }
}

/// The flows of the service, page by page.
async fn listed(client: &Client) -> Result<Vec<Value>> {
    let (mut lines, mut after) = (vec![], String::new());
    loop {
        let path = format!("/api/v1/flows?limit=500{after}");
        let mut page = client.call("GET", &path, None).await?;
        lines.extend(page["items"].as_array_mut().map(std::mem::take).unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(lines),
        }
    }
}
