//! Values that an expression sees as `$name`.

use std::sync::Arc;

use serde_json::Value;

/// Named values bound as `$name`, without the dollar sign; a later one hides an earlier one of
/// the same name.
///
/// Cloning is cheap and shares the values. Binding one costs nothing to an expression that does
/// not name it; one that does copies the parts that it reads, so a large value (`$trigger`) may
/// be bound for every message.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    entries: Vec<(&'static str, Arc<Value>)>,
}

impl Variables {
    /// Creates an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds one more value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Arc<Value>>) -> Self {
        let value = value.into();
        match self.entries.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((name, value)),
        }
        self
    }

    /// Returns the value bound to `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// Iterates over the names and their values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.entries.iter().map(|(name, value)| (*name, &**value))
    }
}
