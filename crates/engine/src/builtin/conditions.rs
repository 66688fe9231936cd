//! What began and what ended among conditions that last, against what was told: pure.

use std::collections::BTreeMap;
use std::time::Duration;

use connector::Timestamp;

use super::alert::Alert;
use super::kept::Mark;

/// A condition as it is: a flow fails, an account is paused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lasting {
    pub(super) since: Timestamp,
    /// How long it lasts.
    pub(super) lasted: Duration,
}

/// What follows for one flow that is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// What lasts long enough to be told, and was not.
    pub(super) begun: Vec<String>,
    /// What was told, and is over.
    pub(super) ended: Vec<String>,
    /// How long until something lasts long enough.
    pub(super) next: Option<Duration>,
}

/// Compares what is with what was told; of what nobody knows (`unsure`), nothing follows.
pub(super) fn turn(
    alert: &Alert,
    marks: &BTreeMap<String, Mark>,
    lasting: &BTreeMap<String, Lasting>,
    unsure: impl Fn(&str) -> bool,
) -> Turn {
    let mut turn = Turn::default();
    let same = |name: &str| {
        let (mark, now) = (marks.get(name), lasting.get(name));
        mark.zip(now).is_some_and(|(mark, now)| mark.at == now.since)
    };
    let over = marks.keys().filter(|name| !same(name) && !unsure(name));
    turn.ended.extend(over.cloned());
    for (name, it) in lasting.iter().filter(|(name, _)| alert.is_about(name) && !same(name)) {
        let left = alert.length.saturating_sub(it.lasted);
        if left.is_zero() {
            turn.begun.push(name.clone());
        } else {
            turn.next = Some(turn.next.map_or(left, |next| next.min(left)));
        }
    }
    turn
}
