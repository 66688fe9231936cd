//! Examples in a flow file, run without a network.

use std::sync::Arc;

use mapping::{Moment, Variables};
use serde_json::{Map, Value};

use crate::finding::Place;
use crate::message::{self, Message, Scope};
use crate::{Flow, Step};

/// The moment of every example: 1 January 2026, so that `$now()` can be expected.
pub const EXAMPLES_AT: Moment = Moment { now_ms: 1_767_225_600_000, seed: 0 };

/// One example: a message, and what each step would send for it.
#[derive(Clone, Debug)]
pub struct Test {
    /// What it shows.
    pub name: Option<String>,
    /// What it starts from.
    pub given: Given,
    /// The results of steps, `$steps` in their expressions: `{ id: result }`.
    pub results: Arc<Value>,
    /// What steps are expected to send; steps that are not named are not looked at.
    pub expect: Vec<Expectation>,
    /// Where it is written.
    pub place: Place,
}

/// What an example starts from.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// The trigger's message.
    Message(Message),
    /// A record as the system gives it: the trigger's mapping is run on it first.
    Record {
        /// The record's metadata, at least `recordUid` if the record has an `id`.
        metadata: Map<String, Value>,
        /// The record.
        data: Value,
    },
}

/// What one step is expected to send.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// The step's id.
    pub step: String,
    /// The inputs; none if the message is filtered out.
    pub inputs: Vec<Value>,
    /// Where it is written.
    pub place: Place,
}

/// What came of one example.
#[derive(Clone, Debug)]
pub struct TestResult {
    /// What it shows.
    pub name: Option<String>,
    /// Where it is written.
    pub place: Place,
    /// What is not as expected; none if it passed.
    pub failures: Vec<TestFailure>,
}

impl TestResult {
    /// Whether everything is as expected.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// One thing that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFailure {
    /// The step, unless the trigger's mapping failed.
    pub step: Option<String>,
    /// What differs, one line for each place in the input.
    pub message: String,
    /// The expectation, or the example.
    pub place: Place,
}

impl Flow {
    /// Runs the flow's examples: `when` and mapping of each step, as the engine does.
    ///
    /// Nothing is sent, so `$steps` holds the results that the example gives. `$now()` is
    /// 1 January 2026.
    pub fn run_tests(&self) -> Vec<TestResult> {
        self.tests.iter().map(|test| self.run_test(test)).collect()
    }

    fn run_test(&self, test: &Test) -> TestResult {
        let mut failures = vec![];
        match self.start(&test.given) {
            Err(problem) => failures.push(TestFailure {
                step: None,
                message: format!("the trigger's mapping failed: {problem}"),
                place: test.place.clone(),
            }),
            Ok(message) => self.run_steps(test, &message, &mut failures),
        }
        TestResult { name: test.name.clone(), place: test.place.clone(), failures }
    }

    fn start(&self, given: &Given) -> Result<Arc<str>, message::Unmappable> {
        let message = match given {
            Given::Message(message) => message.to_text(),
            Given::Record { metadata, data } => {
                let variables = message::variables(self, &self.trigger.fields);
                let scope = Scope { variables: &variables, moment: EXAMPLES_AT };
                message::message(&self.trigger, metadata, &data.to_string(), &scope)?
            }
        };
        Ok(message.into())
    }

    fn run_steps(&self, test: &Test, message: &Arc<str>, failures: &mut Vec<TestFailure>) {
        let mut passed: Vec<bool> = vec![];
        let deleted = message::is_delete(message);
        for (at, step) in self.steps.iter().enumerate() {
            let expected = test.expect.iter().find(|expected| expected.step == step.id);
            // Behind a step that filters the message out or cannot map it, nothing runs.
            let reached = step.after.iter().all(|before| passed.get(*before) == Some(&true))
                && step.takes.takes(deleted);
            let input = if reached {
                self.input(step, message, &self.results_before(at, &test.results))
            } else {
                Ok(None)
            };
            passed.push(matches!(input, Ok(Some(_))));
            let Some(expected) = expected else { continue };
            let problem = match input {
                Err(problem) => Some(problem),
                Ok(input) => difference(step, &expected.inputs, input),
            };
            failures.extend(problem.map(|message| TestFailure {
                step: Some(step.id.clone()),
                message,
                place: expected.place.clone(),
            }));
        }
    }

    /// Of the results that an example gives, those that the step would see.
    fn results_before(&self, at: usize, results: &Value) -> Arc<Value> {
        let earlier = self.earlier(at).into_iter().filter_map(|at| self.steps.get(at));
        let seen =
            earlier.filter_map(|step| Some((step.id.clone(), results.get(&step.id)?.clone())));
        Arc::new(Value::Object(seen.collect()))
    }

    fn input(
        &self,
        step: &Step,
        message: &Arc<str>,
        results: &Arc<Value>,
    ) -> Result<Option<Value>, String> {
        let variables: Variables = message::variables(self, &step.fields)
            .with_text("trigger", message.clone())
            .with("steps", results.clone());
        let scope = Scope { variables: &variables, moment: EXAMPLES_AT };
        let input = message::input(step, message, &scope).map_err(|problem| problem.to_string())?;
        input.map(|input| step.action.show(&input)).transpose()
    }
}

/// What differs between the inputs expected and the one that the step would send.
fn difference(step: &Step, expected: &[Value], actual: Option<Value>) -> Option<String> {
    match (expected, actual) {
        ([], None) => None,
        ([], Some(actual)) => Some(format!("expected nothing, got {actual}")),
        ([_], None) => Some("expected an input, but the message is filtered out".to_owned()),
        ([expected], Some(actual)) => {
            let mut lines = vec![];
            compare("", &filled(step, expected), &actual, &mut lines);
            (!lines.is_empty()).then(|| lines.join("\n"))
        }
        (more, actual) => {
            let got = usize::from(actual.is_some());
            Some(format!("expected {} inputs, got {got}", more.len()))
        }
    }
}

/// The expected input with the defaults of the action's type: they may be left out.
fn filled(step: &Step, expected: &Value) -> Value {
    let mut filled = expected.clone();
    let prepared = step.action.prepare(expected.clone());
    if let Ok(defaults) = prepared.and_then(|input| step.action.show(&input)) {
        fill(&mut filled, defaults);
    }
    filled
}

fn fill(value: &mut Value, defaults: Value) {
    if let (Value::Object(fields), Value::Object(defaults)) = (value, defaults) {
        for (key, default) in defaults {
            match fields.get_mut(&key) {
                Some(field) => fill(field, default),
                None => {
                    fields.insert(key, default);
                }
            }
        }
    }
}

fn compare(path: &str, expected: &Value, actual: &Value, lines: &mut Vec<String>) {
    let at = if path.is_empty() { "the input" } else { path };
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (key, value) in expected {
                match actual.get(key) {
                    Some(actual) => compare(&join(path, key), value, actual, lines),
                    None => {
                        lines.push(format!("{}: expected {value}, got nothing", join(path, key)));
                    }
                }
            }
            for (key, value) in actual.iter().filter(|(key, _)| !expected.contains_key(*key)) {
                lines.push(format!("{}: expected nothing, got {value}", join(path, key)));
            }
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                compare(&format!("{path}[{index}]"), expected, actual, lines);
            }
        }
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => {}
        _ if expected == actual => {}
        _ => lines.push(format!("{at}: expected {expected}, got {actual}")),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
