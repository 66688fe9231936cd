//! Where the records come from: a text, the next poll, or a sandbox in this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use connector::{Clock, SystemClock};
use engine::{DryRun, Silent};
use flow::Flow;
use mapping::Moment;
use sandbox::{GroupSeed, Options, Sandbox};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::args::Durability;
use crate::exit::{Exit, Failed, Result};
use crate::project::{Project, Workshop};
use crate::scaffold;

/// A record to try, or a message.
pub(crate) struct Record {
    /// What it is called when it is shown.
    pub(crate) name: String,
    pub(crate) metadata: Map<String, Value>,
    /// JSON text: the record, or the whole message.
    pub(crate) text: String,
    pub(crate) moment: Moment,
}

impl Record {
    /// Whether the record has the form of a message: `{ metadata, data }` and nothing else.
    pub(crate) fn looks_like_message(&self) -> bool {
        let Ok(Value::Object(fields)) = serde_json::from_str(&self.text) else { return false };
        fields.len() == 2 && ["metadata", "data"].iter().all(|name| fields.contains_key(*name))
    }
}

/// Reads records from the text of a file called `label`: a JSON value, several one after another,
/// or an array of them.
pub(crate) fn from_text(label: &str, text: &str, messages: bool) -> anyhow::Result<Vec<Record>> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Box<RawValue>>();
    let values: Vec<Box<RawValue>> =
        values.collect::<std::result::Result<_, _>>().map_err(|error| {
            let (line, column) = (error.line(), error.column());
            anyhow!("{label}:{line}:{column}: this is not JSON: {error}")
        })?;
    let values = match &values[..] {
        [one] if one.get().starts_with('[') => {
            serde_json::from_str(one.get()).with_context(|| format!("{label}: the array"))?
        }
        _ => values,
    };
    if values.is_empty() {
        return Err(anyhow!("{label}: there is no record in it"));
    }
    let now_ms = SystemClock.now().millis();
    let record = |(at, value): (usize, &RawValue)| {
        let parsed: Value = serde_json::from_str(value.get())?;
        let (key, metadata) = if messages {
            let metadata = parsed.get("metadata").and_then(Value::as_object).cloned();
            if parsed.get("data").is_none() {
                let number = at + 1;
                return Err(anyhow!("{label}: message {number} has no `data`: is it a record?"));
            }
            let metadata = metadata.unwrap_or_default();
            (metadata.get("recordUid").cloned(), metadata)
        } else {
            let key = parsed.get("id").cloned();
            let metadata = key.as_ref().and_then(text_of).map(|key| flow::message::metadata(&key));
            (key, metadata.unwrap_or_default())
        };
        let name = key.as_ref().and_then(text_of).unwrap_or_else(|| format!("#{}", at + 1));
        let moment = Moment { now_ms, seed: at as u64 };
        Ok(Record { name, metadata, text: value.get().to_owned(), moment })
    };
    values.iter().map(|value| &**value).enumerate().map(record).collect()
}

fn text_of(key: &Value) -> Option<String> {
    match key {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The first records that the flow's next run would take.
pub(crate) async fn polled(project: &Project, flow: &Flow, count: usize) -> Result<Vec<Record>> {
    let flow = Arc::new(without_steps(flow));
    let workshop = Workshop::open(project, [&*flow], Durability::Full).await?;
    take(&workshop, &flow, count).await
}

/// Records of a sandbox of the flow's trigger's system, with a group as the flow reads it.
pub(crate) async fn sandboxed(project: &Project, flow: &Flow, count: usize) -> Result<Vec<Record>> {
    let (account, name) = (&flow.trigger.account, &flow.trigger.connector);
    let connector = project.connectors().iter().find(|it| it.name() == name);
    let (Some(stand_in), Some(connector)) = (scaffold::stand_in(name), connector) else {
        let error = anyhow!("the sandbox has no stand-in of {name}: use --record or --poll");
        return Err(Failed::config(error));
    };
    let mut options = Options { receivers: count, ..Options::default() };
    let of_flow = group(&flow.trigger.fields, &options.groups);
    options.groups.extend(of_flow);
    let sandbox = Sandbox::start(options).await?;
    let url = match name.as_str() {
        "cleverreach" => sandbox.cleverreach_url(),
        _ => sandbox.clevertap_url(),
    };
    let mut values: BTreeMap<String, String> =
        stand_in.settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    values.retain(|name, _| connector.settings().iter().any(|known| known.name == name));
    let made = connector.account(account, Some(&url), values).map_err(Failed::config)?;
    let made = engine::Account { account: made, limits: BTreeMap::new() };
    let workshop = Workshop::in_memory(project, BTreeMap::from([(account.clone(), made)]));
    let flow = Arc::new(without_steps(flow));
    let taken = take(&workshop, &flow, count).await;
    sandbox.stop().await;
    taken
}

/// The group that a trigger's fields name, if the sandbox does not have it anyway.
fn group(fields: &Value, known: &[GroupSeed]) -> Option<GroupSeed> {
    let unused = known.iter().map(|group| group.id).max().unwrap_or_default() + 1;
    if let Some(name) = fields.get("groupName").and_then(Value::as_str) {
        let same = |group: &&GroupSeed| group.name.to_lowercase() == name.trim().to_lowercase();
        return known.iter().find(same).is_none().then(|| GroupSeed::new(unused, name.trim(), 1));
    }
    let id: u64 = fields.get("groupId").and_then(text_of)?.trim().parse().ok()?;
    let same = |group: &&GroupSeed| group.id == id;
    known.iter().find(same).is_none().then(|| GroupSeed::new(id, "Group of the flow", 1))
}

/// The flow as far as records are found: nothing is needed of the systems that it writes to.
fn without_steps(flow: &Flow) -> Flow {
    Flow { steps: vec![], ..flow.clone() }
}

async fn take(workshop: &Workshop, flow: &Arc<Flow>, count: usize) -> Result<Vec<Record>> {
    let dry_run = DryRun { engine: &workshop.engine, flow, limit: count };
    let mut records = vec![];
    let taken = dry_run.records(Arc::new(Silent), |found| {
        records.push(Record {
            metadata: flow::message::metadata(&found.key),
            name: found.key,
            text: found.data.get().to_owned(),
            moment: found.moment,
        });
        records.len() < count
    });
    taken.await.map_err(|error| Failed {
        exit: Exit::of_run(std::slice::from_ref(&error)),
        error: error.into(),
    })?;
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_from_a_value_an_array_and_lines() {
        let names = |text: &str, messages| {
            let records = from_text("r.json", text, messages);
            let records = records.map_err(|error| error.to_string())?;
            Ok::<_, String>(records.into_iter().map(|it| it.name).collect::<Vec<_>>())
        };
        let good = |found: &[&str]| Ok(found.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(names(r#" {"id": 7} "#, false), good(&["7"]));
        assert_eq!(names(r#"[{"id": "a"}, {"x": 1}]"#, false), good(&["a", "#2"]));
        assert_eq!(names("{\"id\": 1}\n\n{\"id\": 2}\n", false), good(&["1", "2"]));
        let message = r#"{"metadata": {"recordUid": "9"}, "data": {}}"#;
        assert_eq!(names(message, true), good(&["9"]));
        let problem = |text, messages| names(text, messages).unwrap_err();
        assert!(problem("{\"id\": 1}\n{\"id\" 2}", false).starts_with("r.json:2:"));
        assert!(problem(" ", false).contains("no record"));
        assert!(problem("{}", true).contains("has no `data`"));
    }
}
