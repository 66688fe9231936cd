//! What a connector tells of its triggers and actions, before any of them is configured.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::trigger::{Called, Polled};
use crate::{
    Action, Changes, ErasedAction, ErasedTrigger, HeardTrigger, PollingTrigger, Rejection,
    ToldTrigger, WebhookTrigger, action, told,
};

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
    pub(crate) fn polling<T: PollingTrigger>(name: &'static str, mapping: &'static str) -> Self {
        Self {
            changes: T::CHANGES,
            volatile: T::VOLATILE,
            ..Self::of::<T>(name, mapping, TriggerKind::Polling, |fields| {
                let it: T = read(fields)?;
                it.validate()?;
                Ok(Arc::new(Polled::new(it)))
            })
        }
    }

    pub(crate) fn heard<T: HeardTrigger>(name: &'static str, mapping: &'static str) -> Self {
        Self {
            changes: T::CHANGES,
            volatile: T::VOLATILE,
            ..Self::of::<T>(name, mapping, TriggerKind::Heard, |fields| {
                let it: T = read(fields)?;
                PollingTrigger::validate(&it)?;
                Ok(Arc::new(Polled::and_called(it)))
            })
        }
    }

    pub(crate) fn webhook<T: WebhookTrigger>(name: &'static str, mapping: &'static str) -> Self {
        Self::of::<T>(name, mapping, TriggerKind::Webhook, |fields| {
            let it: T = read(fields)?;
            it.validate()?;
            Ok(Arc::new(Called(it)))
        })
    }

    pub(crate) fn told<T: ToldTrigger>(name: &'static str, mapping: &'static str) -> Self {
        Self::of::<T>(name, mapping, TriggerKind::Told, |fields| {
            let it: T = read(fields)?;
            it.validate()?;
            Ok(Arc::new(told::Erased))
        })
    }

    /// A trigger with the fields of `T` that tells no changes of its own.
    fn of<T: JsonSchema>(
        name: &'static str,
        mapping: &'static str,
        kind: TriggerKind,
        configure: fn(Value) -> Result<Arc<dyn ErasedTrigger>, String>,
    ) -> Self {
        Self {
            name,
            aliases: vec![],
            mapping,
            kind,
            changes: Changes::None,
            volatile: &[],
            fields: || schema_for!(T),
            record: None,
            message: None,
            configure,
        }
    }

    /// Whether flow files may call it so.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

impl ActionDescriptor {
    pub(crate) fn of<A: Action>(name: &'static str, mapping: &'static str) -> Self {
        Self {
            name,
            aliases: vec![],
            mapping,
            fields: || schema_for!(A),
            input: || schema_for!(A::Input),
            max_batch: A::MAX_BATCH.max(1),
            rejections: A::REJECTIONS,
            configure: |fields| {
                let it: A = read(fields)?;
                it.validate()?;
                Ok(Arc::new(action::Erased(it)))
            },
        }
    }

    /// Whether flow files may call it so.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

fn read<T: DeserializeOwned>(fields: Value) -> Result<T, String> {
    serde_json::from_value(fields).map_err(|error| error.to_string())
}
