//! `towpath connectors`: which systems there are, and what each offers.

use anyhow::anyhow;
use connector::Connector;
use serde_json::{Value, json};

use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json};
use crate::reference::{self, Schemas, Terminal};
use crate::registry;

pub(crate) fn run(name: Option<&str>, json: bool) -> Result {
    let connectors = registry::connectors();
    let mut terminal = Terminal::new();
    let Some(name) = name else {
        if json {
            connectors.iter().for_each(|it| print_json(&reference::describe(it)));
        } else {
            terminal.connectors(&connectors);
            terminal_done(terminal);
        }
        return Ok(Exit::Done);
    };
    let (system, own) = match name.split_once('.') {
        Some((system, own)) => (system, Some(own)),
        None => (name, None),
    };
    let connector = connectors.iter().find(|it| it.name() == system);
    let Some(connector) = connector else {
        return Err(unknown(&connectors, name, &format!("there is no connector `{system}`")));
    };
    let schemas = Schemas::of(&connectors);
    let described = match own {
        None => {
            terminal.connector(connector);
            reference::describe(connector)
        }
        Some(own) => {
            let own = if let Some(trigger) = connector.find_trigger(own) {
                terminal.trigger(connector, trigger, &schemas);
                trigger.name
            } else if let Some(action) = connector.find_action(own) {
                terminal.action(connector, action, &schemas);
                action.name
            } else {
                let problem = format!("`{system}` has no trigger or action `{own}`");
                return Err(unknown(std::slice::from_ref(connector), name, &problem));
            };
            one(connector, own)
        }
    };
    if json {
        print_json(&described);
    } else {
        terminal_done(terminal);
    }
    Ok(Exit::Done)
}

fn terminal_done(terminal: Terminal) {
    print(&terminal.into_text());
}

/// One trigger or action of a connector, as its description has it.
fn one(connector: &Connector, own: &str) -> Value {
    let whole = reference::describe(connector);
    for (kinds, kind) in [("triggers", "trigger"), ("actions", "action")] {
        let mut known = whole.get(kinds).and_then(Value::as_array).into_iter().flatten();
        if let Some(found) = known.find(|it| it.get("name").and_then(Value::as_str) == Some(own)) {
            return json!({ "connector": connector.name(), kind: found });
        }
    }
    Value::Null
}

/// What was meant is most often a letter away, or the name without its connector.
fn unknown(connectors: &[Connector], name: &str, problem: &str) -> Failed {
    let mut known = vec![];
    for connector in connectors {
        known.push(connector.name().to_owned());
        let triggers = connector.triggers().iter().map(|it| it.name);
        let own = triggers.chain(connector.actions().iter().map(|it| it.name));
        known.extend(own.map(|own| format!("{}.{own}", connector.name())));
    }
    let bare = |known: &&String| known.split_once('.').is_some_and(|(_, own)| own == name);
    let hint = match known.iter().find(bare) {
        Some(whole) => Some(format!("did you mean `{whole}`?")),
        None => flow::did_you_mean(name, known.iter().map(String::as_str)),
    };
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    Failed::config(anyhow!("{problem}{hint}"))
}
