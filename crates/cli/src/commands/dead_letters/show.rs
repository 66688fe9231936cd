//! `towpath dead-letters show`: one with everything that was kept, and what to do next.

use engine::DeadLetter;
use serde_json::json;
use store::LetterState;

use super::{letter, state_of, step_of};
use crate::exit::{Exit, Result};
use crate::held::Held;
use crate::progress::{print, print_json};
use crate::project::Project;
use crate::reference;

pub(super) async fn run(project: &Project, held: &Held, id: &str, json: bool) -> Result {
    let letter = letter(held, id).await?;
    if json {
        print_json(&json!(letter));
        return Ok(Exit::Done);
    }
    let line = &letter.line;
    print(&format!("dead letter  {}", line.id));
    print(&format!("flow         {}", line.flow));
    print(&format!("step         {}", step_of(line.step.as_deref())));
    print(&format!("record       {}", letter.record_key));
    print(&format!("message      {}", letter.message_id));
    print(&format!("reason       {}: {}", line.code, letter.reason));
    let attempts: Vec<String> = letter.attempts.iter().map(ToString::to_string).collect();
    print(&format!("refused at   {}", attempts.join(", ")));
    if let Some(edited) = line.edited {
        print(&format!("edited at    {edited}"));
    }
    print(&format!("state        {}", state_of(line.state)));
    print(&format!("{:#}", letter.payload));
    print("\nnext:");
    next(project, &letter).iter().for_each(|line| print(&format!("  {line}")));
    Ok(Exit::Done)
}

/// What can be done about a dead letter.
fn next(project: &Project, letter: &DeadLetter) -> Vec<String> {
    let line = &letter.line;
    let command = |verb: &str| project.command(&format!("dead-letters {verb} {}", line.id));
    match line.state {
        LetterState::Replayed => {
            return vec![format!("it was sent: nothing, or {}", command("drop"))];
        }
        LetterState::Superseded => {
            let forced = format!("replay {} --force", line.id);
            let forced = project.command(&format!("dead-letters {forced}"));
            return vec![
                "a newer message of the record was settled: nothing".to_owned(),
                format!("{forced} sends it all the same, older data over newer"),
            ];
        }
        LetterState::Open => {}
    }
    let flow = project.flow_file(&line.flow).and_then(|file| project.check(&file).ok()?.0);
    let step =
        flow.iter().flat_map(|flow| &flow.steps).find(|it| line.step.as_ref() == Some(&it.id));
    let action = step.and_then(|step| {
        let connector = project.connectors().iter().find(|it| it.name() == step.connector)?;
        connector.find_action(&step.name)
    });
    let rejections = action.map_or(&[][..], |action| action.rejections);
    let way_out = reference::way_out(&line.code, rejections);
    let mut next: Vec<String> = way_out.into_iter().map(ToOwned::to_owned).collect();
    if flow.is_none() {
        next.push(format!("there is no flow {} here: without it nothing is sent", line.flow));
    } else if line.step.is_some() && step.is_none() {
        next.push(format!("the flow has no step {} any more", step_of(line.step.as_deref())));
    }
    next.push(format!("{}  changes the message", command("edit")));
    next.push(format!("{}  sends it by the flow as it is now", command("replay")));
    next.push(format!("{}  gives it up", command("drop")));
    next
}
