//! `towpath import`: flow files of the flows of Open Integration Hub.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde_json::json;

use crate::args::Import;
use crate::exit::{Exit, Failed, Result};
use crate::hub::{self, Account, Translated};
use crate::progress::{print, print_json, say};
use crate::project::{Checked, Project};
use crate::registry;

pub(crate) fn run(config: Option<&Path>, args: &Import, json: bool) -> Result {
    let from_input = args.file == Path::new("-");
    let label = if from_input { "standard input".into() } else { args.file.display().to_string() };
    let text = read(&args.file).with_context(|| format!("could not read {label}"));
    let text = text.map_err(Failed::config)?;
    let connectors = registry::connectors();
    let components: BTreeMap<String, String> = args.component.iter().cloned().collect();
    for connector in components.values() {
        if !connectors.iter().any(|known| known.name() == connector) {
            let known = connectors.iter().map(connector::Connector::name).collect::<Vec<_>>();
            let known = known.join(", ");
            let error = anyhow!("there is no connector {connector}; there are {known}");
            return Err(Failed::config(error));
        }
    }
    let wrong = |problem: String| Failed::config(anyhow!("{label}: {problem}"));
    let mut made: Vec<(Translated, Option<PathBuf>)> = vec![];
    for flow in hub::flows(&text).map_err(wrong)? {
        let named = flow.name.as_deref().or(flow.id.as_deref()).unwrap_or("a flow").to_owned();
        let translated = hub::translate(&flow, &connectors, &components)
            .map_err(|problem| wrong(format!("{named}: {problem}")))?;
        let beside = !from_input && !args.stdout;
        let path = beside.then(|| args.file.with_file_name(format!("{}.yaml", translated.name)));
        made.push((translated, path));
    }
    refuse_existing(&made)?;
    let project = Project::read(config)?;
    let mut exit = Exit::Done;
    for (at, (flow, path)) in made.iter().enumerate() {
        match path {
            Some(path) => write(path, &flow.text)?,
            None if json => {}
            None => {
                let between = if at > 0 { "---\n" } else { "" };
                print(&format!("{between}{}", flow.text.trim_end()));
            }
        }
        let checked = checked(flow, path.as_deref());
        if checked.errors() > 0 {
            exit = Exit::Findings;
        }
        let missing = missing(flow, &project);
        if json {
            print_json(&told(flow, path.as_deref(), &missing, &checked));
        } else {
            tell(flow, path.as_deref(), &missing, &checked, &project);
        }
    }
    Ok(exit)
}

fn read(file: &Path) -> std::io::Result<String> {
    if file != Path::new("-") {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    tokio::task::block_in_place(|| std::io::stdin().lock().read_to_string(&mut text))?;
    Ok(text)
}

/// Nothing is written if one of the files is there, or two flows have the same name.
fn refuse_existing(made: &[(Translated, Option<PathBuf>)]) -> Result<()> {
    for (at, (_, path)) in made.iter().enumerate() {
        let Some(path) = path else { continue };
        let again = made.iter().take(at).any(|(_, other)| other.as_ref() == Some(path));
        if again || path.symlink_metadata().is_ok() {
            return Err(Failed::config(anyhow!(
                "{} is there already: nothing was written; move it away, or use --stdout",
                path.display()
            )));
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let write =
        || OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes());
    write().with_context(|| format!("could not write {}", path.display())).map_err(Failed::config)
}

/// What is wrong with it whatever accounts there are.
fn checked(flow: &Translated, path: Option<&Path>) -> Checked {
    let connectors = registry::connectors();
    let context = flow::Context { connectors: &connectors, config: None };
    let named = format!("{}.yaml", flow.name);
    let label = path.map_or(named.into(), Path::to_string_lossy);
    let (_, findings) = flow::check(&label, &flow.text, &context);
    Checked::new(flow.text.clone(), findings)
}

/// The accounts that towpath.yaml does not have.
fn missing<'a>(flow: &'a Translated, project: &Project) -> Vec<&'a Account> {
    let known = project.config().map(|config| &config.accounts);
    let is_known = |name: &str| known.is_some_and(|known| known.contains_key(name));
    flow.accounts.iter().filter(|account| !is_known(&account.name)).collect()
}

/// The command that adds an account.
fn command(account: &Account) -> Option<String> {
    let mut command = format!("account add {} --connector {}", account.name, account.connector?);
    if let Some(url) = &account.base_url {
        command.push_str(&format!(" --base-url '{}'", url.replace('\'', r"'\''")));
    }
    Some(command)
}

fn tell(
    flow: &Translated,
    path: Option<&Path>,
    missing: &[&Account],
    checked: &Checked,
    project: &Project,
) {
    if let Some(path) = path {
        print(&format!("made {}", path.display()));
    }
    for note in &flow.notes {
        say(&format!("  {}: {}", note.at, note.text));
    }
    if !checked.findings.is_empty() {
        say(&checked.render(std::io::stderr().is_terminal()));
    }
    for account in missing {
        if let Some(command) = command(account) {
            say(&format!("  add the account: {}", project.command(&command)));
        }
    }
}

fn told(
    flow: &Translated,
    path: Option<&Path>,
    missing: &[&Account],
    checked: &Checked,
) -> serde_json::Value {
    let notes = flow.notes.iter().map(|note| json!({ "at": note.at, "note": note.text }));
    let missing = missing.iter().map(|account| {
        json!({
            "name": account.name,
            "connector": account.connector,
            "command": command(account).map(|command| format!("towpath {command}")),
        })
    });
    json!({
        "flow": flow.name,
        "file": path.map(|path| path.display().to_string()),
        "text": path.is_none().then_some(&flow.text),
        "notes": notes.collect::<Vec<_>>(),
        "missingAccounts": missing.collect::<Vec<_>>(),
        "findings": checked.findings,
    })
}
