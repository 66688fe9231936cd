//! `towpath secret`: the project's sealed vault, as far as accounts name what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use comfy_table::{Table, presets};
use connector::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};

use crate::args::{Durability, Secret};
use crate::commands::check::counted;
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json, say};
use crate::project::Project;
use crate::vault;

/// No credential of a system is longer.
const LONGEST: usize = 64 * 1024;

pub(crate) async fn run(config: Option<&Path>, command: Secret, json: bool) -> Result {
    if let Secret::Set { name, value } = &command
        && !value.is_empty()
    {
        return Err(Failed { exit: Exit::Usage, error: given_away(name) });
    }
    let project = Project::read(config)?;
    match command {
        Secret::Set { name, .. } => set(&project, &name, json).await,
        Secret::List => list(&project, json).await,
        Secret::Rm { name } => rm(&project, &name, json).await,
    }
}

fn given_away(name: &str) -> anyhow::Error {
    anyhow!(
        "a value is never an argument: the shell's history keeps it, and every program of the \
         machine can see it; run `towpath secret set {name}` and type it, or pipe it in"
    )
}

async fn set(project: &Project, name: &str, json: bool) -> Result {
    // A store that cannot be used is said before anything is asked; a new one is made for a value
    // that is one.
    let service = project.service().await;
    let known = match &service {
        Some(_) => None,
        None => project.existing_store().await?,
    };
    if service.is_none() && known.is_none() && project.config().is_none() {
        let file = file(project);
        let error = anyhow!("there is no {file} here, and secrets are kept beside it");
        return Err(Failed::config(error));
    }
    let (secret, asked) = tokio::task::block_in_place(|| value(name)).map_err(Failed::config)?;
    let replaced = match (service, known) {
        (Some(service), _) => {
            let body = json!({ "value": secret.expose() });
            let kept = service.call("PUT", &format!("/api/v1/secrets/{name}"), Some(&body)).await?;
            kept.get("replaced") == Some(&true.into())
        }
        (None, Some(store)) => vault::put(&*store, name, &secret, SystemClock.now()).await?,
        (None, None) => {
            let store = project.store(Durability::Full).await?;
            vault::put(&*store, name, &secret, SystemClock.now()).await?
        }
    };
    if json {
        print_json(&json!({ "secret": name, "replaced": replaced }));
        return Ok(Exit::Done);
    }
    // Of what was typed unseen the length shows whether all of it came.
    let length = secret.expose().chars().count();
    let length = asked.then(|| format!(" ({})", counted(length as u64, "character")));
    let done = if replaced { "replaced" } else { "set" };
    print(&format!("{name}: {done}{}", length.unwrap_or_default()));
    let used = project.secrets_used();
    if !used.contains_key(name) {
        say(&format!("no account of {} uses it yet: {}", file(project), form(name)));
    }
    Ok(Exit::Done)
}

/// The secret itself, and whether a person was asked for it.
fn value(name: &str) -> anyhow::Result<(connector::Secret, bool)> {
    if std::io::stdin().is_terminal() {
        let typed =
            rpassword::prompt_password(format!("{name} (not shown): ")).context("could not ask")?;
        return Ok((checked(typed.into_bytes())?, true));
    }
    // One more than fits: a longer value is an error, never a cut one.
    let mut bytes = Vec::with_capacity(LONGEST + 3);
    let mut input = std::io::stdin().lock().take(LONGEST as u64 + 3);
    input.read_to_end(&mut bytes).context("could not read standard input")?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    Ok((checked(bytes)?, false))
}

/// The value as a secret, if it can be one; what is wrong is said without showing it.
fn checked(bytes: Vec<u8>) -> anyhow::Result<connector::Secret> {
    if bytes.len() > LONGEST {
        bail!("the value is longer than {} KiB", LONGEST / 1024);
    }
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("the value is not UTF-8 text"))?;
    // Some shells pipe a mark of the byte order first.
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    };
    if text.trim().is_empty() {
        bail!("the value is empty: nothing was set");
    }
    if text.chars().any(char::is_control) {
        bail!("the value holds a line break or another control character: give one line of text");
    }
    Ok(connector::Secret::new(text))
}

