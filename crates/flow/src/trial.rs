//! One record tried on a flow: what each step would send, and where a mapping fails.

use std::ops::Range;
use std::sync::Arc;

use mapping::{Engine, Mapping, Moment};
use serde_json::{Map, Value, json};

use crate::finding::{Finding, Severity, code};
use crate::flow::Transformation;
use crate::message::{self, Scope, Unmappable};
use crate::source::Source;
use crate::yaml::{self, Node};
use crate::{Flow, Step, outline, scalar};

/// What came of one record or message.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The message, JSON text, or why the trigger's mapping made none.
    pub message: Result<Arc<str>, Unmappable>,
    /// What came of it at each step, in the flow's order; none without a message.
    pub steps: Vec<Tried>,
}

/// What a step makes of a message.
#[derive(Clone, Debug)]
pub enum Tried {
    /// It would send this input, defaults filled in.
    Input(Value),
    /// Its `when` filters the message out.
    Filtered,
    /// The message does not come here: a step before it filters it out or fails.
    Behind,
    /// It reads results of these steps, which there are none of without sending.
    WaitsFor(Vec<String>),
    /// The message would become a dead letter.
    Failed(Unmappable),
}

impl Flow {
    /// Tries the flow on a raw record, which is JSON text.
    pub fn try_record(&self, metadata: &Map<String, Value>, record: &str, at: Moment) -> Trial {
        let variables = message::variables(self, &self.trigger.fields);
        let scope = Scope { variables: &variables, moment: at };
        match message::message(&self.trigger, metadata, record, &scope) {
            Ok(message) => self.try_message(message.into(), at),
            Err(problem) => Trial { message: Err(problem), steps: vec![] },
        }
    }

    /// Tries the steps on a message, which is JSON text: `{ metadata, data }`.
    pub fn try_message(&self, message: Arc<str>, at: Moment) -> Trial {
        let mut steps: Vec<Tried> = vec![];
        let deleted = message::is_delete(&message);
        for step in &self.steps {
            let passes = |before: &usize| {
                matches!(steps.get(*before), Some(Tried::Input(_) | Tried::WaitsFor(_)))
            };
            let tried = match (step.after.iter().all(passes), step.takes.takes(deleted)) {
                (true, true) => self.try_step(step, &message, at),
                (true, false) => Tried::Filtered,
                (false, _) => Tried::Behind,
            };
            steps.push(tried);
        }
        Trial { message: Ok(message), steps }
    }

    fn try_step(&self, step: &Step, message: &Arc<str>, moment: Moment) -> Tried {
        let waits_for = waits_for(step);
        if !waits_for.is_empty() {
            return Tried::WaitsFor(waits_for);
        }
        let variables = message::variables(self, &step.fields)
            .with_text("trigger", message.clone())
            .with("steps", json!({}));
        let prepared = message::input(step, message, &Scope { variables: &variables, moment });
        match prepared {
            Ok(None) => Tried::Filtered,
            Ok(Some(input)) => match step.action.show(&input) {
                Ok(input) => Tried::Input(input),
                Err(problem) => Tried::Failed(Unmappable::new("input.shape", problem)),
            },
            Err(problem) => Tried::Failed(problem),
        }
    }

    /// The flow with another mapping: that of the step called so, or without one the trigger's.
    /// `None` if there is no such step.
    #[must_use]
    pub fn with_mapping(mut self, step: Option<&str>, mapping: Mapping) -> Option<Self> {
        let place = match step {
            None => &mut self.trigger.mapping,
            Some(id) => &mut self.steps.iter_mut().find(|step| step.id == id)?.mapping,
        };
        *place = Transformation::Custom(mapping);
        Some(self)
    }
}

/// The steps whose results a step's expressions read: without them there is no input to show.
fn waits_for(step: &Step) -> Vec<String> {
    let expressions = [step.when.as_ref(), step.mapping.mapping()];
    expressions.into_iter().flatten().flat_map(|it| it.members_read("steps")).collect()
}

