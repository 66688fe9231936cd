//! Holds the process at a named point, for tests that kill it there.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::anyhow;
use store::At;

use crate::exit::{Exit, Failed};
use crate::progress::say;

/// `NAME:N` holds the process when it comes to that point for the N-th time; `none` holds it
/// nowhere. Either way it says on standard error at every point that it is there, and where it
/// holds that it does.
const VARIABLE: &str = "TOWPATH_HOLD_AT";

static HOLD: OnceLock<Hold> = OnceLock::new();

struct Hold {
    /// The point and its number; without it none is held at.
    at: Option<(String, u64)>,
    /// How often each point was come to. Who holds keeps the lock, so that whoever comes to any
    /// point afterwards holds too, and nothing of weight happens behind the hold.
    passed: Mutex<HashMap<&'static str, u64>>,
}

/// Reads from the environment where to hold; without the variable nothing is counted.
pub(crate) fn from_environment() -> Result<(), Failed> {
    let Some(text) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let text = text.to_string_lossy();
    let at = if text == "none" { None } else { Some(parse(&text)?) };
    HOLD.get_or_init(|| Hold { at, passed: Mutex::default() });
    Ok(())
}

fn parse(text: &str) -> Result<(String, u64), Failed> {
    let refused = |error| Failed { exit: Exit::Config, error };
    let form = || refused(anyhow!("{VARIABLE} is `{text}`: neither `NAME:N` nor `none`"));
    let (name, number) = text.rsplit_once(':').ok_or_else(form)?;
    let number = number.parse().ok().filter(|number| *number > 0).ok_or_else(form)?;
    let known = engine::POINTS.iter().chain(store::POINTS);
    if !known.into_iter().any(|(point, _)| *point == name) {
        return Err(refused(anyhow!("{VARIABLE}: there is no point `{name}`")));
    }
    Ok((name.to_owned(), number))
}

/// What a store is to tell of its points; nothing without the variable.
pub(crate) fn store_points() -> Option<At> {
    HOLD.get().map(|_| at as At)
}

/// Counts a point, and never returns if it is the one to hold at.
pub(crate) fn at(point: &'static str) {
    let Some(hold) = HOLD.get() else { return };
    let mut passed = hold.passed.lock().unwrap_or_else(PoisonError::into_inner);
    let number = passed.entry(point).or_default();
    *number += 1;
    say(&format!("towpath: at {point}:{number}"));
    if hold.at.as_ref().is_some_and(|(name, at)| name == point && at == number) {
        say(&format!("towpath: holds at {point}:{number}"));
        loop {
            std::thread::park();
        }
    }
}