/// The secrets that are kept, here or by a service.
async fn kept(project: &Project) -> Result<BTreeMap<String, Timestamp>> {
    let Some(service) = project.service().await else {
        return match project.existing_store().await? {
            Some(store) => vault::list(&*store).await,
            None => Ok(BTreeMap::new()),
        };
    };
    let listed = service.call("GET", "/api/v1/secrets", None).await?;
    let lines = listed.get("secrets").and_then(Value::as_array).into_iter().flatten();
    let line = |line: &Value| {
        let set = serde_json::from_value(line.get("set")?.clone()).ok()?;
        Some((line.get("name")?.as_str()?.to_owned(), set))
    };
    Ok(lines.filter_map(line).collect())
}

async fn list(project: &Project, json: bool) -> Result {
    let kept = kept(project).await?;
    let used = project.secrets_used();
    let names: BTreeSet<&str> =
        kept.keys().map(String::as_str).chain(used.keys().copied()).collect();
    let rows = names.into_iter().map(|name| {
        (name, kept.get(name).copied(), used.get(name).into_iter().flatten().copied().collect())
    });
    let rows: Vec<(&str, Option<Timestamp>, Vec<&str>)> = rows.collect();
    if json {
        for (name, set, accounts) in rows {
            print_json(&json!({ "secret": name, "set": set, "accounts": accounts }));
        }
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        print("no secrets, and no account names one");
        return Ok(Exit::Done);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["secret", "set", "accounts"]);
    for (name, set, accounts) in &rows {
        let set = set.map_or_else(|| "missing".to_owned(), |at| at.to_string());
        table.add_row([(*name).to_owned(), set, accounts.join(", ")]);
    }
    print(&table.trim_fmt());
    if let Some((name, ..)) = rows.iter().find(|(_, set, _)| set.is_none()) {
        say(&format!("to set what is missing: {}", project.command(&format!("secret set {name}"))));
    }
    Ok(Exit::Done)
}

async fn rm(project: &Project, name: &str, json: bool) -> Result {
    let removed = match project.service().await {
        Some(service) => {
            kept(project).await?.contains_key(name) && {
                service.call("DELETE", &format!("/api/v1/secrets/{name}"), None).await?;
                true
            }
        }
        None => match project.existing_store().await? {
            Some(store) => vault::remove(&*store, name).await?,
            None => false,
        },
    };
    if !removed {
        let list = project.command("secret list");
        return Err(Failed::config(anyhow!("there is no secret {name}: `{list}` shows them")));
    }
    let used = project.secrets_used();
    let accounts: Vec<&str> = used.get(name).into_iter().flatten().copied().collect();
    if json {
        print_json(&json!({ "secret": name, "removed": true, "accounts": accounts }));
        return Ok(Exit::Done);
    }
    print(&format!("{name}: removed"));
    if !accounts.is_empty() {
        let accounts = accounts.join(", ");
        say(&format!("{} still names it: {accounts} cannot be used without it", file(project)));
    }
    Ok(Exit::Done)
}

fn file(project: &Project) -> String {
    project.config_path().display().to_string()
}

fn form(name: &str) -> String {
    format!("write `{{ secret: {name} }}` in the place of a value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_secret_is_refused_without_showing_it() {
        for (bytes, problem) in [
            (&b""[..], "empty"),
            (b"  ", "empty"),
            (b"hunter\xff2", "UTF-8"),
            (b"hunter\n2", "line break"),
            (b"hunter\x1b2", "control character"),
            (&vec![b'x'; LONGEST + 1], "64 KiB"),
        ] {
            let error = checked(bytes.to_vec()).unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains("hunter"), "{error}");
        }
        assert_eq!(checked("\u{feff}hunter2".into()).unwrap().expose(), "hunter2");
        assert_eq!(checked("grüße".into()).unwrap().expose(), "grüße");
        assert_eq!(checked(vec![b'x'; LONGEST]).unwrap().expose().len(), LONGEST);
    }
}
