//! `towpath account add`, `test`, `remove`, `login`, `status`, `refresh` and `logout`.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use connector::{Clock, SystemClock, Tested, Tokens};
use flow::config::Listen;
use serde_json::{Value, json};
use server::accounts::{Logins, New};
use store::{MasterKey, MemoryStore, Store, upkeep};
use url::Url;

use crate::args::{AccountAdd, Durability};
use crate::connect::{self, Ask, Book, refused};
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json, say};
use crate::project::Project;

/// What people are sent back to unless towpath.yaml says otherwise: the service's own address.
const BASE_URL: &str = "http://127.0.0.1:7070";

/// The URL that people are sent back to: the one that towpath.yaml names, or that of the service.
pub(crate) fn base_url(project: &Project) -> Result<Url> {
    let server = project.config().map(|config| &config.server);
    let written = server.and_then(|server| match (&server.public_url, server.listen) {
        (Some(url), _) => Some(url.clone()),
        (None, Some(Listen::On(address))) if address.ip().is_unspecified() => {
            Some(format!("http://127.0.0.1:{}", address.port()))
        }
        (None, Some(Listen::On(address))) => Some(format!("http://{address}")),
        _ => None,
    });
    Url::parse(written.as_deref().unwrap_or(BASE_URL)).map_err(Failed::config)
}

/// The accounts of a project that no service holds.
fn logins(project: &Project, store: Arc<dyn Store>) -> Result<(Arc<Book>, Logins)> {
    let tokens = engine::tokens(store.clone());
    Ok(logins_with(project, store, tokens, base_url(project)?.as_str()))
}

/// The accounts of a project by the tokens that its engine has.
pub(crate) fn logins_with(
    project: &Project,
    store: Arc<dyn Store>,
    tokens: Arc<dyn Tokens>,
    base_url: &str,
) -> (Arc<Book>, Logins) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let book = Arc::new(Book::new(project, store.clone(), tokens, clock.clone()));
    let logins = Logins::new(book.clone(), store, clock, base_url);
    (book, logins)
}

/// A store that keeps nothing, for a question that needs none.
pub(crate) fn nothing() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(MasterKey::generate()))
}

/// Asks here, or the service that has the store open.
pub(crate) async fn ask(project: &Project, ask: Ask) -> Result<Value> {
    match project.existing_store().await {
        Ok(store) => {
            let (_, logins) = logins(project, store.unwrap_or_else(nothing))?;
            connect::answer(&logins, ask).await.map_err(refused)
        }
        Err(failed) if is_locked(&failed) => ask_service(project, &ask).await,
        Err(failed) => Err(failed),
    }
}

fn is_locked(failed: &Failed) -> bool {
    matches!(failed.error.downcast_ref(), Some(store::Error::Locked { .. }))
}

pub(crate) async fn ask_service(project: &Project, ask: &Ask) -> Result<Value> {
    let request = upkeep::Request::Holder(json!({ "accounts": ask }));
    let answered = upkeep::ask(&project.store_path(), &request, &|_, _| {}).await;
    match answered.map_err(|error| Failed { exit: Exit::Store, error: error.into() })? {
        upkeep::Answer::Holder(answer) => Ok(answer),
        upkeep::Answer::Failed(reason) => Err(Failed::config(anyhow!(reason))),
        _ => Err(Failed { exit: Exit::Store, error: anyhow!("the answer is to another question") }),
    }
}

