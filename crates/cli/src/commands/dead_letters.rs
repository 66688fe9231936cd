//! `towpath dead-letters`: messages that were refused, with their reasons.

use std::path::Path;

use comfy_table::{Table, presets};
use engine::{Answer, Handle, Request};
use serde_json::json;

use crate::args::DeadLetters;
use crate::commands::state::ask;
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json};
use crate::project::Project;

pub(crate) async fn run(config: Option<&Path>, command: DeadLetters, json: bool) -> Result {
    let project = Project::read(config)?;
    let Some(store) = project.existing_store().await? else {
        if !json {
            print("nothing has run here yet, so there are no dead letters");
        }
        return Ok(Exit::Done);
    };
    let handle = Handle::new(store);
    match command {
        DeadLetters::List { flow } => {
            let flow = flow.map(|flow| project.flow_name(&flow)).transpose()?;
            let answer = ask(&handle, Request::DeadLetters { flow }).await?;
            let Answer::DeadLetters { dead_letters } = answer else { return Ok(Exit::Done) };
            if json {
                dead_letters.iter().for_each(|letter| print_json(&json!(letter)));
                return Ok(Exit::Done);
            }
            if dead_letters.is_empty() {
                print("no dead letters");
                return Ok(Exit::Done);
            }
            let mut table = Table::new();
            table.load_style(presets::NOTHING).set_header(["id", "flow", "step", "code", "at"]);
            for it in dead_letters {
                let step = it.step.unwrap_or_else(|| "(trigger)".to_owned());
                table.add_row([it.id, it.flow, step, it.code, it.at.to_string()]);
            }
            print(&table.trim_fmt());
        }
        DeadLetters::Show { id } => {
            let answer = ask(&handle, Request::DeadLetter { id: id.clone() }).await?;
            let Answer::DeadLetter { dead_letter: Some(letter) } = answer else {
                let error = anyhow::anyhow!("no dead letter begins with `{id}`");
                return Err(Failed::config(error));
            };
            if json {
                print_json(&json!(letter));
                return Ok(Exit::Done);
            }
            let line = letter.line;
            print(&format!("dead letter  {}", line.id));
            print(&format!("flow         {}", line.flow));
            print(&format!("step         {}", line.step.as_deref().unwrap_or("(trigger)")));
            print(&format!("record       {}", letter.record_key));
            print(&format!("refused at   {}", line.at));
            print(&format!("reason       {}: {}", line.code, letter.reason));
            print(&format!("{:#}", letter.payload));
        }
    }
    Ok(Exit::Done)
}
