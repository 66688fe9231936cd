//! The log on standard error: which level, in which form, and without secrets.
//!
//! What a service does comes as events of `tracing`, its text or JSON, one object a line. In JSON
//! everything else that a command says there has the same form, so that a machine can read it all.

mod hidden;
mod json;
mod levels;

use std::sync::OnceLock;

use anyhow::anyhow;
use clap::ValueEnum;
use connector::{Clock, SystemClock};
use serde_json::{Map, Value};
use tracing_subscriber::EnvFilter;

pub(crate) use hidden::hide;
pub(crate) use levels::levels;

use crate::exit::{Exit, Failed, Result};

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people: lines of text.
    #[default]
    Text,
    /// For machines: a JSON object a line.
    Json,
}

/// What is logged unless somebody says otherwise.
const TEXT: &str = "warn";
/// The same in JSON: runs among it, since nothing else says them.
const JSON: &str = "info";

const VARIABLE: &str = "TOWPATH_LOG";

static FORM: OnceLock<Form> = OnceLock::new();

/// Begins to log: by the levels that were given, else by those of `TOWPATH_LOG`.
pub(crate) fn start(form: Form, given: Option<&str>) -> Result<()> {
    let variable = std::env::var_os(VARIABLE).map(|text| text.to_string_lossy().into_owned());
    let refused =
        |problem: String| Failed { exit: Exit::Usage, error: anyhow!("{VARIABLE}: {problem}") };
    let chosen = match (given, variable.as_deref().map(str::trim)) {
        (Some(given), _) => given.to_owned(),
        (None, Some(text)) if !text.is_empty() => levels(text).map_err(refused)?,
        (None, _) if form == Form::Json => JSON.to_owned(),
        (None, _) => TEXT.to_owned(),
    };
    FORM.get_or_init(|| form);
    let filter = EnvFilter::new(chosen);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(hidden::Stderr::new);
    match form {
        Form::Text => lines.init(),
        Form::Json => lines.event_format(json::Lines).init(),
    }
    Ok(())
}

/// Whether machines read standard error.
pub(crate) fn is_json() -> bool {
    FORM.get() == Some(&Form::Json)
}

/// Writes something that a person is told anyway, as a machine reads it, whatever the level.
pub(crate) fn said(words: &str) {
    let (level, words) = match words.strip_prefix("error: ") {
        Some(problem) => ("error", problem),
        None => ("info", words),
    };
    let mut fields = Map::new();
    fields.insert("text".to_owned(), words.into());
    hidden::line(&line(level, "towpath", "said", fields));
}

/// How weighty an event of the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Normal work.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody has to do something.
    Error,
}

/// Writes an event of the service, if somebody wants its level.
pub(crate) fn event(weight: Weight, event: &str, fields: &Value) {
    use tracing::{Level, enabled};
    let (wanted, level) = match weight {
        Weight::Info => (enabled!(target: TARGET, Level::INFO), "info"),
        Weight::Warning => (enabled!(target: TARGET, Level::WARN), "warn"),
        Weight::Error => (enabled!(target: TARGET, Level::ERROR), "error"),
    };
    if wanted {
        let fields = fields.as_object().cloned().unwrap_or_default();
        hidden::line(&line(level, TARGET, event, fields));
    }
}

/// The target of what a service and its runs tell.
pub(crate) const TARGET: &str = "towpath_service";

/// A line: when, how weighty, from where, what, and what it is about.
fn line(level: &str, target: &str, event: &str, fields: Map<String, Value>) -> String {
    let mut line = Map::new();
    line.insert("time".to_owned(), SystemClock.now().to_string().into());
    line.insert("level".to_owned(), level.into());
    line.insert("target".to_owned(), target.into());
    line.insert("event".to_owned(), event.into());
    for (name, value) in fields {
        line.entry(name).or_insert(value);
    }
    Value::Object(line).to_string()
}