pub(crate) async fn add(config: Option<&Path>, args: AccountAdd, json: bool) -> Result {
    let project = Project::read(config)?;
    let service = project.service().await;
    let known = match (&service, project.existing_store().await) {
        (Some(_), _) => None,
        (None, Err(failed)) if is_locked(&failed) => {
            return Err(failed.at(
                "a run has the store open, and takes no secrets: add the account when it is over"
                    .to_owned(),
            ));
        }
        (None, known) => known?,
    };
    let named = project.connectors().iter().find(|it| it.name() == args.connector);
    let settings = match named {
        Some(connector) => tokio::task::block_in_place(|| connect::settings(connector, &args)),
        None => Ok(Default::default()),
    };
    let new = New {
        name: args.name,
        connector: args.connector,
        base_url: args.base_url,
        settings: settings.map_err(Failed::config)?,
    };
    if let Some(service) = service {
        let body = json!({
            "name": new.name, "connector": new.connector, "baseUrl": new.base_url,
            "settings": new.settings,
        });
        let added = service.call("POST", "/api/v1/accounts", Some(&body)).await?;
        return Ok(added_by_service(&project, &added, json));
    }
    // A store is made for an account that is one.
    let (book, _) = logins(&project, known.clone().unwrap_or_else(nothing))?;
    let tested = book.tried(&new).await.map_err(|refusal| shown(refusal, json))?;
    let store = match known {
        Some(store) => store,
        None => project.store(Durability::Full).await?,
    };
    let (book, _) = logins(&project, store)?;
    let added = book.kept(new, tested).await.map_err(refused)?;
    let account = &added.account;
    if json {
        print_json(&json!(added));
        return Ok(Exit::Done);
    }
    checks(&added.tested);
    let file = project.config_path().display();
    print(&format!("{account}: added to {file}, its secrets are sealed in the store"));
    if added.login_needed {
        say(&format!("now log in: {}", project.command(&format!("account login {account}"))));
    }
    Ok(Exit::Done)
}

fn added_by_service(project: &Project, added: &Value, json: bool) -> Exit {
    if json {
        print_json(added);
        return Exit::Done;
    }
    added["tested"]["checks"].as_array().into_iter().flatten().for_each(line);
    let account = added["account"].as_str().unwrap_or_default();
    print(&format!("{account}: added by the service, its secrets are sealed in the store"));
    if added["loginNeeded"] == true {
        say(&format!("now log in: {}", project.command(&format!("account login {account}"))));
    }
    Exit::Done
}

/// A refusal, with the checks and paragraphs of a test that failed above it.
fn shown(refusal: server::accounts::Refusal, json: bool) -> Failed {
    if let server::accounts::Refusal::Failed(failed) = &refusal
        && !json
    {
        checks(&failed.tested);
        for (heading, text) in &failed.troubles {
            say(&format!("\n{heading}\n\n{text}\n"));
        }
    }
    refused(refusal)
}

pub(crate) async fn test(config: Option<&Path>, account: String, json: bool) -> Result {
    let project = Project::read(config)?;
    let answer = ask(&project, Ask::Test { account: account.clone() }).await?;
    let good = answer["good"] == true;
    if json {
        print_json(&answer);
    } else {
        for check in answer["checks"].as_array().into_iter().flatten() {
            line(check);
        }
        for trouble in answer["troubles"].as_array().into_iter().flatten() {
            let text = |key: &str| trouble[key].as_str().unwrap_or_default();
            say(&format!("\n{}\n\n{}\n", text("heading"), text("text")));
        }
        print(&format!("{account}: {}", if good { "the test passed" } else { "the test failed" }));
    }
    Ok(if good { Exit::Done } else { Exit::Unauthorized })
}

fn checks(tested: &Tested) {
    for check in &tested.checks {
        line(&json!(check));
    }
}

/// One check, as it is serialised.
fn line(check: &Value) {
    let text = |key: &str| check[key].as_str().unwrap_or_default();
    let (word, said) = match text("verdict") {
        "passed" => ("passed", text("detail")),
        "failed" => ("failed", text("reason")),
        _ => ("not tested", text("why")),
    };
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    print(&format!("  {word:<10}  {}{said}", text("what")));
}

