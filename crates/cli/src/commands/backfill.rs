//! `towpath run --from`: a backfill begins, ends early, and tells what it covered.

use std::sync::Arc;

use connector::{Changes, Timestamp};
use engine::{Answer, Backfill, Backfilled, Engine, Request, StateChange};
use flow::Flow;
use indicatif::HumanCount;
use serde_json::{Value, json};

use crate::commands::state::ask;
use crate::exit::{Exit, Failed, Result};
use crate::held::Held;
use crate::progress::{print, print_json, say};

/// Begins a backfill, which the runs that follow do.
pub(crate) async fn begin(
    engine: Arc<Engine>,
    flow: &Flow,
    from: Timestamp,
    until: Option<Timestamp>,
    json: bool,
) -> Result<()> {
    if until.is_some_and(|until| until < from) {
        return Err(Failed::config(anyhow::anyhow!(
            "--until is before --from: nothing is between"
        )));
    }
    let source = engine.source(flow).map_err(Failed::config)?;
    let change = StateChange::Backfill { source, from, until };
    ask(&Held::of(engine), Request::Change { flow: flow.name.clone(), change }).await?;
    if json {
        print_json(&json!({
            "event": "backfill", "flow": flow.name, "from": from, "until": until,
        }));
        return Ok(());
    }
    if !is_by_time(flow) {
        say(&format!(
            "{}: the trigger's system does not say what changed since a time, so the backfill reads \
             and sends everything",
            flow.name
        ));
    }
    Ok(())
}

fn is_by_time(flow: &Flow) -> bool {
    matches!(flow.trigger.trigger.changes(), Changes::Timestamps | Changes::Both)
}

/// Ends the backfill under way.
pub(crate) async fn stop(engine: Arc<Engine>, flow: &str, json: bool) -> Result {
    let change = StateChange::StopBackfill;
    let answer = ask(&Held::of(engine), Request::Change { flow: flow.to_owned(), change }).await?;
    let Answer::Stopped { backfill } = answer else { return Ok(Exit::Done) };
    if json {
        print_json(&json!({ "flow": flow, "stopped": backfill }));
        return Ok(Exit::Done);
    }
    match backfill {
        None => print(&format!("{flow}: no backfill is under way")),
        Some(backfill) => print(&format!("{flow}: backfill ended early; {}", covered(&backfill))),
    }
    Ok(Exit::Done)
}

/// What a run did of a backfill, in a sentence.
pub(crate) fn sentence(done: &Backfilled) -> String {
    let covered = covered(&done.backfill);
    let all = if done.by_time { "" } else { ", everything read" };
    if done.is_complete {
        format!("backfill complete: {covered}{all}")
    } else {
        format!("backfill under way: {covered}{all}; the next run goes on with it")
    }
}

/// The same for machines.
pub(crate) fn value(done: &Backfilled) -> Value {
    json!({ "complete": done.is_complete, "byTime": done.by_time, "covered": done.backfill })
}

fn covered(backfill: &Backfill) -> String {
    let counts = backfill.counts;
    let mut parts = vec![
        format!("{} found", HumanCount(counts.records)),
        format!("{} sent", HumanCount(counts.emitted)),
    ];
    for (count, what) in [
        (counts.unchanged, "unchanged since it began"),
        (counts.filtered, "filtered out"),
        (counts.echoed, "echoed"),
        (counts.overruled, "overruled"),
        (counts.dead_lettered, "refused, kept as dead letters"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", HumanCount(count)));
        }
    }
    let until = backfill.until.map_or_else(|| "its end".to_owned(), |until| until.to_string());
    // A flow without partitions has one that is called "".
    let partitions = match &*backfill.done {
        [] => String::new(),
        [one] if one.is_empty() => String::new(),
        [_] => " in 1 partition".to_owned(),
        many => format!(" in {} partitions", many.len()),
    };
    format!("from {} to {until}{partitions}: {}", backfill.from, parts.join(", "))
}
