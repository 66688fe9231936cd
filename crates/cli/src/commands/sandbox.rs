//! `towpath sandbox`: the vendors' stand-ins on loopback ports.

use sandbox::{Options, Sandbox};
use serde_json::json;

use crate::args;
use crate::exit::{Exit, Result};
use crate::progress::{print, print_json};
use crate::signals;

pub(crate) async fn run(args: args::Sandbox, json: bool) -> Result {
    let options = Options {
        receivers: args.receivers,
        cleverreach_port: args.cleverreach_port,
        clevertap_port: args.clevertap_port,
        date_header: !args.no_date,
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).await?;
    let credentials = sandbox.credentials();
    let (cleverreach, clevertap) = (sandbox.cleverreach_url(), sandbox.clevertap_url());
    if json {
        print_json(&json!({
            "cleverreach": cleverreach,
            "clevertap": clevertap,
            "clientId": credentials.client_id,
            "clientSecret": credentials.client_secret,
            "projectId": credentials.project_id,
            "passcode": credentials.passcode,
        }));
    } else {
        print(&format!("CleverReach  {cleverreach}  ({} receivers)", args.receivers));
        print(&format!(
            "  clientId {}  clientSecret {}",
            credentials.client_id, credentials.client_secret
        ));
        print(&format!("CleverTap    {clevertap}"));
        print(&format!(
            "  projectId {}  passcode {}",
            credentials.project_id, credentials.passcode
        ));
        print("what was asked and delivered: GET /_sandbox/stats on either port; ctrl-c ends it");
    }
    signals::signal().await;
    sandbox.stop().await;
    Ok(Exit::Done)
}
