//! `towpath token`: who may ask a service, and what.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use comfy_table::{Table, presets};
use connector::{Clock, SystemClock};
use serde_json::{Value, json};
use server::{NewToken, Scopes, TokenLine, Tokens};

use crate::args::{Durability, Token};
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json, say};
use crate::project::Project;
use crate::remote::Client;

/// Whoever has the tokens: this process, or a service.
enum Kept {
    Here(Tokens),
    There(Client),
}

pub(crate) async fn run(config: Option<&Path>, command: Token, json: bool) -> Result {
    let project = Project::read(config)?;
    let kept = match project.service().await {
        Some(client) => Kept::There(client),
        // A token may be needed before anything has run: to listen where others reach it.
        None if matches!(command, Token::Create { .. }) => {
            let store = project.store(Durability::Full).await?;
            Kept::Here(Tokens::open(store).await.map_err(failed)?)
        }
        None => match project.existing_store().await? {
            Some(store) => Kept::Here(Tokens::open(store).await.map_err(failed)?),
            None => {
                let store = Arc::new(store::MemoryStore::new(store::MasterKey::generate()));
                Kept::Here(Tokens::open(store).await.map_err(failed)?)
            }
        },
    };
    match command {
        Token::Create { name, scopes, expires } => {
            let new = NewToken { name, scopes: scopes.into_iter().collect(), lasts: expires };
            create(&kept, new, json).await
        }
        Token::List => list(&kept, json).await,
        Token::Revoke { name } => revoke(&kept, &name, json).await,
    }
}

async fn create(kept: &Kept, new: NewToken, json: bool) -> Result {
    let (name, scopes) = (new.name.clone(), new.scopes.clone());
    let token = match kept {
        Kept::Here(tokens) => {
            let token = tokens.create(new, SystemClock.now()).await.map_err(failed)?;
            token.expose().to_owned()
        }
        Kept::There(client) => {
            let expires = new.lasts.map(|lasts| lasts.as_secs());
            let body = json!({ "name": new.name, "scopes": new.scopes, "expiresIn": expires });
            let made = client.call("POST", "/api/v1/tokens", Some(&body)).await?;
            made.get("token").and_then(Value::as_str).unwrap_or_default().to_owned()
        }
    };
    if json {
        print_json(&json!({ "name": name, "scopes": scopes, "token": token }));
    } else {
        print(&token);
        say(&format!("this is {name}, for {scopes}: keep it, it is not shown again"));
    }
    Ok(Exit::Done)
}

async fn list(kept: &Kept, json: bool) -> Result {
    let lines = match kept {
        Kept::Here(tokens) => tokens.list(),
        Kept::There(client) => listed(client).await?,
    };
    if json {
        lines.iter().for_each(|line| print_json(&json!(line)));
        return Ok(Exit::Done);
    }
    if lines.is_empty() {
        print("no tokens");
        return Ok(Exit::Done);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["token", "scopes", "made", "ends"]);
    let now = SystemClock.now();
    for TokenLine { name, scopes, created, expires } in lines {
        let ends = match expires {
            None => "never".to_owned(),
            Some(at) if at <= now => format!("{at} (ended)"),
            Some(at) => at.to_string(),
        };
        table.add_row([name, Scopes::to_string(&scopes), created.to_string(), ends]);
    }
    print(&table.trim_fmt());
    Ok(Exit::Done)
}

/// All pages of the list.
async fn listed(client: &Client) -> Result<Vec<TokenLine>> {
    let mut lines: Vec<TokenLine> = vec![];
    loop {
        let after = lines.last().map(|line| format!("&after={}", line.name)).unwrap_or_default();
        let path = format!("/api/v1/tokens?limit=500{after}");
        let mut page = client.call("GET", &path, None).await?;
        let items = page.get_mut("items").map(Value::take).unwrap_or_default();
        lines.extend(serde_json::from_value::<Vec<TokenLine>>(items)?);
        if page.get("next").is_none_or(Value::is_null) {
            return Ok(lines);
        }
    }
}

async fn revoke(kept: &Kept, name: &str, json: bool) -> Result {
    let was = match kept {
        Kept::Here(tokens) => tokens.revoke(name).await.map_err(failed)?,
        Kept::There(client) => {
            listed(client).await?.iter().any(|line| line.name == name) && {
                client.call("DELETE", &format!("/api/v1/tokens/{name}"), None).await?;
                true
            }
        }
    };
    if !was {
        return Err(Failed::config(anyhow!("there is no token {name}")));
    }
    if json {
        print_json(&json!({ "name": name, "revoked": true }));
    } else {
        print(&format!("{name}: revoked"));
    }
    Ok(Exit::Done)
}

fn failed(error: server::Error) -> Failed {
    let exit = if matches!(error, server::Error::Store(_)) { Exit::Store } else { Exit::Config };
    Failed { exit, error: error.into() }
}
