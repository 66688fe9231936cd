//! `towpath account`: which accounts there are, and which of them are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::anyhow;
use comfy_table::{Table, presets};
use connector::Timestamp;
use engine::{AccountState, Answer, Request, Rest};
use serde_json::json;
use server::accounts::{Line, Login};

use super::state::ask;
use super::{connect, hooks};
use crate::args::{AccountChange, Accounts};
use crate::connect::Ask;
use crate::exit::{Exit, Failed, Result};
use crate::held;
use crate::progress::{print, print_json};
use crate::project::Project;

pub(crate) async fn run(config: Option<&Path>, args: Accounts, json: bool) -> Result {
    match args.command {
        None | Some(AccountChange::List) => list(&Project::read(config)?, json).await,
        Some(AccountChange::Add(args)) => connect::add(config, args, json).await,
        Some(AccountChange::Test { name }) => connect::test(config, name, json).await,
        Some(AccountChange::Remove { name, although_used }) => {
            connect::remove(config, name, although_used, json).await
        }
        Some(AccountChange::Login { name, paste }) => {
            connect::login(config, &name, paste, json).await
        }
        Some(AccountChange::Status { name }) => connect::status(config, &name, json).await,
        Some(AccountChange::Refresh { name }) => connect::refresh(config, name, json).await,
        Some(AccountChange::Logout { name }) => connect::logout(config, name, json).await,
        Some(AccountChange::Hooks(command)) => hooks::run(config, command, json).await,
        Some(AccountChange::Resume { name }) => resume(&Project::read(config)?, &name, json).await,
    }
}

async fn list(project: &Project, json: bool) -> Result {
    let states = match asked(project, Request::Accounts).await? {
        Some(Answer::Accounts { accounts }) => accounts,
        _ => vec![],
    };
    let states: BTreeMap<&str, &AccountState> =
        states.iter().map(|state| (state.account.as_str(), state)).collect();
    let written = project.config().map(|config| &config.accounts);
    let connectors: BTreeMap<&str, &str> = written
        .into_iter()
        .flatten()
        .map(|(name, account)| (name.as_str(), account.connector.as_str()))
        .collect();
    let logins = logins(project).await?;
    let names: BTreeSet<&str> = connectors.keys().chain(states.keys()).copied().collect();
    if json {
        for name in names {
            let state = states.get(name);
            print_json(&json!({
                "account": name, "connector": connectors.get(name),
                "paused": state.and_then(|state| state.paused.as_ref()),
                "open": state.map(|state| &state.open[..]).unwrap_or_default(),
                "login": logins.get(name).copied().unwrap_or(Login::NotNeeded),
            }));
        }
        return Ok(Exit::Done);
    }
    if names.is_empty() {
        print("no accounts: `towpath account add` makes one");
        return Ok(Exit::Done);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "account",
        "connector",
        "state",
        "next probe",
        "why",
    ]);
    for name in names {
        // What towpath.yaml names no more may still be kept.
        let connector = connectors.get(name).copied().unwrap_or("not in towpath.yaml");
        let rows = states.get(name).map(|state| rows(state)).unwrap_or_default();
        let login = logins.get(name).copied();
        if login == Some(Login::Missing) {
            let command = project.command(&format!("account login {name}"));
            table.add_row([name, connector, "needs a login", "", &format!("run `{command}`")]);
        } else if rows.is_empty() {
            table.add_row([name, connector, "in use", "", login.map_or("", Login::words)]);
        }
        for (state, rest) in rows {
            let next = second(rest.next);
            table.add_row([name, connector, &state, &next, &rest.reason]);
        }
    }
    print(&table.trim_fmt());
    Ok(Exit::Done)
}

/// Whether somebody logged in, for the accounts where that is needed.
async fn logins(project: &Project) -> Result<BTreeMap<String, Login>> {
    let accounts = project.config().into_iter().flat_map(|config| config.accounts.values());
    let mut grants = accounts.filter_map(|account| account.settings.get("grant"));
    // Where nobody logs in nobody has to be asked.
    if grants.next().is_none() {
        return Ok(BTreeMap::new());
    }
    let lines = connect::ask(project, Ask::List).await?;
    let lines: Vec<Line> = serde_json::from_value(lines).map_err(failed)?;
    let needed = lines.into_iter().filter(|line| line.login != Login::NotNeeded);
    Ok(needed.map(|line| (line.account, line.login)).collect())
}

/// Asks the store, or the process that has it open, also one that has no API; `None` where there
/// is no store.
async fn asked(project: &Project, request: Request) -> Result<Option<Answer>> {
    let Failed { error, exit } = match project.held().await {
        Ok(None) => return Ok(None),
        Ok(Some(held)) => return ask(&held, request).await.map(Some),
        Err(failed) => failed,
    };
    if !matches!(error.downcast_ref(), Some(store::Error::Locked { .. })) {
        return Err(Failed { error, exit });
    }
    held::ask_holder(project, &request).await.map(Some)
}

fn failed(error: impl Into<anyhow::Error>) -> Failed {
    Failed { exit: Exit::Store, error: error.into() }
}

/// What holds an account back, and why.
fn rows(state: &AccountState) -> Vec<(String, &Rest)> {
    let paused = state.paused.iter().map(|rest| ("paused".to_owned(), rest));
    let open =
        state.open.iter().map(|it| (format!("breaker of class {} open", it.class), &it.rest));
    let rows = paused.chain(open);
    rows.map(|(what, rest)| (format!("{what} since {}", second(rest.since)), rest)).collect()
}

/// A moment to the second.
fn second(at: Timestamp) -> String {
    Timestamp::from_secs(at.secs()).to_string()
}

async fn resume(project: &Project, name: &str, json: bool) -> Result {
    let known = project.config().is_some_and(|config| config.accounts.contains_key(name));
    let request = Request::Resume { account: name.to_owned() };
    let was = matches!(asked(project, request).await?, Some(Answer::Resumed { was: true }));
    if !known && !was {
        let names = project.config().into_iter().flat_map(|config| config.accounts.keys());
        let hint = flow::did_you_mean(name, names.map(String::as_str));
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        let file = project.config_path().display();
        return Err(Failed::config(anyhow!("{file} has no account {name}{hint}")));
    }
    if json {
        print_json(&json!({ "account": name, "resumed": was }));
    } else if was {
        print(&format!("{name}: the next run that needs it asks at once"));
    } else {
        print(&format!("{name}: it was in use already"));
    }
    Ok(Exit::Done)
}
