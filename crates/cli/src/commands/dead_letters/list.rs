//! `towpath dead-letters list`.

use comfy_table::{Table, presets};
use engine::{Answer, LetterFilter, Request};
use indicatif::HumanCount;
use serde_json::json;

use super::{state_of, step_of};
use crate::commands::state::ask;
use crate::exit::{Exit, Result};
use crate::held::Held;
use crate::progress::{print, print_json, say};

/// So many are listed for a person who asks for no other number.
const LISTED: usize = 50;

pub(super) async fn run(
    held: &Held,
    filter: LetterFilter,
    limit: Option<usize>,
    json: bool,
) -> Result {
    let limit = limit.or((!json).then_some(LISTED));
    let state = filter.state;
    let answer = ask(held, Request::DeadLetters { filter, limit, after: None }).await?;
    let Answer::DeadLetters { dead_letters, more, others } = answer else { return Ok(Exit::Done) };
    if json {
        dead_letters.iter().for_each(|letter| print_json(&json!(letter)));
        return Ok(Exit::Done);
    }
    if dead_letters.is_empty() {
        print("no dead letters");
    } else {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["id", "flow", "step", "code", "tries", "refused at", "state"]);
        for it in dead_letters {
            let edited = if it.edited.is_some() { ", edited" } else { "" };
            table.add_row([
                it.id,
                it.flow,
                step_of(it.step.as_deref()).to_owned(),
                it.code,
                it.tries.to_string(),
                it.at.to_string(),
                format!("{}{edited}", state_of(it.state)),
            ]);
        }
        print(&table.trim_fmt());
    }
    if more > 0 {
        say(&format!("{} more: --limit shows more of them", HumanCount(more)));
    }
    if let Some(state) = state.filter(|_| others > 0) {
        let (others, state) = (HumanCount(others), state_of(state));
        say(&format!("{others} more are not {state}: --state any shows them too"));
    }
    Ok(Exit::Done)
}
