//! What a person is told about flows that jsonata-rs evaluates.

use std::panic;
use std::sync::Once;

use flow::Flow;
use mapping::Engine;

use crate::progress::say;

/// Warns, once a process, of flows that jsonata-rs evaluates.
pub(crate) fn warn<'a>(flows: impl IntoIterator<Item = &'a Flow>) {
    let flows = flows.into_iter().filter(|flow| concerns(flow));
    warn_of(&flows.map(|flow| flow.name.as_str()).collect::<Vec<_>>());
}

/// Whether a flow is one to warn of.
pub(crate) fn concerns(flow: &Flow) -> bool {
    flow.is_evaluated_by(Engine::JsonataRs)
}

/// The same warning, of flows that are known to be such and of which only the names are left.
pub(crate) fn warn_of(names: &[&str]) {
    static ONCE: Once = Once::new();
    if let Some(which) = list(names) {
        ONCE.call_once(|| say(&format!("warning: jsonata-rs evaluates {which}. {REASONS}")));
    }
}

/// Measured; docs/decisions/0012 says how.
const REASONS: &str = "It loses 16 KB of memory with every evaluation, is five times\n\
    slower than jlens, differs in places, and can hang or end this process (docs/errors/TP0144.md).";

/// The first few names, and how many there are.
fn list(names: &[&str]) -> Option<String> {
    match names {
        [] => None,
        [one] => Some((*one).to_owned()),
        [first, second] => Some(format!("{first} and {second}")),
        [first, second, more @ ..] => Some(format!("{first}, {second} and {} more", more.len())),
    }
}

/// Keeps panics quiet that an engine's boundary catches: they become errors of one record, and
/// their words may quote it.
pub(crate) fn quiet_caught_panics() {
    let announce = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !mapping::catches_panics() && !store::catches_panics() {
            announce(panic);
        }
    }));
}
