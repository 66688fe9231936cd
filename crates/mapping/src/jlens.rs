//! The engine jlens-core: how its types become ours.

mod text;
mod trace;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use jlens_core::output::Output;
use jlens_core::reads::Reads;
use jlens_core::{Bindings, Document, Expression, NodeKind, Options, Severity, Span};
use serde_json::Value;

use crate::variables::Bound;
use crate::{Analysis, Error, Limits, Moment, Variables, functions};

/// A compiled expression and which variables it reads.
pub(crate) struct Compiled {
    expression: Expression,
    reads: Reads,
    functions: Bindings,
}

/// A part of the language that an expression uses.
pub(crate) struct Use {
    pub(crate) what: What,
    /// Bytes of the source.
    pub(crate) span: Range<usize>,
}

/// A part of the language.
pub(crate) enum What {
    /// A built-in function, without the dollar sign.
    Function(String),
    /// A call with `?` for arguments that follow later.
    Partial,
}

impl Compiled {
    pub(crate) fn new(source: &str) -> Result<Self, Error> {
        let expression = Expression::compile(source).map_err(|error| convert(source, &error))?;
        let reads = expression.reads();
        let functions = functions::of(source);
        Ok(Self { expression, reads, functions })
    }

    pub(crate) fn source(&self) -> &str {
        self.expression.source()
    }

    /// What the expression uses of the language that another engine may not have.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let (mut uses, mut own) = (vec![], HashSet::new());
        let built_in: HashSet<&str> =
            jlens_core::function_catalog().iter().map(|function| function.name).collect();
        self.expression.ast().root.walk(&mut |node| match &node.kind {
            NodeKind::Lambda(lambda) => own.extend(lambda.params.iter().map(String::as_str)),
            NodeKind::Bind { lhs, .. } => {
                if let NodeKind::Variable { name } = &lhs.kind {
                    own.insert(name);
                }
            }
            NodeKind::Variable { name } if built_in.contains(name.as_str()) => {
                uses.push(Use { what: What::Function(name.clone()), span: self.span(node.span) });
            }
            NodeKind::Partial { .. } => {
                uses.push(Use { what: What::Partial, span: self.span(node.span) });
            }
            _ => {}
        });
        uses.retain(
            |used| !matches!(&used.what, What::Function(name) if own.contains(name.as_str())),
        );
        uses.sort_by_key(|used| used.span.start);
        uses
    }

    fn span(&self, span: Span) -> Range<usize> {
        let start = boundary(self.source(), span.start);
        start..boundary(self.source(), span.end).max(start)
    }

    pub(crate) fn analysis(&self) -> Analysis {
        trace::analyse(&self.expression.ast().root)
    }

    pub(crate) fn members_read(&self, variable: &str) -> Vec<String> {
        let members = self.reads.binding(variable).and_then(|read| read.fields());
        members.map(|members| members.keys().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn evaluate(
        &self,
        input: &str,
        variables: &Variables,
        at: &Moment,
        limits: &Limits,
    ) -> Result<Option<Value>, Error> {
        let document = self.document(input)?;
        let bindings = self.bindings(variables, at)?;
        let result = self.expression.evaluate_document(&document, &bindings, &options(at, limits));
        result.map_err(|error| convert(self.source(), &error))
    }

    /// The result as compact JSON text, without a tree of values in between.
    pub(crate) fn evaluate_to_text(
        &self,
        input: &str,
        variables: &Variables,
        at: &Moment,
        limits: &Limits,
    ) -> Result<Option<String>, Error> {
        let document = self.document(input)?;
        let bindings = self.bindings(variables, at)?;
        let options = options(at, limits);
        let write = |output: Output<'_, '_>| text::write(output, input.len());
        let result = self.expression.evaluate_document_to(&document, &bindings, &options, write);
        result.map_err(|error| convert(self.source(), &error))
    }

    pub(crate) fn evaluate_alone(
        &self,
        variables: &Variables,
        at: &Moment,
        limits: &Limits,
    ) -> Result<Option<Value>, Error> {
        let bindings = self.bindings(variables, at)?;
        let result = self.expression.evaluate_with(None, &bindings, &options(at, limits));
        result.map_err(|error| convert(self.source(), &error))
    }

    /// The parts of the input that the expression reads.
    fn document(&self, input: &str) -> Result<Document, Error> {
        let document = match self.reads.input() {
            Some(read) => Document::parse_cut(input, read),
            None => Document::parse("null"),
        };
        document.map_err(|error| Error::unreadable(&error))
    }

    /// Copies what the expression reads of the variables, because the engine wants to own them.
    fn bindings(&self, variables: &Variables, at: &Moment) -> Result<Bindings, Error> {
        functions::set_now(at.now_ms);
        let mut bindings = self.functions.clone();
        for (name, bound) in variables.iter() {
            let all = self.reads.every_binding();
            let value = match (bound, self.reads.binding(name)) {
                (_, None) if !all => continue,
                (Bound::Value(value), Some(read)) if !all => read.cut(value),
                (Bound::Value(value), _) => Value::clone(value),
                (Bound::Text(text), _) => {
                    serde_json::from_str(text).map_err(|error| Error::unreadable(&error))?
                }
            };
            bindings = bindings.var(name, value);
        }
        Ok(bindings)
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

/// The names of the built-in functions, without the dollar sign.
pub(crate) fn functions() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&'static str>> =
        LazyLock::new(|| jlens_core::function_catalog().iter().map(|it| it.name).collect());
    &NAMES
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
