//! The accounts of `towpath.yaml`: read, and held against what their connectors ask for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use connector::Connector;

use super::{Account, Given, is_secret_name};
use crate::finding::code;
use crate::source::Source;
use crate::yaml::{Entry, Kind};
use crate::{secret, suggest};

/// Reads one account; `None` where nothing can be said of its settings.
pub(super) fn read(
    source: &mut Source<'_>,
    entry: &Entry,
    connectors: &[Connector],
) -> Option<Account> {
    let (name, node) = (&entry.key, &entry.value);
    let fields = node.entries()?;
    let names = || connectors.iter().map(Connector::name);
    let Some(written) = node.get("connector") else {
        let message = format!("account `{name}` needs `connector`");
        source.error(
            code::MISSING_KEY,
            entry.key_span.clone(),
            message,
            suggest::hint("", names()),
        );
        return None;
    };
    let Some(wanted) = written.text() else {
        let message = format!("`connector` is text, not {}", written.type_name());
        source.error(code::WRONG_TYPE, written.span.clone(), message, None);
        return None;
    };
    let Some(connector) = connectors.iter().find(|connector| connector.name() == wanted) else {
        let message = format!("there is no connector `{wanted}`");
        source.error(
            code::CONNECTOR,
            written.span.clone(),
            message,
            suggest::hint(wanted, names()),
        );
        return None;
    };
    if !connector.has_accounts() {
        let message = format!("`{wanted}` has no accounts");
        let hint = "leave it out: its triggers are used without one".to_owned();
        source.error(code::CONNECTOR, written.span.clone(), message, hint);
        return None;
    }
    let mut settings = BTreeMap::new();
    let mut base_url = None;
    for field in fields {
        match field.key.as_str() {
            "connector" => {}
            "baseUrl" => {
                base_url = given(source, field);
                if let Some(Given::Literal(url)) = &base_url
                    && let Err((code, problem)) = base_url_form(url)
                {
                    let message = format!("`baseUrl`: {problem}");
                    source.error(code, field.value.span.clone(), message, None);
                }
            }
            key => {
                let Some(setting) = connector.settings().iter().find(|known| known.name == key)
                else {
                    let own = connector.settings().iter().map(|known| known.name);
                    let hint = suggest::hint(key, own.chain(["connector", "baseUrl"]));
                    let message = format!("an account of `{wanted}` has no setting `{key}`");
                    source.error(code::UNKNOWN_SETTING, field.key_span.clone(), message, hint);
                    continue;
                };
                if setting.secret && !matches!(field.value.kind, Kind::Map(_) | Kind::Null) {
                    let message = format!("`{key}` is a secret and does not belong in a file");
                    let hint = format!(
                        "write `{key}: {{ secret: NAME }}` and run `towpath secret set NAME`; or \
                         `{{ env: {} }}`, or `{{ file: PATH }}`",
                        env(key)
                    );
                    source.error(code::SECRET_IN_CONFIG, field.value.span.clone(), message, hint);
                    settings.insert(key.to_owned(), Given::Literal(String::new()));
                    continue;
                }
                let Some(value) = given(source, field) else {
                    settings.insert(key.to_owned(), Given::Literal(String::new()));
                    continue;
                };
                if let Given::Literal(text) = &value
                    && let Err(problem) = (setting.check)(text.trim())
                {
                    let message = format!("`{key}`: {problem}");
                    let hint = setting.explained();
                    source.error(code::BAD_SETTING, field.value.span.clone(), message, hint);
                }
                settings.insert(key.to_owned(), value);
            }
        }
    }
    for setting in connector.settings() {
        if setting.default.is_none() && !settings.contains_key(setting.name) {
            let message = format!("account `{name}` needs `{}`", setting.name);
            let value =
                if setting.secret { format!("{{ secret: {name} }}") } else { "…".to_owned() };
            let hint = format!("`{}: {value}`: {}", setting.name, setting.explained());
            source.error(code::MISSING_SETTING, entry.key_span.clone(), message, hint);
        }
    }
    let place = source.place(entry.key_span.clone());
    Some(Account { connector: wanted.to_owned(), base_url, settings, place })
}

/// Reads text, `{ secret: NAME }`, `{ env: NAME }` or `{ file: PATH }`.
fn given(source: &mut Source<'_>, field: &Entry) -> Option<Given> {
    let node = &field.value;
    if let Some(text) = node.text() {
        return Some(Given::Literal(text.to_owned()));
    }
    let fail = |source: &mut Source<'_>, span: Range<usize>, message: String| {
        let hint = "write text, `{ secret: NAME }`, `{ env: NAME }` or `{ file: PATH }`";
        source.error(code::BAD_SETTING, span, message, hint.to_owned());
        None
    };
    let Some(entries) = node.entries() else {
        let message = format!("`{}` is text, not {}", field.key, node.type_name());
        return fail(source, node.span.clone(), message);
    };
    let [one] = entries else {
        let message = format!("`{}` names one source", field.key);
        return fail(source, node.span.clone(), message);
    };
    match (one.key.as_str(), one.value.text()) {
        ("env", Some(name)) if !name.is_empty() && !name.contains(['=', '\0', ' ', '$']) => {
            Some(Given::Env(name.to_owned()))
        }
        ("file", Some(path)) if !path.is_empty() => Some(Given::File(PathBuf::from(path))),
        ("secret", Some(name)) if is_secret_name(name) && !secret::has_token(name) => {
            Some(Given::Secret(name.to_owned()))
        }
        // What is no name may be the secret itself: it is not shown.
        ("secret", _) => {
            let message = format!("`secret` of `{}` is not the name of a secret", field.key);
            let hint = "give the value to `towpath secret set NAME`; the name has letters, digits, \
                        `-`, `_` and `.`, at most 100";
            source.error(code::BAD_SETTING, one.value.span.clone(), message, hint.to_owned());
            None
        }
        ("env" | "file", _) => {
            let message = format!("`{}` of `{}` is not a name", one.key, field.key);
            fail(source, one.value.span.clone(), message)
        }
        (key, _) => {
            let message = format!("`{}` cannot come from `{key}`", field.key);
            fail(source, one.key_span.clone(), message)
        }
    }
}

/// What is wrong with a base URL; one that holds credentials is not shown.
pub(super) fn base_url_form(url: &str) -> Result<(), (&'static str, &'static str)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or("");
    if url.contains('@') {
        Err((code::SECRET_IN_CONFIG, "credentials do not belong in a URL"))
    } else if rest.is_none() {
        Err((code::BAD_SETTING, "an http or https URL is needed"))
    } else if host.is_empty() {
        Err((code::BAD_SETTING, "it names no host"))
    } else if url.contains(['?', '#', ' ']) {
        Err((code::BAD_SETTING, "a base URL ends with its path"))
    } else {
        Ok(())
    }
}

/// The name of an environment variable for a setting: `CLIENT_SECRET`.
fn env(setting: &str) -> String {
    let mut name = String::new();
    for letter in setting.chars() {
        if letter.is_uppercase() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}
