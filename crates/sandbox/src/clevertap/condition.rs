//! What a query of CleverTap says of a property or of a number of times.

use serde_json::Value;

use super::query::text;

/// The comparisons of the vendor's examples.
const OPERATORS: [&str; 11] = [
    "equals",
    "not_equals",
    "contains",
    "does_not_contain",
    "exists",
    "does_not_exist",
    "greater_than",
    "greater_than_equals",
    "less_than",
    "less_than_equals",
    "between",
];

/// A comparison of something with a value, or with several.
pub(super) struct Condition {
    name: String,
    operator: String,
    value: Value,
}

impl Condition {
    /// Reads the conditions that are listed here; `None` if one of them is none.
    pub(super) fn all(listed: Option<&Value>) -> Option<Vec<Self>> {
        let Some(listed) = listed else { return Some(vec![]) };
        listed.as_array()?.iter().map(Self::of_property).collect()
    }

    fn of_property(value: &Value) -> Option<Self> {
        let mut keys = value.as_object()?.keys();
        if !keys.all(|key| ["name", "operator", "value"].contains(&key.as_str())) {
            return None;
        }
        Self::read(value.get("name")?.as_str()?, value)
    }

    /// The same of what a profile holds: the vendor's own query asks for `Female`, which is `F` there.
    pub(super) fn stored(mut self) -> Self {
        let fold = |value: &mut Value| match value.as_str() {
            Some("Female") => *value = "F".into(),
            Some("Male") => *value = "M".into(),
            _ => {}
        };
        match &mut self.value {
            Value::Array(values) if self.name == "Gender" => values.iter_mut().for_each(fold),
            value if self.name == "Gender" => fold(value),
            _ => {}
        }
        self
    }

    /// Reads how often something was done, if that is said; `None` if it is no comparison.
    pub(super) fn of_times(value: &Value) -> Option<Option<Self>> {
        if value.get("operator").is_none() && value.get("value").is_none() {
            return Some(None);
        }
        Self::read("", value).map(Some)
    }

    fn read(name: &str, value: &Value) -> Option<Self> {
        let operator = value.get("operator").map_or(Some("equals"), Value::as_str)?;
        let operand = value.get("value").cloned().unwrap_or_default();
        let fits = match operator {
            "exists" | "does_not_exist" => true,
            "between" => operand.as_array().is_some_and(|ends| ends.len() == 2),
            _ => !operand.is_null(),
        };
        let (name, is_known) = (name.to_owned(), OPERATORS.contains(&operator));
        (fits && is_known).then(|| Self { name, operator: operator.to_owned(), value: operand })
    }

    /// Whether a member of this object is so.
    pub(super) fn holds(&self, of: &Value) -> bool {
        self.is_so(of.get(&self.name).filter(|it| !it.is_null()))
    }

    /// Whether this number of times is meant.
    pub(super) fn counts(&self, times: usize) -> bool {
        self.is_so(Some(&times.into()))
    }

    fn is_so(&self, found: Option<&Value>) -> bool {
        let equals = |found: &Value| match &self.value {
            Value::Array(values) => values.iter().any(|value| same(value, found)),
            value => same(value, found),
        };
        let contains = |found: &Value| text(found).contains(&text(&self.value));
        let number = |value: &Value| text(value).parse::<f64>().ok();
        let compared = found.and_then(number).zip(number(&self.value));
        match self.operator.as_str() {
            "equals" => found.is_some_and(equals),
            "not_equals" => !found.is_some_and(equals),
            "contains" => found.is_some_and(contains),
            "does_not_contain" => !found.is_some_and(contains),
            "exists" => found.is_some(),
            "does_not_exist" => found.is_none(),
            "greater_than" => compared.is_some_and(|(found, than)| found > than),
            "greater_than_equals" => compared.is_some_and(|(found, than)| found >= than),
            "less_than" => compared.is_some_and(|(found, than)| found < than),
            "less_than_equals" => compared.is_some_and(|(found, than)| found <= than),
            _ => {
                let ends = |at| self.value.get(at).and_then(number);
                let found = found.and_then(number);
                found
                    .zip(ends(0))
                    .zip(ends(1))
                    .is_some_and(|((it, low), high)| (low..=high).contains(&it))
            }
        }
    }
}

fn same(one: &Value, other: &Value) -> bool {
    one == other || text(one) == text(other)
}
