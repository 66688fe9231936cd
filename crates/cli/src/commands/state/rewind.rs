//! `towpath state rewind`: says what it means, asks, and does it.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::anyhow;
use connector::Timestamp;
use engine::{Answer, Changed, Request, RewindTo, Rewound, StateChange};
use indicatif::HumanCount;
use serde_json::json;
use store::RunLine;

use super::{Of, ask};
use crate::args::Rewind;
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json, say};
use crate::project::Project;

/// The store keeps so many lines of runs.
const RUNS_KEPT: usize = 100;

pub(super) async fn rewind(project: &Project, args: &Rewind, json: bool) -> Result {
    let state = Of::flow(project, &args.flow).await?;
    let to = match (args.to, args.to_entry, args.by) {
        (Some(time), ..) => RewindTo::Time(time),
        (_, Some(entry), _) => RewindTo::Entry(entry),
        (.., by) => {
            let millis = by.unwrap_or_default().as_millis();
            RewindTo::By(u64::try_from(millis).unwrap_or(u64::MAX))
        }
    };
    let flow = state.flow.name.clone();
    let (_, meant) = asked(&state, to, true).await?;
    let runs = match ask(&state.held, Request::State { flow: flow.clone() }).await? {
        Answer::State { runs, .. } => runs,
        _ => vec![],
    };
    if !json {
        explain(&state, &meant, &runs);
    }
    if !args.yes && !agreed()? {
        print("nothing was changed");
        return Ok(Exit::Done);
    }
    let (changed, rewound) = asked(&state, to, false).await?;
    if json {
        print_json(&json!({
            "flow": flow, "changed": true, "from": rewound.from, "to": rewound.to,
            "remembered": rewound.remembered, "entry": changed.entry, "before": changed.before,
        }));
        return Ok(Exit::Done);
    }
    let next = match rewound.to {
        Some(to) if state.by_time() => format!("asks for what changed since {to}"),
        _ => "reads everything".to_owned(),
    };
    state.say(&changed, &next, false);
    Ok(Exit::Done)
}

async fn asked(state: &Of, to: RewindTo, dry: bool) -> Result<(Changed, Rewound)> {
    let (source, by_time) = (state.source.clone(), state.by_time());
    match state.ask(StateChange::Rewind { source, by_time, to, dry }).await? {
        Answer::Rewound { changed, rewound } => Ok((changed, rewound)),
        _ => Err(Failed::config(anyhow!("a rewind was not answered"))),
    }
}

/// Says what a rewind means, as far as it is known.
fn explain(state: &Of, meant: &Rewound, runs: &[RunLine]) {
    let shown = |at: Option<Timestamp>| at.map_or_else(|| "none".to_owned(), |at| at.to_string());
    let flow = &state.flow.name;
    print(&format!("{flow}: lastUpdated {} → {}", shown(meant.from), shown(meant.to)));
    if !meant.resends {
        print("  what was settled still counts: nothing of it is sent again");
        return;
    }
    if state.by_time() {
        print("  what changed since then is sent again, although it was sent before");
    } else {
        print(
            "  the trigger's system does not say what changed since a time: everything is read and \
             sent again",
        );
    }
    let since: Vec<_> =
        runs.iter().filter(|run| meant.to.is_none_or(|to| run.finished >= to.millis())).collect();
    let delivered: u64 = since.iter().map(|run| run.counts.delivered).sum();
    let least = if since.len() >= RUNS_KEPT { "at least " } else { "" };
    print(&format!(
        "  since then: {least}{} runs, {least}{} messages delivered; {} records remembered as \
         settled",
        since.len(),
        HumanCount(delivered),
        HumanCount(meant.remembered)
    ));
}

/// Asks the person at the terminal.
fn agreed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        let problem = "nobody is here to be asked: add --yes to do it";
        return Err(Failed::config(anyhow!(problem)));
    }
    let mut answer = String::new();
    tokio::task::block_in_place(|| {
        write!(std::io::stderr(), "Rewind? [y/N] ")?;
        std::io::stderr().flush()?;
        std::io::stdin().lock().read_line(&mut answer)
    })?;
    let yes = ["y", "yes"].contains(&answer.trim().to_lowercase().as_str());
    if !yes {
        say("");
    }
    Ok(yes)
}
