//! One compiled expression.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::{Analysis, Engine, Error, Limits, Moment, Variables, jlens, jsonata_rs};

/// A JSONata expression, compiled once and shared between threads; cloning is cheap.
///
/// Evaluation is plain computation that may take up to [`Limits::time`]: run it off an
/// asynchronous runtime's own threads.
#[derive(Clone)]
pub struct Mapping {
    compiled: Arc<Compiled>,
    /// Made when it is first asked for.
    analysis: Arc<OnceLock<Analysis>>,
}

enum Compiled {
    Jlens(jlens::Compiled),
    JsonataRs(jsonata_rs::Compiled),
}

impl Mapping {
    /// Compiles `source` for the default engine, or returns its first syntax error.
    pub fn compile(source: &str) -> Result<Self, Error> {
        Self::compile_with(Engine::default(), source)
    }

    /// Compiles `source` for an engine, or returns its first syntax error.
    ///
    /// An expression for [`Engine::JsonataRs`] must be one that [`Engine::Jlens`] takes too. It
    /// then gets inputs and variables of 256 KiB and 64 levels at most, and gives results of 64
    /// levels; its fields come in the order of their names. Of [`Limits`] it keeps time and depth
    /// between two steps, and the size of the result. What cannot be kept from outside: it loses
    /// memory with every evaluation, its time is not looked at inside a regular expression or a
    /// function over a huge array, and running out of memory or stack ends the process.
    pub fn compile_with(engine: Engine, source: &str) -> Result<Self, Error> {
        let compiled = match engine {
            Engine::Jlens => Compiled::Jlens(jlens::Compiled::new(source)?),
            Engine::JsonataRs => Compiled::JsonataRs(jsonata_rs::Compiled::new(source)?),
        };
        Ok(Self { compiled: Arc::new(compiled), analysis: Arc::default() })
    }

    /// Returns every syntax error of `source` for the default engine in order of position; empty
    /// exactly if it compiles.
    #[must_use]
    pub fn problems(source: &str) -> Vec<Error> {
        Self::problems_with(Engine::default(), source)
    }

    /// Returns every syntax error of `source` for an engine in order of position; empty exactly if
    /// it compiles.
    #[must_use]
    pub fn problems_with(engine: Engine, source: &str) -> Vec<Error> {
        match engine {
            Engine::Jlens => jlens::problems(source),
            Engine::JsonataRs => jsonata_rs::problems(source),
        }
    }

    /// Returns the names of JSONata's functions, without the dollar sign.
    #[must_use]
    pub fn functions() -> &'static [&'static str] {
        jlens::functions()
    }

    /// Returns the text that this was compiled from.
    #[must_use]
    pub fn source(&self) -> &str {
        match &*self.compiled {
            Compiled::Jlens(compiled) => compiled.source(),
            Compiled::JsonataRs(compiled) => compiled.source(),
        }
    }

    /// Returns the engine that this was compiled for.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match &*self.compiled {
            Compiled::Jlens(_) => Engine::Jlens,
            Compiled::JsonataRs(_) => Engine::JsonataRs,
        }
    }

    /// Returns the members of a variable that the expression names (`$steps.a.id` reads `a` of
    /// `steps`); none if it does not read the variable, or may read all of it.
    #[must_use]
    pub fn members_read(&self, variable: &str) -> Vec<String> {
        match &*self.compiled {
            Compiled::Jlens(compiled) => compiled.members_read(variable),
            Compiled::JsonataRs(compiled) => compiled.members_read(variable),
        }
    }

    /// Returns what the expression reads and gives, as far as that is sure without running it.
    #[must_use]
    pub fn analysis(&self) -> &Analysis {
        self.analysis.get_or_init(|| match &*self.compiled {
            Compiled::Jlens(compiled) => compiled.analysis(),
            Compiled::JsonataRs(compiled) => compiled.analysis(),
        })
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
        match &*self.compiled {
            Compiled::Jlens(compiled) => compiled.evaluate(input, variables, at, limits),
            Compiled::JsonataRs(compiled) => compiled.evaluate(Some(input), variables, at, limits),
        }
    }

    /// Evaluates as [`evaluate`](Self::evaluate) does, and gives the result as compact JSON text:
    /// faster for who has no use for the value itself.
    pub fn evaluate_to_text(
        &self,
        input: &str,
        variables: &Variables,
        at: &Moment,
        limits: &Limits,
    ) -> Result<Option<String>, Error> {
        match &*self.compiled {
            Compiled::Jlens(compiled) => compiled.evaluate_to_text(input, variables, at, limits),
            Compiled::JsonataRs(compiled) => {
                let result = compiled.evaluate(Some(input), variables, at, limits)?;
                Ok(result.map(|value| value.to_string()))
            }
        }
    }

    /// Evaluates the expression without any input: its context is *undefined*.
    pub fn evaluate_alone(
        &self,
        variables: &Variables,
        at: &Moment,
        limits: &Limits,
    ) -> Result<Option<Value>, Error> {
        match &*self.compiled {
            Compiled::Jlens(compiled) => compiled.evaluate_alone(variables, at, limits),
            Compiled::JsonataRs(compiled) => compiled.evaluate(None, variables, at, limits),
        }
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
        f.debug_tuple("Mapping").field(&self.engine()).field(&self.source()).finish()
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
