//! `towpath state show` and `history`: where flows stand, and how they came there.

use comfy_table::{Table, presets};
use connector::{Clock, SystemClock, Timestamp};
use engine::{Answer, Backfill, Entry, Partition, Request, Snapshot, Waiting};
use indicatif::HumanCount;
use serde_json::{Value, json};
use store::RunLine;

use super::ask;
use crate::exit::{Exit, Failed, Result};
use crate::held::Held;
use crate::progress::{print, print_json};
use crate::project::Project;
use crate::times::ago;

/// A list of runs shows so many.
const RUNS: usize = 10;
/// A place inside a scan is shown up to so many characters.
const PLACE: usize = 60;

pub(super) async fn show(project: &Project, flow: Option<&str>, json: bool) -> Result {
    let Some(handle) = existing(project, json).await? else { return Ok(Exit::Done) };
    let Some(name) = flow else {
        if let Answer::Flows { flows } = ask(&handle, Request::Flows).await? {
            if json {
                print_json(&json!(flows));
            } else if flows.is_empty() {
                print("no flow has state yet");
            } else {
                flows.iter().for_each(|flow| print(flow));
            }
        }
        return Ok(Exit::Done);
    };
    let flow = project.flow_name(name)?;
    let answer = ask(&handle, Request::State { flow: flow.clone() }).await?;
    let Answer::State { snapshot, commit, counts, waiting, runs, paused } = answer else {
        return Ok(Exit::Done);
    };
    if json {
        print_json(&json!({
            "flow": flow, "commit": commit, "snapshot": snapshot, "counts": counts,
            "waiting": waiting, "runs": runs, "paused": paused,
        }));
        return Ok(Exit::Done);
    }
    let now = SystemClock.now();
    if let Some(pause) = paused {
        let why = pause.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let since = when(Some(pause.since), now, "");
        print(&format!("{flow} is paused since {since} by {}{why}", pause.by));
    }
    match snapshot {
        None => {
            print(&format!("{flow} has not committed anything yet"));
            print(&format!("  {:<12} {}", "waiting", of_waiting(&waiting)));
        }
        // One that this version cannot read is shown as it is.
        Some(value) => match Snapshot::read(&flow, value.to_string().as_bytes()) {
            Ok(snapshot) => print(&words(&flow, commit, &snapshot, &waiting, now)),
            Err(error) => print(&format!("{error}\n{value:#}")),
        },
    }
    let mut so_far = format!(
        "so far: {} found, {} delivered, {} unchanged, {} filtered out, {} dead letters",
        counts.records, counts.delivered, counts.unchanged, counts.filtered, counts.dead_lettered
    );
    // Of flows that go both ways alone.
    for (count, what) in [(counts.echoed, "echoed"), (counts.overruled, "overruled")] {
        if count > 0 {
            so_far.push_str(&format!(", {count} {what}"));
        }
    }
    print(&so_far);
    table(&runs);
    Ok(Exit::Done)
}

/// A snapshot in words, a thing a line.
fn words(
    flow: &str,
    commit: u64,
    snapshot: &Snapshot,
    waiting: &Waiting,
    now: Timestamp,
) -> String {
    let mut lines = vec![flow.to_owned()];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<12} {text}"));
    line("lastUpdated", when(snapshot.last_updated, now, "none yet"));
    if let Some(begin) = snapshot.begin {
        line("begins at", format!("{} where nothing was read yet", when(Some(begin), now, "")));
    }
    if let Some(sweep) = snapshot.last_sweep {
        line("last sweep", when(Some(sweep), now, ""));
    }
    for (id, partition) in &snapshot.partitions {
        let name = if id.is_empty() { "scan" } else { "partition" };
        let id = if id.is_empty() { String::new() } else { format!("{id}: ") };
        line(name, format!("{id}{}", of_partition(partition, now)));
    }
    if let Some(backfill) = &snapshot.backfill {
        line("backfill", of_backfill(backfill, now));
    }
    line("waiting", of_waiting(waiting));
    line("seen", count(waiting.seen, "entries of settled records"));
    let again = match snapshot.generation {
        0 => String::new(),
        1 => ", rewound or reset once".to_owned(),
        times => format!(", rewound or reset {times} times"),
    };
    line("commit", format!("{commit}{again}"));
    lines.join("\n")
}

fn count(count: u64, what: &str) -> String {
    format!("{} {what}", HumanCount(count))
}

