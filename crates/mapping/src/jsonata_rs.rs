//! The engine jsonata-rs: what it is given, how its types become ours, and what is kept from it.
//!
//! Its syntax tree cannot outlive the arena of one evaluation, so every evaluation parses again.

mod moment;
mod values;

use ::jsonata_rs::{Error as Theirs, JsonAta};
use bumpalo::Bump;
use serde_json::Value;

use crate::guard::guarded;
use crate::{Analysis, Error, Limits, Moment, Variables, jlens};

/// Bytes of an expression, which is parsed again for every record. How deeply it nests is capped
/// by the other engine, which reads it first.
const SOURCE: usize = 64 << 10;
/// The stack of an evaluation: values can nest as deeply as an expression builds them, and the
/// engine walks them recursively. Only what is used takes memory.
const STACK: usize = 64 << 20;
/// Bytes that one evaluation may allocate in its arena. Beyond it the engine panics, which is
/// caught, or aborts the process if what grows is an object; so it is more than small objects
/// fill before time is up.
const ARENA: usize = 1 << 30;
/// Characters of an error's message: the engine quotes whole values.
const MESSAGE: usize = 300;

/// The built-in functions that it has.
#[rustfmt::skip]
const FUNCTIONS: [&str; 51] = [
    "abs", "append", "assert", "base64decode", "base64encode", "boolean", "ceil", "contains",
    "count", "distinct", "each", "error", "exists", "filter", "floor", "fromMillis", "join", "keys",
    "length", "lookup", "lowercase", "map", "match", "max", "merge", "millis", "min", "not", "now",
    "number", "pad", "power", "random", "reduce", "replace", "reverse", "round", "single", "sort",
    "split", "sqrt", "string", "substring", "substringAfter", "substringBefore", "sum", "toMillis",
    "trim", "uppercase", "uuid", "zip",
];

/// An expression that both engines can read.
pub(crate) struct Compiled {
    /// The same by the engine that explains.
    explained: jlens::Compiled,
    /// What is run: the source behind what stands in for the clock and chance.
    program: String,
}

impl Compiled {
    pub(crate) fn new(source: &str) -> Result<Self, Error> {
        if source.len() > SOURCE {
            let length = source.len();
            return Err(beyond("U1001", format!("the expression has {length} bytes"), SOURCE));
        }
        // The other engine explains what is wrong, and no expression is caught in this one.
        let explained = jlens::Compiled::new(source)?;
        if let Some(missing) = explained.uses().iter().find_map(missing) {
            return Err(missing);
        }
        let program = format!("{}{source}{}", moment::before(source), moment::after(source));
        let compiled = Self { explained, program };
        isolated(|| {
            let arena = Bump::new();
            // The source alone: its mistakes have their own places.
            let parsed = JsonAta::new(source, &arena).map(drop);
            parsed.map_err(|error| compiled.convert(&error, 0))
        })
        .map_err(|error| said("jsonata-rs cannot read this, jlens can", error))?;
        Ok(compiled)
    }

    pub(crate) fn source(&self) -> &str {
        self.explained.source()
    }

    pub(crate) fn analysis(&self) -> Analysis {
        self.explained.analysis()
    }

    pub(crate) fn members_read(&self, variable: &str) -> Vec<String> {
        self.explained.members_read(variable)
    }

    pub(crate) fn evaluate(
        &self,
        input: Option<&str>,
        variables: &Variables,
        at: &Moment,
        limits: &Limits,
    ) -> Result<Option<Value>, Error> {
        let input = input.map(values::literal).transpose()?;
        let variables = values::named(self.source(), variables)?;
        let millis = usize::try_from(limits.time.as_millis()).unwrap_or(usize::MAX);
        let before = moment::before(self.source()).chars().count();
        let fail = |error| self.convert(&error, before);
        isolated(|| {
            let arena = Bump::new();
            arena.set_allocation_limit(Some(ARENA));
            let run = JsonAta::new(&self.program, &arena).map_err(fail)?;
            for (name, value) in &variables {
                run.assign_var(name, values::in_arena(&arena, value));
            }
            moment::bind(&run, at);
            let result = run.evaluate_timeboxed(input.as_deref(), Some(limits.depth), Some(millis));
            values::result(result.map_err(fail)?, limits)
        })
        .map_err(|error| said("jsonata-rs", error))
    }

