//! What commands ask of accounts: here, or of the service that has the store open.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use server::accounts::{Failed, Logins, Refusal, words};

use crate::exit::{Exit, Failed as Failure};

/// A question about accounts. None holds a secret: it lies in a file for a moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Ask {
    List,
    /// Whether each can be used: its secrets are there. No system is asked.
    Usable,
    Test {
        account: String,
    },
    /// What its system lacks for the flows that use it.
    Lacking {
        account: String,
    },
    Remove {
        account: String,
        although_used: bool,
    },
    Login {
        account: String,
    },
    Refresh {
        account: String,
    },
    Logout {
        account: String,
    },
    Hooks {
        account: String,
    },
    Register {
        account: String,
        flow: String,
        /// In the place of the service's own address with the flow's path.
        url: Option<String>,
    },
    Unregister {
        account: String,
        flow: String,
    },
}

/// Answers a question; what is answered is what machines are shown.
pub(crate) async fn answer(logins: &Logins, ask: Ask) -> Result<Value, Refusal> {
    let host = logins.host();
    match ask {
        Ask::List => Ok(json!(host.list().await?)),
        Ask::Usable => {
            let mut usable = vec![];
            for line in host.list().await? {
                let problem = host.access(&line.account).await.err().map(|it| it.to_string());
                usable.push(json!({ "line": line, "problem": problem }));
            }
            Ok(json!(usable))
        }
        Ask::Test { account } => {
            let tested = host.test(&account).await?;
            let api = host.access(&account).await?;
            let name = api.account().connector();
            let connector = host.connectors().iter().find(|it| it.name() == name);
            let good = tested.is_good();
            let troubles = connector.map(|it| Failed::new(&account, it, tested.clone()).troubles);
            let troubles = troubles.into_iter().flatten();
            let troubles: Vec<_> = troubles
                .map(|(heading, text)| json!({ "heading": heading, "text": text }))
                .collect();
            Ok(json!({
                "account": account, "connector": name, "good": good, "checks": tested.checks,
                "troubles": troubles,
            }))
        }
        Ask::Lacking { account } => Ok(json!(host.lacking(&account).await?)),
        Ask::Remove { account, although_used } => {
            Ok(json!(host.remove(&account, although_used).await?))
        }
        Ask::Login { account } => {
            let url = logins.begin(&account).await?;
            Ok(json!({ "account": account, "url": url, "redirectUrl": logins.redirect_url() }))
        }
        Ask::Refresh { account } => {
            host.access(&account).await?.renew().await.map_err(Refusal::of_call)?;
            host.used_again(&account).await?;
            let line = host.list().await?.into_iter().find(|line| line.account == account);
            Ok(json!(line))
        }
        Ask::Logout { account } => {
            let api = host.access(&account).await?;
            let revoked = api.log_out().await.map_err(Refusal::of_call)?;
            Ok(json!({ "account": account, "token": words(&revoked) }))
        }
        Ask::Hooks { account } => Ok(json!(host.registered(&account).await?)),
        Ask::Register { account, flow, url } => {
            let url = url.unwrap_or_else(|| logins.hook_url(&flow));
            host.register(&account, &flow, &url).await?;
            Ok(json!({ "account": account, "flow": flow, "url": url }))
        }
        Ask::Unregister { account, flow } => {
            let was = host.unregister(&account, &flow).await?;
            Ok(json!({ "account": account, "flow": flow, "was": was }))
        }
    }
}

/// How a command ends that was refused.
pub(crate) fn refused(refusal: Refusal) -> Failure {
    let exit = match refusal {
        Refusal::Unavailable(_) => Exit::Unavailable,
        Refusal::Failed(_) | Refusal::NeedsLogin(_) => Exit::Unauthorized,
        _ => Exit::Config,
    };
    Failure { exit, error: refusal.into() }
}
