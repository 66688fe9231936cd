//! `towpath state set`, `export` and `import`: a flow's state as a document.

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use connector::{Clock, SystemClock};
use engine::{Answer, Imported, Request, StateChange, Taken};
use indicatif::HumanCount;
use serde_json::{Value, json};

use super::{Of, ask, show};
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json, say};
use crate::project::Project;

pub(super) async fn set(project: &Project, flow: &str, file: &Path, json: bool) -> Result {
    let text = read(file)?;
    let document: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not JSON", name(file)))
        .map_err(Failed::config)?;
    let state = Of::flow(project, flow).await?;
    let source = state.source.clone();
    let changed = state.change(StateChange::Set { source, document }).await;
    let changed = changed.map_err(|failed| failed.at(name(file)))?;
    state.say(&changed, "goes on from this snapshot", json);
    Ok(Exit::Done)
}

pub(super) async fn export(project: &Project, flow: &str, seen: bool) -> Result {
    let handle = show::required(project).await?;
    let flow = project.flow_name(flow)?;
    let request = Request::Export { flow: flow.clone(), at: SystemClock.now(), seen };
    let Answer::Exported { exported: Some(exported), seen: lines } = ask(&handle, request).await?
    else {
        return Err(Failed::config(anyhow!("{flow} has not committed anything yet")));
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let head = if seen {
        serde_json::to_string(&exported)?
    } else {
        serde_json::to_string_pretty(&exported)?
    };
    writeln!(out, "{head}")?;
    for line in &lines {
        serde_json::to_writer(&mut out, line)?;
        writeln!(out)?;
    }
    out.flush()?;
    drop(out);
    if let Answer::State { waiting, .. } = ask(&handle, Request::State { flow }).await? {
        for (count, what) in [
            (waiting.parked, "parked messages"),
            (waiting.dead_letters, "open dead letters"),
            (waiting.journal, "journal entries"),
        ] {
            if count > 0 {
                say(&format!("not in it: {} {what}, which stay in this store", HumanCount(count)));
            }
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn import(project: &Project, flow: &str, file: &Path, json: bool) -> Result {
    let text = read(file)?;
    let imported = Imported::read(&text)
        .map_err(|problem| Failed::config(anyhow!("{}: {problem}", name(file))))?;
    drop(text);
    let state = Of::flow(project, flow).await?;
    let from = match &imported {
        Imported::State { exported, .. } => Some(exported.flow.clone()),
        Imported::LastUpdated(_) => None,
    };
    let source = state.source.clone();
    let answer = state.ask(StateChange::Import { source, imported }).await;
    let answer = answer.map_err(|failed| failed.at(name(file)))?;
    let Answer::Imported { changed, taken } = answer else { return Ok(Exit::Done) };
    if json {
        print_json(&json!({
            "flow": state.flow.name, "changed": true, "seen": taken,
            "entry": changed.entry, "before": changed.before,
        }));
        return Ok(Exit::Done);
    }
    if let Some(other) = from.filter(|other| *other != state.flow.name) {
        print(&format!("{} goes on where {other} was", state.flow.name));
    }
    state.say(&changed, "goes on from there", false);
    print(&again(&state, taken));
    Ok(Exit::Done)
}

/// What is sent again after an import.
fn again(state: &Of, taken: Taken) -> String {
    let overlap = state.flow.trigger.overlap.as_secs();
    let sweeps = state.flow.trigger.sweep.is_some();
    let resent = if state.by_time() && sweeps {
        format!(
            "what changed in the {overlap} s before lastUpdated (`overlap`) may be sent once more, and \
             the first sweep, which comes with the next run, sends everything once: `sweep: off` in \
             the trigger keeps it from that"
        )
    } else if state.by_time() {
        format!(
            "what changed in the {overlap} s before lastUpdated (`overlap`) may be sent once more"
        )
    } else {
        "the trigger's system does not say what changed, so every record is sent once more".into()
    };
    match taken {
        Taken::Seen(count) => {
            format!("{} settled records came along: none is sent again", HumanCount(count))
        }
        Taken::Nothing => format!(
            "no settled records came along, those that this store knows count: where it knows \
             none, {resent}"
        ),
        Taken::OtherKey(count) => format!(
            "the {} settled records of the document were left out: they are hashed with another \
             store's key and mean nothing under this one's; {resent}",
            HumanCount(count)
        ),
    }
}

fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        tokio::task::block_in_place(|| std::io::stdin().lock().read_to_string(&mut text)).map(drop)
    } else {
        std::fs::read_to_string(file).map(|read| text = read)
    };
    read.with_context(|| format!("could not read {}", name(file))).map_err(Failed::config)?;
    Ok(text)
}

fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}
