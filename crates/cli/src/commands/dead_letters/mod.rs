//! `towpath dead-letters`: messages that were refused, and what becomes of them.

mod drop;
mod edit;
mod list;
mod replay;
mod show;

use std::path::Path;

use anyhow::anyhow;
use engine::{Answer, DeadLetter, LetterFilter, Request};
use store::LetterState;

use crate::args::{DeadLetters, Standing, Which};
use crate::commands::state::ask;
use crate::exit::{Exit, Failed, Result};
use crate::held::Held;
use crate::progress::print;
use crate::project::Project;

pub(crate) async fn run(config: Option<&Path>, command: DeadLetters, json: bool) -> Result {
    let project = Project::read(config)?;
    // Where nothing ran there is nothing to look at, and nothing is made for it.
    let Some(held) = project.held().await? else {
        if !json {
            print("nothing has run here yet, so there are no dead letters");
        }
        return Ok(Exit::Done);
    };
    match command {
        DeadLetters::List { of, which, limit } => {
            let which = Which { flow: of.or(which.flow), ..which };
            list::run(&held, filter(&project, vec![], which)?, limit, json).await
        }
        DeadLetters::Show { id } => show::run(&project, &held, &id, json).await,
        DeadLetters::Edit { id, file } => {
            let letter = letter(&held, &id).await?;
            edit::run(&project, held, letter, file.as_deref(), json).await
        }
        DeadLetters::Replay { ids, which, all, force } => {
            say_which("replay", &ids, &which, all)?;
            let filter = filter(&project, ids, which)?;
            replay::run(&project, held, filter, force, json).await
        }
        DeadLetters::Drop { ids, which, all, yes } => {
            say_which("drop", &ids, &which, all)?;
            let filter = filter(&project, ids, which)?;
            drop::run(&project, held, filter, yes, json).await
        }
    }
}

/// What is meant by the options; ids that are given mean those letters wherever they stand.
fn filter(project: &Project, ids: Vec<String>, which: Which) -> Result<LetterFilter> {
    let state = match which.state {
        Some(Standing::Any) => None,
        Some(Standing::Replayed) => Some(LetterState::Replayed),
        Some(Standing::Superseded) => Some(LetterState::Superseded),
        None if !ids.is_empty() => None,
        Some(Standing::Open) | None => Some(LetterState::Open),
    };
    Ok(LetterFilter {
        ids,
        flow: which.flow.map(|flow| project.flow_name(&flow)).transpose()?,
        step: which.step,
        code: which.code,
        since: which.since,
        until: which.until,
        key: which.key,
        state,
    })
}

/// Refuses to do something to all that there are because nobody said to which.
fn say_which(verb: &str, ids: &[String], which: &Which, all: bool) -> Result<()> {
    if !ids.is_empty() || !which.is_empty() || all {
        return Ok(());
    }
    let error = anyhow!(
        "which ones? Give ids (`towpath dead-letters list` shows them), options such as `--flow` \
         and `--code`, or `--all` to {verb} all that are open"
    );
    Err(Failed { exit: Exit::Usage, error })
}

/// The dead letter that an id means.
async fn letter(held: &Held, id: &str) -> Result<DeadLetter> {
    match ask(held, Request::DeadLetter { id: id.to_owned() }).await? {
        Answer::DeadLetter { dead_letter: Some(letter) } => Ok(letter),
        _ => Err(Failed::config(engine::Error::NoSuchLetter { id: id.to_owned() })),
    }
}

/// How a letter's place is called: its step, or the trigger's mapping.
fn step_of(step: Option<&str>) -> &str {
    step.unwrap_or("(trigger)")
}

fn state_of(state: LetterState) -> &'static str {
    match state {
        LetterState::Open => "open",
        LetterState::Replayed => "replayed",
        LetterState::Superseded => "superseded",
    }
}
