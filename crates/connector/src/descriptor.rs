//! What a connector tells of its triggers and actions, before any of them is configured.

use std::sync::Arc;

use schemars::Schema;
use serde_json::Value;

use crate::{Changes, ErasedAction, ErasedTrigger, Rejection};

/// A trigger as its connector offers it.
#[derive(Clone)]
pub struct TriggerDescriptor {
    /// The name behind the connector's: `getReceiversPolling`.
    pub name: &'static str,
    /// Other names that flow files may use; everywhere else it has its own.
    pub aliases: Vec<&'static str>,
    /// The default mapping from the raw record to a message, in JSONata.
    pub mapping: &'static str,
    /// Whether it is polled or called.
    pub kind: TriggerKind,
    /// How it tells changes.
    pub changes: Changes,
    /// What changes without meaning: [`PollingTrigger::VOLATILE`].
    pub volatile: &'static [&'static str],
    /// The JSON Schema of its fields.
    pub fields: fn() -> Schema,
    /// The JSON Schema of a record as the system gives it, if it is declared.
    pub record: Option<fn() -> Schema>,
    /// The JSON Schema of a message's data as the default mapping makes it, if it is declared.
    pub message: Option<fn() -> Schema>,
    /// Checks fields and makes the trigger; the error says what does not fit.
    pub configure: fn(Value) -> Result<Arc<dyn ErasedTrigger>, String>,
}

/// How records come to a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerKind {
    /// It asks its system on a schedule.
    Polling,
    /// Its system sends them.
    Webhook,
    /// Its system tells of them, once it was told where, and it is asked on a schedule too.
    Heard,
    /// The runtime itself tells them, of its own flows and accounts.
    Told,
}

impl TriggerKind {
    /// Whether it asks its system on a schedule.
    pub const fn is_polled(self) -> bool {
        matches!(self, Self::Polling | Self::Heard)
    }
}

/// An action as its connector offers it.
#[derive(Clone)]
pub struct ActionDescriptor {
    /// The name behind the connector's: `uploadProfiles`.
    pub name: &'static str,
    /// Other names that flow files may use; everywhere else it has its own.
    pub aliases: Vec<&'static str>,
    /// The default mapping from a message to the action's input, in JSONata.
    pub mapping: &'static str,
    /// The JSON Schema of its fields.
    pub fields: fn() -> Schema,
    /// The JSON Schema of its input.
    pub input: fn() -> Schema,
    /// The largest batch of one call.
    pub max_batch: usize,
    /// How it refuses messages.
    pub rejections: &'static [Rejection],
    /// Checks fields and makes the action; the error says what does not fit.
    pub configure: fn(Value) -> Result<Arc<dyn ErasedAction>, String>,
}

impl TriggerDescriptor {
    /// Whether flow files may call it so.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

impl ActionDescriptor {
    /// Whether flow files may call it so.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}
