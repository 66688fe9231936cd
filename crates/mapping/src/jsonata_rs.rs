//! The engine jsonata-rs: what it is given, how its types become ours, and what is kept from it.
//!
//! Its syntax tree cannot outlive the arena of one evaluation, so every evaluation parses again.

mod moment;
mod values;

use ::jsonata_rs::{Error as Theirs, JsonAta};
use bumpalo::Bump;
use serde_json::Value;

use crate::guard::guarded;
use crate::{Error, Limits, Moment, Variables, jlens};

/// Bytes of an expression: its parser nests as deeply as the expression does, which is known to
/// fit the stack up to here.
const SOURCE: usize = 16 << 10;
/// The stack of an evaluation: values can nest as deeply as an expression builds them, and the
/// engine walks them recursively. Only what is used takes memory.
const STACK: usize = 64 << 20;
/// What one evaluation may allocate in its arena. Beyond it the engine panics, which is caught.
const ARENA: usize = 256 << 20;
/// Characters of an error's message: the engine quotes whole values.
const MESSAGE: usize = 300;

/// An expression that both engines can read.
pub(crate) struct Compiled {
    source: String,
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
        jlens::Compiled::new(source)?;
        let program = format!("{}{source}{}", moment::before(source), moment::after(source));
        let compiled = Self { source: source.to_owned(), program };
        isolated(|| {
            let arena = Bump::new();
            // The source alone: its mistakes have their own places.
            let parsed = JsonAta::new(source, &arena).map(drop);
            parsed.map_err(|error| compiled.convert(&error, 0))
        })
        .map_err(|error| Error {
            message: format!("jsonata-rs cannot read this, jlens can: {}", error.message),
            ..error
        })?;
        Ok(compiled)
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn evaluate(
        &self,
        input: Option<&str>,
        variables: &Variables,
        at: &Moment,
        limits: &Limits,
    ) -> Result<Option<Value>, Error> {
        let input = input.map(values::literal).transpose()?;
        let variables = values::named(&self.source, variables)?;
        let millis = usize::try_from(limits.time.as_millis()).unwrap_or(usize::MAX);
        let before = moment::before(&self.source).chars().count();
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
    }

    /// `before` is how many characters stand before the source.
    fn convert(&self, error: &Theirs, before: usize) -> Error {
        let bare = |code: &str, message: &str| Error {
            code: code.to_owned(),
            message: message.to_owned(),
            position: None,
            length: 0,
            token: None,
        };
        match error {
            Theirs::U1001Timeout => return bare("D1012", "the evaluation takes too long"),
            Theirs::U1001StackOverflow => return bare("D1011", "the evaluation nests too deeply"),
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
            if counts_bytes(error.code()) { place } else { offset(&self.source, place) }
        });
        let mut letters = words.trim_end_matches('.').chars();
        let first = letters.next().into_iter().flat_map(char::to_lowercase);
        let message = first.chain(letters).take(MESSAGE).collect();
        Error { code: error.code().to_owned(), message, position, length: 0, token: None }
    }
}

/// Every mistake of `source`, by the words of the engine that explains best.
pub(crate) fn problems(source: &str) -> Vec<Error> {
    let problems = jlens::problems(source);
    if problems.is_empty() { Compiled::new(source).err().into_iter().collect() } else { problems }
}

/// Runs `work` on a large stack; a panic is an error.
fn isolated<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let done = stacker::grow(STACK, || guarded(work));
    done.unwrap_or_else(|| {
        Err(Error {
            code: "U1007".to_owned(),
            message: "jsonata-rs failed on this with a panic; use the engine jlens".to_owned(),
            position: None,
            length: 0,
            token: None,
        })
    })
}

/// An error about something larger than this engine is given.
fn beyond(code: &str, what: String, most: usize) -> Error {
    Error {
        code: code.to_owned(),
        message: format!("{what}, more than the {most} of jsonata-rs; use the engine jlens"),
        position: None,
        length: 0,
        token: None,
    }
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
