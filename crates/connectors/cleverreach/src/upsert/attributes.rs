//! Which attributes a group and the account define, and which values go where.

use std::collections::HashMap;

use connector::prelude::*;
use serde_json::Map;

use super::{Call, Receiver};
use crate::group::{self, Id};

/// The attributes of a group or of the account: their names by their names in small letters.
pub(crate) type Scope = HashMap<String, String>;

/// One attribute; its group is 0 if it is the account's.
#[derive(Deserialize)]
struct Attribute {
    name: String,
    groups_id: Option<Id>,
}

/// The attributes that a receiver of a group can have.
pub(super) struct Defined {
    group: Scope,
    account: Scope,
}

/// The values of a receiver, each where it belongs.
#[derive(Default)]
pub(super) struct Placed {
    pub(super) group: Map<String, Value>,
    pub(super) account: Map<String, Value>,
    /// Changes of the account's values: `+n`, `-n`, or null.
    pub(super) modifiers: Map<String, Value>,
    /// The names of values that have no attribute.
    pub(super) left_out: Vec<String>,
}

impl Defined {
    /// Asks for the attributes if any receiver of the call has a value; the account's only if
    /// `account` has none yet.
    pub(super) async fn ask(
        api: &Api,
        call: &Call<'_>,
        account: &mut Option<Scope>,
    ) -> Result<Self> {
        let mut rows = call.rows.iter();
        if !rows.any(|(_, it)| it.has_values()) {
            return Ok(Self { group: Scope::new(), account: Scope::new() });
        }
        let request = api.get(["groups.json", &call.group.0, "attributes"]);
        let answer = request.accept(StatusCode::NOT_FOUND).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(group::unknown(&call.group));
        }
        let group = scope(&answer, |id| id.is_none_or(|id| *id == call.group))?;
        let account = match account {
            Some(account) => account.clone(),
            None => {
                let answer = api.get(["attributes.json"]).send().await?;
                let asked = scope(&answer, |id| id.is_none_or(|id| id.0 == "0"))?;
                account.insert(asked).clone()
            }
        };
        Ok(Self { group, account })
    }

    /// Places the values of a receiver. Empty ones are left out, since CleverReach would erase
    /// what it has, unless `erase` asks for that.
    pub(super) fn place(&self, receiver: &Receiver, erase: bool) -> Placed {
        let mut placed = Placed::default();
        let both = receiver.attributes.iter().map(|(name, value)| (name, value, true));
        let account = receiver.global_attributes.iter().map(|(name, value)| (name, value, false));
        for (name, value, both) in both.chain(account) {
            let empty = match value {
                Value::Null => true,
                Value::String(text) => text.trim().is_empty(),
                _ => false,
            };
            if empty && !erase {
                continue;
            }
            let value = if empty { json!("") } else { value.clone() };
            let key = name.trim().to_lowercase();
            let of_group = self.group.get(&key).filter(|_| both);
            let of_account = self.account.get(&key);
            if of_group.is_none() && of_account.is_none() && !empty {
                placed.left_out.push(name.clone());
            }
            if let Some(name) = of_group {
                placed.group.insert(name.clone(), value.clone());
            }
            if let Some(name) = of_account {
                placed.account.insert(name.clone(), value);
            }
        }
        for (name, change) in receiver.changes() {
            match self.account.get(&name.trim().to_lowercase()) {
                Some(name) => drop(placed.modifiers.insert(name.clone(), change)),
                None => placed.left_out.push(name.clone()),
            }
        }
        placed
    }
}

/// Reads a list of attributes and keeps those that belong: a list may hold the account's beside
/// the group's.
fn scope(answer: &Response, belongs: impl Fn(Option<&Id>) -> bool) -> Result<Scope> {
    if answer.status() == StatusCode::NO_CONTENT {
        return Ok(Scope::new());
    }
    let list: Vec<Attribute> = answer.json()?;
    let own = list.into_iter().filter(|attribute| belongs(attribute.groups_id.as_ref()));
    Ok(own.map(|attribute| (attribute.name.to_lowercase(), attribute.name)).collect())
}
