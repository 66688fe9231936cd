//! `towpath dead-letters replay`: what was refused, sent by the flow as it is now.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use engine::{Answer, Fate, LetterFilter, Outcome, Request};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::step_of;
use crate::commands::check::counted;
use crate::commands::state::ask;
use crate::exit::{Exit, Failed, Result};
use crate::held::Held;
use crate::progress::{Progress, print, print_json, say};
use crate::project::{Project, Workshop};
use crate::signals;

/// A replay stops between two commits: nothing has to be waited for any longer.
const GRACE: Duration = Duration::from_secs(30);

pub(super) async fn run(
    project: &Project,
    held: Held,
    filter: LetterFilter,
    force: bool,
    json: bool,
) -> Result {
    let request = Request::DeadLetters { filter: filter.clone(), limit: None, after: None };
    let answer = ask(&held, request).await?;
    let Answer::DeadLetters { dead_letters, .. } = answer else { return Ok(Exit::Done) };
    let mut by_flow: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for letter in dead_letters {
        by_flow.entry(letter.flow).or_default().insert(letter.id);
    }
    if by_flow.is_empty() {
        if !json {
            print("no dead letters are meant, so nothing was sent");
        }
        return Ok(Exit::Done);
    }
    let store = match held {
        Held::Here(_, store) => store,
        Held::There(_) => return there(&held, by_flow, &filter, force, json).await,
    };
    let flows: Vec<Arc<flow::Flow>> =
        by_flow.keys().map(|name| project.flow(name).map(Arc::new)).collect::<Result<_>>()?;
    let workshop = Workshop::on(project, flows.iter().map(|flow| &**flow), store).await?;
    let stop = signals::stop_on_signal(GRACE);
    let letters = by_flow.values().map(|ids| ids.len() as u64).sum();
    let mut told = Told::new(letters, json);
    for flow in &flows {
        // By what was asked for, not by what was found: ids that are given mean one flow each.
        let of_flow = by_flow.get(&flow.name).into_iter().flatten();
        let ids = if filter.ids.is_empty() { vec![] } else { of_flow.cloned().collect() };
        let filter = LetterFilter { ids, ..filter.clone() };
        let watch = Arc::new(Progress::quiet());
        let mut each = |outcome| told.tell(&outcome);
        let done = workshop.engine.replay(flow, &filter, force, &stop, watch, &mut each).await;
        if let Err(error) = done {
            told.finish(stop.is_set());
            return Err(Failed::run(error));
        }
    }
    told.finish(stop.is_set());
    Ok(Exit::Done)
}

/// Has the service send them, by its versions of the flows.
async fn there(
    held: &Held,
    by_flow: BTreeMap<String, BTreeSet<String>>,
    filter: &LetterFilter,
    force: bool,
    json: bool,
) -> Result {
    let letters = by_flow.values().map(|ids| ids.len() as u64).sum();
    let mut told = Told::new(letters, json);
    for (flow, ids) in by_flow {
        let ids = if filter.ids.is_empty() { vec![] } else { ids.into_iter().collect() };
        let filter = LetterFilter { ids, flow: Some(flow.clone()), ..filter.clone() };
        let asked = ask(held, Request::Replay { flow, filter, force }).await;
        let error = match asked {
            Ok(Answer::Replayed { outcomes, error }) => {
                outcomes.iter().for_each(|outcome| told.tell(outcome));
                error.map(|error| Failed::config(anyhow!(error)))
            }
            Ok(_) => None,
            Err(failed) => Some(failed),
        };
        if let Some(failed) = error {
            told.finish(false);
            return Err(failed);
        }
    }
    told.finish(false);
    Ok(Exit::Done)
}

/// What was told of the outcomes so far.
struct Told {
    bar: Option<ProgressBar>,
    json: bool,
    letters: u64,
    /// By what became of them.
    counts: BTreeMap<&'static str, u64>,
}

impl Told {
    fn new(letters: u64, json: bool) -> Self {
        let is_watched = !json && std::io::stderr().is_terminal();
        let bar = is_watched.then(|| {
            let style = ProgressStyle::with_template(
                "{spinner} {human_pos} of {human_len} [{elapsed}] {wide_bar}",
            );
            let bar = ProgressBar::new(letters);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, json, letters, counts: BTreeMap::new() }
    }

    fn tell(&mut self, outcome: &Outcome) {
        let (what, detail) = words(outcome);
        *self.counts.entry(what).or_default() += 1;
        let line = || {
            let Outcome { id, step, record_key, .. } = outcome;
            let step = step_of(step.as_deref());
            print(&format!("{id}  {step}  {record_key}  {what}{detail}"));
        };
        match &self.bar {
            _ if self.json => print_json(&json!(outcome)),
            Some(bar) => {
                bar.suspend(line);
                bar.inc(1);
            }
            None => line(),
        }
    }

    fn finish(&self, stopped: bool) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.json {
            return;
        }
        let done: u64 = self.counts.values().sum();
        let counts = self.counts.iter().map(|(what, count)| format!("{count} {what}"));
        let counts = counts.collect::<Vec<_>>().join(", ");
        say(&format!("{}: {counts}", counted(self.letters, "dead letter")));
        let left = self.letters.saturating_sub(done);
        if left > 0 {
            let why = if stopped { "stopped" } else { "failed" };
            say(&format!("{why}: {left} are as they were; the same command goes on with them"));
        }
    }
}

/// What became of one, in a word or two, and more of it.
fn words(outcome: &Outcome) -> (&'static str, String) {
    match &outcome.fate {
        Fate::Delivered => ("delivered", String::new()),
        Fate::Filtered { step } => ("filtered out", format!(" by the condition of {step}")),
        Fate::Parked { step } => ("waiting", format!(" for the system of {step}")),
        Fate::Refused { step, code } if *step == outcome.step => {
            ("refused again", format!(": {code}"))
        }
        Fate::Refused { step, code } => {
            ("refused later", format!(", by {}: {code}", step_of(step.as_deref())))
        }
        Fate::Superseded => ("superseded", " by a newer message; --force sends it".to_owned()),
        Fate::Replayed => ("sent before", "; --force sends it again".to_owned()),
        Fate::NoStep { step } => ("not sent", format!(": the flow has no step {step} any more")),
        Fate::Gone => ("gone", String::new()),
    }
}
