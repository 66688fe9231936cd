//! What a flow wants to be told, by its trigger.

use std::collections::BTreeSet;
use std::time::Duration;

use flow::Flow;
use serde::de::DeserializeOwned;

use super::triggers::{
    ACCOUNT_PAUSED, AccountPaused, DEAD_LETTERED, DeadLettered, FLOW_FAILING, FlowFailing, NAME,
};

/// What a flow wants to be told of other flows, or of accounts.
///
/// A flow that is told anything is never told of: neither itself nor another one by it, lest two of
/// them keep one another busy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub(super) of: Of,
    /// How long a condition lasts before it is told, or how long dead letters are gathered.
    pub(super) length: Duration,
    /// The flows or accounts that are told of; all without it.
    pub(super) names: Option<BTreeSet<String>>,
    /// Whether the end of what was told is told too.
    pub(super) ends: bool,
}

/// What is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Failing,
    Letters,
    Paused,
}

impl Of {
    /// The trigger's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Failing => FLOW_FAILING,
            Self::Letters => DEAD_LETTERED,
            Self::Paused => ACCOUNT_PAUSED,
        }
    }
}

impl Alert {
    /// What a flow is told, if the runtime tells it anything.
    pub fn of(flow: &Flow) -> Option<Self> {
        let trigger = &flow.trigger;
        if trigger.connector != NAME {
            return None;
        }
        match trigger.name.as_str() {
            FLOW_FAILING => {
                let fields: FlowFailing = fields(flow)?;
                let (length, ends) = (fields.after().ok()?, fields.recovered);
                Some(Self { of: Of::Failing, length, names: fields.flows, ends })
            }
            DEAD_LETTERED => {
                let fields: DeadLettered = fields(flow)?;
                let length = fields.gather().ok()?;
                Some(Self { of: Of::Letters, length, names: fields.flows, ends: false })
            }
            ACCOUNT_PAUSED => {
                let fields: AccountPaused = fields(flow)?;
                let (length, ends) = (fields.after().ok()?, fields.resumed);
                Some(Self { of: Of::Paused, length, names: fields.accounts, ends })
            }
            _ => None,
        }
    }

    /// The flows that it names, if it is about some flows only.
    pub fn flows(&self) -> Option<&BTreeSet<String>> {
        self.names.as_ref().filter(|_| self.of != Of::Paused)
    }

    /// The accounts that it names, if it is about some accounts only.
    pub fn accounts(&self) -> Option<&BTreeSet<String>> {
        self.names.as_ref().filter(|_| self.of == Of::Paused)
    }

    /// Whether it is about the flow or account of this name.
    pub(super) fn is_about(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(name))
    }
}

/// The trigger's fields, which were checked with the flow.
fn fields<T: DeserializeOwned>(flow: &Flow) -> Option<T> {
    serde_json::from_value((*flow.trigger.fields).clone()).ok()
}