/// Compiles an expression that has a file of its own; the error is all that is wrong with it.
pub fn compile(label: &str, text: &str, engine: Engine) -> Result<Mapping, Vec<Finding>> {
    Mapping::compile_with(engine, text).map_err(|first| {
        let mut problems = Mapping::problems_with(engine, text);
        if problems.is_empty() {
            problems.push(first);
        }
        let source = Source::new(label, text);
        let finding = |problem: &mapping::Error| {
            let start = problem.position.unwrap_or(0);
            let span = start..start.saturating_add(problem.length.max(1));
            Finding {
                severity: Severity::Error,
                code: code::EXPRESSION,
                message: format!("bad JSONata: {problem}"),
                place: source.place(span),
                hint: None,
            }
        };
        problems.iter().map(finding).collect()
    })
}

/// A text and what its file is called.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The file's name.
    pub label: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// A finding, and the text that its place is in.
#[derive(Clone, Debug)]
pub struct Located {
    /// What is wrong, where.
    pub finding: Finding,
    /// The text of its file.
    pub text: String,
}

/// Finds the place of a failed mapping: of a step, or without one of the trigger.
///
/// That is `file`, the flow's own, unless the mapping came from elsewhere: `replaced`, or the
/// connector's default.
pub fn locate(
    flow: &Flow,
    step: Option<&str>,
    problem: &Unmappable,
    file: Text<'_>,
    replaced: Option<Text<'_>>,
) -> Located {
    let taken = step.and_then(|id| flow.steps.iter().find(|step| step.id == id));
    let mapping = taken.map_or(&flow.trigger.mapping, |step| &step.mapping);
    let when = taken.and_then(|step| step.when.as_ref()).filter(|_| problem.in_when);
    let expression = when.or_else(|| mapping.mapping());
    let located = |label: &str, text: &str, span: Range<usize>| {
        let source = Source::new(label, text);
        let field = expression.zip(problem.span.as_ref());
        let field = field.and_then(|(it, span)| outline::field_at(it.source(), span.start));
        let finding = Finding {
            severity: Severity::Error,
            code: code::UNMAPPABLE,
            message: problem.what().to_owned(),
            place: source.place(span),
            hint: field.map(|field| format!("it concerns `{field}`")),
        };
        Located { finding, text: text.to_owned() }
    };
    let inner = problem.span.clone().or_else(|| {
        let name = problem.reason.split("unknown field `").nth(1)?.split('`').next()?;
        outline::find_key(expression?.source(), name)
    });
    if let Some(replaced) = replaced.filter(|_| when.is_none()) {
        let first = first_line(replaced.text, 0);
        return located(replaced.label, replaced.text, inner.unwrap_or(first));
    }
    if let (Transformation::Default(mapping), None) = (mapping, when) {
        let of = taken.map_or(&flow.trigger.connector, |step| &step.connector);
        let name = taken.map_or(&flow.trigger.name, |step| &step.name);
        let (label, text) = (format!("default mapping of {of}.{name}"), mapping.source());
        let first = first_line(text, 0);
        return located(&label, text, inner.unwrap_or(first));
    }
    let key = if when.is_some() { "when" } else { "customMapping" };
    let written = place_written(file, step, key);
    let span = match (written, inner, expression) {
        (Some(outer), Some(inner), Some(expression)) => {
            scalar::locate(file.text, &outer, expression.source(), inner)
        }
        (Some(outer), ..) => first_line(file.text, outer.start),
        (None, ..) => 0..0,
    };
    located(file.label, file.text, span)
}

/// The expression as it is written in a flow file, or else the trigger or step.
fn place_written(file: Text<'_>, step: Option<&str>, key: &str) -> Option<Range<usize>> {
    let root = yaml::read(&mut Source::new(file.label, file.text))?;
    let part = match step {
        None => root.get("trigger")?,
        Some(id) => {
            let is_it = |step: &&Node| step.get("id").and_then(Node::text) == Some(id);
            root.get("steps")?.items()?.iter().find(is_it)?
        }
    };
    let holder = if key == "when" { Some(part) } else { part.get("fields") };
    let node = holder.and_then(|holder| holder.get(key)).unwrap_or(part);
    Some(node.span.clone())
}

fn first_line(text: &str, start: usize) -> Range<usize> {
    let line = text.get(start..).and_then(|text| text.lines().next()).unwrap_or("");
    start..start + line.len()
}
