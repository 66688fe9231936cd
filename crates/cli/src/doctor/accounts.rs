//! Accounts: their secrets, logins, pauses and breakers, and what their systems say of them.

use std::collections::BTreeMap;
use std::time::Duration;

use connector::Timestamp;
use engine::AccountState;
use serde::Deserialize;
use server::accounts::{Lacking, Line, Login};

use super::Sheet;
use super::holder::{Health, Holder};
use crate::connect::Ask;
use crate::exit::Failed;
use crate::project::Project;
use crate::times::ago;

/// A login that ends for good is told so long before.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is known of an account while the store cannot be opened.
const SEALED: &str = "its secrets are in the store, which cannot be opened";

/// An account, and why it cannot be used.
#[derive(Deserialize)]
struct Usable {
    line: Line,
    problem: Option<String>,
}

pub(super) async fn look(
    sheet: &mut Sheet,
    project: &Project,
    holder: &Holder,
    (health, now): (Option<&Result<Health, Failed>>, Timestamp),
    online: bool,
) {
    sheet.group("accounts");
    let written = project.config().into_iter().flat_map(|config| &config.accounts);
    let names: Vec<_> = written.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return;
    }
    let states = health.and_then(|health| health.as_ref().ok());
    let states: BTreeMap<&str, &AccountState> = states
        .into_iter()
        .flat_map(|health| &health.accounts)
        .map(|state| (state.account.as_str(), state))
        .collect();
    let usable = match usable(project, holder, &names).await {
        Ok(usable) => usable,
        Err(failed) => {
            let list = project.command("account list");
            let way_out = format!("`{list}` asks the same");
            return sheet.error("accounts", "accounts", format!("{:#}", failed.error), way_out);
        }
    };
    for Usable { line, problem } in usable {
        let name = line.account.as_str();
        let before = sheet.lines().len();
        if let Some(problem) = problem {
            let way_out = match problem == SEALED {
                true => "the group `store` says why",
                false => "set it where flows run: the variable, the file, or the vault's secret",
            };
            sheet.error("secrets", name, problem, way_out);
        } else {
            login(sheet, project, &line, now);
        }
        if let Some(state) = states.get(name) {
            at_rest(sheet, project, state, now);
            outages(sheet, state, now);
        }
        let is_well = sheet.lines().len() == before;
        if online && is_well {
            test(sheet, project, holder, name).await;
        } else if is_well {
            let login = match line.login {
                Login::NotNeeded => String::new(),
                login => format!(", {}", login.words()),
            };
            sheet.ok("usable", name, format!("{}: its secrets are there{login}", line.connector));
        }
    }
}

async fn usable(project: &Project, holder: &Holder, names: &[&str]) -> Result<Vec<Usable>, Failed> {
    if matches!(holder, Holder::Broken) {
        // What is in the vault cannot be looked at; the rest can.
        let of = |name: &&str| {
            let problem = match project.account(name, None) {
                Ok(Some(_)) => None,
                Ok(None) => Some(SEALED.to_owned()),
                Err(failed) => Some(format!("{:#}", failed.error)),
            };
            let account = (*name).to_owned();
            let config = project.config().and_then(|config| config.accounts.get(*name));
            let connector = config.map(|it| it.connector.clone()).unwrap_or_default();
            let login = Login::NotNeeded;
            let (expires, paused, held, flows) = (None, None, None, vec![]);
            let line = Line { account, connector, login, expires, paused, held, flows };
            Usable { line, problem }
        };
        return Ok(names.iter().map(of).collect());
    }
    let answered = holder.of_accounts(project, Ask::Usable).await?;
    let mut usable: Vec<Usable> = serde_json::from_value(answered)?;
    // What towpath.yaml names no more may still be kept.
    usable.retain(|it| names.contains(&it.line.account.as_str()));
    Ok(usable)
}

fn login(sheet: &mut Sheet, project: &Project, line: &Line, now: Timestamp) {
    let name = line.account.as_str();
    let command = project.command(&format!("account login {name}"));
    let way_out = format!("`{command}`");
    match (line.login, line.expires) {
        (Login::NotNeeded | Login::Renewed, _) => {}
        (Login::Missing, _) => {
            sheet.error("login", name, "nobody logged in: flows that use it fail", way_out);
        }
        (Login::Doubtful, _) => {
            let refresh = project.command(&format!("account refresh {name}"));
            let way_out = format!("`{refresh}` shows whether the login still holds");
            sheet.warning("login", name, line.login.words(), way_out);
        }
        (Login::UntilItEnds, Some(at)) if at <= now => {
            let says = format!("its login ended {}, and cannot be renewed", ago(at, now));
            sheet.error("login", name, says, way_out);
        }
        (Login::UntilItEnds, Some(at)) if at.since(now) < SOON => {
            let says = format!("its login ends {}, and cannot be renewed", ago(at, now));
            sheet.warning("login", name, says, way_out);
        }
        (Login::UntilItEnds, _) => {}
    }
}

