//! The trail: what became of each message, in one compact block a commit.
//!
//! A page's deliverer tells a [`Trail`] what happens to its messages; its bytes go into the page's
//! commit. A message takes some twenty bytes: what is said of many is kept once.

mod answer;
mod block;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

pub(crate) use block::{Trace, walk};

/// The longest text that is kept of an answer, a code or a key, in bytes.
const TEXT: usize = 200;

/// What became of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What<'a> {
    /// A step's system took it.
    Delivered {
        /// The step's id.
        step: &'a str,
        /// The step's result; `Null` is none worth keeping.
        answer: &'a Value,
        /// The record's key in the target system, where it tells one.
        target_key: Option<&'a str>,
    },
    /// A step's condition kept it from going on there.
    Filtered {
        /// The step's id.
        step: &'a str,
    },
    /// Another flow had written it: the step's system has it.
    Echoed {
        /// The step's id.
        step: &'a str,
    },
    /// The step's system has a newer change of the same record.
    Overruled {
        /// The step's id.
        step: &'a str,
    },
    /// It became a dead letter.
    Refused {
        /// The step's id; `None` if the trigger's mapping refused it.
        step: Option<&'a str>,
        /// The stable code of the refusal.
        code: &'a str,
    },
    /// A step's system finishes it later.
    Parked {
        /// The step's id.
        step: &'a str,
    },
    /// It was sent, and nobody knows whether it arrived.
    InDoubt {
        /// The step's id.
        step: &'a str,
    },
    /// The record was gone from its source: a message about its deletion was made.
    Deleted,
    /// A dead letter of it was replayed, and its step took it.
    Replayed {
        /// The step's id; `None` if the trigger's mapping had refused it.
        step: Option<&'a str>,
        /// The dead letter's id.
        letter: &'a str,
    },
    /// A newer message of the record overtook a dead letter.
    Superseded {
        /// The step's id; `None` if the trigger's mapping had refused it.
        step: Option<&'a str>,
        /// The dead letter's id.
        letter: &'a str,
    },
    /// An operator edited a dead letter's message.
    Edited {
        /// The step's id; `None` if the trigger's mapping had refused it.
        step: Option<&'a str>,
        /// The dead letter's id.
        letter: &'a str,
    },
    /// An operator dropped a dead letter.
    Dropped {
        /// The step's id; `None` if the trigger's mapping had refused it.
        step: Option<&'a str>,
        /// The dead letter's id.
        letter: &'a str,
    },
}

/// [`What`] without its particulars. The numbers are those of the bytes: they stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Delivered = 1,
    Filtered = 2,
    Refused = 3,
    Parked = 4,
    InDoubt = 5,
    Deleted = 6,
    Replayed = 7,
    Superseded = 8,
    Edited = 9,
    Dropped = 10,
    Echoed = 11,
    Overruled = 12,
}

/// What is told of a page's messages, in the order in which it happened.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// What is told, each once: kind, step and text.
    told: Vec<Arc<str>>,
    places: HashMap<Arc<str>, usize>,
    last: usize,
    count: u64,
    events: Vec<u8>,
    /// What is told now; kept for its room.
    line: String,
}

impl Trail {
    /// Adds what became of a message: `partition_key` is its record's key in the seen table,
    /// `message_id` its id.
    pub(crate) fn add(&mut self, partition_key: &[u8; 16], message_id: &str, what: What<'_>) {
        let target = self.tell(what);
        let place = self.place();
        let [key, _] = halves(partition_key);
        self.events.extend_from_slice(&key);
        self.events.extend_from_slice(&tag(message_id));
        block::number(&mut self.events, (place as u64) << 1 | u64::from(target.is_some()));
        if let Some(target) = target {
            block::text(&mut self.events, target);
        }
        self.count += 1;
    }

    /// Whether nothing was told.
    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The block as it is kept; `None` if nothing was told.
    pub(crate) fn to_bytes(&self) -> Option<Vec<u8>> {
        (!self.is_empty()).then(|| block::write(&self.told, self.count, &self.events))
    }

    /// Gives what was told so far, in order.
    pub(crate) fn walk<'a>(&'a self, each: &mut dyn FnMut(Trace<'a>)) {
        let told: Vec<&str> = self.told.iter().map(|line| &**line).collect();
        // What was written here is whole.
        block::events(&told, &self.events, self.count, each).unwrap_or_default();
    }

    /// Writes down what is told of the message, but for the key that differs from one to the next.
    fn tell<'a>(&mut self, what: What<'a>) -> Option<&'a str> {
        self.line.clear();
        let (kind, step, text) = match what {
            What::Delivered { step, answer, target_key } => {
                let target = target_key.map(|key| answer::cut(key, TEXT));
                self.head(Kind::Delivered, step);
                answer::write(answer, target, &mut self.line);
                return target;
            }
            What::Filtered { step } => (Kind::Filtered, step, ""),
            What::Echoed { step } => (Kind::Echoed, step, ""),
            What::Overruled { step } => (Kind::Overruled, step, ""),
            What::Refused { step, code } => (Kind::Refused, step.unwrap_or_default(), code),
            What::Parked { step } => (Kind::Parked, step, ""),
            What::InDoubt { step } => (Kind::InDoubt, step, ""),
            What::Deleted => (Kind::Deleted, "", ""),
            What::Replayed { step, letter } => (Kind::Replayed, step.unwrap_or_default(), letter),
            What::Superseded { step, letter } => {
                (Kind::Superseded, step.unwrap_or_default(), letter)
            }
            What::Edited { step, letter } => (Kind::Edited, step.unwrap_or_default(), letter),
            What::Dropped { step, letter } => (Kind::Dropped, step.unwrap_or_default(), letter),
        };
        self.head(kind, step);
        self.line.push_str(answer::cut(text, TEXT));
        None
    }

    fn head(&mut self, kind: Kind, step: &str) {
        self.line.push(char::from(kind as u8));
        self.line.push_str(step);
        self.line.push('\0');
    }

    /// The place of what is told now among all that was told: mostly that of the message before.
    fn place(&mut self) -> usize {
        if self.told.get(self.last).is_some_and(|last| **last == *self.line) {
            return self.last;
        }
        let known = self.places.get(&*self.line).copied();
        self.last = known.unwrap_or_else(|| {
            let line: Arc<str> = self.line.as_str().into();
            self.told.push(line.clone());
            self.places.insert(line, self.told.len() - 1);
            self.told.len() - 1
        });
        self.last
    }
}

/// What is kept of a message's id: its first eight bytes.
pub(crate) fn tag(message_id: &str) -> [u8; 8] {
    let digits = message_id.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    match digits {
        Some(id) => id.to_be_bytes(),
        // No id of ours: whatever it is, the same one gives the same.
        None => halves(&blake3_16(message_id))[0],
    }
}

/// What is kept of a record's key: its first half.
pub(crate) fn key_tag(partition_key: &[u8; 16]) -> [u8; 8] {
    halves(partition_key)[0]
}

fn halves(bytes: &[u8; 16]) -> [[u8; 8]; 2] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *bytes;
    [[a, b, c, d, e, f, g, h], rest]
}

fn blake3_16(text: &str) -> [u8; 16] {
    let hash = blake3::hash(text.as_bytes());
    std::array::from_fn(|index| hash.as_bytes().get(index).copied().unwrap_or_default())
}
