//! What became of the messages of a call, in few bytes: it is written beside what was sent.

use serde::{Deserialize, Serialize};

use super::block::{FORMAT, State, written};
use crate::Result;

/// What became of each message of a call, in the order of its entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    format: u32,
    /// Mostly all of them came to the same.
    runs: Vec<Run>,
}

/// So many messages, one after another, of which the same is to be noted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    messages: usize,
    /// `None` where the system surely did not take them: nothing is noted of them any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    state: Option<State>,
}

impl Answer {
    pub(super) fn of(states: impl Iterator<Item = Option<State>>) -> Self {
        let mut runs: Vec<Run> = vec![];
        for state in states {
            match runs.last_mut() {
                Some(run) if run.state == state => run.messages += 1,
                _ => runs.push(Run { messages: 1, state }),
            }
        }
        Self { format: FORMAT, runs }
    }

    /// How many messages it is about.
    pub(super) fn messages(&self) -> usize {
        self.runs.iter().fold(0, |sum, run| sum.saturating_add(run.messages))
    }

    /// What is to be noted of each message.
    pub(super) fn states(&self) -> impl Iterator<Item = Option<&State>> {
        self.runs.iter().flat_map(|run| std::iter::repeat_n(run.state.as_ref(), run.messages))
    }

    pub(super) fn to_bytes(&self, flow: &str) -> Result<Vec<u8>> {
        written(flow, self)
    }
}