fn at_rest(sheet: &mut Sheet, project: &Project, state: &AccountState, now: Timestamp) {
    let name = state.account.as_str();
    if let Some(rest) = &state.paused {
        let resume = project.command(&format!("account resume {name}"));
        sheet.error(
            "paused",
            name,
            format!("paused since {} ({}): {}", rest.since, ago(rest.since, now), rest.reason),
            format!("correct its credentials; `{resume}` if it was the system's mistake"),
        );
    }
    if let Some(held) = &state.held {
        let resume = project.command(&format!("account resume {name}"));
        sheet.error(
            "held",
            name,
            format!(
                "what was refused is held since {} ({}), and not sent again by itself: {}",
                held.since,
                ago(held.since, now),
                held.reason
            ),
            format!("correct what was refused; then `{resume}`"),
        );
    }
    for open in &state.open {
        let (class, rest) = (&open.class, &open.rest);
        sheet.warning(
            "breaker",
            name,
            format!(
                "the circuit breaker of class {class} is open since {} ({}): {}",
                rest.since,
                ago(rest.since, now),
                rest.reason
            ),
            format!(
                "it closes by itself once a probe passes, the next one {}",
                ago(rest.next, now)
            ),
        );
    }
}

/// What its system answers with nothing but 5xx, and what the connector says of that.
fn outages(sheet: &mut Sheet, state: &AccountState, now: Timestamp) {
    for outage in &state.outages {
        let (class, since) = (&outage.class, outage.since);
        let (began, last) = (ago(since, now), ago(outage.last, now));
        let says = format!(
            "class {class} was answered with nothing but 5xx since {since} ({began}), the last time \
             {last}"
        );
        sheet.error("outage", &state.account, says, outage.advice.as_str());
    }
}

/// Tests an account at its system.
async fn test(sheet: &mut Sheet, project: &Project, holder: &Holder, name: &str) {
    let command = project.command(&format!("account test {name}"));
    let way_out = format!("`{command}` tells more");
    let ask = Ask::Test { account: name.to_owned() };
    match holder.of_accounts(project, ask).await {
        Err(failed) => sheet.error("online", name, format!("{:#}", failed.error), way_out),
        Ok(tested) => {
            let checks = tested["checks"].as_array().cloned().unwrap_or_default();
            let text = |check: &serde_json::Value, key: &str| {
                check[key].as_str().unwrap_or_default().to_owned()
            };
            if tested["good"] == true {
                let passed = checks.iter().filter(|check| text(check, "verdict") == "passed");
                let what: Vec<_> = passed.map(|check| text(check, "what")).collect();
                sheet.ok("online", name, format!("its system says: {}", what.join(", ")));
                return lacking(sheet, project, holder, name).await;
            }
            let failed = checks.iter().filter(|check| text(check, "verdict") == "failed");
            let failed = failed.map(|it| format!("{}: {}", text(it, "what"), text(it, "reason")));
            sheet.error("online", name, failed.collect::<Vec<_>>().join("; "), way_out);
        }
    }
}

/// Asks an account's system whether it has what the steps of flows name.
async fn lacking(sheet: &mut Sheet, project: &Project, holder: &Holder, name: &str) {
    let ask = Ask::Lacking { account: name.to_owned() };
    let asked = match holder.of_accounts(project, ask).await {
        Err(failed) => Err(format!("{:#}", failed.error)),
        Ok(lacking) => serde_json::from_value::<Vec<Lacking>>(lacking).map_err(|it| it.to_string()),
    };
    match asked {
        Err(problem) => {
            let way_out = "ask again; what flows name was not looked at".to_owned();
            sheet.warning("lacking", name, problem, way_out);
        }
        Ok(lacking) => {
            for Lacking { flow, step, says } in lacking {
                let way_out =
                    "enter it there, or correct the step: messages are refused without it";
                let says = format!("{flow}, step `{step}`: {says}");
                sheet.warning("lacking", name, says, way_out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::Outage;

    use super::super::sheet::Verdict;
    use super::*;

    #[test]
    fn what_answers_only_5xx_is_an_error_whose_way_out_is_the_connectors() {
        let (since, last) =
            (Timestamp::from_secs(1_772_366_400), Timestamp::from_secs(1_772_367_000));
        let (class, advice) = ("default".to_owned(), "write to its support".to_owned());
        let outages = vec![Outage { class, since, last, advice }];
        let state =
            AccountState { account: "engagement".to_owned(), outages, ..AccountState::default() };
        let mut sheet = Sheet::default();
        super::outages(&mut sheet, &state, last);
        let [line] = sheet.lines() else { panic!("{:?}", sheet.lines()) };
        assert_eq!(
            (line.check, &*line.about, line.verdict),
            ("outage", "engagement", Verdict::Error)
        );
        assert!(line.says.contains("nothing but 5xx since 2026-03-01T12:00:00Z"), "{}", line.says);
        assert_eq!(line.way_out.as_deref(), Some("write to its support"));
    }
}
