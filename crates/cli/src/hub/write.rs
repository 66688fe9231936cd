//! The text of a flow file.

use serde_json::Value;

use super::part::Part;
use super::read::Flow;
use super::{Account, Note, Translated};
use crate::scaffold::{block, comment, scalar};

/// Writes a flow; `after` has for each step what it waits for.
pub(super) fn flow(
    flow: &Flow,
    name: String,
    of_flow: Vec<String>,
    trigger: Part,
    steps: Vec<(Part, Vec<String>)>,
    accounts: Vec<Account>,
) -> Translated {
    let mut text = comment("Made of a flow of Open Integration Hub by `towpath import`.", 0);
    text.push_str(&format!("flow: {}\n", scalar(&name)));
    if let Some(about) = flow.description.as_ref().or(flow.name.as_ref()) {
        text.push_str(&format!("about: {}\n", scalar(about)));
    }
    for note in &of_flow {
        text.push_str(&comment(note, 0));
    }
    text.push_str("\ntrigger:\n");
    text.push_str(&part(&trigger, 2, false));
    if let Some(cron) = &flow.cron {
        let fields: Vec<&str> = cron.split_whitespace().collect();
        let minutes = fields.get(fields.len().saturating_sub(5)..).unwrap_or_default().join(" ");
        text.push_str(&format!("  cron: {}\n", Value::from(minutes)));
    }
    text.push_str(&fields(&trigger, 2));
    if !steps.is_empty() {
        text.push_str("\nsteps:\n");
    }
    let mut above = "trigger".to_owned();
    for (step, after) in &steps {
        text.push_str(&part(step, 4, true));
        match after.as_slice() {
            [only] if *only == above => {}
            [only] => text.push_str(&format!("    after: {only}\n")),
            several => text.push_str(&format!("    after: [{}]\n", several.join(", "))),
        }
        text.push_str(&fields(step, 4));
        above.clone_from(&step.at);
    }
    let note = |at: &str, text: &String| Note { at: at.to_owned(), text: text.clone() };
    let mut notes: Vec<Note> = of_flow.iter().map(|text| note("flow", text)).collect();
    for part in std::iter::once(&trigger).chain(steps.iter().map(|(step, _)| step)) {
        notes.extend(part.notes.iter().map(|text| note(&part.at, text)));
    }
    Translated { name, text, notes, accounts }
}

/// What a part uses; a step begins with its id.
fn part(part: &Part, indent: usize, is_step: bool) -> String {
    let space = " ".repeat(indent);
    let mut text = String::new();
    if is_step {
        text.push_str(&format!("  - id: {}\n", part.at));
    }
    if let Some(about) = &part.about {
        text.push_str(&comment(about, indent));
    }
    for note in &part.notes {
        text.push_str(&comment(note, indent));
    }
    text.push_str(&format!("{space}use: {}\n", scalar(&part.uses)));
    text.push_str(&format!("{space}account: {}\n", scalar(&part.account)));
    text
}

fn fields(part: &Part, indent: usize) -> String {
    let mut lines = String::new();
    if !part.fields.is_empty() {
        lines.push_str(&block(&Value::Object(part.fields.clone()), indent + 2));
    }
    let space = " ".repeat(indent + 2);
    if part.skips {
        lines.push_str(&format!("{space}skipTransformation: true\n"));
    }
    if let Some(mapping) = &part.mapping {
        lines.push_str(&format!("{space}customMapping: {}\n", literal(mapping, indent + 4)));
    }
    if lines.is_empty() {
        return lines;
    }
    format!("{}fields:\n{lines}", " ".repeat(indent))
}

/// Text as it is, a line a line, or in quotes where YAML would read it otherwise.
fn literal(text: &str, indent: usize) -> String {
    let plain = |c: char| c == '\n' || (!c.is_control() && c != '\u{feff}');
    let begins = |text: &str| text.starts_with(|c: char| c.is_whitespace());
    if !text.chars().all(plain) || begins(text) || text.trim().is_empty() {
        return Value::from(text).to_string();
    }
    let space = " ".repeat(indent);
    let lines = text.lines().map(|line| match line.trim_end() {
        "" => String::new(),
        line => format!("{space}{line}"),
    });
    format!("|\n{}", lines.collect::<Vec<_>>().join("\n"))
}
