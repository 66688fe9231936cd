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
                "account {account}: paused, its credentials were refused ({reason}); a request may \
                 probe it in {} s",
                wait.as_secs()
            ),
        ),
        AccountChange::Resumed { holds } => {
            let but = if *holds { ", but for what is held" } else { "" };
            ("accountResumed", of(json!({})), format!("account {account}: used again{but}"))
        }
        AccountChange::Held { reason } => (
            "accountHeld",
            of(json!({ "reason": reason })),
            format!(
                "account {account}: what was refused is held, and not sent again by itself; once it is \
                 corrected: `towpath account resume {account}`"
            ),
        ),
        AccountChange::Released => (
            "accountReleased",
            of(json!({})),
            format!("account {account}: what was held is sent again"),
        ),
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
        AccountChange::Outage { class, since, advice } => (
            "outage",
            of(json!({ "class": class, "since": since, "advice": advice })),
            format!(
                "account {account}: class {class} was answered with nothing but 5xx since {since}; \
                 {advice}"
            ),
        ),
        AccountChange::OutageOver { class } => (
            "outageOver",
            of(json!({ "class": class })),
            format!(
                "account {account}: class {class} is not answered with nothing but 5xx any more"
            ),
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

#[cfg(test)]
mod tests {
    use connector::Timestamp;

    use super::*;

    #[test]
    fn an_outage_is_told_with_what_the_connector_says() {
        let since = Timestamp::from_secs(1_772_366_400);
        let change =
            AccountChange::Outage { class: "default", since, advice: "write to its support" };
        let (name, of, words) = event("engagement", &change);
        assert_eq!((name, &of["advice"]), ("outage", &json!("write to its support")));
        let says = "account engagement: class default was answered with nothing but 5xx since \
                    2026-03-01T12:00:00Z; write to its support";
        assert_eq!(words, says);
    }
}
