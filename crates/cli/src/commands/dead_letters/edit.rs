//! `towpath dead-letters edit`: another message in the place of the one that was refused.

use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, anyhow};
use engine::{DeadLetter, Request};
use serde_json::{Value, json};

use crate::commands::state::ask;
use crate::difference::difference;
use crate::exit::{Exit, Failed, Result};
use crate::held::Held;
use crate::progress::{print, print_json, say};
use crate::project::{Project, Workshop};

/// No message is longer.
const LONGEST: u64 = 64 * 1024 * 1024;

pub(super) async fn run(
    project: &Project,
    held: Held,
    letter: DeadLetter,
    file: Option<&Path>,
    json: bool,
) -> Result {
    let id = &letter.line.id;
    let before = letter.payload.get("message").cloned().unwrap_or_default();
    let again = format!("dead-letters edit {id} --file");
    let after = match file {
        Some(file) => read(file).map_err(Failed::config)?,
        None => {
            let edited = tokio::task::block_in_place(|| in_editor(&before));
            edited.map_err(Failed::config)?.read(&project.command(&again))?
        }
    };
    let differences = difference(&before, &after);
    if differences.is_empty() {
        say(&format!("{id}: nothing differs, so nothing was changed"));
        return Ok(Exit::Done);
    }
    if !json {
        differences.iter().for_each(|line| print(line));
    }
    match held {
        Held::Here(_, store) => {
            let workshop = Workshop::on(project, [], store).await?;
            workshop.engine.edit_letter(id, &after).await.map_err(Failed::run)?;
        }
        Held::There(_) => {
            let request = Request::Edit { id: id.clone(), message: after };
            ask(&held, request).await?;
        }
    }
    if json {
        print_json(&json!({ "id": id, "differences": differences }));
    } else {
        let replay = project.command(&format!("dead-letters replay {id}"));
        print(&format!("{id}: kept; {replay} sends it"));
    }
    Ok(Exit::Done)
}

/// Reads a message from a file, or from standard input as `-`.
fn read(file: &Path) -> anyhow::Result<Value> {
    let is_input = file == Path::new("-");
    let name = if is_input { "standard input".to_owned() } else { file.display().to_string() };
    let mut text = String::new();
    let input: Box<dyn Read> = if is_input {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).with_context(|| format!("could not read {name}"))?)
    };
    let read = input.take(LONGEST + 1).read_to_string(&mut text);
    read.with_context(|| format!("could not read {name}"))?;
    if text.len() as u64 > LONGEST {
        return Err(anyhow!("{name} is longer than {} MiB", LONGEST / 1024 / 1024));
    }
    parse(&text).with_context(|| format!("{name} is not JSON; nothing was changed"))
}

fn parse(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// What somebody made of a message in an editor.
struct Edited {
    text: String,
    file: tempfile::NamedTempFile,
}

impl Edited {
    /// The message; what cannot be read stays in its file, so that nothing typed is lost.
    fn read(self, again: &str) -> Result<Value> {
        parse(&self.text).map_err(|error| match self.file.keep() {
            Ok((_, path)) => Failed::config(anyhow!(
                "what you wrote is not JSON: {error}; nothing was changed. It is in {0}: correct \
                 it and run `{again} {0}`, then delete it",
                path.display()
            )),
            Err(lost) => Failed::config(anyhow!("what you wrote is not JSON: {error}; {lost}")),
        })
    }
}

/// Opens a message in the person's editor. Nobody else can read the file.
fn in_editor(message: &Value) -> anyhow::Result<Edited> {
    if !std::io::stdin().is_terminal() {
        return Err(anyhow!(
            "an editor needs a terminal; give the message by `--file`, or pipe it into `--file -`"
        ));
    }
    let mut file = tempfile::Builder::new().prefix("towpath-").suffix(".json").tempfile()?;
    writeln!(file, "{message:#}").context("could not write the message for the editor")?;
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(std::env::var_os);
    let editor = editor.filter(|it| !it.is_empty()).unwrap_or_else(|| OsString::from("vi"));
    // An editor may be named with arguments, as in `code --wait`.
    let words = editor.to_string_lossy().into_owned();
    let mut words = words.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program).args(words).arg(file.path()).status();
    let status = status.with_context(|| {
        format!("could not start the editor `{program}`; $VISUAL or $EDITOR names another one")
    })?;
    if !status.success() {
        return Err(anyhow!("the editor `{program}` ended with {status}: nothing was changed"));
    }
    // Editors put a new file in the old one's place: it is opened anew.
    let text = std::fs::read_to_string(file.path()).context("could not read what you wrote")?;
    Ok(Edited { text, file })
}
