//! The engine jlens-core: how its types become ours.

use jlens_core::reads::Reads;
use jlens_core::{Bindings, Document, Expression, Options, Severity};
use serde_json::Value;

use crate::{Error, Limits, Moment, Variables, functions};

/// A compiled expression and which variables it reads.
pub(crate) struct Compiled {
    expression: Expression,
    reads: Reads,
}

impl Compiled {
    pub(crate) fn new(source: &str) -> Result<Self, Error> {
        let expression = Expression::compile(source).map_err(|error| convert(source, &error))?;
        let reads = expression.reads();
        Ok(Self { expression, reads })
    }

    pub(crate) fn source(&self) -> &str {
        self.expression.source()
    }

    // The input stays a `serde_json::Value` that the engine reads lazily, a level at a time.
    // Turning it into the engine's own document first was slower for records of one use.
    pub(crate) fn evaluate(
        &self,
        input: Option<&Value>,
        variables: &Variables,
        at: &Moment,
        limits: &Limits,
    ) -> Result<Option<Value>, Error> {
        self.expression
            .evaluate_with(input, &self.bindings(variables, at), &options(at, limits))
            .map_err(|error| convert(self.source(), &error))
    }

    pub(crate) fn evaluate_text(
        &self,
        input: &str,
        variables: &Variables,
        at: &Moment,
        limits: &Limits,
    ) -> Result<Option<Value>, Error> {
        let document = match self.reads.input() {
            Some(read) => Document::parse_cut(input, read),
            None => Document::parse("null"),
        };
        let document = document.map_err(|error| unreadable(&error))?;
        self.expression
            .evaluate_document(&document, &self.bindings(variables, at), &options(at, limits))
            .map_err(|error| convert(self.source(), &error))
    }

    /// Copies what the expression reads of the variables, because the engine wants to own them.
    fn bindings(&self, variables: &Variables, at: &Moment) -> Bindings {
        let mut bindings = Bindings::new();
        if let Some(function) = functions::to_millis(self.source(), at.now_ms) {
            bindings = bindings.function("toMillis", function);
        }
        for (name, value) in variables.iter() {
            if self.reads.every_binding() {
                bindings = bindings.var(name, value.clone());
            } else if let Some(read) = self.reads.binding(name) {
                bindings = bindings.var(name, read.cut(value));
            }
        }
        bindings
    }
}

fn options(at: &Moment, limits: &Limits) -> Options {
    Options::new()
        .timeout(limits.time)
        .max_steps(limits.steps)
        .max_depth(limits.depth)
        .max_array_length(limits.array)
        .max_string_length(limits.string)
        .max_result_size(limits.result)
        .now(at.now_ms)
        .seed(at.seed)
}

/// The message of serde_json may quote the value; the position is enough.
fn unreadable(error: &serde_json::Error) -> Error {
    Error {
        code: "U1004".to_owned(),
        message: format!(
            "the record is not JSON that can be read, at line {} column {} of its text",
            error.line(),
            error.column()
        ),
        position: None,
        length: 0,
        token: None,
    }
}

/// Every syntax error of `source`.
pub(crate) fn problems(source: &str) -> Vec<Error> {
    let errors: Vec<Error> = jlens_core::parse_recover(source)
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .map(|diagnostic| Error {
            code: diagnostic.code.clone(),
            message: fragment(&diagnostic.message),
            position: Some(boundary(source, diagnostic.span.start)),
            length: diagnostic.span.end.saturating_sub(diagnostic.span.start),
            token: None,
        })
        .collect();
    if errors.is_empty() {
        // The recovering parser skips over what it can repair; what counts is whether it compiles.
        return Compiled::new(source).err().into_iter().collect();
    }
    errors
}

fn convert(source: &str, error: &jlens_core::Error) -> Error {
    let span = error.span();
    Error {
        code: error.code().to_owned(),
        message: fragment(&error.message()),
        position: span.map(|span| boundary(source, span.start)),
        length: span.map_or(0, |span| span.end.saturating_sub(span.start)),
        token: error.token(),
    }
}

/// The nearest character boundary at or before `offset`.
fn boundary(source: &str, offset: usize) -> usize {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// Turns a sentence into a fragment: the first letter small, no full stop.
fn fragment(message: &str) -> String {
    let mut letters = message.trim_end_matches('.').chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
