//! `towpath why`: what happened to one record.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::anyhow;
use engine::{Answer, Happening, Intent, IntentAnswer, Request, Timeline};
use flow::{Flow, InDoubt};
use serde_json::json;
use store::LetterState;

use crate::args::Why;
use crate::commands::state::ask;
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json};
use crate::project::Project;

pub(crate) async fn run(config: Option<&Path>, args: Why, json: bool) -> Result {
    let project = Project::read(config)?;
    let flow = args.flow.map(|flow| project.flow_name(&flow)).transpose()?;
    let Some(held) = project.held().await? else {
        if !json {
            print("nothing has run here yet, so nothing happened to any record");
        }
        return Ok(Exit::Done);
    };
    let request = Request::Why { flow, record: args.record.clone(), limit: args.limit };
    let Answer::Why { timelines } = ask(&held, request).await? else {
        return Ok(Exit::Done);
    };
    if json {
        timelines.iter().for_each(|timeline| print_json(&json!(timeline)));
        return Ok(Exit::Done);
    }
    if timelines.is_empty() {
        return Err(Failed::config(anyhow!(
            "nothing is known of `{}`: no flow found a record with that key, and no message or \
             dead letter has that id; or it was so long ago that nothing of it is kept",
            args.record
        )));
    }
    for (at, timeline) in timelines.iter().enumerate() {
        if at > 0 {
            print("");
        }
        let file = project.flow_file(&timeline.flow);
        let flow = file.and_then(|file| project.check(&file).ok()?.0);
        tell(timeline, flow.as_ref());
    }
    Ok(Exit::Done)
}

/// One flow's part of it, newest last.
fn tell(timeline: &Timeline, flow: Option<&Flow>) {
    let record = timeline.record.as_deref().unwrap_or("(its key is not kept)");
    print(&format!("record {record}, flow {}", timeline.flow));
    match timeline.since {
        _ if timeline.more => print("  … more happened before: --limit shows more of it"),
        Some(_) if timeline.is_whole => {}
        Some(since) => print(&format!("  … what happened before {since} is not kept")),
        None => print("  … what happened is not kept"),
    }
    let letters: HashMap<(&str, Option<&str>), (&str, LetterState)> = timeline
        .letters
        .iter()
        .map(|it| ((&*it.message, it.step.as_deref()), (&*it.id, it.state)))
        .collect();
    let deletes: HashSet<&str> = timeline
        .happened
        .iter()
        .filter(|it| it.what == Happening::Deleted)
        .map(|it| &*it.message)
        .collect();
    for (at, it) in timeline.happened.iter().enumerate() {
        let first = at == 0 && timeline.is_whole && !timeline.more;
        let first = if first { "first seen, " } else { "" };
        let mut what = words(&it.what, deletes.contains(&*it.message), flow);
        if let Happening::Refused { step, .. } = &it.what {
            what.push_str(&match letters.get(&(&*it.message, step.as_deref())) {
                Some((id, state)) => format!(" (dead letter {id}, {})", standing(*state)),
                None => " (its dead letter was dropped)".to_owned(),
            });
        }
        print(&format!("  {}  {first}{what}", it.at));
    }
    for it in &timeline.known {
        let of =
            if it.partition.is_empty() { String::new() } else { format!(" in {}", it.partition) };
        let version = it.version.map_or_else(String::new, |at| format!(" (its version is {at})"));
        let since = it.settled.map_or_else(|| "then".to_owned(), |at| at.to_string());
        let what = if it.deleted { "gone" } else { "unchanged" };
        print(&format!("  {what} since {since}{of}{version}"));
    }
    for it in timeline.letters.iter().filter(|it| it.state == LetterState::Open) {
        print(&format!("  open: dead letter {}, {}: {}", it.id, it.code, it.reason));
    }
    for it in &timeline.waiting {
        print(&format!(
            "  waiting since {} for the system of {}: asked next at {}, given up at {}",
            it.since, it.step, it.check_at, it.deadline
        ));
    }
    for it in &timeline.intents {
        print(&format!("  {}", journaled(it, flow)));
    }
    if timeline.unreadable > 0 {
        print(&format!("  {} parts of the trail could not be read", timeline.unreadable));
    }
}

