//! One receiver as a mapping gives it.

use connector::contact::Consent;
use connector::prelude::*;
use serde_json::Map;

use crate::group::Id;
use crate::order::Order;
use crate::rejections;
use crate::tag::{self, Gone, Tag};
use crate::who::{self, Who};

/// One receiver.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "email": "ada@example.com",
    "attributes": { "firstname": "Ada", "customer_number": "C-7" },
    "tags": ["vip"]
}]))]
pub(crate) struct Receiver {
    /// The e-mail address, by which CleverReach knows a receiver of a group. Without one the
    /// message is refused.
    #[serde(default)]
    pub(crate) email: String,
    /// Texts and numbers by attribute, written to the group's attribute of that name and to the
    /// account's, whichever there are. What neither has is left out and named in the result; true
    /// and false are refused.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) attributes: Map<String, Value>,
    /// Values for the account's attributes alone; they go before `attributes`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) global_attributes: Map<String, Value>,
    /// Changes of the account's attributes: `"+1"` or `1` adds, `"-1"` or `-1` takes away, null
    /// empties. The first two need `increments: true`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) modifiers: Map<String, Value>,
    /// Tags to add. Letters, digits, `_`, `-`, and a dot behind an origin stay; anything else becomes
    /// `_`, and a hyphen in front goes.
    #[serde(default, deserialize_with = "tag::list", skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<Tag>,
    /// Tags to take away; `shop.*` is all of the origin `shop`. What is in `tags` too is taken away.
    #[serde(default, deserialize_with = "tag::gone", skip_serializing_if = "Vec::is_empty")]
    pub(crate) remove_tags: Vec<Gone>,
    /// What the receiver ordered, item by item. What it has already, by the order's number and the
    /// product, is not written again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) orders: Vec<Order>,
    /// With `activation: consent`: whether the person agreed to get mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) consent: Option<Consent>,
    /// Where a new receiver comes from; `Towpath` if it is left out. Not written for known ones,
    /// except with `activation: keep`, which does not look up who is known and sends what is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// With `groupFromCategories`: the names to find the group by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) categories: Vec<String>,
    /// What is known of the sign-up; it goes with the confirmation mail, empty if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) doidata: Option<SignUp>,
    /// The receiver is to be deleted, and nothing else of this is looked at but `id` and `email`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) delete: bool,
    /// With `delete`: the receiver's id. It goes before `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Id>,
}

/// What is known of a sign-up, as proof of consent. What is left out is sent empty.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SignUp {
    /// The address of the person's computer.
    user_ip: String,
    /// The page on which the person signed up.
    referer: String,
    /// The person's program.
    user_agent: String,
}

impl Receiver {
    pub(crate) fn address(&self) -> &str {
        self.email.trim()
    }

    pub(super) fn who(&self) -> Who<'_> {
        Who::Email(self.address())
    }

    /// Whether any attribute is to be written or changed.
    pub(super) fn has_values(&self) -> bool {
        [&self.attributes, &self.global_attributes, &self.modifiers].iter().any(|it| !it.is_empty())
    }

    /// The changes of the account's attributes as CleverReach takes them; 0 is none.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&String, Value)> {
        let changes = self.modifiers.iter();
        changes.filter_map(|(name, given)| Some((name, change(given).ok().flatten()?)))
    }

    /// What keeps the receiver from being sent at all.
    pub(crate) fn refusal(&self, increments: bool) -> Option<Outcome> {
        if let Err(refusal) = who::address(&self.email) {
            return Some(refusal);
        }
        let mut attributes = self.attributes.iter().chain(&self.global_attributes);
        let odd = |value: &Value| value.is_boolean() || value.is_array() || value.is_object();
        if let Some((name, _)) = attributes.find(|(_, value)| odd(value)) {
            let reason = format!("the attribute `{name}` is neither text nor a number");
            return Some(rejections::BAD_ATTRIBUTE.because(reason));
        }
        for (name, given) in &self.modifiers {
            match change(given) {
                Err(()) => {
                    let reason = format!("the modifier of `{name}` is neither `+n`, `-n` nor null");
                    return Some(rejections::BAD_MODIFIER.because(reason));
                }
                Ok(Some(Value::String(change))) if !increments => {
                    let reason = format!("`{name}` is to change by {change}");
                    return Some(rejections::NO_INCREMENTS.because(reason));
                }
                Ok(_) => {}
            }
        }
        self.orders.iter().find_map(Order::refusal)
    }
}

/// A change as it is sent: `"+1"`, `"-2.5"`, or null, which empties. Nothing for 0.
fn change(given: &Value) -> Result<Option<Value>, ()> {
    let text = match given {
        Value::Null => return Ok(Some(Value::Null)),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return Err(()),
    };
    let (sign, digits) = match (text.strip_prefix('+'), text.strip_prefix('-'), given) {
        (Some(digits), ..) => ('+', digits),
        (None, Some(digits), _) => ('-', digits),
        (None, None, Value::Number(_)) => ('+', text.as_str()),
        // Without a sign it would be written, not added.
        _ => return Err(()),
    };
    let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    match digits.parse::<f64>() {
        Ok(0.0) if plain => Ok(None),
        Ok(_) if plain => Ok(Some(Value::String(format!("{sign}{digits}")))),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modifier_adds_takes_away_or_empties() {
        for (given, sent) in [
            (json!(1), Ok(Some(json!("+1")))),
            (json!(-2.5), Ok(Some(json!("-2.5")))),
            (json!("+3"), Ok(Some(json!("+3")))),
            (json!(" -4 "), Ok(Some(json!("-4")))),
            (json!(null), Ok(Some(json!(null)))),
            (json!(0), Ok(None)),
            (json!("-0"), Ok(None)),
            (json!("5"), Err(())),
            (json!("+"), Err(())),
            (json!("+inf"), Err(())),
            (json!("+1e9"), Err(())),
            (json!("--1"), Err(())),
            (json!(true), Err(())),
            (json!([1]), Err(())),
        ] {
            assert_eq!(change(&given), sent, "{given}");
        }
    }
}
