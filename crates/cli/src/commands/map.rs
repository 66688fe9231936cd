//! `towpath map`: a flow's mappings, tried on records.

use std::io::{IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, anyhow};
use flow::Finding;
use flow::trial::{self, Text};
use mapping::{Engine, Mapping};

use crate::args::Map;
use crate::commands::check::counted;
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json, say};
use crate::project::Project;
use crate::trial::{Record, Show, from_text, polled, sandboxed};

pub(crate) async fn run(config: Option<&Path>, args: &Map, json: bool) -> Result {
    let project = Project::read(config)?;
    let (flow, path, text) = project.flow_and_file(&args.flow)?;
    let step = args.step.as_deref();
    if let Some(id) = step.filter(|id| flow.steps.iter().all(|step| step.id != *id)) {
        let known: Vec<_> = flow.steps.iter().map(|step| step.id.as_str()).collect();
        let known = known.join(", ");
        return Err(Failed::config(anyhow!("{} has no step {id}; it has {known}", flow.name)));
    }
    let stdin = Some(Path::new("-"));
    if args.record.as_deref() == stdin && args.mapping.as_deref() == stdin {
        let error = anyhow!("standard input is either the record or the mapping, not both");
        return Err(Failed::config(error));
    }
    let replacement = args.mapping.as_deref().map(read).transpose().map_err(Failed::config)?;
    let replaced = replacement.as_ref().map(|(label, text)| Text { label, text });
    let mut tried = flow.clone();
    if let Some(replaced) = replaced {
        let engine = engine_of(&flow, step);
        let mapping = trial::compile(replaced.label, replaced.text, engine);
        let mapping = mapping.map_err(|findings| mistakes(&findings, replaced.text, json))?;
        tried = tried.with_mapping(step, mapping).unwrap_or(flow);
    }
    let count = args.count as usize;
    let records = match &args.record {
        Some(file) => {
            let (label, text) = read(file).map_err(Failed::config)?;
            let mut records = from_text(&label, &text, args.message).map_err(Failed::config)?;
            records.truncate(count);
            if !args.message && records.iter().any(Record::looks_like_message) {
                say("a record that is `{ metadata, data }`: is it a message? then add --message");
            }
            records
        }
        None if args.poll => polled(&project, &tried, count).await?,
        None => sandboxed(&project, &tried, count).await?,
    };
    let label = path.to_string_lossy();
    let file = Text { label: &label, text: &text };
    let show = Show { flow: &tried, file, replaced, step, messages: args.message, json };
    // A mapping may compute for seconds.
    let failed = tokio::task::block_in_place(|| {
        let failed = records.iter().filter(|record| {
            let Record { metadata, text, moment, .. } = record;
            let trial = if args.message {
                tried.try_message(text.as_str().into(), *moment)
            } else {
                tried.try_record(metadata, text, *moment)
            };
            show.one(record, &trial)
        });
        failed.count()
    });
    if records.is_empty() && !json {
        say("the next run would find nothing new; try --sandbox, or --record with a record");
    }
    if failed == 0 {
        return Ok(Exit::Done);
    }
    say(&format!("error: a mapping fails on {failed} of {}", counted(records.len(), "record")));
    Ok(Exit::Tests)
}

/// Reads a file, or standard input as `-`, less a mark of the byte order.
fn read(path: &Path) -> anyhow::Result<(String, String)> {
    if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().lock().read_to_string(&mut text);
        read.context("could not read standard input")?;
        return Ok(("standard input".to_owned(), without_mark(text)));
    }
    let label = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {label}"))?;
    Ok((label, without_mark(text)))
}

fn without_mark(text: String) -> String {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// What evaluates the flow's own expressions.
fn engine_of(flow: &flow::Flow, step: Option<&str>) -> Engine {
    let step = step.and_then(|id| flow.steps.iter().find(|step| step.id == id));
    let mapping = step.map_or(&flow.trigger.mapping, |step| &step.mapping);
    mapping.mapping().map(Mapping::engine).unwrap_or_default()
}

fn mistakes(findings: &[Finding], text: &str, json: bool) -> Failed {
    if json {
        for finding in findings {
            print_json(&serde_json::to_value(finding).unwrap_or_default());
        }
    } else {
        print(&flow::render(findings, text, std::io::stdout().is_terminal()));
    }
    Failed { exit: Exit::Findings, error: anyhow!("{}", counted(findings.len(), "mistake")) }
}