    /// `before` is how many characters stand before the source.
    fn convert(&self, error: &Theirs, before: usize) -> Error {
        match error {
            Theirs::U1001Timeout => {
                return Error::nowhere("D1012", "the evaluation takes too long");
            }
            Theirs::U1001StackOverflow => {
                return Error::nowhere("D1011", "the evaluation nests too deeply");
            }
            _ => {}
        }
        // Only its text says where: `CODE @ PLACE: words`, without a place in some.
        let text = error.to_string();
        let words = text.split_once(" @ ").map_or(text.as_str(), |(_, words)| words);
        let (place, words) = match words.split_once(": ") {
            Some((place, words)) if has_place(error.code()) => (place.parse::<usize>().ok(), words),
            _ => (None, words),
        };
        let position = place.map(|place| {
            let place = place.saturating_sub(before);
            if counts_bytes(error.code()) { place } else { offset(self.source(), place) }
        });
        let mut letters = words.trim_end_matches('.').chars();
        let first = letters.next().into_iter().flat_map(char::to_lowercase);
        let message = first.chain(letters).take(MESSAGE).collect();
        Error { code: error.code().to_owned(), message, position, length: 0, token: None }
    }
}

/// Every mistake of `source`, by the words of the engine that explains best.
pub(crate) fn problems(source: &str) -> Vec<Error> {
    let problems = match jlens::Compiled::new(source) {
        Ok(compiled) => compiled.uses().iter().filter_map(missing).collect(),
        Err(_) => jlens::problems(source),
    };
    if problems.is_empty() { Compiled::new(source).err().into_iter().collect() } else { problems }
}

/// What the engine does not have, and would only find out about on a record.
fn missing(used: &jlens::Use) -> Option<Error> {
    let (code, what) = match &used.what {
        jlens::What::Function(name) if FUNCTIONS.contains(&name.as_str()) => return None,
        jlens::What::Function(name) => ("T1006", format!("`${name}`")),
        jlens::What::Partial => ("U1007", "partial application".to_owned()),
    };
    let error = Error::nowhere(code, format!("jsonata-rs has no {what}, jlens has"));
    Some(Error { position: Some(used.span.start), length: used.span.len(), ..error })
}

/// Runs `work` on a large stack; a panic is an error.
fn isolated<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let done = stacker::grow(STACK, || guarded(work));
    done.unwrap_or_else(|| Err(Error::nowhere("U1007", "it panics; use the engine jlens")))
}

fn said(before: &str, error: Error) -> Error {
    Error { message: format!("{before}: {}", error.message), ..error }
}

/// An error about something larger than this engine is given.
fn beyond(code: &str, what: String, most: usize) -> Error {
    Error::nowhere(
        code,
        format!("{what}, more than the {most} that jsonata-rs is given; use the engine jlens"),
    )
}

/// Whether the text of this error begins with a place; some begin with the author's words.
fn has_place(code: &str) -> bool {
    !matches!(code, "D1001" | "D3050" | "D3133" | "D3134" | "D3135" | "D3137" | "D3141")
}

/// Whether the place of this error counts bytes, not characters.
fn counts_bytes(code: &str) -> bool {
    matches!(code, "S0102" | "S0201" | "S0203")
}

/// The byte at which a character begins, the last one included.
fn offset(source: &str, character: usize) -> usize {
    source.char_indices().nth(character).map_or(source.len(), |(offset, _)| offset)
}
