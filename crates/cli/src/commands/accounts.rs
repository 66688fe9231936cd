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
                "held": state.and_then(|state| state.held.as_ref()),
                "open": state.map(|state| &state.open[..]).unwrap_or_default(),
                "outages": state.map(|state| &state.outages[..]).unwrap_or_default(),
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
        for (state, next, why) in rows {
            table.add_row([name, connector, &state, &next, why]);
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

/// What holds an account back or makes it fail, until when, and why.
fn rows(state: &AccountState) -> Vec<(String, String, &str)> {
    let row = |what: String, rest: &'_ Rest| {
        (format!("{what} since {}", second(rest.since)), second(rest.next))
    };
    let paused = state.paused.iter().map(|rest| {
        let (what, next) = row("paused".to_owned(), rest);
        (what, next, rest.reason.as_str())
    });
    let held = state.held.iter().map(|it| {
        let what = format!("what was refused held since {}", second(it.since));
        (what, "after `account resume`".to_owned(), it.reason.as_str())
    });
    let open = state.open.iter().map(|it| {
        let (what, next) = row(format!("breaker of class {} open", it.class), &it.rest);
        (what, next, it.rest.reason.as_str())
    });
    let failing = state.outages.iter().map(|it| {
        let what = format!("class {} answers only 5xx since {}", it.class, second(it.since));
        (what, String::new(), it.advice.as_str())
    });
    paused.chain(held).chain(open).chain(failing).collect()
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

#[cfg(test)]
mod tests {
    use engine::Outage;

    use super::*;

    #[test]
    fn what_answers_only_5xx_is_shown_with_whom_to_tell() {
        let (since, last) =
            (Timestamp::from_secs(1_772_366_400), Timestamp::from_secs(1_772_367_000));
        let (class, advice) = ("default".to_owned(), "write to its support".to_owned());
        let outages = vec![Outage { class, since, last, advice }];
        let state =
            AccountState { account: "engagement".to_owned(), outages, ..AccountState::default() };
        let says = "class default answers only 5xx since 2026-03-01T12:00:00Z".to_owned();
        assert_eq!(rows(&state), [(says, String::new(), "write to its support")]);
    }
}