/// What the journal says of a message, and what can be done about it.
fn journaled(it: &Intent, flow: Option<&Flow>) -> String {
    let Intent { step, sent, answer, .. } = it;
    let not_committed = "its page is not committed: the next run takes that for the answer, and sends \
                         nothing again";
    let reason = match answer {
        IntentAnswer::None { reason } => reason.as_deref(),
        IntentAnswer::Done => {
            return format!("sent by {step} at {sent}, and taken; {not_committed}");
        }
        IntentAnswer::Parked => {
            return format!(
                "sent by {step} at {sent}, and taken by a system that finishes it later; \
                 {not_committed}"
            );
        }
    };
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    let now = flow.and_then(|flow| flow.steps.iter().find(|known| known.id == *step));
    let next = match now.map(|step| step.in_doubt) {
        Some(InDoubt::Resend) => {
            "the next run sends it again (inDoubt: resend), before anything newer of its record"
        }
        _ => {
            "the next run makes it a dead letter (inDoubt: hold). Look into the system: if it \
             arrived, `towpath dead-letters drop` it then, otherwise `towpath dead-letters replay` it"
        }
    };
    format!(
        "sent by {step} at {sent}, no answer yet{reason}: in doubt if no run is at work; {next}"
    )
}

fn standing(state: LetterState) -> &'static str {
    match state {
        LetterState::Open => "open",
        LetterState::Replayed => "replayed since",
        LetterState::Superseded => "superseded since",
    }
}

/// `deleted` says whether the message is of a record that was gone.
fn words(what: &Happening, deleted: bool, flow: Option<&Flow>) -> String {
    match what {
        Happening::Delivered { step, answer, target_key } => {
            let key = target_key.as_ref().map_or_else(String::new, |key| format!(" as {key}"));
            let answer = answer.as_ref().map_or_else(String::new, |it| format!(": {it}"));
            format!("delivered by {step}{key}{answer}")
        }
        Happening::Filtered { step } => {
            let now = flow.and_then(|flow| flow.steps.iter().find(|it| it.id == *step));
            if now.is_some_and(|step| !step.takes.takes(deleted)) {
                let others = if deleted { "deletes" } else { "changes" };
                return format!("not for {step}, which takes no {others}");
            }
            let now = now.and_then(|step| step.when.as_ref());
            let now = now.map_or_else(String::new, |it| {
                // On one line, as far as it goes.
                let source: Vec<&str> = it.source().split_whitespace().collect();
                format!("; now it is `{}`", source.join(" "))
            });
            format!("filtered out by the condition of {step}{now}")
        }
        Happening::Echoed { step } => {
            format!("echo: not sent by {step}, whose system it came from")
        }
        Happening::Overruled { step } => {
            format!("overruled at {step}: its system has a newer change of the record")
        }
        Happening::Refused { step, code } => match step {
            Some(step) => format!("refused by {step}: {code}"),
            None => format!("refused by the trigger's mapping: {code}"),
        },
        Happening::Parked { step } => format!("handed to the system of {step}, which finishes it"),
        Happening::InDoubt { step } => format!("in doubt: sent by {step}, the answer is unknown"),
        Happening::Deleted => "gone from its source: a deletion was emitted".to_owned(),
        Happening::Replayed { letter } => format!("replayed: dead letter {letter}"),
        Happening::Superseded { letter } => {
            format!("superseded by a newer message: dead letter {letter}")
        }
        Happening::Edited { letter } => format!("edited: dead letter {letter}"),
        Happening::Dropped { letter } => format!("dropped: dead letter {letter}"),
    }
}
