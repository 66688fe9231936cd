//! `towpath open`: a link that signs a browser in to the running service.

use std::path::Path;

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json, say};
use crate::project::Project;

pub(crate) async fn run(config: Option<&Path>, json: bool) -> Result {
    let project = Project::read(config)?;
    let Some(client) = project.service().await else {
        let serve = project.command("serve");
        return Err(Failed::config(anyhow!("no service runs here: `{serve}` starts one")));
    };
    let made = client.call("POST", "/api/v1/login-links", None).await?;
    let url = made.get("url").and_then(Value::as_str).unwrap_or_default();
    if json {
        print_json(&json!({ "url": url }));
    } else {
        print(url);
        say("it signs one browser in, once, within five minutes");
    }
    Ok(Exit::Done)
}
