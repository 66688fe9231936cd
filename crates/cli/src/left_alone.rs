//! What is said of accounts that are left alone: to a person, and to machines.

use engine::AccountChange;
use flow::Flow;
use serde_json::{Value, json};

use crate::exit::Result;
use crate::project::{Project, Workshop};

/// A change as an event: its name, what it is about, and words for people.
pub(crate) fn event(account: &str, change: &AccountChange<'_>) -> (&'static str, Value, String) {
    let of = |more: Value| {
        let mut of = json!({ "account": account });
        if let (Some(of), Value::Object(more)) = (of.as_object_mut(), more) {
            of.extend(more);
        }
        of
    };
    match change {
        AccountChange::Paused { reason, wait } => (
            "accountPaused",
            of(json!({ "reason": reason, "waitSeconds": wait.as_secs() })),
            format!(
                "account {account}: paused, its credentials were refused ({reason}); probed in {} s",
                wait.as_secs()
            ),
        ),
        AccountChange::Resumed => {
            ("accountResumed", of(json!({})), format!("account {account}: used again"))
        }
        AccountChange::BreakerOpened { class, reason, wait, again } => {
            let seconds = wait.as_secs();
            let words = if *again {
                format!(
                    "account {account}: class {class} still fails ({reason}); probed in {seconds} s"
                )
            } else {
                format!(
                    "account {account}: the circuit breaker of class {class} opened, most requests \
                     failed, one with: {reason}; probed in {seconds} s"
                )
            };
            let more = json!({ "class": class, "reason": reason, "waitSeconds": seconds });
            ("breakerOpened", of(more), words)
        }
        AccountChange::BreakerClosed { class } => (
            "breakerClosed",
            of(json!({ "class": class })),
            format!("account {account}: the circuit breaker of class {class} closed"),
        ),
    }
}

/// Looks the settings of a flow's accounts up again, for those that the engine refuses to use: a
/// secret in a file may be another one by now.
pub(crate) fn look_again(project: &Project, workshop: &Workshop, flow: &Flow) -> Result<()> {
    let accounts = project.accounts([flow], Some(&workshop.vault))?;
    for (name, account) in accounts.ready {
        workshop.engine.renew_account(&name, account);
    }
    Ok(())
}
