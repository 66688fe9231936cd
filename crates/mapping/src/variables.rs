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
    entries: Vec<(&'static str, Bound)>,
}

/// A value, or the JSON text of one, which is parsed only if an expression reads it.
#[derive(Debug, Clone)]
pub(crate) enum Bound {
    Value(Arc<Value>),
    Text(Arc<str>),
}

impl Variables {
    /// Creates an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds one more value.
    #[must_use]
    pub fn with(self, name: &'static str, value: impl Into<Arc<Value>>) -> Self {
        self.bind(name, Bound::Value(value.into()))
    }

    /// Binds one more value, which is JSON text.
    #[must_use]
    pub fn with_text(self, name: &'static str, text: impl Into<Arc<str>>) -> Self {
        self.bind(name, Bound::Text(text.into()))
    }

    fn bind(mut self, name: &'static str, bound: Bound) -> Self {
        match self.entries.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = bound,
            None => self.entries.push((name, bound)),
        }
        self
    }

    /// Iterates over the names and their values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Bound)> {
        self.entries.iter().map(|(name, bound)| (*name, bound))
    }
}
