//! Examples in a flow file, run without a network.

use std::collections::BTreeMap;

use serde_json::Value;

/// One example: a message, and what each step would send for it.
#[derive(Clone, Debug)]
pub struct Test {
    /// What it shows.
    pub name: Option<String>,
    /// The message, or the raw record.
    pub given: Value,
    /// The inputs by step.
    pub expect: BTreeMap<String, Vec<Value>>,
}
