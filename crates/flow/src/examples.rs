//! Reads the `tests` of a flow file.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::file::{FlowFile, TestFile};
use crate::finding::code;
use crate::message::Message;
use crate::source::Source;
use crate::suggest;
use crate::test::{Expectation, Given, Test};
use crate::yaml::{Entry, Node};

/// Reads the examples and reports those that cannot be run.
pub(crate) fn check(source: &mut Source<'_>, file: &FlowFile) -> Vec<Test> {
    let steps =
        file.steps.iter().flatten().filter_map(|step| Some(step.id.as_ref()?.value.as_str()));
    let steps = Known {
        ids: steps.collect(),
        all: file.steps.iter().flatten().all(|step| step.id.is_some()),
    };
    let tests = file.tests.iter().flatten();
    tests.filter_map(|test| example(source, test, &steps)).collect()
}

/// The ids of the steps.
struct Known<'a> {
    ids: Vec<&'a str>,
    /// Whether every step has one; otherwise an unknown id may be that of a step without.
    all: bool,
}

impl Known<'_> {
    /// Whether it is the id of a step; reports one that cannot be.
    fn has(&self, source: &mut Source<'_>, entry: &Entry) -> bool {
        let known = self.ids.contains(&entry.key.as_str());
        if !known && self.all {
            let message = format!("there is no step `{}`", entry.key);
            let hint = suggest::hint(&entry.key, self.ids.iter().copied());
            source.error(code::TEST, entry.key_span.clone(), message, hint);
        }
        known
    }
}

fn example(source: &mut Source<'_>, file: &TestFile, steps: &Known<'_>) -> Option<Test> {
    let mut expect = vec![];
    for entry in file.expect.as_ref().and_then(Node::entries).unwrap_or_default() {
        if steps.has(source, entry)
            && let Some(inputs) = entry.value.items()
        {
            let inputs = inputs.iter().map(Node::to_json).collect();
            let place = source.place(entry.key_span.clone());
            expect.push(Expectation { step: entry.key.clone(), inputs, place });
        }
    }
    let given = given(source, file.given.as_ref()?)?;
    // The caret stands under the example's first key.
    let start = file.span.start;
    let place = source.place(start..start + 1);
    let name = file.name.as_ref().map(|name| name.value.clone());
    let results = Arc::new(results(source, file, steps));
    Some(Test { name, given, results, expect, place })
}

/// The results that the example gives to its steps.
fn results(source: &mut Source<'_>, file: &TestFile, steps: &Known<'_>) -> Value {
    let Some(node) = file.given.as_ref().and_then(|given| given.get("steps")) else {
        return Value::Object(Map::new());
    };
    for entry in node.entries().unwrap_or_default() {
        steps.has(source, entry);
    }
    node.to_json()
}

fn given(source: &mut Source<'_>, node: &Node) -> Option<Given> {
    let first = node.entries()?.first().map_or(&node.span, |entry| &entry.key_span).clone();
    let mut metadata = match node.get("metadata").map(Node::to_json) {
        Some(Value::Object(metadata)) => metadata,
        _ => Map::new(),
    };
    match (node.entry("data"), node.get("record")) {
        (Some(data), None) => {
            Some(Given::Message(Message { metadata, data: data.value.to_json() }))
        }
        (None, Some(record)) => {
            let data = record.to_json();
            if !metadata.contains_key("recordUid") {
                let id = match data.get("id") {
                    Some(Value::String(id)) => Some(id.clone()),
                    Some(Value::Number(id)) => Some(id.to_string()),
                    _ => None,
                };
                metadata.extend(id.map(|id| ("recordUid".to_owned(), Value::from(id))));
            }
            Some(Given::Record { metadata, data })
        }
        (None, None) => {
            let message = "`given` needs `data`, or `record` for a raw record";
            source.error(code::TEST, first, message, None);
            None
        }
        (Some(data), Some(_)) => {
            let message = "`given` has either `data` or `record`, not both";
            source.error(code::TEST, data.key_span.clone(), message, None);
            None
        }
    }
}