fn of_waiting(waiting: &Waiting) -> String {
    let mut parts = vec![
        count(waiting.parked, "parked"),
        count(waiting.dead_letters, "open dead letters"),
        count(waiting.journal, "in the journal"),
    ];
    // Only what webhooks bring waits there.
    if waiting.inbox > 0 {
        parts.push(count(waiting.inbox, "in the inbox"));
    }
    parts.join(", ")
}

fn when(at: Option<Timestamp>, now: Timestamp, none: &str) -> String {
    at.map_or_else(|| none.to_owned(), |at| format!("{at} ({})", ago(at, now)))
}

fn of_partition(partition: &Partition, now: Timestamp) -> String {
    let settled = match partition.last_updated {
        Some(at) => format!("settled up to {}", when(Some(at), now, "")),
        None => "not read whole yet".to_owned(),
    };
    let Some(scan) = &partition.scan else { return settled };
    let what = match scan.since {
        Some(since) => format!("what changed since {since}"),
        None => "everything".to_owned(),
    };
    format!("{settled}; scan of {what} under way{}", place(scan.cursor.as_ref()))
}

/// The place inside a scan, as its trigger wrote it.
fn place(cursor: Option<&Value>) -> String {
    let Some(cursor) = cursor else { return String::new() };
    let text = cursor.to_string();
    let shown: String = text.chars().take(PLACE).collect();
    format!(", at {shown}{}", if shown.len() < text.len() { "…" } else { "" })
}

fn of_backfill(backfill: &Backfill, now: Timestamp) -> String {
    let until = backfill.until.map(|until| format!(" until {until}")).unwrap_or_default();
    let place = backfill.under_way.as_ref().and_then(|it| it.scan.cursor.as_ref());
    format!(
        "from {}{until}, begun {}: {} found and {} sent again so far{}",
        backfill.from,
        ago(backfill.began, now),
        HumanCount(backfill.counts.records),
        HumanCount(backfill.counts.emitted),
        self::place(place)
    )
}

fn table(runs: &[RunLine]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["run", "took", "outcome", "found", "delivered"]);
    for run in runs.iter().take(RUNS) {
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

pub(super) async fn history(project: &Project, flow: &str, json: bool) -> Result {
    let Some(handle) = existing(project, json).await? else { return Ok(Exit::Done) };
    let flow = project.flow_name(flow)?;
    let answer = ask(&handle, Request::History { flow: flow.clone() }).await?;
    let Answer::History { entries } = answer else { return Ok(Exit::Done) };
    if json {
        entries.iter().for_each(|entry| print_json(&json!(entry)));
        return Ok(Exit::Done);
    }
    if entries.is_empty() {
        print(&format!("nothing is remembered of {flow} yet"));
        return Ok(Exit::Done);
    }
    let now = SystemClock.now();
    let mut table = Table::new();
    let header = ["entry", "at", "", "cause", "lastUpdated", "partitions"];
    table.load_style(presets::NOTHING).set_header(header);
    for (number, entry) in entries.iter().enumerate() {
        table.add_row(row(entry, number == 0, now));
    }
    print(&table.trim_fmt());
    Ok(Exit::Done)
}

fn row(entry: &Entry, newest: bool, now: Timestamp) -> [String; 6] {
    let text = |name: &str| entry.snapshot[name].as_str().unwrap_or("none").to_owned();
    let partitions = entry.snapshot["partitions"].as_object().map_or(0, serde_json::Map::len);
    let cause = match &*entry.cause {
        "backfill" if entry.snapshot["backfill"].is_null() => "backfill ends",
        "backfill" => "backfill begins",
        cause => cause,
    };
    [
        entry.entry.to_string(),
        entry.at.to_string(),
        ago(entry.at, now),
        if newest { format!("{cause} (newest)") } else { cause.to_owned() },
        text("lastUpdated"),
        partitions.to_string(),
    ]
}

/// A handle on the store, if there is one: who only looks makes none.
async fn existing(project: &Project, json: bool) -> Result<Option<Held>> {
    let held = project.held().await?;
    if held.is_none() && !json {
        print("nothing has run here yet, so nothing is remembered");
    }
    Ok(held)
}

/// A handle on the store for a command that needs one.
pub(super) async fn required(project: &Project) -> Result<Held> {
    let nothing = || Failed::config(anyhow::anyhow!("nothing has run here yet"));
    project.held().await?.ok_or_else(nothing)
}
