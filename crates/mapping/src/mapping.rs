//! One compiled expression.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::{Error, Limits, Moment, Variables, jlens};

/// A JSONata expression, compiled once and shared between threads; cloning is cheap.
///
/// Evaluation is plain computation that may take up to [`Limits::time`]: run it off an
/// asynchronous runtime's own threads.
#[derive(Clone)]
pub struct Mapping {
    compiled: Arc<jlens::Compiled>,
}

impl Mapping {
    /// Compiles `source`, or returns its first syntax error.
    pub fn compile(source: &str) -> Result<Self, Error> {
        Ok(Self { compiled: Arc::new(jlens::Compiled::new(source)?) })
    }

    /// Returns every syntax error of `source` in order of position; empty exactly if it compiles.
    #[must_use]
    pub fn problems(source: &str) -> Vec<Error> {
        jlens::problems(source)
    }

    /// Returns the text that this was compiled from.
    #[must_use]
    pub fn source(&self) -> &str {
        self.compiled.source()
    }

    /// Returns the members of a variable that the expression names (`$steps.a.id` reads `a` of
    /// `steps`); none if it does not read the variable, or may read all of it.
    #[must_use]
    pub fn members_read(&self, variable: &str) -> Vec<String> {
        self.compiled.members_read(variable)
    }

    /// Evaluates the expression on `input`, which is JSON text, and reads only the parts of it
    /// that the expression names; `None` is JSONata's *undefined*.
    ///
    /// All numbers are 64-bit floats: an integer beyond 2^53 loses digits and must travel as a
    /// string. Text that cannot be read is an error with the code `U1004`.
    pub fn evaluate(
        &self,
        input: &str,
        variables: &Variables,
        at: &Moment,
        limits: &Limits,
    ) -> Result<Option<Value>, Error> {
        self.compiled.evaluate(Some(input), variables, at, limits)
    }

    /// Evaluates the expression without any input: its context is *undefined*.
    pub fn evaluate_alone(
        &self,
        variables: &Variables,
        at: &Moment,
        limits: &Limits,
    ) -> Result<Option<Value>, Error> {
        self.compiled.evaluate(None, variables, at, limits)
    }

    /// Evaluates the expression as a condition: JSONata's `$boolean` of the result, with
    /// *undefined* as false.
    pub fn is_true(
        &self,
        input: &str,
        variables: &Variables,
        at: &Moment,
        limits: &Limits,
    ) -> Result<bool, Error> {
        Ok(self.evaluate(input, variables, at, limits)?.is_some_and(|value| truth(&value)))
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mapping").field(&self.source()).finish()
    }
}

/// `$boolean`: an array is true if any of its members is. Results nest at most 1,000 levels deep.
fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => items.iter().any(truth),
        Value::Object(fields) => !fields.is_empty(),
    }
}