pub(crate) async fn remove(
    config: Option<&Path>,
    account: String,
    although_used: bool,
    json: bool,
) -> Result {
    let project = Project::read(config)?;
    let removed = ask(&project, Ask::Remove { account: account.clone(), although_used }).await;
    let removed = removed.map_err(|failed| match failed.error.downcast_ref() {
        Some(server::accounts::Refusal::Used(flows)) => Failed::config(anyhow!(
            "{account} is used by {}: change them first, or give --although-used",
            flows.join(", ")
        )),
        _ => failed,
    })?;
    if json {
        print_json(&removed);
        return Ok(Exit::Done);
    }
    let token = removed["token"].as_str().unwrap_or_default();
    print(&format!("{account}: removed; of its token: {token}"));
    let flows: Vec<_> =
        removed["flows"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !flows.is_empty() {
        say(&format!("these flows name it and cannot run now: {}", flows.join(", ")));
    }
    Ok(Exit::Done)
}

pub(crate) async fn login(config: Option<&Path>, account: &str, paste: bool, json: bool) -> Result {
    let project = Project::read(config)?;
    let store = match project.existing_store().await {
        Ok(Some(store)) => store,
        Ok(None) => project.store(Durability::Full).await?,
        Err(failed) if is_locked(&failed) => {
            let begun = ask_service(&project, &Ask::Login { account: account.to_owned() }).await?;
            if json {
                print_json(&begun);
                return Ok(Exit::Done);
            }
            let text = |key: &str| begun[key].as_str().unwrap_or_default();
            say(&format!(
                "the redirect address of the app has to be\n  {}\nopen this in a browser, within ten \
                 minutes:",
                text("redirectUrl")
            ));
            print(text("url"));
            return Ok(Exit::Done);
        }
        Err(failed) => return Err(failed),
    };
    let (_, logins) = logins(&project, store.clone())?;
    let tested = if paste {
        connect::pasted(&logins, account).await?
    } else {
        let url = base_url(&project)?;
        connect::listened(&logins, account, &url, store, Arc::new(SystemClock)).await?
    };
    if json {
        print_json(&json!({ "account": account, "checks": tested.checks }));
        return Ok(Exit::Done);
    }
    checks(&tested);
    print(&format!("{account}: logged in"));
    Ok(Exit::Done)
}

pub(crate) async fn status(config: Option<&Path>, account: &str, json: bool) -> Result {
    let project = Project::read(config)?;
    let lines = ask(&project, Ask::List).await?;
    let found = lines.as_array().into_iter().flatten().find(|line| line["account"] == account);
    let Some(line) = found else {
        let file = project.config_path().display();
        return Err(Failed::config(anyhow!("{file} has no account {account}")));
    };
    status_of(line, json);
    Ok(Exit::Done)
}

fn status_of(line: &Value, json: bool) {
    if json {
        print_json(line);
        return;
    }
    let login = serde_json::from_value(line["login"].clone());
    let login: server::accounts::Login = login.unwrap_or(server::accounts::Login::NotNeeded);
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let mut rows = vec![("connector", text("connector")), ("login", login.words().to_owned())];
    rows.extend(line["expires"].as_str().map(|at| ("token until", at.to_owned())));
    rows.extend(line["paused"].as_str().map(|why| ("paused", why.to_owned())));
    let flows: Vec<_> =
        line["flows"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    rows.push(("flows", if flows.is_empty() { "none".to_owned() } else { flows.join(", ") }));
    print(&text("account"));
    for (what, which) in rows {
        print(&format!("  {what:<12}{which}"));
    }
}

pub(crate) async fn refresh(config: Option<&Path>, account: String, json: bool) -> Result {
    let project = Project::read(config)?;
    let line = ask(&project, Ask::Refresh { account }).await?;
    status_of(&line, json);
    Ok(Exit::Done)
}

pub(crate) async fn logout(config: Option<&Path>, account: String, json: bool) -> Result {
    let project = Project::read(config)?;
    let ended = ask(&project, Ask::Logout { account: account.clone() }).await?;
    if json {
        print_json(&ended);
    } else {
        let token = ended["token"].as_str().unwrap_or_default();
        print(&format!("{account}: logged out; of its token: {token}"));
    }
    Ok(Exit::Done)
}
